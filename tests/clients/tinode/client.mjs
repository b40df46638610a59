// One session of Tinode's protocol, by whatever carries it, with a log of all frames. Replies are found by their id; what comes by itself (data, pres, info, a
// ctrl without id) is read from front to back: what was not expected is in the way of what is expected next, so "nothing else came" needs no waiting.
import assert from 'node:assert/strict'
import WebSocket from 'ws'
import { brief } from '../client.mjs'
import { comparable, difference, Names } from './match.mjs'
import { PollSocket } from './poll.mjs'
import { KEY, parsed, socketAddress } from './stage.mjs'

const BOUND_MS = 120_000 // generous: a busy machine is no fault, and a debug build takes its time for argon2

/** What carries a session. */
export const WIRES = {
  websocket: (node, { key = KEY, ...options } = {}) => new WebSocket(socketAddress(node, key), { perMessageDeflate: false, ...options }),
  polling: (node, options) => new PollSocket([node], options),
}

/** The text of each code; of those with several it is one of them. */
const TEXTS = {
  200: ['ok'], 201: ['created'], 202: ['accepted'], 204: ['no content'], 205: ['evicted'], 208: ['delivered'], 300: ['validate credentials'],
  304: ['already subscribed', 'not joined', 'not modified', 'no action'], 400: ['malformed'],
  401: ['authentication required', 'authentication failed', 'unknown authentication scheme'], 403: ['permission denied'],
  404: ['topic not found', 'user not found', 'not found'], 405: ['operation or method not allowed'], 422: ['policy violation'],
}
const PARTS = ['desc', 'sub', 'tags', 'cred', 'aux', 'del']

/** What a client says first, and what it is told: the limits that nobody has set otherwise. */
export const HI = { ver: '0.25.3', ua: 'Tests/1.0', lang: 'en-US', platf: 'web' }
export const LIMITS = {
  ver: '0.25', maxMessageSize: 131072, maxSubscriberCount: 128, minTagLength: 2, maxTagLength: 96, maxTagCount: 16, maxFileUploadSize: 8388608,
  msgDelAge: 600, reqCred: null,
}

/** Modes that are the same on all sides, or not: what is wanted, given, and both. */
export const acs = (want, given = want, mode = [...want].filter(letter => given.includes(letter)).join('') || 'N') => ({ want, given, mode })

export const base64 = text => Buffer.from(text).toString('base64')

/** What comes by itself, in short. `{ts}` is any time. */
export const data = (topic, from, seq, content, more = {}) => ({ data: { topic, ...(from && { from }), ts: '{ts}', seq, content, ...more } })
export const pres = (topic, src, what, more = {}) => ({ pres: { topic, ...(src && { src }), what, ...more } })
/** The same of a topic that its user is not attached to. */
export const infoOnMe = (src, from, what, more = {}) => ({ info: { topic: 'me', src, from, what, ...more } })
export const info = (topic, from, what, more = {}) => ({ info: { topic, from, what, ...more } })
export const evicted = (topic, unsub) => ({ ctrl: { topic, code: 205, text: 'evicted', ts: '{ts}', params: { unsub } } })

export class Client {
  /** Frames as they came, parsed; a bare digit is a number. */
  log = []
  /** What of it came by itself, and how far that was read. */
  told = []
  cursor = 0
  /** The close code, once it has ended; 1006: without one. */
  code = undefined
  /** The status of a handshake that was refused. */
  status = undefined
  #ids = 0
  #waiting = new Set()

  constructor(node, name, { wire = WIRES.websocket, ...options } = {}) {
    Object.assign(this, { name, node })
    this.socket = wire(node, options)
    this.socket.on('open', () => { this.opened = true; this.#wake() })
    this.socket.on('message', (bytes, isBinary) => this.#read(bytes, isBinary))
    this.socket.on('unexpected-response', (_, response) => {
      this.status = response.statusCode
      response.destroy()
      this.#over(1006)
    })
    this.socket.on('error', error => { this.trouble = error.message; this.#wake() })
    this.socket.on('close', code => this.#over(code))
  }

  get isOpen() { return this.code === undefined }
  /** What is next of what came by itself, if anything has come. */
  get next() { return this.told[this.cursor] }

  async opens() {
    await this.until('to be open', () => this.opened || !this.isOpen)
    assert.ok(this.isOpen, `${this.name} was closed with ${this.code} (${this.status ?? this.trouble ?? 'no trouble'})`)
    return this
  }

  /** Texts and bytes as they are, anything else as JSON. */
  send(...frames) {
    for (const frame of frames) this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
  }

  /** Sends a request with an id of its own. @returns the first `ctrl` or `meta` with that id */
  async ask(verb, fields = {}) {
    const id = `ask ${++this.#ids}`
    this.send({ [verb]: { id, ...fields } })
    const [reply] = await this.#replies(id, 1)
    return reply
  }

  /** The same, and its code (and params) have to be these. @returns the `ctrl` */
  async does(verb, fields, code = 200, params) {
    const reply = await this.ask(verb, fields)
    assert.equal(reply.code, code, `${JSON.stringify({ [verb]: fields })} was answered ${JSON.stringify(reply)}`)
    if (TEXTS[code]) assert.ok(TEXTS[code].includes(reply.text), `${code} is called ${reply.text}`)
    if (params) assert.deepEqual(reply.params, params)
    return reply
  }

  /** Says what it is. */
  hi(more = {}) { return this.does('hi', { ...HI, ...more }, this.socket.sid ? 200 : 201) }

  /** Signs in. `secret`: a token; a text with a colon is a login and a password. */
  async logsIn(secret, code = 200, more = {}) {
    const [scheme, bytes] = secret.includes(':') ? ['basic', base64(secret)] : ['token', secret]
    const reply = await this.does('login', { scheme, secret: bytes, ...more }, code)
    if (code === 200) this.id = reply.params.user
    return reply
  }

  /** Attaches. @returns as `gets`, and `ctrl`; `ctrl.topic` is its name */
  subs(topic, { what = '', code = 200, set, ...options } = {}) {
    const words = what.split(' ').filter(Boolean)
    return this.#collects('sub', { topic, ...(set && { set }), ...(what && { get: { what, ...options } }) }, words, code)
  }

  /** Detaches. */
  leaves(topic, code = 200, more = {}) { return this.does('leave', { topic, ...more }, code) }

  /** @returns all that `what` asked for: `desc`, `sub`, … as they came, `data` oldest first, and `codes` of the parts of which nothing or no was said */
  gets(topic, what, options = {}) { return this.#collects('get', { topic, what, ...options }, what.split(' ')) }

  /** It is refused as a whole, or each part is. */
  async getsNothing(topic, what, code) {
    const { codes } = await this.gets(topic, what)
    assert.deepEqual(codes, what.split(' ').map(() => code), `${what} of ${topic}`)
  }

  note(topic, what, seq) { this.send({ note: { topic, what, ...(seq !== undefined && { seq }) } }) }

  /** Publishes. @returns its number */
  async publishes(topic, content, more = {}) { return (await this.does('pub', { topic, content, noecho: true, ...more }, 202)).params.seq }

  /** The next that comes by itself is these, in whatever order. */
  async sees(...expected) {
    const names = new Names()
    await this.until(`to see ${expected.map(brief).join(' and ')}`, () => this.told.length >= this.cursor + expected.length || !this.isOpen)
    const came = this.told.slice(this.cursor, this.cursor + expected.length)
    const left = [...came]
    for (const one of expected) {
      const at = left.findIndex(frame => difference(one, comparable(frame), names) === undefined)
      assert.ok(at >= 0, `${this.name} saw\n${came.map(frame => `    ${brief(frame)}`).join('\n')}\nand not ${brief(one)} (${this.isOpen ? 'open' : this.code})`)
      left.splice(at, 1)
    }
    this.cursor += expected.length
    return came
  }

  /** The next that comes by itself, whatever it is. */
  async hears() {
    await this.until('something', () => this.next !== undefined || !this.isOpen)
    assert.ok(this.next !== undefined, `${this.name} was closed with ${this.code} before it heard something`)
    return this.told[this.cursor++]
  }

  /** What came by itself until now, and whatever comes until one of this is there: skipped. */
  async skipsTo(expected) {
    const names = new Names()
    const at = () => this.told.findIndex((frame, i) => i >= this.cursor && difference(expected, comparable(frame), names) === undefined)
    await this.until(`to see ${brief(expected)} at last`, () => at() >= 0 || !this.isOpen)
    assert.ok(at() >= 0, `${this.name} was closed with ${this.code} before it saw ${brief(expected)}`)
    this.cursor = at() + 1
  }

  /** Nothing came by itself that was not expected, up to the answer to what it asks now. */
  async isQuiet() {
    await this.answers()
    assert.deepEqual(this.told.slice(this.cursor), [], `${this.name} saw nothing else`)
  }

  /** It is open, and is answered. */
  async answers() {
    const { code } = await this.ask('leave', { topic: 'usrAAAAAAAAAAE' })
    assert.ok([304, 401, 409].includes(code), `${this.name} is answered ${code}`)
  }

  /** It is closed, with this code. */
  async isClosed(code) {
    await this.ends()
    assert.equal(this.code, code, `the close code of ${this.name} (${this.trouble ?? 'no trouble'})`)
  }

  /** Resolves with its code once it is closed, by whoever. */
  async ends() {
    await this.until('its end', () => !this.isOpen)
    return this.code
  }

  /** Says goodbye. */
  async goes() {
    this.socket.close(1000)
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

  /** All it saw, for a failure's report; `→` marks what came by itself and was not got to. */
  report() {
    const unread = new Set(this.told.slice(this.cursor))
    const lines = this.log.map(frame => `  ${unread.has(frame) ? '→' : ' '} ${brief(frame)}`)
    if (lines.length > 60) lines.splice(10, lines.length - 60, `    … ${lines.length - 60} more …`)
    const state = this.isOpen ? 'open' : `closed with ${this.code}`
    return [`${this.name} (${state}${this.trouble ? `, trouble: ${this.trouble}` : ''}) saw:`, ...lines].join('\n')
  }

  /** A request with a reply for each of `words`, and before them one `ctrl` with `code` where that is not undefined. */
  async #collects(verb, fields, words, code) {
    const id = `ask ${++this.#ids}`, start = this.log.length
    this.send({ [verb]: { id, ...fields } })
    const found = { codes: [] }
    if (code !== undefined) {
      [found.ctrl] = await this.#replies(id, 1)
      assert.equal(found.ctrl.code, code, `${JSON.stringify({ [verb]: fields })} was answered ${JSON.stringify(found.ctrl)}`)
      if (code >= 300) return found
    }
    const before = code === undefined ? 0 : 1
    const replies = (await this.#replies(id, words.length + before)).slice(before)
    for (const reply of replies) {
      if (reply.code) found.codes.push(reply.code)
      for (const part of PARTS) if (reply[part]) found[part] = reply[part]
    }
    if (words.includes('data')) found.data = this.#delivered(start, replies.find(({ code }) => code === 208))
    return found
  }

  /** The messages that a `ctrl 208` is behind. They are replies: nobody has to expect them. */
  #delivered(start, last) {
    if (!last) return []
    const end = this.log.findIndex(({ ctrl }) => ctrl === last)
    const { count } = last.params
    assert.deepEqual(last.params, { what: 'data', count })
    const found = this.log.slice(start, end).filter(({ data }) => data).slice(-count)
    assert.equal(found.length, count, 'as many messages as it says')
    this.told = this.told.filter(frame => !found.includes(frame))
    const messages = found.map(({ data }) => data)
    assert.ok(messages.every(({ seq }, i) => i === 0 || seq < messages[i - 1].seq), `newest first: ${messages.map(({ seq }) => seq)}`)
    return messages.reverse()
  }

  async #replies(id, count) {
    const all = () => this.log.flatMap(({ ctrl, meta }) => ctrl?.id === id ? [ctrl] : meta?.id === id ? [meta] : [])
    await this.until(`the answer to ${id}`, () => all().length >= count || !this.isOpen)
    assert.ok(all().length >= count, `${this.name} was closed with ${this.code} before request ${id} was answered`)
    return all()
  }

  #read(bytes, isBinary) {
    const frame = parsed(bytes.toString())
    if (isBinary || frame === undefined) this.trouble = `a frame that is no JSON: ${brief(bytes.toString())}`
    this.log.push(frame)
    const { ctrl, meta } = Object(frame)
    if (!ctrl?.id && !meta?.id) this.told.push(frame)
    this.#wake()
  }

  #over(code) {
    this.code ??= code
    this.#wake()
  }

  #wake() { for (const check of [...this.#waiting]) check() }
}
