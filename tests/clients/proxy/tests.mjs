// The cluster of scripts/cluster as its clients see it: through the one address of its proxy (AO_CLUSTER_PROXY), plain or by TLS. Instances end, die
// and come back, and in the end all of it is stopped and started again.
import assert from 'node:assert/strict'
import { randomInt, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { rootCertificates } from 'node:tls'
import { failure } from '../client.mjs'
import { call, eventually } from '../http.mjs'
import { by, inserts, resumed, sendAll, sync } from '../messages.mjs'
import { Party, scenes } from '../party.mjs'
import { startServer } from '../server.mjs'
import { comeback } from '../story/comeback.mjs'
import { kickout } from '../story/kickout.mjs'
import { messages } from '../story/messages.mjs'
import { rooms } from '../story/rooms.mjs'
import { sessions } from '../story/sessions.mjs'
import { pages } from '../story/sync.mjs'
import { WIRES } from '../wires.mjs'
import { APART, wireOf } from './apart.mjs'
import { Cluster, INSTANCES, script } from './cluster.mjs'
import { Resident } from './resident.mjs'

const KICKED = ['kickout', 0]
const ALL = ['redis', 'mongod', 'one', 'two', 'proxy']
const SOCKETS = wireOf(4, 'websocket only')
// Plain and TLS, HAProxy and nginx: not all is told four times, but something in each of the four.
const NGINX = process.env.AO_CLUSTER_PROXY === 'nginx'
const stage = {}
before(async () => { stage.server = await Cluster.found() })

/** Clients come by TLS, or not, in this part. */
const byTls = secure => before(() => { stage.server.secure = secure })

/** A client of those that `connect` makes, which came out at the instance `place`. */
async function at(place, party, connect) {
  const strays = []
  // Who went is no longer counted.
  await party.server.counts(party.clients.filter(client => client.socket.connected).length)
  try {
    // The next one goes where there are fewer.
    for (let tries = 0; tries < 30; tries++) {
      const [client, where] = await party.server.located(connect)
      if (where === place) return client
      strays.push(client)
    }
    throw new Error(`no client came out at instance ${place}`)
  } finally {
    for (const stray of strays) stray.close()
    party.clients = party.clients.filter(client => !strays.includes(client))
    await party.server.counts(party.clients.filter(client => client.socket.connected).length)
  }
}

describe('newcomers', () => {
  byTls(false)
  scenes({ get server() { return stage.server }, wire: SOCKETS })('are spread evenly, whatever way they come in', async party => {
    await party.server.counts(0)
    const counted = await party.server.connections()
    // nginx goes by the address of who polls.
    for (const way of ['websocket only', ...NGINX ? [] : ['polling with upgrade', 'polling only']]) {
      // An odd one, by which the next kind must not be misled.
      for (let i = 0; i < 9; i++) {
        const client = await party.user(`${way} ${i}`, { wire: wireOf(4, way) })
        if (way === 'polling with upgrade') await client.upgraded()
      }
      const now = await party.server.counts(party.clients.length)
      const came = INSTANCES.map(name => now[name] - counted[name])
      // Between two polls a session is not counted by the proxy.
      assert.ok(Math.min(...came) >= 3, `${way}: ${came} came to the two instances`)
      Object.assign(counted, now)
    }
  })
})

describe('what the proxy tells the instances', () => {
  it('that requests are not of their own machine: no token without credentials', async () => {
    const [port, front] = [await freePorts(2), await freePorts(3)]
    const folder = await mkdtemp(join(tmpdir(), 'always-online-proxy-'))
    const server = await startServer({ env: { AO_WEBSOCKET__LISTEN: `127.0.0.1:${port}`, AO_API__LISTEN: `127.0.0.1:${port + 1}` } })
    const cluster = { AO_CLUSTER_DIR: folder }
    try {
      // Both instances are this one, which makes tokens for whoever is on its machine.
      for (const [name, at] of [['one', port], ['two', port], ['proxy', front]]) {
        await mkdir(join(folder, name))
        await writeFile(join(folder, name, 'port'), String(at))
      }
      assert.deepEqual(await script(['start', 'proxy'], cluster), { code: 0, stdout: '', stderr: '' })
      const ask = async (api, more) => (await call('POST', `${api}/user/create_token`, { json: { uid: randomUUID() }, ...more })).body.meta.msg
      assert.equal(await ask(server.api), 'success')
      assert.equal(await ask(`http://127.0.0.1:${front + 1}`), 'require permission')
      assert.equal(await ask(`http://127.0.0.1:${front + 1}`, { query: server.admin }), 'success')
      const other = await call('GET', `http://127.0.0.1:${front + 1}/metrics`)
      assert.equal(other.code, 404, 'of its own there are only health and tokens')
    } finally {
      await script(['stop', 'proxy'], cluster)
      await server.stop()
      await rm(folder, { recursive: true })
    }
  })

  /** The first of `count` ports in a row that nobody listens on. Below those that the kernel gives to others until somebody listens here. */
  async function freePorts(count) {
    for (;;) {
      const open = []
      const listen = async port => {
        const server = net.createServer().listen(port, '127.0.0.1')
        open.push(server)
        await once(server, 'listening')
      }
      try {
        const first = 20_000 + randomInt(12_000)
        for (let i = 0; i < count; i++) await listen(first + i)
        return first
      } catch (error) {
        if (error.code !== 'EADDRINUSE') throw error
      } finally {
        for (const server of open) server.close()
      }
    }
  }
})

describe('by TLS', () => {
  it('answers who trusts the authority of its certificate, and nobody who does not', async () => {
    const { tls } = stage.server
    assert.equal((await fetch(`${tls}/readyz`)).status, 200)
    assert.equal((await fetch(`${tls}/admin/monitor/stat?${new URLSearchParams(stage.server.admin)}`)).status, 200)
    const stranger = https.get(`${tls}/readyz`, { ca: rootCertificates })
    const [error] = await once(stranger, 'error')
    assert.match(error.code, /^(UNABLE_TO_|SELF_SIGNED_)/)
  })

  if (!NGINX) it('serves WebSockets over HTTP/2', async () => {
    const session = http2.connect(stage.server.tls)
    try {
      const [settings] = await once(session, 'remoteSettings')
      assert.equal(settings.enableConnectProtocol, true)
      const stream = session.request({
        ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/socket.io/?EIO=4&transport=websocket', 'sec-websocket-version': '13',
      }, { endStream: false })
      const [answer] = await once(stream, 'response')
      assert.equal(answer[':status'], 200)
      const [frame] = await once(stream, 'data')
      assert.match(frame.toString(), /0\{"sid":"/)
    } finally {
      session.destroy()
    }
  })
})

for (const secure of NGINX ? [true] : [false, true]) describe(`between clients of the two instances, ${secure ? 'by TLS' : 'plain'}`, () => {
  byTls(secure)
  for (const wire of APART) {
    const scene = scenes({ get server() { return stage.server }, wire })

    scene(`${wire.name}: presence, messages of all types, pages, leave`, async party => {
      await party.server.counts(0)
      const room = party.fresh('room')
      const [a, b, c] = [
        await at('one', party, () => party.guest('a')), await at('two', party, () => party.guest('b')), await at('one', party, () => party.guest('c')),
      ]
      for (const client of [a, b, c]) await party.signIn(client)
      await party.enter(a, room)
      await party.enter(b, room, { present: [a] })
      await party.enter(c, room, { present: [a, b] })
      if (wire.way === 'polling with upgrade') for (const client of [a, b, c]) await client.upgraded()
      for (const client of [a, b, c]) assert.equal(client.transport, wire.transports.at(-1))

      const log = []
      for (const sender of [a, b]) {
        const sent = await sendAll(sender, [
          ...inserts(log.length, log.length + 105), ...[1, 2].map(data => ({ s: 1, 1: `u-${sender.name}`, data })), { s: 2, 1: 'live', data: 'not stored' },
        ])
        for (const other of [a, b, c].filter(client => client !== sender)) await other.sees(...sent.map(message => ['msg', message]))
        log.push(...sent.filter(({ s }) => s === 0))
      }
      const updates = [a, b].flatMap(sender => by(sender, [{ s: 1, 1: `u-${sender.name}`, data: 2 }]))
      for (const client of [b, a]) {
        assert.deepEqual(await sync(client, { offset: 0 }), { data: log.slice(0, 200), offset: 200, next: 1 })
        for (const other of [a, b, c].filter(each => each !== client)) await other.sees(['remote_sync', { uid: client.uid }])
        assert.deepEqual(await resumed(client, { offset: 200, encoding: 'gzip' }),
          { data: [...log.slice(200), ...updates], offset: 212, next: 0, log: 210, start: 0, encoding: 'gzip' })
      }
      const { data } = await party.server.ask('GET', '/admin/monitor/room_users', { query: { roomId: room } })
      assert.deepEqual(data.users.map(({ uid }) => uid).sort(), [a, b, c].map(({ uid }) => uid).sort())

      // Each of these is a request of its own, where a client polls: one that came to the other instance would be refused.
      const ids = [a, b].map(client => client.socket.io.engine.id)
      for (let i = 0; i < 25; i++) {
        for (const [from, to] of [[a, b], [b, a]]) {
          const [sent] = await sendAll(from, [{ s: 2, 1: `ping ${i}` }])
          for (const other of [to, c]) await other.sees(['msg', sent])
        }
      }
      assert.deepEqual([a, b].map(client => client.socket.io.engine.id), ids)
      assert.deepEqual(await party.server.connections(), { one: 2, two: 1 }, 'all are where they were')
      assert.deepEqual([a, b, c].map(client => client.connects), [1, 1, 1])

      c.tell('leave')
      await c.isRefused()
      for (const other of [a, b]) await other.sees(['remote_leave', { uid: c.uid }], ['remote_disconnect', { uid: c.uid }])
      b.close()
      await a.sees(['remote_disconnect', { uid: b.uid }])
    })

    scene(`${wire.name}: kickout`, async party => {
      await party.server.counts(0)
      const room = party.fresh('room')
      const a = await at('one', party, () => party.guest('a'))
      const b = await at('one', party, () => party.guest('b'))
      const b2 = await at('two', party, () => party.guest('b2', { uid: b.uid, token: b.token }))
      for (const client of [a, b]) await party.signIn(client)
      await party.enter(a, room)
      await party.enter(b, room, { present: [a] })
      await party.signIn(b2)
      await b.isRefused(KICKED)
      await party.enter(b2, room, { present: [a], witnesses: [] })
      await party.barrier(b2, a)
      await party.barrier(a, b2)
      b2.close()
      await a.sees(['remote_disconnect', { uid: b.uid }])
    })
  }
})

describe('instances end, die and come back, under clients of all kinds that talk all the time', () => {
  const kinds = NGINX ? APART.filter(({ generation }) => generation % 2 === 0) : APART
  /** By wire: the room, and who is in it. */
  const homes = []
  const logs = new Map()
  const residents = () => homes.flatMap(home => home.people)
  let party
  let pids
  byTls(NGINX)

  /** A step of the one story that these tests are: without one, there is no sense in the next. */
  let broken
  const step = (title, play) => it(title, async () => {
    if (broken) throw new Error(`"${broken}" failed before this`)
    broken = title
    try {
      await play(stage.server)
    } catch (error) {
      throw failure(error, party.report())
    }
    broken = undefined
  })

  /** Those of `home` who live at `place`, one more. */
  async function settle(home, name, place) {
    party.wire = home.wire
    const client = await at(place, party, () => party.guest(`${name} (${home.wire.name})`, { uid: party.fresh(name) }))
    const resident = new Resident(client, home.room)
    home.people.push(resident)
    await resident.settled()
    if (home.wire.way === 'polling with upgrade') await client.upgraded()
    return resident
  }

  const marked = list => { for (const resident of list) resident.mark = resident.client.log.length }
  /** Comings and goings that it was told of since the mark. */
  const news = ({ client, mark }) => client.log.slice(mark).filter(([event]) => /^remote_(join|disconnect|leave)$/.test(event)).map(([event, { uid }]) => [event, uid])
  const others = resident => homes.find(({ room }) => room === resident.room).people.filter(other => other !== resident)
  const uids = list => list.map(({ uid }) => uid).sort()

  /** Everybody sees everybody else in the room, and nobody else; the administrator too. */
  async function rostersAreRight(server) {
    for (const resident of residents()) {
      await eventually(`${resident.client.name} sees who is there`, () => [...resident.roster].sort(), seen => String(seen) === String(uids(others(resident))), 30_000)
    }
    for (const { room, people } of homes) {
      const { data } = await server.ask('GET', '/admin/monitor/room_users', { query: { roomId: room } })
      assert.deepEqual(data.users.map(({ uid }) => uid).sort(), uids(people))
    }
  }

  const goesOn = list => Promise.all(list.map(resident => resident.isHeard()))

  async function runs(server, ...names) {
    const status = await server.status()
    assert.deepEqual(Object.keys(status.runs), names)
    assert.deepEqual(status.not, ALL.filter(name => !names.includes(name)))
    assert.equal(status.code, names.length === ALL.length ? 0 : 1)
    for (const name of names) {
      assert.equal(status.runs[name], await server.pid(name))
      process.kill(status.runs[name], 0)
    }
    assert.equal((await call('GET', `${server.plain}/readyz`)).code, 200)
    assert.equal((await call('GET', `${server.api}/readyz`)).code, 200)
    return status.runs
  }

  before(() => { party = new Party(stage.server, SOCKETS) })
  after(() => {
    party.close()
    return Promise.all(residents().map(resident => resident.hush()))
  })

  step('all of it runs, and a second start says so and changes nothing', async server => {
    pids = await runs(server, ...ALL)
    const { code, stdout } = await server.script('start')
    assert.equal(code, 0)
    assert.match(stdout, /^It runs already\.$/m)
    assert.ok(stdout.includes(`\nwebsocket ${server.plain}\ntls ${server.tls}\n`), stdout)
    assert.deepEqual(await runs(server, ...ALL), pids)
  })

  step('each room has members on both instances', async server => {
    await server.counts(0)
    for (const wire of kinds) {
      party.wire = wire
      const home = { wire, room: party.fresh('room'), people: [] }
      homes.push(home)
      home.a = await settle(home, 'a', 'one')
      home.b = await settle(home, 'b', 'two')
    }
    assert.deepEqual(await server.connections(), { one: kinds.length, two: kinds.length })
    await rostersAreRight(server)
    for (const resident of residents()) resident.talk()
    await goesOn(residents())
  })

  step('`stop one`: its clients come back at the other one, whose clients notice nothing else', async server => {
    marked(residents())
    const { code, stderr } = await server.script('stop', 'one')
    assert.deepEqual([code, stderr], [0, ''], 'it ended by itself: who is killed for being late is named')
    for (const { a, b } of homes) {
      await a.settled(2)
      assert.equal(b.client.connects, 1)
    }
    await goesOn(residents())
    assert.deepEqual(await runs(server, 'redis', 'mongod', 'two', 'proxy'), without(pids, 'one'))
    assert.deepEqual(await server.connections(), { one: 0, two: 2 * kinds.length })
    await rostersAreRight(server)
    for (const { a, b } of homes) {
      assert.deepEqual(news(b), [['remote_disconnect', a.uid], ['remote_join', a.uid]])
      const lost = a.client.log.slice(a.mark).find(([event]) => event === 'disconnect')[1]
      assert.match(lost, /^transport (close|error)$/)
    }
  })

  step('`start one`: it is back at its place, and newcomers come there', async server => {
    const { code, stderr } = await server.script('start', 'one')
    assert.deepEqual([code, stderr], [0, ''])
    const now = await runs(server, ...ALL)
    assert.deepEqual(without(now, 'one'), without(pids, 'one'))
    assert.notEqual(now.one, pids.one)
    pids = now
    await eventually('the proxy knows', () => newcomer(server), where => where === 'one')
    for (const home of homes) home.c = await settle(home, 'c', 'one')
    for (const { c } of homes) c.talk()
    await goesOn(residents())
    assert.deepEqual(await server.connections(), { one: kinds.length, two: 2 * kinds.length })
    for (const { a, b } of homes) assert.deepEqual([a.client.connects, b.client.connects], [2, 1], 'who was there stayed')
    await rostersAreRight(server)
  })

  step('kill -9 of two: who comes back is not missed, who does not is gone', async server => {
    marked(residents())
    process.kill(await server.pid('two'), 'SIGKILL')
    for (const { b } of homes) b.client.close() // for good, and nobody is there to hear it
    for (const { b } of homes) await b.hush()
    for (const { a, c } of homes) {
      await a.settled(3)
      assert.equal(c.client.connects, 1)
    }
    assert.deepEqual(await runs(server, 'redis', 'mongod', 'one', 'proxy'), without(pids, 'two'))
    await goesOn(homes.flatMap(({ a, c }) => [a, c]))
    for (const home of homes) home.people = [home.a, home.c]
    await rostersAreRight(server)
    assert.deepEqual(await server.connections(), { one: 2 * kinds.length, two: 0 })
    for (const { b, c } of homes) assert.deepEqual(news(c), [['remote_disconnect', b.uid]], `${c.client.name} is told of who is gone, and of nobody else`)
  })

  step('`start two`: all of it runs again', async server => {
    const { code, stderr } = await server.script('start', 'two')
    assert.deepEqual([code, stderr], [0, ''])
    pids = await runs(server, ...ALL)
    await eventually('the proxy knows', () => newcomer(server), where => where === 'two')
    assert.equal((await server.script('status')).code, 0)
  })

  step('nothing that was acknowledged is lost, and all heard the same in the same order', async server => {
    await Promise.all(residents().map(resident => resident.hush()))
    for (const home of homes) {
      const reader = await settle(home, 'reader', 'two')
      home.people.pop()
      logs.set(home, [...reader.read])
      assert.equal(new Set(reader.read).size, reader.read.length, 'each is stored once')
      for (const resident of home.people) await resident.knows(reader.read)
      const { acknowledged, uid } = home.b
      assert.ok(acknowledged.length > 0)
      assert.deepEqual(reader.read.filter(id => id.startsWith(`${uid} `)).slice(0, acknowledged.length), acknowledged, 'of who is gone too')
      reader.client.close()
      // The next one is found by being one more.
      await server.counts(2 * kinds.length)
    }
  })

  step('`stop`: no process is left, and the data stays', async server => {
    const { code, stderr } = await server.script('stop')
    assert.deepEqual([code, stderr], [0, ''])
    for (const [name, pid] of Object.entries(pids)) assert.ok(!lives(pid), `${name} has ended`)
    const status = await server.status()
    assert.deepEqual(status, { code: 1, runs: {}, not: ALL })
    for (const address of [server.plain, server.api, ...INSTANCES.map(name => server.instances[name])]) {
      await assert.rejects(call('GET', `${address}/readyz`), { code: 'ECONNREFUSED' })
    }
    party.close()
  })

  step('`start` on the same data: tokens are good, messages are there', async server => {
    const { code, stdout, stderr } = await server.script('start')
    assert.deepEqual([code, stderr], [0, ''])
    assert.doesNotMatch(stdout, /runs already/)
    server.read(stdout)
    await runs(server, ...ALL)
    for (const home of homes) {
      const { uid, token } = home.a.client
      party.wire = home.wire
      const reader = new Resident(await party.guest(`again (${home.wire.name})`, { uid, token }), home.room)
      await reader.settled()
      assert.deepEqual(reader.read, logs.get(home))
      reader.talk()
      await reader.isHeard(1)
      await reader.hush()
      reader.client.close()
    }
  })

  /** Whether a process runs: one that ended, and that nobody has waited for, does not. */
  function lives(pid) {
    try {
      return !/^[ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /s, ''))
    } catch (error) {
      if (['ENOENT', 'ESRCH'].includes(error.code)) return false
      throw error
    }
  }

  const without = (all, name) => Object.fromEntries(Object.entries(all).filter(([key]) => key !== name))

  /** Where the proxy leads somebody new. */
  async function newcomer(server) {
    const before = await server.connections()
    const [client, where] = await server.located(() => party.guest('newcomer', { token: 'none', wire: SOCKETS }))
    client.close()
    await eventually('it is gone', () => server.connections(), now => JSON.stringify(now) === JSON.stringify(before))
    return where
  }
})

// Last: a polling client whose line was cut is known to the instance for 45 s more, and others count who is where.
describe('the client story, wherever the proxy leads', () => {
  const chapters = NGINX ? [messages, kickout, comeback] : [sessions, rooms, messages, pages, kickout, comeback]
  byTls(false)
  for (const wire of WIRES) {
    describe(wire.name, () => {
      before(() => { stage.wire = wire })
      const scene = scenes(stage)
      for (const chapter of chapters) chapter(scene, { clustered: false })
    })
  }
})
