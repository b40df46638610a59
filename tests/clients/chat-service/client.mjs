// One real socket.io client in the namespace of chat-service. Its log has events and acknowledgements in the order they came, because what a command causes
// has to come before its acknowledgement. Tests read the log from front to back: what was not expected is in the way.
import assert from 'node:assert/strict'
import { brief } from '../client.mjs'
import { difference, received } from './match.mjs'

export const NAMESPACE = '/chat-service'
const BOUND_MS = 30_000 // generous: a busy machine is no fault
/** A command that changes nothing and is answered always. */
const PROBE = ['directGetWhitelistMode']

/** The entries of a log. */
export const event = (name, ...args) => ({ event: name, args })
export const ack = (command, ...args) => ({ ack: command, args })
export const gone = (reason = 'io server disconnect') => ({ disconnect: reason })

export class ChatClient {
  /** `{event, args}`, `{ack, args}`, `{disconnect: reason}`, `{refused: text}`. */
  log = []
  cursor = 0
  /** The socket's id on the wire, once its CONNECT was accepted. */
  id = undefined
  patience = BOUND_MS
  #waiting = new Set()

  /** `query` and `auth` are the client's options of these names; `more` are others. */
  constructor(wire, node, name, { query = {}, auth, namespace = NAMESPACE, more = {} } = {}) {
    Object.assign(this, { wire, node, name, user: query.user })
    const options = { query: { ...query }, reconnection: false, ...more }
    if (auth) options.auth = auth
    this.socket = wire.connect(node.url + namespace, options)
    const { socket } = this
    // The one place all generations pass each event through; onAny came with 3.x.
    const receive = socket.onevent
    socket.onevent = packet => {
      const [name, ...args] = packet.data
      this.#add({ event: name, args: received(args) })
      return receive.call(socket, packet)
    }
    socket.on('connect', () => {
      this.id = wire.generation < 3 ? `${namespace}#${socket.io.engine.id}` : socket.id
      this.#wake()
    })
    socket.on('disconnect', reason => this.#add({ disconnect: reason }))
    // A refused CONNECT, by the name that it has until 2.x and since 3.x. Trouble of the transport has the same names.
    socket.on('error', why => { if (typeof why === 'string') this.#add({ refused: why }) })
    socket.on('connect_error', why => {
      if (wire.generation < 3 || why?.type === 'TransportError') this.trouble = String(why?.description ?? why)
      else this.#add({ refused: why.message })
    })
  }

  get connected() { return this.socket.connected }
  get confirmed() { return this.log.some(entry => entry.event === 'loginConfirmed') }

  fire(...args) { this.socket.emit(...args) }

  /** Emits with an acknowledgement. @returns its arguments */
  async ask(command, ...args) {
    const note = { ack: command }
    this.emit(command, args, note)
    await this.until(`the acknowledgement of ${command} ${brief(args)}`, () => note.args)
    return note.args
  }

  /** Emits with an acknowledgement, which will be in the log, as `note` where there is one. */
  emit(command, args, note = { ack: command }) {
    this.socket.emit(command, ...args, (...values) => {
      note.args = received(values)
      this.#add(note)
    })
  }

  /** An event that the client's library would not send: its own names among them. No acknowledgement. */
  raw(...data) { this.socket.packet({ type: 2, data, options: {} }) }

  /** The command is answered exactly so, and what it makes this client see comes before its acknowledgement: `before`, and nothing else. */
  async calls(command, args, answer, ...before) {
    this.emit(command, args)
    await this.sees(...before, ack(command, ...answer))
  }

  /** The next entries of the log, exactly these. */
  async sees(...expected) {
    const from = this.cursor
    const differs = () => expected.map((entry, i) => this.log[from + i] && difference(entry, this.log[from + i])).find(Boolean)
    await this.until(`to see\n    ${expected.map(entry => brief(entry)).join('\n    ')}`, () => this.log.length >= from + expected.length || differs())
    if (differs()) assert.fail(`${this.name} saw something else than expected: ${differs()}`)
    this.cursor += expected.length
  }

  /** The next `expected.length` entries are these, in any order. */
  async seesInAnyOrder(...expected) {
    const from = this.cursor
    await this.until(`to see ${expected.length} entries`, () => this.log.length >= from + expected.length)
    const left = this.log.slice(from, from + expected.length)
    for (const entry of expected) {
      const at = left.findIndex(other => difference(entry, other) === undefined)
      assert.notEqual(at, -1, `${this.name} did not see ${brief(entry)} but ${brief(left)}`)
      left.splice(at, 1)
    }
    this.cursor += expected.length
  }

  /** Nothing came but what was expected: a command's answer is the very next. */
  async quiet(probe = PROBE) {
    const note = { ack: probe[0] }
    this.emit(probe[0], probe.slice(1), note)
    await this.until(`the acknowledgement of ${probe[0]}`, () => note.args)
    const next = this.log[this.cursor]
    assert.equal(next, note, `${this.name} saw what was not expected: ${brief(next)}`)
    this.cursor++
  }

  close() { this.socket.disconnect() }

  /** The transport breaks, without a goodbye. */
  cut() { this.socket.io.engine.close() }

  async until(what, ready, patience = this.patience) {
    if (ready()) return
    await new Promise((resolve, reject) => {
      const check = () => { if (ready()) { done(); resolve() } }
      const done = () => { clearTimeout(timer); this.#waiting.delete(check) }
      const timer = setTimeout(() => { done(); reject(new Error(`${this.name} waited ${patience} ms for ${what}`)) }, patience)
      this.#waiting.add(check)
    })
  }

  /** All it saw, for a failure's report; `→` marks what the test had not got to. */
  report() {
    const lines = this.log.map((entry, i) => `  ${i < this.cursor ? ' ' : '→'} ${brief(entry)}`)
    if (lines.length > 40) lines.splice(10, lines.length - 40, `    … ${lines.length - 40} more …`)
    const trouble = this.trouble ? `, trouble: ${this.trouble}` : ''
    return [`${this.name} (${brief(this.user)}, ${this.id ?? 'no id'}, at ${this.node.url}${trouble}) saw:`, ...lines].join('\n')
  }

  #add(entry) { this.log.push(entry); this.#wake() }
  #wake() { for (const check of [...this.#waiting]) check() }
}
