// Long polling of Tinode's clients, on one node and on two: sessions, posts and polls, what is wrong with them, and a whole story by them alone.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { base64, data, HI, LIMITS, pres, WIRES } from './tinode/client.mjs'
import { People, stand } from './tinode/people.mjs'
import { begin, poll, PollSocket, post } from './tinode/poll.mjs'
import { badKeys, KEY, parsed, request, SITES } from './tinode/stage.mjs'

const PATH = '/v0/channels/lp'
const isPlain = ({ headers }) => {
  assert.match(headers['content-type'], /^text\/plain/)
  assert.equal(headers['access-control-allow-origin'], '*')
  assert.match(headers['cache-control'], /no-cache/)
}
/** A session on a node, its sid, and ways to speak. */
async function session(node, person) {
  const { sid } = await begin(node)
  const says = async frame => {
    const { status, text } = await post(node, sid, frame)
    assert.deepEqual([status, text], [200, ''])
  }
  const hears = async () => {
    const answer = await poll(node, sid)
    assert.equal(answer.status, 200)
    isPlain(answer)
    return parsed(answer.text)
  }
  const asks = async frame => { await says(frame); return hears() }
  if (person) {
    assert.equal((await asks({ hi: { id: 'h', ...HI } })).ctrl.code, 200)
    assert.equal((await asks({ login: { id: 'l', scheme: 'token', secret: person.token } })).ctrl.code, 200)
  }
  return { sid, says, hears, asks }
}

function wire(scene) {
  scene('a session begins with a sid, by any method, and its key may be in the header', async (people, { server }) => {
    const node = server.nodeForCall()
    const begun = await begin(node)
    assert.equal(begun.status, 201)
    isPlain(begun)
    const { ts, ...ctrl } = begun.ctrl
    assert.match(ts, /Z$/)
    assert.deepEqual({ ...ctrl, text: 0, params: Object.keys(ctrl.params) }, { code: 201, text: 0, params: ['sid'] })
    const sids = new Set([begun.sid])
    for (const [method, options] of [['GET', {}], ['POST', {}], ['POST', { body: '' }], ['PUT', {}]]) {
      const { status, body } = await request(node, PATH, { method, query: { apikey: KEY }, key: '', ...options })
      assert.equal(status, 201, method)
      sids.add(body.ctrl.params.sid)
    }
    sids.add((await request(node, PATH, { key: KEY })).body.ctrl.params.sid)
    sids.add((await request(node, `${PATH}/`, { key: KEY })).body.ctrl.params.sid)
    assert.equal(sids.size, 7, 'each is another one')
  })

  scene('without a good key there is nothing', async (people, { server }) => {
    const node = server.nodeForCall()
    const { sid } = await begin(node)
    for (const [what, key] of Object.entries(badKeys())) for (const query of [{}, { sid }]) {
      const { status, body } = await request(node, PATH, { method: 'POST', key: '', query: { ...query, ...(key && { apikey: key }) } })
      assert.deepEqual([status, body.ctrl.code, body.ctrl.text], [403, 403, 'valid API key required'], what)
    }
  })

  scene('a session may begin with a form that has the key', async (people, { server }) => {
    const node = server.nodeForCall()
    const form = (fields, kind = 'application/x-www-form-urlencoded; charset=utf-8', query = {}) => {
      const headers = { 'content-type': kind }, body = new URLSearchParams(fields).toString()
      return request(node, PATH, { method: 'POST', key: '', query, headers, body })
    }
    const { status, body } = await form({ other: 'x', apikey: KEY })
    assert.deepEqual([status, body.ctrl.code], [201, 201])
    const { sid } = body.ctrl.params
    for (const [what, asked] of Object.entries({
      'a bad key': form({ apikey: 'x' }),
      'no key': form({ other: 'x' }),
      'a form that is too long': form({ other: 'x'.repeat(5000), apikey: KEY }),
      'no form': form({ apikey: KEY }, 'text/plain'),
      'a bad key before it': form({ apikey: KEY }, undefined, { apikey: 'x' }),
      'a session': form({ apikey: KEY }, undefined, { sid }),
    })) {
      const { status, body } = await asked
      assert.deepEqual([status, body.ctrl.text], [403, 'valid API key required'], what)
    }
  })

  scene('an unknown sid', async (people, { server }) => {
    for (const node of server.nodes) for (const sid of ['x', '.', 'x.y', `${(await begin(node)).sid}x`, '\u0000', 'é', 'x'.repeat(3000), 'bm9kZQ.aaaaaaaaaaaaaaaaaaaaaa']) {
      for (const body of [undefined, '{"hi":{"ver":"0.25"}}']) {
        const { status, body: answer } = await request(node, PATH, { method: 'POST', key: '', query: { apikey: KEY, sid }, body })
        assert.deepEqual([status, answer.ctrl.code, answer.ctrl.text], [403, 403, 'invalid or expired session'], sid.slice(0, 40))
      }
    }
  })

  scene('posts are answered empty, and all that is said comes by polls, one message each', async (people, { server }) => {
    const ann = await people.user('ann')
    const { says, hears, asks } = await session(server.nodeForClient())
    assert.equal((await asks('{"nonsense')).ctrl.code, 400)
    assert.deepEqual(await asks('1'), 0)
    assert.equal((await asks({ sub: { id: 's', topic: 'me' } })).ctrl.code, 409)
    const hello = (await asks({ hi: { id: 'h', ...HI } })).ctrl
    const { build, ...limits } = hello.params
    assert.deepEqual([hello.code, hello.text, limits], [200, 'ok', LIMITS])
    assert.equal((await asks({ login: { id: 'l', scheme: 'token', secret: ann.token } })).ctrl.params.user, ann.id)
    await says({ sub: { id: 's', topic: 'me', get: { what: 'desc tags' } } })
    await says({ get: { id: 'g', topic: 'me', what: 'desc' } })
    const heard = []
    for (let i = 0; i < 4; i++) heard.push(await hears())
    assert.deepEqual(heard.map(({ ctrl, meta }) => (ctrl ?? meta).id), ['s', 's', 's', 'g'])
    assert.ok(heard[1].meta.desc && heard[2].meta.tags)
  })

  scene('a poll is held until there is something', async (people, { server }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const { hears, asks } = await session(server.nodeForClient(), ann)
    await asks({ sub: { id: 's', topic: 'me' } })
    const b = await people.enters(ben)
    const held = hears()
    await b.subs(ann.id)
    assert.equal((await held).pres.what, 'acs')
    assert.equal((await hears()).pres.what, 'on')
  })

  scene('a page of more bytes than may wait otherwise, and what was asked for behind it', async (people, { server }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const b = await people.signs(ben)
    await b.subs(ann.id)
    for (let i = 0; i < 20; i++) await b.publishes(ann.id, 'x'.repeat(100_000))
    const { says, hears } = await session(server.nodeForClient(), ann)
    await says({ sub: { id: 's', topic: ben.id, get: { what: 'data del' } } })
    const heard = []
    while (heard.at(-1)?.ctrl?.params?.what !== 'del') heard.push(await hears())
    assert.deepEqual(heard.map(({ ctrl, data }) => ctrl?.code ?? data.seq), [200, ...Array.from({ length: 20 }, (_, i) => 20 - i), 208, 204])
  })

  scene('two polls of one session: each message comes once, and neither hangs', async (people, { server }) => {
    const node = server.nodeForClient()
    const { sid, asks, says } = await session(node, await people.user('ann'))
    const polls = [poll(node, sid), poll(node, sid)]
    await says({ leave: { id: 'x', topic: 'me' } })
    await says({ leave: { id: 'y', topic: 'me' } })
    const texts = (await Promise.all(polls)).map(({ text }) => text).filter(Boolean)
    while (texts.length < 2) texts.push((await poll(node, sid)).text)
    assert.deepEqual(texts.filter(Boolean).map(text => JSON.parse(text).ctrl.id).sort(), ['x', 'y'])
    assert.equal((await asks({ leave: { id: 'z', topic: 'me' } })).ctrl.id, 'z')
  })

  scene('a body that is too large, and a page that asks first', async (people, { server }) => {
    const node = server.nodeForClient()
    const { sid, asks } = await session(node, await people.user('ann'))
    const { status } = await post(node, sid, 'x'.repeat(200_000))
    assert.equal(status, 413)
    assert.equal((await asks({ leave: { id: 'x', topic: 'me' } })).ctrl.id, 'x')
    const page = { origin: 'https://chat.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-tinode-apikey' }
    const asked = await request(node, PATH, { method: 'OPTIONS', key: '', headers: page })
    assert.ok(asked.status < 300)
    assert.equal(asked.headers['access-control-allow-origin'], '*')
    assert.match(asked.headers['access-control-allow-headers'], /x-tinode-apikey/i)
  })

  scene('a slow one does not stop others; who polls not at all is closed when too much waits', async (people, { server }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const node = server.nodeForClient()
    const slow = await session(node, ann)
    await slow.asks({ sub: { id: 's', topic: ben.id } })
    const b = await people.signs(ben)
    await b.subs(ann.id)
    const content = 'x'.repeat(100_000)
    for (let i = 0; i < 30; i++) await b.publishes(ann.id, content)
    await b.answers()
    let status
    for (let i = 0; i < 60; i++) if ((status = (await poll(node, slow.sid)).status) !== 200) break
    assert.equal(status, 403, 'its session has ended')
    const again = await session(node, ann)
    assert.equal((await again.asks({ sub: { id: 's', topic: ben.id } })).ctrl.code, 200)
  })
}

function whole(scene, { clustered }) {
  const stories = {
    'two who talk': async people => {
      const [a, b] = await people.pair()
      await a.does('pub', { topic: b.id, content: { text: 'é日🎉\u2028' } }, 202, { seq: 1 })
      await a.sees(data(b.id, a.id, 1, { text: 'é日🎉\u2028' }))
      await b.sees(data(a.id, a.id, 1, { text: 'é日🎉\u2028' }))
      for (let i = 2; i <= 40; i++) b.send({ pub: { id: `p${i}`, topic: a.id, content: i, noecho: true } })
      for (let i = 2; i <= 40; i++) await a.sees(data(b.id, b.id, i, i))
      assert.equal((await a.gets(b.id, 'data')).data.length, 40)
      await a.leaves(b.id)
      await b.publishes(a.id, 'last')
      await a.sees(pres('me', b.id, 'msg', { seq: 41, act: b.id }))
    },
    'a group of sessions by both wires': async people => {
      const a = await people.enters(await people.user('ann'))
      const b = await people.enters(await people.user('ben'), { wire: WIRES.websocket })
      const grp = await people.gather(a, [b])
      await a.publishes(grp, 'x')
      await b.sees(data(grp, a.id, 1, 'x'))
      await people.barrier(b, grp, a)
    },
    'registration, and the way back by a token': async people => {
      const { login, password, fields } = people.new('ann')
      const client = await people.greets('ann')
      const { params } = await client.does('acc', { ...fields, login: true })
      await client.subs('me')
      client.cut()
      for (const secret of [params.token, `${login}:${password}`]) await (await people.greets('ann')).logsIn(secret)
      const bad = await people.greets('ann')
      await bad.does('login', { scheme: 'basic', secret: base64(`${login}:wrong one`) }, 401)
    },
  }
  for (const [title, play] of Object.entries(stories)) scene(title, play, WIRES.polling)
  if (!clustered) return
  for (const [title, play] of Object.entries(stories)) {
    scene(`${title}, each request at another node`, async (people, { server }) => {
      const anywhere = new People(server, (_, options) => new PollSocket(server.nodes, options))
      anywhere.clients = people.clients
      await play(anywhere)
    })
  }
}

for (const site of SITES) describe(site.name, () => {
  describe('the wire', () => wire(stand(site, { title: 'polling: the wire' }).scene))
  describe('stories', () => whole(stand(site, { title: 'polling: stories' }).scene, site))
})
