// Replays each recorded transcript of the original (tests/transcripts) and compares what every client saw, event by event.
// "Nothing more comes" is no pause but a last event that must be the very next: a push to the room, or a join that fails.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { Client, failure } from './client.mjs'
import { eventually } from './http.mjs'
import { unpacked } from './messages.mjs'
import { SCENARIOS, httpCodes } from './scenarios.mjs'
import { SITES } from './sites.mjs'
import { wire } from './wires.mjs'

const FOLDER = new URL('../transcripts/', import.meta.url)
const recorded = Object.fromEntries(readdirSync(FOLDER).filter(name => name.endsWith('.json'))
  .map(name => [name.replace('.json', ''), JSON.parse(readFileSync(new URL(name, FOLDER)))]))
const END = 'the end of the transcript'

class Recorded extends Client {
  get credentials() { return { uid: this.uid, token: this.token } }

  /** Has seen at least `count` of that event. */
  has(event, count = 1) {
    return this.until(`${count} events ${event}`, () => this.log.filter(([name]) => name === event).length >= count)
  }
}

class Recording {
  salt = randomUUID().slice(0, 8)
  room = `room-${this.salt}`
  /** In the room and visible, in join order. */
  inside = []
  clients = []

  constructor(server, way) { Object.assign(this, { server, wire: way }) }

  async guest(name, { as } = {}) {
    const uid = as?.uid ?? `${name}-${this.salt}`
    const client = new Recorded(this.wire, this.server.nodeForClient().url, name, { uid, token: as?.token ?? await this.server.token(uid) })
    this.clients.push(client)
    await client.connected()
    return client
  }

  /** Sends `event` and waits for its answer, of the same name. */
  async step(client, event, payload) {
    const answers = client.log.filter(([name]) => name === event).length
    client.tell(event, payload)
    await client.has(event, answers + 1)
  }

  async user(name, options) {
    const client = await this.guest(name, options)
    await this.step(client, 'authenticate', client.credentials)
    return client
  }

  async member(name, { as, dummy } = {}) {
    const client = await this.user(name, { as })
    await this.step(client, 'join', dummy ? { roomId: this.room, dummy } : { roomId: this.room })
    const present = this.inside.filter(other => other.uid !== client.uid)
    await client.has('remote_join', present.length)
    client.joined = true
    if (!as && !dummy) {
      await Promise.all(this.clients.filter(other => other !== client && other.joined)
        .map(other => other.until(`remote_join of ${name}`, () => other.log.some(([event, who]) => event === 'remote_join' && who.uid === client.uid))))
      this.inside.push(client)
    }
    return client
  }

  async gather(...names) {
    const members = []
    for (const name of names) members.push(await this.member(name))
    return members
  }

  /** Closes, and waits until the server knows: its admin no longer counts it. */
  async goes(client) {
    client.close()
    await client.has('disconnect')
    const online = async () => (await this.server.ask('GET', '/admin/monitor/stat')).data.online_users.map(({ uid }) => uid)
    await eventually(`${client.name} is gone`, online, uids => !uids.includes(client.uid))
  }

  /** Each log as it was recorded, once nothing that belongs to it can still come. */
  async logs() {
    const staying = this.clients.filter(client => client.socket.connected)
    if (staying.some(client => client.joined)) {
      await this.server.ask('POST', '/admin/system/push', { json: { roomId: this.room, content: END } })
    }
    await Promise.all(staying.map(async client => {
      if (client.joined) await client.has('system')
      else if (client.log.length) await this.step(client, 'join', {})
      client.log.pop()
    }))
    const logs = this.clients.map(client => [client.name, client.log.map(plain)])
    return JSON.parse(JSON.stringify(Object.fromEntries(logs)).replaceAll(`-${this.salt}`, '-SALT'))
  }
}

function plain([event, ...payload]) {
  const [page] = payload
  return event === 'sync' && page.encoding === 'gzip' ? [event, { ...page, data: { gunzipped: unpacked(page.data) } }] : [event, ...payload]
}

for (const site of SITES) describe(site.name, () => {
  let server
  before(async () => { server = await site.start({ title: 'transcripts', env: { AO_COMPAT: 'deployed' } }) })
  after(() => server?.stop())

  for (const way of [wire(4, 'websocket only'), wire(2, 'polling only')]) {
    describe(way.name, () => {
      for (const [name, expected] of Object.entries(recorded).filter(([, { result }]) => !result)) {
        it(`is as recorded: ${name}`, async () => {
          const scenario = SCENARIOS[name]
          assert.ok(scenario, `a transcript without a scenario: tell scenarios.mjs what was done in ${name}.json`)
          const recording = new Recording(server, way)
          try {
            await scenario(recording)
            assert.deepEqual(await recording.logs(), expected)
          } catch (error) {
            throw failure(error, recording.clients.map(client => client.report()).join('\n'))
          } finally {
            for (const client of recording.clients) client.close()
          }
        })
      }
    })
  }

  it('is as recorded over HTTP: http_codes', async () => {
    const salt = randomUUID().slice(0, 8)
    const result = await httpCodes(server, `hc-${salt}`)
    for (const { data } of Object.values(result)) {
      if (data?.token !== undefined) {
        assert.match(data.token, /^[A-Za-z0-9]+$/)
        data.token = `len ${data.token.length}`
      }
    }
    assert.deepEqual(JSON.parse(JSON.stringify(result).replaceAll(`-${salt}`, '-SALT')), recorded.http_codes.result)
  })
})
