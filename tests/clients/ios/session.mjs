// One engine.io session, taken step by step: a test says when it polls, posts and upgrades. What comes is checked as it comes.
import assert from 'node:assert/strict'
import { Ear, demand } from './packets.mjs'
import { Polling } from './polling.mjs'
import { json } from './swift.mjs'
import { WebSocket } from './websocket.mjs'

const BOUND_MS = 30_000
const begun = new Set()

export class Session {
  /** Packets that were fetched and not looked at. */
  #waiting = []
  #acks = 0

  constructor(app) {
    this.app = app
    this.client = app.client
    this.polling = new Polling(app)
    this.ear = new Ear(app.client)
    begun.add(this)
  }

  get sid() { return this.open?.sid }

  /** The polling handshake. */
  static async begin(app) {
    const session = new Session(app)
    const [first, ...more] = (await bounded('the handshake', session.polling.get())).map(packet => session.#hear(packet))
    session.#opened(first)
    demand(first.upgrades.includes('websocket'), 'an upgrade to a websocket is offered')
    session.#waiting.push(...more)
    return session
  }

  /** .forceWebsockets: the open packet is the first text frame. */
  static async beginWebSocket(app) {
    const session = new Session(app)
    session.socket = await bounded('the upgrade', WebSocket.open(app))
    session.#opened(session.#hear(await session.#frame()))
    return session
  }

  #opened(packet) {
    demand(packet?.type === 'open', 'the open packet comes first')
    this.open = packet
  }

  #hear(packet) { return { ...this.ear.heard(packet), text: packet } }

  async #frame() {
    const message = await bounded('a frame', this.socket.next())
    if (typeof message === 'object' && 'code' in message) throw new Ended(message.code)
    return message
  }

  /** Sends packets: in one POST, or a frame each. An attachment is a Buffer. */
  async send(...packets) {
    for (const packet of packets) if (typeof packet === 'string') this.ear.said(packet)
    if (this.socket) for (const packet of packets) this.#sendFrame(packet)
    else await bounded('a POST', this.polling.post(this.sid, packets.map(packet => this.text(packet))))
  }

  /** An attachment as text. */
  text(packet) { return typeof packet === 'string' ? packet : this.client.base64 + packet.toString('base64') }

  #sendFrame(packet) {
    if (typeof packet === 'string') this.socket.send(packet)
    else this.socket.sendBinary(Buffer.concat([this.client.binary, packet]))
  }

  /** One poll. @returns what it was answered with, as text; packets that say something are kept for `packet` */
  async poll() {
    const packets = await bounded('an answer to a poll', this.polling.get(this.sid))
    this.#waiting.push(...packets.map(packet => this.#hear(packet)).filter(({ type }) => type !== 'noop'))
    return packets
  }

  /** The next packet. */
  async packet() {
    while (this.#waiting.length === 0) {
      if (this.socket) this.#waiting.push(this.#hear(await this.#frame()))
      else await this.poll()
    }
    return this.#waiting.shift()
  }

  /** The next packet that is neither a ping, which is answered, nor a pong. */
  async next() {
    for (;;) {
      const packet = await this.packet()
      if (packet.type === 'ping') await this.send('3')
      else if (packet.type !== 'pong') return packet
    }
  }

  /** The next packets are events, exactly these. An old client skips the server's CONNECT, which may come behind the first of them. */
  async sees(...expected) {
    for (const event of expected) {
      let packet = await this.next()
      if (packet.type === 'connect' && !this.client.connects) packet = await this.next()
      assert.deepEqual([packet.type, packet.data], ['event', event])
    }
  }

  /** CONNECT to "/", with the slash and the comma; the others need none. */
  async connect(payload) {
    if (!this.client.connects) return
    await this.send(`40/,${payload === undefined ? '' : json(payload)}`)
    assert.deepEqual((await this.next()).type, 'connect')
  }

  /**
   * CONNECT behind a DISCONNECT, until it is answered: socketioxide (0.18.9) takes who leaves out of the namespace a moment after its handler
   * ran, and until then ignores a CONNECT. That each answer has come is shown by that of a namespace which is not there.
   */
  async connectAgain() {
    for (let connected = false; !connected;) {
      await this.send('40/,')
      await this.send('40/none,')
      for (let type; type !== 'error';) {
        type = (await this.next()).type
        connected ||= type === 'connect'
      }
    }
  }

  tell(event, ...payload) { return this.send(`42${json([event, ...payload])}`) }

  /** With an acknowledgement. @returns its values */
  async ask(event, ...payload) {
    const id = this.#acks++
    await this.send(`42${id}${json([event, ...payload])}`)
    return this.acked(id)
  }

  /** The next packet is the acknowledgement with this id. @returns its values */
  async acked(id) {
    let packet = await this.next()
    if (packet.type === 'connect' && !this.client.connects) packet = await this.next()
    assert.deepEqual([packet.type, packet.id], ['ack', id], packet.text)
    return packet.data
  }

  /** The upgrade, as far as `3probe`. Every poll from the probe on is released. */
  async probe() {
    const held = this.poll()
    const socket = await bounded('the upgrade', WebSocket.open(this.app, this.sid))
    socket.send('2probe')
    // What was on its way comes first. Released, it polls again at once, and again.
    let last = await held
    for (let again = 0; again < 3; again++) last = await this.poll()
    assert.deepEqual(last, ['6'], 'a poll during the upgrade is released')
    assert.equal(await bounded('the answer to the probe', socket.next()), '3probe')
    assert.deepEqual(await this.poll(), ['6'], 'and also behind the answer to the probe')
    return socket
  }

  /** The whole upgrade. `leftovers`: packets that the client could not POST any more, which it sends as text, right behind the `5`. */
  async upgrade(...leftovers) {
    const socket = await this.probe()
    for (const packet of leftovers) this.ear.said(packet)
    for (const text of ['5', ...leftovers]) socket.send(text)
    this.socket = socket
  }

  /** The server ends the WebSocket, after packets that all `fit`. @returns the code of its Close frame, undefined where there is none */
  async ended(fit = () => true) {
    for (;;) {
      try {
        const packet = await this.next()
        assert.ok(fit(packet), `nothing more but the end, not ${packet.text}`)
      } catch (error) {
        if (error instanceof Ended) return error.code
        throw error
      }
    }
  }

  /** manager.disconnect(). */
  async disconnect() {
    await this.send('1')
    this.socket?.close()
  }

  /** The phone is gone: nothing is said. */
  abandon() {
    begun.delete(this)
    this.polling.close()
    this.socket?.destroy()
  }

  /** All that a test has left. */
  static abandonAll() { for (const session of begun) session.abandon() }
}

/** The WebSocket is at its end. */
export class Ended extends Error {
  constructor(code) {
    super(`the websocket has ended, ${code === undefined ? 'without a Close frame' : `code ${code}`}`)
    this.code = code
  }
}

export async function bounded(what, promise) {
  let timer
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what} did not come within ${BOUND_MS} ms`)), BOUND_MS) })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
