// The client story, told to each site by each kind of client: each generation of socket.io-client with each way to use its transports,
// and the clients that others wrote.
// One site for all, in its default settings; the people and rooms of each test are its own.
import { after, before, describe } from 'node:test'
import { FOREIGN } from './foreign/wires.mjs'
import { scenes } from './party.mjs'
import { SITES } from './sites.mjs'
import { comeback } from './story/comeback.mjs'
import { kickout } from './story/kickout.mjs'
import { messages } from './story/messages.mjs'
import { rooms } from './story/rooms.mjs'
import { sessions } from './story/sessions.mjs'
import { pages } from './story/sync.mjs'
import { WIRES } from './wires.mjs'

for (const site of SITES) {
  describe(site.name, () => {
    const stage = {}
    before(async () => { stage.server = await site.start({ title: 'the client story' }) })
    after(() => stage.server?.stop())

    for (const wire of [...WIRES, ...FOREIGN]) {
      describe(wire.name, () => {
        before(() => { stage.wire = wire })
        const scene = scenes(stage)
        for (const chapter of [sessions, rooms, messages, pages, kickout, comeback]) chapter(scene, site)
      })
    }
  })
}
