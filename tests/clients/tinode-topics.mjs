// The topics of Tinode's clients, on one node and on two: `me`, `fnd`, `slf` and pairs; what of them is shown to whom, and what is set there.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { acs, data, evicted, pres } from './tinode/client.mjs'
import { GROUP, NOBODY, NOWHERE, P2P, stand, USER } from './tinode/people.mjs'
import { row, timeless } from './tinode/rows.mjs'
import { SITES } from './tinode/stage.mjs'

const DEFACS = { auth: USER, anon: 'N' }
const now = () => new Date().toISOString()
const OBJECTS = [1.5, -1e21, true, 'text', 'é日🎉\u2028"\\', [1, [2]], { a: { b: [{ c: null }] } }]

function me(scene) {
  scene('what is shown on me, part by part and in order, and 204 for what is empty', async people => {
    const ann = await people.user('ann', { desc: { private: { comment: 'mine' } }, tags: ['garden'] })
    const client = await people.signs(ann)
    const all = 'aux del data cred tags sub desc'
    const start = client.log.length
    const { desc, tags, ctrl } = await client.subs('me', { what: all })
    assert.deepEqual([ctrl.topic, ctrl.params ?? undefined], ['me', undefined])
    const part = meta => Object.keys(meta).filter(key => !['id', 'topic', 'ts'].includes(key))
    const replies = client.log.slice(start).map(({ ctrl, meta }) => ctrl ? [ctrl.code, ctrl.params?.what] : part(meta))
    assert.deepEqual(replies, [[200, undefined], ['desc'], [204, 'sub'], ['tags'], [204, 'creds'], [405, undefined], [403, undefined], [204, 'del']])
    assert.deepEqual(timeless(desc), { defacs: DEFACS, acs: acs('JPS'), public: ann.public, private: { comment: 'mine' } })
    assert.deepEqual(tags, ['garden', `basic:${ann.login}`])
  })

  scene('attaching once more, leaving, and leaving for good', async people => {
    const client = await people.signs(await people.user('ann'))
    assert.equal((await client.leaves('me', 304)).text, 'not joined')
    await client.leaves('me', 409, { unsub: true })
    await client.subs('me')
    assert.equal((await client.subs('me', { code: 304, what: 'desc' })).ctrl.text, 'already subscribed')
    await client.leaves('me', 403, { unsub: true })
    await client.leaves('me')
    assert.equal((await client.leaves('me', 304)).text, 'not joined')
    await client.subs('me', { what: 'desc' })
  })

  scene('from outside me shows little, and changes nothing', async people => {
    const ann = await people.user('ann', { desc: { private: 'mine' } })
    const client = await people.signs(ann)
    const { desc } = await client.gets('me', 'desc')
    assert.deepEqual(timeless(desc), { acs: { mode: USER }, public: ann.public })
    assert.deepEqual(Object.keys(desc).sort(), ['acs', 'created', 'public', 'updated'])
    await client.getsNothing('me', 'sub tags cred aux data del', 403)
    for (const what of [{ desc: { public: 'x' } }, { desc: { private: 'x' } }, { tags: ['abc', `basic:${ann.login}`] }, { desc: { defacs: { auth: 'N' } } }]) {
      await client.does('set', { topic: 'me', ...what }, 304)
    }
    await client.does('set', { topic: 'me', cred: { meth: 'email', val: 'a@example.org' } }, 403)
    await client.does('pub', { topic: 'me', content: 'x' }, 409)
    await client.does('del', { topic: 'me', what: 'msg', delseq: [{ low: 1 }] }, 409)
    await client.subs('me')
    assert.deepEqual((await client.gets('me', 'desc')).desc.private, 'mine')
    await client.does('pub', { topic: 'me', content: 'x' }, 403)
    await client.does('del', { topic: 'me', what: 'msg', delseq: [{ low: 1 }] }, 403)
  })

  scene('a changed description: other own sessions are told, the one that did it is not', async people => {
    const ann = await people.user('ann')
    const [a, b] = [await people.enters(ann), await people.enters(ann)]
    for (const desc of [{ public: { fn: 'Anna' } }, { private: { comment: 'x' } }, { public: { fn: 'Ann', note: 'hi' }, private: 'text' }]) {
      await a.does('set', { topic: 'me', desc })
      await b.sees(pres('me', 'me', 'upd'))
    }
    await a.does('set', { topic: 'me', desc: { defacs: { auth: 'JRWP', anon: 'JR' } } })
    await a.does('set', { topic: 'me', desc: { public: { fn: 'Ann', note: 'hi' } } }, 304)
    const { desc } = await b.gets('me', 'desc')
    assert.deepEqual(timeless(desc), { defacs: { auth: 'JRWPA', anon: 'JRA' }, acs: acs('JPS'), public: { fn: 'Ann', note: 'hi' }, private: 'text' })
    await a.isQuiet()
    await b.isQuiet()
  })

  scene('public and private are merged, field by field; a mark clears', async people => {
    const client = await people.enters(await people.user('ann', { desc: { public: undefined } }))
    for (const part of ['public', 'private']) {
      const becomes = async (value, then, code = 200) => {
        await client.does('set', { topic: 'me', desc: { [part]: value } }, code)
        assert.deepEqual((await client.gets('me', 'desc')).desc[part], then, JSON.stringify(value))
      }
      await becomes({ fn: 'x', note: 'y', deep: { a: 1, b: 2 } }, { fn: 'x', note: 'y', deep: { a: 1, b: 2 } })
      await becomes({ fn: 'z', deep: { a: 5 } }, { fn: 'z', note: 'y', deep: { a: 5, b: 2 } })
      await becomes({ note: '␡', deep: { b: '␡' } }, { fn: 'z', deep: { a: 5 } })
      await becomes({ fn: null }, { fn: null, deep: { a: 5 } })
      await becomes('␡', undefined)
      await becomes('␡', undefined, 304)
      for (const value of OBJECTS) await becomes(value, value)
    }
  })

  scene('nothing is told of what has not changed since a time', async people => {
    const ann = await people.user('ann', { desc: { private: 'mine' } })
    const [client, ben] = [await people.enters(ann), await people.enters(await people.user('ben'))]
    await people.meet(client, ben)
    const later = { desc: { ims: now() }, sub: { ims: now() } }
    const { desc, codes } = await client.gets('me', 'desc sub', later)
    assert.deepEqual(Object.keys(desc).sort(), ['acs', 'defacs', 'touched', 'updated'])
    assert.deepEqual(codes, [204])
    const all = await client.gets('me', 'desc sub', { desc: { ims: '2001-02-03T04:05:06.789Z' }, sub: { ims: '2001-02-03T04:05:06Z' } })
    assert.equal(all.desc.private, 'mine')
    assert.ok(row(all.sub, ben.id))
    await ben.publishes(client.id, 'news')
    await client.sees(data(ben.id, ben.id, 1, 'news'))
    assert.equal(row((await client.gets('me', 'sub', later)).sub, ben.id).seq, 1)
  })

  scene('tags: a new list has to hold the login, and nothing else that is reserved', async people => {
    const ann = await people.user('ann', { tags: ['garden', 'rose club'] })
    const client = await people.enters(ann), own = `basic:${ann.login}`
    const sets = (tags, code, params) => client.does('set', { topic: 'me', tags }, code, params)
    const are = async tags => assert.deepEqual((await client.gets('me', 'tags')).tags, tags)
    await sets(['Roses', 'tulips'], 403)
    await sets([own, 'email:ann@example.com'], 403)
    await sets([own, 'basic:somebody'], 403)
    await sets([own, 'tel:+491234'], 403)
    await are(['garden', 'rose club', own])
    await sets([], 304)
    await sets(['␡'], 304)
    await sets(['x', ''], 304)
    await sets([own, 'Roses', 'tulips', 'roses', 'x'], 200)
    await are([own, 'roses', 'tulips'])
    await sets([own, 'roses', 'tulips'], 304)
    await sets([own, 'roses', 'tulips', 'violets'], 200, { added: 1 })
    await are([own, 'roses', 'tulips', 'violets'])
    await sets([own, ...Array.from({ length: 20 }, (_, i) => `tag${10 + i}`)], 200)
    assert.equal((await client.gets('me', 'tags')).tags.length, 16)
    await sets([own.toUpperCase(), 'ROSES'], 200)
    await are([own, 'roses'])
  })

  scene('who does not want to be on me is off it, until he comes again', async people => {
    const ann = await people.user('ann')
    const client = await people.enters(ann)
    await client.does('set', { topic: 'me', sub: { mode: 'JPA' } }, 200, { acs: acs('JPA', 'JPS', 'JP') })
    await client.does('set', { topic: 'me', sub: { mode: 'JXP' } }, 400)
    await client.does('set', { topic: 'me', sub: { mode: 'N' } }, 200, { acs: acs('N', 'JPS') })
    await client.sees(evicted('me', false))
    await client.leaves('me', 304)
    await client.getsNothing('me', 'sub cred', 403)
    const { desc } = await client.subs('me', { what: 'desc' })
    assert.deepEqual(desc.acs, acs('JPS'))
  })

  scene('what several parts of one set do', async people => {
    const ann = await people.user('ann')
    const client = await people.enters(ann)
    const { params } = await client.does('set', { topic: 'me', desc: { public: { fn: 'Anna' }, private: 1 }, tags: [`basic:${ann.login}`, 'roses'] })
    assert.deepEqual(params, { added: 1 })
    const { desc, tags } = await client.gets('me', 'desc tags')
    assert.deepEqual([desc.public, desc.private, tags], [{ fn: 'Anna' }, 1, [`basic:${ann.login}`, 'roses']])
  })

  scene('what is set with sub counts at once', async people => {
    const client = await people.signs(await people.user('ann'))
    const { desc } = await client.subs('me', { what: 'desc', set: { desc: { public: { fn: 'Anna' } } } })
    assert.deepEqual(desc.public, { fn: 'Anna' })
  })

  scene('the list: pairs, groups and notes, each as it stands; who is banned is listed, who left is not', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    await people.meet(a, b)
    const grp = await people.gather(b, [a])
    const left = await people.gather(b, [a], { as: 'new2' })
    const banned = await people.gather(b, [a], { as: 'new3' })
    await b.publishes(a.id, 'one')
    await b.publishes(grp, 'two')
    await a.sees(data(b.id, b.id, 1, 'one'), data(grp, b.id, 1, 'two'))
    await a.leaves(left, 200, { unsub: true })
    await b.does('set', { topic: banned, sub: { user: a.id, mode: 'N' } })
    await a.skipsTo(evicted(banned, false))
    const { sub } = await a.gets('me', 'sub')
    assert.deepEqual(row(sub, b.id), { topic: b.id, online: true, acs: acs(P2P, USER), public: { fn: 'Ben' }, seq: 1 })
    assert.deepEqual(row(sub, grp), { topic: grp, online: true, acs: acs(GROUP), public: { fn: 'A group' }, seq: 1 })
    assert.equal(row(sub, left), undefined)
    assert.deepEqual(row(sub, banned).acs, acs(GROUP, 'N'))
    assert.equal(row(sub, c.id), undefined)
    const one = await a.gets('me', 'sub', { sub: { topic: grp } })
    assert.deepEqual(one.sub.map(({ topic }) => topic), [grp])
    assert.equal((await a.gets('me', 'sub', { sub: { limit: 1 } })).sub.length, 1)
  })

  scene('who is away is shown with when he was there last, and by what', async people => {
    const [a, b] = await people.pair()
    const before = Date.now() - 1000
    await b.goes()
    await a.sees(pres('me', b.id, 'off', { ua: 'Tests/1.0' }))
    const { sub } = await a.gets('me', 'sub')
    const { seen, online } = row(sub, b.id)
    assert.equal(online, undefined)
    assert.equal(seen.ua, 'Tests/1.0')
    assert.ok(Date.parse(seen.when) > before && Date.parse(seen.when) <= Date.now() + 1000, seen.when)
  })
}

function find(scene) {
  const finds = async (client, query) => {
    await client.does('set', { topic: 'fnd', desc: { public: query } })
    return (await client.gets('fnd', 'sub')).sub?.map(timeless) ?? []
  }

  scene('whom a login finds, and how he is shown', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const client = await people.signs(ann)
    await client.does('set', { topic: 'fnd', desc: { public: `basic:${ben.login}` } }, 304)
    assert.deepEqual(timeless((await client.gets('fnd', 'desc')).desc), { acs: { mode: USER }, public: ann.public }, 'as me from outside')
    await client.getsNothing('fnd', 'sub tags cred aux data del', 403)
    await client.does('pub', { topic: 'fnd', content: 'x' }, 409)
    const { desc, codes } = await client.subs('fnd', { what: 'sub desc' })
    assert.deepEqual([timeless(desc), codes], [{ defacs: { auth: 'N', anon: 'N' }, acs: acs('JPS') }, [204]])
    const found = { topic: ben.id, acs: { mode: USER }, public: { fn: 'Ben' }, private: [`basic:${ben.login}`] }
    assert.deepEqual(await finds(client, `basic:${ben.login}`), [found])
    assert.deepEqual(await finds(client, `BASIC:${ben.login.toUpperCase()}`), [found])
    for (const nothing of [ben.login, `basic:${people.login('nobody')}`, `basic:${ann.login}`, '␡', '', ' ', ',', '"', `basic:${ben.login}x`, 'x'.repeat(5000)]) {
      assert.deepEqual(await finds(client, nothing), [], nothing)
    }
    assert.equal((await client.subs('fnd', { code: 304 })).ctrl.text, 'already subscribed')
    await client.does('pub', { topic: 'fnd', content: 'x' }, 403)
    await client.leaves('fnd', 403, { unsub: true })
    await client.leaves('fnd')
    assert.equal((await client.leaves('fnd', 304)).text, 'not joined')
    await client.subs('fnd')
    assert.deepEqual((await client.gets('fnd', 'sub')).codes, [204], 'what was looked for is forgotten')
  })

  scene('spaces are and, commas are or and bind tighter; groups are found as well', async people => {
    const mark = people.login('m')
    const tags = (...list) => ({ tags: list.map(tag => `${mark}${tag}`) })
    const [rose, tulip, both] = await Promise.all([['rose'], ['tulip'], ['rose', 'tulip', 'garden']].map(list => people.user('somebody', tags(...list))))
    const owner = await people.signs(await people.user('owner'))
    const grp = await people.group(owner, { ...tags('garden', 'rose'), desc: { public: { fn: 'Club' }, defacs: { auth: 'JRP', anon: 'N' } } })
    const client = await people.signs(await people.user('ann'))
    await client.subs('fnd')
    const bare = tags => tags.map(tag => tag.slice(mark.length)).sort()
    const found = async query => (await finds(client, query.replace(/\w+/g, `${mark}$&`))).map(({ topic, private: matched }) => [topic, bare(matched)])
    const is = async (query, ...expected) => assert.deepEqual((await found(query)).sort(), expected.sort(), query)
    await is('rose', [rose.id, ['rose']], [both.id, ['rose']], [grp, ['rose']])
    await is('rose tulip', [both.id, ['rose', 'tulip']])
    await is('rose,tulip', [rose.id, ['rose']], [tulip.id, ['tulip']], [both.id, ['rose', 'tulip']], [grp, ['rose']])
    await is('rose,tulip garden', [both.id, ['garden', 'rose', 'tulip']], [grp, ['garden', 'rose']])
    await is('garden rose,tulip', [both.id, ['garden', 'rose', 'tulip']], [grp, ['garden', 'rose']])
    await is('rose nothing')
    await is('nothing,rose nothing')
    await is('rose, tulip', [rose.id, ['rose']], [tulip.id, ['tulip']], [both.id, ['rose', 'tulip']], [grp, ['rose']])
    const [club] = await finds(client, `${mark}garden ${mark}rose`).then(all => all.filter(({ topic }) => topic === grp))
    assert.deepEqual([club.acs, club.public], [{ mode: 'JRP' }, { fn: 'Club' }])
  })

  scene('each session looks for its own, and new tags are found at once, old ones no more', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const mark = people.login('m')
    const [one, two, b] = [await people.signs(ann), await people.signs(ann), await people.enters(ben)]
    for (const client of [one, two]) await client.subs('fnd')
    await two.does('set', { topic: 'fnd', desc: { public: mark } })
    assert.deepEqual((await finds(one, `basic:${ben.login}`)).length, 1)
    assert.deepEqual((await two.gets('fnd', 'sub')).codes, [204])
    await b.does('set', { topic: 'me', tags: [`basic:${ben.login}`, mark] })
    assert.deepEqual((await two.gets('fnd', 'sub')).sub.map(({ topic }) => topic), [b.id])
    await b.does('set', { topic: 'me', tags: [`basic:${ben.login}`, 'other'] })
    assert.deepEqual((await two.gets('fnd', 'sub')).codes, [204])
    await b.does('del', { topic: '', what: 'user', hard: true })
    await b.ends()
    assert.deepEqual(await finds(one, `basic:${ben.login}`), [])
  })
}

function notesToSelf(scene) {
  scene('slf is a topic with oneself: written, read, listed, on all own sessions, and nobody else\'s', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, other, b] = [await people.enters(ann), await people.enters(ann), await people.enters(ben)]
    const { ctrl } = await a.subs('slf', { what: 'desc data' })
    assert.equal(ctrl.topic, 'slf')
    assert.ok(ctrl.params.acs.mode.includes('W') && ctrl.params.acs.mode.includes('R'))
    assert.equal(await a.publishes('slf', 'remember'), 1)
    await other.skipsTo(pres('me', 'slf', 'msg', { seq: 1 }))
    await other.subs('slf')
    await other.does('pub', { topic: 'slf', content: 'and this' }, 202, { seq: 2 })
    await a.sees(data('slf', a.id, 2, 'and this'))
    await other.sees(data('slf', a.id, 2, 'and this'))
    assert.deepEqual((await a.gets('slf', 'data')).data.map(({ content }) => content), ['remember', 'and this'])
    const mine = row((await a.gets('me', 'sub')).sub, 'slf')
    assert.deepEqual([mine.seq, mine.read, mine.recv], [2, 2, 2])
    await b.subs('slf', { what: 'data' })
    assert.deepEqual((await b.gets('slf', 'data')).codes, [204], 'everybody has his own')
    await a.does('del', { topic: 'slf', what: 'msg', delseq: [{ low: 1 }], hard: true }, 200)
    assert.deepEqual((await a.gets('slf', 'data')).data.map(({ seq }) => seq), [2])
  })

  scene('sys is for nobody', async people => {
    const client = await people.signs(await people.user('ann'))
    await client.subs('sys', { code: 403 })
    await client.does('pub', { topic: 'sys', content: 'x' }, 403)
  })
}

function pairs(scene) {
  scene('what both are shown, attached and not, and whose name is whose', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const before = await a.gets(b.id, 'desc')
    assert.deepEqual(timeless(before.desc), { acs: { mode: USER }, public: { fn: 'Ben' } }, 'of whom one has not met')
    const { ctrl, desc, sub, codes } = await a.subs(b.id, { what: 'desc sub data del', data: { limit: 24 }, set: { desc: { private: { comment: 'from work' } } } })
    assert.deepEqual([ctrl.topic, ctrl.params], [b.id, { acs: acs(P2P, USER) }])
    assert.deepEqual(timeless(desc), { acs: acs(P2P, USER), public: { fn: 'Ben' }, private: { comment: 'from work' } })
    assert.equal(sub.length, 2)
    assert.deepEqual([row(sub, a.id), row(sub, b.id)], [{ user: a.id, acs: acs(P2P, USER) }, { user: b.id, acs: acs(P2P) }])
    assert.deepEqual(codes, [204, 204])
    const there = await b.subs(a.id, { what: 'desc sub' })
    assert.equal(there.ctrl.params ?? undefined, undefined, 'he is in it already')
    assert.deepEqual(timeless(there.desc), { acs: acs(P2P), public: { fn: 'Ann' } })
    await b.getsNothing(a.id, 'tags', 403)
    await b.leaves(a.id)
    const outside = await b.gets(a.id, 'desc sub')
    assert.deepEqual(timeless(outside.desc), { acs: acs(P2P), public: { fn: 'Ann' } })
    assert.deepEqual(outside.sub.map(({ user }) => user), [b.id], 'his own row')
    await b.getsNothing(a.id, 'data del', 403)
  })

  scene('a pair begins: the other is told by whom, own other sessions are told, and all of both see who is there', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, other, b] = [await people.enters(ann), await people.enters(ann), await people.enters(ben)]
    assert.deepEqual((await a.subs(b.id)).ctrl.params, { acs: acs(P2P, USER) })
    await b.sees(pres('me', a.id, 'acs', { act: a.id, dacs: { want: P2P, given: P2P } }), pres('me', a.id, 'on'))
    await other.sees(pres('me', b.id, 'acs', { dacs: { want: P2P, given: USER } }), pres('me', b.id, 'on'))
    await a.sees(pres('me', b.id, 'on'))
    assert.equal((await other.subs(b.id)).ctrl.params ?? undefined, undefined, 'she is in it already')
    await b.subs(a.id)
    for (const session of [a, other, b]) await session.isQuiet()
  })

  scene('with oneself never, with nobody neither, with who lets nobody in neither', async people => {
    const ann = await people.user('ann'), ben = await people.user('ben', { desc: { defacs: { auth: 'N', anon: 'N' } } })
    const client = await people.signs(ann)
    await client.subs(ann.id, { code: 403 })
    assert.equal((await client.subs(NOBODY, { code: 404 })).ctrl.text, 'user not found')
    await client.subs(ben.id, { code: 403 })
    for (const bad of ['', 'usr', 'usrx', 'usrAAAAAAAAAAA', 'usr____________', `${ben.id}x`, ben.id.slice(0, -1), 'usrAAAAAAAAA!E']) await client.subs(bad, { code: 400 })
    for (const unknown of ['xyz', 'group', 'p2pAAAAAAAAAAA', 'ME', 'Fnd', NOWHERE, 'chnAAAAAAAAAAA']) {
      assert.equal((await client.subs(unknown, { code: 404 })).ctrl.text, 'topic not found', unknown)
    }
  })

  scene('defacs say what who comes is given; and how anonymous ones are met', async people => {
    const ben = await people.user('ben', { desc: { defacs: { auth: 'JRP', anon: 'JR' } } })
    const a = await people.signs(await people.user('ann'))
    const { ctrl } = await a.subs(ben.id)
    assert.deepEqual(ctrl.params.acs, acs(P2P, 'JRPA', 'JRPA'))
    await a.does('pub', { topic: ben.id, content: 'x' }, 403)
    const guest = await people.greets('guest')
    await guest.does('acc', { user: 'new', scheme: 'anonymous', login: true })
    assert.deepEqual((await guest.subs(ben.id)).ctrl.params.acs, acs(P2P, 'JRA', 'JRA'))
    const cleo = await people.user('cleo')
    await guest.subs(cleo.id, { code: 403 })
  })

  scene('one wants less: by sub, and by set', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const a = await people.signs(ann)
    assert.deepEqual((await a.subs(ben.id, { set: { sub: { mode: 'JR' } } })).ctrl.params.acs, acs('JR', USER))
    await a.does('pub', { topic: ben.id, content: 'x' }, 403)
    await a.does('set', { topic: ben.id, sub: { mode: P2P } }, 200, { acs: acs(P2P, USER) })
    await a.publishes(ben.id, 'x')
  })

  scene('private is one\'s own, and own other sessions learn of it', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, other, b] = [await people.enters(ann), await people.enters(ann), await people.enters(ben)]
    await a.subs(b.id)
    for (const session of [a, other, b]) await session.skipsTo(pres('me', session === b ? a.id : b.id, 'on'))
    await a.does('set', { topic: b.id, desc: { private: { comment: 'x' } } })
    await other.sees(pres('me', b.id, 'upd'))
    await other.does('set', { topic: b.id, desc: { private: { comment: '␡', more: 1 } } }, 200)
    await a.sees(pres('me', b.id, 'upd'))
    assert.deepEqual((await a.gets(b.id, 'desc')).desc.private, { more: 1 })
    assert.equal((await b.gets(a.id, 'desc')).desc.private, undefined)
    await a.does('set', { topic: b.id, desc: { public: { fn: 'x' } } }, 403)
    await b.isQuiet()
  })
}

for (const site of SITES) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ me, find, 'notes to self': notesToSelf, pairs })) {
    describe(title, () => stories(stand(site, { title: `topics: ${title}` }).scene))
  }
})
