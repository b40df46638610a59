// Plays each recording of the original chat-service (../transcripts/chat-service) and compares what every client and the business server got: on one node and
// on two, by four generations of socket.io-client and three ways to use its transports; on Redis alone by one.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Business } from './chat-service/business.mjs'
import { RECORDINGS, Replay } from './chat-service/recording.mjs'
import { ON_REDIS, SITES, settings } from './chat-service/stage.mjs'
import { WIRES, keep, wire } from './wires.mjs'

assert.ok(RECORDINGS.length > 0, 'there are recordings')

/** The settings that a recording was made with. Nodes of a cluster have no instance_uid in common. */
function recorded(recording, business, { clustered }) {
  const { HOOKS = '', ...rest } = recording.settings
  const uid = clustered ? {} : { INSTANCE_UID: 'node-1' }
  const hooks = HOOKS ? business.settings(HOOKS.split(',')) : {}
  return settings({ ...uid, ...rest, ...hooks })
}

function replays(site, wires) {
  describe(site.name, () => {
    for (const recording of RECORDINGS) {
      describe(`${recording.name}: ${recording.about}`, () => {
        let server, business
        before(async () => {
          business = await Business.open()
          server = await site.start({ title: `the recording ${recording.name}`, env: recorded(recording, business, site) })
        })
        after(async () => {
          try {
            await server?.stop()
          } finally {
            business?.close()
          }
        })

        for (const way of wires) {
          it(`is as recorded: ${way.name}`, async () => {
            const replay = new Replay(recording, server, business, way)
            try {
              await replay.play()
            } catch (error) {
              await replay.clean().catch(() => {}) // what failed first is what is told
              throw error
            }
            await replay.clean()
          })
        }
      })
    }
  })
}

for (const site of SITES) replays(site, WIRES)
for (const site of ON_REDIS) replays(site, keep([wire(2, 'websocket only')]))
