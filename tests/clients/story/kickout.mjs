// One uid, one socket: a second one kicks the first, whose rooms are held for it.
import { SUCCESS } from '../party.mjs'

const KICKED = ['kickout', 0]

export function kickout(scene) {
  scene('kicks its earlier self out, which stays away; in the same room nobody notices', async party => {
    const room = party.fresh('room')
    const [a, b] = await party.gather(room, 'a', 'b')
    const b2 = await party.again(b)
    await b.isRefused(KICKED)
    await party.enter(b2, room, { present: [a], witnesses: [] })
    await party.barrier(b2, a)
    await party.barrier(a, b2)
    const late = await party.user('late')
    await party.enter(late, room, { present: [a, b2] })
    b.staysAway()
    b2.close()
    await a.sees(['remote_disconnect', { uid: b.uid }])
    await late.sees(['remote_disconnect', { uid: b.uid }])
  })

  scene('joins another room instead: the held one is told that it has gone', async party => {
    const [room, other] = [party.fresh('room'), party.fresh('room')]
    const [a, b] = await party.gather(room, 'a', 'b')
    const [c] = await party.gather(other, 'c')
    const b2 = await party.again(b)
    await b.isRefused(KICKED)
    // Held: a newcomer still finds it in the roster.
    const d = await party.user('d')
    await party.enter(d, room, { present: [a, b], witnesses: [a] })
    await party.enter(b2, other, { present: [c] })
    for (const member of [a, d]) await member.sees(['remote_disconnect', { uid: b.uid }])
    await party.barrier(d, a)
    await party.barrier(b2, c)
  })

  scene('goes without joining: all held rooms are told', async party => {
    for (const go of [client => client.close(), client => client.tell('leave')]) {
      const [first, second] = [party.fresh('room'), party.fresh('room')]
      const [a, b] = await party.gather(first, 'a', 'b')
      const [c] = await party.gather(second, 'c')
      await party.enter(b, second, { present: [c] })
      const b2 = await party.again(b)
      await b.isRefused(KICKED)
      go(b2)
      for (const member of [a, c]) await member.sees(['remote_disconnect', { uid: b.uid }])
    }
  })

  scene('takes one of two held rooms over: only the other is told', async party => {
    const [first, second] = [party.fresh('room'), party.fresh('room')]
    const [a, b] = await party.gather(first, 'a', 'b')
    const [c] = await party.gather(second, 'c')
    await party.enter(b, second, { present: [c] })
    const b2 = await party.again(b)
    await b.isRefused(KICKED)
    await party.enter(b2, first, { present: [a], witnesses: [] })
    await c.sees(['remote_disconnect', { uid: b.uid }])
    await party.barrier(b2, a)
  })

  scene('is kicked twice in a row: the last one inherits what is held', async party => {
    const room = party.fresh('room')
    const [a, b] = await party.gather(room, 'a', 'b')
    const b2 = await party.again(b)
    await b.isRefused(KICKED)
    const b3 = await party.guest('b3', { uid: b.uid, token: b.token })
    b3.tell('authenticate', { uid: b.uid, token: b.token })
    await b3.sees(SUCCESS)
    await b2.isRefused(KICKED)
    await party.enter(b3, room, { present: [a], witnesses: [] })
    await party.barrier(b3, a)
    for (const earlier of [b, b2]) earlier.staysAway()
  })
}
