// The client story to one server under TLS: https and wss, with a certificate that clients check. The authority is one that `scripts/test clients`
// made (TEST_TLS names its folder), and which all programs were told to trust.
import { after, before, describe } from 'node:test'
import { FOREIGN } from './foreign/wires.mjs'
import { scenes } from './party.mjs'
import { startServer } from './server.mjs'
import { comeback } from './story/comeback.mjs'
import { messages } from './story/messages.mjs'
import { sessions } from './story/sessions.mjs'
import { pages } from './story/sync.mjs'
import { WIRES } from './wires.mjs'

const folder = process.env.TEST_TLS
const stage = {}
before(async () => {
  if (!folder) throw new Error('TEST_TLS names no folder with certificates: scripts/test clients makes one')
  const env = { AO_WEBSOCKET__TLS_CERTIFICATE: `${folder}/server.crt`, AO_WEBSOCKET__TLS_KEY: `${folder}/server.key` }
  stage.server = await startServer({ title: 'under TLS', env })
})
after(() => stage.server?.stop())

for (const wire of [...WIRES, ...FOREIGN]) {
  describe(wire.name, () => {
    before(() => { stage.wire = wire })
    const scene = scenes(stage)
    for (const chapter of [sessions, messages, pages, comeback]) chapter(scene, { clustered: false })
  })
}
