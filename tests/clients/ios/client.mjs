// The Swift client by itself: its engine, its manager and its socket for "/", as ../shared/spec/ios.md describes them. It looks like a
// socket of socket.io-client to `Client` of ../client.mjs, so that the people of the other tests can have iPhones.
import { EventEmitter } from 'node:events'
import { Ear, Violation, demand } from './packets.mjs'
import { Polling } from './polling.mjs'
import { App, json } from './swift.mjs'
import { WebSocket } from './websocket.mjs'

/** Behind the first try, which is immediate; the app may set it. */
const RECONNECT_WAIT_MS = 50

/** One engine.io connection. Emits `open`, `packet` and, once, `close` with a reason. */
class Engine extends EventEmitter {
  #polls = true
  #posting
  #polled = false
  #closed = false
  /** The WebSocket is open, and not the transport yet. */
  #probing = false
  /** `3probe` has come. */
  #fastUpgrade = false
  #postWait = []
  #probeWait = []
  #pongsMissed = 0
  /** It has said goodbye. */
  #left = false

  constructor(app, transports) {
    super()
    Object.assign(this, { app, client: app.client, transports })
    this.ear = new Ear(app.client)
    this.polling = new Polling(app)
    this.transport = { name: transports[0] }
  }

  /** Never throws: whatever goes wrong is an end with a reason. */
  async begin() {
    try {
      if (this.transports[0] === 'websocket') return await this.#beginWebSocket()
      const packets = await this.polling.get().catch(() => this.polling.get()) // a refused handshake is retried at once, once
      this.#hearAll(packets)
      await this.#poll()
    } catch (error) { this.#fail(error) }
  }

  async #beginWebSocket() {
    this.#polls = false
    this.ws = await WebSocket.open(this.app)
    if (this.#closed) return this.ws.destroy()
    await this.#listen()
  }

  /** One GET at a time, again and again. */
  async #poll() {
    if (this.#polled) return
    this.#polled = true
    while (this.#polls && !this.#closed && !this.#fastUpgrade) {
      const packets = await this.polling.get(this.sid)
      if (!this.#polls || this.#closed) break
      this.#hearAll(packets)
    }
    this.#polled = false
    if (!this.#fastUpgrade) return
    // From a phone a POST of before the upgrade is there a round trip before the `5`. On the loopback nothing else keeps the two in order.
    await this.#posting
    if (this.#polls && !this.#closed) this.#switch()
  }

  #hearAll(packets) { for (const packet of packets) if (!this.#closed) this.#hear(packet) }

  #hear(text) {
    const packet = this.ear.heard(text)
    this.heard = Date.now()
    switch (packet.type) {
      case 'open': return this.#opened(packet)
      case 'ping': return this.write('3')
      case 'pong': this.#pongsMissed = 0; return
      case 'probed': return this.#probed()
      case 'close': this.#goodbye(); return this.#end('transport close')
      case 'noop': return
      default: this.emit('packet', packet)
    }
  }

  #opened({ sid, pingInterval, pingTimeout, upgrades }) {
    this.sid = sid
    if (this.transports.length === 2) {
      demand(upgrades.includes('websocket'), 'an upgrade to a websocket is offered')
      this.#upgrade()
    }
    this.#beat(pingInterval, pingTimeout)
    this.emit('open')
  }

  #beat(interval, timeout) {
    if (this.client.protocol === 4) {
      this.timer = setInterval(() => { if (this.heard < Date.now() - interval - timeout) this.#end('ping timeout') }, interval + timeout)
      return
    }
    const ping = () => {
      if (this.#pongsMissed > Math.floor(timeout / interval)) return this.#end('ping timeout')
      this.#pongsMissed++
      this.write('2')
    }
    ping()
    this.timer = setInterval(ping, interval)
  }

  /** Beside poll and POSTs. If it fails the client stays on polling. */
  async #upgrade() {
    try {
      this.ws = await WebSocket.open(this.app, this.sid)
    } catch (error) { return error instanceof Violation ? this.#fail(error) : undefined }
    if (this.#closed) return this.ws.destroy()
    this.#probing = true
    this.ws.send('2probe')
    try {
      await this.#listen()
    } catch (error) { this.#fail(error) }
  }

  async #listen() {
    for (;;) {
      const message = await this.ws.next()
      if (this.#closed) return
      if (typeof message === 'object' && 'code' in message) return this.#end('transport close', message.code)
      this.#hear(message)
    }
  }

  /** A `6` is to be POSTed now, and stays behind where a POST is under way. The outstanding poll has to end before the change. */
  #probed() {
    this.#fastUpgrade = true
    if (this.#posting) this.#postWait.push('6')
  }

  #switch() {
    this.ws.send('5')
    this.polling.close()
    this.#polls = this.#probing = this.#fastUpgrade = false
    this.transport = { name: 'websocket' }
    for (const text of [...this.#postWait.splice(0), ...this.#probeWait.splice(0)]) this.#frame(text)
    this.emit('upgrade')
  }

  /** A packet, with its attachments. */
  write(...packets) {
    if (this.#closed) return
    if (this.#probing) return void this.#probeWait.push(...packets)
    if (!this.#polls) return packets.forEach(packet => this.#frame(packet))
    this.#postWait.push(...packets.map(packet => typeof packet === 'string' ? packet : this.client.base64 + packet.toString('base64')))
    this.#post()
  }

  /** One POST at a time. */
  async #post() {
    if (this.#posting || this.#postWait.length === 0 || this.#closed) return
    const packets = this.#postWait.splice(0)
    packets.forEach(packet => this.ear.said(packet))
    this.#posting = this.polling.post(this.sid, packets).catch(error => { if (this.#polls) this.#fail(error) })
    await this.#posting
    this.#posting = undefined
    if (!this.#fastUpgrade && this.#polls) this.#post()
  }

  #frame(packet) {
    if (typeof packet !== 'string') return this.ws.sendBinary(Buffer.concat([this.client.binary, packet]))
    this.ear.said(packet)
    this.ws.send(packet)
  }

  #goodbye() {
    this.#left = true
    if (!this.#polls) {
      this.ws?.send('1')
      this.ws?.close()
    } else if (this.sid) this.polling.ask('POST', this.sid, this.client.encode(['1'])).catch(() => {}).finally(() => this.polling.close())
  }

  /** manager.disconnect() */
  disconnect() {
    if (this.#closed) return
    this.#goodbye()
    this.#end('io client disconnect')
  }

  #fail(error) {
    this.emit('trouble', error)
    this.#end(this.#polls ? 'transport error' : 'transport close')
  }

  /** `code`: of the server's Close frame. */
  #end(reason, code) {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.timer)
    if (reason === 'ping timeout') this.ws?.close()
    this.ws?.finish()
    if (!this.#left || !this.#polls) this.polling.close()
    this.emit('close', reason, code)
  }
}

/** Manager and socket. `stays`: the app goes on where it was told to stay away, as one does that does not know of `kickout`. */
export class SwiftSocket extends EventEmitter {
  /** Engines begun, and those that got as far as an open packet. */
  tries = 0
  opens = 0
  /** How each of them ended: the code of the server's Close frame, or undefined. */
  closeCodes = []
  #connected = false
  #wanted = true
  #acks = new Map()
  #nextAck = 0
  #failed = 0

  constructor(client, transports, url, { payload, stays = false, ...configured } = {}) {
    super()
    Object.assign(this, { client, transports, payload, stays, app: new App(client, url, configured) })
    this.io = new EventEmitter()
    this.#begin()
  }

  #begin() {
    this.tries++
    const engine = this.io.engine = new Engine(this.app, this.transports)
    engine.on('open', () => {
      this.opens++
      this.#failed = 0
      this.io.reconnecting = false
      if (!this.client.connects) this.#enter()
      else if (this.joined !== false) this.connect()
      this.emit('open')
    })
    engine.on('packet', packet => this.#packet(packet))
    engine.on('trouble', error => {
      if (this.violation) return // all else comes of it
      if (error instanceof Violation) this.violation = error
      this.emit('connect_error', error)
    })
    engine.on('close', (reason, code) => {
      this.closeCodes.push(code)
      this.#lost(reason)
    })
    engine.begin()
  }

  /** Again on an engine that is open, too. */
  connect() {
    this.joined = true
    this.io.engine.write(`40/,${this.payload === undefined ? '' : json(this.payload)}`)
  }

  #enter() {
    if (this.#connected) return
    this.#connected = true
    this.emit('connect')
  }

  #packet(packet) {
    if (packet.namespace !== '/') return
    switch (packet.type) {
      case 'connect': return this.#enter()
      case 'event': return this.onevent(packet)
      case 'ack': return this.#acked(packet)
      case 'error': return this.emit('connect_error', new Error(JSON.stringify(packet.data)))
      case 'disconnect': return this.#toldToGo()
    }
  }

  onevent() {}

  #acked({ id, data }) {
    const done = this.#acks.get(id)
    this.#acks.delete(id)
    done(...data)
  }

  /** The engine stays open, and "/" is not joined again. */
  #toldToGo() {
    this.#left('io server disconnect')
    this.joined = false
    if (!this.stays) this.disconnect()
  }

  #left(reason) {
    if (!this.#connected) return
    this.#connected = false
    this.emit('disconnect', reason)
  }

  #lost(reason) {
    this.#left(reason)
    if (!this.#wanted || this.violation) return
    this.io.reconnecting = true
    this.timer = setTimeout(() => this.#begin(), this.#failed++ ? RECONNECT_WAIT_MS : 0)
  }

  emit(event, ...rest) {
    return ['connect', 'disconnect', 'connect_error', 'open'].includes(event) ? super.emit(event, ...rest) : this.#send(event, rest)
  }

  /** Nothing is kept for later where there is no connection. */
  #send(event, payload) {
    if (!this.#connected) return
    const id = typeof payload.at(-1) === 'function' ? this.#nextAck++ : ''
    if (id !== '') this.#acks.set(id, payload.pop())
    const attachments = []
    const data = json(replaced([event, ...payload], attachments))
    const kind = attachments.length ? `5${attachments.length}-` : '2'
    this.io.engine.write(`4${kind}${id}${data}`, ...attachments)
  }

  disconnect() {
    this.#wanted = false
    clearTimeout(this.timer)
    this.io.reconnecting = false
    this.io.engine.disconnect()
  }
}

/** A value with placeholders for what is binary in it. */
function replaced(value, attachments) {
  if (Buffer.isBuffer(value)) return { _placeholder: true, num: attachments.push(value) - 1 }
  if (Array.isArray(value)) return value.map(each => replaced(each, attachments))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, replaced(each, attachments)]))
}
