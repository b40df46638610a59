// Calls of react-wechat: their signalling is relayed byte by byte between contacts who are both there, on one node and on two; the credentials for TURN are
// those that a real coturn takes.
import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { describe } from 'node:test'
import { Coturn } from './wechat/coturn.mjs'
import { forged, frame, message, nobody, nonsense, SIGNALS, stand } from './wechat/people.mjs'
import { SITES } from './wechat/stage.mjs'

const CANDIDATES = 10_000
const sdp = kind => `v=0\r\no=- ${kind} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n${'a=x é日🎉\r\n'.repeat(500)}`
const candidate = i => ({ candidate: `candidate:${i} 1 udp 2122260223 192.0.2.${i % 256} 50000 typ host`, sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null })

/** Texts of one frame, as clients and others may write it: whoever is there gets these very bytes. */
const spellings = (type, from, to) => [
  JSON.stringify(frame(type, from, to)),
  JSON.stringify({ payload: { sdp: sdp('x'), to: to.phone, candidate: candidate(1), from: from.phone }, more: null, type }),
  `{"type":"${type}","payload":{"from":"${from.phone}","to":"${to.phone}"}}\n`,
  ` \t\r\n{ "type" : "${type}" , "payload" : { "to" : "${to.phone}" , "from" : "${from.phone}" } } `,
  `{"type":"${type}","payload":{"from":"${from.phone}","to":"${to.phone}","a":[1.0,1e2,-0,1E400,12345678901234567890,0.1000],"":{"":""},"é":"\\u00e9 é \\ud83c\\udf89 🎉 \\u0000 \\/ \u2028"}}`,
  `{"type":"\\u${type.charCodeAt(0).toString(16).padStart(4, '0')}${type.slice(1)}","payload":{"\\u0066rom":"${from.phone}","to":"\\u003${to.phone[0]}${to.phone.slice(1)}"}}`,
  `{"type":"nothing","type":"${type}","payload":{"from":"${to.phone}","to":"${from.phone}","to":"${to.phone}","from":"${from.phone}"}}`,
]

function relaying(scene) {
  for (const type of SIGNALS) scene(`${type}: the same text, byte by byte, both ways`, async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    for (const [one, other] of [[a, b], [b, a]]) for (const text of spellings(type, one.person, other.person)) {
      one.send(text)
      await other.sees(text)
      one.send(Buffer.from(text))
      await other.sees(text)
      one.sendInPieces(text, 11)
      await other.sees(text)
    }
    await people.barrier(a, b)
    await people.barrier(b, a)
  })

  scene('a whole call, one that is refused, and one that is cancelled', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    const says = async (one, other, type, more) => {
      const text = JSON.stringify(frame(type, one.person, other.person, more))
      one.send(text)
      await other.sees(text)
    }
    await says(a, b, 'invite-offer')
    await says(b, a, 'invite-accept')
    await says(a, b, 'video-offer', { sdp: { type: 'offer', sdp: sdp('offer') } })
    await says(b, a, 'video-answer', { sdp: { type: 'answer', sdp: sdp('answer') } })
    const candidates = Array.from({ length: 40 }, (_, i) => frame('new-ice-candidate', ann, ben, { candidate: candidate(i) }))
    const others = candidates.map(({ payload }) => frame('new-ice-candidate', ben, ann, payload.candidate))
    a.send(...candidates)
    b.send(...others)
    await a.sees(...others)
    await b.sees(...candidates)
    await says(b, a, 'hang-up')
    await says(b, a, 'invite-offer')
    await says(a, b, 'invite-refuse')
    await says(a, b, 'invite-offer')
    await says(a, b, 'invite-cancel')
    await people.barrier(a, b)
  })

  scene('signals and messages of one sender stay in their order', async people => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann), await people.enters(ben)]
    const said = Array.from({ length: 300 }, (_, i) => i % 3 ? frame(SIGNALS[i % SIGNALS.length], ann, ben, { i }) : message(ann, ben, i))
    a.send(...said)
    await b.sees(...said)
  })

  scene('who is away has missed it', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    for (const content of ['the first', 'the second']) {
      const last = message(ann, ben, content)
      a.send(...SIGNALS.map(type => frame(type, ann, ben)), last)
      await people.waits(ben, last) // behind the others
      const b = await people.enters(ben)
      assert.deepEqual(b.opening.map(({ type }) => type), ['wechat/saveConversation', 'wechat/save'])
      await people.barrier(a, b)
      await people.barrier(b, a)
      await b.leaves()
      await people.waits(ben)
    }
  })

  scene('a call goes on by sockets that are not those that it began with', async people => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann)
    let b = await people.enters(ben)
    const offer = frame('video-offer', ann, ben, { sdp: sdp('offer') })
    a.send(offer)
    await b.sees(offer)
    b.cut()
    b = await people.enters(ben)
    const answer = frame('video-answer', ben, ann, { sdp: sdp('answer') })
    b.send(answer)
    await a.sees(answer)
    await people.barrier(a, b)
  })

  scene('only between contacts, and only in one\'s own name', async people => {
    const [ann, ben] = await people.pair()
    const [stranger, friend] = await people.pair('stranger', 'friend')
    const [a, b, s, f] = [await people.enters(ann), await people.enters(ben), await people.enters(stranger), await people.enters(friend)]
    for (const type of SIGNALS) {
      s.send(...[ben, stranger, nobody(people.phone())].map(to => JSON.stringify(frame(type, stranger, to))))
      s.send(...spellings(type, stranger, ben), ...forged(type, stranger, friend, ann), ...forged(type, stranger, ben, ann), ...nonsense(type, stranger, friend))
    }
    await people.barrier(s, f)
    await people.barrier(f, s)
    await people.barrier(a, b)
    await people.barrier(b, a)
  })

  scene('ten thousand candidates come in their order, and disturb nobody', async people => {
    const [ann, ben] = await people.pair()
    const [cleo, dora] = await people.pair('cleo', 'dora')
    const [a, b, c, d] = [await people.enters(ann), await people.enters(ben), await people.enters(cleo), await people.enters(dora)]
    const flood = Array.from({ length: CANDIDATES }, (_, i) => JSON.stringify(frame('new-ice-candidate', ann, ben, { candidate: candidate(i) })))
    a.send(...flood)
    for (let i = 0; i < 20; i++) {
      const said = message(cleo, dora, i)
      c.send(said)
      await d.sees(said)
    }
    await b.sees(...flood.slice(0, 400))
    const said = message(ben, ann, 'enough')
    b.send(said)
    await a.sees(said)
    assert.ok(a.isOpen && b.isOpen)
  })
}

function turn(site) {
  const secret = randomBytes(24).toString('base64url')
  const urls = ['turn:192.0.2.1:3478?transport=udp', 'turns:192.0.2.1:5349?transport=tcp']
  const stun = ['stun:192.0.2.1:3478', 'stun:192.0.2.2']

  describe('TURN', () => {
    const { scene } = stand(site, { title: 'TURN', values: { TURN_URLS: urls, TURN_SECRET: secret, STUN_URLS: stun } })
    scene('credentials are of this user, and for an hour', async people => {
      const ann = await people.user('ann')
      for (const method of ['GET', 'POST']) {
        const before = Math.floor(Date.now() / 1000)
        const { iceServers, ttl } = await people.gets('turn', undefined, { method, token: ann.token })
        assert.equal(ttl, 3600)
        const [, { username, credential }] = iceServers
        assert.deepEqual(iceServers, [{ urls: stun }, { urls, username, credential }])
        const [, expiry, phone] = /^(\d+):(.+)$/.exec(username)
        assert.equal(phone, ann.phone)
        assert.ok(Number(expiry) >= before + ttl && Number(expiry) <= Date.now() / 1000 + ttl + 1, `expiry ${expiry}`)
        assert.equal(credential, createHmac('sha1', secret).update(username).digest('base64'))
      }
      const answer = await people.calls('turn', undefined, { method: 'GET', token: ann.token })
      assert.ok(!answer.text.includes(secret))
      assert.deepEqual(Object.keys(answer.body), ['code', 'message', 'data'])
    })
  })

  describe('another lifetime', () => {
    const { scene } = stand(site, { title: 'lifetime', values: { TURN_URLS: urls[0], TURN_SECRET: secret, TURN_LIFETIME: '10m' } })
    scene('is told, and counts', async people => {
      const ann = await people.user('ann')
      const { iceServers: [{ username }], ttl } = await people.gets('turn', undefined, { method: 'GET', token: ann.token })
      assert.equal(ttl, 600)
      assert.ok(Number(username.split(':')[0]) <= Date.now() / 1000 + ttl + 1)
    })
  })

  describe('without TURN', () => {
    const { scene } = stand(site, { title: 'no TURN' })
    scene('there are no servers', async people => {
      const ann = await people.user('ann')
      assert.deepEqual((await people.gets('turn', undefined, { method: 'GET', token: ann.token })).iceServers, [])
    })
  })

  describe('a real coturn', () => {
    const coturn = Coturn.forTests()
    const { scene } = stand(site, { title: 'coturn', values: () => ({ TURN_URLS: coturn.urls, TURN_SECRET: coturn.secret }) })
    scene('takes the credentials, and no others', async people => {
      const ann = await people.user('ann')
      const { iceServers: [{ username, credential }] } = await people.gets('turn', undefined, { method: 'GET', token: ann.token })
      assert.ok(await coturn.takes(username, credential), coturn.report())
      assert.ok(!await coturn.takes(username, credential.replace(/^./, first => first === 'A' ? 'B' : 'A')))
      const [expiry, phone] = username.split(':')
      assert.ok(!await coturn.takes(`${Number(expiry) + 1}:${phone}`, credential), 'another time needs another credential')
      assert.ok(!await coturn.takes(`${expiry}:${phone}0`, credential), 'another user, too')
      const over = `${Math.floor(Date.now() / 1000) - 3600}:${phone}`
      const signed = createHmac('sha1', coturn.secret).update(over).digest('base64')
      assert.ok(!await coturn.takes(over, signed), 'and none of yesterday')
    })
  })
}

for (const site of SITES) describe(site.name, () => {
  describe('signalling', () => {
    const { scene } = stand(site, { title: 'calls' })
    relaying(scene)
  })
  turn(site)
})
