// Catching up: pages, offsets, encodings, resuming.
import assert from 'node:assert/strict'
import { inserts, resumed, sendAll, sync, unpacked } from '../messages.mjs'

const UPDATES = [{ s: 1, 1: 'u1', data: 'one' }, { s: 1, 1: 'u2', data: 'two' }]

/** `a` in a room with a log of 450 inserts and two updates, and `b`, who has just joined. */
async function longRoom(party) {
  const room = party.fresh('room')
  const [a] = await party.gather(room, 'a')
  const log = await sendAll(a, inserts(0, 450))
  const updates = await sendAll(a, UPDATES)
  const b = await party.user('b')
  await party.enter(b, room, { present: [a] })
  return { room, a, b, log, updates }
}

export function pages(scene) {
  scene('syncs page by page: 200, 200, the rest with the updates; plain and gzip', async party => {
    const { a, b, log, updates } = await longRoom(party)
    for (const encoding of [undefined, 'gzip', 'br']) {
      const echoed = encoding === 'gzip' ? { encoding } : {}
      const request = offset => (encoding ? { offset, encoding } : { offset })
      assert.deepEqual(await sync(b, request(0)), { data: log.slice(0, 200), offset: 200, next: 1, ...echoed })
      assert.deepEqual(await sync(b, request(200)), { data: log.slice(200, 400), offset: 400, next: 1, ...echoed })
      assert.deepEqual(await sync(b, request(400)), { data: [...log.slice(400), ...updates], offset: 452, next: 0, ...echoed })
      await a.sees(['remote_sync', { uid: b.uid }])
    }
    await party.barrier(b, a)
    await party.barrier(a, b)
  })

  scene('syncs exactly at 200 and 400: a full page first, then the updates alone', async party => {
    const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
    const log = []
    for (const full of [200, 400]) {
      log.push(...await sendAll(a, inserts(log.length, full)))
      assert.deepEqual(await b.gathers('msg', 200), log.slice(-200))
      assert.deepEqual(await sync(b, { offset: full - 200 }), { data: log.slice(-200), offset: full, next: 1 })
      assert.deepEqual(await sync(b, { offset: full }), { data: [], offset: full, next: 0 })
    }
    const updates = await sendAll(a, UPDATES)
    await b.gathers('msg', 2)
    assert.deepEqual(await sync(b, { offset: 200 }), { data: log.slice(200), offset: 400, next: 1 })
    assert.deepEqual(await sync(b, { offset: 400 }), { data: updates, offset: 402, next: 0 })
  })

  scene('reads an offset as the original does, and tells the others of a sync from the start only', async party => {
    const { a, b, log, updates } = await longRoom(party)
    const first = { data: log.slice(0, 200), offset: 200, next: 1 }
    for (const request of [{}, { offset: 'abc' }, { offset: -5 }, { offset: null }, { offset: '-1' }]) assert.deepEqual(await sync(b, request), first, JSON.stringify(request))
    assert.deepEqual(await sync(b, { offset: '200' }), { data: log.slice(200, 400), offset: 400, next: 1 })
    assert.deepEqual(await sync(b, { offset: '12px' }), { data: log.slice(12, 212), offset: 212, next: 1 })
    assert.deepEqual(await sync(b, { offset: 449.9 }), { data: [...log.slice(449), ...updates], offset: 452, next: 0 })
    assert.deepEqual(await sync(b, { offset: 450 }), { data: updates, offset: 452, next: 0 })
    assert.deepEqual(await sync(b, { offset: 1000 }), { data: updates, offset: 1002, next: 0 })
    await party.barrier(b, a) // none of these was a sync from the start
    for (const offset of [0, '0']) {
      assert.deepEqual(await sync(b, { offset }), first)
      await a.sees(['remote_sync', { uid: b.uid }])
    }
    await party.barrier(a, b)
  })

  scene('resumes at the number of inserts it has, told by log', async party => {
    const { b, log, updates } = await longRoom(party)
    assert.deepEqual(await resumed(b, { offset: 0 }), { data: log.slice(0, 200), offset: 200, next: 1, log: 200, start: 0 })
    assert.deepEqual(await resumed(b, { offset: 400 }), { data: [...log.slice(400), ...updates], offset: 452, next: 0, log: 450, start: 0 })
    assert.deepEqual(await resumed(b, { offset: 450, encoding: 'gzip' }), { data: updates, offset: 452, next: 0, encoding: 'gzip', log: 450, start: 0 })
  })

  scene('tells the others of a sync, but not of a dummy\'s', async party => {
    const room = party.fresh('room')
    const [a, b] = await party.gather(room, 'a', 'b')
    const dummy = await party.user('dummy')
    await party.enter(dummy, room, { dummy: true, present: [a, b] })
    await sync(dummy, { offset: 0 })
    await party.barrier(b, a, dummy)
    await sync(a, { offset: 0, encoding: 'gzip' })
    for (const other of [b, dummy]) await other.sees(['remote_sync', { uid: a.uid }])
    await party.barrier(b, a, dummy)
  })

  scene('gets an empty page outside of a room, and the page as an acknowledgement too', async party => {
    const a = await party.user('a')
    assert.deepEqual(await sync(a, { offset: 5 }), { data: [], offset: 0, next: 0 })
    assert.deepEqual(await sync(a, { offset: 0, encoding: 'gzip' }), { data: [], offset: 0, next: 0, encoding: 'gzip' })
    await party.enter(a, party.fresh('room'))
    const log = await sendAll(a, inserts(0, 2))
    const acknowledged = await a.ask('sync', { offset: 0, encoding: 'gzip' })
    assert.deepEqual({ ...acknowledged, data: unpacked(acknowledged.data) }, { data: log, offset: 2, next: 0, encoding: 'gzip' })
    assert.deepEqual(await a.next('sync'), acknowledged)
  })
}
