// Clients of every generation come in, change over from polling to a WebSocket and are pinged all the time while their room is busy: each has to
// see every message from its join on, once and in order, also those that it had yet to fetch by polling when it changed over.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { SITES } from './sites.mjs'
import { wire } from './wires.mjs'

const WAYS = [
  ...[1, 2, 3, 4].map(generation => wire(generation, 'polling with upgrade')),
  ...[1, 2, 3, 4].map(generation => wire(generation, 'websocket only')),
]
/** Of each way; one after the other. */
const CLIENTS = 4
/** Messages that each has to see after its change over. */
const AFTERWARDS = 300
const BOUND = 60_000

const bounded = (promise, what) => {
  let timer
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what}: not within ${BOUND} ms`)), BOUND) })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Signs in, joins, and counts what comes. */
async function enter(server, way, uid) {
  const socket = way.connect(server.nodeForClient().url, { reconnection: false })
  const seen = { uid: `${uid} (${way.name})`, socket, first: null, last: null, faults: [], acks: 0, upgraded: way.transports.length === 1, after: 0 }
  const gone = new Promise((_, reject) => socket.on('disconnect', reason => reject(new Error(`${seen.uid} was disconnected: ${reason}`))))
  gone.catch(() => {})
  seen.gone = gone
  socket.on('msg', ({ n }) => {
    if (n === undefined) return
    if (seen.last !== null && n !== seen.last + 1) seen.faults.push(`${n} after ${seen.last}`)
    seen.first ??= n
    seen.last = n
    seen.upgraded ||= socket.io.engine.transport.name === 'websocket'
    if (seen.upgraded) seen.after++
  })
  socket.on('connect', () => socket.emit('authenticate', { uid, token: 'any' }))
  socket.on('authenticate', () => socket.emit('join', { roomId: 'busy' }))
  await bounded(Promise.race([gone, new Promise(resolve => socket.on('join', resolve))]), `${seen.uid} joins`)
  return seen
}

for (const site of SITES) describe(site.name, () => {
  describe('a busy room', () => {
    let server
    before(async () => {
      server = await site.start({ title: 'a busy room', env: {
        AO_WEBSOCKET__PING_INTERVAL: '150ms', AO_AUTH__IGNORE: 'true', AO_WEBSOCKET__ORIGINS: '*', AO_AUTH__RATE_LIMIT: 'off',
      } })
    })
    after(() => server?.stop())

    it('every client sees every message, once and in order, whatever else goes on', async () => {
      const sender = await enter(server, wire(4, 'websocket only'), 'sender')
      let n = 0
      const pump = setInterval(() => { for (let i = 0; i < 4; i++) sender.socket.emit('msg', { s: 2, n: n++ }) }, 3)
      const all = []
      try {
        for (let i = 0; i < CLIENTS; i++) {
          for (const way of WAYS) {
            const client = await enter(server, way, `${way.generation}-${way.transports.length}-${i}`)
            all.push(client)
            // Its own requests are answered between the room's messages.
            for (let k = 0; k < 5; k++) client.socket.emit('msg', { s: 2, own: k }, () => client.acks++)
          }
        }
        const content = () => all.every(client => client.after >= AFTERWARDS && client.acks === 5)
        await bounded(Promise.race([...all.map(client => client.gone), new Promise(resolve => {
          const look = setInterval(() => { if (content()) { clearInterval(look); resolve() } }, 20)
        })]), 'all have changed over and seen enough')
        assert.deepEqual(all.filter(client => client.faults.length).map(({ uid, faults }) => [uid, faults.slice(0, 5)]), [])
        assert.ok(all.every(client => client.upgraded), 'all have changed over')
      } finally {
        clearInterval(pump)
        for (const { socket } of [sender, ...all]) socket.disconnect()
      }
    })
  })
})
