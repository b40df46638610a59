// Messages of Tinode's clients, on one node and on two: what is said and to whom, history by pages and ranges, deletions for oneself and for all.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { data, pres } from './tinode/client.mjs'
import { P2P, stand, USER } from './tinode/people.mjs'
import { SITES } from './tinode/stage.mjs'

const count = (n, from = 1) => Array.from({ length: n }, (_, i) => from + i)
const seqs = messages => messages?.map(({ seq }) => seq)
const { parse } = JSON

/** What can be said: all of JSON. */
const CONTENTS = [
  'text', '', 'é日🎉\u2028"\\\n\u0000', 0, 42, -1.5, 1e21, 12345678901234567890, true, false, null, [], {}, [1, ['x', {}]],
  { txt: 'hi *ben*', fmt: [{ at: 3, len: 5, tp: 'ST' }] }, { seq: 7, from: 'usrAAAAAAAAAAE', topic: 'x' }, parse('{"__proto__":{"a":1},"constructor":2}'), { 'é"': null, '': 1 },
  '␡', { a: '␡' },
]

function saying(scene) {
  scene('the answer, then the echo; others are told by their own name for the topic', async people => {
    const [a, b] = await people.pair()
    const { topic, text } = await a.does('pub', { topic: b.id, content: 'one' }, 202, { seq: 1 })
    assert.deepEqual([topic, text], [b.id, 'accepted'])
    assert.ok(a.log.findIndex(({ ctrl }) => ctrl?.code === 202) < a.log.findIndex(({ data }) => data))
    await a.sees(data(b.id, a.id, 1, 'one'))
    await b.sees(data(a.id, a.id, 1, 'one'))
    await b.does('pub', { topic: a.id, content: 'two', noecho: true }, 202, { seq: 2 })
    await a.sees(data(b.id, b.id, 2, 'two'))
    await a.does('pub', { topic: b.id, content: 'three', head: { mime: 'text/x-drafty', reply: ':2' } }, 202, { seq: 3 })
    await b.sees(data(a.id, a.id, 3, 'three', { head: { mime: 'text/x-drafty', reply: ':2' } }))
    await a.sees(data(b.id, a.id, 3, 'three', { head: { mime: 'text/x-drafty', reply: ':2' } }))
    await b.isQuiet()
  })

  scene('any content goes through as it is, live and from history; none is null', async people => {
    const [a, b] = await people.pair()
    const all = [...CONTENTS, undefined]
    for (const [i, content] of all.entries()) {
      assert.equal(await a.publishes(b.id, content), i + 1)
      await b.sees(data(a.id, a.id, i + 1, content ?? null))
    }
    const { data: messages } = await b.gets(a.id, 'data')
    assert.deepEqual(messages.map(({ content }) => content), parse(JSON.stringify(all)))
    for (const head of [null, undefined]) await a.publishes(b.id, 'x', { head })
    for (const seq of [all.length + 1, all.length + 2]) await b.sees(data(a.id, a.id, seq, 'x'))
  })

  scene('sender\'s own other sessions: attached ones get the message, those on me its number', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, attached, listening, b] = [await people.enters(ann), await people.signs(ann), await people.enters(ann), await people.enters(ben)]
    await people.meet(a, b)
    await attached.subs(b.id)
    await listening.sees(pres('me', b.id, 'acs', { dacs: { want: P2P, given: USER } }), pres('me', b.id, 'on'))
    await b.leaves(a.id)
    await a.publishes(b.id, 'x')
    await attached.sees(data(b.id, a.id, 1, 'x'))
    await listening.sees(pres('me', b.id, 'msg', { seq: 1 }))
    await b.sees(pres('me', a.id, 'msg', { seq: 1, act: a.id }))
    const row = (await listening.gets('me', 'sub')).sub[0]
    assert.deepEqual([row.seq, row.read, row.recv], [1, 1, 1])
    const other = (await b.gets('me', 'sub')).sub[0]
    assert.deepEqual([other.seq, other.read, other.recv], [1, undefined, undefined])
    await a.isQuiet()
  })

  scene('who may: attached, with W', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b], { mode: 'JRP' })
    await b.does('pub', { topic: grp, content: 'x' }, 403)
    await b.leaves(grp)
    assert.equal((await b.does('pub', { topic: grp, content: 'x' }, 409)).text, 'must attach first')
    await b.does('pub', { topic: '', content: 'x' }, 400)
    await b.does('pub', { topic: 'usrx', content: 'x' }, 400)
    await b.does('pub', { topic: 'xyz', content: 'x' }, 409)
    await a.sees(pres(grp, b.id, 'off'))
    await a.isQuiet()
  })

  scene('many at once, of several: one order for all, own ones behind their answers', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    const grp = await people.gather(a, [b, c])
    const writers = [a, b], each = 200
    for (const i of count(each)) for (const writer of writers) writer.send({ pub: { id: `p${i}`, topic: grp, content: `${writer.name} ${i}` } })
    const all = client => client.told.filter(({ data }) => data?.topic === grp).map(({ data }) => data)
    for (const client of [a, b, c]) await client.until('all messages', () => all(client).length >= 2 * each || !client.isOpen)
    for (const client of [a, b, c]) {
      assert.deepEqual(seqs(all(client)), count(2 * each))
      assert.deepEqual(all(client).map(({ content }) => content), all(c).map(({ content }) => content))
    }
    for (const writer of writers) {
      assert.deepEqual(all(c).filter(({ from }) => from === writer.id).map(({ content }) => content), count(each).map(i => `${writer.name} ${i}`))
      for (const i of count(each)) {
        const answer = writer.log.findIndex(({ ctrl }) => ctrl?.id === `p${i}`)
        const { seq } = writer.log[answer].ctrl.params
        assert.ok(answer < writer.log.findIndex(({ data }) => data?.seq === seq && data.topic === grp))
        assert.equal(all(c)[seq - 1].content, `${writer.name} ${i}`)
      }
    }
  })

  scene('what is asked behind messages is answered behind them', async people => {
    const [a, b] = await people.pair()
    for (const i of count(50)) a.send({ pub: { id: `p${i}`, topic: b.id, content: i, noecho: true } })
    a.send({ get: { id: 'q', topic: b.id, what: 'desc' } }, { leave: { id: 'l', topic: b.id } })
    await a.until('the last answer', () => a.log.some(({ ctrl }) => ctrl?.id === 'l'))
    const order = a.log.slice(-52).map(({ ctrl, meta }) => (ctrl ?? meta).id)
    assert.deepEqual(order, [...count(50).map(i => `p${i}`), 'q', 'l'])
    assert.equal(a.log.at(-2).meta.desc.seq, 50)
  })

  scene('what is refused among messages is answered in its turn', async people => {
    const [a, b] = await people.pair()
    const head = { 'idempotency-key': '' }
    for (const i of count(30)) a.send({ pub: { id: `p${i}`, topic: b.id, content: i, noecho: true, ...i % 3 === 0 && { head } } })
    await a.until('the last answer', () => a.log.some(({ ctrl }) => ctrl?.id === 'p30'))
    const answers = a.log.slice(-30).map(({ ctrl: { id, code } }) => [id, code])
    assert.deepEqual(answers, count(30).map(i => [`p${i}`, i % 3 === 0 ? 400 : 202]))
  })

  scene('a message that is as large as may be, and one byte more in what is said', async people => {
    const [a, b] = await people.pair()
    const frame = content => JSON.stringify({ pub: { id: 'x', topic: b.id, noecho: true, content } })
    const room = 131072 - frame('').length
    a.send(frame('x'.repeat(room)))
    const [{ data: { content } }] = await b.sees(data(a.id, a.id, 1, 'x'.repeat(room)))
    assert.equal(content.length, room)
    a.send(frame('x'.repeat(room + 1)))
    await a.isClosed(1009)
    await b.answers()
  })
}

function reading(scene) {
  scene('history: newest first, by since, before, limit and ranges', async people => {
    const [a, b] = await people.pair()
    for (const i of count(12)) await a.publishes(b.id, i)
    const gets = async (query, expected) => {
      const found = await b.gets(a.id, 'data', { data: query })
      if (expected.length === 0) assert.deepEqual(found.codes, [204], JSON.stringify(query))
      assert.deepEqual(seqs(found.data), expected, JSON.stringify(query))
    }
    for (const [query, ...expected] of [
      [undefined, ...count(12)], [{}, ...count(12)], [{ since: 10 }, 10, 11, 12], [{ before: 3 }, 1, 2], [{ since: 4, before: 6 }, 4, 5], [{ limit: 2 }, 11, 12],
      [{ since: 2, limit: 2 }, 11, 12], [{ before: 9, limit: 2 }, 7, 8], [{ since: 900 }], [{ since: 5, before: 5 }], [{ since: 6, before: 5 }], [{ since: 12 }, 12], [{ since: 13 }],
      [{ before: 1 }], [{ before: 13 }, ...count(12)], [{ before: 900 }, ...count(12)], [{ limit: 0 }, ...count(12)], [{ limit: -1 }, ...count(12)], [{ limit: 5000 }, ...count(12)],
      [{ since: -5 }, ...count(12)], [{ before: -5 }, ...count(12)], [{ since: 0, before: 0, limit: 1 }, 12], [{ ranges: [] }, ...count(12)],
      [{ ranges: [{ low: 3, hi: 6 }, { low: 9 }] }, 3, 4, 5, 9], [{ ranges: [{ low: 9 }, { low: 3, hi: 6 }] }, 3, 4, 5, 9], [{ ranges: [{ low: 11, hi: 40 }] }, 11, 12],
      [{ ranges: [{ low: 1, hi: 3 }], limit: 1 }, 2], [{ ranges: [{ low: 6, hi: 3 }] }], [{ ranges: [{ low: 3, hi: 6 }, { low: 4, hi: 8 }] }, 3, 4, 5, 6, 7],
      [{ ranges: [{ low: 1 }, { low: 2 }, { low: 12 }] }, 1, 2, 12], [{ ranges: [{ low: 900 }] }], [{ ranges: [{ low: 5, hi: 6 }] }, 5],
    ]) await gets(query, expected)
  })

  scene('a hundred at most; all of them by pages, forward and back', async people => {
    const [a, b] = await people.pair()
    for (const i of count(257)) a.send({ pub: { id: `p${i}`, topic: b.id, content: i, noecho: true } })
    await a.until('all answers', () => a.log.some(({ ctrl }) => ctrl?.id === 'p257'))
    await b.skipsTo(data(a.id, a.id, 257, 257))
    const page = async query => seqs((await b.gets(a.id, 'data', { data: query })).data)
    assert.deepEqual(await page({}), count(100, 158))
    assert.deepEqual(await page({ limit: 101 }), count(100, 158))
    for (const limit of [1, 7, 24, 63, 64, 65, 100]) {
      let all = [], before
      do {
        const next = await page({ limit, ...(before && { before }) })
        assert.ok(next.length <= limit)
        all = [...next, ...all]
        before = next[0]
      } while (before > 1)
      assert.deepEqual(all, count(257), `by ${limit}`)
    }
    assert.deepEqual(await page({ since: 60, before: 70 }), count(10, 60))
    assert.deepEqual(await page({ ranges: [{ low: 1, hi: 258 }] }), count(100, 158))
  })

  scene('large messages come in one page', async people => {
    const [a, b] = await people.pair()
    const large = i => `${i} ${'x'.repeat(100_000)}`
    for (const i of count(30)) await a.publishes(b.id, large(i))
    await b.skipsTo(data(a.id, a.id, 30, large(30)))
    const { data: messages } = await b.gets(a.id, 'data')
    assert.deepEqual(messages.map(({ content }) => content), count(30).map(large))
  })

  scene('who may read: attached, with R', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b], { mode: 'JWP' })
    await a.publishes(grp, 'x')
    await b.getsNothing(grp, 'data', 403)
    await b.leaves(grp)
    await b.getsNothing(grp, 'data', 403)
    assert.deepEqual(seqs((await a.gets(grp, 'data')).data), [1])
  })

  scene('who comes back has what he missed by since, and desc says how much there is', async people => {
    const [a, b] = await people.pair()
    await a.publishes(b.id, 'one')
    await b.sees(data(a.id, a.id, 1, 'one'))
    b.cut()
    for (const content of ['two', 'three']) await a.publishes(b.id, content)
    const again = await people.signs(b.person)
    await again.subs('me', { what: 'sub desc', desc: { ims: new Date().toISOString() } })
    const { desc, data: missed } = await again.subs(a.id, { what: 'data del sub desc', data: { since: 2, limit: 24 }, del: { since: 1 } })
    assert.deepEqual([desc.seq, missed.map(({ content }) => content)], [3, ['two', 'three']])
  })
}

/** A pair with messages m1 to m8, all of whom have read what came. */
async function talk(people) {
  const [ann, ben] = await people.users('ann', 'ben')
  const [a, listening, b] = [await people.enters(ann), await people.enters(ann), await people.enters(ben)]
  await people.meet(a, b)
  for (const i of count(8)) await a.publishes(b.id, `m${i}`)
  await b.skipsTo(data(a.id, a.id, 8, 'm8'))
  await listening.skipsTo(pres('me', b.id, 'msg', { seq: 8 }))
  return [a, b, listening]
}
const deletes = (client, topic, delseq, more = {}, code = 200) => client.does('del', { topic, what: 'msg', ...(delseq && { delseq }), ...more }, code)
const deleted = async (client, topic, del) => (await client.gets(topic, 'del', del && { del })).del

function deleting(scene) {
  scene('for oneself: nobody else sees less, and the counter is one for all', async people => {
    const [a, b, listening] = await talk(people)
    assert.deepEqual((await deletes(b, a.id, [{ low: 2 }, { low: 4, hi: 6 }])).params, { del: 1 })
    const of = await b.gets(a.id, 'data del desc')
    assert.deepEqual(seqs(of.data), [1, 3, 6, 7, 8])
    assert.deepEqual([of.del, of.desc.clear], [{ clear: 1, delseq: [{ low: 2 }, { low: 4, hi: 6 }] }, 1])
    const others = await a.gets(b.id, 'data del')
    assert.deepEqual([seqs(others.data), others.codes], [count(8), [208, 204]])
    assert.deepEqual((await deletes(a, b.id, [{ low: 1 }])).params, { del: 2 })
    await listening.sees(pres('me', b.id, 'del', { clear: 2 }))
    assert.deepEqual(await deleted(a, b.id, { since: 1 }), { clear: 2, delseq: [{ low: 1 }] })
    assert.equal((await a.gets(b.id, 'desc')).desc.clear, 2)
    assert.equal((await b.gets(a.id, 'desc')).desc.clear, 2)
    assert.deepEqual(await deleted(b, a.id), { clear: 1, delseq: [{ low: 2 }, { low: 4, hi: 6 }] })
    assert.equal((await b.gets('me', 'sub')).sub[0].clear, 1)
    await b.isQuiet()
    assert.deepEqual((await deletes(b, a.id, [{ low: 1, hi: 9 }])).params, { del: 3 })
    assert.deepEqual((await b.gets(a.id, 'data')).codes, [204])
    assert.deepEqual(seqs((await a.gets(b.id, 'data')).data), count(7, 2))
  })

  scene('own other attached sessions are told in the first form, others on me in the second', async people => {
    const [a, b, listening] = await talk(people)
    const attached = await people.signs(a.person)
    await attached.subs(b.id)
    await deletes(a, b.id, [{ low: 3, hi: 5 }])
    await attached.sees(pres(b.id, b.id, 'del', { clear: 1, delseq: [{ low: 3, hi: 5 }] }))
    await listening.sees(pres('me', b.id, 'del', { clear: 1 }))
    assert.deepEqual(seqs((await attached.gets(b.id, 'data')).data), [1, 2, 5, 6, 7, 8])
    await a.isQuiet()
    await b.isQuiet()
  })

  scene('for all: gone from everybody\'s history, and everybody is told', async people => {
    const [a, b, listening] = await talk(people)
    const onMe = await people.enters(b.person)
    assert.deepEqual((await deletes(a, b.id, [{ low: 2 }, { low: 5, hi: 8 }], { hard: true })).params, { del: 1 })
    await b.sees(pres(a.id, a.id, 'del', { clear: 1, delseq: [{ low: 2 }, { low: 5, hi: 8 }] }))
    await listening.sees(pres('me', b.id, 'del', { clear: 1 }))
    await onMe.skipsTo(pres('me', a.id, 'del', { clear: 1, act: a.id }))
    for (const [client, topic] of [[a, b.id], [b, a.id]]) {
      const { data: messages, del, desc } = await client.gets(topic, 'data del desc')
      assert.deepEqual(seqs(messages), [1, 3, 4, 8])
      assert.deepEqual([del, desc.clear, desc.seq], [{ clear: 1, delseq: [{ low: 2 }, { low: 5, hi: 8 }] }, 1, 8])
    }
    assert.equal(await a.publishes(b.id, 'm9'), 9)
    const late = await people.signs(b.person)
    assert.deepEqual(seqs((await late.subs(a.id, { what: 'data' })).data), [1, 3, 4, 8, 9])
    await a.isQuiet()
  })

  scene('both kinds together: each sees the holes of both, and pages pass over them', async people => {
    const [a, b] = await talk(people)
    await deletes(a, b.id, [{ low: 1, hi: 3 }], { hard: true })
    await deletes(b, a.id, [{ low: 2, hi: 5 }])
    await deletes(b, a.id, [{ low: 8 }])
    assert.deepEqual(seqs((await b.gets(a.id, 'data')).data), [5, 6, 7])
    assert.deepEqual(seqs((await a.gets(b.id, 'data')).data), count(6, 3))
    assert.deepEqual(await deleted(b, a.id), { clear: 3, delseq: [{ low: 1, hi: 5 }, { low: 8 }] })
    assert.deepEqual(await deleted(b, a.id, { since: 2 }), { clear: 3, delseq: [{ low: 2, hi: 5 }, { low: 8 }] })
    assert.deepEqual(await deleted(b, a.id, { since: 2, before: 3 }), { clear: 2, delseq: [{ low: 2, hi: 5 }] })
    assert.deepEqual((await b.gets(a.id, 'del', { del: { since: 4 } })).codes, [204])
    assert.deepEqual(await deleted(a, b.id), { clear: 1, delseq: [{ low: 1, hi: 3 }] })
  })

  scene('without D it is done for oneself', async people => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b])
    for (const i of count(3)) await a.publishes(grp, i)
    await b.skipsTo(data(grp, a.id, 3, 3))
    await deletes(b, grp, [{ low: 2 }], { hard: true })
    assert.deepEqual(seqs((await b.gets(grp, 'data')).data), [1, 3])
    assert.deepEqual(seqs((await a.gets(grp, 'data')).data), [1, 2, 3])
    await a.isQuiet()
    await deletes(a, grp, [{ low: 1 }], { hard: true })
    await b.sees(pres(grp, grp, 'del', { clear: 2, delseq: [{ low: 1 }] }))
    assert.deepEqual(seqs((await b.gets(grp, 'data')).data), [3])
  })

  scene('what is no range, and from where', async people => {
    const [a, b] = await talk(people)
    for (const delseq of [
      undefined, [], [{ low: 900 }], [{ low: 9 }], [{ low: 7, hi: 3 }], [{ low: 0 }], [{ low: 0, hi: 3 }], [{}], [{ hi: 5 }], [{ low: -1 }], [{ low: -3, hi: 2 }], [{ low: 1 }, { low: 0 }],
      [{ low: 1 }, { low: 900, hi: 901 }],
    ]) {
      assert.equal((await deletes(b, a.id, delseq, {}, 400)).text, 'malformed', JSON.stringify(delseq))
    }
    assert.deepEqual((await b.gets(a.id, 'del')).codes, [204], 'nothing is deleted')
    assert.deepEqual((await deletes(b, a.id, [{ low: 7, hi: 100 }])).params, { del: 1 })
    assert.deepEqual(seqs((await b.gets(a.id, 'data')).data), count(6))
    await b.leaves(a.id)
    await deletes(b, a.id, [{ low: 1 }], {}, 409)
    await deletes(b, 'me', [{ low: 1 }], {}, 403)
    await b.does('del', { topic: a.id, what: 'nosuch' }, 400)
    await b.does('del', { topic: a.id }, 400)
  })

  scene('many deletions, and one of many ranges', async people => {
    const [a, b] = await people.pair()
    for (const i of count(600)) a.send({ pub: { id: `p${i}`, topic: b.id, content: i, noecho: true } })
    await a.until('all answers', () => a.log.some(({ ctrl }) => ctrl?.id === 'p600'))
    for (const i of count(40)) await deletes(b, a.id, [{ low: 10 * i }])
    await deletes(b, a.id, count(300).map(i => ({ low: 2 * i })))
    const { data: messages, del } = await b.gets(a.id, 'data del', { data: { before: 101 } })
    assert.deepEqual(seqs(messages), count(50).map(i => 2 * i - 1))
    assert.equal(del.clear, 41)
    assert.deepEqual(del.delseq, count(300).map(i => ({ low: 2 * i })))
    assert.equal(seqs((await b.gets(a.id, 'data')).data).length, 100)
  })
}

for (const site of SITES) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ saying, reading, deleting })) {
    describe(title, () => stories(stand(site, { title: `messages: ${title}` }).scene))
  }

  describe('old messages', () => {
    const { scene } = stand(site, { title: 'messages: age', values: { DELETE_AGE: '1ms' } })
    scene('are deleted for all by nobody but the owner', async people => {
      const [a, b] = await people.crowd('ann', 'ben')
      const grp = await people.gather(a, [b], { mode: USER })
      for (const i of count(2)) await b.publishes(grp, i)
      await a.skipsTo(data(grp, b.id, 2, 2))
      await pause(10) // they are older than a millisecond
      await deletes(b, grp, [{ low: 1 }], { hard: true })
      assert.deepEqual([seqs((await a.gets(grp, 'data')).data), seqs((await b.gets(grp, 'data')).data)], [[1, 2], [2]])
      await deletes(a, grp, [{ low: 2 }], { hard: true })
      assert.deepEqual([seqs((await a.gets(grp, 'data')).data), (await b.gets(grp, 'data')).codes], [[1], [204]])
    })
  })
})
