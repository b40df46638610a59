// A client for always-online: socket.io 4 over WebSocket, no dependencies, for browsers and Node 22 or later. It is also the example for integrators.
//
//   const board = new AlwaysOnline('ws://127.0.0.1:3000', { uid: 'anna', token: async () => fetchToken(), room: 'plans' })
//   board.on('message', ({ message, live }) => draw(message))     // inserts: each one once, history first
//   board.on('state', ({ state, reason, retryAt }) => show(state))
//   await board.send({ storage: 0, text: 'hello' })               // resolves when the server has stored it
//
// What a client has to do, and why:
// - After every (re)connect: authenticate, join, then `sync` from the number of inserts it already has. The answer's `offset` also counts updates, so a
//   client that resumes there skips inserts; `resume: true` makes the server answer `log`, the next insert index, and that is what we keep.
// - Messages that arrive while pages are read wait in a queue. A page and a live message can be the same one: it is recognised by sender and message id.
// - A message is pending until it is acknowledged. After a reconnect what is pending goes out again under the same id, unless a page shows that it was
//   stored. A message may thus be stored twice; every receiver hands it out once. Messages without an id are handed out at least once.
// - Two ways to end. DISCONNECT, a refused authenticate, `kickout`: the server does not want us, stay away. The transport closes or falls silent: come back.

const CONNECT_PATIENCE = 20_000 // ms until the open packet must be here; then the server's pingInterval + pingTimeout counts
const STEADY = 5_000 // ms online after which the next outage starts with the shortest delay again
const SHORTEST_DELAY = 500
const LONGEST_DELAY = 30_000
const MAX_PENDING = 10_000 // unacknowledged messages; send() fails above
const MAX_QUEUE = 5_000 // live messages kept while pages are read; above, they are read from the log instead
const MAX_UNSENT = 256 * 1024 // bytes in the socket; above, messages of type ignore are left out
const RETRYABLE = new Set(['store unavailable', 'outcome unknown'])

export const INSERT = 0 // appended to the room's log
export const UPDATE = 1 // replaces the room's entry with the same id
export const IGNORE = 2 // only for those who are here now

/** The storage type of a message: the short key wins, unknown means insert. */
export const kindOf = m => [UPDATE, IGNORE].find(k => k === Number(m.s ?? m.storage)) ?? INSERT

/**
 * States: `connecting`, `online` (joined and caught up), `waiting` (until `retryAt`, ms since 1970), `kicked`, `refused` (see `reason`), `closed`.
 *
 * Events, by `on(name, detail => …)` or `addEventListener`:
 * - `state` {state, reason, retryAt}
 * - `message` {message, kind, live}: kind is INSERT, UPDATE or IGNORE; live is false for history
 * - `people`: `client.people` (a Set of the other uids, as text) changed
 * - `pending`: `client.pending` (the number of unacknowledged messages) changed
 * - `system` {content}: pushed by an administrator
 * - `reset`: the room's log was cleared on the server, history starts anew
 */
export class AlwaysOnline extends EventTarget {
  state = 'connecting'
  reason = ''
  retryAt = 0
  people = new Set()
  #address
  #options
  #connection = null
  #attempts = 0
  #retry
  #have = 0 // inserts of the log that were handed out: where the next sync starts
  #seen = new Set()
  #pending = new Map() // key → {message, kind, resolve, reject}
  #awaiting = new Map() // ack id → key, of the current connection
  #ackId = 0
  #gzip = 'DecompressionStream' in globalThis
  #author = randomText(6)
  #closing = new AbortController()

  /**
   * Connects in the next microtask, so listeners added right away miss nothing.
   * @param {string} url ws://, wss://, http:// or https://, with host and port
   * @param {{uid: string|number, token: string|number|(() => Promise<string>), room: string|number, dummy?: boolean, path?: string}} options
   *   `token` as a function is asked before every connection; `dummy` sees everything, is seen by nobody and may not send
   */
  constructor(url, options) {
    super()
    this.#options = { dummy: false, path: '/socket.io/', WebSocket: globalThis.WebSocket, ...options }
    this.#address = url.replace(/^http/, 'ws').replace(/\/+$/, '') + this.#options.path + '?EIO=4&transport=websocket'
    const { signal } = this.#closing
    globalThis.addEventListener?.('online', () => this.#tryNow(), { signal })
    globalThis.document?.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#tryNow(), { signal })
    queueMicrotask(() => this.connect())
  }

  get pending() {
    return this.#pending.size
  }

  /** Calls `listener(detail, event)`; returns a function that removes it. */
  on(name, listener) {
    const wrapped = event => listener(event.detail, event)
    this.addEventListener(name, wrapped)
    return () => this.removeEventListener(name, wrapped)
  }

  /** Connects now: after `kicked` or `refused`, or instead of waiting for the next attempt. */
  connect() {
    if (this.#connection || this.state === 'closed') return
    clearTimeout(this.#retry)
    this.#open()
  }

  /**
   * Sends an object. Insert and update: resolves with the acknowledgement once stored, however many connections that takes; rejects with the server's
   * reason, or when the client is closed. Ignore: sent if possible now, resolves with whether it was.
   */
  send(message) {
    const kind = kindOf(message)
    if (kind === IGNORE) {
      const ready = this.#connection?.phase === 'live' && this.#connection.socket.bufferedAmount < MAX_UNSENT
      if (ready) this.#emit(this.#connection, 'msg', message)
      return Promise.resolve(ready)
    }
    if (this.state === 'closed') return Promise.reject(new Error('closed'))
    if (this.#pending.size >= MAX_PENDING) return Promise.reject(new Error('too many unacknowledged messages'))
    if (idOf(message) === undefined) message = { ...message, msgId: `${this.#author}-${randomText(10)}` }
    const key = keyOf(message, this.#options.uid)
    if (this.#pending.has(key)) return Promise.reject(new Error('a message with this id is pending'))
    return new Promise((resolve, reject) => {
      this.#pending.set(key, { message, kind, resolve, reject })
      if (kind === INSERT) this.#seen.add(key)
      if (this.#connection?.phase === 'live') this.#transmit(key)
      this.#tell('pending')
    })
  }

  /** Leaves for good; pending messages fail. */
  close() {
    if (this.state === 'closed') return
    if (this.#connection?.phase === 'live') this.#emit(this.#connection, 'leave')
    this.#end(this.#connection)
    clearTimeout(this.#retry)
    this.#closing.abort()
    for (const { reject } of this.#pending.values()) reject(new Error('closed'))
    this.#pending.clear()
    this.#set('closed')
  }

  // ---- connection ----

  async #open() {
    const connection = { phase: 'opening', socket: null, queue: [], overflow: false, patience: CONNECT_PATIENCE, heard: Date.now(), liveSince: 0 }
    this.#connection = connection
    this.#set('connecting')
    const { token, WebSocket } = this.#options
    try {
      connection.token = typeof token === 'function' ? await token() : token
      if (connection !== this.#connection) return
      connection.socket = new WebSocket(this.#address)
    } catch (error) {
      return this.#drop(connection, error.message)
    }
    connection.socket.onmessage = ({ data }) => connection === this.#connection && this.#packet(connection, data)
    connection.socket.onclose = () => this.#drop(connection, 'the connection was lost')
    this.#watch(connection)
  }

  /** A server that is silent for longer than a ping may take is gone, even if the transport does not say so. */
  #watch(connection) {
    clearTimeout(connection.timer)
    connection.timer = setTimeout(() => this.#drop(connection, 'the server is silent'), connection.patience)
  }

  #tryNow() {
    this.#attempts = 0
    const connection = this.#connection
    if (connection && Date.now() - connection.heard > connection.patience) this.#drop(connection, 'the server was silent')
    if (this.state === 'waiting') this.connect()
  }

  #end(connection) {
    if (!connection) return
    clearTimeout(connection.timer)
    if (connection.socket) {
      connection.socket.onmessage = connection.socket.onclose = null
      connection.socket.close()
    }
    this.#connection = null
    this.#awaiting.clear()
  }

  /** Dropped: come back after an exponential delay with jitter, so that many clients of a restarted server do not come at once. */
  #drop(connection, reason) {
    if (connection !== this.#connection) return
    if (connection.liveSince && Date.now() - connection.liveSince > STEADY) this.#attempts = 0
    this.#end(connection)
    const delay = Math.min(LONGEST_DELAY, SHORTEST_DELAY * 2 ** this.#attempts++) * (0.5 + Math.random() / 2)
    this.#retry = setTimeout(() => this.connect(), delay)
    this.#set('waiting', reason, Date.now() + delay)
  }

  /** Refused: stay away until somebody calls connect(). */
  #refuse(connection, state, reason) {
    this.#end(connection)
    this.people.clear()
    this.#tell('people')
    this.#set(state, reason)
  }

  #packet(connection, data) {
    connection.heard = Date.now()
    this.#watch(connection)
    try {
      if (data[0] === '2') connection.socket.send('3' + data.slice(1))
      else if (data[0] === '1') this.#drop(connection, 'the server closed the connection')
      else if (data[0] === '4') this.#packetInside(connection, data[1], data.slice(2))
      else if (data[0] === '0') {
        const { pingInterval, pingTimeout } = JSON.parse(data.slice(1))
        connection.patience = pingInterval + pingTimeout
        this.#watch(connection)
        connection.socket.send('40')
      }
    } catch (error) {
      this.#drop(connection, `unreadable packet: ${error.message}`)
    }
  }

  #packetInside(connection, type, text) {
    if (type === '0') this.#emit(connection, 'authenticate', { uid: this.#options.uid, token: connection.token })
    else if (type === '1') this.#refuse(connection, 'refused', 'the server ended the session')
    else if (type === '4') this.#refuse(connection, 'refused', JSON.parse(text).message ?? 'refused')
    else if (type === '2' || type === '3') {
      const digits = /^\d*/.exec(text)[0]
      const values = JSON.parse(text.slice(digits.length))
      if (type === '3') this.#acknowledged(connection, Number(digits), values[0])
      else this.#event(connection, values[0], values[1])
    }
  }

  #emit(connection, name, value, ack = '') {
    connection.socket.send(`42${ack}${JSON.stringify(value === undefined ? [name] : [name, value])}`)
  }

  #event(connection, name, value) {
    switch (name) {
      case 'authenticate':
        if (value.status !== 0) return this.#refuse(connection, 'refused', value.data)
        return this.#emit(connection, 'join', { roomId: this.#options.room, ...(this.#options.dummy && { dummy: true }) })
      case 'join':
        if (value.status !== 0) return value.data === 'server error' ? this.#drop(connection, value.data) : this.#refuse(connection, 'refused', value.data)
        connection.phase = 'catching up'
        this.people.clear() // the server tells who is here after the answer
        this.#tell('people')
        return this.#askPage(connection)
      case 'sync':
        return this.#page(connection, value)
      case 'msg':
        if (connection.phase === 'live') return this.#handOut(value, true)
        if (kindOf(value) === IGNORE) return
        if (connection.queue.length < MAX_QUEUE) return connection.queue.push(value)
        connection.overflow = true
        return
      case 'remote_join':
        this.people.add(String(value.uid))
        return this.#tell('people')
      case 'remote_disconnect':
        this.people.delete(String(value.uid))
        return this.#tell('people')
      case 'kickout':
        return this.#refuse(connection, 'kicked', 'signed in elsewhere')
      case 'system':
        return this.#tell('system', { content: value })
    }
  }

  // ---- catching up ----

  #askPage(connection) {
    this.#emit(connection, 'sync', { offset: this.#have, resume: true, ...(this.#gzip && { encoding: 'gzip' }) })
  }

  async #page(connection, { data, offset, next, log, encoding }) {
    let messages = data
    try {
      if (encoding === 'gzip') messages = JSON.parse(await gunzip(data))
    } catch {
      this.#gzip = false // ask for this page again, plain
    }
    if (connection !== this.#connection || connection.phase !== 'catching up') return
    if (encoding === 'gzip' && !this.#gzip) return this.#askPage(connection)
    if (log < this.#have) {
      this.#have = 0
      this.#seen = new Set(this.#pending.keys())
      this.#tell('reset')
      return this.#askPage(connection)
    }
    const before = this.#have
    for (const message of messages) this.#handOut(message, false)
    // Without `log` (the original server): a page with more to come holds inserts only, the last one also updates.
    const inserts = messages.filter(m => kindOf(m) === INSERT).length
    this.#have = log ?? (next ? offset : before + inserts)
    if (next && this.#have <= before) return this.#drop(connection, 'sync makes no progress')
    if (next) return this.#askPage(connection)
    if (connection.overflow) {
      Object.assign(connection, { queue: [], overflow: false })
      return this.#askPage(connection)
    }
    connection.phase = 'live'
    connection.liveSince = Date.now()
    for (const message of connection.queue.splice(0)) this.#handOut(message, true)
    this.#set('online')
    for (const key of this.#pending.keys()) this.#transmit(key)
  }

  /** Counts a live insert only if it is certainly a new entry of the log: counting too few means reading some again, too many would skip some. */
  #handOut(message, live) {
    if (typeof message !== 'object' || message === null) return
    const kind = kindOf(message)
    if (kind === INSERT && idOf(message) !== undefined) {
      const key = keyOf(message, message[2] ?? message.uid)
      if (!live) this.#settle(key, { status: 0, data: 'found in the log' })
      if (this.#seen.has(key)) return
      this.#seen.add(key)
      if (live) this.#have++
    }
    this.#tell('message', { message, kind, live })
  }

  // ---- sending ----

  #transmit(key) {
    const ack = ++this.#ackId
    this.#awaiting.set(ack, key)
    this.#emit(this.#connection, 'msg', this.#pending.get(key).message, ack)
  }

  #acknowledged(connection, ack, answer) {
    const key = this.#awaiting.get(ack)
    this.#awaiting.delete(ack)
    const entry = this.#pending.get(key)
    if (!entry) return
    if (answer?.status && RETRYABLE.has(answer.data)) {
      const again = () => connection === this.#connection && this.#pending.get(key) === entry && this.#transmit(key)
      return void setTimeout(again, 1000 + Math.random() * 1000)
    }
    if (!answer?.status && entry.kind === INSERT) this.#have++
    this.#settle(key, answer)
  }

  #settle(key, answer) {
    const entry = this.#pending.get(key)
    if (!entry) return
    this.#pending.delete(key)
    if (answer?.status) entry.reject(new Error(answer.data))
    else entry.resolve(answer)
    this.#tell('pending')
  }

  #set(state, reason = '', retryAt = 0) {
    Object.assign(this, { state, reason, retryAt })
    this.#tell('state', { state, reason, retryAt })
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }))
  }
}

const idOf = m => m[1] ?? m.msgId

const keyOf = (message, uid) => JSON.stringify([String(uid), kindOf(message), String(idOf(message))])

/** Lower-case letters and digits. `crypto.randomUUID` is missing on plain http pages, this is not. */
export function randomText(length) {
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), byte => (byte % 36).toString(36)).join('')
}

/** Base64 of gzip → text. */
async function gunzip(base64) {
  const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0))
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).text()
}
