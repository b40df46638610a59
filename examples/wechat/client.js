// A client of react-wechat with nothing but what a browser has: HTTP for accounts and contacts, one WebSocket for messages and the signalling of calls, which comes
// back by itself. docs/react-wechat.md has the protocol. It shows nothing; app.js does.
const PAUSE = 5_000 // ms before coming back
const HEARTBEAT = 10_000
const PATIENCE = 30_000 // ms for an answer by HTTP
const DOUBTFUL = 60_000 // ms; what was sent so shortly before a connection was lost may not have arrived
const REPLACED = 5_000 // the same, where the server itself has closed it
const LARGEST = 2 ** 20 // bytes of a frame
const TOO_LARGE = 1009 // the close code for one that has more
const STAY_AWAY = 4000 // the close code of a wrong token, and of a socket that a newer one has replaced
const LOGOUT = 4000 // and what we say ourselves when we leave for good

/** The types of frames for a call. */
export const SIGNALS = new Set([
  'invite-offer', 'invite-accept', 'invite-refuse', 'invite-cancel', 'video-offer', 'video-answer', 'new-ice-candidate', 'hang-up',
])

/** The server refused: `code` is that of its answer, or the HTTP status; `message` its own words. */
export class Refused extends Error {
  constructor(code, message) {
    super(message)
    this.code = code
  }
}

/** Calls a route. @returns its data */
async function call(server, route, fields = {}, token) {
  const headers = { 'content-type': 'application/json' }
  if (token) headers.authorization = `Bearer ${token}`
  const signal = AbortSignal.timeout(PATIENCE)
  const answer = await fetch(new URL(`/api/${route}`, server), { method: 'POST', headers, body: JSON.stringify(fields), signal })
  const body = await answer.json().catch(() => ({})) // a proxy in front of it answers in HTML when something is wrong
  if (!answer.ok) throw new Refused(answer.status, body.error ?? `HTTP ${answer.status}`)
  return body
}

async function ask(...request) {
  const { code, message, data } = await call(...request)
  if (code !== 0) throw new Refused(code, message)
  return data
}

/** Makes an account: `{nick, userName, password, email, phone, thumb?, region?}`. */
export const register = (server, fields) => ask(server, 'reg', fields)

/** @returns {Promise<{info, token}>} a token that has no end */
export const login = (server, phone, password) => ask(server, 'login', { phone, password })

const frameOf = ({ content, to, from, timestamp }) => JSON.stringify({ type: 'wechat/saveMessage', payload: { content, to, from, timestamp } })

/**
 * What somebody who is logged in can do. It tells by events, whose `detail` is:
 * `state`: `connecting`, `online`, `waiting` (for the next attempt) or `replaced` (by a newer socket, or the token is wrong: it does not come back);
 * `contacts`: their cards; `message`: `{content, to, from, timestamp}`, one that waited or one that has just come;
 * `signal`: `{type, payload}`, a frame of a call;
 * `doubtful`: messages that may have been lost with the connection, which is told before its `state`: to be sent again, the same. There are no
 * acknowledgements. The server does not keep a message twice, and whoever has it knows it by sender, time and content;
 * `refused`: a message that was too large for the server, or for a proxy before it.
 */
export class Client extends EventTarget {
  state = 'waiting'
  /** `{message, size, at}` of what was sent lately. */
  #sent = []
  #latest = 0
  #socket
  #timer
  #heartbeat
  #ended = false

  constructor(server, token, phone) {
    super()
    Object.assign(this, { server, token, phone })
  }

  info() { return ask(this.server, 'info', {}, this.token).then(({ info }) => info) }

  /** Users whose phone contains the keyword, which has three characters at least. */
  search(keyword) { return ask(this.server, 'search', { keyword }, this.token).then(({ searchResult }) => searchResult) }

  /** @returns whether somebody is a contact who was none before */
  add(phone) { return call(this.server, 'contact/add', { phone }, this.token).then(({ code }) => code === 0) }

  /** The servers for calls, as RTCPeerConnection takes them. */
  iceServers() { return ask(this.server, 'turn', {}, this.token).then(({ iceServers }) => iceServers) }

  connect() {
    this.#ended = false
    clearTimeout(this.#timer)
    if (this.#socket) return
    this.#be('connecting')
    const address = new URL(`/wechat/${this.token}`, this.server)
    address.protocol = address.protocol.replace('http', 'ws')
    const socket = this.#socket = new WebSocket(address)
    socket.addEventListener('open', () => {
      this.#heartbeat = setInterval(() => this.#frame({ type: 'heartbeat', payload: { time: Date.now() } }), HEARTBEAT)
      this.#be('online')
    })
    socket.addEventListener('message', ({ data }) => { if (socket === this.#socket) this.#read(data) })
    socket.addEventListener('close', ({ code }) => { if (socket === this.#socket) this.#lost(code) })
  }

  /** Leaves for good. */
  close() {
    this.#ended = true
    clearTimeout(this.#timer)
    clearInterval(this.#heartbeat)
    this.#socket?.close(LOGOUT, 'logout')
    this.#socket = undefined
  }

  /** Tries to come back now, without the pause: the network is there again. */
  hurry() { if (this.state === 'waiting' && !this.#ended) this.connect() }

  /** The connection is of no use any more, though nobody has closed it yet: the network is gone. */
  drop() {
    const socket = this.#socket
    if (!socket) return
    this.#lost(1006)
    socket.close()
  }

  /** A message. No two have the same time: it is what they are known by. */
  message(to, content) {
    this.#latest = Math.max(Date.now(), this.#latest + 1)
    return { content, to, from: this.phone, timestamp: this.#latest }
  }

  /** Whether the server takes a message of this size. */
  fits(message) { return new TextEncoder().encode(frameOf(message)).length <= LARGEST }

  /** Sends a message. @returns whether there was a connection for it */
  post(message) {
    const frame = frameOf(message), now = Date.now()
    if (this.state !== 'online' || !this.#write(frame)) return false
    this.#sent = [...this.#sent.filter(({ at }) => now - at < DOUBTFUL), { message, size: frame.length, at: now }]
    return true
  }

  /** Sends a frame of a call, if there is a connection. */
  signal(type, to, more = {}) { return this.#frame({ type, payload: { from: this.phone, to, ...more } }) }

  #frame(frame) { return this.#write(JSON.stringify(frame)) }

  #write(text) {
    const isOpen = this.#socket?.readyState === WebSocket.OPEN
    if (isOpen) this.#socket.send(text)
    return isOpen
  }

  #lost(code) {
    this.#socket = undefined
    clearInterval(this.#heartbeat)
    if (this.#ended) return
    this.#doubt(code)
    if (code === STAY_AWAY) return this.#be('replaced')
    this.#timer = setTimeout(() => this.connect(), PAUSE)
    this.#be('waiting')
  }

  /** What was sent lately may not have arrived. */
  #doubt(code) {
    const since = Date.now() - (code === STAY_AWAY ? REPLACED : DOUBTFUL)
    const doubtful = this.#sent.splice(0).filter(({ at }) => at > since)
    if (code === TOO_LARGE && doubtful.length) {
      const largest = doubtful.reduce((one, other) => other.size > one.size ? other : one)
      this.#tell('refused', doubtful.splice(doubtful.indexOf(largest), 1)[0].message)
    }
    if (doubtful.length) this.#tell('doubtful', doubtful.map(({ message }) => message))
  }

  #read(data) {
    let frame
    try { frame = JSON.parse(data) } catch { return }
    const { type, payload } = frame ?? {}
    if (type === 'wechat/save') this.#tell('contacts', payload.contacts)
    else if (type === 'wechat/saveMessage') this.#tell('message', payload)
    else if (SIGNALS.has(type)) this.#tell('signal', { type, payload })
    else if (type === 'wechat/saveConversation') {
      for (const { items } of Object.values(payload.conversations)) for (const item of items) this.#tell('message', item)
    }
  }

  #be(state) {
    this.state = state
    this.#tell('state', state)
  }

  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })) }
}
