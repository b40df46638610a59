// The people of one test of chat-service: fresh names, sockets, rooms, and a report of all they saw when the test fails.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { after, before, it } from 'node:test'
import { failure } from '../client.mjs'
import { eventually } from '../http.mjs'
import { wire } from '../wires.mjs'
import { Business } from './business.mjs'
import { ChatClient, event, gone } from './client.mjs'
import { object, statusOf, text } from './contract.mjs'
import { difference } from './match.mjs'
import { api, settings } from './stage.mjs'

const LETTERS = 'abcdefghijkmnpqrstuvwxyz0123456789'
const random = () => Array.from({ length: 8 }, () => LETTERS[randomInt(LETTERS.length)]).join('')

/**
 * A site for the tests of one `describe`, with these settings and hooks, and a way to declare tests: `(title, play) => void`, where `play` gets a `Party`.
 * `way` is how people come, unless a test says otherwise; `verify` checks signatures; `env` is for the whole server.
 */
export function stand(site, { title = 'chat-service', values = {}, hooks = ['onConnect'], way = wire(2, 'websocket only'), verify, env = {} } = {}) {
  const stage = {}
  before(async () => {
    stage.business = await Business.open({ verify })
    const asks = hooks.length > 0 ? stage.business.settings(hooks) : {}
    stage.server = await site.start({ title, env: { ...settings({ ...values, ...asks }), ...env } })
  })
  after(async () => {
    try {
      await stage.server?.stop()
    } finally {
      stage.business?.close()
    }
    assert.deepEqual(stage.business.problems, [], 'each question was signed and well-formed')
  })
  const scene = (title, play) => it(title, async () => {
    const party = new Party(stage.server, stage.business, way)
    stage.business.reset()
    try {
      await play(party, stage)
    } catch (error) {
      throw failure(error, party.report())
    } finally {
      party.close()
    }
  })
  return { stage, scene }
}

export class Party {
  clients = []
  /** Who joined which room by `enter`. */
  #members = new Map()

  constructor(server, business, way) { Object.assign(this, { server, business, way }) }

  /** A name that nobody had before. */
  fresh(name) { return `${name} ${random()}` }

  /** A client that has only begun to connect. `user` is sent as the query's. */
  opens(name, { user = this.fresh(name), query = { user }, node = this.server.nodeForClient(), wire = this.way, ...rest } = {}) {
    const client = new ChatClient(wire, node, name, { query, ...rest })
    this.clients.push(client)
    return client
  }

  /** Somebody new, signed in. */
  async user(name, options) {
    const client = this.opens(name, options)
    await client.until('its id', () => client.id)
    await client.sees(event('loginConfirmed', client.user, { id: client.id }))
    return client
  }

  /** One more socket of the same user: the others, `all` of them, are told. */
  async again(client, all = [client], options = {}) {
    const other = await this.user(`${client.name}${all.length + 1}`, { user: client.user, ...options })
    for (const old of all) await old.sees(event('socketConnectEcho', other.id, all.length + 1))
    return other
  }

  /** Somebody who is told that he may not sign in: the error, and a DISCONNECT. */
  async isRejected(error, options) {
    const client = this.opens('stranger', options)
    await client.sees(event('loginRejected', error), gone())
  }

  /** A new room, made by the API. @returns its name */
  async room(state = {}, name = this.fresh('room')) {
    await this.does('addRoom', { roomName: name, state })
    return name
  }

  /** Joins, one after another, and waits until all who are to be told have been: nothing of it is in anybody's way. */
  async enter(room, ...clients) {
    for (const client of clients) {
      const [error] = await client.ask('roomJoin', room)
      assert.equal(error, null, `${client.name} joins ${room}`)
      const announced = client.log.slice(client.cursor).some(entry => entry.event === 'roomUserJoined')
      const members = this.#members.get(room) ?? new Set()
      if (announced) await Promise.all([...members].map(other => sawLately(other, 'roomUserJoined', room, client.user)))
      const siblings = this.clients.filter(other => other !== client && other.user === client.user && other.connected && other.confirmed)
      await Promise.all(siblings.map(other => sawLately(other, 'roomJoinedEcho', room, client.id)))
      this.#members.set(room, members.add(client))
      for (const other of [client, ...members, ...siblings]) other.cursor = other.log.length
    }
  }

  /** All that these saw so far was expected. Nothing may be on its way to them from another node. */
  async forget(...clients) {
    for (const client of clients.length > 0 ? clients : this.clients.filter(({ connected, confirmed }) => connected && confirmed)) {
      await client.ask('directGetWhitelistMode')
      client.cursor = client.log.length
    }
  }

  /** Nobody saw what was not expected. */
  async quiet() {
    for (const client of this.clients.filter(({ connected, confirmed }) => connected && confirmed)) await client.quiet()
  }

  /** A call of the API that succeeds, at any node. @returns the result */
  async does(method, body, node = this.server.nodeForCall()) {
    const answer = await api(node, method, body)
    assert.equal(answer.status, 200, `${method} ${JSON.stringify(body)} answered ${answer.text}`)
    assert.deepEqual(Object.keys(answer.body), ['result'], `${method} answered ${answer.text}`)
    return answer.body.result
  }

  /** A command by the API that succeeds. @returns `[data, …extra]` */
  async executes(command, args, rest = {}) { return (await this.does('execUserCommand', { command, args, ...rest })).results }

  /** A call of the API that fails with this ChatServiceError. */
  async fails(method, body, code, ...args) {
    const answer = await api(this.server.nodeForCall(), method, body)
    const wanted = { status: statusOf(code), detail: text(code, ...args), ...object(code, ...args) }
    const got = answer.body && Object.fromEntries(Object.keys(wanted).map(key => [key, answer.body[key]]))
    assert.equal(difference(wanted, got), undefined, `${method} ${JSON.stringify(body)} answered ${answer.text}`)
    assert.equal(answer.status, wanted.status)
    assert.match(answer.type, /^application\/problem\+json\b/)
    assert.equal(typeof answer.body.title, 'string')
  }

  /** Asks the API again until its result is this: what is done behind its back takes a moment. */
  becomes(method, body, expected) {
    return eventually(`${method} ${JSON.stringify(body)}`, () => this.does(method, body), result => difference(expected, result) === undefined)
  }

  close() { for (const client of this.clients) client.close() }

  report() { return ['The log of each client (→ not yet expected):', ...this.clients.map(client => client.report())].join('\n') }
}

/** Behind what the test has got to, `client` sees this event. */
function sawLately(client, name, ...args) {
  const wanted = event(name, ...args)
  const is = entry => entry.event === name && args.every((arg, i) => entry.args[i] === arg)
  return client.connected && client.until(JSON.stringify(wanted), () => client.log.slice(client.cursor).some(is))
}
