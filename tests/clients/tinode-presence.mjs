// Who is there, as Tinode's clients are told, on one node and on two: contacts that come and go, groups that wake and fall asleep, what has changed.
// A user who has left is there for four seconds more: nothing here measures them, all waits are for what is told.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { acs, data, pres } from './tinode/client.mjs'
import { P2P, stand, USER } from './tinode/people.mjs'
import { SITES } from './tinode/stage.mjs'

const HI = { ua: 'Ben/2.0' }
const row = async (client, topic) => (await client.gets('me', 'sub')).sub.find(row => row.topic === topic)
/** Comes to `me` and asks for the list with it. */
const arrives = async (people, person, options) => {
  const client = await people.signs(person, options)
  return Object.assign(client, { onMe: true, listed: await client.subs('me', { what: 'sub desc' }) })
}

function contacts(scene) {
  scene('the first session is told of, with what it is, and the last one; not those between', async people => {
    const [a, b] = await people.pair()
    await b.goes()
    await a.sees(pres('me', b.id, 'off', { ua: 'Tests/1.0' }))
    const first = await arrives(people, b.person, { hi: HI })
    await a.sees(pres('me', b.id, 'on', { ua: 'Ben/2.0' }))
    await first.sees(pres('me', a.id, 'on'))
    const second = await arrives(people, b.person)
    assert.equal(second.listed.sub[0].online, true, 'of a later session the list says it')
    await second.isQuiet()
    await first.goes()
    await a.publishes(b.id, 'still there')
    await second.sees(pres('me', a.id, 'msg', { seq: 1, act: a.id }))
    assert.equal((await row(a, b.id)).online, true)
    await second.goes()
    await a.sees(pres('me', b.id, 'off', { ua: 'Tests/1.0' }))
    assert.equal((await row(a, b.id)).online, undefined)
  })

  scene('who comes first is told of those who are there, and not by the list', async people => {
    const [a, b] = await people.pair()
    const c = await people.enters(await people.user('cleo'))
    await people.meet(a, c)
    await c.goes()
    await a.sees(pres('me', c.id, 'off', { ua: 'Tests/1.0' }))
    await a.goes()
    await b.sees(pres('me', a.id, 'off', { ua: 'Tests/1.0' }))
    const again = await arrives(people, a.person)
    const { sub } = again.listed
    assert.deepEqual(sub.map(({ online }) => online), [undefined, undefined])
    assert.ok(sub.find(({ topic }) => topic === c.id).seen)
    await again.sees(pres('me', b.id, 'on'))
    await b.sees(pres('me', a.id, 'on', { ua: 'Tests/1.0' }))
    await again.isQuiet()
  })

  scene('who comes back within four seconds was never away', async people => {
    const [a, b] = await people.pair()
    let current = b
    for (let i = 0; i < 3; i++) {
      const again = await people.signs(b.person)
      current.cut()
      const { sub } = await again.subs('me', { what: 'sub' })
      assert.equal(sub[0].online, true)
      await again.isQuiet()
      current = again
    }
    await a.publishes(b.id, 'x')
    await current.sees(pres('me', a.id, 'msg', { seq: 1, act: a.id }))
    await a.isQuiet()
  })

  scene('leaving me is going, attached to other topics or not', async people => {
    const [a, b] = await people.pair()
    await b.leaves('me')
    await a.sees(pres('me', b.id, 'off', { ua: 'Tests/1.0' }))
    await a.publishes(b.id, 'x')
    await b.sees(data(a.id, a.id, 1, 'x'))
    const { sub } = await b.subs('me', { what: 'sub' })
    assert.equal(sub[0].online, undefined)
    await a.sees(pres('me', b.id, 'on', { ua: 'Tests/1.0' }))
    await b.sees(pres('me', a.id, 'on'))
  })

  scene('who is only signed in, or attached elsewhere, is not there', async people => {
    const [a, ben] = [await people.enters(await people.user('ann')), await people.user('ben')]
    const b = await people.signs(ben)
    await b.subs(a.id)
    await a.sees(pres('me', b.id, 'acs', { act: b.id, dacs: { want: P2P, given: P2P } }))
    assert.equal((await row(a, b.id)).online, undefined)
    await b.subs('me')
    await a.sees(pres('me', b.id, 'on', { ua: 'Tests/1.0' }))
  })

  scene('without P one sees nobody come and go', async people => {
    const [a, b] = await people.pair()
    await a.does('set', { topic: b.id, sub: { mode: 'JRW' } }, 200, { acs: acs('JRW', USER) })
    await b.sees(pres(a.id, a.id, 'acs', { dacs: { want: '-PAD' } }))
    await a.sees(pres('me', b.id, 'off'))
    await b.goes()
    await people.enters(b.person)
    assert.equal((await row(a, b.id)).online, undefined)
    await a.isQuiet()
    await a.does('set', { topic: b.id, sub: { mode: P2P } }, 200, { acs: acs(P2P, USER) })
    await a.sees(pres('me', b.id, 'on'))
  })

  scene('a changed public is told to contacts on me, and to nobody else', async people => {
    const [a, b] = await people.pair()
    const stranger = await people.enters(await people.user('stranger'))
    const other = await people.enters(b.person)
    await b.does('set', { topic: 'me', desc: { public: { fn: 'Benjamin' } } })
    await a.sees(pres('me', b.id, 'upd'))
    await other.sees(pres('me', 'me', 'upd'))
    await b.does('set', { topic: 'me', desc: { private: 'mine' } })
    await other.sees(pres('me', 'me', 'upd'))
    assert.deepEqual((await row(a, b.id)).public, { fn: 'Benjamin' })
    await a.isQuiet()
    await stranger.isQuiet()
  })

  scene('who deletes himself is gone: his sessions are closed, contacts are told, groups of his end', async people => {
    const [a, b] = await people.pair()
    const c = await people.enters(await people.user('cleo'))
    const grp = await people.gather(b, [c])
    const other = await people.signs(b.person)
    await b.does('del', { topic: '', what: 'user', hard: true })
    for (const session of [b, other]) {
      await session.skipsTo({ ctrl: { code: 205, text: 'evicted', ts: '{ts}' } })
      await session.ends()
    }
    await a.skipsTo(pres('me', b.id, 'gone'))
    await c.skipsTo(pres('me', grp, 'gone'))
    assert.equal((await a.gets('me', 'sub')).sub?.some(({ topic }) => topic === b.id) ?? false, false)
    await a.subs(b.id, { code: 404 })
    await c.subs(grp, { code: 404 })
    await a.getsNothing(b.id, 'desc', 404)
  })

  scene('nobody deletes somebody else', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    await a.does('del', { topic: '', what: 'user', user: b.id, hard: true }, 403)
    await a.does('del', { topic: '', what: 'user', user: 'usrAAAAAAAAAAE' }, 403)
    await b.answers()
  })
}

function groups(scene) {
  scene('members who are attached are told of users, not of sessions', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b])
    const second = await people.signs(b.person)
    await second.subs(grp)
    await b.leaves(grp)
    await people.barrier(second, grp, a)
    await second.leaves(grp)
    await a.sees(pres(grp, b.id, 'off'))
    await b.subs(grp)
    await a.sees(pres(grp, b.id, 'on'))
    b.cut()
    await a.sees(pres(grp, b.id, 'off'))
  })

  scene('a group wakes with its first session, and sleeps four seconds after its last', async (people, { server: { nodes } }) => {
    // A node that has just told that it sleeps may tell once more that it is awake, where somebody came by another node meanwhile.
    const next = (session, told) => nodes.length > 1 ? session.skipsTo(told) : session.sees(told)
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.group(a)
    await people.invites(a, grp, b)
    await a.leaves(grp)
    for (const session of [a, b]) await session.sees(pres('me', grp, 'off'))
    assert.equal((await row(b, grp)).online, undefined)
    await a.subs(grp)
    for (const session of [a, b]) await session.sees(pres('me', grp, 'on'))
    assert.equal((await row(b, grp)).online, true)
    await a.leaves(grp)
    await b.subs(grp)
    await b.does('pub', { topic: grp, content: 'y', noecho: true }, 202)
    await next(a, pres('me', grp, 'msg', { seq: 1, act: b.id }))
    b.cut()
    await next(a, pres('me', grp, 'off'))
  })

  scene('messages wait on me of those who are not attached, with R and P', async people => {
    const [a, b, c, d] = await people.crowd('ann', 'ben', 'cleo', 'dora')
    const grp = await people.group(a)
    await people.invites(a, grp, b, 'JRWPS')
    await people.invites(a, grp, c, 'JWPS')
    await people.invites(a, grp, d, 'JRWS')
    await a.publishes(grp, 'x')
    await b.sees(pres('me', grp, 'msg', { seq: 1, act: a.id }))
    await a.does('set', { topic: grp, desc: { public: 'renamed' } })
    await b.sees(pres('me', grp, 'upd'))
    await c.sees(pres('me', grp, 'upd'))
    await d.isQuiet()
  })
}

describe('presence', { concurrency: SITES.length }, () => {
  for (const site of SITES) describe(site.name, { concurrency: 1 }, () => {
    for (const [title, stories] of Object.entries({ contacts, groups })) {
      describe(title, () => stories(stand(site, { title: `presence: ${title}` }).scene))
    }
  })
})
