// Sessions and accounts of Tinode's clients, on one node and on two: what is said first, registration, signing in by each scheme, tokens, passwords.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe } from 'node:test'
import { eventually } from './http.mjs'
import { base64, HI, LIMITS, WIRES } from './tinode/client.mjs'
import { NOBODY, stand } from './tinode/people.mjs'
import { badTokens, SITES } from './tinode/stage.mjs'

const TS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/
const DAY = 24 * 60 * 60_000

/** One request of each verb that needs a session that has said `hi`. */
const VERBS = {
  acc: { user: 'new', scheme: 'anonymous' }, login: { scheme: 'token', secret: base64('x') }, sub: { topic: 'me' }, leave: { topic: 'me' },
  pub: { topic: 'me', content: 1 }, get: { topic: 'me', what: 'desc' }, set: { topic: 'me', desc: { public: 'x' } }, del: { topic: 'me', what: 'msg' },
}

function hello(scene) {
  scene('hi is answered with the limits', async people => {
    const client = await people.opens('ann')
    const { params, ts } = await client.does('hi', HI, 201)
    const { build, ...limits } = params
    assert.deepEqual(limits, LIMITS)
    assert.ok(typeof build === 'string' && build.length > 0)
    assert.match(ts, TS)
    assert.ok(Math.abs(Date.parse(ts) - Date.now()) < DAY)
  })

  scene('each readable version is let in', async people => {
    for (const ver of ['0.25', '0.25.3', '0.25.3-rc1', '0.26', '0.15', '0.16.4', '1.0', '22']) {
      const client = await people.opens(ver)
      await client.does('hi', { ver }, 201)
    }
    const bare = await people.opens('bare')
    await bare.does('hi', { ver: '0.25.3' }, 201)
  })

  scene('without a version that can be read it is malformed, and the socket stays', async people => {
    const client = await people.opens('ann')
    for (const fields of [{}, { ver: '' }, { ver: 'x' }, { ver: '.' }, { ua: 'x', lang: 'en' }]) await client.does('hi', fields, 400)
    await client.hi()
  })

  scene('hi once more: another version never, the same one when signed in', async people => {
    const ann = await people.user('ann')
    const client = await people.greets('ann')
    await client.does('hi', HI, 401)
    await client.does('hi', { ...HI, ver: '0.24.1' }, 409)
    await client.logsIn(ann.token)
    await client.does('hi', { ...HI, ver: '0.24.1' }, 409)
    const { params, topic } = await client.does('hi', HI, 201)
    assert.equal(params ?? undefined, undefined)
    assert.equal(topic, undefined)
  })

  scene('before hi nothing is done', async people => {
    const client = await people.opens('ann')
    for (const [verb, fields] of Object.entries(VERBS)) {
      const reply = await client.does(verb, fields, 409)
      assert.deepEqual({ ...reply, id: 0, ts: 0 }, { id: 0, code: 409, text: 'command out of sequence', ts: 0 }, verb)
    }
    await client.hi()
  })

  scene('before signing in it is not done either, and the topic is named', async people => {
    const client = await people.greets('ann')
    const { acc, login, ...others } = VERBS
    for (const [verb, fields] of Object.entries(others)) {
      const { text, topic } = await client.does(verb, fields, 401)
      assert.deepEqual([text, topic], ['authentication required', 'me'], verb)
    }
    client.note('me', 'kp')
    client.note('grpAAAAAAAAAAA', 'read', 1)
    await client.does('acc', acc, 201)
    await client.does('login', login, 400)
    assert.deepEqual(client.told, [], 'notes are passed over')
  })

  scene('the probe is answered at any time; what only looks like it is malformed', async people => {
    const ann = await people.user('ann')
    const client = await people.opens('ann')
    const probes = async () => {
      client.send('1')
      await client.sees(0)
    }
    const malformed = async text => {
      client.send(text)
      await client.sees({ ctrl: { code: 400, text: 'malformed', ts: '{ts}' } })
    }
    for (const step of [() => client.hi(), () => client.logsIn(ann.token), () => client.subs('me'), () => {}]) {
      await probes()
      for (const text of ['0', '11', ' 1', '1 ', '2', '01', '"1"', 'true', 'null']) await malformed(text)
      await probes()
      await step()
    }
    await client.isQuiet()
  })

  scene('keys are read in any case, null is missing, and what nobody knows is passed over', async people => {
    const client = await people.opens('ann')
    const answered = async (text, id, code) => {
      client.send(text)
      await client.until(`the answer to ${id}`, () => client.log.some(({ ctrl }) => ctrl?.id === id))
      assert.equal(client.log.find(({ ctrl }) => ctrl?.id === id).ctrl.code, code, text)
    }
    await answered('{"HI":{"Id":"h","VER":"0.25.3","nobody":{"knows":[1]},"ua":null},"more":5}', 'h', 201)
    const { login, fields } = people.new('ann')
    const desc = '"desc":{"PUBLIC":{"Fn":"Ann","fN":null}}'
    await answered(`{"Acc":{"ID":"a","User":"new","Scheme":"basic","Secret":"${fields.secret}","LOGIN":true,"cred":null,${desc}}}`, 'a', 200)
    await answered('{"sUB":{"iD":"s","tOPIC":"me","get":null,"set":null}}', 's', 200)
    const { desc: shown, tags } = await client.gets('me', 'desc tags')
    assert.deepEqual(shown.public, { Fn: 'Ann', fN: null }, 'keys of others are left as they are')
    assert.deepEqual(tags, [`basic:${login}`])
  })

  scene('an id is echoed as it is, also one that is empty or odd', async people => {
    const client = await people.greets('ann')
    for (const id of ['x', ' ', '0', '日本 é 🎉', '"\\\n', 'x'.repeat(2000)]) {
      client.send({ leave: { id, topic: 'me' } })
      await client.until(`the answer to ${id}`, () => client.log.some(({ ctrl }) => ctrl?.id === id))
    }
    for (const frame of [{ leave: { topic: 'me' } }, { leave: { id: '', topic: 'me' } }, { leave: { id: null, topic: 'me' } }]) {
      client.send(frame)
      await client.sees({ ctrl: { topic: 'me', code: 401, text: 'authentication required', ts: '{ts}' } })
    }
  })
}

function registration(scene) {
  scene('an account is made without signing in, or with', async people => {
    const desc = { public: { fn: 'Ann' }, private: { comment: 'mine' }, defacs: { auth: 'JRWP', anon: 'N' } }
    const defaults = { auth: 'JRWPASD', anon: 'N' }
    const client = await people.greets('ann')
    const one = people.new('ann')
    const { params, topic } = await client.does('acc', { ...one.fields, desc: { public: { fn: 'Ann' } } }, 201)
    assert.equal(topic, undefined)
    assert.match(params.user, /^usr[\w-]{11}$/)
    const times = ({ created, updated }) => { for (const time of [created, updated]) assert.match(time, TS) }
    times(params.desc)
    const { user, desc: { created, updated, ...told }, ...rest } = params
    assert.deepEqual([told, rest], [{ defacs: defaults, public: { fn: 'Ann' } }, { authlvl: 'auth' }])
    await client.does('sub', { topic: 'me' }, 401)

    const two = people.new('ann')
    const reply = await client.does('acc', { ...two.fields, login: true, desc }, 200)
    const { token, expires, ...others } = reply.params
    assert.match(token, /^[\w+/]{67}=$/)
    assert.match(expires, TS)
    assert.ok(Math.abs(Date.parse(expires) - Date.now() - 14 * DAY) < DAY, expires)
    times(others.desc)
    assert.notEqual(others.user, user)
    assert.deepEqual({ ...others.desc, created: 0, updated: 0 }, { created: 0, updated: 0, ...desc, defacs: { auth: 'JRWPA', anon: 'N' } })
    await client.subs('me')
    await client.does('acc', { ...people.new('ann').fields, login: true }, 409)
    const third = await client.does('acc', people.new('ann').fields, 201)
    assert.equal(third.params.token, undefined)
    assert.equal((await client.gets('me', 'desc')).desc.public.fn, 'Ann', 'it is still the one it was')
  })

  scene('given modes get A, but nothing stays nothing', async people => {
    const client = await people.greets('ann')
    for (const [given, told] of [
      [{ auth: 'JR', anon: 'J' }, { auth: 'JRA', anon: 'JA' }], [{ auth: 'N', anon: 'N' }, { auth: 'N', anon: 'N' }], [{ auth: 'JRWPASD' }, { auth: 'JRWPASD', anon: 'N' }],
      [{ anon: 'JRW' }, { auth: 'JRWPASD', anon: 'JRWA' }], [{}, { auth: 'JRWPASD', anon: 'N' }],
    ]) {
      const { params } = await client.does('acc', { ...people.new('ann').fields, desc: { defacs: given } }, 201)
      assert.deepEqual(params.desc.defacs, told, JSON.stringify(given))
    }
    await client.does('acc', { ...people.new('ann').fields, desc: { defacs: { auth: 'JXZ' } } }, 400)
  })

  scene('what is refused, and why', async people => {
    const client = await people.greets('ann')
    const { login, fields } = people.new('ann')
    const refused = async (more, code, params) => {
      const reply = await client.does('acc', { ...fields, ...more }, code)
      assert.deepEqual(reply.params ?? undefined, params, JSON.stringify(more))
    }
    const secret = (login, password = 'secret of ann') => ({ secret: base64(`${login}:${password}`) })
    for (const short of ['', 'a', 'abc', 'é日🎉']) await refused(secret(short), 422, { what: 'auth' })
    for (const short of ['', 'abcde', 'é日🎉é日']) await refused(secret(login, short), 422)
    for (const scheme of ['', 'nosuch', 'Basic', 'token', 'rest', 'jwt']) await refused({ scheme }, 400)
    await refused({ secret: base64('no colon in it') }, 400)
    for (const tag of ['basic:somebody', 'email:a@example.org', 'tel:+4912345', 'Basic:Somebody', 'EMAIL:A@B']) {
      await refused({ tags: ['fine', tag] }, 403, { what: 'tags' })
    }
    await client.does('acc', fields, 201)
    await client.does('acc', fields, 409, { what: 'auth' })
    await refused(secret(login, 'quite another one'), 409, { what: 'auth' })
    await refused({ ...secret(login, 'quite another one'), login: true }, 409, { what: 'auth' })
    await refused({ ...secret(login.toUpperCase(), 'quite another one') }, 409, { what: 'auth' })
  })

  scene('the shortest login and password, counted in characters, and colons in a password', async people => {
    for (const [login, password] of [[people.login('x'), 'é日🎉é日🎉'], [`${randomBytes(5).toString('hex')}é日🎉`, ':a:b:c:'], [people.login('x'), 'x'.repeat(500)]]) {
      const client = await people.greets(login)
      await client.does('acc', { user: 'new', scheme: 'basic', secret: base64(`${login}:${password}`) }, 201)
      await client.logsIn(`${login}:${password}`)
    }
  })

  scene('tags are lower-case, each once, in order, neither short nor many, with the login behind them', async people => {
    const tags = async list => {
      const ann = await people.user('ann', { tags: list })
      const client = await people.enters(ann)
      const { tags } = await client.gets('me', 'tags')
      assert.equal(tags.pop(), `basic:${ann.login}`)
      return tags
    }
    assert.deepEqual(await tags(['Roses', 'tulips', 'ROSES', 'x', '', ' ', 'é日', 'garden party']), ['garden party', 'roses', 'tulips', 'é日'])
    assert.deepEqual(await tags([]), [])
    const many = Array.from({ length: 30 }, (_, i) => `tag${String(i).padStart(2, '0')}`)
    assert.deepEqual(await tags([...many].reverse()), many.slice(0, 16))
    assert.deepEqual(await tags(['y'.repeat(96), 'x'.repeat(97)]), ['y'.repeat(96)])
  })

  scene('somebody without a name', async people => {
    const client = await people.greets('guest')
    const { params } = await client.does('acc', { user: 'new', scheme: 'anonymous', login: true, desc: { public: { fn: 'Guest' } } }, 200)
    assert.equal(params.authlvl, 'anon')
    await client.subs('me')
    const { desc, codes } = await client.gets('me', 'desc tags')
    assert.deepEqual(desc.public, { fn: 'Guest' })
    assert.deepEqual(codes, [204], 'no tags')
    const again = await people.greets('guest again')
    const reply = await again.logsIn(params.token)
    assert.deepEqual([reply.params.user, reply.params.authlvl], [params.user, 'anon'])
    assert.equal((await client.does('acc', { user: 'new', scheme: 'anonymous' }, 201)).params.authlvl, 'anon')
  })

  scene('the mark that clears is nothing in an account that is new', async people => {
    const ann = await people.user('ann', { desc: { public: '␡', private: { a: 1, b: '␡' } } })
    const { desc } = await (await people.enters(ann)).gets('me', 'desc')
    assert.equal(desc.public, undefined)
    assert.deepEqual(desc.private, { a: 1 })
  })
}

function passwords(scene) {
  scene('one changes his own password, and his login', async people => {
    const ann = await people.user('ann')
    const client = await people.signs(ann)
    await client.does('acc', { scheme: 'basic', secret: base64(':another secret') }, 200)
    const other = await people.greets('ann')
    await other.logsIn(`${ann.login}:${ann.password}`, 401)
    await other.logsIn(`${ann.login}:another secret`)
    const login = people.login('anna')
    await client.does('acc', { user: ann.id, scheme: 'basic', secret: base64(`${login}:a third secret`) }, 200)
    const third = await people.greets('ann')
    await third.logsIn(`${ann.login}:a third secret`, 401)
    const { params } = await third.logsIn(`${login}:a third secret`)
    assert.equal(params.user, ann.id)
    await third.subs('me')
    assert.deepEqual((await third.gets('me', 'tags')).tags, [`basic:${login}`])
    const freed = await people.greets('somebody')
    await freed.does('acc', { ...people.new('somebody', { login: ann.login }).fields }, 201)
  })

  scene('not too short, not to the login of somebody else, not of somebody else, and not before signing in', async people => {
    const [ann, ben] = await people.users('ann', 'ben')
    const client = await people.signs(ann)
    const change = (secret, code, more) => client.does('acc', { scheme: 'basic', secret: base64(secret), ...more }, code)
    await change(':short', 422)
    await change('abc:long enough', 422)
    await change(`${ben.login}:long enough`, 409)
    await change(':whatever1', 403, { user: ben.id })
    await change(':whatever1', 403, { user: NOBODY })
    await change(':whatever1', 403, { user: 'usrAAAAAAAAAAA' })
    await change('no colon here', 400)
    const stranger = await people.greets('stranger')
    await stranger.does('acc', { scheme: 'basic', secret: base64(':whatever1') }, 401)
    await (await people.greets('ann')).logsIn(`${ann.login}:${ann.password}`)
    await (await people.greets('ben')).logsIn(`${ben.login}:${ben.password}`)
  })

  scene('tokens of before are good behind it, as clients come back by them', async people => {
    const ann = await people.user('ann')
    await (await people.signs(ann)).does('acc', { scheme: 'basic', secret: base64(':another secret') }, 200)
    await people.signs(ann)
  })
}

function signingIn(scene) {
  scene('by a password or a token, in as many sessions as one likes', async people => {
    const ann = await people.user('ann')
    const by = async secret => (await (await people.greets('ann')).logsIn(secret)).params
    const first = await by(`${ann.login}:${ann.password}`)
    assert.deepEqual(Object.keys(first).sort(), ['authlvl', 'expires', 'token', 'user'])
    assert.deepEqual([first.user, first.authlvl], [ann.id, 'auth'])
    for (const token of [first.token, first.token, ann.token]) {
      const { user, authlvl, token: next, expires } = await by(token)
      assert.deepEqual([user, authlvl], [ann.id, 'auth'])
      assert.match(next, /^[\w+/]{67}=$/)
      assert.equal(Buffer.from(next, 'base64').length, 50)
      assert.match(expires, TS)
      assert.equal((await by(next)).user, ann.id)
    }
    await by(`${ann.login.toUpperCase()}:${ann.password}`)
  })

  scene('what is refused leaves the session as it was', async people => {
    const ann = await people.user('ann')
    const client = await people.greets('ann')
    const login = (scheme, secret, code) => client.does('login', { scheme, secret }, code)
    for (const [who, password] of [[ann.login, 'wrong one'], [ann.login, ''], [ann.login, `${ann.password} `], [people.login('ghost'), ann.password]]) {
      assert.equal((await login('basic', base64(`${who}:${password}`), 401)).text, 'authentication failed')
    }
    for (const malformed of ['no colon', '']) await login('basic', base64(malformed), 400)
    for (const scheme of ['', 'nosuch', 'Basic', 'anonymous', 'rest']) assert.equal((await login(scheme, base64('a:b'), 401)).text, 'unknown authentication scheme')
    const { forged, malformed } = badTokens(ann.token)
    for (const token of forged) assert.equal((await login('token', token, 401)).text, 'authentication failed', token)
    for (const token of malformed) await login('token', token, 400)
    await client.logsIn(ann.token)
    for (const secret of [ann.token, `${ann.login}:${ann.password}`, `${ann.login}:wrong one`]) {
      assert.equal((await client.logsIn(secret, 409)).text, 'already authenticated')
    }
  })

  scene('a secret that is no padded base64 is malformed, without an id', async people => {
    const client = await people.greets('ann')
    for (const secret of ['!!', 'bm9jb2xvbg', 'bm9jb2xvbg=', '-_-_', 'a b=', 5, true, {}, ['eDp5']]) {
      client.send({ login: { id: 'never', scheme: 'basic', secret } })
      await client.sees({ ctrl: { code: 400, text: 'malformed', ts: '{ts}' } })
    }
    assert.ok(!client.log.some(({ ctrl }) => ctrl?.id === 'never'))
    await client.answers()
  })

  scene('who is deleted comes back by nothing', async people => {
    const ann = await people.user('ann')
    const [client, other] = [await people.signs(ann), await people.enters(ann)]
    await client.does('del', { topic: '', what: 'user', user: ann.id, hard: true }, 200)
    for (const session of [client, other]) {
      await session.skipsTo({ ctrl: { code: 205, text: 'evicted', ts: '{ts}' } })
      await session.ends()
    }
    const again = await people.greets('ann')
    await again.logsIn(ann.token, 404)
    const byPassword = () => again.ask('login', { scheme: 'basic', secret: base64(`${ann.login}:${ann.password}`) })
    await eventually('nobody has the login', byPassword, ({ code }) => code === 401)
    await eventually('the login is free', () => again.ask('acc', people.new('ann', { login: ann.login }).fields), ({ code }) => code === 201)
  })
}

for (const site of SITES) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ hello, registration, passwords, 'signing in': signingIn })) {
    describe(title, () => stories(stand(site, { title: `accounts: ${title}` }).scene))
  }

  describe('signing in by long polling', () => {
    const { scene } = stand(site, { title: 'accounts by long polling' })
    signingIn((title, play) => scene(title, play, WIRES.polling))
  })
})
