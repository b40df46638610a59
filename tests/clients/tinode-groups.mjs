// Groups and channels of Tinode's clients, on one node and on two: how they are made, what of them is shown to whom, what is set there, and how they end.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { acs, data, evicted, pres } from './tinode/client.mjs'
import { GROUP, NOBODY, NOWHERE, OWNER, stand } from './tinode/people.mjs'
import { row, shown, timeless } from './tinode/rows.mjs'
import { SITES } from './tinode/stage.mjs'

function groups(scene) {
  scene('a group is made: its name, what it is, and the answer', async people => {
    const [a] = await people.crowd('ann')
    const set = { desc: { public: { fn: 'Garden club' }, private: { comment: 'mine' } }, tags: ['Garden', 'x', 'club'] }
    const { ctrl, desc, sub, tags } = await a.subs('new117568', { what: 'desc sub tags', set })
    assert.match(ctrl.topic, /^grp[\w-]{11}$/)
    assert.deepEqual(ctrl.params, { acs: acs(OWNER), tmpname: 'new117568' })
    assert.deepEqual(shown(desc), { online: true, defacs: { auth: GROUP, anon: 'N' }, acs: acs(OWNER), public: { fn: 'Garden club' }, private: { comment: 'mine' } })
    assert.ok([1, 2].includes(desc.subcnt))
    assert.deepEqual(sub.map(timeless), [{ user: a.id, online: true, acs: acs(OWNER), public: { fn: 'Ann' }, private: { comment: 'mine' } }])
    assert.deepEqual(tags, ['club', 'garden'])
    await a.sees(pres('me', ctrl.topic, 'on'))
    const others = await Promise.all(['newx', 'new2', 'new117568'].map(name => a.subs(name)))
    assert.equal(new Set([ctrl.topic, ...others.map(({ ctrl }) => ctrl.topic)]).size, 4)
  })

  scene('with defaults of its own, and what is wrong is refused', async people => {
    const a = await people.signs(await people.user('ann'))
    const { desc } = await a.subs('new1', { what: 'desc', set: { desc: { defacs: { auth: 'JR', anon: 'J' } }, sub: { mode: 'JRWPASDO' } } })
    assert.deepEqual(desc.defacs, { auth: 'JR', anon: 'J' })
    await a.subs('new2', { set: { desc: { defacs: { auth: 'xyz' } } }, code: 400 })
    await a.subs('new3', { set: { tags: ['email:a@b'] }, code: 403 })
    await a.subs('new4', { set: { desc: { trusted: { verified: true } } }, code: 403 })
    await a.subs('new5', { set: { sub: { mode: 'JRWPASD' } }, code: 403 })
  })

  scene('what a member and a stranger are shown', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [b], { desc: { public: { fn: 'Club' }, defacs: { auth: 'JRWPS', anon: 'N' } }, tags: ['club'] })
    await a.publishes(grp, 'welcome')
    await b.sees(data(grp, a.id, 1, 'welcome'))
    const mine = await b.gets(grp, 'desc sub data aux')
    assert.deepEqual(shown(mine.desc), { online: true, defacs: { auth: GROUP, anon: 'N' }, acs: acs(GROUP), seq: 1, public: { fn: 'Club' } })
    assert.deepEqual(row(mine.sub, a.id), { user: a.id, online: true, acs: acs(OWNER), read: 1, recv: 1, public: { fn: 'Ann' } })
    assert.deepEqual(row(mine.sub, b.id), { user: b.id, online: true, acs: acs(GROUP), public: { fn: 'Ben' } })
    await b.getsNothing(grp, 'tags', 403)
    await b.leaves(grp)
    await a.sees(pres(grp, b.id, 'off'))
    assert.equal(row((await a.gets(grp, 'sub')).sub, b.id).online, undefined)
    const away = await b.gets(grp, 'desc sub')
    assert.deepEqual(away.desc.acs, acs(GROUP))
    assert.deepEqual(away.sub.map(({ user }) => user), [b.id])
    await b.getsNothing(grp, 'data tags del', 403)
    const { desc } = await c.gets(grp, 'desc')
    assert.deepEqual(shown(desc), { acs: { mode: GROUP }, public: { fn: 'Club' } })
    await c.getsNothing(grp, 'sub', 404)
    await c.getsNothing(grp, 'data tags', 403)
    await c.does('pub', { topic: grp, content: 'x' }, 409)
    await c.does('del', { topic: grp, what: 'msg', delseq: [{ low: 1 }] }, 409)
    for (const set of [{ desc: { public: 'x' } }, { desc: { private: 'x' } }, { sub: { mode: 'JR' } }, { tags: ['abc'] }]) await c.does('set', { topic: grp, ...set }, 304)
    await c.leaves(grp, 304)
  })

  scene('whoever holds no S is not shown the defaults', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b], { mode: 'JRWP' })
    assert.equal((await b.gets(grp, 'desc')).desc.defacs, undefined)
    assert.ok((await a.gets(grp, 'desc')).desc.defacs)
  })

  scene('of a member that is not attached little is taken', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.group(a)
    await people.invites(a, grp, b)
    await b.does('set', { topic: grp, desc: { private: { comment: 'x' } } })
    await b.does('set', { topic: grp, sub: { mode: 'JRP' } }, 200, { acs: acs('JRP', GROUP) })
    await a.skipsTo(pres(grp, b.id, 'acs', { dacs: { want: '-WS' } }))
    assert.deepEqual((await b.gets(grp, 'desc')).desc.private, { comment: 'x' })
    const refused = [{ desc: { public: 'x' } }, { tags: ['abc'] }, { aux: { a: 1 } }, { sub: { user: a.id, mode: GROUP } }, { sub: { user: NOBODY } }]
    for (const set of refused) await b.does('set', { topic: grp, ...set }, 304)
    await b.does('pub', { topic: grp, content: 'x' }, 409)
    await b.does('del', { topic: grp, what: 'msg', delseq: [{ low: 1 }] }, 409)
    await b.leaves(grp, 304)
  })

  scene('an unknown topic: every verb', async people => {
    const client = await people.signs(await people.user('ann'))
    const does = (verb, fields, code, text) => client.does(verb, { topic: NOWHERE, ...fields }, code).then(reply => text && assert.equal(reply.text, text, verb))
    await does('sub', {}, 404, 'topic not found')
    await client.getsNothing(NOWHERE, 'desc', 404)
    await client.getsNothing(NOWHERE, 'data', 403)
    await does('set', { desc: { private: 'x' } }, 404, 'not found')
    await does('pub', { content: 'x' }, 409, 'must attach first')
    await does('del', { what: 'msg', delseq: [{ low: 1 }] }, 409, 'must attach first')
    await does('leave', {}, 304, 'not joined')
    await does('del', { what: 'topic' }, 304, 'no action')
    client.note(NOWHERE, 'kp')
    await client.sees({ ctrl: { topic: NOWHERE, code: 409, text: 'must attach first', ts: '{ts}' } })
  })

  scene('public, defaults and tags are the owner\'s; members are told of the first', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [b, c], { mode: 'JRWPAS' })
    for (const set of [{ desc: { public: { fn: 'x' } } }, { desc: { defacs: { auth: 'N' } } }, { tags: ['abc'] }]) await b.does('set', { topic: grp, ...set }, 403)
    await c.leaves(grp)
    for (const session of [a, b]) await session.sees(pres(grp, c.id, 'off'))
    await a.does('set', { topic: grp, desc: { public: { fn: 'Renamed' } } })
    for (const session of [b, c]) await session.sees(pres('me', grp, 'upd'))
    await a.does('set', { topic: grp, tags: ['Tulips', 'roses'] }, 200, { added: 2 })
    assert.deepEqual((await a.gets(grp, 'tags')).tags, ['roses', 'tulips'])
    await a.does('set', { topic: grp, tags: ['basic:ann'] }, 403)
    await a.does('set', { topic: grp, tags: [] }, 304)
    await a.does('set', { topic: grp, desc: { defacs: { auth: 'JR' } } })
    assert.deepEqual((await b.gets(grp, 'desc')).desc.public, { fn: 'Renamed' })
    assert.deepEqual((await a.gets(grp, 'desc')).desc.defacs, { auth: 'JR', anon: 'N' })
    for (const session of [a, b, c]) await session.isQuiet()
  })

  scene('aux: set by the owner and who may approve, read by members', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.group(a)
    await people.invites(a, grp, b, 'JRWPA')
    await people.invites(a, grp, c, 'JRWPS')
    for (const session of [b, c]) await session.subs(grp)
    assert.deepEqual((await c.gets(grp, 'aux')).codes, [204])
    await a.does('set', { topic: grp, aux: { pins: [1, 2], note: 'x' } })
    await b.does('set', { topic: grp, aux: { note: '␡', more: { a: 1 } } })
    await c.does('set', { topic: grp, aux: { note: 'y' } }, 403)
    for (const session of [a, b, c]) assert.deepEqual((await session.gets(grp, 'aux')).aux, { pins: [1, 2], more: { a: 1 } })
  })

  scene('a group is deleted by its owner: it is gone for all, at once and for good', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    for (const [i, hard] of [true, undefined].entries()) {
      const grp = await people.gather(a, [b], { as: `new${i}` })
      await people.invites(a, grp, c)
      await b.skipsTo(pres(grp, c.id, 'acs', { act: a.id, dacs: { want: GROUP, given: GROUP } }))
      await a.publishes(grp, 'x')
      await b.sees(data(grp, a.id, 1, 'x'))
      await c.sees(pres('me', grp, 'msg', { seq: 1, act: a.id }))
      await a.does('del', { topic: grp, what: 'topic', ...hard && { hard } })
      for (const session of [b, c]) await session.sees(pres('me', grp, 'gone'))
      for (const session of [a, b, c]) {
        await session.subs(grp, { code: 404 })
        await session.getsNothing(grp, 'desc', 404)
        assert.equal(row((await session.gets('me', 'sub')).sub, grp), undefined)
      }
      await b.does('pub', { topic: grp, content: 'x' }, 409)
      assert.equal((await a.does('del', { topic: grp, what: 'topic', hard: true }, 304)).text, 'no action')
      a.cursor = a.told.length
    }
  })

  scene('a member who deletes it has only left, attached or not', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const gone = { dacs: { want: 'N', given: 'N' } }
    const grp = await people.gather(a, [b])
    await b.does('del', { topic: grp, what: 'topic', hard: true })
    await a.sees(pres(grp, b.id, 'acs', gone), pres(grp, b.id, 'off'))
    assert.equal(await a.publishes(grp, 'still here'), 1)
    assert.equal(row((await b.gets('me', 'sub')).sub, grp), undefined)
    await b.subs(grp)
    await a.sees(pres(grp, b.id, 'acs', { dacs: { want: GROUP, given: GROUP } }), pres(grp, b.id, 'on'))
    await b.leaves(grp)
    await a.sees(pres(grp, b.id, 'off'))
    await b.does('del', { topic: grp, what: 'topic' })
    await a.sees(pres(grp, b.id, 'acs', gone))
    await b.does('del', { topic: grp, what: 'topic' }, 304)
    await a.isQuiet()
  })

  scene('private is each member\'s own, and his other sessions learn of it', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b])
    const other = await people.enters(b.person)
    await b.does('set', { topic: grp, desc: { private: { comment: 'x', arch: true } } })
    await other.sees(pres('me', grp, 'upd'))
    await other.does('set', { topic: grp, desc: { private: { arch: '␡' } } })
    await b.sees(pres('me', grp, 'upd'))
    assert.deepEqual(row((await other.gets('me', 'sub')).sub, grp).private, { comment: 'x' })
    assert.deepEqual(row((await b.gets(grp, 'sub')).sub, b.id).private, { comment: 'x' })
    assert.equal(row((await a.gets(grp, 'sub')).sub, b.id).private, undefined)
    await a.isQuiet()
  })

  scene('rows of one member, so many, and those that are new; and what nobody knows', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [b, c])
    const users = async (sub, expected) => assert.deepEqual(((await a.gets(grp, 'sub', { sub })).sub ?? []).map(({ user }) => user).sort(), expected.map(({ id }) => id).sort())
    await users({}, [a, b, c])
    await users({ user: b.id }, [b])
    await users({ user: b.id, limit: 5 }, [b])
    assert.equal((await a.gets(grp, 'sub', { sub: { limit: 2 } })).sub.length, 2)
    const ims = new Date().toISOString()
    await users({ ims }, [])
    await a.does('set', { topic: grp, sub: { user: c.id, mode: 'JRWP' } })
    await users({ ims }, [c])
    const { desc } = await a.gets(grp, 'desc', { desc: { ims: new Date().toISOString() } })
    assert.deepEqual([desc.created, desc.public, desc.private], [undefined, undefined, undefined])
    await a.getsNothing(grp, 'cred', 403)
    for (const what of ['nosuch', '']) await a.does('get', { topic: grp, what }, 400)
    await a.does('set', { topic: grp }, 400)
    await a.does('set', { topic: grp, desc: { trusted: { verified: true } } }, 403)
  })
}

function channels(scene) {
  scene('readers read, unseen, and do not write', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const { ctrl, desc } = await a.subs('nch1', { what: 'desc', set: { desc: { public: { fn: 'News' } } } })
    const grp = ctrl.topic, chn = `chn${grp.slice(3)}`
    assert.match(grp, /^grp[\w-]{11}$/)
    assert.equal(ctrl.params.tmpname, 'nch1')
    assert.equal(desc.chan, true)
    await a.sees(pres('me', grp, 'on'))
    assert.equal(await a.publishes(grp, 'first'), 1)
    const joined = await b.subs(chn, { what: 'desc sub data' })
    assert.deepEqual([joined.ctrl.topic, joined.ctrl.params], [chn, { acs: acs('JRP') }])
    assert.equal(joined.desc.chan, true)
    assert.deepEqual(joined.sub.map(({ user }) => user), [b.id])
    assert.deepEqual(joined.data.map(message => ({ ...message, ts: 0 })), [{ topic: chn, ts: 0, seq: 1, content: 'first' }])
    await b.sees(pres('me', chn, 'on'))
    await b.does('pub', { topic: chn, content: 'x' }, 403)
    await a.does('pub', { topic: grp, content: 'second' }, 202, { seq: 2 })
    await a.sees(data(grp, a.id, 2, 'second'))
    await b.sees(data(chn, undefined, 2, 'second'))
    b.note(chn, 'read', 2)
    await b.answers()
    const listed = row((await b.gets('me', 'sub')).sub, chn)
    assert.deepEqual([listed.seq, listed.read, listed.recv, listed.acs], [2, 2, 2, acs('JRP')])
    await b.leaves(chn)
    await a.publishes(grp, 'third')
    await b.sees(pres('me', chn, 'msg', { seq: 3 }))
    assert.deepEqual((await a.gets(grp, 'sub')).sub.map(({ user }) => user), [a.id], 'readers are not members')
    await b.subs(chn)
    await b.leaves(chn, 200, { unsub: true })
    assert.equal(row((await b.gets('me', 'sub')).sub, chn), undefined)
    assert.equal((await c.gets(chn, 'desc')).desc.acs.mode, 'JRP')
    await a.isQuiet()
  })

  scene('a reader who leaves for good is out with all his sessions, and no member learns of him', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = (await a.subs('nch1')).ctrl.topic, chn = `chn${grp.slice(3)}`
    await a.sees(pres('me', grp, 'on'))
    const other = await people.signs(b.person)
    for (const session of [b, other]) await session.subs(chn)
    await b.does('set', { topic: chn, sub: { mode: 'JR' } }, 200, { acs: acs('JR', 'JRP') })
    await other.sees(pres(chn, undefined, 'acs', { dacs: { want: '-P' } }))
    await b.leaves(chn, 200, { unsub: true })
    await other.sees(evicted(chn, true))
    await a.isQuiet()
  })

  scene('a reader who becomes a member is counted once', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const { ctrl } = await a.subs('nch1')
    const grp = ctrl.topic, chn = `chn${grp.slice(3)}`
    const count = async () => (await a.gets(grp, 'desc')).desc.subcnt
    await b.subs(chn)
    await b.answers() // what belongs to joining is done
    assert.equal(await count(), 2)
    await b.leaves(chn)
    assert.deepEqual((await b.subs(grp)).ctrl.params, { acs: acs(GROUP) })
    await b.answers()
    assert.deepEqual((await a.gets(grp, 'sub')).sub.map(({ user }) => user).sort(), [a.id, b.id].sort())
    assert.equal(await count(), 2)
  })

  scene('a group that is no channel has no readers, and a member is none', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.group(a)
    await b.subs(`chn${grp.slice(3)}`, { code: 404 })
    const { ctrl } = await a.subs('nch2')
    const chn = `chn${ctrl.topic.slice(3)}`
    await people.signs(a.person).then(other => other.subs(chn, { code: 403 }))
    await a.skipsTo(pres('me', ctrl.topic, 'on'))
    await people.invites(a, ctrl.topic, b)
    await b.subs(ctrl.topic)
    await a.sees(pres(ctrl.topic, b.id, 'on'))
    assert.equal(await b.publishes(ctrl.topic, 'a member writes'), 1)
    await a.sees(data(ctrl.topic, b.id, 1, 'a member writes'))
  })

  scene('more readers than a group has members', async people => {
    const a = await people.signs(await people.user('ann'))
    const { ctrl } = await a.subs('nch1')
    const chn = `chn${ctrl.topic.slice(3)}`
    const readers = await Promise.all(Array.from({ length: 140 }, async (_, i) => {
      const guest = await people.greets(`reader ${i}`)
      await guest.does('acc', { user: 'new', scheme: 'anonymous', login: true })
      return guest
    }))
    await a.does('set', { topic: ctrl.topic, desc: { defacs: { anon: 'JR' } } })
    await Promise.all(readers.map(reader => reader.subs(chn)))
    await a.publishes(ctrl.topic, 'to all')
    for (const reader of readers) await reader.sees(data(chn, undefined, 1, 'to all'))
  })
}

for (const site of SITES) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ groups, channels })) {
    describe(title, () => stories(stand(site, { title: `groups: ${title}` }).scene))
  }
})
