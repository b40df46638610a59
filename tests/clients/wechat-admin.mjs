// What administrators do with users of react-wechat by the HTTP API, /v1/wechat/METHOD, on one node and on two: look, sign out, give a password, erase, delete.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { MongoClient } from 'mongodb'
import { eventually } from './http.mjs'
import { becomes, call, does, fails } from './wechat/admin.mjs'
import { item, message, stand } from './wechat/people.mjs'
import { badTokens, SITES, token } from './wechat/stage.mjs'

const BOUND_MS = 60_000
const STAY_AWAY = 4000
const READING = ['listUsers', 'userState', 'listContacts']
const CHANGING = ['signOut', 'resetPassword', 'removeContact', 'eraseMessages', 'deleteUser']
const PAST = 1_500_000_000

/** A token is refused by HTTP, and by a WebSocket with the code that keeps clients away. */
async function isRefused(people, person, token) {
  for (const node of people.server.nodes) {
    assert.equal((await people.calls('info', {}, { token, node })).status, 401)
    await people.connects(person, { token, node }).isClosed(STAY_AWAY)
  }
}

const counts = async (people, token) => (await people.calls('info', {}, { token })).status === 200

function envelope(scene) {
  scene('no such method, another verb, no credentials, and bodies that are none', async ({ server }) => {
    const [node] = server.nodes
    for (const path of ['wechat', 'wechat/', 'wechat/nothing', 'wechat/listusers', 'listUsers']) assert.equal((await call(node, path)).status, 404, path)
    assert.equal((await call(node, 'wechat/listUsers', {}, { verb: 'GET' })).status, 405)
    assert.equal((await call(node, 'wechat/listUsers', {}, { admin: null })).status, 401)
    assert.equal((await call(node, 'wechat/listUsers', {}, { admin: { uid: node.admin.uid, token: 'x' } })).status, 401)
    for (const text of ['', '{', '[]', 'null', '"x"']) assert.equal((await call(node, 'wechat/listUsers', {}, { text })).status, 400, text)
    for (const body of [{ more: 1 }, { phone: '138' }]) assert.equal((await call(node, 'wechat/listUsers', body)).status, 400)
    for (const method of [...READING.slice(1), ...CHANGING]) assert.equal((await call(node, `wechat/${method}`)).status, 400, method)
    const { body: { paths } } = await call(node, 'openapi.json', {}, { verb: 'GET' })
    for (const method of [...READING, ...CHANGING]) assert.ok(paths[`/v1/wechat/${method}`]?.post, method)
  })

  scene('fields of a wrong type, and phones of nobody', async people => {
    for (const [method, field, ...values] of [
      ['listUsers', 'text', 5, true, {}, []], ['listUsers', 'after', 5, {}], ['listUsers', 'limit', 0, 101, -1, 1.5, '5', {}, []],
    ]) {
      for (const value of values) await fails(people, method, { [field]: value }, 400, 'badField', field)
    }
    const strange = ['', people.phone(), 'x'.repeat(5_000), 'a\0b', '\u{1F600}', '[', '__proto__']
    for (const method of [...READING.slice(1), ...CHANGING]) {
      const more = method === 'removeContact' ? { contact: '138' } : {}
      for (const phone of [null, 5, true, {}, ['138']]) await fails(people, method, { phone, ...more }, 400, 'badField', 'phone')
      if (method === 'eraseMessages') continue // of who is deleted, too
      for (const phone of strange) await fails(people, method, { phone, ...more }, 404, 'noUser', phone)
    }
    const ann = await people.user('ann')
    for (const contact of [null, 5, true, {}, ['138']]) await fails(people, 'removeContact', { phone: ann.phone, contact }, 400, 'badField', 'contact')
    for (const contact of [...strange, ann.phone]) assert.deepEqual(await does(people, 'removeContact', { phone: ann.phone, contact }), { removed: false })
  })
}

function looking(scene) {
  scene('users are listed page by page, and found by a part of the phone or the whole nickname', async people => {
    const common = people.phone().slice(0, 8)
    const all = []
    for (const [i, nick] of ['张三', 'ann', 'ann', 'Ann', 'ben'].entries()) all.push(await people.user(nick, { phone: `${common}${i}` }))
    const phones = all.map(({ phone }) => phone)
    const list = async (request, limit) => {
      const found = []
      for (let after; ;) {
        const { users, next } = await does(people, 'listUsers', { ...request, limit, ...(after && { after }) })
        assert.ok(users.length <= limit)
        found.push(...users)
        if (next === null) return found
        after = next
      }
    }
    for (const limit of [1, 2, 100]) {
      assert.deepEqual((await list({ text: common }, limit)).map(({ phone }) => phone), phones)
      const anns = (await list({ text: 'ann' }, limit)).map(({ phone }) => phone)
      assert.deepEqual(anns.filter(phone => phones.includes(phone)), [phones[1], phones[2]])
      const everybody = (await list({}, limit)).map(({ phone }) => phone)
      assert.deepEqual(everybody.filter(phone => phones.includes(phone)), phones)
      assert.deepEqual(everybody, [...everybody].sort())
    }
    for (const text of ['an', common.slice(0, 2), '.*', '[', `${common}.`, `${common}9`]) assert.deepEqual((await list({ text }, 100)).filter(({ phone }) => phones.includes(phone)), [], text)
    assert.deepEqual((await list({ text: phones[0] }, 1)), [{ phone: phones[0], nick: '张三', userName: all[0].userName, contacts: 0, nodes: [], waiting: 0 }])
  })

  scene('where a user is, and what waits for it', async people => {
    const [ann, ben] = await people.pair()
    const { nodes: [node], ...rest } = await becomes(people, await enters(people, ann), { nodes: nodes => nodes.length === 1 })
    assert.equal(typeof node, 'string')
    assert.deepEqual(rest, { phone: ann.phone, nick: 'ann', userName: ann.userName, email: ann.email, region: null, contacts: 1, waiting: 0, waitingSince: null, tokensFrom: null })
    const socket = people.sockets.at(-1), before = Date.now()
    socket.send(message(ann, ben, 'one'), message(ann, ben, 'two'))
    const { waitingSince } = await becomes(people, ben, { waiting: 2, nodes: [] })
    assert.ok(Math.abs(waitingSince - before) < BOUND_MS, `${waitingSince} is a time of now`)
    const listed = await does(people, 'listUsers', { text: ben.phone })
    assert.deepEqual(listed.users.map(({ waiting, nodes }) => [waiting, nodes]), [[2, []]])
    await people.enters(ben)
    await becomes(people, ben, { waiting: 0, waitingSince: null })
    await socket.leaves()
    await becomes(people, ann, { nodes: [] })
    for (const text of [JSON.stringify(rest), JSON.stringify(listed)]) assert.doesNotMatch(text, /password|argon2|secret of/)
  })

  scene('contacts are told page by page, with who they are', async people => {
    const [ann, ben, cleo, dora] = await people.users('ann', 'ben', 'cleo', 'dora')
    for (const other of [cleo, ben, dora]) await people.befriend(ann, other)
    const known = ({ phone, nick }) => ({ phone, nick, mutual: true })
    assert.deepEqual(await does(people, 'listContacts', { phone: ann.phone }), { contacts: [cleo, ben, dora].map(known), next: null })
    assert.deepEqual(await does(people, 'listContacts', { phone: ann.phone, limit: 2 }), { contacts: [cleo, ben].map(known), next: ben.phone })
    assert.deepEqual(await does(people, 'listContacts', { phone: ann.phone, limit: 2, after: ben.phone }), { contacts: [known(dora)], next: null })
    assert.deepEqual(await does(people, 'listContacts', { phone: ann.phone, after: 'nobody' }), { contacts: [], next: null })
    await does(people, 'deleteUser', { phone: ben.phone })
    assert.deepEqual((await does(people, 'listContacts', { phone: ann.phone })).contacts, [known(cleo), known(dora)], 'who is deleted is in no list')
  })
}

/** Somebody's socket, open. @returns the person */
async function enters(people, person) {
  await people.enters(person)
  return person
}

function acting(scene) {
  scene('signed out: the socket ends with 4000 on whatever node, and no token that was issued before counts', async people => {
    const [ann, ben] = await people.pair()
    const old = [ann.token, token(ann, { more: { iat: PAST } }), token(ann, { more: { iat: undefined } })]
    for (const one of old) assert.ok(await counts(people, one))
    const socket = await people.enters(ann), other = await people.enters(ben)
    assert.deepEqual(await does(people, 'signOut', { phone: ann.phone }), { connections: 1 })
    await socket.isClosed(STAY_AWAY)
    for (const one of old) await isRefused(people, ann, one)
    assert.ok((await does(people, 'userState', { phone: ann.phone })).tokensFrom > PAST)
    const { token: fresh } = await people.login(ann)
    assert.ok(await counts(people, fresh))
    const again = await people.enters(ann, { token: fresh })
    other.send(message(ben, ann, 'you are back'))
    assert.equal((await again.next(1))[0].payload.content, 'you are back')
    assert.deepEqual(await does(people, 'signOut', { phone: ben.phone }), { connections: 1 })
    await other.isClosed(STAY_AWAY)
    await becomes(people, ben, { nodes: [] })
    assert.deepEqual(await does(people, 'signOut', { phone: ben.phone }), { connections: 0 })
  })

  scene('signed out twice within a second, with a log-in between: each time all tokens are taken back', async people => {
    for (const [last, gives] of [['signOut', {}], ['resetPassword', { password: /^.{16}$/ }], ['signOut', {}]]) {
      const ann = await people.user('ann')
      await does(people, 'signOut', { phone: ann.phone })
      const { token: between } = await people.login(ann)
      assert.ok(await counts(people, between))
      const { password = ann.password } = await does(people, last, { phone: ann.phone })
      if (gives.password) assert.match(password, gives.password)
      await isRefused(people, ann, between)
      const { token: fresh } = await people.login(ann, password)
      assert.ok(await counts(people, fresh))
      await people.enters(ann, { token: fresh })
    }
  })

  scene('a token of a node whose clock is some seconds ahead is taken back as well', async people => {
    const ann = await people.user('ann')
    const ahead = token(ann, { more: { iat: Math.floor(Date.now() / 1000) + 5 } })
    assert.ok(await counts(people, ahead))
    await does(people, 'signOut', { phone: ann.phone })
    await isRefused(people, ann, ahead)
  })

  scene('signed out, logged in and deleted within a second: no token is that of the phone’s next owner', async people => {
    for (let round = 0; round < 3; round++) {
      const ann = await people.user('ann')
      await does(people, 'signOut', { phone: ann.phone })
      const { token: between } = await people.login(ann)
      await does(people, 'deleteUser', { phone: ann.phone })
      await isRefused(people, ann, between)
      const next = await people.user('next', { phone: ann.phone })
      await isRefused(people, ann, between)
      const { token: own } = await people.login(next)
      assert.ok(await counts(people, own))
      // And once more: what was noted of the phone is above what was noted before.
      await does(people, 'deleteUser', { phone: ann.phone })
      await people.user('third', { phone: ann.phone })
      for (const old of [between, own]) await isRefused(people, ann, old)
    }
  })

  scene('a new password: random, told once, and the only one that counts', async people => {
    const ann = await people.user('ann')
    const socket = await people.enters(ann)
    const { password, ...rest } = await does(people, 'resetPassword', { phone: ann.phone })
    assert.deepEqual(rest, { connections: 1 })
    assert.match(password, /^[A-Za-z0-9]{16}$/)
    await socket.isClosed(STAY_AWAY)
    await becomes(people, ann, { nodes: [] })
    await isRefused(people, ann, ann.token)
    assert.equal((await people.calls('login', { phone: ann.phone, password: ann.password })).body.code, 100002)
    assert.ok(await counts(people, (await people.login(ann, password)).token))
    assert.notEqual((await does(people, 'resetPassword', { phone: ann.phone })).password, password)
    const { body: { entries } } = await call(people.server.nodeForCall(), 'audit', { limit: 50 })
    const [entry] = entries.filter(({ method, uid }) => method === 'wechat/resetPassword' && uid === ann.phone)
    assert.deepEqual([entry.outcome, entry.given.connections], ['done', 0])
    assert.ok(!JSON.stringify(entries).includes(password))
  })

  scene('deleted: the account, its tokens and what waits are gone, and the phone is nobody’s', async people => {
    const [ann, ben] = await people.pair()
    const writer = await people.enters(ben)
    writer.send(message(ben, ann, 'one'), message(ben, ann, 'two'))
    await becomes(people, ann, { waiting: 2 })
    assert.deepEqual(await does(people, 'deleteUser', { phone: ann.phone }), { connections: 0, removed: 2 })
    await fails(people, 'userState', { phone: ann.phone }, 404, 'noUser', ann.phone)
    assert.equal((await people.calls('login', { phone: ann.phone, password: ann.password })).body.code, 100001)
    await isRefused(people, ann, ann.token)
    assert.deepEqual((await people.gets('search', { keyword: ann.phone }, { token: ben.token })).searchResult, [])
    assert.deepEqual((await people.login(ben)).info.contacts, [])
    // Who wrote to it has heard that it is gone, and can't any more.
    await writer.until('other contacts', () => writer.contacts.length === 0)
    writer.send(message(ben, ann, 'three'))
    await does(people, 'deleteUser', { phone: ann.phone }) // once more changes nothing

    // Somebody else has the phone now.
    const { name: _, token: __, ...fields } = { ...ann, nick: 'zoe', password: 'another' }
    assert.equal((await people.calls('reg', fields)).body.code, 0)
    await isRefused(people, ann, ann.token)
    await isRefused(people, ann, token(ann, { more: { iat: PAST } }))
    const { token: fresh } = await people.login(fields)
    const zoe = await people.enters({ ...ann, name: 'zoe' }, { token: fresh })
    assert.deepEqual([zoe.conversations, zoe.contacts], [{}, []])
  })

  scene('deleted while connected: the socket ends with 4000', async people => {
    const [ann, ben] = await people.pair()
    const sockets = [await people.enters(ann), await people.enters(ben)]
    assert.deepEqual(await does(people, 'deleteUser', { phone: ann.phone }), { connections: 1, removed: 0 })
    await sockets[0].isClosed(STAY_AWAY)
    await sockets[1].until('other contacts', () => sockets[1].contacts.length === 0)
    assert.ok(sockets[1].isOpen)
  })

  scene('what is under way to somebody who is deleted is nobody’s: the phone’s next owner gets none of it', async people => {
    const [ann, ben] = await people.pair()
    const writer = await people.enters(ann)
    const said = Array.from({ length: 300 }, (_, i) => message(ann, ben, `${i} ${'x'.repeat(10_000)}`, i))
    writer.send(...said)
    await does(people, 'deleteUser', { phone: ben.phone })
    const next = await people.user('next', { phone: ben.phone })
    const { token: own } = await people.login(next)
    // What she says now is to a stranger. Behind it nothing of hers is on its way.
    writer.send(message(ann, ben, 'to a stranger'))
    const cleo = await people.user('cleo')
    await people.befriend(ann, cleo)
    await people.barrier(writer, await people.enters(cleo))
    const socket = await people.enters(next, { token: own })
    assert.deepEqual([socket.conversations, socket.contacts], [{}, []])
    // They may know each other, as any two.
    await people.befriend({ ...next, token: own }, ann)
    await people.barrier(writer, socket)
    await people.barrier(socket, writer)
  })

  scene('a contact is taken out on both sides, at once, for who is there too; and may be made again', async people => {
    const [ann, ben] = await people.pair()
    const cleo = await people.user('cleo')
    await people.befriend(ann, cleo)
    const [a, b, c] = [await people.enters(ann), await people.enters(ben), await people.enters(cleo)]
    await people.barrier(a, b, c)
    assert.deepEqual(await does(people, 'removeContact', { phone: ann.phone, contact: ben.phone }), { removed: true })
    await a.until('its contacts without ben', () => a.contacts.length === 1)
    await b.until('no contacts', () => b.contacts.length === 0)
    assert.deepEqual((await does(people, 'listContacts', { phone: ann.phone })).contacts.map(({ phone }) => phone), [cleo.phone])
    assert.deepEqual((await does(people, 'listContacts', { phone: ben.phone })).contacts, [])
    a.send(message(ann, ben, 'to a stranger'))
    b.send(message(ben, ann, 'to a stranger'))
    await people.barrier(a, c)
    assert.deepEqual(await does(people, 'removeContact', { phone: ben.phone, contact: ann.phone }), { removed: false })
    const { body: { entries } } = await call(people.server.nodeForCall(), 'audit', { limit: 50 })
    assert.ok(entries.some(({ method, uid, asked, outcome }) => method === 'wechat/removeContact' && uid === ann.phone && asked.contact === ben.phone && outcome === 'done'))
    await people.befriend(ben, ann)
    for (const [socket, size] of [[a, 2], [b, 1]]) await socket.until('its contacts', () => socket.contacts.length === size)
    await people.barrier(a, b)
    await people.barrier(b, a)
  })

  scene('registered, signed out, given passwords and deleted by several at once: each is done, and nothing is left between', async people => {
    const ann = await people.user('ann')
    const socket = await people.enters(ann)
    const done = await Promise.all(Array.from({ length: 10 }, (_, i) => does(people, i % 2 ? 'signOut' : 'resetPassword', { phone: ann.phone })))
    await socket.isClosed(STAY_AWAY)
    const passwords = done.flatMap(({ password }) => password ?? [])
    const right = []
    for (const password of passwords) if ((await people.calls('login', { phone: ann.phone, password })).body.code === 0) right.push(password)
    assert.equal(right.length, 1)
    const removed = await Promise.all(Array.from({ length: 5 }, () => does(people, 'deleteUser', { phone: ann.phone })))
    assert.equal(removed.length, 5)
    await fails(people, 'userState', { phone: ann.phone }, 404, 'noUser', ann.phone)
    // All of that was of the one who had the phone then.
    const next = await people.user('next', { phone: ann.phone })
    assert.equal((await people.login(next)).info.nick, 'next')
  })

  scene('erased: what a user wrote waits for nobody any more, and what others wrote does', async people => {
    const [ann, ben] = await people.pair()
    const cleo = await people.user('cleo')
    await people.befriend(cleo, ben)
    const [first, second] = [await people.enters(ann), await people.enters(cleo)]
    const kept = message(cleo, ben, 'kept')
    first.send(message(ann, ben, 'a secret'), message(ann, ben, 'another'))
    second.send(kept)
    await becomes(people, ben, { waiting: 3 })
    const { job } = await does(people, 'eraseMessages', { phone: ann.phone })
    await eventually('the job', () => call(people.server.nodeForCall(), `jobs/${job}`, {}, { verb: 'GET' }), ({ body }) => body.state === 'done')
    const { conversations } = await people.enters(ben)
    assert.deepEqual(Object.entries(conversations).map(([peer, { items }]) => [peer, items]), [[cleo.phone, [item(kept)]]])
  })

  scene('tokens that were bad stay bad, whatever is done', async people => {
    const ann = await people.user('ann')
    await does(people, 'signOut', { phone: ann.phone })
    for (const [what, bad] of Object.entries(badTokens(ann))) assert.equal(await counts(people, bad), false, what)
  })
}

/** A user's record is gone, and nothing else is done: as if a node had died behind that. */
async function isCutOff(people, { phone }) {
  const mongo = new MongoClient(people.server.env.AO_STORE__TOKENS)
  try {
    const { deletedCount } = await mongo.db().collection('always_online_records').deleteOne({ _id: `wechat-users/${phone}` })
    assert.equal(deletedCount, 1)
  } finally {
    await mongo.close()
  }
}

/** Somebody whose phone was somebody else's, who was deleted. */
async function successor(people, name) {
  const before = await people.user('before')
  await does(people, 'deleteUser', { phone: before.phone })
  const next = await people.user(name, { phone: before.phone })
  return Object.assign(next, { token: (await people.login(next)).token })
}

function dying(scene) {
  scene('a node has died behind the deletion: who asks again empties the inbox', async people => {
    const ann = await successor(people, 'ann'), ben = await people.user('ben')
    await people.befriend(ben, ann)
    const writer = await people.enters(ben)
    writer.send(message(ben, ann, 'one'), message(ben, ann, 'two'))
    await becomes(people, ann, { waiting: 2 })
    await isCutOff(people, ann)
    await writer.leaves()
    assert.deepEqual(await does(people, 'deleteUser', { phone: ann.phone }), { connections: 0, removed: 2 })
    assert.deepEqual(await does(people, 'deleteUser', { phone: ann.phone }), { connections: 0, removed: 0 })
    // Whom it had as contacts is not known any more.
    assert.deepEqual((await does(people, 'listContacts', { phone: ben.phone })).contacts, [{ phone: ann.phone, nick: null, mutual: null }])
    assert.deepEqual(await does(people, 'removeContact', { phone: ben.phone, contact: ann.phone }), { removed: true })
    assert.deepEqual((await does(people, 'listContacts', { phone: ben.phone })).contacts, [])
  })

  scene('a node has died behind the deletion: who is still there goes, and is refused when it comes back', async people => {
    const ann = await successor(people, 'ann')
    const socket = await people.enters(ann)
    await isCutOff(people, ann)
    assert.deepEqual(await does(people, 'deleteUser', { phone: ann.phone }), { connections: 1, removed: 0 })
    // It may be somebody who has registered the phone by now, who must come back.
    assert.notEqual(await socket.ends(), STAY_AWAY)
    await isRefused(people, ann, ann.token)
  })
}

for (const site of SITES) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ envelope, looking, acting, ...(site.clustered && { dying }) })) {
    describe(title, () => stories(stand(site, { title: `react-wechat, administrators: ${title}` }).scene))
  }
})
