// The end of a server with Tinode's clients: what is noted and told of those who have gone is done before the store is closed.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startCluster } from './cluster.mjs'
import { startServer } from './server.mjs'
import { WIRES } from './tinode/client.mjs'
import { People } from './tinode/people.mjs'
import { settings } from './tinode/stage.mjs'

const ROUNDS = 4, SESSIONS = 20

/** `play` gets people, and nodes that are as new; who is there is to be cut, at last. */
async function round(start, wire, play) {
  const server = await start({ title: 'tinode, ending', env: settings({}) })
  const people = new People(server, wire)
  try {
    await play(people, server.nodes)
  } finally {
    people.close()
    await server.stop()
  }
}
/** The lines of a node's log since this was called. */
function log(node) {
  const from = node.stderr.length
  return () => node.stderr.slice(from).split('\n').filter(line => /WARN|ERROR/.test(line))
}

describe('tinode: the end', () => {
  for (const [name, wire] of Object.entries(WIRES)) it(`nothing is written behind the store's end: ${name}`, async () => {
    for (let i = 0; i < ROUNDS; i++) await round(startServer, wire, async (people, [node]) => {
      const all = await people.users('ann', 'ben', 'cy', 'dan')
      for (let j = 0; j < SESSIONS; j++) {
        const clients = await Promise.all(all.map(person => people.enters(person)))
        if (j === 0) for (const client of clients.slice(1)) await client.subs(all[0].id)
      }
      const said = log(node)
      await node.end()
      assert.deepEqual(said(), [])
    })
  })

  it('who was on the node alone is told off, on the others', async () => {
    for (let i = 0; i < ROUNDS; i++) await round(startCluster, WIRES.websocket, async (people, [one, other]) => {
      const all = await people.users('ann', 'ben', 'cy')
      const ann = await people.enters(all[0], { node: other })
      for (const person of all.slice(1)) await (await people.enters(person, { node: one })).subs(ann.id)
      await one.end()
      const off = () => ann.log.filter(({ pres }) => pres?.what === 'off').map(({ pres }) => pres.src).sort()
      await ann.until('both to be off', () => off().length === 2)
      assert.deepEqual(off(), all.slice(1).map(({ id }) => id).sort())
    })
  })
})
