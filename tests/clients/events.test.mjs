// Corners of the events that no recorded transcript shows: several rooms, dummies that change, ids of every type, limits.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { after, before, describe } from 'node:test'
import { by, inserts, sendAll, sync } from './messages.mjs'
import { JOINED, NO_ROOM, STORED, SUCCESS, WRONG, scenes } from './party.mjs'
import { SITES } from './sites.mjs'
import { wire } from './wires.mjs'

const goes = client => ['remote_disconnect', { uid: client.uid }]
const comes = client => ['remote_join', { uid: client.uid }]
const leaves = client => ['remote_leave', { uid: client.uid }]

for (const site of SITES) describe(site.name, () => {
  const stage = { wire: wire(4, 'websocket only') }
  const scene = scenes(stage)
  before(async () => { stage.server = await site.start({ title: 'events' }) })
  after(() => stage.server?.stop())

  describe('a second room', () => {
    scene('is joined without leaving the first: hears both, speaks in the latest, goes from both', async party => {
      const [first, second] = [party.fresh('room'), party.fresh('room')]
      const [a, b] = await party.gather(first, 'a', 'b')
      const [c] = await party.gather(second, 'c')
      await party.enter(b, second, { present: [c] })
      const [inFirst] = await sendAll(a, [{ s: 0, 1: 'in the first' }])
      await b.sees(['msg', inFirst])
      const [inSecond] = await sendAll(c, [{ s: 0, 1: 'in the second' }])
      await b.sees(['msg', inSecond])
      const [own] = await sendAll(b, [{ s: 0, 1: 'from b' }])
      await c.sees(['msg', own])
      assert.deepEqual(await sync(b, { offset: 0 }), { data: [inSecond, own], offset: 2, next: 0 })
      await c.sees(['remote_sync', { uid: b.uid }])
      b.close()
      await a.sees(goes(b))
      await c.sees(goes(b))
    })

    scene('leave acts on the latest, and both are told that it has gone', async party => {
      const [first, second] = [party.fresh('room'), party.fresh('room')]
      const [a, b] = await party.gather(first, 'a', 'b')
      const [c] = await party.gather(second, 'c')
      await party.enter(b, second, { present: [c] })
      b.tell('leave')
      await b.isRefused()
      await c.sees(leaves(b), goes(b))
      await a.sees(goes(b))
    })
  })

  describe('joining again', () => {
    scene('the same room: answered with the roster, announced to nobody', async party => {
      const room = party.fresh('room')
      const [a, b, c] = await party.gather(room, 'a', 'b', 'c')
      await party.enter(b, room, { present: [a, c], witnesses: [] })
      await party.barrier(b, a, c)
    })

    scene('after a failed join everything is as before', async party => {
      const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
      b.tell('join', {})
      await b.sees(NO_ROOM)
      await party.barrier(b, a)
      await party.barrier(a, b)
    })

    scene('a dummy that becomes visible is announced; a member that becomes a dummy has gone', async party => {
      const room = party.fresh('room')
      const [a, b] = await party.gather(room, 'a', 'b')
      const d = await party.user('d')
      await party.enter(d, room, { dummy: true, present: [a, b] })
      await party.enter(d, room, { present: [a, b] })
      await party.barrier(d, a, b)
      await party.enter(b, room, { dummy: true, present: [a, d] })
      for (const member of [a, d]) await member.sees(goes(b))
      assert.deepEqual(await b.ask('msg', { s: 0 }), { status: 1, data: 'dummy can not send' })
      await party.barrier(a, b, d)
      b.close()
      await party.barrier(a, d)
    })
  })

  describe('kickout', () => {
    scene('a dummy\'s rooms are not held', async party => {
      const room = party.fresh('room')
      const [a] = await party.gather(room, 'a')
      const d = await party.user('d')
      await party.enter(d, room, { dummy: true, present: [a] })
      const d2 = await party.again(d)
      await d.isRefused(['kickout', 0])
      await party.enter(d2, room, { present: [a] })
      await party.barrier(d2, a)
    })

    scene('a held room joined as a dummy is told that the visible one has gone', async party => {
      const room = party.fresh('room')
      const [a, b] = await party.gather(room, 'a', 'b')
      const b2 = await party.again(b)
      await b.isRefused(['kickout', 0])
      await party.enter(b2, room, { dummy: true, present: [a] })
      await a.sees(goes(b))
      await party.barrier(a, b2)
    })

    scene('before any join: the earlier one is kicked, nothing is held', async party => {
      const b = await party.user('b')
      const b2 = await party.again(b)
      await b.isRefused(['kickout', 0])
      const room = party.fresh('room')
      const [a] = await party.gather(room, 'a')
      await party.enter(b2, room, { present: [a] })
    })
  })

  describe('authenticate', () => {
    scene('twice with the same uid: answered again, nothing else changes', async party => {
      const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
      b.tell('authenticate', { uid: b.uid, token: b.token })
      await b.sees(SUCCESS)
      await party.barrier(b, a)
      await party.barrier(a, b)
    })

    scene('twice, the second time with another uid or a wrong token: refused', async party => {
      const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
      const other = await party.guest('other')
      b.tell('authenticate', { uid: other.uid, token: other.token })
      await b.isRefused(WRONG)
      await a.sees(goes(b))
      a.tell('authenticate', { uid: a.uid, token: 'wrong' })
      await a.isRefused(WRONG)
    })

    scene('the 31st time in a minute: refused; another uid is not affected', async party => {
      const a = await party.user('a')
      let last = a
      for (let i = 2; i <= 30; i++) {
        const again = await party.again(a, `a${i}`)
        await last.isRefused(['kickout', 0])
        last = again
      }
      const beyond = await party.guest('a31', { uid: a.uid, token: a.token })
      beyond.tell('authenticate', { uid: a.uid, token: a.token })
      await beyond.isRefused(['authenticate', { status: 1, data: 'reach rate limit' }])
      await party.enter(last, party.fresh('room')) // still there
      await party.user('other')
    })
  })

  describe('ids', () => {
    const WORTHLESS = ['', 0, null, true, {}, ['x'], 'a\u0000b', 'a\nb', 'x'.repeat(257), '🎉'.repeat(65), 2 ** 54, undefined]

    scene('are text or numbers; 1000 and "1000" are one, and are echoed as they were given', async party => {
      const [number, room] = [randomInt(1_000_000, 2 ** 40), randomInt(1_000_000, 2 ** 40)]
      const a = await party.user('a', { uid: number })
      await party.enter(a, room)
      const b = await party.user('b')
      await party.enter(b, String(room), { present: [a] })
      await party.barrier(a, b)
      const asText = await party.user('a2', { uid: String(number), token: a.token })
      await a.isRefused(['kickout', 0])
      await party.enter(asText, room, { present: [b], witnesses: [] })
      await party.barrier(asText, b)
    })

    scene('of a room: what is neither is missing', async party => {
      const a = await party.user('a')
      for (const roomId of WORTHLESS) {
        a.tell('join', { roomId })
        await a.sees(NO_ROOM)
      }
      for (const roomId of ['0', -5, 1.5, 'x'.repeat(256), 2 ** 53]) {
        a.tell('join', { roomId })
        await a.sees(JOINED)
      }
      for (const none of ['room', 5, null, []]) {
        a.tell('join', none)
        await a.sees(NO_ROOM)
      }
    })

    scene('of a user: what is neither is refused', async party => {
      for (const uid of WORTHLESS) {
        const a = await party.guest('a')
        a.tell('authenticate', { uid, token: a.token })
        await a.isRefused(WRONG)
      }
      for (const payload of [null, 'text', [], undefined]) {
        const a = await party.guest('a')
        a.tell('authenticate', payload)
        await a.isRefused(WRONG)
      }
    })

    scene('of an update: by their text, none is "undefined"; a later one replaces it', async party => {
      const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
      const sent = await sendAll(a, [
        { s: 1, 1: 7, data: 'number' }, { s: 1, data: 'none' }, { s: 1, 1: '7', data: 'text' }, { s: 1, 1: 'undefined', data: 'by name' },
      ])
      await b.sees(...sent.map(message => ['msg', message]))
      const { data } = await sync(b, {})
      assert.deepEqual(data.map(message => message.data).sort(), ['by name', 'text'])
    })
  })

  describe('messages', () => {
    scene('have a limit of 500 × 1024 UTF-16 units of JSON, to the unit', async party => {
      const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
      const empty = JSON.stringify({ s: 2, data: '' }).length
      for (const letter of ['x', 'é', '日']) {
        const most = { s: 2, data: letter.repeat(500 * 1024 - empty) }
        assert.deepEqual(await a.ask('msg', most), STORED)
        await b.sees(['msg', by(a, [most])[0]])
        assert.deepEqual(await a.ask('msg', { ...most, data: most.data + letter }), { status: 1, data: 'message too large' })
      }
      await party.barrier(a, b)
    })

    scene('nest at most 128 deep', async party => {
      const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
      const nested = depth => ({ s: 2, data: JSON.parse('['.repeat(depth) + ']'.repeat(depth)) })
      assert.deepEqual(await a.ask('msg', nested(100)), STORED)
      await b.sees(['msg', by(a, [nested(100)])[0]])
      assert.deepEqual(await a.ask('msg', nested(200)), { status: 1, data: 'too deep' })
      await party.barrier(a, b)
    })

    scene('with binary attachments reach nobody', async party => {
      const [a, b, c] = await party.gather(party.fresh('room'), 'a', 'b', 'c')
      b.tell('msg', { s: 0, 1: 'binary', data: Buffer.from([1, 2, 3]) })
      await party.barrier(a, c)
      await party.enter(await party.user('late'), party.fresh('room'))
      assert.deepEqual((await sync(c, {})).data, [])
    })

    scene('all arrive before the news that their sender has gone', async party => {
      const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
      const sent = inserts(0, 300)
      for (const message of sent) b.tell('msg', message)
      b.close()
      await a.sees(...by(b, sent).map(message => ['msg', message]), goes(b))
      assert.equal((await sync(a, { offset: 100 })).offset, 300)
    })

    scene('of 400 KB each: a page ends at 4 MiB, and the next goes on from there', async party => {
      const room = party.fresh('room')
      const [a] = await party.gather(room, 'a')
      const log = await sendAll(a, Array.from({ length: 12 }, (_, i) => ({ s: 0, 1: `${i}`, data: 'x'.repeat(400 * 1024) })))
      const b = await party.user('b')
      await party.enter(b, room, { present: [a] })
      const first = await sync(b, { offset: 0 })
      assert.equal(first.next, 1)
      assert.ok(first.data.length > 0 && first.data.length < 12, `${first.data.length} messages of 400 KB in the first page`)
      assert.equal(first.offset, first.data.length)
      assert.deepEqual(first.data, log.slice(0, first.offset))
      assert.deepEqual(await sync(b, { offset: first.offset }), { data: log.slice(first.offset), offset: 12, next: 0 })
    })

    scene('under other names are nobody\'s business', async party => {
      const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
      for (const event of ['remote_join', 'system', 'kickout', 'constructor', 'x']) b.tell(event, { uid: a.uid })
      await party.barrier(b, a)
      await party.barrier(a, b)
    })
  })

  describe('limits of time', () => {
    const hasty = { wire: stage.wire }
    const scene = scenes(hasty)
    before(async () => { hasty.server = await site.start({ title: 'hasty', env: { AO_AUTH__TIMEOUT: '3s', AO_AUTH__JOIN_TIMEOUT: '3s' } }) })
    after(() => hasty.server?.stop())

    scene('who does not authenticate in time is told and refused', async party => {
      const a = await party.guest('a')
      await a.isRefused(['authenticate', { status: 1, data: 'authentication timeout' }])
    })

    scene('who does not join in time is refused without a word; who has joined stays', async party => {
      const [member] = await party.gather(party.fresh('room'), 'member')
      const a = await party.user('a')
      a.tell('join', {}) // a failed join is none
      await a.isRefused(NO_ROOM)
      assert.deepEqual(await member.ask('msg', { s: 2 }), STORED)
      assert.equal(member.connects, 1)
    })
  })
})
