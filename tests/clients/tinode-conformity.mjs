// Rules of the protocol that are easily broken, on one node and on two. How a change of access is written in each place where somebody reads of it: as what has
// come and gone against what was there, as the mode itself where nothing was there. And notes about topics where nothing can be noted.
import { describe } from 'node:test'
import { evicted, pres } from './tinode/client.mjs'
import { GROUP, NOBODY, NOWHERE, P2P, stand } from './tinode/people.mjs'
import { SITES } from './tinode/stage.mjs'

const gives = (actor, topic, guest, mode) => actor.does('set', { topic, sub: { user: guest.id, mode } })

function groups(scene) {
  scene('of a member who is away: he reads it on me, with who did it; those who are there read whose it is', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [c])
    await people.invites(a, grp, b)
    await c.sees(pres(grp, b.id, 'acs', { act: a.id, dacs: { want: GROUP, given: GROUP } }))
    for (const [mode, given, here] of [['JRP', '-WS', []], ['N', '-JRP', ['off']], ['JRW', 'JRW', []], ['JRWPS', '+PS', ['on']]]) {
      await gives(a, grp, b, mode)
      await b.sees(pres('me', grp, 'acs', { act: a.id, dacs: { given } }), ...here.map(what => pres('me', grp, what)))
      await c.sees(pres(grp, b.id, 'acs', { act: a.id, dacs: { given } }))
    }
    await a.does('del', { topic: grp, what: 'sub', user: b.id })
    await b.sees(pres('me', grp, 'gone'))
    await c.sees(pres(grp, b.id, 'acs', { act: a.id, dacs: { want: 'N', given: 'N' } }))
    for (const session of [a, b, c]) await session.isQuiet()
  })
}

function pairs(scene) {
  scene('a block and its end, as the blocker\'s other session and the blocked read them', async people => {
    const [a, b] = await people.pair()
    const other = await people.signs(a.person), away = await people.enters(b.person)
    await other.subs(b.id)
    await gives(a, b.id, b, 'N')
    await other.sees(pres(b.id, b.id, 'acs', { act: a.id, dacs: { given: `-${P2P}` } }))
    await b.sees(evicted(a.id, false), pres('me', a.id, 'off'))
    await away.sees(pres('me', a.id, 'acs', { act: a.id, dacs: { given: `-${P2P}` } }), pres('me', a.id, 'off'))
    await gives(a, b.id, b, 'JRWP')
    await other.sees(pres(b.id, b.id, 'acs', { act: a.id, dacs: { given: 'JRWPA' } }))
    for (const session of [b, away]) {
      await session.sees(pres('me', a.id, 'acs', { act: a.id, dacs: { given: 'JRWPA' } }), pres('me', a.id, 'on'))
    }
    for (const session of [a, other, b, away]) await session.isQuiet()
  })
}

function notes(scene) {
  scene('about what the session is not attached to: refused without an id, but for what was received', async people => {
    const a = await people.signs(await people.user('ann'))
    const refused = (topic, code, text) => ({ ctrl: { ...(topic && { topic }), code, text, ts: '{ts}' } })
    for (const topic of ['me', 'fnd', 'slf', 'sys', 'new1', 'nosuch', 'grpx', NOWHERE, NOBODY, a.id]) {
      for (const note of [['kp'], ['kpa'], ['kpv'], ['read', 1]]) {
        a.note(topic, ...note)
        await a.sees(refused(topic, 409, 'must attach first'))
      }
      for (const note of [['recv', 1], ['read', 0], ['read'], ['kp', 1], ['nosuch'], ['call', 1]]) a.note(topic, ...note)
      await a.isQuiet()
    }
    for (const topic of ['', 'usr', 'usrx', 'usrAAAAAAAAAAA']) {
      a.note(topic, 'kp')
      await a.sees(refused(topic, 400, 'malformed'))
    }
    for (const topic of ['me', 'fnd']) {
      await a.subs(topic)
      for (const note of [['kp'], ['read', 1], ['recv', 1]]) a.note(topic, ...note)
    }
    await a.isQuiet()
  })
}

for (const site of SITES) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ groups, pairs, notes })) {
    describe(title, () => stories(stand(site, { title: `conformity: ${title}` }).scene))
  }
})
