// What administrators do with users of react-wechat by the HTTP API, /v1/wechat/METHOD, on one node and on two: look, sign out, give a password, erase, delete.
import assert from 'node:assert/strict'
import http from 'node:http'
import { describe } from 'node:test'
import { eventually } from './http.mjs'
import { item, message, stand } from './wechat/people.mjs'
import { badTokens, parsed, SITES, token } from './wechat/stage.mjs'

const BOUND_MS = 60_000
const STAY_AWAY = 4000
const READING = ['listUsers', 'userState', 'listContacts']
const CHANGING = ['signOut', 'resetPassword', 'eraseMessages', 'deleteUser']
const PAST = 1_500_000_000

/** A call of the API at a node, by default with the first administrator's credentials. `text` is a body that is not made of `body`. */
function call(node, path, body = {}, { verb = 'POST', admin = node.admin, text = JSON.stringify(body) } = {}) {
  const credentials = admin && { authorization: `Basic ${Buffer.from(`${admin.uid}:${admin.token}`).toString('base64')}` }
  const payload = verb === 'GET' ? '' : text
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload), ...credentials }
  return new Promise((resolve, reject) => {
    const request = http.request(`${node.api}/v1/${path}`, { method: verb, headers, agent: false, timeout: BOUND_MS }, async response => {
      let answer = ''
      try {
        for await (const chunk of response.setEncoding('utf8')) answer += chunk
      } catch (error) { return reject(error) }
      resolve({ status: response.statusCode, type: response.headers['content-type'], text: answer, body: parsed(answer) })
    })
    request.on('timeout', () => request.destroy(new Error(`no answer to ${path} within ${BOUND_MS} ms`)))
    request.on('error', reject)
    request.end(payload)
  })
}

/** A method that succeeds, at any node. @returns its result */
async function does(people, method, body, node = people.server.nodeForCall()) {
  const { status, text, body: answer } = await call(node, `wechat/${method}`, body)
  assert.equal(status, 200, `${method} ${JSON.stringify(body)} answered ${text}`)
  assert.deepEqual(Object.keys(answer), ['result'])
  return answer.result
}

/** A method that fails with this error. */
async function fails(people, method, body, expected, code, ...args) {
  const { status, type, text, body: answer } = await call(people.server.nodeForCall(), `wechat/${method}`, body)
  assert.equal(status, expected, text)
  assert.match(type, /^application\/problem\+json\b/)
  assert.deepEqual([answer.name, answer.code, answer.args], ['WechatError', code, args], text)
}

/** Looks until a user's state has these fields. */
const becomes = (people, { name, phone }, expected) => eventually(
  `the state of ${name}`, () => does(people, 'userState', { phone }),
  state => Object.entries(expected).every(([field, value]) => typeof value === 'function' ? value(state[field]) : JSON.stringify(state[field]) === JSON.stringify(value)))

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
    for (const method of [...READING.slice(1), ...CHANGING]) {
      for (const phone of [null, 5, true, {}, ['138']]) await fails(people, method, { phone }, 400, 'badField', 'phone')
      if (method === 'eraseMessages') continue // of who is deleted, too
      for (const phone of ['', people.phone(), 'x'.repeat(5_000), 'a\0b', '\u{1F600}', '[', '__proto__']) await fails(people, method, { phone }, 404, 'noUser', phone)
    }
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
    assert.deepEqual((await does(people, 'listContacts', { phone: ann.phone })).contacts, [known(cleo), { phone: ben.phone, nick: null, mutual: null }, known(dora)])
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
    assert.deepEqual((await people.gets('login', { phone: ben.phone, password: ben.password })).info.contacts, [ann.phone])
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

for (const site of SITES) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ envelope, looking, acting })) {
    describe(title, () => stories(stand(site, { title: `react-wechat, administrators: ${title}` }).scene))
  }
})
