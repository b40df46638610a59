// A client as the documents teach it: at each connect it signs in, joins its room and reads what it has missed; and it goes on talking.
// It keeps account of all it was told, so that a test can compare that with the room's log at the end.
import assert from 'node:assert/strict'
import { STORED } from '../party.mjs'
import { eventually } from '../http.mjs'

export class Resident {
  /** Connected, signed in, joined, and nothing left to read. */
  present = false
  /** The ids of the inserts it heard, one list for each time that it was connected. */
  heard = []
  /** The ids of all inserts it has read in pages, from the first on. */
  read = []
  /** Who else is in the room, as it was told. */
  roster = new Set()
  /** The ids of its messages whose storing was acknowledged. */
  acknowledged = []
  /** All answers that no test expects. */
  trouble = []
  #talk
  #said = 0

  /** `client` is connected, and signed in by this. */
  constructor(client, room) {
    Object.assign(this, { client, room, uid: client.uid })
    const { socket } = client
    const on = (event, act) => socket.on(event, answer => { if (!answer?.status) return act(answer); this.trouble.push([event, answer]) })
    socket.on('connect', () => this.#enter())
    socket.on('disconnect', () => { this.present = false })
    on('authenticate', () => socket.emit('join', { roomId: room }))
    on('join', () => { this.roster.clear(); this.#page() })
    on('sync', page => {
      this.read.push(...page.data.filter(({ s }) => s === 0).map(message => message[1]))
      if (page.log !== this.read.length) this.trouble.push(['sync', `log is ${page.log} behind ${this.read.length} inserts`])
      if (page.next) this.#page()
      else this.present = true
    })
    on('msg', message => this.heard.at(-1).push(message[1]))
    on('remote_join', ({ uid }) => this.roster.add(uid))
    for (const event of ['remote_disconnect', 'remote_leave']) on(event, ({ uid }) => this.roster.delete(uid))
    this.#enter()
  }

  #enter() {
    this.heard.push([])
    this.client.socket.emit('authenticate', { uid: this.uid, token: this.client.token })
  }

  // Not from 0 again, which the others would be told.
  #page() { this.client.socket.emit('sync', { offset: this.read.length || undefined, resume: true }) }

  /** Has come in, at the `times`-th connect. */
  async settled(times = this.client.connects) {
    await eventually(`${this.client.name} is in the room`, () => ({ present: this.present, connects: this.client.connects, trouble: this.trouble }),
      ({ present, connects }) => present && connects >= times)
    assert.deepEqual(this.trouble, [])
    assert.equal(this.client.connects, times, `${this.client.name} connected ${times} times`)
  }

  /** Sends inserts, each when the one before is acknowledged, and goes on after a lost connection, until `hush`. */
  talk() {
    let on = true
    const { socket } = this.client
    const loop = (async () => {
      while (on) {
        if (this.present) {
          const id = `${this.uid} ${this.#said++}`
          const lost = new AbortController()
          const answer = await Promise.race([
            new Promise(resolve => socket.emit('msg', { s: 0, 1: id }, resolve)),
            new Promise(resolve => {
              socket.on('disconnect', resolve)
              lost.signal.addEventListener('abort', () => socket.off('disconnect', resolve))
            }),
          ])
          lost.abort()
          if (answer?.status === STORED.status) this.acknowledged.push(id)
          else if (typeof answer !== 'string') this.trouble.push(['msg', answer])
        }
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    })()
    this.#talk = () => { on = false; return loop }
  }

  async hush() { await this.#talk?.() }

  /** More of its messages were acknowledged than now. */
  async isHeard(more = 3) {
    const before = this.acknowledged.length
    await eventually(`${this.client.name} is acknowledged ${more} more messages`, () => this.acknowledged.length - before, count => count >= more)
  }

  /** It knows the room's whole log (the ids of all inserts): nothing missed, nothing twice, nothing in another order. */
  async knows(log) {
    const who = this.client.name
    const own = id => id.startsWith(`${this.uid} `)
    await eventually(`${who} has heard of all`, () => log.filter(id => !own(id) && !this.#all().has(id)), missed => missed.length === 0)
    assert.deepEqual(this.read, log.slice(0, this.read.length), `${who}: the pages are the log`)
    const place = new Map(log.map((id, i) => [id, i]))
    for (const heard of this.heard) {
      const places = heard.map(id => place.get(id))
      assert.ok(!places.includes(undefined), `${who} heard nothing that is not stored: ${heard[places.indexOf(undefined)]}`)
      assert.ok(places.every((at, i) => i === 0 || at > places[i - 1]), `${who} heard all in the order of the log, each once: ${heard}`)
    }
    const mine = log.filter(own)
    const numbers = mine.map(id => Number(id.slice(this.uid.length + 1)))
    assert.ok(numbers.every((n, i) => i === 0 || n > numbers[i - 1]), `${who}: its own messages are stored in order, each once: ${numbers}`)
    assert.deepEqual(this.acknowledged.filter(id => !place.has(id)), [], `${who}: what was acknowledged is stored`)
  }

  #all() { return new Set([...this.read, ...this.heard.flat()]) }
}
