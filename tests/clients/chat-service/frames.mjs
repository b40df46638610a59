// A WebSocket without socket.io: what is on the wire of chat-service, frame by frame.
import assert from 'node:assert/strict'
import WebSocket from 'ws'

const BOUND_MS = 30_000

export class Frames {
  /** Texts as they came, bytes as Buffers; without the engine's own but the first. */
  log = []
  cursor = 0
  closed = false
  pongs = 0
  #wake = () => {}

  /** Connects by version `eio` of engine.io's protocol with this query, and reads the engine's handshake. */
  static async open(node, eio, query = {}) {
    const address = new URL(`/socket.io/?${new URLSearchParams({ EIO: eio, transport: 'websocket', ...query })}`, node.url.replace(/^http/, 'ws'))
    const frames = new Frames()
    frames.eio = eio
    frames.socket = new WebSocket(address)
    frames.socket.on('message', (data, isBinary) => frames.#read(data, isBinary))
    frames.socket.on('close', () => { frames.closed = true; frames.#wake() })
    frames.socket.on('error', error => { frames.trouble = error; frames.#wake() })
    const opened = await frames.next()
    frames.sid = JSON.parse(opened.slice(1)).sid
    // Up to version 3 everybody is in the namespace / at once.
    if (eio === 3) assert.equal(await frames.next(), '40')
    return frames
  }

  send(...frames) { for (const frame of frames) this.socket.send(typeof frame === 'string' ? frame : this.#bytes(frame)) }

  /** The next frame. */
  async next() {
    await this.#until('a frame', () => this.log.length > this.cursor)
    return this.log[this.cursor++]
  }

  /** Asks the engine, and has its answer: version 3 only, where clients ask. */
  async pong() {
    const { pongs } = this
    this.send('2')
    await this.#until('a pong', () => this.pongs > pongs)
  }

  /** The next frames, exactly these. */
  async sees(...expected) {
    for (const frame of expected) assert.deepEqual(await this.next(), frame, this.#shown())
  }

  /** Signed in to the namespace by this CONNECT. @returns the socket's id */
  async enter(connect, user, namespace = '/chat-service') {
    this.send(connect)
    const answer = await this.next()
    const id = this.eio === 3 ? `${namespace}#${this.sid}` : JSON.parse(answer.slice(`40${namespace},`.length)).sid
    assert.equal(answer, this.eio === 3 ? `40${namespace},` : `40${namespace},${JSON.stringify({ sid: id })}`)
    await this.sees(`42${namespace},${JSON.stringify(['loginConfirmed', user, { id }])}`)
    return id
  }

  close() { this.socket.terminate() }

  async #until(what, ready) {
    const end = Date.now() + BOUND_MS
    while (!ready()) {
      if (this.closed || this.trouble) throw new Error(`the connection ended (${this.trouble ?? 'closed'}) after ${this.#shown()}`)
      if (Date.now() > end) throw new Error(`waited ${BOUND_MS} ms for ${what} after ${this.#shown()}`)
      await new Promise(resolve => { this.#wake = resolve; setTimeout(resolve, 1000).unref() })
    }
  }

  /** Version 3 has the engine's type before the bytes. */
  #bytes(bytes) { return this.eio === 3 ? Buffer.concat([Buffer.from([4]), bytes]) : bytes }

  #read(data, isBinary) {
    if (isBinary) this.log.push(this.eio === 3 ? data.subarray(1) : data)
    else {
      const text = data.toString()
      if (text === '2') return this.socket.send('3')
      if (text === '3') this.pongs++
      if (text === '3' || text === '6') return this.#wake()
      this.log.push(text)
    }
    this.#wake()
  }

  #shown() { return this.log.slice(-10).map(frame => typeof frame === 'string' ? frame : frame.toString('hex')).join('\n') }
}
