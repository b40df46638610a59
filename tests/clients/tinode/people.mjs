// The people of one test of the tinode dialect: fresh accounts, sessions, topics, and a report of all they saw when the test fails.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, it } from 'node:test'
import { failure } from '../client.mjs'
import { base64, Client, info, pres } from './client.mjs'
import { settings } from './stage.mjs'

/** Names that nobody had before. */
const fresh = name => `${name}${randomBytes(5).toString('hex')}`

/** The modes of a pair, of who comes to a group, and of its owner. */
export const P2P = 'JRWPAD', USER = 'JRWPASD', GROUP = 'JRWPS', OWNER = 'JRWPASDO'

const ends = []
after(async () => { for (const error of await Promise.all(ends)) if (error) throw error })

/** A server ends while the next tests run: it takes seconds where users have just left. What goes wrong fails the file. */
export function endsMeanwhile(server) {
  if (server) ends.push(server.stop().then(() => undefined, error => error))
}

/** Ids that are well formed, and nobody's. */
export const NOBODY = 'usrAAAAAAAAAAE', NOWHERE = 'grpAAAAAAAAAAA'

/**
 * A site for the tests of one `describe`, and a way to declare tests: `(title, play, wire) => void`, where `play` gets `People` and the stage. `values` are
 * settings of `[tinode]`, or a function that knows them by then; `env` is for the whole server.
 */
export function stand(site, { title = 'tinode', values = {}, env = {} } = {}) {
  const stage = {}
  before(async () => { stage.server = await site.start({ title, env: { ...settings(typeof values === 'function' ? values() : values), ...env } }) })
  after(() => endsMeanwhile(stage.server))
  const scene = (title, play, wire) => it(title, async t => {
    const people = new People(stage.server, wire)
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
  clients = []
  #marks = 0

  constructor(server, wire) { Object.assign(this, { server, wire }) }

  login(name) { return fresh(name) }

  /** What an account begins with. */
  new(name, { login = fresh(name), password = `secret of ${name} é日🎉`, ...more } = {}) {
    const fn = name[0].toUpperCase() + name.slice(1)
    const desc = { public: { fn }, ...more.desc }
    return { name, login, password, fields: { user: 'new', scheme: 'basic', secret: base64(`${login}:${password}`), ...more, desc } }
  }

  /** Somebody new, registered: with an id and a token. */
  async user(name, more) {
    const person = this.new(name, more)
    const client = await this.greets(name)
    const { params } = await client.does('acc', { ...person.fields, login: true })
    client.cut()
    this.clients.splice(this.clients.indexOf(client), 1)
    return Object.assign(person, { id: params.user, token: params.token, public: person.fields.desc.public })
  }

  users(...names) { return Promise.all(names.map(name => this.user(name))) }

  /** A session that has only begun to connect. */
  connects(name, { node = this.server.nodeForClient(), wire = this.wire, ...options } = {}) {
    const client = new Client(node, name, { wire, ...options })
    this.clients.push(client)
    return client
  }

  opens(name, options) { return this.connects(name, options).opens() }

  /** It has said `hi`. `hi` are fields of that. */
  async greets(name, { hi, ...options } = {}) {
    const client = await this.opens(name, options)
    await client.hi(hi)
    return client
  }

  /** It is signed in. */
  async signs(person, options) {
    const client = await this.greets(person.name, options)
    await client.logsIn(person.token)
    assert.equal(client.id, person.id)
    client.person = person
    return client
  }

  /** It is on `me`. What it is told of contacts that are there is its affair. */
  async enters(person, options) {
    const client = await this.signs(person, options)
    await client.subs('me')
    client.onMe = true
    return client
  }

  /** Sessions on `me` of people who are new. */
  crowd(...names) { return Promise.all(names.map(async name => this.enters(await this.user(name)))) }

  /** Two sessions on `me` begin to talk, and both are attached. All that they are told of it is read. */
  async meet(a, b) {
    await a.subs(b.id)
    await b.sees(pres('me', a.id, 'acs', { act: a.id, dacs: { want: P2P, given: P2P } }), pres('me', a.id, 'on'))
    await a.sees(pres('me', b.id, 'on'))
    await b.subs(a.id)
  }

  /** Two who have met. */
  async pair(one = 'ann', other = 'ben') {
    const both = await this.crowd(one, other)
    await this.meet(...both)
    return both
  }

  /** A new group of a session, which is attached to it. @returns its name */
  async group(owner, { as = 'new1', ...set } = {}) {
    const { ctrl } = await owner.subs(as, { set: { desc: { public: { fn: 'A group' } }, ...set } })
    if (owner.onMe) await owner.sees(pres('me', ctrl.topic, 'on'))
    return ctrl.topic
  }

  /** Somebody is let into a group whose owner is there. `guest`: a session, on `me` or not. */
  async invites(owner, topic, guest, mode = GROUP) {
    await owner.does('set', { topic, sub: { user: guest.id, mode } })
    if (!guest.onMe) return
    const on = mode.includes('P') ? [pres('me', topic, 'on')] : []
    await guest.sees(pres('me', topic, 'acs', { act: owner.id, dacs: { want: mode, given: mode } }), ...on)
  }

  /** A group with members who are attached. All that they are told of it is read. */
  async gather(owner, members, { mode = GROUP, ...set } = {}) {
    const topic = await this.group(owner, set)
    const there = [owner]
    for (const member of members) if (!there.some(({ id }) => id === member.id)) {
      await this.invites(owner, topic, member, mode)
      there.push(member)
    }
    there.length = 1
    for (const member of members) {
      await member.subs(topic)
      if (!there.some(({ id }) => id === member.id)) for (const other of there) await other.sees(pres(topic, member.id, 'on'))
      there.push(member)
    }
    return topic
  }

  /** Attached sessions have heard all that was said in a topic: each hears next what `writer` does now, and nothing else came before. */
  async barrier(writer, topic, ...others) {
    const what = ['kp', 'kpa', 'kpv'][this.#marks++ % 3]
    writer.note(topic, what)
    for (const other of others) await other.sees(info(topic.startsWith('usr') ? writer.id : topic, writer.id, what))
  }

  close() { for (const client of this.clients) client.cut() }

  report() { return ['What each session saw (→ not yet expected):', ...this.clients.map(client => client.report())].join('\n') }
}
