// The unmodified tinode-sdk of npm in Node: what a browser would give it, its own connection, a log of what it is told, and the story of two who talk by it.
import assert from 'node:assert/strict'
import { indexedDB } from 'fake-indexeddb'
import sdk from 'tinode-sdk'
import WebSocket from 'ws'
import xhr from 'xmlhttprequest'
import { KEY } from './stage.mjs'

export const { AccessMode, Drafty, Tinode } = sdk // it is CommonJS, in which Node finds no names

/** Where nobody answers. */
const NOWHERE = 'http://127.0.0.1:9/'

/**
 * A request as browsers have it. Where it failed it has no text: that of npm has the error's stack, which the SDK would take for an answer. And the SDK,
 * which leaves a poll open when it disconnects, asks `null` when that is answered: for a browser this is a page of the same site, for npm's a TypeError.
 */
class Request extends xhr.XMLHttpRequest {
  #text = ''

  constructor() {
    super()
    const { open } = this
    this.open = (method, url, ...more) => open.call(this, method, url ?? NOWHERE, ...more)
    Object.defineProperty(this, 'responseText', {
      get: () => this.status === 0 ? '' : this.#text,
      set: text => { this.#text = text },
    })
  }
}

Tinode.setNetworkProviders(WebSocket, Request)
Tinode.setDatabaseProvider(indexedDB)

const BOUND_MS = 120_000
/** Numbers from here on are the SDK's own, for messages that are not sent yet. */
const UNSENT = 0xFFFFFFF

/** What a topic tells by. */
const EVENTS = ['onData', 'onPres', 'onInfo', 'onMetaDesc', 'onMetaSub', 'onContactUpdate', 'onSubsUpdated', 'onDeleteTopic']

/** The transports it has, by its own names. */
export const TRANSPORTS = { WebSockets: 'ws', 'long polling': 'lp' }

/** One application with the SDK. */
export class App {
  /** How often it was connected, and why it was not. */
  connects = 0
  troubles = []
  #waiting = new Set()

  constructor(url, name, transport = 'ws') {
    Object.assign(this, { name, transport })
    const { host } = new URL(url)
    this.sdk = new Tinode({ appName: `tests/${name}`, host, apiKey: KEY, transport, secure: url.startsWith('https'), platform: 'web' })
    this.sdk.onConnect = () => { this.connects++; this.wake() }
    this.sdk.onDisconnect = error => { this.troubles.push(error?.message ?? 'none'); this.wake() }
    this.sdk.onPresMessage = () => this.wake()
    // With long polling the SDK's own attempt takes its last poll, which failed, for a connection, and does nothing: an application has to force it.
    if (transport === 'lp') this.sdk.onAutoreconnectIteration = (_, attempt) => { if (attempt) this.sdk.reconnect(true) }
  }

  get id() { return this.sdk.getCurrentUserID() }
  get me() { return this.sdk.getMeTopic() }

  /** Connects, and waits for the answer to its `hi`: with long polling the SDK's own connect() does not, and what is asked next may overtake the `hi`. */
  async connected() {
    await this.sdk.connect()
    await this.until('the answer to hi', () => this.connects > 0)
    return this
  }

  async registers(login, password, fn, more = {}) {
    await this.connected()
    const ctrl = await this.sdk.createAccountBasic(login, password, { public: { fn }, ...more })
    assert.ok(ctrl.code < 300, `registration: ${ctrl.code} ${ctrl.text}`)
    if (!this.sdk.isAuthenticated()) await this.sdk.loginBasic(login, password)
    this.secret = [login, password]
    assert.ok(this.sdk.isAuthenticated())
    return this
  }

  /** As an application does that comes back: by its token, to `me`, and to the topics it was attached to. */
  returnsBy(token, topics = []) {
    this.sdk.onConnect = async () => {
      try {
        await this.sdk.loginToken(token())
        await this.subscribes(this.me)
        for (const topic of topics) await this.subscribes(this.sdk.getTopic(topic))
        this.connects++
      } catch (error) {
        this.troubles.push(error.message)
      }
      this.wake()
    }
  }

  /** Attaches to a topic with all that the SDK asks for, and hears of what comes. */
  async subscribes(topic) {
    for (const event of EVENTS) topic[event] = () => this.wake()
    if (topic.isSubscribed()) return topic
    const query = topic.startMetaQuery().withLaterDesc().withLaterSub()
    if (topic.name !== 'me' && topic.name !== 'fnd') query.withLaterData(24).withLaterDel()
    await topic.subscribe(query.build())
    return topic
  }

  /** Says something by a draft, as applications do: publish() alone, and the SDK drops older messages of its own list. @returns the answer */
  async says(topic, content) {
    const ctrl = await topic.publishDraft(topic.createMessage(content, false))
    assert.ok(ctrl, `${this.name} could not say ${JSON.stringify(content)}`)
    return ctrl
  }

  /** What it knows of a topic's messages, in order: `[seq, content]`. */
  messages(topic) {
    const all = []
    topic.messages(({ seq, content, hi }) => { if (Number.isInteger(seq) && seq < UNSENT && content !== undefined && !hi) all.push([seq, content]) })
    return all
  }

  async until(what, ready) {
    for (const end = Date.now() + BOUND_MS; !ready();) {
      if (Date.now() > end) throw new Error(`${this.name} waited ${BOUND_MS} ms for ${what}; its troubles: ${this.troubles.join(', ') || 'none'}`)
      await new Promise(again => {
        const timer = setTimeout(again, 100)
        this.#waiting.add(() => { clearTimeout(timer); again() })
      })
      this.#waiting.clear()
    }
  }

  wake() { for (const again of this.#waiting) again() }

  close() {
    this.sdk.onDisconnect = this.sdk.onConnect = this.sdk.onAutoreconnectIteration = undefined
    this.sdk.note = () => {} // it tells later what it has received, also when it is closing, and throws
    this.sdk.disconnect()
  }
}
