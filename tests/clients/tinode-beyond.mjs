// What always-online adds for Tinode's clients, on one node and on two: messages that are sent once however often they are tried, keys that can be revoked,
// JSON Web Tokens, limits, pushes by a hook, and what administrators can do.
import assert from 'node:assert/strict'
import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import { after, describe } from 'node:test'
import { Business } from './chat-service/business.mjs'
import { eventually } from './http.mjs'
import { command } from './server.mjs'
import { base64, data, HI, pres } from './tinode/client.mjs'
import { P2P, stand } from './tinode/people.mjs'
import { api, ready, SITES } from './tinode/stage.mjs'

const SECRET = randomBytes(32).toString('base64url')
const count = n => Array.from({ length: n }, (_, i) => i + 1)

function once(scene) {
  const tries = (client, topic, key, content, code = 202, more = {}) => client.does('pub', { topic, head: { 'idempotency-key': key, ...more }, content }, code)

  scene('a retry has the number of the first try, and nobody is told again', async people => {
    const [a, b] = await people.pair()
    const key = randomUUID()
    assert.equal((await tries(a, b.id, key, 'once')).params.seq, 1)
    for (let i = 0; i < 3; i++) assert.equal((await tries(a, b.id, key, 'once')).params.seq, 1)
    assert.equal(await a.publishes(b.id, 'another'), 2)
    await b.sees(data(a.id, a.id, 1, 'once', { head: { 'idempotency-key': key } }))
    await b.sees(data(a.id, a.id, 2, 'another'))
    await a.sees(data(b.id, a.id, 1, 'once', { head: { 'idempotency-key': key } }))
    await a.isQuiet()
  })

  scene('from another session, on whichever node, when the first one has broken', async (people, { server }) => {
    const [a, b] = await people.pair()
    const key = 'x'.repeat(128)
    a.send({ pub: { id: 'x', topic: b.id, head: { 'idempotency-key': key }, content: { text: 'once' } } })
    await b.sees(data(a.id, a.id, 1, { text: 'once' }, { head: { 'idempotency-key': key } }))
    a.cut()
    for (const node of server.nodes) {
      const again = await people.signs(a.person, { node })
      await again.subs(b.id)
      assert.equal((await tries(again, b.id, key, { text: 'once' })).params.seq, 1)
    }
    const answers = await Promise.all(count(20).map(async () => {
      const session = await people.signs(a.person)
      await session.subs(b.id)
      return (await tries(session, b.id, 'at once', 'one of twenty')).params.seq
    }))
    assert.deepEqual(answers, answers.map(() => 2))
    await b.sees(data(a.id, a.id, 2, 'one of twenty', { head: { 'idempotency-key': 'at once' } }))
    await b.isQuiet()
  })

  scene('a key is a sender\'s and a topic\'s; another message with it is refused', async people => {
    const [a, b, c] = await people.crowd('ann', 'ben', 'cleo')
    await people.meet(a, b)
    const grp = await people.gather(a, [b, c])
    assert.equal((await tries(a, b.id, 'k', 'x')).params.seq, 1)
    assert.equal((await tries(b, a.id, 'k', 'x')).params.seq, 2)
    assert.equal((await tries(a, grp, 'k', 'x')).params.seq, 1)
    assert.equal((await tries(c, grp, 'k', 'x')).params.seq, 2)
    await tries(a, b.id, 'k', 'y', 409)
    await tries(a, b.id, 'k', 'x', 409, { more: 1 })
    assert.equal((await tries(a, b.id, 'k', 'x')).params.seq, 1)
    for (const key of ['', 'x'.repeat(129), 5, {}, [], true]) await tries(a, b.id, key, 'x', 400)
    assert.equal((await tries(a, b.id, null, 'x')).params.seq, 3)
    assert.equal((await tries(a, b.id, 'é日🎉', 'x')).params.seq, 4)
    await a.answers()
  })
}

function keys(scene) {
  const status = async (people, node, key) => {
    const client = people.connects('app', { node, key })
    await client.until('to be open or closed', () => client.opened || !client.isOpen)
    return client.isOpen ? 200 : client.status
  }
  const everywhere = (people, server, key, expected) => Promise.all(server.nodes.map(node =>
    eventually('what the key opens', () => status(people, node, key), is => is === expected, 90_000)))

  scene('a key is made, listed, revoked, and opens nothing then; others do', async (people, { server }) => {
    const ask = async (method, fields) => {
      const { status, body, text } = await api(server.nodeForCall(), method, fields)
      assert.equal(status, 200, text)
      return body.result
    }
    const made = await ask('createKey', { note: 'an app é日' }), other = await ask('createKey', {})
    assert.match(made.key, /^[\w-]{32}$/)
    await everywhere(people, server, made.key, 200)
    const open = await people.opens('open before', { key: made.key })
    const listed = (await ask('listKeys', { limit: 100 })).keys
    assert.ok(listed.some(({ note, revoked }) => note === 'an app é日' && !revoked))
    assert.equal((await ask('revokeKey', { key: made.key })).revoked, true)
    await everywhere(people, server, made.key, 403)
    await everywhere(people, server, other.key, 200)
    assert.equal((await ask('revokeKey', { key: made.key })).revoked, false, 'it was before')
    assert.ok((await ask('listKeys', { limit: 100 })).keys.some(({ note, revoked }) => note === 'an app é日' && revoked))
    await open.hi()
    for (const key of ['', 'x', 5, null]) assert.equal((await api(server.nodeForCall(), 'revokeKey', { key })).status, 400)
  })

  scene('by the command', async (people, { server }) => {
    if (server.nodes.length > 1) return // administrators of a cluster give their credentials, which is another command's test
    const env = { ...server.env, AO_STORE__PATH: server.folder, AO_API__LISTEN: new URL(server.api).host }
    const key = await command(['tinode', 'key', 'create'], env)
    assert.match(key, /^[\w-]{32}$/)
    await everywhere(people, server, key, 200)
    const list = await command(['tinode', 'key', 'list'], env)
    assert.match(list, /\tgood\t/)
    assert.match(await command(['tinode', 'key', 'revoke', key], env), /is revoked/)
    await everywhere(people, server, key, 403)
  })
}

/** A token of a business server. */
function jwt(claims, { secret = SECRET, alg = 'HS256' } = {}) {
  const part = value => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ alg, typ: 'JWT' })}.${part(claims)}`
  return `${signed}.${alg === 'none' ? '' : createHmac('sha256', secret).update(signed).digest('base64url')}`
}
const now = () => Math.floor(Date.now() / 1000)
const claims = (sub, more = {}) => ({ sub, iat: now(), exp: now() + 600, jti: randomUUID(), ...more })
const shows = (client, token, code = 200) => client.does('login', { scheme: 'jwt', secret: base64(token) }, code)

function webTokens(scene) {
  scene('who is vouched for has an account, the same one each time and everywhere', async (people, { server }) => {
    const sub = people.login('erika')
    const ids = new Set()
    for (const node of [...server.nodes, ...server.nodes]) {
      const client = await people.greets(sub, { node })
      const { params } = await shows(client, jwt(claims(sub)))
      ids.add(params.user)
      assert.deepEqual([params.authlvl, typeof params.token], ['auth', 'string'])
      await client.subs('me')
      await (await people.greets(sub)).logsIn(params.token)
    }
    assert.equal(ids.size, 1)
    const at = await Promise.all(count(8).map(async () => shows(await people.greets('first'), jwt(claims(`${sub} first`)))))
    assert.equal(new Set(at.map(({ params }) => params.user)).size, 1, 'also where he comes for the first time on several nodes at once')
    const [a, b] = [await people.greets('a'), await people.enters(await people.user('ben'))]
    a.id = (await shows(a, jwt(claims(sub)))).params.user
    await a.subs(b.id)
    await b.skipsTo(pres('me', a.id, 'acs', { act: a.id, dacs: { want: P2P, given: P2P } }))
  })

  scene('what vouches for nobody', async people => {
    const sub = people.login('erika')
    const client = await people.greets(sub)
    for (const token of [
      jwt(claims(sub), { secret: `${SECRET}x` }), jwt(claims(sub), { alg: 'none' }), jwt(claims(sub, { exp: now() - 3600 })), jwt({ iat: now(), exp: now() + 60 }),
      jwt(claims(5)), jwt(claims('')), jwt(claims(sub, { nbf: now() + 3600 })), `${jwt(claims(sub))}x`,
      jwt(claims(sub)).replace(/\.[^.]+\./, `.${Buffer.from(JSON.stringify(claims('root'))).toString('base64url')}.`),
    ]) assert.equal((await shows(client, token, 401)).text, 'authentication failed', token)
    for (const token of ['', 'x', 'x.y']) await shows(client, token, 400)
    await shows(client, jwt(claims(sub)))
  })
}

function limited(scene) {
  scene('registering, passwords and searching have an allowance each; tokens have none', async people => {
    const ann = await people.user('ann')
    const client = await people.greets('ann')
    const codes = async (n, ask) => {
      const all = []
      for (const i of count(n)) all.push((await ask(i)).code)
      return all
    }
    assert.deepEqual(await codes(6, () => client.ask('acc', { user: 'new', scheme: 'anonymous' })), [201, 201, 201, 201, 422, 422])
    const secret = base64(`${ann.login}:${ann.password}`)
    assert.deepEqual(await codes(6, async () => (await people.greets('ann')).ask('login', { scheme: 'basic', secret })), [200, 200, 200, 200, 200, 422])
    assert.deepEqual(await codes(30, async () => (await people.greets('ann')).ask('login', { scheme: 'token', secret: ann.token })), count(30).map(() => 200))
    await client.logsIn(ann.token)
    await client.subs('fnd')
    assert.deepEqual(await codes(6, async i => {
      await client.does('set', { topic: 'fnd', desc: { public: `nobody${i}` } })
      return client.ask('get', { topic: 'fnd', what: 'sub' })
    }), [204, 204, 204, 204, 204, 422])
    await client.answers()
  })
}

function guessed(scene) {
  scene('who guesses passwords is kept waiting, and nobody else is', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const client = await people.greets('ann')
    for (const code of [401, 401, 401, 422, 422]) await client.logsIn(`${ann.login}:wrong one`, code)
    await client.logsIn(`${ann.login}:${ann.password}`, 422)
    await client.logsIn(`${ben.login}:${ben.password}`)
    await people.signs(ann)
  })
}

function bounds(scene) {
  scene('limits are told and kept', async people => {
    const ann = await people.user('ann', { tags: ['abc', 'abcd', 'abcdefgh', 'abcdefghi', 'zzzz', 'yyyy'] })
    const client = await people.opens('ann')
    const { params } = await client.does('hi', HI, 201)
    assert.deepEqual(
      [params.maxMessageSize, params.maxSubscriberCount, params.minTagLength, params.maxTagLength, params.maxTagCount, params.maxFileUploadSize, params.msgDelAge],
      [4096, 3, 4, 8, 2, 1_048_576, 3600],
    )
    const { params: { expires } } = await client.logsIn(ann.token)
    assert.ok(Math.abs(Date.parse(expires) - Date.now() - 3_600_000) < 600_000, expires)
    await client.subs('me')
    assert.deepEqual((await client.gets('me', 'tags')).tags, ['abcd', 'abcdefgh', `basic:${ann.login}`])
    const grp = await people.group(client)
    for (const code of [200, 200, 422]) await client.does('set', { topic: grp, sub: { user: (await people.user('guest')).id } }, code)
    client.send('x'.repeat(4097))
    await client.isClosed(1009)
  })
}

function pushed(scene, business) {
  const device = dev => ({ hi: { dev, platf: 'android', lang: 'de' } })

  scene('members who are away are pushed to, with all their devices; those who are there are not', async people => {
    const [ann, ben, cleo, dora] = await people.users('ann', 'ben', 'cleo', 'dora')
    const a = await people.signs(ann)
    for (const dev of ['token of ben', 'tablet of ben']) await (await people.signs(ben, device(dev))).goes()
    const c = await people.signs(cleo, device('token of cleo'))
    const grp = await people.group(a)
    for (const guest of [ben, cleo, dora]) await people.invites(a, grp, guest)
    await c.subs(grp)
    const seq = await a.publishes(grp, 'hello')
    const [body] = await business.called('push', { fits: ({ topic }) => topic === grp, patience: 120_000 })
    assert.deepEqual([body.seq, body.from], [seq, a.id])
    assert.deepEqual(body.to.map(({ user }) => user), [ben.id])
    const devices = body.to[0].devices.map(({ dev, platf, lang }) => [dev, platf, lang]).sort()
    assert.deepEqual(devices, [['tablet of ben', 'android', 'de'], ['token of ben', 'android', 'de']])
    assert.deepEqual(body.fcm, { data: { what: 'msg', topic: grp, seq: `${seq}`, from: a.id } })
    assert.deepEqual([body.apns.topic, body.apns.seq, body.apns.aps['mutable-content']], [grp, seq, 1])
    assert.deepEqual(business.problems, [])
  })

  scene('a pair is named as the one who is pushed to knows it; what was received is not pushed', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const a = await people.signs(ann)
    await a.subs(ben.id)
    const b = await people.signs(ben, device('token'))
    const seq = await a.publishes(ben.id, 'one')
    b.note(ann.id, 'recv', seq)
    await b.answers()
    const next = await a.publishes(ben.id, 'two')
    const [body] = await business.called('push', { fits: ({ to }) => to.some(({ user }) => user === ben.id), patience: 120_000 })
    assert.deepEqual([body.topic, body.seq, body.from], [ann.id, next, ann.id])
  })

  scene('a device that was taken back is pushed to no more', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const a = await people.signs(ann)
    await a.subs(ben.id)
    await (await people.signs(ben, device('old'))).goes()
    const b = await people.signs(ben, device('new'))
    await b.does('hi', { ...HI, dev: '␡' }, 201)
    const other = await people.signs(ben, device('old'))
    await other.does('hi', { ...HI, dev: 'third' }, 201)
    await a.publishes(ben.id, 'x')
    const [body] = await business.called('push', { fits: ({ to }) => to.some(({ user }) => user === ben.id), patience: 120_000 })
    assert.ok(!body.to[0].devices.some(({ dev }) => dev === 'new'))
    assert.ok(body.to[0].devices.some(({ dev }) => dev === 'third'))
  })
}

function administered(scene) {
  const ask = async (server, method, fields, status = 200) => {
    const answer = await api(server.nodeForCall(), method, fields)
    assert.equal(answer.status, status, answer.text)
    return answer.body.result
  }

  scene('a user is suspended and resumed, signed out, and deleted', async (people, { server }) => {
    const [a, b] = await people.pair()
    await ask(server, 'suspendUser', { user: b.id })
    await b.ends()
    const again = await people.greets('ben')
    assert.ok([401, 403].includes((await again.ask('login', { scheme: 'token', secret: b.person.token })).code))
    await again.logsIn(`${b.person.login}:${b.person.password}`, 403)
    await ask(server, 'resumeUser', { user: b.id })
    const { params: { token } } = await again.logsIn(`${b.person.login}:${b.person.password}`)
    await ask(server, 'signOut', { user: b.id })
    await again.ends()
    await (await people.greets('ben')).logsIn(token, 401)
    await ask(server, 'deleteUser', { user: b.id })
    await a.skipsTo(pres('me', b.id, 'gone'))
    await ask(server, 'userState', { user: b.id }, 404)
  })

  scene('users and topics are listed; a topic is deleted', async (people, { server }) => {
    const [a, b] = await people.crowd('ann', 'ben')
    const grp = await people.gather(a, [b])
    await a.publishes(grp, 'x')
    assert.ok(await ask(server, 'userState', { user: a.id }))
    assert.ok(JSON.stringify(await ask(server, 'listUserTopics', { user: a.id })).includes(grp))
    assert.ok(JSON.stringify(await ask(server, 'listMembers', { topic: grp })).includes(b.id))
    assert.ok(await ask(server, 'topicState', { topic: grp }))
    await ask(server, 'deleteTopic', { topic: grp })
    for (const client of [a, b]) await client.skipsTo(pres('me', grp, 'gone'))
    await a.subs(grp, { code: 404 })
    const wrong = { userState: { user: 'x' }, topicState: { topic: 'x' }, suspendUser: {}, listUsers: { limit: 0 } }
    for (const [method, fields] of Object.entries(wrong)) await ask(server, method, fields, 400)
    assert.equal((await api({ api: server.api ?? server.nodes[0].api, admin: { uid: 'x', token: 'y' } }, 'listUsers')).status, 401)
  })

  scene('what somebody has written is erased, for all and in all histories', async (people, { server }) => {
    const [a, b] = await people.pair()
    await a.publishes(b.id, 'mine')
    await b.publishes(a.id, 'his')
    await ask(server, 'eraseMessages', { user: b.id })
    const contents = async () => (await a.gets(b.id, 'data')).data.map(({ content }) => content)
    await eventually('it is gone', contents, contents => !contents.includes('his') && contents.includes('mine'))
  })
}

function restarted(scene) {
  scene('what a server makes for itself at its first start it keeps: a key, what tokens are signed with, and all that was said', async (people, { server }) => {
    const printed = () => [...server.stderr.matchAll(/\b(A[\w-]{31})\b/g)].map(([, key]) => key)
    await eventually('a key is printed', async () => printed().length, times => times > 0)
    assert.equal(new Set(printed()).size, 1, 'it is one key')
    const [key] = printed()
    const enters = async (login, password) => {
      const client = await people.opens(login, { key })
      await client.hi()
      const { params } = await client.does('acc', { user: 'new', scheme: 'basic', secret: base64(`${login}:${password}`), login: true })
      return Object.assign(client, { id: params.user, token: params.token })
    }
    const [a, b] = [await enters(people.login('ann'), 'secret'), await enters(people.login('ben'), 'secret')]
    await a.subs(b.id)
    for (const i of count(3)) await a.publishes(b.id, i)
    await a.does('del', { topic: b.id, what: 'msg', delseq: [{ low: 2 }] })
    const known = printed().length
    await server.restart()
    await ready(server)
    assert.equal(printed().length, known, 'no other one is')
    const again = await people.opens('ann', { key })
    await again.hi()
    await again.logsIn(a.token)
    const { desc, data: messages } = await again.subs(b.id, { what: 'desc data' })
    assert.deepEqual([desc.seq, desc.read, desc.recv, desc.clear], [3, 3, 3, 1])
    assert.deepEqual(messages.map(({ seq }) => seq), [1, 3])
  })
}

const business = await Business.open({ names: ['hook'] })
business.server.unref() // also where no test is run
business.on('push', undefined)
after(() => business.close())

for (const site of SITES) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ once, keys, administered })) {
    describe(title, () => stories(stand(site, { title: `beyond: ${title}` }).scene))
  }
  describe('JSON Web Tokens', () => webTokens(stand(site, { title: 'beyond: JWT', env: { AO_JWT__SECRET: SECRET } }).scene))
  describe('where there are none', () => {
    const { scene } = stand(site, { title: 'beyond: no JWT' })
    scene('the scheme is unknown', async people => {
      assert.equal((await shows(await people.greets('x'), jwt(claims('x')), 401)).text, 'unknown authentication scheme')
    })
  })
  if (!site.clustered) { // each node counts for itself
    describe('rates', () => limited(stand(site, { title: 'beyond: rates', values: { RATE_LIMIT: '5 in 1h' } }).scene))
    describe('guesses', () => guessed(stand(site, { title: 'beyond: guesses', env: { AO_LIMITS__FAILED_SIGN_INS: '3 in 1h' } }).scene))
  }
  if (!site.clustered) {
    describe('a restart', () => restarted(stand(site, { title: 'beyond: restart', values: { API_KEY_SALT: undefined, TOKEN_KEY: undefined } }).scene))
  }
  describe('settings', () => {
    const values = { MAX_MESSAGE: '4 KiB', MAX_SUBSCRIBERS: 3, MIN_TAG: 4, MAX_TAG: 8, MAX_TAGS: 2, MAX_FILE: '1 MiB', DELETE_AGE: '1h', TOKEN_LIFETIME: '1h' }
    bounds(stand(site, { title: 'beyond: settings', values }).scene)
  })
  describe('pushes', () => pushed(stand(site, { title: 'beyond: pushes', values: () => ({ PUSH_AFTER: '3s', ...business.settings(['push']) }) }).scene, business))
})
