// A business server that is asked by the hooks of chat-service, and looks at each signature.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const BOUND_MS = 30_000
const SKEW_S = 300
const RAW = Symbol('raw')

/** An answer that is no object: any status, text and headers. Without a status the connection breaks; `hang` is no answer at all, until the end. */
export const raw = (status, text = '', headers = {}) => ({ [RAW]: { status, text, headers } })
export const broken = raw(undefined)
export const hang = { [RAW]: 'hang' }

export class Business {
  /** Each question: `{hook, body, headers, text}`, in the order they came. */
  calls = []
  /** What was wrong with questions: tests end with none. */
  problems = []
  #answers = new Map()
  #all = undefined
  #ids = new Set()
  #waiting = new Set()
  secret = `whsec_${randomBytes(32).toString('base64')}`

  /** `verify(text, headers)` throws where a signature is wrong; without it the signature is computed here. `names`: texts that each question has. */
  static async open({ verify, names = ['hook', 'instance'] } = {}) {
    const business = new Business()
    business.names = names
    business.verify = verify?.(business.secret) ?? ((text, headers) => checked(business.secret, text, headers))
    business.server = createServer((request, response) => business.#serve(request, response))
    await new Promise(listening => business.server.listen(0, '127.0.0.1', listening))
    business.reset()
    return business
  }

  get url() { return `http://127.0.0.1:${this.server.address().port}/hooks` }

  /** The settings that make a server ask it these. */
  settings(hooks) { return { HOOK_URL: this.url, HOOK_SECRET: this.secret, HOOKS: [...hooks].join(',') } }

  /** From now on `hook` is answered so: an object, `undefined` for 204, `raw(…)`, or a function of the body that returns one of these. */
  on(hook, answer) { this.#answers.set(hook, answer) }

  /** From now on, until `reset`, every hook is answered by this function. */
  onAll(answer) { this.#all = answer }

  /** Forgets all questions and answers. Who connects is who his query says. */
  reset() {
    this.calls = []
    this.#all = undefined
    this.#answers = new Map([['onConnect', ({ handshake }) => ({ userName: handshake.query.user })]])
  }

  /** Questions by this hook, so far. */
  asked(hook) { return this.calls.filter(call => call.hook === hook) }

  /** Waits for `count` questions of the hook that `fits`. @returns the bodies */
  async called(hook, { count = 1, fits = () => true, patience = BOUND_MS } = {}) {
    const found = () => this.asked(hook).map(({ body }) => body).filter(fits)
    await this.until(`${count} calls of ${hook}`, () => found().length >= count, patience)
    return found()
  }

  async until(what, ready, patience = BOUND_MS) {
    if (ready()) return
    await new Promise((resolve, reject) => {
      const check = () => { if (ready()) { done(); resolve() } }
      const done = () => { clearTimeout(timer); this.#waiting.delete(check) }
      const timer = setTimeout(() => {
        done()
        reject(new Error(`the business server waited ${patience} ms for ${what}; it was asked ${this.calls.map(({ hook }) => hook).join(', ')}`))
      }, patience)
      this.#waiting.add(check)
    })
  }

  close() {
    this.server.closeAllConnections()
    this.server.close()
  }

  async #serve(request, response) {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk
    let call
    try {
      call = this.#read(request, text)
    } catch (error) {
      this.problems.push(`${error.message}: ${text}`)
      return response.writeHead(400).end()
    }
    this.calls.push(call)
    for (const check of [...this.#waiting]) check()
    const answer = this.#all ?? this.#answers.get(call.hook)
    try {
      send(response, await (typeof answer === 'function' ? answer(call.body, call) : answer))
    } catch (error) {
      this.problems.push(error.stack)
      response.writeHead(500).end()
    }
  }

  #read(request, text) {
    const { headers } = request
    const body = JSON.parse(text)
    if (request.method !== 'POST') throw new Error(`a ${request.method}`)
    if (!/^application\/json\b/.test(headers['content-type'])) throw new Error(`content-type ${headers['content-type']}`)
    for (const name of this.names) if (typeof body[name] !== 'string' || !body[name]) throw new Error(`no ${name}`)
    this.verify(text, headers)
    if (this.#ids.has(headers['webhook-id'])) throw new Error('a webhook-id that was there before')
    this.#ids.add(headers['webhook-id'])
    return { hook: body.hook, body, headers, text }
  }
}

function send(response, answer) {
  const special = answer?.[RAW]
  if (special === 'hang') return
  if (special) {
    if (special.status === undefined) return response.destroy()
    return response.writeHead(special.status, special.headers).end(special.text)
  }
  if (answer === undefined) return response.writeHead(204).end()
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
}

/** Standard Webhooks: `v1,` and base64 of the HMAC-SHA256 of id.timestamp.body. */
function checked(secret, text, headers) {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signatures = '' } = headers
  if (!id || !/^\d+$/.test(time) || Math.abs(Date.now() / 1000 - time) > SKEW_S) throw new Error('no webhook-id, or a wrong webhook-timestamp')
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64')
  const wanted = Buffer.from(`v1,${createHmac('sha256', key).update(`${id}.${time}.${text}`).digest('base64')}`)
  const same = signature => signature.length === wanted.length && timingSafeEqual(signature, wanted)
  if (!signatures.split(' ').some(signature => same(Buffer.from(signature)))) throw new Error('a wrong webhook-signature')
}
