// iPhones: the Swift client, replayed from what its source says (../shared/spec/ios.md), as no Mac is at hand. Its three versions, each over
// websocket only, polling only and polling with upgrade; all that the server says to them is checked for what that client can't take.
import { after, before, describe } from 'node:test'
import { origins, replay, versions } from './ios/replay.mjs'
import { dropped, kicked } from './ios/returns.mjs'
import { Session } from './ios/session.mjs'
import { DRESSES, phones } from './ios/wires.mjs'
import { scenes } from './party.mjs'
import { SITES } from './sites.mjs'
import { comeback } from './story/comeback.mjs'
import { kickout } from './story/kickout.mjs'
import { messages } from './story/messages.mjs'
import { rooms } from './story/rooms.mjs'
import { sessions } from './story/sessions.mjs'
import { pages } from './story/sync.mjs'
import { wire } from './wires.mjs'

// Often, so that pings come between everything else.
const PINGS = { AO_WEBSOCKET__PING_INTERVAL: '1s' }

/** Tests whose phones must not have heard anything that would crash them. */
const strict = scene => (title, play) => scene(title, async party => {
  try {
    await play(party)
    for (const { socket } of party.clients) if (socket.violation) throw socket.violation
  } finally {
    Session.abandonAll()
  }
})

for (const site of SITES) describe(site.name, () => {
  /** A server for the tests of one `describe`, and a way to declare them. */
  const stand = (title, env = {}, way = wire(4, 'websocket only')) => {
    const stage = { wire: way }
    before(async () => { stage.server = await site.start({ title: `iOS, ${title}`, env: { ...PINGS, ...env } }) })
    after(() => stage.server?.stop())
    return { stage, scene: strict(scenes(stage)) }
  }

  describe('the client story', () => {
    const { stage, scene } = stand('the client story')
    for (const phone of phones(DRESSES.dressed)) describe(phone.name, () => {
      before(() => { stage.wire = phone })
      for (const chapter of [sessions, rooms, messages, pages, kickout, comeback]) chapter(scene, site)
    })
  })

  describe('the replay', () => {
    const { scene } = stand('the replay')
    const hasty = stand('people in a hurry', { AO_AUTH__TIMEOUT: '2s', AO_AUTH__JOIN_TIMEOUT: '5s' })
    replay(scene, hasty.scene)
    versions(scene)
    kicked(hasty.scene)
  })

  describe('origins', () => {
    const { scene } = stand('origins', { AO_WEBSOCKET__ORIGINS: 'http://chat.example:8080,https://chat.example' })
    origins(scene)
  })

  describe('the server ends', () => dropped(site, strict, PINGS))
})
