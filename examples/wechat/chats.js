// What was said, as this browser keeps it: the server keeps a message only until it was delivered.
const MOST = 500 // messages of one chat

/** The chats of one account at one server, in `storage` (that of the browser, or that of this window). */
export class Chats {
  /** By phone: `{items: [message], unread}`. A message of ours may be `unsent`. */
  #all

  constructor(storage, server, phone) {
    this.storage = storage
    this.key = `chats ${server} ${phone}`
    this.phone = phone
    try { this.#all = JSON.parse(storage.getItem(this.key)) ?? {} } catch { this.#all = {} }
  }

  /** `[phone, chat]`, the one with the latest message first. */
  list() { return Object.entries(this.#all).sort(([, one], [, other]) => latest(other) - latest(one)) }

  /** The messages with somebody. */
  with(peer) { return this.#all[peer]?.items ?? [] }

  unread(peer) { return this.#all[peer]?.unread ?? 0 }
  get allUnread() { return Object.values(this.#all).reduce((sum, { unread }) => sum + unread, 0) }

  /** Messages of ours that have not gone out yet. */
  get unsent() { return Object.values(this.#all).flatMap(({ items }) => items.filter(({ unsent }) => unsent)) }

  /** They have, now. */
  allSent() {
    for (const message of this.unsent) delete message.unsent
    this.#keep()
  }

  /** Keeps a message. `seen`: it was read. @returns whether it is new: some come twice when a connection was lost */
  add(message, { seen = false, unsent } = {}) {
    const { from, to } = message
    const peer = from === this.phone ? to : from
    const chat = this.#all[peer] ??= { items: [], unread: 0 }
    const text = JSON.stringify(message.content)
    const isKnown = chat.items.some(other => other.from === from && other.timestamp === message.timestamp && JSON.stringify(other.content) === text)
    if (isKnown) return false
    chat.items.push({ content: message.content, to, from, timestamp: message.timestamp, at: Date.now(), unsent })
    chat.items.splice(0, chat.items.length - MOST)
    if (!seen) chat.unread++
    this.#keep()
    return true
  }

  /** All of it was read. */
  read(peer) {
    if (!this.unread(peer)) return
    this.#all[peer].unread = 0
    this.#keep()
  }

  forget() {
    this.#all = {}
    this.storage.removeItem(this.key)
  }

  #keep() {
    // Pictures are large, and a browser keeps some MB: the oldest messages go, until it fits.
    for (;;) {
      try { return this.storage.setItem(this.key, JSON.stringify(this.#all)) } catch { if (!this.#dropSome()) return }
    }
  }

  #dropSome() {
    const longest = Object.values(this.#all).sort((one, other) => other.items.length - one.items.length)[0]
    return longest?.items.splice(0, Math.ceil(longest.items.length / 4)).length > 0
  }
}

const latest = ({ items }) => items.at(-1)?.at ?? 0
