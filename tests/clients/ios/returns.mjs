// What the Swift client does by itself when it was kicked, dropped or left alone.
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { failure } from '../client.mjs'
import { Line } from '../cut.mjs'
import { eventually } from '../http.mjs'
import { inserts, resumed, sendAll } from '../messages.mjs'
import { Party, scenes } from '../party.mjs'
import { wire as js } from '../wires.mjs'
import { CLIENTS } from './swift.mjs'
import { phone, phones } from './wires.mjs'

const JS = js(4, 'websocket only')

/** An app that does not know what `kickout` means. On a server that gives people 2 s to connect and to sign in. */
export function kicked(scene) {
  for (const way of ['websocket only', 'polling only', 'polling with upgrade']) for (const client of CLIENTS) {
    const wire = phone(client, way, { stays: true })
    const fate = client.connects ? 'opens engines without CONNECT until the app calls connect()' : 'is back with the next engine'
    scene(`${wire.name}: kicked, it ${fate}`, async party => {
      const [room, a] = [party.fresh('room'), await party.user('a')]
      await party.enter(a, room)
      const b = await party.user('b', { wire })
      await party.enter(b, room, { present: [a] })
      if (way === 'polling with upgrade') await b.upgraded()
      const b2 = await party.again(b)
      await b.sees(['kickout', 0], ['disconnect', 'io server disconnect'])
      await party.enter(b2, room, { present: [a], witnesses: [] })
      if (client.connects) {
        const opens = b.socket.opens
        await eventually('two more engines', () => b.socket.opens, now => now >= opens + 2)
        assert.equal(b.last[0], 'disconnect', 'none of them is a connection')
        b.socket.connect()
        await b.until('a connection', () => b.last[0] === 'reconnect')
      }
      await b.sees(['reconnect'])
      // Whoever signs in last stays: an app that does so on every connect kicks the other device out.
      await party.barrier(b2, a)
      await party.signIn(b)
      await b2.isRefused(['kickout', 0])
      await party.enter(b, room, { present: [a], witnesses: [] })
      await party.barrier(b, a)
    })
  }
}

/** A phone in a room with somebody, and a log. @returns `{party, room, a, b, log}`, or `{trouble}` where not even that much worked */
async function settle(server, wire, { witness, phone }) {
  const party = new Party(server, wire)
  try {
    const room = party.fresh('room')
    const a = await party.user('a', witness)
    await party.enter(a, room)
    const b = await party.user('b', phone)
    await party.enter(b, room, { present: [a] })
    if (wire.way === 'polling with upgrade') await b.upgraded()
    const log = await sendAll(a, inserts(0, 20))
    await b.sees(...log.map(message => ['msg', message]))
    return { party, room, a, b, log }
  } catch (trouble) {
    party.close()
    return { party, trouble: failure(trouble, party.report()) }
  }
}

/** It is told by a Close frame (16.0 notices nothing else soon), is back, signs in, catches up, and hears what is new. */
async function returns(party, { room, a, b, log }, present) {
  await b.upTo('disconnect')
  await b.sees(['reconnect'])
  if (b.wire.way !== 'polling only') assert.equal(b.socket.closeCodes[0], 1001)
  await present()
  await party.signIn(b)
  await party.enter(b, room, { present: [a] })
  assert.deepEqual(await resumed(b, { offset: 0 }), { data: log, offset: log.length, next: 0, log: log.length, start: 0 })
  await a.sees(['remote_sync', { uid: b.uid }])
  await party.barrier(a, b)
  await party.barrier(b, a)
}

/** The server ends under all nine kinds of phones. It is started again; or, where there is another node, they are led there. */
export function dropped(site, strict, env) {
  const [wires, kept] = [phones(), new Map()]
  let server
  before(async () => {
    server = await site.start({ title: 'iOS, ends', env: { ...env, AO_AUTH__TIMEOUT: '120s' } }) // they wait for their turn
    const [stays, ends = stays] = server.nodes
    for (const wire of wires) {
      const line = await Line.to(ends.url)
      const ways = { witness: { node: stays, wire: JS }, phone: { url: line.url } }
      kept.set(wire, { line, ...await settle(server, wire, ways) })
      line.mend(stays.url) // connections that are there stay where they are
    }
    if (site.clustered) await ends.end()
    else await server.restart()
  })
  after(async () => {
    for (const { party, line } of kept.values()) { party.close(); line.close() }
    await server?.stop()
  })

  const fate = site.clustered ? 'comes back to the other node, at its first try' : 'comes back when it is there again'
  for (const wire of wires) strict(scenes({ get server() { return server }, wire }))(`${wire.name}: ${fate}`, async own => {
    const { trouble, party, ...people } = kept.get(wire)
    if (trouble) throw trouble
    own.clients.push(...party.clients)
    const { room, a, b } = people
    await returns(own, people, async () => {
      if (site.clustered) {
        assert.equal(b.socket.tries, 2, 'the first try')
        return a.sees(['remote_disconnect', { uid: b.uid }])
      }
      await a.upTo('reconnect')
      await own.signIn(a)
      await own.enter(a, room)
    })
  })
}
