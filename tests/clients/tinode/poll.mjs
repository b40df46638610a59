// Long polling, with the face of a WebSocket of `ws`: what is sent is posted, one after the other, and one poll after the other brings what comes.
import { EventEmitter } from 'node:events'
import { KEY, request } from './stage.mjs'

const PATH = '/v0/channels/lp'

/** A session that was begun: its sid. `nodes`: where each next request goes. */
export async function begin(node, { key = KEY } = {}) {
  const { status, headers, body } = await request(node, PATH, { key, query: { apikey: key } })
  return { status, headers, ctrl: body?.ctrl, sid: body?.ctrl?.params?.sid }
}

/** Posts a request of a session. */
export const post = (node, sid, frame, { key = KEY } = {}) => {
  const body = typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame)
  return request(node, PATH, { method: 'POST', key: '', query: { apikey: key, sid }, body })
}

/** One poll: the next message, or nothing. */
export const poll = (node, sid, { key = KEY, signal } = {}) => request(node, PATH, { key: '', query: { apikey: key, sid }, signal })

export class PollSocket extends EventEmitter {
  sid = undefined
  #sent = Promise.resolve()
  #end = new AbortController()
  #asked = 0
  #isOver = false

  /** `nodes`: several: each request goes to the next one, as behind a proxy that does not know of sessions. */
  constructor(nodes, { key = KEY } = {}) {
    super()
    Object.assign(this, { nodes, key })
    this.#run().catch(error => this.#ends(error))
  }

  send(text) {
    this.#sent = this.#sent.then(async () => {
      const { status, text: said } = await post(this.#node(), this.sid, text, { key: this.key })
      if (status !== 200 || said !== '') throw new Error(`a post was answered ${status} ${said}`)
    }).catch(error => this.#ends(error))
  }

  close() { this.terminate() }

  terminate() {
    if (this.#isOver) return
    this.#isOver = true
    this.#end.abort()
    queueMicrotask(() => this.emit('close', 1006))
  }

  #node() { return this.nodes[this.#asked++ % this.nodes.length] }

  #ends(error) {
    if (this.#isOver) return
    this.emit('error', error)
    this.terminate()
  }

  async #run() {
    const begun = await begin(this.#node(), { key: this.key })
    if (begun.status !== 201) throw new Error(`no session: ${begun.status}`)
    this.sid = begun.sid
    this.emit('open')
    while (!this.#isOver) {
      const { status, bytes, text } = await poll(this.#node(), this.sid, { key: this.key, signal: this.#end.signal })
      if (status !== 200) throw new Error(`a poll was answered ${status} ${text}`)
      if (bytes.length > 0) this.emit('message', bytes, false)
    }
  }
}
