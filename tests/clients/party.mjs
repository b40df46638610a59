// The people of one test: fresh ids, tokens, clients, and a report of all they saw when the test fails.
import { randomInt } from 'node:crypto'
import { it } from 'node:test'
import { Client, failure } from './client.mjs'

export const SUCCESS = ['authenticate', { status: 0, data: 'auth success' }]
export const WRONG = ['authenticate', { status: 1, data: 'auth failed, uid or token is wrong' }]
export const JOINED = ['join', { status: 0, data: 'join success' }]
export const NO_ROOM = ['join', { status: 1, data: 'join failed, require roomId' }]
export const STORED = { status: 0, data: 'msg success' }

const LETTERS = 'abcdefghijkmnpqrstuvwxyz0123456789'
const random = () => Array.from({ length: 8 }, () => LETTERS[randomInt(LETTERS.length)]).join('')

/**
 * Declares tests with people of their own. `stage` is `{server, wire}`, read when the test runs.
 * @returns `(title, play) => void` where `play` gets a `Party`
 */
export const scenes = stage => (title, play) => it(title, async () => {
  const party = new Party(stage.server, stage.wire)
  try {
    await play(party)
    for (const client of party.clients) if (client.refused) client.staysAway()
  } catch (error) {
    throw failure(error, party.report())
  } finally {
    party.close()
  }
})

export class Party {
  clients = []

  constructor(server, wire) {
    Object.assign(this, { server, wire })
  }

  /** A name nobody had before, with letters outside ASCII where the wire can carry them. */
  fresh(name) {
    return `${name}-${random()}${randomInt(2) ? this.written('-é日🎉') : ''}`
  }

  /** What of a text the wire can carry. */
  written(text) { return this.wire.lacks ? text.replace(this.wire.lacks, '') : text }

  /** Connected, not authenticated. `node`: where; `url` is another way to the server, a proxy's. */
  async guest(name, { uid = this.fresh(name), token, node, url = (node ?? this.server.nodeForClient()).url, wire = this.wire } = {}) {
    const client = new Client(wire, url, name, { uid, token: token ?? await this.server.token(uid) })
    this.clients.push(client)
    await client.connected()
    return client
  }

  /** Connected and authenticated. */
  async user(name, options) {
    const client = await this.guest(name, options)
    await this.signIn(client)
    return client
  }

  async signIn(client) {
    client.tell('authenticate', { uid: client.uid, token: client.token })
    await client.sees(SUCCESS)
  }

  /** A second device of the same person: its own socket, authenticated. */
  again(client, name = `${client.name}2`, options = {}) {
    return this.user(name, { uid: client.uid, token: client.token, ...options })
  }

  /** Joins and expects the roster to be exactly `present` (clients, in join order), and all of `witnesses` to be told. */
  async enter(client, room, { dummy, present = [], witnesses = present } = {}) {
    client.tell('join', dummy ? { roomId: room, dummy } : { roomId: room })
    await client.sees(JOINED, ...present.map(other => ['remote_join', { uid: other.uid }]))
    if (!dummy) for (const other of witnesses) await other.sees(['remote_join', { uid: client.uid }])
  }

  /** New people, who enter the room one after another. @returns their clients */
  async gather(room, ...names) {
    const present = []
    for (const name of names) {
      const client = await this.user(name)
      await this.enter(client, room, { present })
      present.push(client)
    }
    return present
  }

  /** A message that all `others` must see next: whatever was before it and not expected is a failure. */
  async barrier(sender, ...others) {
    const mark = `barrier ${random()}`
    sender.tell('msg', { s: 2, 1: mark })
    await Promise.all(others.map(other => other.sees(['msg', { s: 2, 1: mark, 2: sender.uid }])))
  }

  close() { for (const client of this.clients) client.close() }

  report() {
    return [`The event log of each client (${this.wire.name}; → not yet expected):`, ...this.clients.map(client => client.report())].join('\n')
  }
}
