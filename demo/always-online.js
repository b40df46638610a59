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
//   `server error` to authenticate or join is of the second kind: the store did not answer, which says nothing about us.
//
// `Connection` below is the layer under it, a socket.io connection without any of that, for tools that send everything by hand.

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
 * - `settled` {message, answer}: a pending message was stored, or refused; in the log's order, which the promises of `send` do not keep
 * - `system` {content}: pushed by an administrator
 * - `reset`: the room's log was cleared on the server, history starts anew
 * - `frame` {text, sent}: what passes the wire, pings too
 */
export class AlwaysOnline extends EventTarget {
  state = 'connecting'
  reason = ''
  retryAt = 0
  people = new Set()
  #url
  #options
  #session = null // of the current connection
  #attempts = 0
  #retry
  #have = 0 // inserts of the log that were handed out: where the next sync starts
  #seen = new Set()
  #pending = new Map() // key → {message, kind, resolve, reject}
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
    this.#url = url
    this.#options = options
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
    if (this.#session || this.state === 'closed') return
    clearTimeout(this.#retry)
    this.#open()
  }

  /**
   * Sends an object. Insert and update: resolves with the acknowledgement once stored, however many connections that takes; rejects with the server's
   * reason, or when the client is closed. Ignore: sent if possible now, resolves with whether it was. What JSON cannot hold rejects.
   */
  async send(object) {
    let message = JSON.parse(JSON.stringify(object)) // fails now, not at every reconnect; and what happens to the object later changes nothing
    const kind = kindOf(message)
    if (kind === IGNORE) {
      const ready = this.#session?.phase === 'live' && this.#session.line.unsent < MAX_UNSENT
      return ready && this.#session.line.emit('msg', message)
    }
    if (this.state === 'closed') throw new Error('closed')
    if (this.#pending.size >= MAX_PENDING) throw new Error('too many unacknowledged messages')
    if (idOf(message) === undefined) message = { ...message, msgId: `${this.#author}-${randomText(10)}` }
    const key = keyOf(message, this.#options.uid)
    if (this.#pending.has(key)) throw new Error('a message with this id is pending')
    return new Promise((resolve, reject) => {
      this.#pending.set(key, { message, kind, resolve, reject })
      if (kind === INSERT) this.#seen.add(key)
      this.#tell('pending')
      if (this.#session?.phase === 'live') this.#transmit(key)
    })
  }

  /** For tools: sends any event at once, past all bookkeeping. Answers whether there was a connection. See `Connection.emit`. */
  emit(name, value, answered) {
    return Boolean(this.#session && this.#session.phase !== 'opening' && this.#session.line.emit(name, value, answered))
  }

  /** Leaves for good; pending messages fail. */
  close() {
    if (this.state === 'closed') return
    if (this.#session?.phase === 'live') this.#session.line.emit('leave')
    this.#end(this.#session)
    clearTimeout(this.#retry)
    this.#closing.abort()
    for (const { reject } of this.#pending.values()) reject(new Error('closed'))
    this.#pending.clear()
    this.#set('closed')
  }

  // ---- connection ----

  async #open() {
    const session = { phase: 'opening', line: null, queue: [], overflow: false, liveSince: 0 }
    this.#session = session
    this.#set('connecting')
    const { token, uid } = this.#options
    try {
      const secret = typeof token === 'function' ? await token() : token
      if (session !== this.#session) return
      session.line = new Connection(this.#url, this.#options)
      session.line.onopen = () => {
        session.phase = 'authenticating'
        session.line.emit('authenticate', { uid, token: secret })
      }
      session.line.onevent = (name, value) => this.#event(session, name, value)
      session.line.onclose = (reason, refused) => refused ? this.#refuse(session, 'refused', reason) : this.#drop(session, reason)
      session.line.onframe = (text, sent) => this.#tell('frame', { text, sent })
    } catch (error) {
      this.#drop(session, error.message)
    }
  }

  #tryNow() {
    this.#attempts = 0
    if (this.#session?.line?.silent) this.#drop(this.#session, 'the server was silent')
    if (this.state === 'waiting') this.connect()
  }

  #end(session) {
    session?.line?.close()
    this.#session = null
  }

  /** Dropped: come back after an exponential delay with jitter, so that many clients of a restarted server do not come at once. */
  #drop(session, reason) {
    if (session !== this.#session) return
    if (session.liveSince && Date.now() - session.liveSince > STEADY) this.#attempts = 0
    this.#end(session)
    const delay = Math.min(LONGEST_DELAY, SHORTEST_DELAY * 2 ** this.#attempts++) * (0.5 + Math.random() / 2)
    this.#retry = setTimeout(() => this.connect(), delay)
    this.#set('waiting', reason, Date.now() + delay)
  }

  /** Refused: stay away until somebody calls connect(). */
  #refuse(session, state, reason) {
    this.#end(session)
    this.people.clear()
    this.#tell('people')
    this.#set(state, reason)
  }

  #denied(session, reason) {
    if (reason === 'server error') this.#drop(session, reason)
    else this.#refuse(session, 'refused', reason)
  }

  /** Answers to what a tool sent by `emit` find another phase than theirs, and change nothing. */
  #event(session, name, value) {
    switch (name) {
      case 'authenticate':
        if (value.status !== 0) return this.#denied(session, value.data)
        if (session.phase !== 'authenticating') return
        session.phase = 'joining'
        return session.line.emit('join', { roomId: this.#options.room, ...(this.#options.dummy && { dummy: true }) })
      case 'join':
        if (session.phase !== 'joining') return
        if (value.status !== 0) return this.#denied(session, value.data)
        session.phase = 'catching up'
        this.people.clear() // the server tells who is here after the answer
        this.#tell('people')
        return this.#askPage(session)
      case 'sync':
        return this.#page(session, value)
      case 'msg':
        if (session.phase === 'live') return this.#handOut(value, true)
        if (kindOf(value) === IGNORE) return
        if (session.queue.length < MAX_QUEUE) return session.queue.push(value)
        session.overflow = true
        return
      case 'remote_join':
        this.people.add(String(value.uid))
        return this.#tell('people')
      case 'remote_disconnect':
        this.people.delete(String(value.uid))
        return this.#tell('people')
      case 'kickout':
        return this.#refuse(session, 'kicked', 'signed in elsewhere')
      case 'system':
        return this.#tell('system', { content: value })
    }
  }

  // ---- catching up ----

  #askPage(session) {
    session.line.emit('sync', { offset: this.#have, resume: true, ...(this.#gzip && { encoding: 'gzip' }) })
  }

  async #page(session, { data, offset, next, log, encoding }) {
    let messages = data
    try {
      if (encoding === 'gzip') messages = JSON.parse(await gunzip(data))
    } catch {
      this.#gzip = false // ask for this page again, plain
    }
    if (session !== this.#session || session.phase !== 'catching up') return
    if (encoding === 'gzip' && !this.#gzip) return this.#askPage(session)
    if (log < this.#have) {
      this.#have = 0
      this.#seen = new Set(this.#pending.keys())
      this.#tell('reset')
      return this.#askPage(session)
    }
    const before = this.#have
    for (const message of messages) this.#handOut(message, false)
    // Without `log` (the original server): a page with more to come holds inserts only, the last one also updates.
    const inserts = messages.filter(m => kindOf(m) === INSERT).length
    this.#have = log ?? (next ? offset : before + inserts)
    if (next && this.#have <= before) return this.#drop(session, 'sync makes no progress')
    if (next) return this.#askPage(session)
    if (session.overflow) {
      Object.assign(session, { queue: [], overflow: false })
      return this.#askPage(session)
    }
    session.phase = 'live'
    session.liveSince = Date.now()
    for (const message of session.queue.splice(0)) this.#handOut(message, true)
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
    const session = this.#session
    const sent = session.line.emit('msg', this.#pending.get(key).message, answer => this.#acknowledged(session, key, answer))
    if (!sent) this.#settle(key, { status: 1, data: 'message too large' })
  }

  #acknowledged(session, key, answer) {
    const entry = this.#pending.get(key)
    if (!entry) return
    if (answer?.status && RETRYABLE.has(answer.data)) {
      const again = () => session === this.#session && this.#pending.get(key) === entry && this.#transmit(key)
      return void setTimeout(again, 1000 + Math.random() * 1000)
    }
    if (!answer?.status && entry.kind === INSERT) this.#have++
    this.#settle(key, answer)
  }

  #settle(key, answer) {
    const entry = this.#pending.get(key)
    if (!entry) return
    this.#pending.delete(key)
    this.#tell('settled', { message: entry.message, answer })
    this.#tell('pending')
    if (answer?.status) entry.reject(new Error(answer.data))
    else entry.resolve(answer)
  }

  #set(state, reason = '', retryAt = 0) {
    Object.assign(this, { state, reason, retryAt })
    this.#tell('state', { state, reason, retryAt })
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }))
  }
}

/**
 * One socket.io connection over a WebSocket: frames, pings, acknowledgements; it does not come back by itself. Its handlers are set like a WebSocket's.
 */
export class Connection {
  onopen = () => {} // (): the namespace is open, `authenticate` is the next to be sent
  onevent = () => {} // (name, value)
  onclose = () => {} // (reason, refused): once, not after close(); refused: the server ended the session, so stay away
  onframe = () => {} // (text, sent): everything that passes, in order
  #socket
  #answered = new Map() // ack id → function
  #ackId = 0
  #heard = Date.now()
  #patience = CONNECT_PATIENCE
  #maxPayload = Infinity
  #timer

  /** @param {string} url ws://, wss://, http:// or https://, with host and port */
  constructor(url, { path = '/socket.io/', WebSocket = globalThis.WebSocket } = {}) {
    this.#socket = new WebSocket(url.replace(/^http/, 'ws').replace(/\/+$/, '') + path + '?EIO=4&transport=websocket')
    this.#socket.onmessage = ({ data }) => this.#frame(data)
    this.#socket.onclose = () => this.#end('the connection was lost')
    this.#watch()
  }

  /** Bytes that wait in the socket. */
  get unsent() {
    return this.#socket.bufferedAmount
  }

  /** Whether the server said nothing for longer than a ping may take. A page that slept finds out by this, before its timers do. */
  get silent() {
    return Date.now() - this.#heard > this.#patience
  }

  /** Sends an event, and calls `answered(answer)` when it is acknowledged. False, and not sent: it is larger than the server takes, which would close. */
  emit(name, value, answered) {
    const ack = answered ? ++this.#ackId : ''
    const text = `42${ack}${JSON.stringify(value === undefined ? [name] : [name, value])}`
    if (text.length * 3 > this.#maxPayload && sizeOf(text) > this.#maxPayload) return false
    if (answered) this.#answered.set(ack, answered)
    this.#send(text)
    return true
  }

  close() {
    clearTimeout(this.#timer)
    this.#socket.onmessage = this.#socket.onclose = null
    this.#socket.close()
  }

  #end(reason, refused = false) {
    this.close()
    this.onclose(reason, refused)
  }

  #send(text) {
    this.#socket.send(text)
    this.onframe(text, true)
  }

  /** A server that is silent for longer than a ping may take is gone, even if the transport does not say so. */
  #watch() {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#end('the server is silent'), this.#patience)
  }

  #frame(text) {
    this.#heard = Date.now()
    this.#watch()
    this.onframe(text, false)
    try {
      const { type, id, values } = parseFrame(text)
      if (type === 'open') {
        this.#patience = values.pingInterval + values.pingTimeout
        this.#maxPayload = values.maxPayload ?? Infinity
        this.#watch()
        this.#send('40')
      } else if (type === 'close') this.#end('the server closed the connection')
      else if (type === 'ping') this.#send('3' + text.slice(1))
      else if (type === 'connect') this.onopen()
      else if (type === 'disconnect') this.#end('the server ended the session', true)
      else if (type === 'refuse') this.#end(values?.message ?? 'refused', true)
      else if (type === 'event') this.onevent(...values)
      else if (type === 'ack') {
        this.#answered.get(id)?.(values[0])
        this.#answered.delete(id)
      }
    } catch (error) {
      this.#end(`unreadable packet: ${error.message}`)
    }
  }
}

const ENGINE = ['open', 'close', 'ping', 'pong', 'message', 'upgrade', 'noop']
const PACKETS = ['connect', 'disconnect', 'event', 'ack', 'refuse']

/** A frame in words: {type, id, values}. `values` is the JSON in it: of an event [name, value], of an acknowledgement [answer]; its id is that of the event. */
export function parseFrame(text) {
  const engine = ENGINE[text[0]]
  if (engine !== 'message') return { type: engine, values: engine === 'open' ? JSON.parse(text.slice(1)) : undefined }
  const [, id, json] = /^(\d*)(.*)$/s.exec(text.slice(2))
  return { type: PACKETS[text[1]], id: id && Number(id), values: json ? JSON.parse(json) : undefined }
}

/** Bytes of a text in UTF-8. */
export const sizeOf = text => new TextEncoder().encode(text).length

const idOf = m => m[1] ?? m.msgId

const keyOf = (message, uid) => JSON.stringify([String(uid), kindOf(message), String(idOf(message))])

/** Lower-case letters and digits. `crypto.randomUUID` is missing on plain http pages, this is not. */
export function randomText(length) {
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), byte => (byte % 36).toString(36)).join('')
}

/** Base64 of gzip → text. */
export async function gunzip(base64) {
  const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0))
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).text()
}
