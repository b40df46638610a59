// A WebSocket as Starscream speaks it: every frame of the server's is looked at.
import { createHash, randomBytes, randomInt } from 'node:crypto'
import net from 'node:net'
import { demand, utf8 } from './packets.mjs'

const [PART, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10]
const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
const HEAD_END = '\r\n\r\n'

/** An upgrade that was not answered with 101. `closes`: the server says that it ends the connection; `ended`: when it has. */
export class Refused extends Error {
  constructor(head) {
    super(`the upgrade was answered with ${head.split('\r\n')[0]}`)
    this.code = Number(head.split(' ')[1])
    this.closes = /^connection: *close$/im.test(head)
  }
}

export class WebSocket {
  /** Text as strings, binary as Buffers, `{code}` for a Close frame, `{code: undefined}` for an end without one. */
  #messages = []
  #waiting = []
  #bytes = Buffer.alloc(0)
  #parts
  #fault
  #over = false

  /** Upgrades; `sid` is the session of which it becomes the WebSocket. */
  static async open(app, sid) {
    const socket = net.connect(app.port || 80, app.hostname)
    const key = Buffer.from(Array.from({ length: 16 }, () => LETTERS[randomInt(26)]).join('')).toString('base64')
    const lines = app.upgradeHeaders(key).map(([name, value]) => `${name}: ${value}\r\n`).join('')
    socket.setNoDelay(true).write(`GET ${app.target('websocket', sid)} HTTP/1.1\r\n${lines}\r\n`)
    const answer = await new Promise((resolve, reject) => {
      socket.once('data', resolve)
      socket.once('error', reject)
      socket.once('end', () => reject(new Error('the connection ended before the upgrade was answered')))
    })
    try {
      return new WebSocket(socket, greeted(answer, key))
    } catch (error) {
      // Version 16 keeps the connection, and goes on only once the server has ended it.
      if (!(error instanceof Refused)) socket.destroy()
      error.ended = new Promise(resolve => socket.once('close', resolve))
      throw error
    }
  }

  constructor(socket, first) {
    this.socket = socket
    socket.on('data', bytes => this.#read(bytes))
    socket.on('error', () => {}) // the end follows
    socket.on('close', () => this.#end({ code: undefined }))
    this.#read(first)
  }

  send(text) { this.#write(TEXT, Buffer.from(text)) }
  sendBinary(bytes) { this.#write(BINARY, bytes) }

  /** A Close frame; the server closes the connection. */
  close(code = 1000) { this.#write(CLOSE, Buffer.from([code >> 8, code & 0xff])) }

  /** Nothing more is sent. */
  finish() { this.socket.end() }

  destroy() { this.socket.destroy() }

  /** The next message. Behind the end that end, over and over. */
  async next() {
    while (this.#messages.length === 0 && !this.#over && !this.#fault) await new Promise(resolve => this.#waiting.push(resolve))
    if (this.#messages.length) return this.#messages.shift()
    if (this.#fault) throw this.#fault
    return this.#over
  }

  /** One masked frame per message. */
  #write(opcode, payload) {
    if (this.socket.destroyed) return
    const { length } = payload
    const extended = Buffer.alloc(length < 126 ? 0 : length < 65_536 ? 2 : 8)
    if (extended.length === 2) extended.writeUInt16BE(length)
    if (extended.length === 8) extended.writeBigUInt64BE(BigInt(length))
    const mask = randomBytes(4)
    const header = Buffer.from([0x80 | opcode, 0x80 | (length < 126 ? length : extended.length === 2 ? 126 : 127)])
    this.socket.write(Buffer.concat([header, extended, mask, payload.map((byte, i) => byte ^ mask[i & 3])]))
  }

  #read(bytes) {
    if (this.#fault || this.#over) return
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    try {
      while (this.#frame());
    } catch (error) {
      this.#fault = error
      this.destroy()
    }
    this.#wake()
  }

  /** Takes one frame off. @returns whether there was one */
  #frame() {
    const bytes = this.#bytes
    if (bytes.length < 2 || this.#over) return false
    const [first, second] = bytes
    demand((first & 0x70) === 0, 'a frame without reserved bits: no extension was agreed on')
    demand((second & 0x80) === 0, 'a frame of the server without a mask')
    const short = second & 0x7f
    const begin = short === 126 ? 4 : short === 127 ? 10 : 2
    if (bytes.length < begin) return false
    const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
    if (bytes.length < begin + length) return false
    this.#bytes = bytes.subarray(begin + length)
    this.#take(first & 0x0f, (first & 0x80) !== 0, bytes.subarray(begin, begin + length))
    return true
  }

  #take(opcode, last, payload) {
    demand(opcode < CLOSE || last && payload.length < 126, 'control frames are short and whole')
    if (opcode === PING) return this.#write(PONG, payload)
    if (opcode === PONG) return
    if (opcode === CLOSE) return this.#closed(payload)
    demand([PART, TEXT, BINARY].includes(opcode), `opcode ${opcode} is known`)
    demand((opcode === PART) === (this.#parts !== undefined), 'parts of a message follow one another')
    this.#parts ??= { opcode, payloads: [] }
    this.#parts.payloads.push(payload)
    if (!last) return
    const whole = Buffer.concat(this.#parts.payloads)
    demand(whole.length > 0, 'no empty message')
    this.#messages.push(this.#parts.opcode === TEXT ? utf8(whole) : whole)
    this.#parts = undefined
  }

  /** Echoed with its code. */
  #closed(payload) {
    demand(payload.length !== 1, 'a Close frame with half a code')
    const code = payload.length ? payload.readUInt16BE(0) : 1000
    // Old versions take 1013 for 1002, and answer so; it makes no other difference.
    demand([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1013].includes(code) || code >= 3000 && code < 5000, `the code ${code} of a Close frame`)
    utf8(payload.subarray(2))
    this.close(code)
    this.#end({ code })
    this.finish()
  }

  #end(how) {
    if (this.#over) return
    this.#over = how
    this.#wake()
  }

  #wake() { for (const resolve of this.#waiting.splice(0)) resolve() }
}

/** What follows the head of a 101 that the client can take. */
function greeted(answer, key) {
  const end = answer.indexOf(HEAD_END)
  demand(end >= 0, `the head of the answer in one piece: ${JSON.stringify(answer.toString('latin1'))}`)
  const head = answer.subarray(0, end).toString('latin1')
  if (!/^HTTP\/1\.1 101 /.test(head)) throw new Refused(head)
  const headers = Object.fromEntries(head.split('\r\n').slice(1).map(line => {
    const [, name, value] = /^([^:]+):\s*(.*)$/.exec(line) ?? []
    return [name?.toLowerCase(), value]
  }))
  demand(/^websocket$/i.test(headers.upgrade) && /^upgrade$/i.test(headers.connection), `the headers of a 101: ${head}`)
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  demand(headers['sec-websocket-accept'] === accept, 'the right Sec-WebSocket-Accept')
  for (const none of ['sec-websocket-extensions', 'sec-websocket-protocol', 'set-cookie']) demand(headers[none] === undefined, `no ${none} in a 101`)
  return answer.subarray(end + HEAD_END.length)
}
