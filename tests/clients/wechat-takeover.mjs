// What the original has stored in MongoDB is taken over when nodes start: users with their md5 passwords, contacts of all kinds, and what waits for them. Once,
// whoever starts, and however often.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { MongoClient, ObjectId } from 'mongodb'
import { startCluster } from './cluster.mjs'
import { eventually } from './http.mjs'
import { does } from './wechat/admin.mjs'
import { message, People } from './wechat/people.mjs'
import { settings, SITES, token } from './wechat/stage.mjs'

const md5 = text => createHash('md5').update(text).digest('hex')
const MANY = 150
const BOUND_MS = 60_000

/** A user as the original has stored it: the password is an unsalted md5. */
const user = (phone, nick, more = {}) => ({
  _id: new ObjectId(), nick, thumb: null, userName: `${nick} ${phone}`, password: md5(`secret of ${nick}`), region: null, email: `${nick}@example.org`, phone,
  group: nick[0].toUpperCase(), contacts: [], ...more,
})
const item = (from, to, content, timestamp = 1_500_000_000_000) => ({ content, to, from, timestamp })
/** `timestamp` and `newCount` are doubles there, as all numbers of Node's driver that are no integers of 32 bits; `newCount` counts repeats, too. */
const conversation = (items, newCount = items.length, timestamp = 1_500_000_000_123) => ({ timestamp, newCount, items })

/** So many users of the original in pairs, from the number `first` on. Two messages wait for each of them, by the other one. */
function couples(first, many) {
  const phone = i => `138${String(i).padStart(8, '0')}`
  const numbers = Array.from({ length: many }, (_, i) => first + i)
  const crowd = numbers.map(i => user(phone(i), `user ${i}`, { contacts: [phone(i ^ 1)] }))
  const conversations = numbers.map(i => {
    const [from, to] = [phone(i ^ 1), phone(i)]
    return { _id: new ObjectId(), phone: to, conversation: { [from]: conversation([item(from, to, `${i} a`, 1), item(from, to, `${i} b`, 2)]) } }
  })
  return { crowd, conversations }
}

const isRunning = ({ process }) => process.exitCode === null && process.signalCode === null

/** A cluster that has run, and ended, before the original's documents came into its database: they are there when its nodes start. */
async function stage(t, { users = [], conversations = [], strange = [] }) {
  const server = await startCluster({ title: 'taken over', env: settings({}) })
  const people = new People(server)
  const mongo = new MongoClient(server.env.AO_STORE__TOKENS)
  t.after(async () => {
    people.close()
    await mongo.close()
    await server.stop()
  })
  const database = mongo.db()
  const add = async (name, documents) => { if (documents.length > 0) await database.collection(name).insertMany(documents) }
  await Promise.all(server.nodes.map(node => node.end()))
  await database.collection('user').createIndex({ phone: 1 }, { unique: true })
  await add('user', [...strange, ...users])
  await add('conversation', conversations)
  await Promise.all(server.nodes.map(node => node.start()))
  for (const one of users) Object.assign(one, { name: one.nick, token: token(one) })
  return { server, people, database, add }
}

/** What somebody is told of contacts and waiting messages, by a socket that dies before anything is erased. */
async function told(people, person) {
  const socket = people.connects(person, { dies: 'contacts' })
  await socket.opens()
  const items = Object.fromEntries(Object.entries(socket.conversations).map(([peer, { items }]) => [peer, items]))
  return { items, contacts: socket.contacts.map(({ phone }) => phone), conversations: socket.conversations }
}

for (const site of SITES.filter(({ clustered }) => clustered)) describe(site.name, () => {
  it('users: cards, passwords once by md5, and never the hash as a password', async t => {
    const users = [
      user('13800000001', 'ann', { thumb: 'data:image/png;base64,AAAA', region: '北京' }),
      user('+13800000002', '张三', { group: 'Z' }),
      user('13800000003', 'ben', { thumb: undefined, region: undefined }),
    ]
    const { people, server, database } = await stage(t, { users })
    const [ann, zhang] = users
    for (const one of users) {
      assert.equal((await people.calls('login', { phone: one.phone, password: one.password })).body.code, 100002, 'the md5 is no password')
      assert.equal((await people.calls('login', { phone: one.phone, password: md5(one.password) })).body.code, 100002)
      assert.equal((await people.calls('login', { phone: one.phone, password: 'guessed' })).body.code, 100002)
      for (let i = 0; i < 3; i++) {
        const { info } = await people.login(one, `secret of ${one.nick}`)
        const { nick, phone, group, userName, email } = one
        assert.deepEqual(info, {
          _id: String(one._id), nick, phone, thumb: one.thumb ?? null, group, userName, region: one.region ?? null, email, contacts: [],
        })
      }
      assert.equal((await people.calls('login', { phone: one.phone, password: one.password })).body.code, 100002, 'nor is it afterwards')
      assert.equal((await people.calls('reg', { ...one, _id: undefined, password: 'another' })).body.code, 100004)
    }
    // Of what the server reads there is nothing left that could be tried by the thousand million.
    for (const { name } of await database.listCollections().toArray()) {
      if (['user', 'conversation'].includes(name)) continue
      for (const document of await database.collection(name).find().toArray()) {
        for (const { password, nick } of users) assert.ok(!JSON.stringify(document).includes(password), `the md5 of ${nick} in ${name}`)
      }
    }
    await server.restart()
    assert.equal((await people.login(ann, 'secret of ann')).info.nick, 'ann')
    assert.equal((await people.calls('login', { phone: zhang.phone, password: zhang.password })).body.code, 100002)
  })

  it('contacts: null, unknown, oneself, twice, one-sided, none at all; and documents that are no users', async t => {
    const [a, b, c, d, e] = ['1', '2', '3', '4', '5'].map(last => `1380000000${last}`)
    const users = [
      user(a, 'ann', { contacts: [null, b, a, b, '19999999999', 5, { $ref: 'x' }] }),
      user(b, 'ben', { contacts: null }),
      user(c, 'cleo', { contacts: [a] }),
      user(d, 'dora', { contacts: undefined }),
      user(e, 'eve', { contacts: 'none' }),
    ]
    const { people } = await stage(t, { users, strange: [{ nick: 'x', contacts: [a] }, { phone: 5, password: 5 }, { phone: '13800000009' }] })
    const [ann, ben, cleo, dora, eve] = users
    assert.deepEqual((await told(people, ann)).contacts, [b])
    assert.deepEqual((await told(people, cleo)).contacts, [a])
    for (const one of [ben, dora, eve]) assert.deepEqual((await told(people, one)).contacts, [])
    const sockets = await Promise.all([ann, ben, cleo, dora].map(one => people.enters(one)))
    const [toAnn, toBen, toCleo, toDora] = sockets
    // One of the two has the other: that is enough, both ways.
    await people.barrier(toBen, toAnn)
    await people.barrier(toAnn, toBen, toCleo)
    await people.barrier(toCleo, toAnn)
    toDora.send(message(dora, ann, 'x'))
    toAnn.send(message(ann, dora, 'x'), message(ann, { phone: '19999999999' }, 'x'))
    await people.barrier(toAnn, toBen)
    await people.befriend(ben, ann)
    assert.deepEqual((await people.login(ben, 'secret of ben')).info.contacts, [a])
    await toBen.until('its new contact', () => toBen.contacts.some(({ phone }) => phone === a))
  })

  it('what waits: several documents of one phone, plain strings, null, nothing at all, and who is no user', async t => {
    const [a, b, c] = ['1', '2', '3'].map(last => `1380000000${last}`)
    const users = [user(a, 'ann', { contacts: [b, c] }), user(b, 'ben', { contacts: [a] }), user(c, 'cleo')]
    const first = [item(a, b, 'one', 1), item(a, b, { text: 'two' }, 2), item(a, b, 'one', 1)]
    const second = [item(a, b, null, 3), item(a, b, 'é日🎉', 1_500_000_000_000.5)]
    const conversations = [
      { _id: new ObjectId(), phone: b, conversation: { [a]: conversation(first, 7), [c]: conversation([]) } },
      { _id: new ObjectId(), phone: b },
      { _id: new ObjectId(), phone: b, conversation: null },
      { _id: new ObjectId(), phone: b, conversation: { [a]: conversation(second, 2, 1_500_000_000_456), [c]: conversation(['plain', 'and plain']) } },
      { _id: new ObjectId(), phone: c, conversation: {} },
      { _id: new ObjectId(), phone: '19999999999', conversation: { [a]: conversation([item(a, '19999999999', 'for nobody')]) } },
      { _id: new ObjectId(), conversation: { [a]: conversation([item(a, b, 'of no phone')]) } },
      { _id: new ObjectId(), phone: 5, conversation: 'nothing of it' },
      { _id: new ObjectId(), phone: c, conversation: { [a]: null, [b]: 5, x: { items: null }, y: {} } },
    ]
    const { people, server, database, add } = await stage(t, { users, conversations })
    const [ann, ben, cleo] = users
    const waits = await told(people, ben)
    assert.deepEqual(Object.keys(waits.items).sort(), [a, c])
    assert.deepEqual(waits.items[a], [first[0], first[1], ...second])
    assert.deepEqual(waits.items[c].map(({ content, to, from, timestamp }) => [content, to, from, typeof timestamp]), [['plain', b, c, 'number'], ['and plain', b, c, 'number']])
    for (const { newCount, items, timestamp } of Object.values(waits.conversations)) {
      assert.equal(newCount, items.length)
      assert.ok(Number.isInteger(timestamp) && timestamp > 1e12, String(timestamp))
    }
    for (const one of [ann, cleo]) assert.deepEqual((await told(people, one)).items, {})

    await server.restart()
    assert.deepEqual((await told(people, ben)).items, waits.items, 'nothing is taken over twice')
    const socket = await people.enters(ben)
    const writes = message(ann, ben, 'live')
    const other = await people.enters(ann)
    other.send(writes)
    await socket.sees(writes)
    await people.barrier(socket, other)
    await socket.leaves()
    await eventually('all of it is delivered', () => told(people, ben), ({ items }) => Object.keys(items).length === 0)
    await server.restart()
    assert.deepEqual((await told(people, ben)).items, {}, 'what was delivered does not come again')

    // The original has run once more, and left something. It is taken over as well, behind what is there.
    await Promise.all(server.nodes.map(node => node.end()))
    await add('conversation', [{ _id: new ObjectId(), phone: b, conversation: { [a]: conversation([item(a, b, 'later', 9)]) } }])
    await Promise.all(server.nodes.map(node => node.start()))
    await eventually('the rest waits', () => told(people, ben).catch(() => ({ items: {} })), ({ items }) => items[a]?.[0].content === 'later')
    const marked = await database.collection('conversation').countDocuments({ always_online: { $exists: true } })
    assert.ok(marked > 0, 'what was taken over has a mark')
  })

  it('who was deleted stays so, whatever the original’s documents say; and documents that say nothing keep nobody out', async t => {
    const [a, b, c] = ['1', '2', '3'].map(last => `1380000000${last}`)
    const users = [user(b, 'ben', { contacts: [a] }), user(a, 'ann', { contacts: [b] }), user(c, 'cleo', { contacts: [a] })]
    const waiting = () => ({ _id: new ObjectId(), phone: a, conversation: { [b]: conversation([item(b, a, 'for the one who was ann')]) } })
    const strange = Array.from({ length: MANY }, (_, i) => ({ nick: `of no phone ${i}`, phone: i }))
    const { people, server, database, add } = await stage(t, { users, conversations: [waiting()], strange })
    const [ben, ann, cleo] = users
    assert.equal((await does(people, 'deleteUser', { phone: a })).removed, 1)
    // As if the server had died before it could mark what it had taken over.
    const unmark = name => database.collection(name).updateMany({ phone: a }, { $unset: { always_online: 1 } })
    const again = async () => {
      await Promise.all(server.nodes.map(node => node.end()))
      for (const name of ['user', 'conversation']) await unmark(name)
      await add('conversation', [waiting()])
      await Promise.all(server.nodes.map(node => node.start()))
      for (const node of server.nodes) await eventually('all is taken over', () => people.calls('info', {}, { node, token: ben.token }), ({ status }) => status === 200)
      for (const name of ['user', 'conversation']) {
        assert.equal(await database.collection(name).countDocuments({ phone: a, always_online: { $exists: false } }), 0, `${name}: they are done with`)
      }
    }
    await again()
    assert.equal((await people.calls('info', {}, { token: ann.token })).status, 401)
    assert.equal((await people.calls('login', { phone: a, password: 'secret of ann' })).body.code, 100001)
    const next = await people.user('next', { phone: a })
    const { token: own } = await people.login(next)
    assert.deepEqual(await told(people, { ...next, token: own }), { items: {}, contacts: [], conversations: {} })
    await again()
    assert.deepEqual(await told(people, { ...next, token: own }), { items: {}, contacts: [], conversations: {} })
    assert.equal((await people.login(next)).info.nick, 'next')
    assert.equal((await people.calls('info', {}, { token: cleo.token })).status, 200)
    assert.equal(await database.collection('user').countDocuments({ always_online: { $exists: false } }), MANY, 'what says nothing is left as it was')
  })

  it('a node is killed while it takes over, and another one that waits goes on: all is there, once', async t => {
    const { people, server, database } = await stage(t, {})
    const [waits, dies] = server.nodes
    await Promise.all(server.nodes.map(node => node.end()))
    const unmarked = async () => {
      const numbers = await Promise.all(['user', 'conversation'].map(name => database.collection(name).countDocuments({ 'always_online.taken': null })))
      return numbers[0] + numbers[1]
    }
    const users = []
    // Should it be done before it is killed, there was too little for it.
    for (let many = 4 * MANY, left = 0; left === 0; many *= 2) {
      assert.ok(many < 100_000, 'no node takes over so many before it is killed')
      const { crowd, conversations } = couples(users.length, many)
      users.push(...crowd)
      await database.collection('user').insertMany(crowd)
      for (const one of crowd) Object.assign(one, { name: one.nick, token: token(one) })
      await database.collection('conversation').insertMany(conversations)
      const all = await unmarked()
      assert.equal(all, 2 * many)
      dies.start().catch(() => {}) // it may not come so far
      let next
      try {
        for (const end = Date.now() + BOUND_MS; await unmarked() === all;) {
          assert.ok(Date.now() < end && isRunning(dies), `nothing is taken over: ${dies.stderr}`)
        }
        next = waits.start()
      } finally {
        if (isRunning(dies)) await dies.kill()
      }
      // Whoever waits can't begin yet: the turn of the one that died lasts for a while.
      left = await unmarked().finally(() => next)
      if (left === 0) await waits.end()
    }
    assert.equal(await unmarked(), 0)
    await dies.start()
    for (const i of [0, 1, 99, 100, users.length / 2, users.length - 2, users.length - 1]) {
      const peer = users[i ^ 1].phone
      const { items, contacts } = await told(people, users[i])
      assert.deepEqual(Object.entries(items).map(([peer, all]) => [peer, all.map(({ content }) => content)]), [[peer, [`${i} a`, `${i} b`]]])
      assert.deepEqual(contacts, [peer])
      assert.equal((await people.calls('info', {}, { token: users[i].token })).status, 200)
    }
    const { searchResult } = await people.gets('search', { keyword: '138' }, { token: users[0].token })
    assert.equal(searchResult.length, 100, 'a search finds 100 at most')
    assert.equal(new Set(searchResult.map(({ phone }) => phone)).size, 100)
    assert.ok(searchResult.every(({ phone }) => phone !== users[0].phone))
  })
})
