// What the story does not ask of these clients: that who is refused stays away while others come back, pings, settings that an application
// has to make, the functions that `wx` had before it had tasks, and what engine.io 3 does with namespaces.
import assert from 'node:assert/strict'
import { after, before, describe } from 'node:test'
import { Line } from './cut.mjs'
import { FOREIGN, pythonWire, weapp } from './foreign/wires.mjs'
import { call, eventually } from './http.mjs'
import { inserts, sendAll, sync } from './messages.mjs'
import { JOINED, SUCCESS, WRONG, scenes } from './party.mjs'
import { SITES } from './sites.mjs'
import { WIRES, keep, wire as wireOf } from './wires.mjs'

const ALL = [...WIRES, ...FOREIGN]
const SOCKETS = wireOf(4, 'websocket only')

/** Tests of one wire at the server of `stage`, which starts later. */
const told = (stage, wire) => scenes({ get server() { return stage.server }, wire })

/** Sessions that have been opened at all nodes since they started. */
async function opened(server) {
  let sum = 0
  for (const node of server.nodes) {
    const { text } = await call('GET', `${node.api}/metrics`)
    sum += Number(/^always_online_connections_opened_total (\d+)$/m.exec(text)[1])
  }
  return sum
}

for (const site of SITES) describe(site.name, () => {
  const stage = {}
  before(async () => { stage.server = await site.start({ title: 'foreign clients', env: { AO_AUTH__TIMEOUT: '120s' } }) })
  after(() => stage.server?.stop())

  describe('who was refused stays away, while who was dropped comes back', () => {
    for (const wire of ALL) told(stage, wire)(wire.name, async party => {
      const before = await opened(party.server)
      const line = await Line.to(party.server.nodeForClient().url)
      try {
        const refused = await party.guest('refused')
        refused.tell('authenticate', { uid: refused.uid, token: 'wrong' })
        await refused.isRefused(WRONG)
        const dropped = await party.user('dropped', { url: line.url })
        for (let times = 0; times < 3; times++) {
          if (wire.way === 'polling with upgrade') await dropped.upgraded()
          line.cut()
          await dropped.isDropped()
          line.mend()
          await dropped.sees(['reconnect'])
          await party.signIn(dropped)
        }
        // It tries again as soon as the other one does: four times now would be once more than the other one alone.
        refused.staysAway()
        assert.equal(await opened(party.server) - before, 5)
      } finally {
        line.close()
      }
    })
  })

  describe('before wx had tasks', () => {
    for (const wire of keep([weapp('2.1', { tasks: false }), weapp('3.0', { tasks: false })])) {
      told(stage, wire)(`${wire.name}: talks, comes back, and stays away`, async party => {
        const room = party.fresh('room')
        const line = await Line.to(party.server.nodeForClient().url)
        try {
          const a = await party.user('a')
          const b = await party.user('b', { url: line.url })
          await party.enter(a, room)
          await party.enter(b, room, { present: [a] })
          await b.sees(...(await sendAll(a, inserts(0, 50))).map(message => ['msg', message]))
          line.cut()
          await b.isDropped()
          await a.sees(['remote_disconnect', { uid: b.uid }])
          line.mend()
          await b.sees(['reconnect'])
          await party.signIn(b)
          await party.enter(b, room, { present: [a] })
          assert.equal((await sync(b, { offset: 40 })).data.length, 10)
          b.tell('leave')
          await b.isRefused()
          await a.sees(['remote_leave', { uid: b.uid }], ['remote_disconnect', { uid: b.uid }])
        } finally {
          line.close()
        }
      })
    }
  })

  // Its events come in any order: each is looked for by itself.
  describe('python-socketio with threads', () => {
    const withThreads = [4, 5].flatMap(version => ['websocket only', 'polling only'].map(way => pythonWire(version, way, { threads: true })))
    const has = (client, event, count) => client.until(`${count} events ${event}`,
      () => client.log.filter(([name]) => name === event).length >= count)
    for (const wire of keep(withThreads)) {
      told(stage, wire)(`${wire.name}: talks, and comes back`, async party => {
        const room = party.fresh('room')
        const line = await Line.to(party.server.nodeForClient().url)
        try {
          const [a, b] = [await party.guest('a'), await party.guest('b', { url: line.url })]
          for (const client of [a, b]) {
            client.tell('authenticate', { uid: client.uid, token: client.token })
            await has(client, 'authenticate', 1)
            client.tell('join', { roomId: room })
            await has(client, 'join', 1)
          }
          await has(b, 'remote_join', 1)
          await sendAll(a, inserts(0, 100))
          await has(b, 'msg', 100)
          const heard = b.log.filter(([event]) => event === 'msg').map(([, message]) => message.data)
          assert.deepEqual(heard.sort((x, y) => x - y), inserts(0, 100).map(({ data }) => data), 'each of them once')
          line.cut()
          await has(b, 'disconnect', 1)
          line.mend()
          await has(b, 'reconnect', 1)
          b.tell('authenticate', { uid: b.uid, token: b.token })
          await has(b, 'authenticate', 2)
          assert.deepEqual(b.log.filter(([event]) => ['authenticate', 'join'].includes(event)), [SUCCESS, JOINED, SUCCESS])
        } finally {
          line.close()
        }
      })
    }
  })
})

describe('settings that an application has to make', () => {
  const stage = {}
  before(async () => { stage.server = await SITES[0].start({ title: 'settings' }) })
  after(() => stage.server?.stop())

  for (const way of ['websocket only', 'polling only', 'polling with upgrade']) {
    for (const wire of keep([pythonWire(4, way, { returns: true })])) {
      told(stage, wire)(`${wire.name}: comes back after it was refused, unless its application prevents it`, async party => {
        const a = await party.guest('a')
        a.tell('authenticate', { uid: a.uid, token: 'wrong' })
        await a.sees(WRONG, ['disconnect', 'io server disconnect'], ['reconnect'])
      })
    }
  }

  for (const version of [4, 5]) for (const wire of keep([pythonWire(version, 'polling only', { fewPackets: true })])) {
    told(stage, wire)(`${wire.name}: is disconnected by 17 packets at once, unless its application takes more`, async party => {
      const room = party.fresh('room')
      const b = await party.user('b')
      const a = await party.user('a', { wire: SOCKETS })
      await party.enter(b, room)
      await party.enter(a, room, { present: [b] })
      await sendAll(a, inserts(0, 500))
      await b.upTo('disconnect')
      await b.sees(['reconnect'])
    })
  }
})

describe('pings', () => {
  const stage = {}
  // A client that does not answer, or does not ask, is closed after eight seconds. One that is late because the machine is busy is not.
  const env = { AO_WEBSOCKET__PING_INTERVAL: '1s', AO_WEBSOCKET__PING_TIMEOUT: '7s', AO_STORE__DEADLINE: '3s' }
  before(async () => { stage.server = await SITES[0].start({ title: 'pings', env }) })
  after(() => stage.server?.stop())

  // Everybody sees everybody's names: they are such as the least of them can carry.
  told(stage, wireOf(1, 'polling only'))('all stay while they are pinged, and hear everything once', async party => {
    const room = party.fresh('room')
    const speaker = await party.user('speaker', { wire: SOCKETS })
    await party.enter(speaker, room)
    const listeners = []
    for (const wire of ALL) {
      const client = await party.user(wire.name, { wire })
      client.tell('join', { roomId: room })
      await client.upTo('join')
      listeners.push(client)
    }
    const from = Date.now()
    let said = 0
    while (Date.now() - from < 10_000) {
      assert.equal((await speaker.ask('msg', { s: 2, n: said++ })).status, 0)
      await new Promise(again => setTimeout(again, 10))
    }
    for (const client of listeners) {
      await client.upTo('msg', message => message.n === said - 1)
      assert.deepEqual(client.log.filter(([event]) => event === 'msg').map(([, { n }]) => n), Array.from({ length: said }, (_, n) => n))
      assert.equal(client.connects, 1, `${client.name} was there all the time`)
    }
  })
})

// Only clients of engine.io 3 put a query behind a namespace's name, and none of these does so with "/", for which they send no CONNECT.
describe('namespaces', () => {
  const stage = {}
  before(async () => { stage.server = await SITES[0].start({ title: 'namespaces' }) })
  after(() => stage.server?.stop())

  for (const wire of keep([1, 2].flatMap(generation => ['websocket only', 'polling only'].map(way => wireOf(generation, way))))) {
    told(stage, wire)(`${wire.name}: a query on a namespace changes nothing; who asks for one that is not there is told by its name`, async party => {
      const a = await party.user('a', { url: `${party.server.url}/?a=b` })
      await party.enter(a, party.fresh('room'))
      const errors = []
      const answers = []
      const others = []
      a.socket.io.on('packet', packet => { if (packet.nsp !== '/') { answers.push(packet); a.tell('nothing') } })
      for (const [name, query] of [['/chat', undefined], ['/talk', 'a=b']]) {
        const other = a.socket.io.socket(name, { query })
        others.push(other)
        other.on('error', error => errors.push([name, error]))
        await eventually('the answer', () => answers.length, count => count === others.length)
      }
      for (const other of others) other.disconnect()
      assert.deepEqual(answers.map(({ type, nsp, data }) => [type, nsp, data]), [
        [4, '/chat', 'Invalid namespace'], [4, '/talk', 'Invalid namespace'],
      ])
      assert.deepEqual(errors, [['/chat', 'Invalid namespace'], ['/talk', 'Invalid namespace']])
      assert.deepEqual(await a.ask('msg', { s: 2 }), { status: 0, data: 'msg success' }, '"/" goes on')
    })
  }
})
