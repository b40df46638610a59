// A page of a WeChat mini-program that talks in a room: logs in, shows what was said and what is being said, sends, and goes on where it was when the
// network fails or the user comes back to the mini-program.
//
// It needs a running server and the business server of business_server.rs, whose address is BUSINESS_URL below. To run it in the WeChat DevTools:
//
//   1. In the mini-program's folder: npm install weapp.socket.io@3.0.0, then in the menu: Tools, Build npm. (2.1.0 will do as well.)
//   2. Put this file there as pages/room/room.js, beside it room.json with {} in it, and room.wxml:
//
//        <view>{{state}}</view>
//        <view wx:for="{{messages}}" wx:key="index">{{item.sender}}: {{item.text}}</view>
//        <form wx:if="{{inside}}" bindsubmit="send"><input name="text" value="{{draft}}" /><button form-type="submit">Send</button></form>
//        <form wx:else bindsubmit="login">
//          <input name="user" /><input name="password" password /><button form-type="submit">Log in</button>
//        </form>
//
//   3. Name pages/room/room in the `pages` of app.json. Details, Local settings: do not verify domain names. In production both servers have https, and
//      are listed in the mini-program's console: https://… among the request domains, wss://… among the socket domains.
//
// How it resumes is told in docs/PROTOCOL.md, "A resume recipe". Position and messages are in memory here; a mini-program that keeps messages with
// wx.setStorage keeps its position in the same value.
const io = require('weapp.socket.io')

const BUSINESS_URL = 'http://127.0.0.1:8080'
const ACK_PATIENCE = 30000 // ms; the server itself waits for its store for 10 s and more
const PAUSE = 2000 // ms before a message goes out again that the server could not store
const RETRYABLE = ['store unavailable', 'outcome unknown']

Page({
  data: { state: 'not connected', inside: false, messages: [], draft: '' },

  onLoad(query) {
    this.name = query.room || 'plans'
  },

  /** The token comes from the business server. In a product wx.login() gives the code that it knows the user by, in place of name and password. */
  login({ detail }) {
    if (this.busy || this.data.inside) return // a second tap: two rooms would throw each other out
    this.busy = true
    wx.request({
      url: `${BUSINESS_URL}/login`,
      method: 'POST',
      data: detail.value,
      success: ({ statusCode, data }) => {
        if (data.token) this.enter(data)
        else this.setData({ state: data.error || `logging in does not work at the moment (HTTP ${statusCode})` }) // a proxy's answer has no `error`
      },
      fail: ({ errMsg }) => this.setData({ state: `the business server does not answer (${errMsg})` }),
      complete: () => { this.busy = false },
    })
  },

  enter({ url, uid, token }) {
    this.setData({ inside: true, messages: [], state: 'connecting' })
    this.room = new Room({
      url, uid, token, room: this.name,
      // Only what is new: setData with all messages gets slower with each one.
      onMessage: (sender, text) => this.setData({ [`messages[${this.data.messages.length}]`]: { sender, text } }),
      onState: state => this.setData({ state }),
      onCleared: messages => this.setData({ messages }),
      onEnd: reason => this.setData({ state: reason, inside: false }),
    })
  },

  send({ detail }) {
    if (!detail.value.text) return
    this.room.send(detail.value.text)
    this.setData({ draft: '' })
  },

  /** WeChat cuts the connections of a mini-program that is in the background. Nothing is missed: what was said meanwhile is read on return. */
  onHide() { if (this.room) this.room.disconnect() },
  onShow() { if (this.room) this.room.connect() },
  onUnload() { if (this.room) this.room.disconnect() },
})

class Room {
  constructor(options) {
    Object.assign(this, options)
    this.have = 0 // the inserts of the room's log that were shown: where the next sync starts
    this.from = 0 // where the last one started
    this.live = false // whether the log was read to its end, so that messages go straight out and in
    this.queue = [] // what comes meanwhile
    this.seen = new Set() // the keys of what was shown
    this.pending = new Map() // key → {message, timer} of ours that is not known to be stored
    this.ended = false

    // It comes back by itself after a loss, with a growing and random pause.
    const socket = this.socket = io(this.url, { transports: ['websocket'], reconnectionDelayMax: 30000, forceNew: true })
    socket.on('connect', () => socket.emit('authenticate', { uid: this.uid, token: this.token }))
    socket.on('authenticate', answer => this.authenticated(answer))
    socket.on('join', answer => this.joined(answer))
    socket.on('sync', page => this.page(page))
    socket.on('msg', message => this.live ? this.receive(message) : this.queue.push(message))
    socket.on('kickout', () => this.end('signed in elsewhere')) // coming back would throw the other one out
    socket.on('disconnect', reason => this.disconnected(reason))
    socket.on('connect_error', () => this.onState('no connection, trying again'))
  }

  connect() { if (!this.ended) this.socket.connect() }
  disconnect() { this.socket.disconnect() }

  authenticated(answer) {
    if (answer.status === 0) this.socket.emit('join', { roomId: this.room })
    else if (['server error', 'reach rate limit'].includes(answer.data)) this.onState(`${answer.data}, trying again`) // the server drops us in a moment, and we come back; if it refuses us, 'disconnect' says so
    else this.end(answer.data)
  }

  joined(answer) {
    if (answer.status === 0) this.catchUp()
    else if (answer.data === 'server error') this.socket.io.engine.close() // comes back after a pause
    else this.end(answer.data)
  }

  disconnected(reason) {
    this.live = false
    this.queue = []
    // By its own will the server ends a connection for good. Coming back would not help.
    if (reason === 'io server disconnect') this.end('the server ended the session')
    else if (!this.ended) this.onState(reason === 'io client disconnect' ? 'offline' : 'connection lost, coming back')
  }

  /** The first reason is the one that tells most: DISCONNECT follows the others. */
  end(reason) {
    if (this.ended) return
    this.ended = true
    this.onEnd(reason)
    this.socket.disconnect()
  }

  // ---- Catching up: pages of the log from our position on ----

  catchUp() {
    this.live = false
    this.from = this.have
    // With `resume` the answer has `log`, the position behind the page. Its `offset` counts updates too: who resumes there skips inserts.
    this.socket.emit('sync', { offset: this.from, resume: true })
  }

  page({ data, next, log }) {
    if (log < this.from) { // somebody cleared the room
      this.have = 0
      this.seen = new Set(this.pending.keys())
      this.onCleared([...this.pending.values()].map(({ message }) => ({ sender: this.uid, text: message.text })))
      return this.catchUp()
    }
    for (const message of data) this.handOut(message)
    this.have = log
    if (next) return this.catchUp()
    this.live = true
    while (this.live && this.queue.length) this.receive(this.queue.shift())
    if (!this.live) return // one of them has to be read from the log
    this.onState('online')
    for (const key of this.pending.keys()) this.transmit(key)
  }

  receive(message) {
    // It may have been in a page already: that is known by its sender and id. One without an id is rather read from the log.
    if (kindOf(message) === 0 && idOf(message) === undefined) this.catchUp()
    else if (this.handOut(message)) this.have++ // counting too few does no harm, as what is read again was seen; too many would skip messages
  }

  /** Only inserts are messages here. Updates (1) come whole with each last page and replace what has their id; 2 is for the moment. */
  handOut(message) {
    if (kindOf(message) !== 0) return false
    const key = keyOf(message, message[2])
    this.settle(key)
    if (this.seen.has(key)) return false
    if (idOf(message) !== undefined) this.seen.add(key)
    this.onMessage(message[2], message.text)
    return true
  }

  // ---- Sending: shown at once, and pending until the server has it, however many connections that takes ----

  send(text) {
    const message = { storage: 0, msgId: `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`, text }
    const key = keyOf(message, this.uid)
    this.pending.set(key, { message })
    this.seen.add(key)
    this.onMessage(this.uid, text)
    if (this.live) this.transmit(key)
  }

  /** Only while `live`: socket.io keeps what is sent without a connection, and may send it before `authenticate`, where it has no effect. */
  transmit(key) {
    const entry = this.pending.get(key)
    const again = () => { if (this.live && this.pending.has(key)) this.transmit(key) } // the same id: if it is stored twice, receivers show it once
    clearTimeout(entry.timer)
    entry.timer = setTimeout(again, ACK_PATIENCE)
    this.socket.emit('msg', entry.message, answer => {
      if (answer.status === 0) {
        if (this.settle(key) && this.live) this.have++ // else a page had it, or one that is on its way counts it
      } else if (RETRYABLE.includes(answer.data)) {
        clearTimeout(entry.timer)
        entry.timer = setTimeout(again, PAUSE * (1 + Math.random()))
      } else if (this.settle(key)) {
        this.onState(`not sent (${answer.data}): ${entry.message.text}`)
      }
    })
  }

  settle(key) {
    const entry = this.pending.get(key)
    if (entry) clearTimeout(entry.timer)
    return this.pending.delete(key)
  }
}

// ---- Messages have short keys or long ones: 0 insert, 1 update, 2 ignore in `s` or `storage`, the id in `1` or `msgId`, the sender in `2`. ----

function kindOf(message) {
  const kind = Number(message.s === undefined ? message.storage : message.s)
  return kind === 1 || kind === 2 ? kind : 0
}

function idOf(message) { return message[1] === undefined ? message.msgId : message[1] }
function keyOf(message, sender) { return JSON.stringify([String(sender), String(idOf(message))]) }
