// The HTTP routes of business servers and administrators, in both spellings of the status codes, and what clients see of them.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { call, eventually } from './http.mjs'
import { inserts, sendAll, sync } from './messages.mjs'
import { SUCCESS, WRONG, scenes } from './party.mjs'
import { SITES } from './sites.mjs'
import { wire } from './wires.mjs'

const CODES = {
  documented: {
    success: 0, 'user exists': 1, 'operation failed': 2, 'server error': 3, 'param error': 4, 'user not exists': 5, 'require permission': 6, 'room not exists': 7,
  },
  deployed: {
    success: 0, 'require permission': 1, 'user exists, please use refresh token api': 2, 'operation failed': 3, 'server errors': 4, 'param error': 5, 'user not exists': 6, 'room not exists': 7,
  },
}
const ROUTES = [
  ['GET', '/admin/monitor/stat'], ['GET', '/admin/monitor/room_users'], ['GET', '/admin/monitor/room_msgs'], ['POST', '/admin/system/push'],
  ['POST', '/admin/system/config'], ['POST', '/admin/system/clear_room_msgs'], ['POST', '/admin/system/clear_room_msg'],
]

for (const site of SITES) describe(site.name, () => {
  for (const [compat, codes] of Object.entries(CODES)) describe(compat, () => {
    const stage = { wire: wire(4, 'websocket only') }
    const scene = scenes(stage)
    before(async () => { stage.server = await site.start({ title: `admin, ${compat}`, env: { AO_COMPAT: compat } }) })
    after(() => stage.server?.stop())

    const says = (msg, body) => assert.deepEqual(body?.meta, { status: codes[msg], msg })
    const admin = async (...request) => {
      const body = await stage.server.ask(...request)
      says('success', body)
      return body.data
    }
    const user = (...request) => stage.server.user(...request)
    const fresh = name => `${name}-${Math.random().toString(36).slice(2)}`
    const exists = compat === 'deployed' ? 'user exists, please use refresh token api' : 'user exists'

    if (!site.clustered) it('prints an administrator at the first start', () => {
      assert.ok(stage.server.admin.uid && stage.server.admin.token, 'lines `admin uid: …` and `admin token: …` on stdout')
    })

    it('creates and refreshes tokens, from JSON and from forms', async () => {
      const uid = fresh('é日')
      const created = await user('create_token', { json: { uid } })
      says('success', created)
      assert.equal(created.data.uid, uid)
      assert.match(created.data.token, /^[A-Za-z0-9]{24}$/)
      says(exists, await user('create_token', { json: { uid } }))
      const refreshed = await user('refresh_token', { form: { uid } })
      says('success', refreshed)
      assert.notEqual(refreshed.data.token, created.data.token)
      says('user not exists', await user('refresh_token', { json: { uid: fresh('nobody') } }))
      says('success', await user('create_token', { form: { uid: fresh('form') } }))
      for (const json of [{}, { uid: '' }, { uid: 0 }, { uid: { $ne: 1 } }, { uid: ['x'] }, { uid: true }]) {
        for (const route of ['create_token', 'refresh_token']) says('param error', await user(route, { json }))
      }
    })

    it('refuses wrong credentials, and missing ones where they are needed', async () => {
      const { uid } = stage.server.admin
      for (const route of ['create_token', 'refresh_token']) {
        says('require permission', await user(route, { json: { uid: fresh('x') } }, { uid, token: 'wrong' }))
      }
      says('require permission', await user('refresh_token', { json: { uid: fresh('x') } }, {}))
      says(stage.server.open ? 'success' : 'require permission', await user('create_token', { json: { uid: fresh('x') } }, {}))
    })

    it('needs an administrator on each /admin route', async () => {
      const person = fresh('person')
      const token = await stage.server.token(person)
      const wrong = [{}, { uid: stage.server.admin.uid }, { uid: stage.server.admin.uid, token: 'wrong' }, { uid: person, token }]
      for (const [method, path] of ROUTES) {
        for (const query of wrong) {
          const { code, body } = await call(method, stage.server.nodeForCall().url + path, { query: { roomId: 'r', ...query } })
          assert.equal(code, 200, path)
          says('require permission', body)
        }
      }
    })

    it('names the API\'s port where /user is asked for at the websocket port', async () => {
      const node = stage.server.nodeForCall()
      const { code, text } = await call('POST', `${node.url}/user/create_token`, { json: { uid: 'x' } })
      assert.equal(code, 404)
      assert.ok(text.includes(new URL(node.api).port), text)
    })

    scene('a refreshed token replaces the old one at once', async party => {
      const a = await party.guest('a')
      const { data } = await user('refresh_token', { json: { uid: a.uid } })
      a.tell('authenticate', { uid: a.uid, token: a.token })
      await a.isRefused(WRONG)
      await party.user('a2', { uid: a.uid, token: data.token })
    })

    scene('stat counts sockets, users and rooms, and tells no secret', async party => {
      const [room, before] = [party.fresh('room'), await admin('GET', '/admin/monitor/stat')]
      const [a, b] = await party.gather(room, 'a', 'b')
      const now = await admin('GET', '/admin/monitor/stat')
      for (const count of ['online_user_count', 'online_room_count', 'online_socket_count']) assert.equal(typeof now[count], 'number', count)
      const ids = [a, b].map(client => now.online_users.find(({ uid }) => uid === client.uid)?.socketId)
      assert.ok(ids.every(Boolean) && ids[0] !== ids[1], `a socketId each: ${ids}`)
      for (const client of [a, b]) assert.ok(!ids.includes(client.socket.io.engine.id), 'the engine\'s sid is a secret')
      assert.ok(now.online_rooms.some(id => id === room || id?.roomId === room), 'the room is listed')
      assert.ok(now.online_room_count >= 1 && now.online_user_count >= 2)
      // What another node has is known as of its last sign of life.
      const counted = stat => stat.online_socket_count >= 2
      if (site.clustered) await eventually('both sockets are counted', () => admin('GET', '/admin/monitor/stat'), counted)
      else assert.ok(counted(now), `${now.online_socket_count} sockets`)
      assert.equal(before.force_user_auth, true)
      assert.equal(typeof now.config, 'object')
      for (const part of ['rss', 'heapTotal', 'heapUsed', 'external']) assert.equal(typeof now.memory[part], 'number', part)
      assert.equal('env' in now, false, 'env only where NODE_ENV is set')
      assert.ok(!JSON.stringify(now).includes(stage.server.admin.token))
    })

    scene('room_users lists who is in a room: dummies and the held too', async party => {
      const room = party.fresh('room')
      const users = async () => (await admin('GET', '/admin/monitor/room_users', { query: { roomId: room } })).users
      assert.deepEqual(await users(), [])
      const [a, b] = await party.gather(room, 'a', 'b')
      const d = await party.user('d')
      await party.enter(d, room, { dummy: true, present: [a, b] })
      const all = [a, b, d].map(({ uid }) => ({ uid }))
      const sorted = list => [...list].sort((x, y) => (x.uid < y.uid ? -1 : 1))
      assert.deepEqual(sorted(await users()), sorted(all))
      await party.again(b)
      await b.isRefused(['kickout', 0])
      assert.deepEqual(sorted(await users()), sorted(all))
      says('param error', await stage.server.ask('GET', '/admin/monitor/room_users'))
    })

    scene('room_msgs shows the log, page by page', async party => {
      const room = party.fresh('room')
      const [a] = await party.gather(room, 'a')
      const log = await sendAll(a, inserts(0, 205))
      const page = async offset => {
        const { msgs, ...rest } = await admin('GET', '/admin/monitor/room_msgs', { query: { roomId: room, ...offset } })
        return compat === 'deployed' ? { entries: msgs.data, offset: msgs.offset, next: msgs.next } : { entries: msgs, ...rest }
      }
      const [first, second] = [await page({}), await page({ offset: 200 })]
      assert.deepEqual([first.offset, first.next, second.offset, second.next], [200, 1, 205, 0])
      const entries = [...first.entries, ...second.entries]
      assert.deepEqual(entries.map(entry => entry.data), log)
      for (const entry of entries) {
        assert.ok(Number.isInteger(entry.ts) && Math.abs(entry.ts - Date.now() / 1000) < 120, `ts in unix seconds: ${entry.ts}`)
        if (compat === 'documented') assert.equal(entry.uid, a.uid)
      }
      says('param error', await stage.server.ask('GET', '/admin/monitor/room_msgs'))
    })

    scene('push sends system to everybody in a room, dummies too', async party => {
      const [room, other] = [party.fresh('room'), party.fresh('room')]
      const [a, b] = await party.gather(room, 'a', 'b')
      const d = await party.user('d')
      await party.enter(d, room, { dummy: true, present: [a, b] })
      const [c] = await party.gather(other, 'c')
      const push = (json, query = {}) => stage.server.ask('POST', '/admin/system/push', { json, query })
      for (const content of ['text', { nested: ['é日🎉', 1.5, null] }, [1, 2]]) {
        says('success', await push({ roomId: room, content }))
        for (const member of [a, b, d]) await member.sees(['system', content])
      }
      says('success', await push({ content: 'by query' }, { roomId: room }))
      says('success', await push({ roomId: room, content: 'by body' }, { roomId: other }))
      says('success', await stage.server.ask('POST', '/admin/system/push', { form: { roomId: room, content: 'by form' } }))
      for (const member of [a, b, d]) await member.sees(['system', 'by query'], ['system', 'by body'], ['system', 'by form'])
      says('success', await push({ roomId: other, content: 'to c' }))
      await c.sees(['system', 'to c'])
      says('room not exists', await push({ roomId: party.fresh('nowhere'), content: 'x' }))
      says('param error', await push({ content: 'x' }))
    })

    scene('user authentication can be switched off and on', async party => {
      const config = (json, how = 'json') => stage.server.ask('POST', '/admin/system/config', { [how]: json })
      const forcedAt = async node => (await node.ask('GET', '/admin/monitor/stat')).data.force_user_auth
      const forced = () => forcedAt(stage.server)
      // Another node hears of it a moment later.
      const becomes = async on => {
        if (site.clustered) for (const node of stage.server.nodes) await eventually(`forceUserAuth is ${on}`, () => forcedAt(node), is => is === on)
        else assert.equal(await forced(), on)
      }
      says('success', await config({}))
      assert.equal(await forced(), true)
      for (const wrong of ['maybe', 1, 'TRUE?']) says('param error', await config({ forceUserAuth: wrong }))
      assert.equal(await forced(), true)
      for (const [off, on, how] of [[false, true, 'json'], ['false', 'true', 'form']]) {
        says('success', await config({ forceUserAuth: off }, how))
        await becomes(false)
        const anybody = await party.guest('anybody', { token: 'any' })
        anybody.tell('authenticate', { uid: anybody.uid, token: 'any' })
        await anybody.sees(SUCCESS)
        says('success', await config({ forceUserAuth: on }, how))
        await becomes(true)
        const nobody = await party.guest('nobody', { token: 'any' })
        nobody.tell('authenticate', { uid: nobody.uid, token: 'any' })
        await nobody.isRefused(WRONG)
      }
    })

    scene('clear_room_msgs and clear_room_msg empty a room\'s log', async party => {
      const [room, other] = [party.fresh('room'), party.fresh('room')]
      const [a] = await party.gather(room, 'a')
      const [b] = await party.gather(other, 'b')
      const kept = await sendAll(b, inserts(0, 1))
      for (const [route, request] of [
        ['clear_room_msgs', { json: { roomId: room } }],
        ['clear_room_msg', { form: { roomId: room } }],
        ['clear_room_msgs', { json: { roomId: other }, query: { roomId: room } }], // the query wins
      ]) {
        await sendAll(a, [...inserts(0, 3), { s: 1, 1: 'u' }])
        assert.equal((await sync(a, {})).data.length, 4)
        await admin('POST', `/admin/system/${route}`, request)
        // Another node than the one that was asked hears of it a moment later.
        const page = await eventually('an empty log', () => sync(a, {}), ({ data }) => data.length === 0 || !site.clustered)
        assert.deepEqual(page, { data: [], offset: 0, next: 0 })
      }
      const [again] = await sendAll(a, [{ s: 0, 1: 'after' }])
      assert.deepEqual(await sync(a, {}), { data: [again], offset: 1, next: 0 })
      assert.deepEqual((await sync(b, {})).data, kept)
      says('param error', await stage.server.ask('POST', '/admin/system/clear_room_msgs', { json: {} }))
    })
  })
})
