// Clients that live in another process: one process for each library and version, started when the first of its clients is, ended with this one.
// Orders and news are lines of JSON. Orders: `{client, do: 'open', url, transports, events, …}`, `{client, do: 'emit', event, payload, ack?}`,
// `{client, do: 'close'}`. News: `{client, …}` with any of `connected`, `disconnected` (the reason), `event` (name and payload), `ack` (its number)
// with `answer`, `transport`, `attempt` (it tries to connect), `trouble`.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** All that a server sends: these libraries have to be told what to listen to. */
const EVENTS = ['authenticate', 'join', 'msg', 'sync', 'kickout', 'system', 'remote_join', 'remote_leave', 'remote_disconnect', 'remote_sync']

/** One process with many clients in it. `command` and its `args` start it. */
export class Driver {
  #sockets = new Map()
  #process

  constructor(command, ...args) {
    Object.assign(this, { command, args })
  }

  /** A client that connects to `url`. @returns the part of a socket.io-client socket that tests use */
  connect(url, transports, more = {}) {
    this.#process ?? this.#start()
    const socket = new Socket(order => this.#process.stdin.write(`${JSON.stringify({ client: socket.number, ...order })}\n`), this.#sockets.size)
    this.#sockets.set(socket.number, socket)
    if (this.failed) socket.hear({ trouble: this.failed })
    else socket.order({ do: 'open', url, transports, events: EVENTS, ...more })
    return socket
  }

  #start() {
    const driver = spawn(this.command, this.args, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#process = driver
    let stderr = ''
    driver.stderr.setEncoding('utf8').on('data', text => { stderr = (stderr + text).slice(-5_000) })
    createInterface({ input: driver.stdout }).on('line', line => {
      const { client, ...news } = JSON.parse(line)
      this.#sockets.get(client).hear(news)
    })
    const fails = what => {
      this.failed = `${this.command} ${this.args.join(' ')}: ${what}\n${stderr}`
      for (const socket of this.#sockets.values()) socket.hear({ trouble: this.failed })
    }
    driver.on('error', fails)
    driver.on('exit', (code, signal) => fails(`it ended (${signal ?? `exit code ${code}`})`))
    driver.stdin.on('error', () => {}) // then it has ended
    // It keeps nobody waiting; and it ends by itself when its standard input does.
    for (const part of [driver, driver.stdin, driver.stdout, driver.stderr]) part.unref()
  }
}

class Socket {
  #listeners = {}
  #acks = []
  #closed = false
  connected = false

  constructor(order, number) {
    Object.assign(this, { order, number })
    const on = (event, listener) => { (this.#listeners[event] ??= []).push(listener) }
    this.on = on
    /** `attempts`: how often it has tried to connect. */
    this.io = { on, reconnecting: false, attempts: 0, engine: { on, transport: { name: undefined } } }
  }

  emit(event, ...payload) {
    const ack = typeof payload.at(-1) === 'function' ? this.#acks.push(payload.pop()) - 1 : undefined
    this.order({ do: 'emit', event, payload, ack })
  }

  disconnect() {
    if (!this.#closed) this.order({ do: 'close' })
    this.#closed = true
  }

  onevent({ data: [event, ...payload] }) { this.#tell(event, ...payload) }

  hear({ connected, disconnected, event, ack, answer, transport, attempt, trouble }) {
    const { io } = this
    if (transport) {
      const upgraded = io.engine.transport.name === 'polling' && transport === 'websocket'
      io.engine.transport.name = transport
      if (upgraded) this.#tell('upgrade')
    }
    if (attempt) io.reconnecting = ++io.attempts > 1
    if (trouble) this.#tell('connect_error', trouble)
    if (connected) {
      Object.assign(this, { connected: true })
      io.reconnecting = false
      this.#tell('connect')
    }
    if (event) this.onevent({ data: event })
    if (ack !== undefined) this.#acks[ack](...answer)
    if (disconnected) {
      this.connected = false
      this.#tell('disconnect', disconnected)
    }
  }

  #tell(event, ...payload) { for (const listener of this.#listeners[event] ?? []) listener(...payload) }
}
