// Joining, rosters, dummies, going away.
import { NO_ROOM, STORED } from '../party.mjs'
import assert from 'node:assert/strict'

export function rooms(scene) {
  scene('joins: the others are told, the newcomer gets the roster in join order', async party => {
    const [room, elsewhere] = [party.fresh('room'), party.fresh('room')]
    const [a, b, c] = await party.gather(room, 'a', 'b', 'c')
    const [stranger] = await party.gather(elsewhere, 'stranger')
    await party.barrier(a, b, c)
    b.close()
    for (const other of [a, c]) await other.sees(['remote_disconnect', { uid: b.uid }])
    const d = await party.user('d')
    await party.enter(d, room, { present: [a, c] })
    await party.barrier(c, a, d)
    assert.deepEqual(await stranger.ask('msg', { s: 2 }), STORED)
    assert.deepEqual(stranger.log.map(([event]) => event), ['authenticate', 'join'], 'the stranger in another room saw nothing of it')
  })

  scene('is told when a room is missing, and may try again', async party => {
    const a = await party.user('a')
    for (const request of [{}, { roomId: '' }, { roomId: null }, { roomId: 0 }, { roomId: ['x'] }, {}]) {
      a.tell('join', request)
      await a.sees(NO_ROOM)
    }
    await party.enter(a, party.fresh('room'))
  })

  scene('as a dummy sees everything, and nobody sees it', async party => {
    const room = party.fresh('room')
    const [a] = await party.gather(room, 'a')
    const dummy = await party.user('dummy')
    await party.enter(dummy, room, { dummy: true, present: [a] })
    const c = await party.user('c')
    await party.enter(c, room, { present: [a], witnesses: [a, dummy] })
    dummy.tell('msg', { s: 0, 1: 'no', data: 'not heard' })
    a.tell('msg', { s: 0, 1: 'yes', data: 'heard' })
    const heard = { s: 0, 1: 'yes', data: 'heard', 2: a.uid }
    await c.sees(['msg', heard])
    await dummy.sees(['msg', heard])
    dummy.tell('sync', { offset: 0 })
    await dummy.sees(['sync', { data: [heard], offset: 1, next: 0 }])
    assert.deepEqual(await dummy.ask('msg', { s: 0 }), { status: 1, data: 'dummy can not send' })
    assert.deepEqual((await dummy.ask('leave')).status, 0)
    await dummy.isRefused()
    await party.barrier(c, a)
    await party.barrier(a, c)
  })
}
