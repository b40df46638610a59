// What was said, as this browser keeps it: the server keeps a message only until it was delivered.
//
// All windows of a browser that stay logged in share it. So each message is a record of its own,
// whose key is the message itself: no window can write over what another has written, and what
// comes twice is there once.
const MOST = 500 // messages of one chat

/**
 * The chats of one account at one server, in `storage`: the browser's, or that of this window.
 * A `change` event tells that another window has written something, with the kind of its record.
 *
 * Records, by their kind, which is the first word of their key: `message`, with when it came and
 * maybe a note; `read`, up to when a chat was read; `contacts`, who they are.
 */
export class Chats extends EventTarget {
  /** By phone: `{items, read}`, where `items` are the messages by their keys. */
  #chats = new Map()
  #latest = 0
  #open = new AbortController()

  constructor(storage, server, phone) {
    super()
    Object.assign(this, { storage, server, phone })
    for (const key of Object.keys(storage)) this.#take(key, storage.getItem(key))
    addEventListener('storage', ({ storageArea, key, newValue }) => {
      const kind = storageArea === storage && this.#parts(key)?.[0]
      if (!kind) return
      this.#take(key, newValue)
      this.dispatchEvent(new CustomEvent('change', { detail: kind }))
    }, { signal: this.#open.signal })
  }

  close() { this.#open.abort() }

  /** `[phone, messages]` of each chat that has any, the one with the latest message first. */
  list() {
    const chats = [...this.#chats.keys()].map(peer => [peer, this.with(peer)])
    const latest = ([, items]) => items.at(-1).at
    return chats.filter(([, items]) => items.length).sort((a, b) => latest(b) - latest(a))
  }

  /** The messages with somebody. What the user has to be told about one is its `note`. */
  with(peer) { return [...this.#chat(peer).items.values()].sort((a, b) => a.at - b.at) }

  unread(peer) {
    const { items, read } = this.#chat(peer)
    return [...items.values()].filter(({ from, at }) => from === peer && at > read).length
  }

  get allUnread() {
    return [...this.#chats.keys()].reduce((sum, peer) => sum + this.unread(peer), 0)
  }

  /** Messages of ours that have not gone out yet, or may have been lost, of all windows. */
  get unsent() {
    const all = this.list().flatMap(([, items]) => items)
    return all.filter(({ note }) => ['not sent', 'doubtful'].includes(note))
  }

  /** Keeps a message. @returns whether it is new: some come twice when a connection was lost */
  add(message, note) {
    const key = this.#messageKey(message)
    const peer = this.#peer(message)
    if (this.#chat(peer).items.has(key)) return false
    this.#write(key, { at: Math.max(Date.now(), this.#latest + 0.001), note })
    const all = this.with(peer)
    for (const old of all.slice(0, Math.max(0, all.length - MOST))) this.#remove(old.key)
    return true
  }

  /** Says something else about a message, or nothing; unless it was deleted. */
  note(message, note) {
    const item = this.#chat(this.#peer(message)).items.get(this.#messageKey(message))
    if (item) this.#write(item.key, { at: item.at, note })
  }

  /** All of it was read. */
  read(peer) {
    if (this.unread(peer)) this.#write(this.#key('read', peer), this.with(peer).at(-1).at)
  }

  /** Cards, so that one sees without a server who they are. */
  get contacts() { return parsed(this.storage.getItem(this.#key('contacts'))) ?? [] }

  set contacts(cards) {
    // Their pictures may be too large for what a browser keeps.
    const bare = cards.map(card => ({ ...card, thumb: null }))
    for (const text of [cards, bare].map(all => JSON.stringify(all))) {
      try { return this.storage.setItem(this.#key('contacts'), text) } catch { /* then less */ }
    }
  }

  forget() {
    this.#chats.clear()
    for (const key of Object.keys(this.storage)) if (this.#parts(key)) this.storage.removeItem(key)
  }

  #chat(peer) {
    if (!this.#chats.has(peer)) this.#chats.set(peer, { items: new Map(), read: 0 })
    return this.#chats.get(peer)
  }

  #peer({ from, to }) { return from === this.phone ? to : from }

  #key(kind, ...rest) { return JSON.stringify([kind, this.server, this.phone, ...rest]) }

  #messageKey(message) {
    const { from, to, timestamp, content } = message
    return this.#key('message', this.#peer(message), from, to, timestamp, content)
  }

  /** A key of this account without what is the same in all of them; undefined for others. */
  #parts(key) {
    const parts = parsed(key)
    if (!Array.isArray(parts)) return undefined
    const [kind, server, phone, ...rest] = parts
    return server === this.server && phone === this.phone ? [kind, ...rest] : undefined
  }

  /** Learns what a record says, or (`null`) that it is gone. */
  #take(key, text) {
    const [kind, peer, from, to, timestamp, content] = this.#parts(key) ?? []
    const value = parsed(text)
    if (kind === 'read') this.#chat(peer).read = value ?? 0
    if (kind !== 'message') return
    if (value === undefined) return this.#chat(peer).items.delete(key)
    this.#chat(peer).items.set(key, { key, from, to, timestamp, content, ...value })
    this.#latest = Math.max(this.#latest, value.at)
  }

  #write(key, value) {
    const text = JSON.stringify(value)
    this.#take(key, text)
    // Pictures are large, and a browser keeps some MB: the oldest messages go, until it fits.
    for (;;) {
      try { return this.storage.setItem(key, text) } catch { if (!this.#dropSome()) return }
    }
  }

  #remove(key) {
    this.storage.removeItem(key)
    this.#take(key, null)
  }

  /** Drops a quarter of the longest chat. @returns whether there was any */
  #dropSome() {
    const [longest = []] = this.list().map(([, items]) => items).sort((a, b) => b.length - a.length)
    for (const old of longest.slice(0, Math.ceil(longest.length / 4))) this.#remove(old.key)
    return longest.length > 0
  }
}

/** What a text says as JSON; undefined where it says nothing. */
function parsed(text) {
  try { return JSON.parse(text) ?? undefined } catch { return undefined }
}
