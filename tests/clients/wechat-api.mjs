// The HTTP routes of react-wechat, on one node and on two: each with each form of body and with bad input, their texts and codes, tokens, origins, limits.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { card, stand } from './wechat/people.mjs'
import { api, badTokens, FORMS, opened, SITES, token } from './wechat/stage.mjs'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
const ROUTES = ['info', 'search', 'contact/add', 'turn']
const REQUIRED = { nick: '请填写昵称', userName: '请输入用户名', password: '请输入密码', email: '请输入Email', phone: '请输入手机号码' }
const NO_STRING = [undefined, null, 5, 0, true, false, {}, { $gt: '' }, { toString: 'x' }, [], ['x']]
const NO_PHONE = ['1', '12', '1'.repeat(21), '12 3', ' 123', '123 ', '12a4', '１２３', '123\n', '12.3', '.*', '[', '-123', '123\0', '*'.repeat(5)]
const PICTURE = `data:image/png;base64,${'iVBORw0KGgo'.repeat(6_400)}`
const TOO_LARGE = 2_200_000

const refusal = (code, message) => ({ code, message })

/** The answer is JSON with this status, and an error that is a text. */
function isError({ status, text, body, headers }, expected, error, what = '') {
  assert.equal(status, expected, `${what} ${text}`)
  assert.match(headers['content-type'], /^application\/json\b/)
  assert.deepEqual(Object.keys(body ?? {}), ['error'], text)
  assert.ok(typeof body.error === 'string' && body.error.length > 0, text)
  if (error) assert.equal(body.error, error)
}

function registration(scene) {
  for (const form of Object.keys(FORMS)) scene(`reg, login, info, search, contact/add: bodies as ${form}, by any method`, async people => {
    const ben = await people.user('ben')
    for (const method of METHODS) {
      const ann = people.new(`ann by ${method}`), { name: _, ...fields } = ann
      const options = { form, method }
      const registered = await people.calls('reg', fields, options)
      assert.deepEqual([registered.status, registered.text], [200, '{"code":0,"message":""}'])
      assert.match(registered.headers['content-type'], /^application\/json\b/)
      const { info, token: own } = await people.gets('login', { phone: ann.phone, password: ann.password }, options)
      assert.deepEqual(info, { ...card(ann, info._id), email: ann.email, contacts: [] })
      const signed = { ...options, token: own }
      assert.deepEqual(await people.gets('info', {}, signed), { info: { ...card(ann, info._id), email: ann.email } })
      const { searchResult } = await people.gets('search', { keyword: ben.phone }, signed)
      assert.deepEqual(searchResult, [card(ben, searchResult[0]?._id)])
      assert.equal((await people.calls('contact/add', { phone: ben.phone }, signed)).text, '{"code":0,"message":"success","data":{}}')
      assert.equal((await people.calls('contact/add', { phone: ben.phone }, signed)).text, '{"code":1,"message":"success","data":{}}')
    }
  })

  scene('the query is not read', async people => {
    const ann = people.new('ann'), { name: _, ...query } = ann
    assert.deepEqual((await people.calls('reg', undefined, { query })).body, refusal(100003, REQUIRED.nick))
    const { name: __, nick: ___, ...rest } = ann
    assert.deepEqual((await people.calls('reg', rest, { query })).body, refusal(100003, REQUIRED.nick))
    assert.deepEqual((await people.calls('login', {}, { query })).body, refusal(100001, '手机号没有注册'))
  })

  scene('what is missing or empty is told in the order of the fields', async people => {
    const { name: _, ...whole } = people.new('ann')
    const names = Object.keys(REQUIRED)
    assert.deepEqual((await people.calls('reg')).body, refusal(100003, REQUIRED.nick))
    for (const form of Object.keys(FORMS)) {
      for (const [i, name] of names.entries()) {
        // This one and all behind it are missing, then empty: the first one is told.
        const before = Object.fromEntries(names.slice(0, i).map(key => [key, whole[key]]))
        const empty = Object.fromEntries(names.slice(i).map(key => [key, '']))
        for (const fields of [before, { ...before, ...empty }, { ...whole, [name]: '' }]) {
          assert.deepEqual((await people.calls('reg', fields, { form })).body, refusal(100003, REQUIRED[name]), `${name} as ${form}`)
        }
      }
    }
  })

  scene('what is no string is missing', async people => {
    const { name: _, ...whole } = people.new('ann')
    for (const [name, text] of Object.entries(REQUIRED)) for (const value of NO_STRING) {
      assert.deepEqual((await people.calls('reg', { ...whole, [name]: value })).body, refusal(100003, text), `${name} ${JSON.stringify(value)}`)
    }
    for (const phone of NO_PHONE) {
      const { body } = await people.calls('reg', { ...whole, phone })
      assert.equal(body.code, 100003, JSON.stringify(phone))
      assert.equal(typeof body.message, 'string')
    }
    assert.deepEqual((await people.calls('login', { phone: whole.phone, password: whole.password })).body, refusal(100001, '手机号没有注册'))
  })

  scene('phones of all allowed letters and lengths; a picture and a region', async people => {
    const own = people.phone()
    for (const phone of [`+${own}`, `_${own}`, own.slice(-3).padStart(20, own), `${own}+_`]) {
      const ann = await people.user('ann', { phone, thumb: PICTURE, region: '北京 é' })
      const { info } = await people.login(ann)
      assert.deepEqual(info, { ...card(ann, info._id), email: ann.email, contacts: [] })
    }
    const { name: _, ...fields } = people.new('bob', { thumb: '', region: '' })
    assert.equal((await people.calls('reg', fields, { form: 'multipart' })).body.code, 0)
    for (const value of [null, 5, {}, ['x']]) {
      const cleo = await people.user('cleo', { thumb: value, region: value })
      const { info } = await people.login(cleo)
      assert.deepEqual([info.thumb, info.region], [null, null], JSON.stringify(value))
    }
  })

  scene('the group is the first letter of the nick in pinyin', async people => {
    for (const [nick, group] of [['张三', 'Z'], ['bob', 'B'], ['Bob', 'B'], ['9x', '9'], ['李四', 'L'], ['王', 'W'], ['陈 x', 'C']]) {
      const one = await people.user('one', { nick })
      assert.equal((await people.login(one)).info.group, group, nick)
    }
  })

  scene('a taken phone', async people => {
    const ann = await people.user('ann')
    const { name: _, ...other } = people.new('eve', { phone: ann.phone })
    for (const form of Object.keys(FORMS)) assert.deepEqual((await people.calls('reg', other, { form })).body, refusal(100004, '手机号已注册'))
    assert.equal((await people.login(ann)).info.nick, ann.nick)
    assert.deepEqual((await people.calls('login', { phone: ann.phone, password: other.password })).body, refusal(100002, '密码错误'))
  })

  scene('several at once register one phone: exactly one wins, and it is his', async people => {
    const phone = people.phone()
    const all = Array.from({ length: 12 }, (_, i) => people.new(`runner ${i}`, { phone }))
    const answers = await Promise.all(all.map(({ name: _, ...fields }) => people.calls('reg', fields)))
    const winners = all.filter((_, i) => answers[i].body.code === 0)
    assert.equal(winners.length, 1, JSON.stringify(answers.map(({ text }) => text)))
    for (const { body } of answers.filter(({ body }) => body.code !== 0)) assert.deepEqual(body, refusal(100004, '手机号已注册'))
    assert.equal((await people.login(winners[0])).info.nick, winners[0].nick)
    const loser = all.find(one => one !== winners[0])
    assert.equal((await people.calls('login', { phone, password: loser.password })).body.code, 100002)
  })
}

function signingIn(scene) {
  scene('login: who is unknown, what is wrong, and wrong types', async people => {
    const ann = await people.user('ann')
    for (const phone of [...NO_STRING, '', 'x', people.phone(), '[', '.*', `${ann.phone}\0`, `${ann.phone} `]) {
      assert.deepEqual((await people.calls('login', { phone, password: ann.password })).body, refusal(100001, '手机号没有注册'), JSON.stringify(phone))
    }
    for (const password of [...NO_STRING, '', 'x', `${ann.password} `, ann.password.slice(0, -1), ann.password.toUpperCase()]) {
      assert.deepEqual((await people.calls('login', { phone: ann.phone, password })).body, refusal(100002, '密码错误'), JSON.stringify(password))
    }
    for (const form of ['form', 'multipart']) assert.equal((await people.calls('login', { phone: ann.phone, password: 'x' }, { form })).body.code, 100002)
  })

  scene('a token says who it is, and has no end', async people => {
    const ann = await people.user('ann')
    const { token } = await people.login(ann)
    const { iat, ...rest } = opened(token)
    assert.deepEqual(rest, { phone: ann.phone, nick: ann.nick })
    assert.ok(Number.isInteger(iat))
    assert.equal((await people.gets('info', undefined, { token })).info.phone, ann.phone)
  })

  scene('login has the contacts, info has none of them', async people => {
    const [ann, ben] = await people.pair()
    const { info } = await people.login(ann)
    assert.deepEqual(info.contacts, [ben.phone])
    assert.deepEqual((await people.login(ben)).info.contacts, [ann.phone])
    const answer = await people.gets('info', undefined, { token: ann.token, method: 'GET' })
    assert.deepEqual(answer, { info: { ...card(ann, info._id), email: ann.email } })
    assert.match(info._id, /./)
  })

  scene('any token of the secret is good, by header or cookie', async people => {
    const ann = await people.user('ann')
    for (const more of [{}, { nick: 'another' }, { iat: undefined }, { iat: 1 }, { exp: Date.now() / 1000 + 3600 | 0 }, { more: [1] }]) {
      const own = token(ann, { more })
      assert.equal((await people.gets('info', undefined, { token: own })).info.nick, ann.nick, JSON.stringify(more))
      assert.equal((await people.gets('info', undefined, { cookie: own })).info.nick, ann.nick, JSON.stringify(more))
    }
    const headers = { cookie: `other=1; jwt=${ann.token}; more=2` }
    assert.equal((await people.gets('info', undefined, { headers })).info.nick, ann.nick)
  })

  scene('no token: each route says 401; what is unknown too, and 404 with one', async people => {
    const ann = await people.user('ann')
    for (const route of ROUTES) {
      for (const method of METHODS) isError(await people.calls(route, { keyword: '123', phone: ann.phone }, { method }), 401, 'Authentication Error')
      isError(await people.calls(route, { token: ann.token, jwt: ann.token }, { query: { token: ann.token, jwt: ann.token } }), 401, 'Authentication Error')
    }
    for (const route of ['nothing', 'info/x', 'contact', 'contact/remove', 'users', 'reg/x', '__proto__']) {
      for (const method of METHODS) {
        isError(await people.calls(route, {}, { method }), 401, 'Authentication Error')
        assert.equal((await people.calls(route, {}, { method, token: ann.token })).status, 404, route)
      }
    }
    for (const path of ['/', '/string', '/json']) {
      const { status, text } = await people.calls('', undefined, { path, method: 'GET', token: ann.token })
      assert.equal(status, 404, path)
      assert.ok(!text.includes('password'), text)
    }
  })

  scene('tokens that open nothing', async people => {
    const ann = await people.user('ann')
    for (const [what, bad] of Object.entries(badTokens(ann))) {
      for (const route of ROUTES) {
        isError(await people.calls(route, {}, { token: bad }), 401, undefined, what)
        isError(await people.calls(route, {}, { cookie: bad }), 401, undefined, what)
      }
      isError(await people.calls('nothing', {}, { token: bad }), 401)
      if (what === 'expired') assert.equal((await people.calls('info', {}, { token: bad })).body.error, 'jwt expired')
    }
    for (const authorization of [ann.token, 'Bearer', 'Bearer ', `Basic ${ann.token}`, `Bearer ${ann.token} x`]) {
      isError(await people.calls('info', {}, { headers: { authorization } }), 401)
    }
  })

  scene('reg and login take no notice of a token', async people => {
    const ann = await people.user('ann')
    for (const bad of Object.values(badTokens(ann))) for (const how of ['token', 'cookie']) {
      assert.deepEqual((await people.calls('reg', { nick: 'x' }, { [how]: bad })).body, refusal(100003, REQUIRED.userName))
      assert.deepEqual((await people.calls('login', {}, { [how]: bad })).body, refusal(100001, '手机号没有注册'))
    }
  })

  scene('no answer has a password in it, or what is kept of one', async people => {
    const [ann, ben] = await people.pair()
    const answers = [
      await people.calls('login', { phone: ann.phone, password: ann.password }),
      await people.calls('login', { phone: ann.phone, password: ben.password }),
      await people.calls('reg', { ...ann, password: 'another secret' }),
      await people.calls('info', {}, { token: ann.token }),
      await people.calls('search', { keyword: ben.phone }, { token: ann.token }),
      await people.calls('contact/add', { phone: ben.phone }, { token: ann.token }),
    ]
    const socket = await people.enters(ann)
    const texts = [...answers.map(({ text }) => text), JSON.stringify(socket.opening)]
    for (const text of texts) for (const part of ['password', 'argon2', 'secret', ann.password, ben.password]) assert.ok(!text.includes(part), `${part} in ${text}`)
    assert.ok(!answers.slice(4).some(({ text }) => text.includes('@example.org')), 'others see no e-mail address')
  })
}

function finding(scene) {
  scene('search: the others whose phone contains the keyword, literally', async people => {
    const mark = people.phone()
    const [ann, ben, cleo] = await Promise.all([['ann', `${mark}1`], ['ben', `+${mark}2`], ['cleo', `_${mark}`]].map(([name, phone]) => people.user(name, { phone })))
    const finds = async (keyword, ...expected) => {
      for (const form of typeof keyword === 'string' ? Object.keys(FORMS) : ['json']) {
        const { searchResult } = await people.gets('search', { keyword }, { token: ann.token, form })
        const phones = searchResult.map(({ phone }) => phone)
        assert.deepEqual(phones.sort(), expected.map(({ phone }) => phone).sort(), `${JSON.stringify(keyword)} as ${form}`)
        for (const found of searchResult) assert.deepEqual(found, card([ben, cleo].find(({ phone }) => phone === found.phone), found._id))
      }
    }
    await finds(mark, ben, cleo)
    await finds(mark.slice(2, 11), ben, cleo)
    await finds(ben.phone, ben)
    await finds(`+${mark}`, ben)
    await finds(`_${mark}`, cleo)
    await finds(`${mark}2`, ben)
    await finds(ann.phone)
    await finds(`${mark}${mark}`)
    for (const keyword of ['', mark[0], mark.slice(0, 2), '+', '_', '..', '...', '.*', '[', '[0-9]', '^1', '\\d\\d\\d', '(', '%%%', '___', '1|2', '$where', '\0\0\0', 'é日🎉']) await finds(keyword)
    for (const keyword of NO_STRING) await finds(keyword)
    assert.deepEqual((await people.gets('search', undefined, { token: ann.token })), { searchResult: [] })
  })

  scene('contact/add: mutual and at once; unknown, oneself and nothing change nothing', async people => {
    const [ann, ben, cleo] = await people.users('ann', 'ben', 'cleo')
    const adds = async (phone, code, own = ann) => {
      assert.deepEqual((await people.calls('contact/add', { phone }, { token: own.token })).body, { code, message: 'success', data: {} }, JSON.stringify(phone))
    }
    for (const phone of [...NO_STRING, ...NO_PHONE, '', people.phone(), ann.phone]) await adds(phone, 1)
    assert.deepEqual((await people.login(ann)).info.contacts, [])
    await adds(ben.phone, 0)
    await adds(ben.phone, 1)
    await adds(ann.phone, 1, ben)
    await adds(cleo.phone, 0)
    assert.deepEqual((await people.login(ann)).info.contacts.sort(), [ben.phone, cleo.phone].sort())
    for (const other of [ben, cleo]) assert.deepEqual((await people.login(other)).info.contacts, [ann.phone])
  })

  scene('contact/add: many at once, from both sides; each ends up with all', async people => {
    const all = await people.users('ann', 'ben', 'cleo', 'dora')
    const pairs = all.flatMap(one => all.filter(other => other !== one).map(other => [one, other]))
    const answers = await Promise.all(pairs.map(([one, other]) => people.calls('contact/add', { phone: other.phone }, { token: one.token })))
    for (const { status, body } of answers) assert.ok(status === 200 && [0, 1].includes(body.code), JSON.stringify(body))
    for (const one of all) {
      const { info } = await people.login(one)
      assert.deepEqual(info.contacts.sort(), all.filter(other => other !== one).map(({ phone }) => phone).sort())
    }
  })
}

function bodies(scene) {
  scene('bodies that can not be read', async people => {
    const ann = await people.user('ann')
    const multipart = 'multipart/form-data; boundary=b'
    const broken = [
      ['application/json', '{'], ['application/json', '{"nick":"x"'], ['application/json', 'nick=x'], ['application/json', '{"nick":x}'],
      ['application/json', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
      ['multipart/form-data', '--b\r\nContent-Disposition: form-data; name="nick"\r\n\r\nx\r\n--b--\r\n'],
      [multipart, '--b\r\nContent-Disposition: form-data; name="nick"\r\n\r\nx'],
      [multipart, '--b\r\nContent-Disposition: form-data; name="nick"\r\n\r\nx\r\n--b\r\n'],
      [multipart, 'nothing of it'],
    ]
    for (const raw of broken) for (const route of ['reg', 'login', 'search', 'contact/add']) {
      isError(await people.calls(route, undefined, { raw, token: ann.token }), 400)
    }
  })

  scene('JSON that is no object has no fields, or can not be read', async people => {
    for (const text of ['[]', '["x"]', 'null', '5', '"x"', 'true']) {
      const { status, body } = await people.calls('reg', undefined, { raw: ['application/json', text] })
      assert.ok(status === 400 || body.code === 100003, `${text} answered ${status} ${JSON.stringify(body)}`)
    }
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const { status } = await people.calls('reg', undefined, { raw: ['application/json', `{"nick":${deep}}`] })
    assert.ok([200, 400].includes(status), String(status))
  })

  scene('a body may have a hundred fields, and no more', async people => {
    const ann = await people.user('ann')
    const fields = count => Object.fromEntries(Array.from({ length: count }, (_, i) => [`field ${i}`, 'x']))
    for (const form of Object.keys(FORMS)) {
      const options = { form, token: ann.token }
      assert.deepEqual(await people.gets('search', { ...fields(99), keyword: ann.phone }, options), { searchResult: [] })
      for (const count of [100, 10_000]) isError(await people.calls('search', { ...fields(count), keyword: ann.phone }, options), 400, undefined, form)
    }
  })

  scene('what is kept of a user has its bounds', async people => {
    const ann = people.new('ann'), { name: _, ...fields } = ann
    for (const [name, bytes] of [['nick', 2_000], ['userName', 2_000], ['email', 2_000], ['region', 2_000], ['password', 5_000], ['thumb', 200_000]]) {
      isError(await people.calls('reg', { ...fields, [name]: 'x'.repeat(bytes) }), 413, undefined, name)
    }
    assert.equal((await people.calls('login', { phone: ann.phone, password: 'x' })).body.code, 100001)
    assert.equal((await people.calls('reg', fields)).body.code, 0)
  })

  scene('a body may have 2 MB, and no more', async people => {
    const ann = await people.user('ann')
    for (const form of Object.keys(FORMS)) for (const chunked of [false, true]) {
      const options = { form, chunked, token: ann.token }
      assert.deepEqual(await people.gets('search', { keyword: 'x'.repeat(1_900_000) }, options), { searchResult: [] })
      // It may cut off whoever goes on sending.
      const answer = await people.calls('search', { keyword: 'x'.repeat(TOO_LARGE) }, options).catch(error => error)
      if (answer instanceof Error) assert.match(answer.code, /^(EPIPE|ECONNRESET)$/, String(answer))
      else assert.equal(answer.status, 413, answer.text)
    }
    assert.equal((await people.gets('info', {}, { token: ann.token })).info.phone, ann.phone)
  })

  scene('pages of other origins may ask, with a token', async (people, { server }) => {
    const ann = await people.user('ann')
    const origin = 'https://phone.example'
    const wanted = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' }
    for (const route of ['info', 'login', 'nothing']) {
      const { status, headers } = await api(server.nodes[0], route, undefined, { method: 'OPTIONS', headers: { origin, ...wanted } })
      assert.ok(status === 200 || status === 204, String(status))
      assert.ok([origin, '*'].includes(headers['access-control-allow-origin']), route)
      for (const name of ['authorization', 'content-type']) assert.ok(headers['access-control-allow-headers'].toLowerCase().includes(name))
    }
    for (const own of [ann.token, undefined]) {
      const { headers } = await people.calls('info', {}, { token: own, headers: { origin } })
      assert.ok([origin, '*'].includes(headers['access-control-allow-origin']))
    }
    isError(await people.calls('info', {}, { cookie: ann.token, headers: { origin } }), 401, 'Authentication Error', 'a cookie that a page of elsewhere has sent')
    assert.equal((await people.gets('info', {}, { cookie: ann.token, headers: { origin: server.nodes[0].urls.wechat }, node: server.nodes[0] })).info.phone, ann.phone)
  })
}

/** So many calls from one address are answered by a node, and then none for a long time. */
const LIMIT = 6

function limited(scene) {
  scene('registration, login, search and new contacts are; the rest is not', async (people, { server: { nodes: [node] } }) => {
    const ann = await people.user('ann')
    const calls = {
      reg: () => people.calls('reg', { nick: 'x' }, { node }),
      login: () => people.calls('login', { phone: ann.phone, password: 'x' }, { node }),
      search: () => people.calls('search', { keyword: '123' }, { node, token: ann.token }),
      'contact/add': () => people.calls('contact/add', { phone: ann.phone }, { node, token: ann.token }),
    }
    for (const [route, call] of Object.entries(calls)) {
      let answer = await call()
      const statuses = [answer.status]
      while (answer.status === 200 && statuses.length <= LIMIT) statuses.push((answer = await call()).status)
      assert.equal(answer.status, 429, `${route}: ${statuses}`)
      assert.ok(Number(answer.headers['retry-after']) > 0, `retry-after: ${answer.headers['retry-after']}`)
      assert.deepEqual(Object.keys(answer.body), ['error'])
      assert.equal((await call()).status, 429, `${route}: once more`)
    }
    for (let i = 0; i < 3 * LIMIT; i++) {
      await people.gets('info', {}, { token: ann.token })
      await people.enters(ann)
    }
  })
}

for (const site of SITES) describe(site.name, () => {
  describe('routes', () => {
    const { scene } = stand(site, { title: 'routes' })
    registration(scene)
    signingIn(scene)
    finding(scene)
    bodies(scene)

    scene('many who log in at once keep nobody else waiting for ever', async people => {
      const [ann, ben] = await people.pair()
      const socket = await people.enters(ben)
      const storm = Array.from({ length: 100 }, () => people.calls('login', { phone: ann.phone, password: 'guessed' }))
      // Meanwhile others are served, and messages go their way.
      const other = await people.enters(ann)
      await people.barrier(other, socket)
      assert.equal((await people.gets('info', {}, { token: ann.token })).info.phone, ann.phone)
      const answers = await Promise.all(storm)
      for (const { status, body, headers } of answers) {
        if (status === 200) assert.equal(body.code, 100002)
        else assert.ok([429, 503].includes(status) && Number(headers['retry-after']) > 0, `${status}, retry-after: ${headers['retry-after']}`)
      }
      assert.ok(answers.some(({ status }) => status === 200))
      assert.equal((await people.login(ann)).info.phone, ann.phone)
    })
  })

  describe('limits', () => {
    const { scene } = stand(site, { title: 'limits', values: { RATE_LIMIT: `${LIMIT} in 3600s` } })
    limited(scene)
  })

  describe('origins', () => {
    const [mine, other] = ['https://phone.example', 'https://elsewhere.example']
    const { scene } = stand(site, { title: 'origins', values: { ORIGINS: mine } })

    scene('only pages of those that are named may read an answer, and sockets come from everywhere', async people => {
      const ann = await people.user('ann')
      for (const [origin, allowed] of [[mine, true], [other, false], ['null', false]]) {
        const preflight = await people.calls('info', undefined, {
          method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
        })
        const answer = await people.calls('login', { phone: ann.phone, password: 'x' }, { headers: { origin } })
        for (const { headers } of [preflight, answer]) assert.equal(headers['access-control-allow-origin'], allowed ? origin : undefined, origin)
        const { status } = await people.calls('info', {}, { cookie: ann.token, headers: { origin } })
        assert.equal(status, allowed ? 200 : 401, `the cookie of a visitor of ${origin}`)
      }
      assert.equal((await people.gets('info', {}, { token: ann.token })).info.phone, ann.phone, 'who is no page is not judged')
    })
  })

  describe('no limits', () => {
    const { scene } = stand(site, { title: 'no limit' })
    scene('off: no limit', async people => {
      const ann = await people.user('ann')
      const answers = await Promise.all(Array.from({ length: 60 }, () => people.calls('search', { keyword: '123' }, { token: ann.token })))
      for (const { status } of answers) assert.equal(status, 200)
    })
  })
})
