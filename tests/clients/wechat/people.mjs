// The people of one test of react-wechat: fresh phones, accounts, contacts, sockets, and a report of all they saw when the test fails.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { after, before, it } from 'node:test'
import { failure } from '../client.mjs'
import { eventually } from '../http.mjs'
import { Socket } from './socket.mjs'
import { api, settings, token } from './stage.mjs'

const digits = count => Array.from({ length: count }, () => randomInt(10)).join('')
const GONE = { name: 'somebody', nick: 'somebody' }

/** What types of frames say for a call. */
export const SIGNALS = [
  'invite-offer', 'invite-accept', 'invite-refuse', 'invite-cancel', 'video-offer', 'video-answer', 'new-ice-candidate', 'hang-up',
]

/** A frame of a type. `from` and `to` are people, or what is to stand there. */
export const frame = (type, from, to, more = {}) => ({ type, payload: { from: from?.phone ?? from, to: to?.phone ?? to, ...more } })

/** A message, whole, and as it waits. */
export const message = (from, to, content, timestamp = Date.now()) => frame('wechat/saveMessage', from, to, { content, timestamp })
export const item = ({ payload: { content, to, from, timestamp } }) => ({ content, to, from, timestamp })

/** Frames that ask for nothing, whoever sends them: those that are wrong, as texts. `type` is one that would be relayed. */
export const nonsense = (type, from, to) => [
  '', ' ', 'x', '{', '}', 'null', 'true', '5', '"x"', '[]', '[{}]', '{}', '{"type":5}', `{"type":${JSON.stringify(type)}}`, JSON.stringify(type),
  ...[undefined, null, 5, '', 'x', [], [type], {}].map(other => ({ type: other, payload: { from: from.phone, to: to.phone, content: 1 } })),
  ...['candidate', 'wechat/save', 'wechat/saveConversation', 'wechat/savemessage', 'HANG-UP', 'hang-up ', '__proto__', 'constructor', 'heartbeat'].map(other => frame(other, from, to)),
  ...[undefined, null, 5, true, '', 'x', [], [{ from: from.phone, to: to.phone }]].map(payload => ({ type, payload })),
  ...[undefined, null, 5, Number(to.phone), true, '', ' ', [], [to.phone], {}, { phone: to.phone }, ` ${to.phone}`, `${to.phone}\0`].map(other => ({ type, payload: { from: from.phone, to: other } })),
].map(one => typeof one === 'string' ? one : JSON.stringify(one))

/** Frames that say they are from somebody else, or from nobody. In JSON the last of two keys counts for who reads it. */
export const forged = (type, from, to, victim) => [
  ...[undefined, null, 5, '', victim.phone, to.phone, [from.phone], { phone: from.phone }, Number(from.phone)].map(other => JSON.stringify({ type, payload: { from: other, to: to.phone } })),
  `{"type":"${type}","payload":{"from":"${from.phone}","to":"${to.phone}","from":"${victim.phone}"}}`,
  `{"type":"${type}","payload":{"from":"${from.phone}","to":"${to.phone}","\\u0066rom":"${victim.phone}"}}`,
  `{"type":"${type}","payload":{"from":"${from.phone}","to":"${to.phone}"},"payload":{"from":"${victim.phone}","to":"${to.phone}"}}`,
]

/**
 * A site for the tests of one `describe`, and a way to declare tests: `(title, play) => void`, where `play` gets `People` and the stage. `values` are
 * settings of `[wechat]`, or a function that knows them by then; `env` is for the whole server.
 */
export function stand(site, { title = 'react-wechat', values = {}, env = {} } = {}) {
  const stage = {}
  before(async () => { stage.server = await site.start({ title, env: { ...settings(typeof values === 'function' ? values() : values), ...env } }) })
  after(() => stage.server?.stop())
  const scene = (title, play) => it(title, async t => {
    const people = new People(stage.server)
    try {
      await play(people, stage, t)
    } catch (error) {
      throw failure(error, people.report())
    } finally {
      people.close()
    }
  })
  return { stage, scene }
}

export class People {
  sockets = []
  #marks = 0

  constructor(server) { this.server = server }

  /** A phone that nobody had before. */
  phone() { return `1${digits(12)}` }

  /** Who somebody is, before being registered. */
  new(name, more = {}) {
    const phone = this.phone()
    return { name, nick: name, userName: `${name} ${phone}`, password: `secret of ${name} ${phone} é日🎉`, email: `${name}@example.org`, phone, ...more }
  }

  /** Somebody new, registered. Tokens are made here: to log in takes the server a while. */
  async user(name, more) {
    const person = this.new(name, more)
    const { name: _, ...fields } = person
    const answer = await this.calls('reg', fields)
    assert.equal(answer.text, '{"code":0,"message":""}', `${name} is registered`)
    return Object.assign(person, { token: token(person) })
  }

  users(...names) { return Promise.all(names.map(name => this.user(name))) }

  /** Two people who have each other as contacts. */
  async pair(one = 'ann', other = 'ben') {
    const both = await this.users(one, other)
    await this.befriend(...both)
    return both
  }

  async befriend(one, other) {
    assert.deepEqual((await this.calls('contact/add', { phone: other.phone }, { token: one.token })).body, { code: 0, message: 'success', data: {} })
  }

  /** A call at any node. */
  calls(route, fields, options = {}) { return api(options.node ?? this.server.nodeForCall(), route, fields, options) }

  /** A call that succeeds. @returns its data */
  async gets(route, fields, options) {
    const { status, text, body } = await this.calls(route, fields, options)
    assert.deepEqual([status, body?.code, body?.message], [200, 0, 'success'], text)
    return body.data
  }

  login(person, password = person.password) { return this.gets('login', { phone: person.phone, password }) }

  /** A socket that has only begun to connect. */
  connects(person, { node = this.server.nodeForClient(), token = person.token, path = `/wechat/${token}`, ...options } = {}) {
    const socket = new Socket(node.urls.wechat.replace('http', 'ws') + path, person.name, options)
    Object.assign(socket, { person, node })
    this.sockets.push(socket)
    return socket
  }

  /** Somebody's socket, open. */
  enters(person, options) { return this.connects(person, options).opens() }

  /**
   * What waits for somebody who is away, by sender. Nothing is erased: this socket dies before its pong. Nothing is known where so much comes meanwhile that the
   * server ends it, as a client that has to come again.
   */
  async peek(person) {
    const socket = this.connects(person, { dies: 'contacts' })
    await socket.until('its contacts, or its end', () => socket.contacts || !socket.isOpen)
    if (socket.contacts) await socket.opens()
    await socket.ends()
    assert.equal(socket.code, 1006, `the end of ${person.name}`)
    this.sockets.splice(this.sockets.indexOf(socket), 1)
    return socket.conversations
  }

  /** Looks until what waits for somebody is this: messages as they were sent, of each sender in their order. */
  async waits(person, ...messages) {
    const expected = bySender(messages)
    const conversations = await eventually(`what waits for ${person.name}`, () => this.peek(person), all => sameItems(all, expected))
    return checked(conversations)
  }

  /** Those who are open, and no longer sent anything that is on its way: each of `receivers` sees next what `sender`, a contact, sends now. */
  async barrier(sender, ...receivers) {
    for (const receiver of receivers) {
      const mark = frame('hang-up', sender.person, receiver.person, { mark: `${sender.person.phone} ${++this.#marks}` })
      sender.send(mark)
      await receiver.sees(mark)
    }
  }

  close() { for (const socket of this.sockets) socket.cut() }

  report() { return ['What each socket saw (→ not yet expected):', ...this.sockets.map(socket => socket.report())].join('\n') }
}

/** The items of messages, by who sent them. */
export function bySender(messages) {
  const all = {}
  for (const message of messages) (all[message.payload.from] ??= []).push(item(message))
  return all
}

const sameItems = (conversations, expected) => {
  try {
    assert.deepEqual(Object.fromEntries(Object.entries(conversations).map(([peer, { items }]) => [peer, items])), expected)
    return true
  } catch { return false }
}

/** Each conversation has exactly its three fields, and as many items as it says. */
export function checked(conversations) {
  for (const conversation of Object.values(conversations)) {
    assert.deepEqual(Object.keys(conversation).sort(), ['items', 'newCount', 'timestamp'])
    assert.ok(Number.isInteger(conversation.timestamp) && conversation.timestamp > 1e12, `milliseconds: ${conversation.timestamp}`)
    assert.equal(conversation.newCount, conversation.items.length)
  }
  return conversations
}

/** The card of somebody, as others see it. `_id` is not known before. */
export const card = ({ nick, phone, thumb = null, group = nick[0].toUpperCase(), userName, region = null }, _id) => ({ _id, nick, phone, thumb, group, userName, region })

/** Whoever is missing where a person is asked for. */
export const nobody = phone => ({ ...GONE, phone })
