// The server ends (SIGTERM) and starts again on the same ports and data folder, with all twelve kinds of clients connected:
// each loses its transport, comes back by itself, and finds what was stored. None is told to stay away.
import assert from 'node:assert/strict'
import { after, before, describe } from 'node:test'
import { failure } from './client.mjs'
import { inserts, sendAll, sync } from './messages.mjs'
import { Party, scenes } from './party.mjs'
import { startServer } from './server.mjs'
import { WIRES } from './wires.mjs'

/** Per wire: `{party, room, a, b, log}`, or `{trouble}` where not even that much worked. */
const kept = new Map()
let server

before(async () => {
  server = await startServer({ title: 'restarted', env: { AO_AUTH__TIMEOUT: '120s' } }) // they wait for their turn
  for (const wire of WIRES) kept.set(wire, await settle(wire).catch(trouble => ({ trouble })))
  await server.restart()
})

after(async () => {
  for (const { party } of kept.values()) party?.close()
  await server?.stop()
})

async function settle(wire) {
  const party = new Party(server, wire)
  try {
    return { party, ...await gathered(party) }
  } catch (trouble) {
    party.close()
    throw failure(trouble, party.report())
  }
}

async function gathered(party) {
  const room = party.fresh('room')
  const [a, b] = await party.gather(room, 'a', 'b')
  if (party.wire.way === 'polling with upgrade') for (const client of [a, b]) await client.upgraded()
  const log = [...await sendAll(a, inserts(0, 205)), ...await sendAll(a, [{ s: 1, 1: 'u', data: 'updated' }])]
  await b.sees(...log.map(message => ['msg', message]))
  return { room, a, b, log }
}

for (const wire of WIRES) {
  describe(wire.name, () => {
    scenes({ get server() { return server }, wire })('comes back after a restart, and what was stored is there', async own => {
      const { trouble, party, room, a, b, log } = kept.get(wire)
      if (trouble) throw trouble
      own.clients.push(...party.clients)
      // Who of the two sees the other go depends on the order in which the server drops them.
      for (const client of [a, b]) {
        await client.upTo('disconnect')
        const reason = client.log.find(([event]) => event === 'disconnect')[1]
        assert.match(reason, wire.transports.includes('websocket') ? /^transport close$/ : /^transport (close|error)$/, `${client.name} loses its transport`)
        await client.sees(['reconnect'])
      }
      for (const client of [a, b]) await own.signIn(client)
      await own.enter(a, room)
      await own.enter(b, room, { present: [a] })
      assert.deepEqual(await sync(b, { offset: 0 }), { data: log.slice(0, 200), offset: 200, next: 1 })
      assert.deepEqual(await sync(b, { offset: 200, resume: true }), { data: log.slice(200), offset: 206, next: 0, log: 205 })
      await a.sees(['remote_sync', { uid: b.uid }])
      const [more] = await sendAll(a, [{ s: 0, 1: 'm205', data: 'after the restart' }])
      await b.sees(['msg', more])
      assert.deepEqual((await sync(b, { offset: 205 })).data, [more, log.at(-1)])
    })
  })
}
