// gRPC clients of the tinode dialect, on one node and on two: one made from our own tinode.proto, and PyPI's tinode-grpc.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { connect } from 'node:http2'
import { describe } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { eventually } from './http.mjs'
import { data, LIMITS, pres } from './tinode/client.mjs'
import { address, grpc, GrpcClient, json, value, values } from './tinode/grpc.mjs'
import { GROUP, P2P, stand, USER } from './tinode/people.mjs'
import { badTokens, SITES } from './tinode/stage.mjs'

const path = name => fileURLToPath(new URL(name, import.meta.url))
const PYTHON = path('../../.tools/tinode-grpc/bin/python')

/** Scenes with clients of gRPC, which end with them. */
const scenes = ({ scene }) => (title, play) => scene(title, async (people, stage) => {
  const opens = (name, node = stage.server.nodeForClient()) => {
    const client = new GrpcClient(node, name)
    people.clients.push(client)
    return client
  }
  await play({ people, opens, signs: async person => opens(person.name).signs(person), server: stage.server })
})

const secret = ({ login, password }) => Buffer.from(`${login}:${password}`)

function story(scene) {
  scene('hi, registration, and signing in by each scheme', async ({ people, opens }) => {
    const person = people.new('ann')
    const client = opens('ann')
    await client.does('login', { scheme: 'basic', secret: secret(person) }, 409)
    const { params } = await client.does('hi', { user_agent: 'Tests/1.0', ver: '0.25.3', lang: 'en-US', platform: 'test' }, 201)
    const { build, clusterSize, servingAt, ...limits } = params
    const { reqCred, ...numbers } = LIMITS
    assert.deepEqual({ ...limits, reqCred: limits.reqCred ?? null }, { ...numbers, reqCred })
    assert.ok(build && clusterSize >= 1 && servingAt)
    await client.does('sub', { topic: 'me' }, 401)
    const made = await client.does('acc', {
      user_id: 'new', scheme: 'basic', secret: secret(person), login: true, tags: ['garden'],
      desc: { public: json({ fn: 'Ann' }), private: json('mine'), default_acs: { auth: 'JRWP', anon: 'N' } },
    })
    assert.match(made.params.user, /^usr[\w-]{11}$/)
    assert.deepEqual([made.params.authlvl, made.params.desc.public, made.params.desc.defacs], ['auth', { fn: 'Ann' }, { auth: 'JRWPA', anon: 'N' }])
    await client.does('sub', { topic: 'me' })
    for (const [scheme, bytes] of [['basic', secret(person)], ['token', Buffer.from(made.params.token, 'base64')]]) {
      const again = opens('again')
      await again.does('hi', { ver: '0.25.3' }, 201)
      await again.does('login', { scheme, secret: Buffer.from('x') }, 400)
      assert.equal((await again.does('login', { scheme, secret: bytes })).params.user, made.params.user)
    }
    const bad = opens('bad')
    await bad.does('hi', { ver: '0.25.3' }, 201)
    for (const token of badTokens(made.params.token).forged) await bad.does('login', { scheme: 'token', secret: Buffer.from(token, 'base64') }, 401)
  })

  scene('all parts of me: description, list, tags, and what is empty', async ({ people, signs }) => {
    const ann = await people.user('ann', { tags: ['garden'], desc: { private: 'mine' } })
    const client = await signs(ann)
    await client.does('sub', { topic: 'me' })
    const { desc } = await client.ask('get', { topic: 'me', query: { what: 'desc' } })
    assert.deepEqual([value(desc.public), value(desc.private)], [{ fn: 'Ann' }, 'mine'])
    assert.deepEqual([desc.defacs, desc.acs], [{ auth: USER, anon: 'N' }, { want: 'JPS', given: 'JPS' }])
    assert.ok(desc.created_at > 1.7e12 && desc.updated_at >= desc.created_at && desc.touched_at >= desc.created_at, 'milliseconds')
    assert.deepEqual((await client.ask('get', { topic: 'me', query: { what: 'tags' } })).tags, ['garden', `basic:${ann.login}`])
    assert.deepEqual((await client.does('get', { topic: 'me', query: { what: 'sub' } }, 204)).params, { what: 'sub' })
    await client.does('set', { topic: 'me', query: { desc: { public: json({ fn: 'Anna' }) }, tags: [`basic:${ann.login}`, 'roses'] } })
    assert.deepEqual(value((await client.ask('get', { topic: 'me', query: { what: 'desc' } })).desc.public), { fn: 'Anna' })
    const known = await client.ask('get', { topic: 'me', query: { what: 'desc', desc: { if_modified_since: Date.now() + 1000 } } })
    assert.equal(known.desc.public?.length ?? 0, 0)
  })

  scene('two talk: by gRPC and by a WebSocket; notes, deletions, ranges', async ({ people, signs }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [g, ws] = [await signs(ann), await people.enters(ben)]
    await g.does('sub', { topic: 'me' })
    const { params } = await g.does('sub', { topic: ben.id, set_query: { desc: { private: json('a friend') } }, get_query: { what: 'desc' } })
    assert.deepEqual([params.acs.want, params.acs.given], [P2P, USER])
    await ws.sees(pres('me', ann.id, 'acs', { act: ann.id, dacs: { want: P2P, given: P2P } }), pres('me', ann.id, 'on'))
    const { meta } = await g.until('the description', () => g.log.some(({ meta }) => meta?.desc)).then(() => g.log.find(({ meta }) => meta?.desc))
    assert.equal(value(meta.desc.private), 'a friend')
    const { pres: on } = await g.hears()
    assert.deepEqual([on.topic, on.src, on.what], ['me', ben.id, 'ON'])
    await ws.subs(ann.id)
    const head = { mime: json('text/x-drafty') }
    assert.deepEqual((await g.does('pub', { topic: ben.id, head, content: json({ txt: 'hi', n: [1, null] }) }, 202)).params, { seq: 1 })
    await ws.sees(data(ann.id, ann.id, 1, { txt: 'hi', n: [1, null] }, { head: { mime: 'text/x-drafty' } }))
    const echo = (await g.hears()).data
    assert.deepEqual([echo.topic, echo.from_user_id, echo.seq_id], [ben.id, ann.id, 1])
    assert.deepEqual([value(echo.content), values(echo.head)], [{ txt: 'hi', n: [1, null] }, { mime: 'text/x-drafty' }])
    assert.ok(Math.abs(echo.timestamp - Date.now()) < 3_600_000)
    await ws.publishes(ann.id, 'é日🎉')
    assert.equal(value((await g.hears()).data.content), 'é日🎉')
    g.send({ note: { topic: ben.id, what: 'READ', seq_id: 2 } })
    await ws.sees({ info: { topic: ann.id, from: ann.id, what: 'read', seq: 2 } })
    ws.note(ann.id, 'kp')
    const { info: typing } = await g.hears()
    assert.deepEqual([typing.topic, typing.from_user_id, typing.what], [ben.id, ben.id, 'KP'])
    g.send({ note: { topic: ben.id, what: 'KP' } })
    await ws.sees({ info: { topic: ann.id, from: ann.id, what: 'kp' } })
    for (let i = 3; i <= 8; i++) await g.does('pub', { topic: ben.id, no_echo: true, content: json(i) }, 202)
    await ws.skipsTo(data(ann.id, ann.id, 8, 8))
    ws.note(ann.id, 'read', 7)
    const { info: read } = await g.hears()
    assert.deepEqual([read.topic, read.from_user_id, read.what, read.seq_id], [ben.id, ben.id, 'READ', 7])
    const asks = async query => {
      const start = g.log.length
      await g.does('get', { topic: ben.id, query: { what: 'data', data: query } }, 208)
      return g.log.slice(start).filter(({ data }) => data).map(({ data }) => data.seq_id)
    }
    assert.deepEqual(await asks({ since_id: 6 }), [8, 7, 6])
    assert.deepEqual(await asks({ before_id: 3 }), [2, 1])
    assert.deepEqual(await asks({ limit: 1 }), [8])
    assert.deepEqual(await asks({ ranges: [{ low: 2, hi: 4 }, { low: 7 }] }), [7, 3, 2])
    assert.deepEqual((await g.does('del', { topic: ben.id, what: 'MSG', del_seq: [{ low: 5, hi: 7 }], hard: true })).params, { del: 1 })
    await ws.skipsTo(pres(ann.id, ann.id, 'del', { clear: 1, delseq: [{ low: 5, hi: 7 }] }))
    const { del } = await g.ask('get', { topic: ben.id, query: { what: 'del' } })
    assert.deepEqual([del.del_id, del.del_seq], [1, [{ low: 5, hi: 7 }]])
    const { sub } = await g.ask('get', { topic: ben.id, query: { what: 'sub' } })
    const rows = sub.map(({ user_id, read_id, recv_id, acs }) => [user_id, read_id, recv_id, acs.want]).sort()
    assert.deepEqual(rows, [[ann.id, 8, 8, P2P], [ben.id, 7, 7, P2P]].sort())
  })

  scene('content that is no JSON is taken, and empty', async ({ people, signs }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [g, ws] = [await signs(ann), await people.enters(ben)]
    for (const topic of ['me', ben.id]) await g.does('sub', { topic })
    await ws.sees(pres('me', ann.id, 'acs', { act: ann.id, dacs: { want: P2P, given: P2P } }), pres('me', ann.id, 'on'))
    await ws.subs(ann.id)
    for (const [i, content] of ['no json', '{', '\u00ff'].map(text => Buffer.from(text, 'latin1')).entries()) {
      await g.does('pub', { topic: ben.id, no_echo: true, content }, 202)
      await ws.sees(data(ann.id, ann.id, i + 1, null))
    }
  })

  scene('a group: presence, access, aux, and its end', async ({ people, signs }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, b] = [await signs(ann), await signs(ben)]
    for (const client of [a, b]) await client.does('sub', { topic: 'me' })
    const made = await a.does('sub', { topic: 'new1', set_query: { desc: { public: json({ fn: 'Club' }) }, tags: ['club'], aux: { pins: json([1]) } } })
    const { topic } = made
    assert.match(topic, /^grp/)
    assert.equal(made.params.tmpname, 'new1')
    assert.equal((await a.hears()).pres.what, 'ON')
    assert.deepEqual((await a.does('set', { topic, query: { sub: { user_id: ben.id, mode: GROUP } } })).params.user, ben.id)
    const { pres: acs } = await b.hears()
    assert.deepEqual([acs.what, acs.src, acs.actor_user_id, acs.acs], ['ACS', topic, ann.id, { want: GROUP, given: GROUP }])
    assert.equal((await b.hears()).pres.what, 'ON')
    await b.does('sub', { topic })
    const { pres: on } = await a.hears()
    assert.deepEqual([on.topic, on.src, on.what], [topic, ben.id, 'ON'])
    assert.deepEqual(values((await b.ask('get', { topic, query: { what: 'aux' } })).aux), { pins: [1] })
    await a.does('del', { topic, what: 'SUB', user_id: ben.id })
    const evicted = (await b.hears()).ctrl
    assert.deepEqual([evicted.code, values(evicted.params)], [205, { unsub: true }])
    assert.equal((await b.hears()).pres.what, 'GONE')
    await a.does('del', { topic, what: 'TOPIC', hard: true })
    await a.does('get', { topic, query: { what: 'desc' } }, 404)
  })
}

function hostile(scene) {
  scene('what is no request is malformed, and the stream stays', async ({ people, opens, signs }) => {
    const client = await signs(await people.user('ann'))
    client.send({})
    client.send({ extra: { attachments: ['x'] } })
    for (let i = 0; i < 2; i++) assert.equal((await client.hears()).ctrl.code, 400)
    await client.does('sub', { topic: '' }, 400)
    await client.does('sub', { topic: 'usrx' }, 400)
    await client.does('sub', { topic: 'xyz' }, 404)
    await client.does('del', { topic: 'me', what: 'X0' }, 400)
    const early = opens('early')
    await early.does('sub', { topic: 'me' }, 409)
    await client.does('sub', { topic: 'me' })
  })

  scene('a message that is too large ends the stream, and no other', async ({ people, signs }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, b] = [await signs(ann), await signs(ben)]
    await a.does('sub', { topic: ben.id })
    a.send({ pub: { id: 'x', topic: ben.id, content: json('x'.repeat(300_000)) } })
    assert.notEqual((await a.ends()).code, grpc.status.OK)
    await b.does('sub', { topic: 'me' })
  })

  scene('bytes that are no message, methods that are none, and a client that goes', async ({ people, opens, signs, server }) => {
    const bystander = await signs(await people.user('ann'))
    const node = server.nodeForClient()
    const session = connect(`http://${address(node)}`)
    session.on('error', () => {})
    const status = async (method, body, headers = {}) => {
      const stream = session.request({ ':method': 'POST', ':path': method, 'content-type': 'application/grpc', te: 'trailers', ...headers })
      let found
      stream.on('response', head => { found ??= head['grpc-status'] })
      stream.on('trailers', tail => { found ??= tail['grpc-status'] })
      stream.on('error', () => {})
      if (body) stream.end(body)
      stream.resume()
      await eventually(`the end of ${method}`, () => stream.closed, closed => closed)
      return Number(found)
    }
    const framed = (bytes, flag = 0, length = bytes.length) => Buffer.concat([Buffer.from([flag, 0, 0, length >> 8, length & 255]), bytes])
    assert.equal(await status('/pbx.Node/Nosuch', framed(Buffer.alloc(0))), grpc.status.UNIMPLEMENTED)
    for (const method of ['LargeFileReceive', 'LargeFileServe']) assert.equal(await status(`/pbx.Node/${method}`, framed(Buffer.alloc(0))), grpc.status.UNIMPLEMENTED)
    assert.equal(await status('/pbx.Node/MessageLoop', framed(Buffer.from('compressed'), 1)), grpc.status.UNIMPLEMENTED)
    for (const bytes of [Buffer.from([0x0a, 0x7f, 1]), Buffer.from('garbage'), Buffer.alloc(100, 0xff)]) {
      const code = await status('/pbx.Node/MessageLoop', framed(bytes))
      assert.ok(Number.isInteger(code), `${code}`)
    }
    session.destroy()
    for (let i = 0; i < 20; i++) {
      const client = opens(`gone ${i}`, node)
      client.send({ hi: { id: '1', ver: '0.25' } })
      client.call.cancel()
    }
    await bystander.does('sub', { topic: 'me' })
  })

  scene('a session that stands still is closed, and others go on', async ({ people, signs }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [slow, b] = [await signs(ann), await people.signs(ben)]
    await slow.does('sub', { topic: ben.id })
    await b.subs(ann.id)
    slow.call.pause()
    const content = 'x'.repeat(100_000)
    for (let i = 0; i < 200 && slow.isOpen; i++) await b.publishes(ann.id, content)
    slow.call.resume()
    assert.equal((await slow.ends()).code, grpc.status.RESOURCE_EXHAUSTED)
    await b.answers()
  })
}

for (const site of SITES) describe(site.name, () => {
  describe('by our own .proto', () => {
    const scene = scenes(stand(site, { title: 'gRPC' }))
    story(scene)
    hostile(scene)
  })

  describe('by tinode-grpc of PyPI', () => {
    const { scene } = stand(site, { title: 'gRPC: Python' })
    scene('two register, talk, and read', async (people, { server }) => {
      const logins = [people.login('ann'), people.login('ben')]
      const { stdout } = await promisify(execFile)(PYTHON, [path('tinode/python/story.py'), address(server.nodeForClient()), ...logins], { timeout: 150_000 })
      const { users: [ann, ben], ...seen } = JSON.parse(stdout)
      for (const id of [ann, ben]) assert.match(id, /^usr[\w-]{11}$/)
      assert.deepEqual(seen, {
        ann: [201, 200, 200], ben: [201, 200, 200], sub: 200, pub: [202, 1], data: [ann, ann, 1, 'hello'], info: [ben, 'READ', 1], desc: [1, 1, 1, { fn: 'Ann' }],
      })
    })
  })
})
