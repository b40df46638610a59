// Who may do what, on one node and on two: modes and their changes, invitations, bans, owners, blocks; and who is told of it, in which words.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { acs, data, evicted, pres } from './tinode/client.mjs'
import { GROUP, NOBODY, OWNER, P2P, stand, USER } from './tinode/people.mjs'
import { SITES } from './tinode/stage.mjs'

const GONE = { dacs: { want: 'N', given: 'N' } }
const sub = (user, mode) => ({ sub: { user, ...(mode !== undefined && { mode }) } })
/** Sets another's mode, and the answer says what is given. */
const gives = (actor, topic, guest, mode, code = 200) => actor.does('set', { topic, ...sub(guest.id, mode) }, code)
const wants = (actor, topic, mode, code = 200, params) => actor.does('set', { topic, sub: { mode } }, code, params)
const rowOf = async (viewer, topic, { id }) => (await viewer.gets(topic, 'sub')).sub.find(({ user }) => user === id)

function joining(scene) {
  scene('an open group: want and given are its defaults, told in the answer', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.group(a)
    const { ctrl } = await b.subs(grp)
    assert.deepEqual(ctrl.params, { acs: acs(GROUP) })
    const came = await a.sees(pres(grp, b.id, 'acs', { dacs: { want: GROUP, given: GROUP } }), pres(grp, b.id, 'on'))
    assert.deepEqual(came.map(({ pres }) => pres.what), ['acs', 'on'], 'first what he may, then that he is there')
    await b.sees(pres('me', grp, 'on'))
    await b.leaves(grp)
    await a.sees(pres(grp, b.id, 'off'))
    assert.equal((await b.subs(grp)).ctrl.params ?? undefined, undefined, 'he is a member already')
    await a.sees(pres(grp, b.id, 'on'))
    const own = await c.subs(grp, { set: { sub: { mode: 'JRW' } } })
    assert.deepEqual(own.ctrl.params, { acs: acs('JRW', GROUP) })
    for (const session of [a, b]) await session.sees(pres(grp, c.id, 'acs', { dacs: { want: 'JRW', given: GROUP } }), pres(grp, c.id, 'on'))
    await c.isQuiet()
  })

  scene('want may be more than is given, and counts no more than that', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.group(a, { desc: { defacs: { auth: 'JR', anon: 'N' } } })
    const { ctrl } = await b.subs(grp, { set: { sub: { mode: 'JRWPA' } } })
    assert.deepEqual(ctrl.params, { acs: acs('JRWPA', 'JR') })
    await b.does('pub', { topic: grp, content: 'x' }, 403)
    await b.isQuiet()
    await gives(a, grp, b, 'JRWP')
    await b.sees(pres(grp, undefined, 'acs', { dacs: { given: '+WP' } }), pres('me', grp, 'on'))
    assert.equal(await b.publishes(grp, 'x'), 1)
  })

  scene('closed groups, by any means', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    for (const auth of ['N', 'RWP', 'RWPASD']) {
      const grp = await people.group(a, { as: `new${auth}`, desc: { defacs: { auth, anon: 'N' } } })
      await b.subs(grp, { code: 403 })
      await b.subs(grp, { code: 403, set: { sub: { mode: 'JRWP' } } })
      await b.subs(`chn${grp.slice(3)}`, { code: 404 })
    }
    const open = await people.group(a, { as: 'new9' })
    await b.subs(open, { code: 403, set: { sub: { mode: 'RWP' } } })
    await b.subs(open, { code: 400, set: { sub: { mode: 'xyz' } } })
    const guest = await people.greets('guest')
    await guest.does('acc', { user: 'new', scheme: 'anonymous', login: true })
    await guest.subs(open, { code: 403 })
    await a.does('set', { topic: open, desc: { defacs: { anon: 'JR' } } })
    assert.deepEqual((await guest.subs(open)).ctrl.params, { acs: acs('JR') })
  })

  scene('128 members, and not one more; nor by invitation; readers of a place that is free', async people => {
    const a = await people.signs(await people.user('ann'))
    const grp = await people.group(a, { desc: { defacs: { auth: 'JRW', anon: 'JRW' } } })
    const guests = await Promise.all(Array.from({ length: 129 }, async (_, i) => {
      const guest = await people.greets(`guest ${i}`)
      guest.id = (await guest.does('acc', { user: 'new', scheme: 'anonymous', login: true })).params.user
      return guest
    }))
    const more = guests.splice(127)
    for (const guest of guests) await guest.subs(grp)
    assert.equal((await a.gets(grp, 'sub')).sub.length, 128)
    for (const guest of more) {
      assert.equal((await guest.subs(grp, { code: 422 })).ctrl.text, 'policy violation')
      await gives(a, grp, guest, 'JRW', 422)
    }
    await guests[5].leaves(grp)
    await guests[5].subs(grp)
    await guests[6].leaves(grp, 200, { unsub: true })
    await more[0].subs(grp)
    await more[1].subs(grp, { code: 422 })
    await guests[6].subs(grp, { code: 422 })
    a.cursor = a.told.length
    await guests[7].publishes(grp, 'to all of them')
    for (const guest of guests.filter((_, i) => i !== 6 && i !== 7)) await guest.skipsTo(data(grp, guests[7].id, 1, 'to all of them'))
  })
}

function inviting(scene) {
  scene('with a mode by who may approve, without one by who may share', async people => {
    const [a, b, c, d] = await people.crowd('ann', 'ben', 'cleo', 'dora')
    const grp = await people.gather(a, [b])
    assert.deepEqual((await gives(b, grp, c)).params, { acs: acs(GROUP), user: c.id })
    await c.sees(pres('me', grp, 'acs', { act: b.id, dacs: { want: GROUP, given: GROUP } }), pres('me', grp, 'on'))
    await a.sees(pres(grp, c.id, 'acs', { act: b.id, dacs: { want: GROUP, given: GROUP } }))
    await gives(b, grp, d, 'JRW', 403)
    await gives(b, grp, c, 'JR', 403)
    assert.deepEqual((await gives(a, grp, d, 'JRWPA')).params, { acs: acs('JRWPA'), user: d.id })
    await b.sees(pres(grp, d.id, 'acs', { act: a.id, dacs: { want: 'JRWPA', given: 'JRWPA' } }))
    await d.sees(pres('me', grp, 'acs', { act: a.id, dacs: { want: 'JRWPA', given: 'JRWPA' } }), pres('me', grp, 'on'))
    assert.equal((await d.subs(grp)).ctrl.params ?? undefined, undefined)
    for (const session of [a, b]) await session.sees(pres(grp, d.id, 'on'))
    await gives(d, grp, c, 'JRP')
    await c.sees(pres('me', grp, 'acs', { act: d.id, dacs: { given: '-WS' } }))
    for (const session of [a, b]) await session.sees(pres(grp, c.id, 'acs', { act: d.id, dacs: { given: '-WS' } }))
    for (const session of [a, b, c, d]) await session.isQuiet()
  })

  scene('who has neither invites nobody; a member of a closed group is let in to join, and no more', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [b], { mode: 'JRW', desc: { defacs: { auth: 'RW', anon: 'N' } } })
    await gives(b, grp, c, undefined, 403)
    await gives(b, grp, c, 'J', 403)
    assert.deepEqual((await gives(a, grp, c)).params.acs.given, 'J')
    await c.subs(grp)
    await c.does('pub', { topic: grp, content: 'x' }, 403)
  })

  scene('what is no mode and no user', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.group(a)
    for (const mode of ['x', 'JRX', '?', '123', 'é', 'JRW!']) await gives(a, grp, b, mode, 400)
    for (const user of ['usr', 'usrx', 'ben', 'me', grp, `${b.id}x`]) await a.does('set', { topic: grp, ...sub(user, GROUP) }, 400)
    assert.equal((await a.does('set', { topic: grp, ...sub(NOBODY, GROUP) }, 404)).text, 'user not found')
    await wants(a, grp, 'JRWPASDX', 400)
    await b.isQuiet()
  })

  scene('modes are changed by letters too, and only what changed is told', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b])
    for (const [mode, given, dacs] of [
      ['JRWPASD', 'JRWPASD', { given: '+AD' }], ['-W', 'JRPASD', { given: '-W' }], ['+W-AD', 'JRWPS', { given: '+W-AD' }], ['JRWPD', 'JRWPD', { given: '+D-S' }],
    ]) {
      assert.deepEqual((await gives(a, grp, b, mode)).params, { acs: acs(GROUP, given), user: b.id })
      await b.sees(pres(grp, undefined, 'acs', { dacs }))
    }
    await gives(a, grp, b, 'JRWPD')
    await b.isQuiet()
    await wants(b, grp, 'JRWPASD', 200, { acs: acs('JRWPASD', 'JRWPD') })
    await a.sees(pres(grp, b.id, 'acs', { dacs: { want: '+AD' } }))
    await wants(b, grp, '-AD', 200, { acs: acs(GROUP, 'JRWPD') })
    await a.sees(pres(grp, b.id, 'acs', { dacs: { want: '-AD' } }))
    await a.isQuiet()
  })
}

function taking(scene) {
  scene('banned: out of the topic, listed on me, and not let in again, not by leaving either', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [b, c])
    const other = await people.signs(b.person)
    await other.subs(grp)
    await gives(a, grp, b, 'N')
    for (const session of [b, other]) await session.skipsTo(evicted(grp, false))
    await b.skipsTo(pres('me', grp, 'off'))
    await c.sees(pres(grp, b.id, 'acs', { act: a.id, dacs: { given: `-${GROUP}` } }), pres(grp, b.id, 'off'))
    await a.sees(pres(grp, b.id, 'off'))
    const listed = (await b.gets('me', 'sub')).sub.find(({ topic }) => topic === grp)
    assert.deepEqual(listed.acs, acs(GROUP, 'N'))
    for (const session of [b, other]) {
      await session.subs(grp, { code: 403 })
      await session.does('pub', { topic: grp, content: 'x' }, 409)
    }
    await a.publishes(grp, 'without him')
    await c.sees(data(grp, a.id, 1, 'without him'))
    await a.does('del', { topic: grp, what: 'sub', user: b.id })
    await b.subs(grp, { code: 403 })
    await gives(c, grp, b, undefined, 403)
    await b.skipsTo(pres('me', grp, 'gone'))
    await gives(a, grp, b, GROUP)
    await b.sees(pres('me', grp, 'acs', { act: a.id, dacs: { want: GROUP, given: GROUP } }), pres('me', grp, 'on'))
    await b.subs(grp)
  })

  scene('removed: evicted for good, gone from me; he may come again with what he was given', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [b, c])
    const away = await people.enters(b.person)
    await c.does('del', { topic: grp, what: 'sub', user: b.id }, 403)
    await gives(a, grp, b, 'JRWPSD')
    await b.sees(pres(grp, undefined, 'acs', { dacs: { given: '+D' } }))
    await c.sees(pres(grp, b.id, 'acs', { act: a.id, dacs: { given: '+D' } }))
    await a.does('del', { topic: grp, what: 'sub', user: b.id })
    await b.sees(evicted(grp, true), pres('me', grp, 'gone'))
    await away.skipsTo(pres('me', grp, 'gone'))
    await c.sees(pres(grp, b.id, 'acs', { act: a.id, ...GONE }), pres(grp, b.id, 'off'))
    await a.sees(pres(grp, b.id, 'off'))
    assert.equal(await rowOf(a, grp, b), undefined)
    assert.equal((await b.gets('me', 'sub')).sub?.some(({ topic }) => topic === grp) ?? false, false)
    assert.equal((await a.does('del', { topic: grp, what: 'sub', user: b.id }, 304)).text, 'no action')
    assert.equal((await a.does('del', { topic: grp, what: 'sub', user: NOBODY }, 304)).text, 'no action')
    await a.does('del', { topic: grp, what: 'sub', user: 'usrx' }, 400)
    const { ctrl } = await b.subs(grp)
    assert.deepEqual(ctrl.params.acs.given, 'JRWPSD')
  })

  scene('he leaves for good: his other sessions are out, others are told, and he may come back', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b])
    const other = await people.signs(b.person), listening = await people.enters(b.person)
    await other.subs(grp)
    listening.cursor = listening.told.length
    await b.leaves(grp, 200, { unsub: true })
    await other.sees(evicted(grp, true))
    await listening.skipsTo(pres('me', grp, 'gone'))
    await a.sees(pres(grp, b.id, 'acs', GONE), pres(grp, b.id, 'off'))
    await b.leaves(grp, 409, { unsub: true })
    await b.leaves(grp, 304)
    assert.deepEqual((await b.subs(grp)).ctrl.params, { acs: acs(GROUP) })
    await a.sees(pres(grp, b.id, 'acs', { dacs: { want: GROUP, given: GROUP } }), pres(grp, b.id, 'on'))
  })

  scene('his own want of N is a way out, and its end', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b])
    await wants(b, grp, 'N', 200, { acs: acs('N', GROUP) })
    const codes = b.log.slice(-4).map(({ ctrl }) => ctrl?.code).filter(code => [200, 205].includes(code))
    assert.deepEqual(codes.slice(-2), [205, 200], 'first out, then the answer')
    await b.skipsTo(evicted(grp, false))
    await a.sees(pres(grp, b.id, 'acs', { dacs: { want: `-${GROUP}` } }), pres(grp, b.id, 'off'))
    await a.publishes(grp, 'unheard')
    await b.does('pub', { topic: grp, content: 'x' }, 409)
    const { ctrl } = await b.subs(grp, { set: { sub: { mode: GROUP } } })
    assert.deepEqual(ctrl.params.acs, acs(GROUP))
    await a.sees(pres(grp, b.id, 'acs', { dacs: { want: GROUP } }), pres(grp, b.id, 'on'))
  })

  scene('own other sessions learn of a change, attached or not, and all of them that nobody is seen any more', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b])
    const attached = await people.enters(b.person), listening = await people.enters(b.person)
    await attached.subs(grp)
    await wants(b, grp, 'JRWP', 200, { acs: acs('JRWP', GROUP) })
    await attached.sees(pres(grp, undefined, 'acs', { dacs: { want: '-S' } }))
    await listening.sees(pres('me', grp, 'acs', { dacs: { want: '-S' } }))
    await wants(listening, grp, 'JRW', 200, { acs: acs('JRW', GROUP) })
    for (const session of [b, attached]) await session.sees(pres(grp, undefined, 'acs', { dacs: { want: '-P' } }), pres('me', grp, 'off'))
    await listening.sees(pres('me', grp, 'off'))
    await gives(a, grp, b, 'JRWPA')
    for (const session of [b, attached]) await session.sees(pres(grp, undefined, 'acs', { dacs: { given: '+A-S' } }))
    await listening.sees(pres('me', grp, 'acs', { act: a.id, dacs: { given: '+A-S' } }))
    await a.sees(pres(grp, b.id, 'acs', { dacs: { want: '-S' } }), pres(grp, b.id, 'acs', { dacs: { want: '-P' } }))
    for (const session of [a, b, attached, listening]) await session.isQuiet()
  })

  scene('without R nothing is heard, without W nothing said, without P nobody seen', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b])
    await gives(a, grp, b, 'JWPS')
    await b.sees(pres(grp, undefined, 'acs', { dacs: { given: '-R' } }))
    await a.publishes(grp, 'unheard')
    a.note(grp, 'kp')
    await b.getsNothing(grp, 'data', 403)
    assert.equal(await b.publishes(grp, 'a call'), 2)
    await a.sees(data(grp, b.id, 2, 'a call'))
    await gives(a, grp, b, 'JRPS')
    await b.sees(pres(grp, undefined, 'acs', { dacs: { given: '+R-W' } }))
    await b.does('pub', { topic: grp, content: 'x' }, 403)
    assert.deepEqual((await b.gets(grp, 'data')).data.map(({ seq }) => seq), [1, 2])
    await gives(a, grp, b, 'JRS')
    await b.sees(pres(grp, undefined, 'acs', { dacs: { given: '-P' } }), pres('me', grp, 'off'))
    await b.leaves(grp)
    await a.sees(pres(grp, b.id, 'off'))
    await a.publishes(grp, 'he is not told')
    await gives(a, grp, b, GROUP)
    await b.sees(pres('me', grp, 'acs', { act: a.id, dacs: { given: '+WP' } }), pres('me', grp, 'on'))
  })
}

function owning(scene) {
  scene('the owner cannot go, be removed or lowered, nor lower himself', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b], { mode: USER })
    await a.leaves(grp, 403, { unsub: true })
    await wants(a, grp, USER, 403)
    await wants(a, grp, 'N', 403)
    await wants(a, grp, 'JRO', 200, { acs: acs('JRO', OWNER) })
    await b.sees(pres(grp, a.id, 'acs', { dacs: { want: '-WPASD' } }))
    await a.sees(pres('me', grp, 'off'))
    await wants(a, grp, OWNER)
    await b.sees(pres(grp, a.id, 'acs', { dacs: { want: '+WPASD' } }))
    await a.sees(pres('me', grp, 'on'))
    await gives(b, grp, a, USER, 403)
    await gives(b, grp, a, 'N', 403)
    await b.does('del', { topic: grp, what: 'sub', user: a.id }, 403)
    await a.does('del', { topic: grp, what: 'sub', user: a.id }, 403)
    await a.isQuiet()
  })

  scene('a group is handed over: given by the owner, taken by the member', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [b, c], { mode: USER })
    await gives(c, grp, b, OWNER, 403)
    await wants(c, grp, OWNER, 200, { acs: acs(OWNER, USER) })
    for (const session of [a, b]) await session.sees(pres(grp, c.id, 'acs', { dacs: { want: '+O' } }))
    assert.deepEqual((await gives(a, grp, b, OWNER)).params.acs, acs(USER, OWNER))
    await b.sees(pres(grp, undefined, 'acs', { dacs: { given: '+O' } }))
    await c.sees(pres(grp, b.id, 'acs', { act: a.id, dacs: { given: '+O' } }))
    await b.does('set', { topic: grp, desc: { public: 'not yet' } }, 403)
    await wants(b, grp, OWNER, 200, { acs: acs(OWNER) })
    await a.sees(pres(grp, b.id, 'acs', { dacs: { want: '+O' } }), pres(grp, undefined, 'acs', { dacs: { want: '-O', given: '-O' } }))
    const rows = (await c.gets(grp, 'sub')).sub
    assert.deepEqual(rows.filter(({ acs }) => acs.mode.includes('O')).map(({ user }) => user), [b.id])
    assert.deepEqual(rows.find(({ user }) => user === a.id).acs, acs(USER))
    await a.does('set', { topic: grp, desc: { public: 'no more' } }, 403)
    await b.does('set', { topic: grp, desc: { public: 'now' } })
    await b.leaves(grp, 403, { unsub: true })
    await a.leaves(grp, 200, { unsub: true })
  })

  scene('what its owner so far has offered to others too ends with handing the group over', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [b, c], { mode: USER })
    for (const member of [b, c]) await gives(a, grp, member, OWNER)
    await c.skipsTo(pres(grp, undefined, 'acs', { dacs: { given: '+O' } }))
    await wants(b, grp, OWNER, 200, { acs: acs(OWNER) })
    await c.sees(pres(grp, b.id, 'acs', { dacs: { want: '+O' } }), pres(grp, a.id, 'acs', { act: b.id, dacs: { want: '-O', given: '-O' } }), pres(grp, undefined, 'acs', { dacs: { given: '-O' } }))
    await wants(c, grp, OWNER, 200, { acs: acs(OWNER, USER) })
    await c.does('set', { topic: grp, desc: { public: 'mine' } }, 403)
    await b.does('set', { topic: grp, desc: { public: 'mine' } })
  })

  scene('O is given to nobody who comes: not by defaults, not by asking', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.group(a, { desc: { defacs: { auth: OWNER, anon: 'N' } } })
    const { ctrl } = await b.subs(grp, { set: { sub: { mode: OWNER } } })
    assert.ok(!ctrl.params.acs.mode.includes('O'))
    await b.does('set', { topic: grp, desc: { public: 'mine' } }, 403)
  })
}

function blocking(scene) {
  scene('in a pair each sets what the other may, and A is always among it', async people => {
    const [a, b] = await people.pair()
    assert.deepEqual((await gives(b, a.id, a, 'JRP')).params, { acs: acs(P2P, 'JRPA', 'JRPA'), user: a.id })
    await a.sees(pres(b.id, undefined, 'acs', { dacs: { given: '-WSD' } }))
    await a.does('pub', { topic: b.id, content: 'x' }, 403)
    assert.deepEqual((await rowOf(a, b.id, a)).acs, acs(P2P, 'JRPA', 'JRPA'))
    await gives(b, a.id, a, P2P)
    await a.sees(pres(b.id, undefined, 'acs', { dacs: { given: '+WD' } }))
    assert.equal(await a.publishes(b.id, 'x'), 1)
    await b.sees(data(a.id, a.id, 1, 'x'))
    await a.does('set', { topic: b.id, ...sub(NOBODY, 'JRW') }, 403)
    await a.does('set', { topic: b.id, ...sub(b.id, 'xyz') }, 400)
    await a.does('del', { topic: b.id, what: 'sub', user: b.id }, 403)
  })

  scene('N blocks: out, and not in again; who blocks may still write', async people => {
    const [a, b] = await people.pair()
    assert.deepEqual((await gives(b, a.id, a, 'N')).params, { acs: acs(P2P, 'N'), user: a.id })
    await a.skipsTo(evicted(b.id, false))
    await a.skipsTo(pres('me', b.id, 'off'))
    await a.subs(b.id, { code: 403 })
    await a.does('pub', { topic: b.id, content: 'x' }, 409)
    assert.deepEqual((await a.gets('me', 'sub')).sub.find(({ topic }) => topic === b.id).acs, acs(P2P, 'N'))
    assert.equal(await b.publishes(a.id, 'still there?'), 1)
    await gives(b, a.id, a, P2P)
    await a.sees(pres('me', b.id, 'acs', { act: b.id, dacs: { given: P2P } }), pres('me', b.id, 'on'))
    assert.deepEqual((await a.subs(b.id, { what: 'data' })).data.map(({ content }) => content), ['still there?'])
  })

  scene('who leaves a pair for good: the other is told, may write on, and finds him again', async people => {
    const [a, b] = await people.pair()
    await a.publishes(b.id, 'one')
    await b.sees(data(a.id, a.id, 1, 'one'))
    await a.leaves(b.id, 200, { unsub: true })
    await b.sees(pres(a.id, a.id, 'acs', GONE), pres('me', a.id, 'off'))
    assert.equal((await a.gets('me', 'sub')).sub?.some(({ topic }) => topic === b.id) ?? false, false)
    assert.equal(await b.publishes(a.id, 'two'), 2)
    await a.isQuiet()
    const { ctrl, data: messages } = await a.subs(b.id, { what: 'data' })
    assert.deepEqual(ctrl.params, { acs: acs(P2P, USER) })
    assert.deepEqual(messages.map(({ seq, content }) => [seq, content]), [[1, 'one'], [2, 'two']])
    await b.sees(pres(a.id, a.id, 'acs', { dacs: { want: P2P, given: USER } }), pres('me', a.id, 'on'))
    assert.equal(await a.publishes(b.id, 'three'), 3)
  })

  scene('both have left: what was said is there when they come again', async people => {
    const [a, b] = await people.pair()
    await a.publishes(b.id, 'one')
    await a.leaves(b.id, 200, { unsub: true })
    await b.leaves(a.id, 200, { unsub: true })
    await a.subs(b.id)
    assert.equal(await a.publishes(b.id, 'two'), 2)
    const { data: messages } = await b.subs(a.id, { what: 'data' })
    assert.deepEqual(messages.map(({ seq }) => seq), [1, 2])
  })
}

for (const site of SITES) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ joining, inviting, taking, owning, blocking })) {
    describe(title, () => stories(stand(site, { title: `access: ${title}` }).scene))
  }
})
