// Plays one recording of the original (../../transcripts/chat-service/README.md): does what was done, answers hooks as they were answered, and compares what
// each client and the business server got, step by step. The recorder waited for silence; here a command's answer must be the very next thing instead.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { failure } from '../client.mjs'
import { eventually } from '../http.mjs'
import { raw } from './business.mjs'
import { ChatClient } from './client.mjs'
import { difference, mapped, resolved, sendable } from './match.mjs'
import { api } from './stage.mjs'

const FOLDER = new URL('../../transcripts/chat-service/', import.meta.url)

/** All recordings. */
export const RECORDINGS = readdirSync(FOLDER).filter(name => name.endsWith('.json')).map(name => JSON.parse(readFileSync(new URL(name, FOLDER))))

/** What engine.io itself has in the query. */
const ENGINES_OWN = ['EIO', 'transport', 'sid', 't', 'b64', 'j']
/** Commands that change nothing; that one is taken whose hooks are not recorded. */
const PROBES = [['directGetWhitelistMode'], ['directGetAccessList', 'whitelist'], ['listOwnSockets']]
/** How long sockets that were closed may take to be gone. */
const CLEAN_MS = 10_000
/** Hooks that are not a step's. */
const OWN_ACCOUNT = ['onStart', 'onClose', 'storeConsistencyFailure', 'transportConsistencyFailure', 'lockTimeExceeded']

export class Replay {
  clients = {}
  #all = []
  #people = new Set()
  #rooms = new Set()
  /** Of the step at hand: `{call, answer, used}`. */
  #planned = []
  #unplanned = []

  constructor(recording, server, business, wire) {
    const hooked = (recording.settings.HOOKS ?? '').split(',')
    this.probe = PROBES.find(([command]) => !hooked.includes(`${command}Before`) && !hooked.includes(`${command}After`))
    assert.ok(this.probe, 'one command of the recording has no hooks')
    // What the wire can't carry is nowhere in what it plays.
    this.steps = mapped(recording.steps, text => wire.lacks ? text.replace(wire.lacks, '') : text)
    Object.assign(this, { server, business, wire })
  }

  async play() {
    this.business.reset()
    this.business.onAll(body => this.#answer(body))
    try {
      for (const [i, step] of this.steps.entries()) {
        try {
          await this.#step(step)
        } catch (error) {
          error.message = `step ${i}, ${JSON.stringify(step.do)}: ${error.message}`
          throw error
        }
      }
    } catch (error) {
      throw failure(error, this.#all.map(client => client.report()).join('\n'))
    } finally {
      this.business.reset()
      for (const client of this.#all) client.close()
    }
  }

  /** Whoever and whatever the recording made goes, so that the next one finds nothing. */
  async clean() {
    for (const userName of this.#people) if (userName) await this.#goes('deleteUser', { userName })
    for (const roomName of this.#rooms) if (typeof roomName === 'string') await this.#goes('deleteRoom', { roomName })
  }

  #goes(method, body) {
    const ask = () => api(this.server.nodeForCall(), method, body)
    return eventually(`${method} ${JSON.stringify(body)}`, ask, ({ status }) => status === 200 || status === 404, CLEAN_MS)
  }

  async #step(step) {
    this.#planned = (step.hooks ?? []).map(hook => ({ ...hook, used: false }))
    const starts = Object.fromEntries(Object.entries(this.clients).map(([name, client]) => [name, client.log.length]))
    delete starts[step.do.connect]
    const answer = await this.#does(step.do)
    if (answer) this.#compareAnswer(step.answer, answer)
    for (const [name, expected] of Object.entries(step.got ?? {})) {
      const client = this.clients[name]
      const got = () => client.log.slice(starts[name] ?? 0)
      const differs = () => !together(step) && got().some((entry, i) => difference(this.#known(expected[i]), entry) !== undefined)
      await client.until(`${expected.length} entries`, () => got().length >= required(expected, step) || differs())
    }
    await this.business.until('the hooks of the step', () => this.#planned.every(({ used }) => used) || this.#unplanned.length > 0)
    if (step.do.close && Object.keys(step.got ?? {}).length < 2) await this.#isForgotten(this.clients[step.do.close])
    const probes = await this.#probe()
    for (const [name, client] of Object.entries(this.clients)) {
      const got = client.log.slice(starts[name] ?? 0).filter(entry => !probes.has(entry))
      this.#compare(name, step, step.got?.[name] ?? [], got)
    }
    assert.deepEqual(this.#unplanned, [], 'no hook is called that was not recorded')
    for (const { call, body } of this.#planned) {
      assert.equal(difference(this.#known(call), comparable(body)), undefined, `the call of ${call.hook} is as recorded`)
    }
    assert.deepEqual(this.business.problems, [])
  }

  /** @returns the API's answer, where one was asked */
  async #does(what) {
    const name = what.connect ?? what.emit ?? what.fire ?? what.close
    if (what.connect) return this.#connects(name, what.query)
    if (what.api) return this.#asks(what.api, this.#known(what.body))
    const client = this.clients[name]
    if (what.close) return client.close()
    const args = sendable(this.#known(what.args))
    if (what.fire) return client.fire(...args)
    if (args[0] === 'roomCreate') this.#rooms.add(args[1])
    client.emit(args[0], args.slice(1))
  }

  async #connects(name, query) {
    const { user } = query
    const node = this.server.nodeForClient()
    const token = query.token === '{token}' ? { token: await node.token(user) } : {}
    // A user's name is his query's, or a hook's answer says it.
    for (const who of [user, ...this.#planned.map(({ answer }) => answer?.userName)]) if (who) this.#people.add(who)
    const client = new ChatClient(this.wire, node, name, { query: { ...query, ...token } })
    this.#all.push(client)
    this.clients[name] = client
  }

  #asks(method, body) {
    if (method === 'addRoom') this.#rooms.add(body.roomName)
    if (method === 'addUser') this.#people.add(body.userName)
    if (method === 'execUserCommand' && body.command === 'roomCreate') this.#rooms.add(body.args?.[0])
    return api(this.server.nodeForCall(), method, sendable(body))
  }

  #answer(body) {
    const fits = ({ call, used }) => !used && call.hook === body.hook && difference(this.#known(call), comparable(body)) === undefined
    const planned = this.#planned.find(fits) ?? this.#planned.find(({ call, used }) => !used && call.hook === body.hook)
    if (planned) {
      Object.assign(planned, { used: true, body })
      return planned.answer
    }
    if (body.hook === 'onConnect') return { userName: body.handshake.query.user }
    if (OWN_ACCOUNT.includes(body.hook)) return {}
    this.#unplanned.push(body)
    return raw(500)
  }

  /** Each who is signed in asks something. @returns the entries that are no part of the recording */
  async #probe() {
    const probes = new Set()
    const [command, ...args] = this.probe
    await Promise.all(Object.values(this.clients).filter(({ connected, confirmed }) => connected && confirmed).map(async client => {
      const note = { ack: command }
      probes.add(note)
      client.emit(command, args, note)
      await client.until(`the acknowledgement of ${command}`, () => note.args)
    }))
    return probes
  }

  #compare(name, step, expected, got) {
    const [wanted, seen] = [this.#known(expected), got].map(list => inOneOrder(list, name, step))
    assert.equal(difference(wanted, seen), undefined, `${name} got\n${lines(got)}\nand not as recorded\n${lines(expected)}\n`)
  }

  #compareAnswer(expected, { status, body, text }) {
    const got = status === 200 ? body : body && Object.fromEntries(Object.keys(expected).map(key => [key, body[key]]))
    assert.equal(difference(this.#known(expected), got), undefined, `the API answered ${status} ${text}`)
  }

  /** A socket whose end nobody is told of: no instance has it any more. */
  async #isForgotten({ id }) {
    if (!id) return
    for (const node of this.server.nodes) {
      await eventually(`${id} is gone`, () => api(node, 'getInstanceSockets'), ({ body }) => body?.result && !Object.hasOwn(body.result, id))
    }
  }

  #known(value) {
    const ids = Object.entries(this.clients).flatMap(([name, { id }]) => id ? [[name, id]] : [])
    return resolved(value, Object.fromEntries(ids))
  }
}

/** Of a question what is recorded of it: no instance, and of the handshake only the query. */
function comparable({ instance, ...body }) {
  if (!body.handshake) return body
  const query = Object.entries(body.handshake.query).filter(([key]) => !ENGINES_OWN.includes(key))
  return { ...body, handshake: { query: Object.fromEntries(query) } }
}

/** Whether several users lose a room together. */
function together({ got = {} }) {
  const losers = Object.keys(got).filter(name => got[name].some(entry => entry.event === 'roomAccessRemoved')).map(name => name.replace(/\d+$/, ''))
  return new Set(losers).size > 1
}

const isLoser = (name, { got = {} }) => (got[name] ?? []).some(entry => entry.event === 'roomAccessRemoved')
const isLeaving = entry => entry.event === 'roomUserLeft'

/** Users who lose access together go in any order, and may or may not see each other go. */
function inOneOrder(list, name, step) {
  if (!together(step)) return list
  const rest = list.filter(entry => !isLeaving(entry))
  if (isLoser(name, step)) return rest
  const left = list.filter(isLeaving).sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)
  return [...rest, ...left]
}

const required = (expected, step) => together(step) ? expected.filter(entry => !isLeaving(entry)).length : expected.length
const lines = list => list.map(entry => `    ${JSON.stringify(entry)}`).join('\n')
