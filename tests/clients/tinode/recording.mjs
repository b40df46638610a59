// Plays one recording (../../transcripts/tinode/README.md): says what was said, and compares what each session was told, step by step. The recorder waited for
// silence; here what comes too much is in the way of the next step, and at the end of the answer to what each session asks then.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { failure } from '../client.mjs'
import { comparable, difference, mapped, Names } from './match.mjs'
import { People } from './people.mjs'

const FOLDER = new URL('../../transcripts/tinode/', import.meta.url)

/** All recordings. */
export const RECORDINGS = readdirSync(FOLDER).filter(name => name.endsWith('.json')).map(name => JSON.parse(readFileSync(new URL(name, FOLDER))))

/** What accounts were made with besides a name. */
const ACCOUNTS = { ivy: { tags: ['garden', 'rose club'] } }

/** The steps, in order: what happens and what is told. */
export function steps(events) {
  const all = new Map()
  for (const event of events) {
    if (!all.has(event.n)) all.set(event.n, { n: event.n, does: [], told: new Map() })
    const { does, told } = all.get(event.n)
    if (!('s' in event)) does.push(event)
    else if (told.has(event.who)) told.get(event.who).push(event.s)
    else told.set(event.who, [event.s])
  }
  return [...all.values()]
}

const lines = frames => frames.map(frame => `    ${JSON.stringify(frame)}`).join('\n')

/** What comes by itself may stand anywhere among replies. */
const isLoose = frame => Boolean(frame?.pres ?? frame?.info)

/** @returns undefined where `got`, or its beginning, is as `expected`. `names` learns. */
export function compare(expected, got, names) {
  const strict = [expected, got].map(list => list.filter(frame => !isLoose(frame)))
  for (const [i, frame] of strict[1].entries()) {
    if (i >= strict[0].length) return `one more is ${JSON.stringify(frame)}`
    const differs = difference(strict[0][i], frame, names)
    if (differs) return differs
  }
  const left = expected.filter(isLoose)
  for (const frame of got.filter(isLoose)) {
    const at = left.findIndex(one => {
      const tried = names.copy()
      if (difference(one, frame, tried) !== undefined) return false
      names.adopt(tried)
      return true
    })
    if (at < 0) return `nobody expected ${JSON.stringify(frame)}`
    left.splice(at, 1)
  }
}

export class Replay {
  names = new Names()
  sessions = new Map()
  /** The last token of each user, by its placeholder. */
  #tokens = new Map()

  constructor(recording, server, wire) {
    this.events = recording.events
    this.people = new People(server, wire)
  }

  async play() {
    try {
      await this.#prepare()
      for (const step of steps(this.events)) {
        try {
          await this.#step(step)
        } catch (error) {
          error.message = `step ${step.n}, ${step.does.map(does => JSON.stringify(does.c ?? does.ev)).join(', ')}: ${error.message}`
          throw error
        }
      }
      for (const client of this.sessions.values()) {
        if (!client.isOpen) continue
        const cursor = client.log.length
        await client.answers()
        assert.equal(client.log.length, cursor + 1, `${client.name} is told nothing else`)
      }
    } catch (error) {
      throw failure(error, this.people.report())
    } finally {
      this.people.close()
    }
  }

  /** Logins are fresh. Who is not made by the recording is made before. */
  async #prepare() {
    const text = JSON.stringify(this.events)
    for (const [name, short] of text.matchAll(/\{login:(\w+)\}/g)) if (!this.names.get(name)) this.names.set(name, this.people.login(short))
    const made = new Set(this.events.flatMap(({ s }) => s?.ctrl?.params?.desc && s.ctrl.params.user ? [s.ctrl.params.user] : []))
    const users = new Set([...text.matchAll(/\{usr:(\w+)\}/g)].map(([all]) => all).filter(name => !made.has(name)))
    await Promise.all([...users].map(async name => {
      const short = name.slice(5, -1)
      const login = this.names.get(`{login:${short}}`) ?? this.people.login(short)
      this.names.set(`{login:${short}}`, login)
      const person = await this.people.user(short, { login, ...ACCOUNTS[short] })
      this.names.set(name, person.id)
      this.#tokens.set(name, person.token)
    }))
  }

  async #step({ n, does, told }) {
    for (const [i, event] of does.entries()) {
      await this.#does(event)
      const { id } = Object.values(Object(event.c))[0] ?? {}
      const client = this.sessions.get(event.who)
      // What is said in a row is said after the answer to the last.
      const isAnswer = ({ ctrl, meta }) => id !== undefined && (ctrl?.id === id || meta?.id === id)
      if (i < does.length - 1 && event.c) await client.until(`the answer to ${id}`, () => client.log.slice(client.at).some(isAnswer) || !client.isOpen)
    }
    const senders = does.map(({ who }) => who)
    const order = [...told.keys()].sort((one, other) => senders.includes(other) - senders.includes(one))
    for (const who of order) await this.#compares(n, who, told.get(who))
    for (const [who, client] of this.sessions) if (!told.has(who)) await this.#compares(n, who, [], client)
  }

  async #does({ who, ev, c }) {
    if (ev === 'open') {
      const client = await this.people.opens(who)
      this.sessions.set(who, Object.assign(client, { at: 0 }))
      return
    }
    const client = this.sessions.get(who)
    if (ev === 'close') {
      client.cut()
      return pause(5) // what comes next is later than what it has seen
    }
    client.send(typeof c === 'string' ? this.names.filled(c) : this.#filled(c, who))
  }

  async #compares(n, who, expected) {
    const client = this.sessions.get(who)
    const wanted = expected.map(frame => comparable(this.#asHere(frame, client)))
    const got = () => client.log.slice(client.at, client.at + wanted.length).map(comparable)
    const all = () => `${who} was told\n${lines(got())}\nexpected\n${lines(wanted)}`
    await client.until(`${wanted.length} frames in step ${n}`,
      () => client.log.length >= client.at + wanted.length || compare(wanted, got(), this.names.copy()) !== undefined || !client.isOpen)
    const differs = compare(wanted, got(), this.names)
    assert.equal(differs, undefined, `${differs}: ${all()}`)
    assert.equal(got().length, wanted.length, all())
    for (const frame of got()) this.#learns(frame)
    client.at += wanted.length
  }

  /** By long polling `hi` has another answer, which is told in the specification. */
  #asHere(frame, client) {
    const isHello = client.socket.sid && frame?.ctrl?.code === 201 && frame.ctrl.params?.build
    return isHello ? { ctrl: { ...frame.ctrl, code: 200, text: 'ok' } } : frame
  }

  #learns(frame) {
    const { user, token } = frame?.ctrl?.params ?? {}
    if (!token) return
    for (const [name] of JSON.stringify(this.events).matchAll(/\{usr:\w+\}/g)) if (this.names.get(name) === user) this.#tokens.set(name, token)
  }

  #filled(frame, who) {
    return mapped(frame, text => {
      if (text === '{ts}') return this.#time(who)
      if (text === '{token}') return this.#token(frame, who)
      return this.names.filled(text)
    })
  }

  /** Of who has come back it is the time of what he saw last, else now. */
  #time(who) {
    const before = who.endsWith('*') ? this.sessions.get(who.replace(/\*+$/, '')) : undefined
    const last = before?.log.findLast(({ ctrl, meta, data }) => (ctrl ?? meta ?? data)?.ts)
    return last ? (last.ctrl ?? last.meta ?? last.data).ts : new Date().toISOString()
  }

  /** The token of whom its answer names; without one it was forged. */
  #token(frame, who) {
    const [{ id }] = Object.values(frame)
    const answers = this.events.filter(event => event.who === who && event.s?.ctrl?.id === id)
    const user = answers[0]?.s.ctrl.params?.user
    return user ? this.#tokens.get(user) : randomBytes(50).toString('base64')
  }
}
