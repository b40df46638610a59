// What an application needs around tinode-sdk: signing in by a password once and by the token then, coming back to the topics that are open, and finding somebody by
// a login. It shows nothing; app.js does. docs/tinode.md has the protocol, and what of it is beyond Tinode's own server.
const { Drafty, Tinode } = globalThis.tinode

const KEPT = 'always-online tinode' // in localStorage: {server, key, token}
/** What each query of history asks for. */
const PAGE = 24

export { Drafty }

/** How often a message is sent that nobody answers. */
const TRIES = 3

/** Of what was refused: `code` as in Tinode's protocol, 0 if it was something else; and the text, without the code that the SDK puts behind it. */
export const refusal = error => ({ code: error?.code ?? 0, text: error?.message?.replace(/ \(\d{3}\)$/, '') ?? 'The server does not answer.' })

/**
 * Tells by events: `state` (`connecting`, `online`, `waiting`), `contacts`, `out` (the token is good no more), and of the topic that is open `messages`, `peer`
 * and `gone`.
 */
export class Chats extends EventTarget {
  open = undefined
  #sdk
  #token
  /** Messages that are underway or could not be sent, by the ids of their packets: what was answered, or why they stay here. */
  #unsent = new Map()

  constructor({ server, key, token }) {
    super()
    const { host, protocol } = new URL(server)
    Object.assign(this, { server, key })
    this.#token = token
    this.#sdk = new Tinode({ appName: 'always-online example/1.0', host, apiKey: key, transport: 'ws', secure: protocol === 'https:', platform: 'web' })
    // The SDK says of a message only that it was not sent: this is where it says why.
    this.#sdk.onCtrlMessage = ({ id, code, text }) => {
      if (this.#unsent.has(id) && code >= 400) this.#unsent.set(id, Object.assign(new Error(text), { code }))
    }
    this.#sdk.onConnect = () => this.#token && this.#returns()
    this.#sdk.onDisconnect = () => this.#tell('state', 'waiting')
    this.#sdk.onAutoreconnectIteration = (_, promise) => promise && this.#tell('state', 'connecting')
  }

  /** Who stayed logged in on this device. */
  static kept() {
    const kept = localStorage.getItem(KEPT)
    return kept && new Chats(JSON.parse(kept))
  }

  get id() { return this.#sdk.getCurrentUserID() }
  get me() { return this.#sdk.getMeTopic() }
  get name() { return this.me.public?.fn ?? this.id }

  /** Connects; with a token it signs in as well, now and whenever it comes back. */
  async connect() {
    this.#tell('state', 'connecting')
    await this.#sdk.connect().catch(error => {
      // A browser does not say why it has no connection.
      throw refusal(error).code ? error : new Error('There is no such server, or it does not know this API key.')
    })
  }

  async register(login, password, name) {
    await this.connect()
    await this.#sdk.createAccountBasic(login, password, { public: { fn: name || login }, tags: [] })
    await this.#enters()
  }

  async logIn(login, password) {
    await this.connect()
    await this.#sdk.loginBasic(login, password)
    await this.#enters()
  }

  logOut() {
    localStorage.removeItem(KEPT)
    this.#token = undefined
    this.#sdk.onDisconnect = undefined
    this.#sdk.disconnect()
  }

  /** The newest first: `{topic, name, online, unread}`. */
  contacts() {
    const all = []
    this.me.contacts(contact => {
      if (contact.acs?.isJoiner?.() === false) return
      const { topic, online, unread = 0, touched, updated } = contact
      all.push({ topic, name: contact.public?.fn ?? topic, online: online && Tinode.isP2PTopicName(topic), unread, touched: touched ?? updated ?? 0 })
    })
    return all.sort((one, other) => other.touched - one.touched)
  }

  /** @returns the id of whoever has this login */
  async find(login) {
    const fnd = this.#sdk.getFndTopic()
    if (!fnd.isSubscribed()) await fnd.subscribe(fnd.startMetaQuery().build())
    await fnd.setMeta({ desc: { public: `basic:${login.toLowerCase()}` } })
    let found
    await fnd.getMeta(fnd.startMetaQuery().withSub().build()).catch(error => { if (refusal(error).code !== 204) throw error })
    fnd.contacts(contact => { found ??= contact.topic ?? contact.user })
    return found
  }

  /** Attaches to a topic: it is the one that is open. */
  async enter(name) {
    const topic = this.#sdk.getTopic(name)
    if (this.open && this.open !== topic && this.open.isSubscribed()) this.open.leave(false).catch(() => {})
    this.open = topic
    topic.onData = () => { this.#reads(topic); this.#tell('messages') }
    topic.onAllMessagesReceived = topic.onInfo = topic.onPres = () => this.#tell('messages')
    topic.onMetaDesc = topic.onMetaSub = () => this.#tell('peer')
    topic.onDeleteTopic = () => this.#tell('gone')
    await this.#attaches(topic)
    return topic
  }

  /** Makes a group, which is open then. */
  async make(name) {
    const topic = this.#sdk.getTopic(this.#sdk.newGroupTopicName(false))
    await topic.subscribe(topic.startMetaQuery().withDesc().withSub().build(), { desc: { public: { fn: name } } })
    return this.enter(topic.name)
  }

  /** In order: `{seq, own, sent, why, ts, content, sender, read}`; `why` it could not be sent. */
  messages() {
    const topic = this.open, all = []
    topic?.messages(({ id, seq, from, ts, content, hi }) => {
      if (content === undefined || hi) return
      const sent = Tinode.isServerAssignedSeq(seq)
      const why = sent ? undefined : this.#unsent.get(id)
      all.push({ seq, own: from === this.id, sent, why, ts, content, sender: topic.userDesc?.(from)?.public?.fn, read: topic.msgReadCount(seq) > 0 })
    })
    return all
  }

  /** More of what was said before. */
  earlier() { return this.open.getMeta(this.open.startMetaQuery().withEarlierData(PAGE).build()).catch(() => {}) }

  say(text) { return this.#publishes(Drafty.parse(text) ?? text) }

  /** Uploads a file and sends it. */
  async send(file) {
    const topic = this.open
    const url = await this.#sdk.getLargeFileHelper().upload(file)
    const what = { mime: file.type || 'application/octet-stream', filename: file.name, size: file.size, refurl: url }
    await this.#publishes(Drafty.attachFile(null, what), topic)
  }

  /**
   * Sends by a draft, which is in the SDK's list of messages at once. A message that is in no draft takes another one out of that list. What the server refuses is
   * refused. What it does not answer is sent again: with the same key within a day it is stored once, however often that is.
   */
  async #publishes(content, topic = this.open) {
    const draft = topic.createMessage(content, false)
    draft.head = { ...draft.head, 'idempotency-key': crypto.randomUUID() }
    this.#unsent.set(draft.id, undefined)
    for (let tries = 1; tries <= TRIES && !this.#unsent.get(draft.id); tries++) {
      if (tries > 1) await this.#online(topic)
      const answer = await (tries === 1 ? topic.publishDraft(draft) : topic.publishMessage(draft)).catch(() => {}) // nothing: it was refused, or lost
      if (!answer) continue
      this.#unsent.delete(draft.id)
      return this.#tell('messages')
    }
    const why = this.#unsent.get(draft.id) ?? new Error('The server does not answer.')
    this.#unsent.set(draft.id, why)
    this.#tell('messages')
    throw why
  }

  /** Takes a message out of the list that could not be sent. */
  discard(seq) { this.open.cancelSend(seq) }

  /** Where a browser gets an uploaded file. */
  fileUrl(ref) { return new URL(this.#sdk.authorizeURL(ref), this.server).href }

  types() { this.open?.noteKeyPress() }
  invite(user) { return this.open.invite(user, null) }
  remove(seq) { return this.open.delMessages([{ low: seq }], true) }
  leave() { return this.open.leave(true) }

  async #enters() {
    this.#token = this.#sdk.getAuthToken().token
    localStorage.setItem(KEPT, JSON.stringify({ server: this.server, key: this.key, token: this.#token }))
    await this.#listens()
  }

  async #returns() {
    if (this.#sdk.isAuthenticated()) return
    try {
      await this.#sdk.loginToken(this.#token)
      await this.#enters()
      if (this.open) await this.#attaches(this.open)
      this.#tell('messages')
    } catch (error) {
      if (![401, 403, 404].includes(refusal(error).code)) return // it comes back by itself
      this.logOut()
      this.#tell('out')
    }
  }

  async #listens() {
    const { me } = this
    me.onContactUpdate = me.onSubsUpdated = me.onMetaDesc = () => this.#tell('contacts')
    if (!me.isSubscribed()) await me.subscribe(me.startMetaQuery().withLaterDesc().withLaterSub().build())
    this.#tell('state', 'online')
    this.#tell('contacts')
  }

  async #attaches(topic) {
    if (!topic.isSubscribed()) await topic.subscribe(topic.startMetaQuery().withLaterDesc().withLaterSub().withLaterData(PAGE).withLaterDel().build())
    this.#reads(topic)
    this.#tell('messages')
    this.#tell('peer')
  }

  #reads(topic) { if (topic === this.open && !document.hidden && topic.maxMsgSeq() > 0) topic.noteRead(topic.maxMsgSeq()) }

  /** Waits until a topic can be written to: that may be when somebody looks into it again. */
  async #online(topic) {
    while (!this.#sdk.isAuthenticated() || !topic.isSubscribed()) await new Promise(changed => this.addEventListener('messages', changed, { once: true }))
  }

  #tell(event, detail) { this.dispatchEvent(new CustomEvent(event, { detail })) }
}
