// The WebSocket of react-wechat, on one node and on two: who gets in, what comes first, messages to who is there and to who is not, what is erased and when,
// what is dropped, sizes, and what lasts when all nodes end and start again.
import assert from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { eventually } from './http.mjs'
import { does } from './wechat/admin.mjs'
import { bySender, card, checked, forged, frame, item, message, nonsense, nobody, People, stand } from './wechat/people.mjs'
import { badTokens, SITES, token } from './wechat/stage.mjs'

const KB = 1024
const MOST = 1024 * KB
/** The close code that tells a client to stay away. */
const STAY_AWAY = 4000
const TOO_LARGE = 1009

/** The text of a message with exactly so many bytes. */
function sized(from, to, bytes) {
  const empty = JSON.stringify(message(from, to, '', 1))
  return JSON.stringify(message(from, to, 'x'.repeat(bytes - Buffer.byteLength(empty)), 1))
}

const numbers = messages => messages.map(({ payload }) => payload.content)
const count = n => Array.from({ length: n }, (_, i) => i)

function comingIn(scene) {
  scene('without anything that waits, the contacts come first, sorted by group', async people => {
    const [ann, ...others] = await people.users('ann', 'zoe', 'ben', 'mia')
    const nine = await people.user('nine', { nick: '9x' })
    for (const other of [...others, nine]) await people.befriend(ann, other)
    const socket = await people.enters(ann)
    assert.deepEqual(socket.opening.map(({ type }) => type), ['wechat/save'])
    assert.deepEqual(Object.keys(socket.opening[0].payload), ['contacts'])
    const expected = [nine, others[1], others[2], others[0]].map((other, i) => card(other, socket.contacts[i]?._id))
    assert.deepEqual(socket.contacts, expected)
    const nobodys = await people.enters(await people.user('loner'))
    assert.deepEqual(nobodys.contacts, [])
  })

  scene('a token that opens nothing: closed with 4000, and told nothing', async people => {
    const ann = await people.user('ann')
    for (const bad of Object.values(badTokens(ann))) {
      const socket = people.connects(ann, { token: encodeURIComponent(bad) })
      await socket.isClosed(STAY_AWAY)
      assert.deepEqual(socket.opening, [])
      assert.equal(socket.status, undefined, 'the handshake was accepted')
    }
  })

  scene('any other token of the secret gets in', async people => {
    const ann = await people.user('ann')
    for (const more of [{ nick: 'another' }, { iat: undefined }, { exp: Date.now() / 1000 + 3600 | 0 }]) await people.enters(ann, { token: token(ann, { more }) })
    await people.enters(ann, { token: (await people.login(ann)).token })
  })

  scene('another path is no WebSocket', async people => {
    const ann = await people.user('ann')
    for (const path of ['/', '/wechat', `/${ann.token}`, `/wechats/${ann.token}`, `/wechat/x/${ann.token}`, '/api/info', `/chat/${ann.token}`]) {
      const socket = people.connects(ann, { path })
      await socket.ends()
      assert.equal(socket.status, 404, path)
    }
  })

  scene('a handshake from any page is accepted', async people => {
    const ann = await people.user('ann')
    for (const origin of ['https://elsewhere.example', 'null', 'file://', 'x']) await people.enters(ann, { origin })
  })

  scene('what is sent before the contacts are read is handled', async people => {
    const [ann, ben] = await people.pair()
    const there = await people.enters(ben)
    const said = [message(ann, ben, 1), frame('invite-offer', ann, ben), message(ann, ben, 2)]
    await people.enters(ann, { says: said.map(one => JSON.stringify(one)) })
    await there.sees(...said)
  })

  scene('the newest wins: the older is closed with 4000, and its end takes nothing from the newer', async people => {
    const [ann, ben] = await people.pair()
    const there = await people.enters(ann)
    const sockets = [await people.enters(ben)]
    for (let i = 0; i < 4; i++) {
      sockets.push(await people.enters(ben))
      await sockets.at(-2).isClosed(STAY_AWAY)
      await people.barrier(there, sockets.at(-1))
      const said = message(ann, ben, i)
      there.send(said)
      await sockets.at(-1).sees(said)
    }
    await people.barrier(sockets.at(-1), there)
  })

  scene('many at once of one phone: one stays, and hears', async people => {
    const [ann, ben] = await people.pair()
    const there = await people.enters(ann)
    const sockets = Array.from({ length: 10 }, () => people.connects(ben))
    await eventually('one is left', () => sockets.filter(({ isOpen }) => isOpen).length, left => left === 1)
    const survivor = sockets.find(({ isOpen }) => isOpen)
    await survivor.opens()
    for (const other of sockets) if (other !== survivor) await other.isClosed(STAY_AWAY)
    await people.barrier(there, survivor)
  })
}

function talking(scene) {
  scene('who is there gets the same JSON, with all its fields; nobody is told that it came', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    const contents = ['hello', '', 'é日🎉\0\n"\\', 0, -1.5, null, true, {}, { text: 'x', list: [1, { a: [] }] }, [], [[null]], 'data:image/png;base64,AAAA']
    for (const [i, content] of contents.entries()) {
      const said = message(ann, ben, content, i)
      a.send(said)
      await b.sees(said)
      const more = { ...said, more: { of: 'it' }, payload: { ...said.payload, id: i, thumb: null } }
      a.send(more)
      await b.sees(more)
    }
    await people.barrier(b, a)
    await people.barrier(a, b)
  })

  scene('binary frames are read as text, and frames may come in pieces', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    const said = message(ann, ben, 'é日🎉'.repeat(200)), text = JSON.stringify(said)
    a.send(Buffer.from(text))
    await b.sees(said)
    a.sendInPieces(text, 7)
    await b.sees(said)
  })

  scene('who is away has it later, of each sender in its order', async people => {
    const [ann, ben] = await people.pair()
    const cleo = await people.user('cleo')
    await people.befriend(cleo, ben)
    const [a, c] = [await people.enters(ann), await people.enters(cleo)]
    const before = Date.now()
    const contents = ['hello', '', 'é日🎉\0\n"\\', 0, -1.5, null, true, { text: 'x', list: [1, { a: [] }] }, [], '12345678901234567890']
    const [from1, from2] = [contents.map((content, i) => message(ann, ben, content, i)), contents.map((content, i) => message(cleo, ben, [content], `${i}`))]
    for (const i of contents.keys()) {
      // What is no field of a message does not wait with it.
      a.send({ ...from1[i], more: 1, payload: { ...from1[i].payload, id: i, thumb: 'x' } })
      c.send(from2[i])
    }
    await people.waits(ben, ...from1, ...from2)
    const socket = await people.enters(ben)
    const conversations = checked(socket.conversations)
    assert.deepEqual(socket.opening[0], { type: 'wechat/saveConversation', payload: { conversations } })
    for (const { timestamp } of Object.values(conversations)) {
      assert.ok(timestamp >= before - 1000 && timestamp <= Date.now() + 1000, `the server's time of the latest: ${timestamp}`)
    }
    assert.deepEqual(Object.fromEntries(Object.entries(conversations).map(([peer, { items }]) => [peer, items])), bySender([...from1, ...from2]))
    await people.barrier(a, socket)
    await people.barrier(socket, a)
  })

  scene('what was said before a goodbye waits when that is answered', async people => {
    const [ann, ben] = await people.pair()
    for (const i of count(5)) {
      const a = await people.enters(ann)
      a.send(...count(100).map(j => message(ann, ben, 100 * i + j)))
      await a.leaves()
      assert.equal((await does(people, 'userState', { phone: ben.phone })).waiting, 100 * (i + 1))
    }
  })

  scene('a message that is identical to one that waits is not stored twice', async people => {
    const [ann, ben] = await people.pair()
    const cleo = await people.user('cleo')
    await people.befriend(cleo, ben)
    const [a, c] = [await people.enters(ann), await people.enters(cleo)]
    const [one, later, other, last] = [message(ann, ben, { a: 1 }, 1), message(ann, ben, { a: 1 }, 2), message(cleo, ben, { a: 1 }, 1), message(ann, ben, 'last', 3)]
    a.send(one, one, later, one)
    c.send(other, other)
    a.send({ ...one, payload: { ...one.payload, more: 'that does not wait' } }, later, last)
    await people.waits(ben, one, later, last, other)
  })

  scene('heartbeats are ignored', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    for (const payload of [{ time: Date.now() }, {}, { time: 'x', from: ann.phone, to: ben.phone }]) a.send({ type: 'heartbeat', payload })
    await people.barrier(a, b)
    await people.barrier(b, a)
  })

  scene('what comes while somebody comes in comes behind that, in order, once', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    const messages = count(400).map(i => message(ann, ben, i, 1))
    a.send(...messages.slice(0, 200))
    const coming = people.connects(ben)
    a.send(...messages.slice(200))
    await coming.opens()
    const waited = (coming.conversations[ann.phone]?.items ?? []).map(({ content }) => content)
    const live = await coming.next(messages.length - waited.length)
    assert.deepEqual([...waited, ...numbers(live)], numbers(messages))
    await people.barrier(a, coming)
  })
}

function erasing(scene) {
  scene('who dies before a pong has all of it again', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    const [one, two, three] = count(3).map(i => message(ann, ben, i))
    a.send(one, two)
    for (let i = 0; i < 3; i++) await people.waits(ben, one, two)
    for (const dies of ['contacts', 'ping', 'contacts']) {
      const socket = people.connects(ben, { dies })
      await socket.opens()
      await socket.ends()
    }
    a.send(three)
    await people.waits(ben, one, two, three)
  })

  scene('behind a pong it is erased', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    const said = count(3).map(i => message(ann, ben, i))
    a.send(...said)
    await people.waits(ben, ...said)
    const socket = await people.enters(ben)
    assert.deepEqual(socket.conversations[ann.phone].items, said.map(item))
    await socket.until('a ping behind it', () => socket.pings.length > 0)
    await people.barrier(socket, a) // whose pong, which it sent before, was read as well
    await socket.leaves()
    await people.waits(ben)
    assert.deepEqual((await people.enters(ben)).conversations, {})
  })

  scene('what came live and was not answered for waits, too', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    const said = count(3).map(i => message(ann, ben, i))
    const deaf = await people.enters(ben, { dies: 'message' })
    a.send(...said)
    await deaf.ends()
    assert.deepEqual(JSON.parse(deaf.log[0]), said[0])
    await people.waits(ben, ...said)
    const socket = await people.enters(ben)
    const live = message(ann, ben, 'live')
    a.send(live)
    await socket.sees(live)
    await socket.leaves()
    // By then this may be erased, and may be not: once at least it was there. What follows is there again.
    const other = await people.enters(ben)
    assert.deepEqual((other.conversations[ann.phone]?.items ?? [item(live)]), [item(live)])
    await people.barrier(a, other)
  })

  scene('a pong that comes late erases what was before its ping, and nothing behind it', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    const [one, two, three] = count(3).map(i => message(ann, ben, i))
    a.send(one, two)
    await people.waits(ben, one, two)
    const late = await people.enters(ben, { pongs: false })
    await late.until('a ping', () => late.pings.length > 0)
    a.send(three)
    await late.sees(three)
    late.dies = 'ping' // the next one: of what is behind the first
    late.pong(late.pings[0])
    await late.ends()
    await people.waits(ben, three)
  })

  scene('a pong that answers no ping erases nothing', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    const one = message(ann, ben, 1)
    a.send(one)
    await people.waits(ben, one)
    const socket = await people.enters(ben, { pongs: false })
    await socket.until('a ping', () => socket.pings.length > 0)
    for (const data of ['nothing of it', 'x'.repeat(125)]) socket.pong(data)
    await people.barrier(socket, a) // the pongs were read before
    socket.cut()
    await people.waits(ben, one)
  })

  scene('who never answers pings has it erased after a while', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    const one = message(ann, ben, 1)
    a.send(one)
    await people.waits(ben, one)
    // Nothing shows from outside when it is: it lives for some seconds, as often as it takes.
    await eventually('nothing waits', async () => {
      const mute = await people.enters(ben, { pongs: false })
      await new Promise(lived => setTimeout(lived, 3_000))
      assert.ok(mute.isOpen, 'nobody is thrown out for not answering pings')
      mute.cut()
      return people.peek(ben)
    }, conversations => Object.keys(conversations).length === 0, 90_000)
    await people.barrier(a, await people.enters(ben))
  })

  scene('one ping at a time, however much comes', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    const socket = await people.enters(ben, { pongs: false })
    const said = count(300).map(i => message(ann, ben, i))
    a.send(said[0])
    await socket.until('a ping', () => socket.pings.length > 0)
    const before = socket.pings.length
    a.send(...said.slice(1))
    await socket.sees(...said)
    await people.barrier(a, socket)
    // Should all of this have taken the 2 s after which a ping is given up, there may be a second one.
    assert.ok(socket.pings.length - before <= 2, `${socket.pings.length - before} more pings for 299 messages`)
  })

  scene('who dies again and again while messages come misses none', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    const said = count(600).map(i => message(ann, ben, i, 1))
    const seen = new Set()
    const notes = socket => {
      const all = [...(socket.conversations[ann.phone]?.items ?? []).map(({ content }) => content), ...socket.log.map(text => JSON.parse(text).payload.content)]
      assert.deepEqual(all, [...all].sort((one, other) => one - other), 'each socket sees them in order')
      assert.equal(new Set(all).size, all.length, 'and each one once')
      for (const one of all) seen.add(one)
    }
    for (let at = 0; at < said.length; at += 50) {
      const socket = await people.enters(ben, { pongs: at % 100 === 0 })
      a.send(...said.slice(at, at + 50))
      await socket.until('something', () => socket.log.length > 0)
      socket.cut()
      await socket.ends()
      notes(socket)
    }
    const last = await people.enters(ben)
    await last.until('the last message', () => { notes(last); return seen.has(said.length - 1) })
    assert.deepEqual([...seen].sort((one, other) => one - other), count(said.length))
  })
}

function dropping(scene) {
  scene('what is no frame, or has no sense, is ignored, and the socket stays', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    for (const type of ['hang-up', 'wechat/saveMessage']) a.send(...nonsense(type, ann, ben))
    a.send(Buffer.from([0xff, 0xfe, 0x00]), Buffer.alloc(0), Buffer.from('{"type":"hang-up","payload":{"from":"\xff"}}', 'latin1'))
    a.send('['.repeat(100_000), `{"type":"hang-up","payload":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`)
    await people.barrier(a, b)
    await people.barrier(b, a)
    await b.leaves()
    await people.waits(ben)
  })

  scene('what says it is from somebody else is dropped', async people => {
    const [ann, ben] = await people.pair()
    const cleo = await people.user('cleo')
    await people.befriend(cleo, ben)
    const [a, b, c] = [await people.enters(ann), await people.enters(ben), await people.enters(cleo)]
    for (const type of ['hang-up', 'invite-offer', 'wechat/saveMessage']) a.send(...forged(type, ann, ben, cleo))
    await people.barrier(a, b)
    for (const [one, other] of [[b, a], [b, c]]) await people.barrier(one, other)
    await b.leaves()
    a.send(...forged('wechat/saveMessage', ann, ben, cleo), message(ann, ben, 'the only one'))
    const conversations = await eventually('what waits', () => people.peek(ben), all => Object.keys(all).length > 0)
    assert.deepEqual(Object.keys(conversations), [ann.phone])
    assert.deepEqual(conversations[ann.phone].items.map(({ content }) => content), ['the only one'])
  })

  scene('what is for strangers, for nobody and for oneself is dropped, and stored nowhere', async people => {
    const [ann, ben] = await people.pair()
    const [stranger, friend] = await people.pair('stranger', 'friend')
    const unknown = nobody(people.phone())
    const [a, b, s, f] = [await people.enters(ann), await people.enters(ben), await people.enters(stranger), await people.enters(friend)]
    for (const to of [ben, ann, unknown, stranger]) s.send(message(stranger, to, 'x'), frame('hang-up', stranger, to), frame('invite-offer', stranger, to))
    await people.barrier(s, f)
    await people.barrier(f, s)
    await people.barrier(a, b)
    for (const socket of [a, b, s, f]) await socket.leaves()
    const again = await people.enters(stranger)
    assert.deepEqual(again.conversations, {})
    for (const to of [ben, ann, unknown, stranger]) again.send(message(stranger, to, 'y'))
    await people.barrier(again, await people.enters(friend))
    await again.leaves()
    await people.user('late', { phone: unknown.phone })
    for (const one of [ben, ann, stranger]) await people.waits(one)
    await people.waits({ ...unknown, token: token(unknown) })
  })

  scene('text that is no UTF-8 ends its sender, and nobody else', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    a.socket.send(Buffer.from([0x22, 0xff, 0x22]), { binary: false })
    await a.isClosed(1007)
    await people.barrier(await people.enters(ann), b)
  })

  scene('64 KB and 1 MiB are relayed, and wait; one byte more is closed with 1009', async people => {
    const [ann, ben] = await people.pair()
    const b = await people.enters(ben)
    let a = await people.enters(ann)
    for (const bytes of [64 * KB, MOST]) {
      const text = sized(ann, ben, bytes)
      a.send(text)
      await b.sees(text)
      a.sendInPieces(text, 60_000)
      await b.sees(text)
    }
    const signal = JSON.stringify(frame('video-offer', ann, ben, { sdp: 'v'.repeat(64 * KB) }))
    a.send(signal)
    await b.sees(signal)
    const over = sized(ann, ben, MOST + 1)
    for (const send of [() => a.send(over), () => a.send(Buffer.from(over)), () => a.sendInPieces(over, 60_000)]) {
      send()
      await a.isClosed(TOO_LARGE)
      a = await people.enters(ann)
    }
    await people.barrier(a, b)
    await b.until('its pings to be answered', () => b.pings.length > 0)
    await people.barrier(b, a)
    await b.leaves()
    await people.waits(ben)
    const large = [sized(ann, ben, MOST), sized(ann, ben, MOST - 1)]
    a.send(...large)
    await people.waits(ben, ...large.map(text => JSON.parse(text)))
  })

  scene('much more waits than a client may be behind', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    const said = count(12).map(i => message(ann, ben, `${i} ${'x'.repeat(900 * KB)}`, i))
    a.send(...said)
    await people.waits(ben, ...said)
    const b = await people.enters(ben)
    await people.barrier(a, b)
    assert.deepEqual(b.conversations[ann.phone].items.length, said.length)
  })

  scene('thousands of messages wait, of each sender in their order', async people => {
    const [ann, ben] = await people.pair()
    const others = await people.users('cleo', 'dora')
    for (const other of others) await people.befriend(other, ben)
    const senders = await Promise.all([ann, ...others].map(one => people.enters(one)))
    const said = senders.map(({ person }) => count(1_000).map(i => message(person, ben, `message ${i}`, i)))
    for (const [i, socket] of senders.entries()) socket.send(...said[i])
    await people.waits(ben, ...said.flat())
  })

  scene('contacts that are made under an open socket', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    a.send(message(ann, ben, 'to a stranger'))
    await people.befriend(ann, ben)
    for (const [socket, other] of [[a, ben], [b, ann]]) {
      await socket.until('its new contact', () => socket.contacts.some(({ phone }) => phone === other.phone))
      assert.deepEqual(socket.contacts, [card(other, socket.contacts[0]._id)])
    }
    const said = message(ann, ben, 'to a contact')
    a.send(said)
    await b.sees(said)
    await people.barrier(b, a)
  })
}

function lasting(scene) {
  scene('after a restart users, contacts, waiting messages and tokens are there', async (people, { server }) => {
    const [ann, ben] = await people.pair()
    const { info, token: own } = await people.login(ann)
    const a = await people.enters(ann, { token: own })
    const said = ['hello', { text: 'é日🎉' }, null].map((content, i) => message(ann, ben, content, i))
    a.send(...said)
    const before = await people.waits(ben, ...said)
    await server.restart()
    assert.notEqual(await a.ends(), STAY_AWAY, 'clients may come back')
    assert.deepEqual((await people.login(ann)).info, info)
    assert.deepEqual(await people.waits(ben, ...said), before)
    const [again, b] = [await people.enters(ann, { token: own }), await people.enters(ben)]
    assert.deepEqual(again.contacts.map(({ phone }) => phone), [ben.phone])
    await people.barrier(again, b)
    await people.barrier(b, again)
    await b.leaves()
    await people.waits(ben)
    await server.restart()
    await people.waits(ben)
  })
}

for (const site of SITES) {
  describe(site.name, () => {
    const { scene } = stand(site, { title: 'sockets' })
    comingIn(scene)
    talking(scene)
    erasing(scene)
    dropping(scene)
    lasting(scene)

    if (!site.clustered) it('without a secret one is made and kept', async t => {
      const server = await site.start({ title: 'a secret of its own', env: { AO_WECHAT__LISTEN: '127.0.0.1:0' } })
      t.after(() => server.stop())
      await secretOfItsOwn(server)
    })
  })
}

/** The secret is in the data folder, for its owner's eyes only; what was signed with it lasts, and what was not opens nothing. */
async function secretOfItsOwn(server) {
  const people = new People(server)
  try {
    const ann = await people.user('ann')
    const { token: own } = await people.login(ann)
    await people.connects(ann, { token: token(ann) }).isClosed(STAY_AWAY)
    const file = join(server.folder, 'wechat-secret')
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    const secret = (await readFile(file, 'utf8')).trim()
    assert.match(secret, /^[\w-]{43}$/)
    await server.restart()
    await people.enters(ann, { token: own })
    await people.enters(ann, { token: token(ann, { secret }) })
    assert.ok(!server.stderr.includes(secret), 'it is not in the log')
  } finally {
    people.close()
  }
}
