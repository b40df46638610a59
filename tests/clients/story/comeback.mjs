// Dropped, a client comes back by itself and catches up: nothing missed, nothing twice.
import assert from 'node:assert/strict'
import { Line } from '../cut.mjs'
import { by, inserts, sendAll, sync } from '../messages.mjs'
import { JOINED } from '../party.mjs'

const count = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)

/** Pages from `offset` on, as the documents teach it: each next request at `log`. @returns the inserts */
async function resume(client, offset) {
  const missed = []
  for (let next = 1, from = offset; next;) {
    client.tell('sync', { offset: from, resume: true })
    const page = await client.upTo('sync')
    missed.push(...page.data.filter(message => message.s === 0))
    next = page.next
    assert.ok(page.log >= from + next, `log is the next insert index after ${from}: ${page.log} (next: ${next})`)
    from = page.log
  }
  return missed
}

export function comeback(scene, { clustered }) {
  const ways = { 'comes back by itself': (party, home) => home }
  if (clustered) ways['comes back to another node'] = (party, home) => party.server.other(home)
  for (const [how, where] of Object.entries(ways)) scene(`loses its line, ${how} and resumes: misses nothing, gets nothing twice`, async party => {
    const room = party.fresh('room')
    const home = party.server.nodeForClient()
    const line = await Line.to(home.url)
    try {
      const [a] = await party.gather(room, 'a')
      const b = await party.user('b', { url: line.url })
      await party.enter(b, room, { present: [a] })
      const all = await sendAll(a, inserts(0, 20))
      await sendAll(a, [{ s: 1, 1: 'u', data: 'an update is no insert' }])
      const live = await b.gathers('msg', 21)
      line.cut()
      await b.isDropped()
      all.push(...await sendAll(a, inserts(20, 250)))
      line.mend(where(party, home).url)
      const during = sendAll(a, inserts(250, 260)) // while it is on its way back
      await b.sees(['reconnect'])
      await party.signIn(b)
      b.tell('join', { roomId: room })
      await b.upTo('join', answer => answer.status === 0)
      assert.deepEqual(b.log.filter(([event]) => event === 'join'), [JOINED, JOINED])
      all.push(...await during)
      const missed = await resume(b, 20)
      all.push(...await sendAll(a, inserts(260, 270)))
      await b.until('the last message', () => b.log.some(([event, message]) => event === 'msg' && message[1] === 'm269'))

      const heard = b.log.filter(([event, message]) => event === 'msg' && message.s === 0).map(([, message]) => message.data)
      const read = missed.map(message => message.data)
      assert.deepEqual(live.at(-1), by(a, [{ s: 1, 1: 'u', data: 'an update is no insert' }])[0])
      assert.deepEqual(read, count(20, 20 + read.length), 'the pages hold, in order and each once, what was stored since')
      assert.ok(read.length >= 230, 'all that was stored while it was away is in the pages')
      assert.equal(new Set(heard).size, heard.length, 'no message was heard twice')
      assert.deepEqual([...new Set([...heard, ...read])].sort((x, y) => x - y), count(0, 270), 'nothing was missed')
    } finally {
      line.close()
    }
  })

  scene('is dropped for a message beyond all limits, and comes back by itself', async party => {
    const room = party.fresh('room')
    const [b, a] = await party.gather(room, 'b', 'a')
    if (party.wire.way === 'polling with upgrade') await a.upgraded()
    const [kept] = await sendAll(a, inserts(0, 1))
    a.tell('msg', { s: 0, 1: 'far too large', data: 'x'.repeat(4 * 1024 * 1024) })
    await b.sees(['msg', kept], ['remote_disconnect', { uid: a.uid }])
    if (party.wire.deaf) return
    await a.isDropped()
    await a.sees(['reconnect'])
    await party.signIn(a)
    await party.enter(a, room, { present: [b] })
    assert.deepEqual((await sync(a, { offset: 0 })).data, [kept])
  })
}
