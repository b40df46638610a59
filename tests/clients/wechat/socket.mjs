// One WebSocket of react-wechat, with a log of every frame in the order it came. Tests read the log from front to back: what was not expected is in the way
// of what is expected next, so "nothing else came" needs no waiting.
import assert from 'node:assert/strict'
import WebSocket from 'ws'
import { brief } from '../client.mjs'
import { parsed } from './stage.mjs'

const BOUND_MS = 60_000 // generous: a busy machine is no fault
const CONTACTS = 'wechat/save'
const CONVERSATIONS = 'wechat/saveConversation'

export class Socket {
  /** Texts as they came, without the contacts that come again when they have changed. */
  log = []
  cursor = 0
  /** What came first, up to the contacts: parsed. */
  opening = []
  /** The contacts' cards, as they were told last. */
  contacts = undefined
  /** The payload of each ping. */
  pings = []
  /** The handshake was accepted. */
  accepted = false
  /** The close code, once it has ended; 1006: without one. */
  code = undefined
  /** The status of a handshake that was refused. */
  status = undefined
  #waiting = new Set()

  /**
   * `pongs`: whether pings are answered by themselves. `dies`: what it sees when it is destroyed, within the same event, so that nothing it would have sent is
   * sent: `contacts`, `message` or `ping`. `says`: what it sends before it has read anything. `paused`: it reads nothing until `resume`.
   */
  constructor(address, name, { pongs = true, dies, says = [], paused = false } = {}) {
    Object.assign(this, { name, address, dies })
    this.socket = new WebSocket(address, { autoPong: pongs && !dies, perMessageDeflate: false })
    this.socket.on('open', () => {
      this.accepted = true
      if (paused) this.pause()
      for (const text of says) this.socket.send(text)
      this.#wake()
    })
    this.socket.on('message', (data, isBinary) => this.#read(data, isBinary))
    this.socket.on('ping', data => {
      this.pings.push(data)
      this.#at('ping')
      this.#wake()
    })
    this.socket.on('unexpected-response', (_, response) => {
      this.status = response.statusCode
      this.code = 1006
      response.destroy()
      this.#wake()
    })
    this.socket.on('error', error => { this.trouble = error.message })
    this.socket.on('close', code => { this.code ??= code; this.#wake() })
  }

  get isOpen() { return this.code === undefined }
  /** What waited when it came, by sender. */
  get conversations() { return this.opening.find(({ type }) => type === CONVERSATIONS)?.payload.conversations ?? {} }

  /** Resolves when the contacts were told: from then on what comes is live. */
  async opens() {
    await this.until('its contacts', () => this.contacts || !this.isOpen)
    assert.ok(this.contacts, `${this.name} was closed with ${this.code} (${this.status ?? this.trouble ?? 'no trouble'})`)
    const types = this.opening.map(({ type }) => type)
    assert.deepEqual(types, types.length > 1 ? [CONVERSATIONS, CONTACTS] : [CONTACTS], `the first frames of ${this.name}`)
    return this
  }

  /** Sends texts and bytes as frames of their kind; anything else as JSON. */
  send(...frames) {
    for (const frame of frames) this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
  }

  /** One text in several frames. */
  sendInPieces(text, size) {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; at += size) this.socket.send(bytes.subarray(at, at + size), { binary: false, fin: at + size >= bytes.length })
  }

  pong(data) { this.socket.pong(data) }

  /** Reads nothing more, as on a line on which nothing gets through to it; what it sends does. */
  pause() { this.socket.pause() }
  resume() { this.socket.resume() }

  /** The next frames, byte by byte these; what is no text is compared as JSON. */
  async sees(...expected) {
    for (const frame of expected) {
      await this.until(`to see ${brief(frame)}`, () => this.log.length > this.cursor || !this.isOpen)
      const came = this.log[this.cursor]
      assert.notEqual(came, undefined, `${this.name} was closed with ${this.code} before it saw ${brief(frame)}`)
      if (typeof frame === 'string') assert.ok(came === frame, `${this.name} saw ${brief(came)} instead of ${brief(frame)}`)
      else assert.deepEqual(parsed(came), frame, `what ${this.name} saw`)
      this.cursor++
    }
  }

  /** The next `count` frames, parsed. */
  async next(count) {
    await this.until(`to see ${count} frames`, () => this.log.length >= this.cursor + count || !this.isOpen)
    assert.ok(this.log.length >= this.cursor + count, `${this.name} was closed with ${this.code} before it saw ${count} frames`)
    const frames = this.log.slice(this.cursor, this.cursor + count).map(parsed)
    this.cursor += count
    return frames
  }

  /** It is closed, with this code, and saw nothing that was not expected. */
  async isClosed(code) {
    await this.until(`to be closed with ${code}`, () => !this.isOpen)
    assert.equal(this.code, code, `the close code of ${this.name} (${this.trouble ?? 'no trouble'})`)
    assert.deepEqual(this.log.slice(this.cursor), [], `${this.name} saw nothing else`)
  }

  /** Resolves with its code once it is closed, by whoever. */
  async ends() {
    await this.until('its end', () => !this.isOpen)
    return this.code
  }

  /** Says goodbye, and has the server's. */
  async leaves(code = 1000) {
    this.socket.close(code)
    await this.ends()
  }

  /** The connection is gone, without a goodbye. */
  cut() { this.socket.terminate() }

  async until(what, ready) {
    if (ready()) return
    await new Promise((resolve, reject) => {
      const check = () => { if (ready()) { done(); resolve() } }
      const done = () => { clearTimeout(timer); this.#waiting.delete(check) }
      const timer = setTimeout(() => { done(); reject(new Error(`${this.name} waited ${BOUND_MS} ms for ${what}`)) }, BOUND_MS)
      this.#waiting.add(check)
    })
  }

  /** All it saw, for a failure's report; `→` marks what the test had not got to. */
  report() {
    const lines = [...this.opening.map(frame => `    ${brief(frame)}`), ...this.log.map((text, i) => `  ${i < this.cursor ? ' ' : '→'} ${brief(text)}`)]
    if (lines.length > 40) lines.splice(10, lines.length - 40, `    … ${lines.length - 40} more …`)
    const state = this.isOpen ? 'open' : `closed with ${this.code}`
    return [`${this.name} (${state}, ${this.pings.length} pings${this.trouble ? `, trouble: ${this.trouble}` : ''}) saw:`, ...lines].join('\n')
  }

  #read(data, isBinary) {
    assert.ok(!isBinary, `${this.name} got a binary frame`)
    const text = data.toString(), frame = parsed(text)
    const isOpening = this.contacts === undefined
    if (isOpening) this.opening.push(frame)
    else if (frame?.type !== CONTACTS) this.log.push(text)
    if (frame?.type === CONTACTS) this.contacts = frame.payload.contacts
    if (frame?.type === CONTACTS) this.#at('contacts')
    else if (!isOpening) this.#at('message')
    this.#wake()
  }

  #at(what) { if (this.dies === what) this.cut() }
  #wake() { for (const check of [...this.#waiting]) check() }
}
