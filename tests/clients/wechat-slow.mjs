// Clients of react-wechat on slow lines, and those with much to be told, on one node and on two: what was sent and has not arrived is not erased, however much is
// heard from them; nobody is kept out by what is said while he comes; and who is told much can say something meanwhile.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from './http.mjs'
import { becomes } from './wechat/admin.mjs'
import { card, frame, message, stand } from './wechat/people.mjs'
import { SITES } from './wechat/stage.mjs'

const KB = 1024
/** The largest picture that a user may have. */
const PICTURE = `data:image/png;base64,${'A'.repeat(128 * KB - 22)}`
/** So many of them are more than the system keeps for who does not read. */
const MANY = 100
const AT_ONCE = 10
/** So many messages may wait for one. All of them together send some more. */
const FULL = 50_000
const EACH = FULL / MANY + 1
/** Bytes of pictures in the answer to a search. */
const SHOWN = 2048 * KB
/** Longer than a server waits for a pong of who never answers. */
const LONG_MS = 4_000
/** The close code that tells a client to stay away. */
const STAY_AWAY = 4000
/** Who reads nothing here does so for as long as a test takes, on whatever machine: that is no end of his connection. */
const PATIENT = { AO_WEBSOCKET__WRITE_STALL: '300s' }

const heartbeat = { type: 'heartbeat', payload: { time: 1 } }

/** It is heard, again and again, for so long. */
async function beats(socket, ms) {
  for (const end = Date.now() + ms; Date.now() < end; await pause(200)) socket.send(heartbeat)
}

/** What somebody has written, as this socket was told of it by whatever frames, in their order. */
function written(socket, { phone }) {
  const frames = [...socket.opening, ...socket.log.map(text => JSON.parse(text))]
  return frames.flatMap(({ type, payload }) => {
    if (type === 'wechat/saveConversation') return (payload.conversations[phone]?.items ?? []).map(({ content }) => content)
    return type === 'wechat/saveMessage' && payload.from === phone ? [payload.content] : []
  })
}

function arriving(scene) {
  scene('who answers pings, and has a message only on its way, keeps it: heartbeats are no pongs', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    await b.until('a ping, which it answers', () => b.pings.length > 0)
    await people.barrier(b, a) // so its pong was read
    b.pause()
    const said = [message(ann, ben, 'one'), message(ann, ben, 'two')]
    a.send(...said)
    await becomes(people, ben, { waiting: 2 })
    await beats(b, LONG_MS)
    assert.deepEqual(b.log, [], 'nothing of it has got there')
    b.cut()
    await people.waits(ben, ...said)
    const again = await people.enters(ben)
    await people.barrier(a, again)
    await becomes(people, ben, { waiting: 0 })
  })

  scene('who answers each ping late is one that answers', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben, { pongs: false })]
    await b.until('a ping', () => b.pings.length > 0)
    await beats(b, LONG_MS)
    b.pong(b.pings[0])
    await people.barrier(b, a)
    b.pause()
    const said = message(ann, ben, 'on its way')
    a.send(said)
    await becomes(people, ben, { waiting: 1 })
    await beats(b, LONG_MS)
    b.cut()
    await people.waits(ben, said)
  })

  scene('a pong that is late by far erases what was sent before its ping', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben, { pongs: false })]
    await b.until('a ping', () => b.pings.length > 0)
    b.pong(b.pings[0])
    await people.barrier(b, a)
    const said = message(ann, ben, 'one')
    a.send(said)
    await b.sees(said)
    await b.until('a ping behind it', () => b.pings.length > 1)
    await beats(b, LONG_MS)
    await becomes(people, ben, { waiting: 1 })
    b.pong(b.pings.at(-1))
    await becomes(people, ben, { waiting: 0 })
    assert.ok(b.isOpen)
  })

  scene('who used to answer and leaves a ping unanswered is gone at last, and his message waits: his own pings are no messages under way', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben, { pongs: false })]
    await b.until('a ping', () => b.pings.length > 0)
    b.pong(b.pings[0])
    await people.barrier(b, a)
    const said = message(ann, ben, 'not confirmed')
    a.send(said)
    await b.sees(said)
    const pinging = setInterval(() => b.socket.ping(), 1_000)
    try {
      assert.notEqual(await b.ends(), STAY_AWAY)
    } finally {
      clearInterval(pinging)
    }
    await people.waits(ben, said)
  })
}

function much(scene) {
  let made
  /** Somebody with very many contacts, all of whom have large pictures; made once for all of these tests. */
  const star = people => made ??= (async () => {
    const mark = people.phone()
    const victim = await people.user('victim')
    const crowd = []
    while (crowd.length < MANY) {
      const phones = Array.from({ length: AT_ONCE }, (_, i) => `${mark}${String(crowd.length + i).padStart(3, '0')}`)
      crowd.push(...await Promise.all(phones.map(phone => people.user('fan', { phone, thumb: PICTURE }))))
    }
    for (const fan of crowd) await people.befriend(fan, victim)
    return { victim, crowd, mark }
  })()

  scene('a search tells pictures up to a bound, and everybody without', async people => {
    const { victim, crowd, mark } = await star(people)
    const { searchResult } = await people.gets('search', { keyword: mark }, { token: victim.token })
    assert.equal(searchResult.length, MANY)
    const pictures = searchResult.map(({ thumb }) => thumb).filter(thumb => thumb !== null)
    assert.ok(pictures.every(thumb => thumb === PICTURE))
    assert.equal(pictures.length, Math.floor(SHOWN / PICTURE.length))
    for (const found of searchResult) {
      const fan = crowd.find(({ phone }) => phone === found.phone)
      assert.deepEqual(found, card({ ...fan, thumb: found.thumb }, found._id))
    }
  })

  scene('much is said while somebody comes slowly: nobody is kept out, and nothing is lost', async people => {
    const { victim } = await star(people)
    const ann = await people.user('ann')
    await people.befriend(ann, victim)
    const a = await people.enters(ann)
    const slow = people.connects(victim, { paused: true })
    await slow.until('its handshake', () => slow.accepted)
    await becomes(people, victim, { nodes: nodes => nodes.length === 1 })
    const contents = Array.from({ length: 6 }, (_, i) => `${i} ${'x'.repeat(1000 * KB)}`)
    for (const [i, content] of contents.entries()) {
      a.send(message(ann, victim, content, i))
      await becomes(people, victim, { waiting: i + 1 })
    }
    slow.resume()
    await slow.until('all of it', () => written(slow, ann).length >= contents.length || !slow.isOpen)
    assert.ok(slow.isOpen, `closed with ${slow.code}`)
    assert.ok(slow.contacts.length > MANY)
    assert.deepEqual(written(slow, ann).map(content => content.slice(0, 2)), contents.map(content => content.slice(0, 2)), 'in order, each once')
    slow.cursor = slow.log.length
    const said = message(ann, victim, 'live')
    a.send(said)
    await slow.sees(said)
    await people.barrier(a, slow)
    await becomes(people, victim, { waiting: 0 })
  })

  scene('who is told of many contacts says something meanwhile, and hears what others say behind that', async people => {
    const { victim } = await star(people)
    const [ann, stranger] = await people.users('ann', 'stranger')
    await people.befriend(ann, victim)
    const [a, v] = [await people.enters(ann), await people.enters(victim)]
    await people.barrier(v, a)
    v.pause()
    await people.befriend(stranger, victim) // so all the cards go out again
    for (let i = 0; i < 20; i++, await pause(50)) {
      const said = message(victim, ann, i)
      v.send(said)
      await a.sees(said)
    }
    const answer = message(ann, victim, 'all of it has come')
    a.send(answer)
    await becomes(people, victim, { waiting: 1 })
    v.resume()
    await v.sees(answer)
    await v.until('its new contact', () => v.contacts.some(({ phone }) => phone === stranger.phone))
    assert.ok(v.isOpen)
    await people.barrier(a, v)
  })

  scene('an inbox in which very much waits takes no more of it, until its owner has come', async people => {
    const { victim, crowd } = await star(people)
    const [ann, ben] = await people.pair()
    await people.befriend(ann, victim)
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    for (const fan of crowd) (await people.enters(fan)).send(...Array.from({ length: EACH }, (_, i) => message(fan, victim, i, i)))
    const { waiting } = await becomes(people, victim, { waiting: waiting => waiting > FULL }, 180_000)
    a.send(message(ann, victim, 'too much'), frame('hang-up', ann, victim))
    await people.barrier(a, b) // it was dealt with
    const v = await people.enters(victim)
    assert.ok(Object.values(v.conversations).reduce((sum, { newCount }) => sum + newCount, 0) >= waiting)
    assert.equal(v.conversations[ann.phone], undefined)
    await becomes(people, victim, { waiting: 0 })
    const log = () => v.log.map(text => JSON.parse(text)).filter(({ payload }) => payload.from === ann.phone)
    const came = await eventually('a message of hers', async () => {
      a.send(message(ann, victim, 'once more'))
      await people.barrier(a, b)
      return log()
    }, came => came.length > 0)
    assert.ok(came.every(({ payload }) => payload.content === 'once more'))
  })

  scene('who hangs up while it is told much is gone, and the next one has all of it', async people => {
    const { victim } = await star(people)
    for (let i = 0; i < 5; i++) {
      const socket = people.connects(victim, { paused: true })
      await socket.until('its handshake', () => socket.accepted)
      socket.cut()
    }
    await becomes(people, victim, { nodes: [] })
    const socket = await people.enters(victim)
    assert.ok(socket.contacts.length >= MANY)
  })
}

for (const site of SITES) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ arriving, much })) {
    describe(title, () => stories(stand(site, { title: `slow lines: ${title}`, env: PATIENT }).scene))
  }
})
