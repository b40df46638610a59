// The server ends (SIGTERM) and starts again on the same ports and with the same data, with all kinds of clients connected:
// each loses its transport, comes back by itself, and finds what was stored. None is told to stay away. Where there is another node,
// one that ends for good loses nobody either.
import assert from 'node:assert/strict'
import { after, before, describe } from 'node:test'
import { failure } from './client.mjs'
import { Line } from './cut.mjs'
import { FOREIGN } from './foreign/wires.mjs'
import { inserts, resumed, sendAll, sync } from './messages.mjs'
import { Party, scenes } from './party.mjs'
import { SITES } from './sites.mjs'
import { WIRES } from './wires.mjs'

const ALL = [...WIRES, ...FOREIGN]
const ENV = { AO_AUTH__TIMEOUT: '120s' } // they wait for their turn

/** `a` and `b` in a room with a log. `ways` is how each gets in. @returns `{party, room, a, b, log}`, or `{trouble}` where not even that much worked */
async function settle(server, wire, ways = {}) {
  const party = new Party(server, wire)
  try {
    return { party, ...await gathered(party, ways) }
  } catch (trouble) {
    party.close()
    return { trouble: failure(trouble, party.report()) }
  }
}

async function gathered(party, ways) {
  const room = party.fresh('room')
  const [a, b] = [await party.user('a', ways.a), await party.user('b', ways.b)]
  await party.enter(a, room)
  await party.enter(b, room, { present: [a] })
  if (party.wire.way === 'polling with upgrade') for (const client of [a, b]) await client.upgraded()
  const log = [...await sendAll(a, inserts(0, 205)), ...await sendAll(a, [{ s: 1, 1: 'u', data: 'updated' }])]
  await b.sees(...log.map(message => ['msg', message]))
  return { room, a, b, log }
}

/** It has lost its transport, and has come back by itself. */
async function returned(client) {
  await client.upTo('disconnect')
  const reason = client.log.find(([event]) => event === 'disconnect')[1]
  assert.match(reason, client.wire.lost, `${client.name} loses its transport`)
  await client.sees(['reconnect'])
}

/** What was stored is there, and what comes next is heard. */
async function goesOn({ a, b, log }) {
  assert.deepEqual(await sync(b, { offset: 0 }), { data: log.slice(0, 200), offset: 200, next: 1 })
  assert.deepEqual(await resumed(b, { offset: 200 }), { data: log.slice(200), offset: 206, next: 0, log: 205, start: 0 })
  await a.sees(['remote_sync', { uid: b.uid }])
  const [more] = await sendAll(a, [{ s: 0, 1: 'm205', data: 'after the return' }])
  await b.sees(['msg', more])
  assert.deepEqual((await sync(b, { offset: 205 })).data, [more, log.at(-1)])
}

for (const site of SITES) describe(site.name, () => {
  describe('restarts', () => {
    const kept = new Map()
    let server
    before(async () => {
      server = await site.start({ title: 'restarted', env: ENV })
      for (const wire of ALL) kept.set(wire, await settle(server, wire))
      await server.restart()
    })
    after(async () => {
      for (const { party } of kept.values()) party?.close()
      await server?.stop()
    })

    for (const wire of ALL) {
      scenes({ get server() { return server }, wire })(`${wire.name}: comes back after a restart, and what was stored is there`, async own => {
        const { trouble, party, room, a, b, log } = kept.get(wire)
        if (trouble) throw trouble
        own.clients.push(...party.clients)
        // Who of the two sees the other go depends on the order in which the server drops them.
        for (const client of [a, b]) await returned(client)
        for (const client of [a, b]) await own.signIn(client)
        await own.enter(a, room)
        await own.enter(b, room, { present: [a] })
        await goesOn({ a, b, log })
      })
    }
  })

  if (site.clustered) describe('loses a node', () => {
    const kept = new Map()
    let server
    before(async () => {
      server = await site.start({ title: 'one node ends', env: ENV })
      const [stays, ends] = server.nodes
      for (const wire of ALL) {
        const line = await Line.to(ends.url)
        kept.set(wire, { line, ...await settle(server, wire, { a: { node: stays }, b: { url: line.url } }) })
      }
      await ends.end()
      for (const { line } of kept.values()) line.mend(stays.url)
    })
    after(async () => {
      for (const { party, line } of kept.values()) { party?.close(); line.close() }
      await server?.stop()
    })

    for (const wire of ALL) {
      scenes({ get server() { return server }, wire })(`${wire.name}: comes back on the other node, and what was stored is there`, async own => {
        const { trouble, party, room, a, b, log } = kept.get(wire)
        if (trouble) throw trouble
        own.clients.push(...party.clients)
        await returned(b)
        await a.sees(['remote_disconnect', { uid: b.uid }])
        await own.signIn(b)
        await own.enter(b, room, { present: [a] })
        await goesOn({ a, b, log })
        assert.equal(a.connects, 1, 'a noticed nothing but b')
      })
    }
  })
})
