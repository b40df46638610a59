// One real socket.io client, with a log of every event in the order it came. Tests read that log from front to back: what a
// client did not expect is in the way of what it expects next, so "nothing else happened" needs no waiting.
import assert from 'node:assert/strict'
import { inspect, isDeepStrictEqual } from 'node:util'

const BOUND_MS = 30_000 // generous: a busy machine is no fault

export class Client {
  /** `[event, ...payload]` of each event, `['disconnect', reason]`, and `['reconnect']` for each connect after the first. */
  log = []
  connects = 0
  /** How long it waits for an event, in ms. */
  patience = BOUND_MS
  #cursor = 0
  #waiting = new Set()

  constructor(wire, url, name, { uid, token } = {}) {
    Object.assign(this, { wire, url, name, uid, token })
    this.socket = wire.connect(url)
    const { socket } = this
    // The one place all generations pass each event through; onAny came with 3.x.
    const receive = socket.onevent
    socket.onevent = packet => {
      this.#add(structuredClone(packet.data))
      return receive.call(socket, packet)
    }
    socket.on('connect', () => (++this.connects > 1 ? this.#add(['reconnect']) : this.#wake()))
    socket.on('disconnect', reason => this.#add(['disconnect', reason]))
    for (const source of [socket, socket.io]) {
      source.on('connect_error', error => { this.trouble = String(error?.description ?? error) })
    }
    // Why a transport was lost: "xhr poll error 400" and the like.
    socket.io.on('error', error => { this.trouble = [error?.message ?? error, error?.description].filter(Boolean).map(String).join(' ') })
  }

  get transport() { return this.socket.io.engine?.transport?.name }
  get last() { return this.log.at(-1) }

  /** Resolves once connected for the first time. The program it lives in may have to start. */
  connected() { return this.until('its first connect', () => this.connects > 0, 60_000) }

  /** Resolves once the connection has been upgraded to a websocket. */
  upgraded() {
    this.socket.io.engine.on('upgrade', () => this.#wake())
    return this.until('the upgrade to a websocket', () => this.transport === 'websocket')
  }

  tell(event, ...payload) { this.socket.emit(event, ...payload) }

  /** These bytes as its program has them. */
  bytes(...list) { return this.socket.bytes?.(list) ?? Buffer.from(list) }

  /** Emits with an acknowledgement callback. @returns what the server acknowledged with */
  async ask(event, ...payload) {
    let answer
    this.socket.emit(event, ...payload, (...values) => { answer = structuredClone(values); this.#wake() })
    await this.until(`the acknowledgement of ${event} ${brief(payload)}`, () => answer)
    assert.equal(answer.length, 1, `one value in the acknowledgement of ${event}: ${brief(answer)}`)
    return answer[0]
  }

  /** The next events, exactly these: each `[event, ...payload]`. */
  async sees(...expected) {
    const from = this.#cursor
    const seen = () => this.log.slice(from, from + expected.length)
    const differs = () => seen().some((entry, i) => !isDeepStrictEqual(entry, expected[i]))
    await this.until(`${expected.length} events:\n    ${expected.map(brief).join('\n    ')}`,
      () => seen().length === expected.length || differs())
    if (differs()) assert.fail(`${this.name} saw another event than expected:\n${diff(seen(), expected)}`)
    this.#cursor += expected.length
  }

  /** The next event, which must be an `event`. @returns its payload */
  async next(event) {
    await this.until(`the event ${event}`, () => this.log.length > this.#cursor)
    const [name, payload] = this.log[this.#cursor]
    assert.equal(name, event, `${this.name} expected ${event} and saw ${brief(this.log[this.#cursor])}`)
    this.#cursor++
    return payload
  }

  /** The next `count` events of that name, whatever comes in between. @returns their payloads */
  async gathers(event, count) {
    const from = this.#cursor
    const found = () => this.log.slice(from).filter(([name]) => name === event).slice(0, count)
    await this.until(`${count} events ${event}`, () => found().length === count)
    const entries = found()
    this.#cursor = entries.length ? this.log.indexOf(entries.at(-1), from) + 1 : from
    return entries.map(([, payload]) => payload)
  }

  /** Goes on to the next event that `fits`, past all before it. @returns its payload */
  async upTo(event, fits = () => true) {
    const at = () => this.log.findIndex(([name, payload], i) => i >= this.#cursor && name === event && fits(payload))
    await this.until(`an event ${event} that ${fits}`, () => at() >= 0)
    this.#cursor = at() + 1
    return this.log[this.#cursor - 1][1]
  }

  /** The end the server chose for good: these last events, a socket.io DISCONNECT, and the client does not even try to come back. */
  async isRefused(...lastEvents) {
    await this.sees(...lastEvents, ['disconnect', 'io server disconnect'])
    this.refused = true
    this.staysAway()
  }

  staysAway() {
    const { io } = this.socket
    assert.deepEqual(this.last, ['disconnect', 'io server disconnect'], `${this.name} stays away`)
    assert.equal(Boolean(io.reconnecting ?? io._reconnecting), false, `${this.name} does not try to reconnect`)
  }

  /** A lost transport, never a DISCONNECT: the client will come back by itself. */
  async isDropped(reason = /^(transport (close|error)|ping timeout)$/) {
    assert.match(await this.next('disconnect'), reason, `${this.name} loses its transport`)
  }

  close() { this.socket.disconnect() }

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
    const { log, transport, trouble } = this
    const lines = log.map((entry, i) => `  ${i < this.#cursor ? ' ' : '→'} ${brief(entry)}`)
    if (lines.length > 40) lines.splice(10, lines.length - 40, `    … ${lines.length - 40} more …`)
    return [`${this.name} (uid ${brief(this.uid)}, at ${this.url}, ${transport ?? 'no transport'}${trouble ? `, trouble: ${trouble}` : ''}) saw ${log.length} events:`, ...lines].join('\n')
  }

  #add(entry) { this.log.push(entry); this.#wake() }
  #wake() { for (const check of [...this.#waiting]) check() }
}

/** One line of at most `length` characters. */
export function brief(value, length = 400) {
  const text = inspect(value, { depth: 8, compact: true, breakLength: Infinity, maxArrayLength: 8, maxStringLength: 120 })
  return text.length > length ? `${text.slice(0, length)}…` : text
}

/** The first difference, with what led to it. */
function diff(seen, expected) {
  const at = seen.findIndex((entry, i) => !isDeepStrictEqual(entry, expected[i]))
  const from = Math.max(0, at - 3)
  return [
    ...seen.slice(from, at).map(entry => `    as expected  ${brief(entry)}`),
    `    expected     ${brief(expected[at], 3000)}`,
    `    SAW          ${brief(seen[at], 3000)}`,
  ].join('\n')
}

/** An error with the clients' logs in its message, at the place of the original one. */
export function failure(error, report) {
  const told = new Error(`${error.message}\n\n${report}\n`)
  const frames = String(error.stack).split('\n').filter(line => /^\s+at /.test(line))
  told.stack = [told.message, ...frames].join('\n')
  return told
}
