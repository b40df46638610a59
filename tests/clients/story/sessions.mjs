// Signing in, being refused, leaving.
import assert from 'node:assert/strict'
import { JOINED, NO_ROOM, SUCCESS, WRONG } from '../party.mjs'

export function sessions(scene) {
  scene('signs in with the token of its uid, on the transport it was told to use', async party => {
    const a = await party.guest('a')
    a.tell('authenticate', { uid: a.uid, token: a.token })
    await a.sees(SUCCESS)
    if (party.wire.way === 'polling with upgrade') await a.upgraded()
    assert.equal(a.transport, party.wire.transports.at(-1))
  })

  scene('gets the same answer as an acknowledgement when it asks for one', async party => {
    const a = await party.guest('a')
    assert.deepEqual(await a.ask('authenticate', { uid: a.uid, token: a.token }), SUCCESS[1])
    assert.deepEqual(await a.ask('join', {}), NO_ROOM[1])
    assert.deepEqual(await a.ask('join', { roomId: party.fresh('room') }), JOINED[1])
    await a.sees(SUCCESS, NO_ROOM, JOINED)
  })

  scene('is refused with a wrong token, an unknown uid or no uid at all, and stays away', async party => {
    const known = await party.guest('known')
    known.tell('authenticate', { uid: known.uid, token: `${known.token}x` })
    await known.isRefused(WRONG)
    const unknown = await party.guest('unknown', { token: known.token })
    unknown.tell('authenticate', { uid: unknown.uid, token: known.token })
    await unknown.isRefused(WRONG)
    const nobody = await party.guest('nobody')
    nobody.tell('authenticate', {})
    await nobody.isRefused(WRONG)
    // Meanwhile somebody else has come and gone: who was refused has not tried again.
    await party.user('somebody')
    for (const refused of [known, unknown, nobody]) refused.staysAway()
  })

  scene('is not heard before it has signed in', async party => {
    const room = party.fresh('room')
    const [member] = await party.gather(room, 'member')
    const a = await party.guest('a')
    a.tell('join', { roomId: room })
    a.tell('msg', { s: 0, 1: 'unheard' })
    a.tell('sync', { offset: 0 })
    a.tell('leave')
    await party.signIn(a)
    await party.enter(a, room, { present: [member] })
    a.tell('sync', { offset: 0 })
    await a.sees(['sync', { data: [], offset: 0, next: 0 }])
    await member.sees(['remote_sync', { uid: a.uid }])
  })

  scene('may send everything at once, right behind authenticate', async party => {
    const [room, a] = [party.fresh('room'), await party.guest('a')]
    a.tell('authenticate', { uid: a.uid, token: a.token })
    a.tell('join', { roomId: room })
    a.tell('msg', { s: 0, 1: 'first', data: 'right behind' })
    a.tell('sync', { offset: 0 })
    await a.sees(SUCCESS, JOINED, ['sync', { data: [{ s: 0, 1: 'first', data: 'right behind', 2: a.uid }], offset: 1, next: 0 }])
  })

  scene('leaves: the others see it leave and go, it is refused itself', async party => {
    const [a, b, c] = await party.gather(party.fresh('room'), 'a', 'b', 'c')
    b.tell('leave')
    await b.isRefused()
    for (const other of [a, c]) await other.sees(['remote_leave', { uid: b.uid }], ['remote_disconnect', { uid: b.uid }])
    await party.barrier(a, c)
    await party.barrier(c, a)
  })

  scene('leaves with an acknowledgement', async party => {
    const [a, b] = await party.gather(party.fresh('room'), 'a', 'b')
    const answer = await b.ask('leave')
    assert.equal(answer.status, 0)
    await b.isRefused()
    await a.sees(['remote_leave', { uid: b.uid }], ['remote_disconnect', { uid: b.uid }])
  })
}
