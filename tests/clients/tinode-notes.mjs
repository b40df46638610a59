// Notes of Tinode's clients, on one node and on two: who has received, read and writes, to whom that is told, and what is passed over.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { data, info, infoOnMe, pres } from './tinode/client.mjs'
import { stand } from './tinode/people.mjs'
import { SITES } from './tinode/stage.mjs'

const count = (n, from = 1) => Array.from({ length: n }, (_, i) => from + i)

function noting(scene) {
  /** Two who talk, with one more session of the first on `me`, and five messages. */
  const talkers = async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, listening, b] = [await people.enters(ann), await people.enters(ann), await people.enters(ben)]
    await people.meet(a, b)
    for (const i of count(5)) await a.publishes(b.id, `m${i}`)
    await b.skipsTo(data(a.id, a.id, 5, 'm5'))
    await listening.skipsTo(pres('me', b.id, 'msg', { seq: 5 }))
    return [a, b, listening]
  }

  scene('who has received, read and writes is told to the other, attached or on me', async people => {
    const [a, b, listening] = await talkers(people)
    const told = async (what, seq) => {
      b.note(a.id, what, seq)
      const more = seq ? { seq } : {}
      await a.sees(info(b.id, b.id, what, more))
      await listening.sees(infoOnMe(b.id, b.id, what, more))
    }
    await told('kp')
    await told('recv', 2)
    await told('kpa')
    await told('read', 3)
    await told('kpv')
    await told('recv', 4)
    await told('recv', 5)
    await told('read', 5)
    for (const [client, topic] of [[a, b.id], [b, a.id]]) {
      const rows = (await client.gets(topic, 'sub')).sub
      const marks = ({ id }) => { const { read, recv } = rows.find(({ user }) => user === id); return [read, recv] }
      assert.deepEqual([marks(a), marks(b)], [[5, 5], [5, 5]])
    }
    await b.isQuiet()
  })

  scene('read raises received; what goes back, beyond the end, or is nonsense is passed over', async people => {
    const [a, b] = await talkers(people)
    b.note(a.id, 'read', 3)
    await a.sees(info(b.id, b.id, 'read', { seq: 3 }))
    assert.deepEqual((({ read, recv }) => [read, recv])((await b.gets(a.id, 'desc')).desc), [3, 3])
    for (const [what, seq] of [
      ['recv', 3], ['recv', 2], ['read', 3], ['read', 1], ['read', 0], ['recv', 0], ['recv', 99], ['read', 6], ['read', -1], ['nosuch', 3], ['', 3], ['kp', 4], ['kpa', 1], ['kpv', 1],
      ['data'], ['call', 5], ['READ', 4], ['read'], ['recv'],
    ]) b.note(a.id, what, seq)
    b.send({ note: { topic: a.id } }, { note: { topic: a.id, seq: 4 } })
    b.note(a.id, 'kp')
    await a.sees(info(b.id, b.id, 'kp'))
    assert.deepEqual((({ read, recv }) => [read, recv])((await b.gets(a.id, 'desc')).desc), [3, 3])
    await b.isQuiet()
  })

  scene('own other attached sessions are told what was read, and not who writes', async people => {
    const [a, b] = await talkers(people)
    const other = await people.signs(b.person)
    await other.subs(a.id)
    b.note(a.id, 'kp')
    b.note(a.id, 'recv', 4)
    b.note(a.id, 'read', 5)
    await other.sees(info(a.id, b.id, 'recv', { seq: 4 }), info(a.id, b.id, 'read', { seq: 5 }))
    await a.sees(info(b.id, b.id, 'kp'), info(b.id, b.id, 'recv', { seq: 4 }), info(b.id, b.id, 'read', { seq: 5 }))
    await b.isQuiet()
  })

  scene('not attached: received is taken, all else is refused without an id', async people => {
    const [a, b, listening] = await talkers(people)
    await b.leaves(a.id)
    const refused = { ctrl: { topic: a.id, code: 409, text: 'must attach first', ts: '{ts}' } }
    for (const note of [['read', 4], ['kp'], ['kpa'], ['kpv']]) {
      b.note(a.id, ...note)
      await b.sees(refused)
    }
    b.send({ note: { id: '77', topic: a.id, what: 'read', seq: 5 } })
    await b.sees(refused)
    b.note(a.id, 'recv', 5)
    await a.sees(info(b.id, b.id, 'recv', { seq: 5 }))
    await listening.sees(infoOnMe(b.id, b.id, 'recv', { seq: 5 }))
    b.note(a.id, 'recv', 99)
    a.note(b.id, 'kp')
    await b.sees(infoOnMe(a.id, a.id, 'kp'))
    const row = (await b.gets('me', 'sub')).sub[0]
    assert.deepEqual([row.read, row.recv], [undefined, 5])
    b.note('usrAAAAAAAAAAE', 'kp')
    await b.sees({ ctrl: { topic: 'usrAAAAAAAAAAE', code: 409, text: 'must attach first', ts: '{ts}' } })
    b.note('usrx', 'kp')
    await b.sees({ ctrl: { topic: 'usrx', code: 400, text: 'malformed', ts: '{ts}' } })
  })

  scene('marks are kept, and publishing sets one\'s own', async (people, stage) => {
    const [a, b] = await talkers(people)
    b.note(a.id, 'read', 4)
    await a.sees(info(b.id, b.id, 'read', { seq: 4 }))
    assert.equal(await b.publishes(a.id, 'an answer'), 6)
    await a.sees(data(b.id, b.id, 6, 'an answer'))
    for (const client of [a, b]) await client.goes()
    for (const node of stage.server.nodes) {
      const again = await people.signs(b.person, { node })
      const { desc, sub } = await again.subs(a.id, { what: 'desc sub' })
      assert.deepEqual([desc.seq, desc.read, desc.recv], [6, 6, 6])
      const of = sub.find(({ user }) => user === a.id)
      assert.deepEqual([of.read, of.recv], [5, 5])
    }
  })

  scene('who leaves for good and comes back has read nothing, on whatever node', async (people, { server: { nodes } }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    const grp = await people.gather(a, [b])
    assert.equal(await a.publishes(grp, 'welcome'), 1)
    await b.sees(data(grp, a.id, 1, 'welcome'))
    b.note(grp, 'read', 1)
    await a.sees(info(grp, b.id, 'read', { seq: 1 }))
    assert.equal(await b.publishes(grp, 'thanks'), 2)
    await a.sees(data(grp, b.id, 2, 'thanks'))
    await b.leaves(grp, 200, { unsub: true })
    for (const node of nodes) {
      const again = await people.signs(ben, { node })
      const { desc, sub } = await again.subs(grp, { what: 'desc sub' })
      assert.deepEqual([desc.seq, desc.read, desc.recv], [2, undefined, undefined])
      const marks = id => (({ read, recv }) => [read, recv])(sub.find(({ user }) => user === id))
      assert.deepEqual([marks(a.id), marks(ben.id)], [[1, 1], [undefined, undefined]])
    }
    const again = await people.signs(ben)
    await again.subs(grp)
    again.note(grp, 'read', 1)
    await a.skipsTo(info(grp, b.id, 'read', { seq: 1 }))
    const row = (await again.gets(grp, 'sub')).sub.find(({ user }) => user === ben.id)
    assert.deepEqual([row.read, row.recv], [1, 1])
  })

  scene('in a group each is told of each; without W nobody writes', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [b, c])
    await a.publishes(grp, 'x')
    for (const session of [b, c]) await session.sees(data(grp, a.id, 1, 'x'))
    await c.leaves(grp)
    for (const session of [a, b]) await session.sees(pres(grp, c.id, 'off'))
    b.note(grp, 'read', 1)
    await a.sees(info(grp, b.id, 'read', { seq: 1 }))
    await c.skipsTo(infoOnMe(grp, b.id, 'read', { seq: 1 })) // who leaves just then may be told on me of what it has heard
    await a.does('set', { topic: grp, sub: { user: b.id, mode: 'JRP' } })
    await b.sees(pres(grp, undefined, 'acs', { dacs: { given: '-WS' } }))
    b.note(grp, 'kp')
    b.note(grp, 'recv', 1)
    await b.answers()
    await a.publishes(grp, 'y')
    await b.sees(data(grp, a.id, 2, 'y'))
    b.note(grp, 'recv', 2)
    await a.sees(info(grp, b.id, 'recv', { seq: 2 }))
  })
}

for (const site of SITES) describe(site.name, () => noting(stand(site, { title: 'notes' }).scene))
