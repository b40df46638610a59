// What is sent, what the others get, in which order, and what is refused.
import assert from 'node:assert/strict'
import { inserts, sendAll, sync } from '../messages.mjs'
import { STORED } from '../party.mjs'

const UNICODE = 'é ß 日本語 🎉👩‍👩‍👧 \u0000 \u2028 \\ " / \ud83d\ude00'

export function messages(scene) {
  scene('sends each storage type in both spellings; the others get it, the sender does not', async party => {
    const [a, b, c] = await party.gather(party.fresh('room'), 'a', 'b', 'c')
    const documented = { 2: a.uid, uid: a.uid }
    const told = [
      // sent, and what the others get besides
      [{ s: 0, 1: 'i1', data: { x: [1, null, true, 1.5] }, extra: 'kept' }, { 2: a.uid }],
      [{ s: 1, 1: 'u1', data: 'once' }, { 2: a.uid }],
      [{ s: 1, 1: 'u1', data: 'twice' }, { 2: a.uid }],
      [{ s: 2, 1: 'g1', data: 'not stored' }, { 2: a.uid }],
      [{ s: 7, 1: 'unknown type' }, { s: 0, 2: a.uid }],
      [{ 1: 'no type' }, { s: 0, 2: a.uid }],
      [{ s: '1', 1: 7, data: 'type as text, id as number' }, { 2: a.uid }],
      [{ s: 0, 1: 'forged', 2: 'somebody else' }, { 2: a.uid }],
      [{ storage: 0, msgId: 'd1', data: 'documented' }, { s: 0, ...documented }],
      [{ storage: 1, msgId: 'd2', data: 'documented' }, { s: 1, ...documented }],
      [{ storage: 2, msgId: 'd3', data: 'documented' }, { s: 2, ...documented }],
      [{ storage: 9, msgId: 'd4' }, { s: 0, ...documented }],
      [{ storage: '2', msgId: 'd5' }, { s: '2', ...documented }],
      [{ msgId: 'd6', uid: 'forged' }, { s: 0, ...documented }],
      [{ s: 2, 1: 'short', storage: 0, msgId: 'long' }, { s: 2, ...documented }],
    ].map(([sent, added]) => ({ sent, got: { ...sent, ...added } }))
    for (const { sent } of told) a.tell('msg', sent)
    for (const other of [b, c]) await other.sees(...told.map(({ got }) => ['msg', got]))
    const page = await sync(b, {})
    const of = type => told.filter(({ got }) => Number(got.s) === type).map(({ got }) => got)
    const stored = [...of(0), ...of(1).filter(message => message.data !== 'once')]
    const inAnyOrder = list => list.map(message => JSON.stringify(Object.entries(message).sort())).sort()
    assert.deepEqual(page.data.slice(0, of(0).length), of(0), 'the log holds the inserts in order')
    assert.deepEqual(inAnyOrder(page.data), inAnyOrder(stored), 'then the updates, the latest of each id')
    assert.deepEqual([page.offset, page.next], [stored.length, 0])
    await party.barrier(b, a, c)
  })

  scene('500 messages sent in one go arrive in order, at everybody and in the log', async party => {
    const [a, b, c] = await party.gather(party.fresh('room'), 'a', 'b', 'c')
    const sent = await sendAll(a, inserts(0, 500))
    for (const other of [b, c]) await other.sees(...sent.map(message => ['msg', message]))
    const log = []
    for (let next = 1; next;) {
      const page = await sync(c, { offset: String(log.length || '') })
      log.push(...page.data)
      next = page.next
      assert.equal(page.data.length, next ? 200 : 100)
    }
    assert.deepEqual(log, sent)
    await party.barrier(b, a)
  })

  scene('two who send at once are heard in one order by everybody else', async party => {
    const [a, b, c, d] = await party.gather(party.fresh('room'), 'a', 'b', 'c', 'd')
    const both = await Promise.all([a, b].map(sender => sendAll(sender, inserts(0, 100))))
    const [atC, atD] = [await c.gathers('msg', 200), await d.gathers('msg', 200)]
    assert.deepEqual(atC, atD)
    for (const sent of both) assert.deepEqual(atC.filter(message => message[2] === sent[0][2]), sent)
    assert.deepEqual((await sync(d, {})).data, atD.slice(0, 200), 'and the log has that order too')
  })

  scene('sends unicode', async party => {
    const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
    if (party.wire.way === 'polling with upgrade') for (const client of [a, b]) await client.upgraded()
    const written = text => party.wire.way === 'polling only' ? party.written(text) : text
    const all = written(UNICODE)
    const text = { s: 0, 1: all, [all]: all, data: [all, 'ascii', written('🎉'.repeat(1000))] }
    a.tell('msg', text)
    a.tell('msg', { s: 2, 1: 'after' })
    await b.sees(['msg', { ...text, 2: a.uid }], ['msg', { s: 2, 1: 'after', 2: a.uid }])
    assert.deepEqual((await sync(b, { encoding: 'gzip' })).data, [{ ...text, 2: a.uid }])
    assert.deepEqual((await sync(b, {})).data, [{ ...text, 2: a.uid }])
  })

  scene('sends bytes: refused, whatever they travel as, and the connection stays', async party => {
    const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
    if (party.wire.way === 'polling with upgrade') await a.upgraded()
    const binary = { s: 0, 1: 'bytes', data: a.bytes(0, 1, 128, 255) }
    if (party.wire.garbles) { // see its wire
      a.tell('msg', binary)
      await a.isDropped()
      await a.sees(['reconnect'])
      await b.sees(['remote_disconnect', { uid: a.uid }])
      return
    }
    assert.deepEqual(await a.ask('msg', binary), { status: 1, data: 'not an object' })
    a.tell('msg', binary)
    await party.barrier(a, b)
    await party.barrier(b, a)
    assert.deepEqual(await sync(a, {}), { data: [], offset: 0, next: 0 })
  })

  scene('sends 400 KB in one message', async party => {
    const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
    const big = { s: 0, 1: 'big', data: 'x'.repeat(400 * 1024) }
    assert.deepEqual(await a.ask('msg', big), STORED)
    await b.sees(['msg', { ...big, 2: a.uid }])
    assert.deepEqual(await sync(b, {}), { data: [{ ...big, 2: a.uid }], offset: 1, next: 0 })
    await party.barrier(b, a)
  })

  scene('gets an acknowledgement for each message, and the reason when it is refused', async party => {
    const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
    const outside = await party.user('outside')
    const refused = reason => ({ status: 1, data: reason })
    assert.deepEqual(await outside.ask('msg', { s: 0 }), refused('not in a room'))
    for (const type of [0, 1, 2, 7, undefined]) assert.deepEqual(await a.ask('msg', { s: type, 1: 'x' }), STORED)
    for (const none of ['text', 5, null, true, [{ s: 0 }]]) assert.deepEqual(await a.ask('msg', none), refused('not an object'))
    const large = { s: 0, 1: 'large', data: 'x'.repeat(500 * 1024) }
    assert.deepEqual(await a.ask('msg', large), refused('message too large'))
    // The same without asking: dropped, and the connection stays.
    for (const none of ['text', [], large]) a.tell('msg', none)
    outside.tell('msg', { s: 0 })
    assert.equal((await b.gathers('msg', 5)).length, 5)
    await party.barrier(a, b)
    await party.barrier(b, a)
    await party.enter(outside, party.fresh('room'))
  })
}
