// How clients come to chat-service and go: frames, credentials, refusals, settings; and all generations of clients with all carriers in one room.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Business, hang } from './chat-service/business.mjs'
import { event } from './chat-service/client.mjs'
import { COMMANDS, no, noRaw, ok, text } from './chat-service/contract.mjs'
import { Frames } from './chat-service/frames.mjs'
import { Party, stand } from './chat-service/party.mjs'
import { ALL_ON, ON_REDIS, SITES, settings } from './chat-service/stage.mjs'
import { startServer } from './server.mjs'
import { WIRES, wire } from './wires.mjs'

const NS = '/chat-service'
const BYTES = Buffer.from([0, 1, 127, 128, 255])
const NEW_WIRES = [wire(3, 'websocket only'), wire(4, 'polling only'), wire(4, 'websocket only')]
const OLD_WIRES = [wire(1, 'websocket only'), wire(2, 'polling only'), wire(2, 'websocket only')]

for (const site of SITES.filter(({ clustered }) => !clustered)) {
  describe('frames', () => {
    const values = { ...ALL_ON, ENABLE_USERLIST_UPDATES: false }
    const { scene } = stand(site, { title: 'frames', values, hooks: ['onConnect', 'roomMessagesChecker', 'middleware'] })
    const open = []
    after(() => { for (const frames of open) frames.close() })
    const frames = async (...args) => {
      open.push(await Frames.open(...args))
      return open.at(-1)
    }

    scene('version 2: its query is in CONNECT, and wins', async ({ server }) => {
      const a = await frames(server, 3, { user: 'other' })
      await a.enter(`40${NS}?user=u1,`, 'u1')
      a.send(`42${NS},3["roomJoin","nowhere"]`)
      await a.sees(`43${NS},3${JSON.stringify(no('noRoom', 'nowhere'))}`)
      a.send(`42${NS},4["roomCreate","frames",false]`)
      await a.sees(`43${NS},4[null,null]`)
      a.send(`42${NS},5["roomJoin","frames"]`)
      await a.sees(`43${NS},5[null,1]`)
      a.send(`42${NS},["systemMessage",1]`, `42${NS},6["roomLeave","frames"]`)
      await a.sees(`43${NS},6[null,0]`)
    })

    scene('version 1: its query is in the URL', async ({ server }) => {
      const a = await frames(server, 3, { user: 'u1 ü' })
      await a.enter(`40${NS},`, 'u1 ü')
      const b = await frames(server, 3, { user: 'u2' })
      await b.enter(`40${NS}`, 'u2')
    })

    scene('versions 3 and 4: the id is the sid of CONNECT', async ({ server }) => {
      const a = await frames(server, 4, { user: 'u1' })
      const id = await a.enter(`40${NS},`, 'u1')
      assert.notEqual(id, a.sid)
      const b = await frames(server, 4, { user: 'u2' })
      await b.enter(`40${NS},{"anything":[1]}`, 'u2')
    })

    scene('a login that is refused: loginRejected, and a DISCONNECT', async ({ server }) => {
      for (const [eio, connect] of [[3, `40${NS}?user=a:b,`], [4, `40${NS},`]]) {
        const a = await frames(server, eio, { user: 'a:b' })
        a.send(connect)
        assert.match(await a.next(), /^40\/chat-service,/)
        await a.sees(`42${NS},${JSON.stringify(['loginRejected', text('invalidName', 'a:b')])}`, `41${NS},`)
      }
    })

    scene('a namespace that is not there', async ({ server }) => {
      const a = await frames(server, 3)
      a.send('40/nope?user=u1,', '40/nope')
      await a.sees('44/nope,"Invalid namespace"', '44/nope,"Invalid namespace"')
      const b = await frames(server, 4)
      b.send('40/nope,')
      await b.sees('44/nope,{"message":"Invalid namespace"}')
    })

    scene('refused by the middleware', async ({ server, business }) => {
      business.on('middleware', { error: 'some error' })
      for (const [eio, error] of [[3, '"some error"'], [4, '{"message":"some error"}']]) {
        const a = await frames(server, eio, { user: 'u1' })
        a.send(`40${NS},`)
        await a.sees(`44${NS},${error}`)
      }
      assert.deepEqual(business.asked('onConnect'), [])
    })

    scene('bytes', async ({ server, business }) => {
      business.on('roomMessagesChecker', {})
      for (const eio of [3, 4]) {
        const user = `u${eio}`, room = `bytes ${eio}`
        const a = await frames(server, eio, { user })
        await a.enter(`40${NS},`, user)
        a.send(`42${NS},1${JSON.stringify(['roomCreate', room, false])}`, `42${NS},2${JSON.stringify(['roomJoin', room])}`)
        await a.sees(`43${NS},1[null,null]`, `43${NS},2[null,1]`)
        a.send(`451-${NS},7${JSON.stringify(['roomMessage', room, { data: { _placeholder: true, num: 0 } }])}`, BYTES)
        const [head, bytes] = [await a.next(), await a.next()]
        assert.ok(head.startsWith(`451-${NS},["roomMessage"`), head)
        const [, , message] = JSON.parse(head.slice(`451-${NS},`.length))
        assert.deepEqual({ ...message, timestamp: 0 }, { data: { _placeholder: true, num: 0 }, author: user, timestamp: 0, id: 1 })
        assert.deepEqual(bytes, BYTES)
        await a.sees(`43${NS},7[null,1]`)
        a.send(`42${NS},8${JSON.stringify(['roomRecentHistory', room])}`)
        const [answer, again] = [await a.next(), await a.next()]
        assert.ok(answer.startsWith(`461-${NS},8[null,[{`), answer)
        assert.deepEqual(again, BYTES)
      }
    })

    scene('what is sent before the login is settled is ignored', async ({ server, business }) => {
      let settle
      const settled = new Promise(resolve => { settle = resolve })
      business.on('onConnect', async () => { await settled; return { userName: 'u1' } })
      const a = await frames(server, 3)
      a.send(`40${NS},`)
      await business.called('onConnect')
      a.send(`42${NS},1["listOwnSockets"]`, `42${NS},2["systemMessage",1]`, `42${NS},3["nothing"]`)
      // The engine answers in order: when this has come, what was sent before has been read.
      await a.pong()
      settle()
      await a.sees(`40${NS},`, `42${NS},["loginConfirmed","u1",{"id":"${NS}#${a.sid}"}]`)
      a.send(`42${NS},4["systemMessage",1]`)
      await a.sees(`43${NS},4[null,null]`)
    })

    scene('who comes and goes all the time is asked about once at a time', async ({ server, business }) => {
      let now = 0, most = 0
      let answer
      const gate = new Promise(resolve => { answer = resolve })
      business.on('onConnect', async ({ handshake }) => {
        most = Math.max(most, ++now)
        await gate
        now--
        return { userName: handshake.query.user }
      })
      const a = await frames(server, 3)
      a.send(`40${NS}?user=u1,`)
      await business.called('onConnect')
      for (let i = 0; i < 20; i++) a.send(`41${NS},`, `40${NS}?user=u2,`)
      await a.pong()
      answer()
      let frame
      do frame = await a.next()
      while (!frame.includes('loginConfirmed'))
      assert.match(frame, /"u2"/)
      assert.equal(most, 1)
    })

    scene('a DISCONNECT of the namespace leaves the connection, and one may come again', async ({ server }) => {
      const a = await frames(server, 3)
      await a.enter(`40${NS}?user=u1,`, 'u1')
      a.send(`41${NS},`, `42${NS},1["listOwnSockets"]`)
      await a.enter(`40${NS}?user=u2,`, 'u2')
      a.send(`42${NS},2["directGetWhitelistMode"]`)
      await a.sees(`43${NS},2[null,false]`)
    })
  })

  describe('settings', () => {
    let business
    before(async () => { business = await Business.open() })
    after(() => business.close())
    const secretOf = length => `whsec_${Buffer.alloc(length, 1).toString('base64')}`
    const secret = secretOf(24)
    const url = 'http://127.0.0.1:9/hooks'

    for (const [what, values] of Object.entries({
      'an unknown hook': { HOOKS: 'onConnect,onNothing', HOOK_URL: url, HOOK_SECRET: secret },
      'hooks of commands that there are not': { HOOKS: 'roomShoutBefore', HOOK_URL: url, HOOK_SECRET: secret },
      'hooks without a URL': { HOOKS: 'onConnect', HOOK_SECRET: secret },
      'hooks without a secret': { HOOKS: 'onConnect', HOOK_URL: url },
      'a secret that is too short': { HOOKS: 'onConnect', HOOK_URL: url, HOOK_SECRET: secretOf(23) },
      'a secret without its prefix': { HOOKS: 'onConnect', HOOK_URL: url, HOOK_SECRET: secretOf(24).replace('whsec_', '') },
      'no room for a name in lists of users': { DIRECT_LIST_SIZE_LIMIT: 0 },
      'no room for a name in lists of rooms': { ROOM_LIST_SIZE_LIMIT: 0 },
      'a history below nothing': { HISTORY_MAX_SIZE: -1 },
      'something that there is not': { ENABLE_EVERYTHING: true },
    })) {
      it(`refused: ${what}`, async () => {
        const start = startServer({ title: what, env: settings(values) }).then(server => server.stop())
        await assert.rejects(start, /exit code 2/)
      })
    }

    it('taken: every hook', async () => {
      const all = [
        'middleware', 'onConnect', 'onJoin', 'onLeave', 'onDisconnect', 'roomMessagesChecker', 'directMessagesChecker', 'onStart', 'onClose', 'clusterBus',
        'storeConsistencyFailure', 'transportConsistencyFailure', 'lockTimeExceeded', ...Object.keys(COMMANDS).flatMap(name => [`${name}Before`, `${name}After`]),
      ]
      const server = await startServer({ title: 'all hooks', env: settings(business.settings(all)) })
      await server.stop()
      for (const hook of ['onStart', 'onClose']) assert.equal(business.asked(hook).length, 1, hook)
    })
  })

  describe('off by default', () => {
    const { scene } = stand(site, { title: 'off', values: { ENABLED: false }, hooks: [] })
    scene('there is no such namespace', async ({ server }) => {
      const a = await Frames.open(server, 3)
      a.send(`40${NS}?user=u1,`)
      await a.sees(`44${NS},"Invalid namespace"`)
      a.close()
    })
  })

  describe('another namespace', () => {
    const { scene } = stand(site, { title: 'another namespace', values: { NAMESPACE: '/talk' } })
    scene('is where it is, and nowhere else', async ({ server }) => {
      const a = await Frames.open(server, 3)
      await a.enter('40/talk?user=u1,', 'u1', '/talk')
      a.send(`40${NS}?user=u1,`)
      await a.sees(`44${NS},"Invalid namespace"`)
      a.close()
    })
  })

  describe('limits of a connection', () => {
    it('in how many rooms it is, and how often it comes into new ones, or makes some', async t => {
      const more = { AO_LIMITS__ROOMS_PER_CONNECTION: '2', AO_LIMITS__NEW_ROOMS: '4 in 1h' }
      const { party } = await open(site, WIRES.at(-1), t, { title: 'limits', hooks: ['onConnect'], values: { ...ALL_ON, ENABLE_USERLIST_UPDATES: false }, more })
      const a = await party.user('ann')
      const [one, two, three] = [await party.room(), await party.room(), await party.room()]
      await a.calls('roomJoin', [one], ok(1))
      await a.calls('roomJoin', [two], ok(1))
      await a.calls('roomJoin', [three], no('notAllowed'))
      await a.calls('roomJoin', [two], ok(1))
      await a.calls('roomLeave', [one], ok(0))
      await a.calls('roomJoin', [three], ok(1))
      await a.calls('roomCreate', ['made', false], ok())
      await a.calls('roomCreate', ['more', false], no('notAllowed'))
      const b = await party.user('bob')
      await b.calls('roomCreate', ['more', false], ok())
    })
  })

  describe('an orderly end', () => {
    for (const way of WIRES) it(`closes the transport, so that clients come back: ${way.name}`, async t => {
      const { business, server, party } = await open(site, way, t, { title: 'an orderly end', hooks: ['onConnect', 'onLeave', 'onDisconnect', 'onClose'] })
      const a = await party.user('ann')
      const room = await party.room()
      await party.enter(room, a)
      await server.end()
      await a.until('its end', () => !a.connected)
      assert.match(a.log.at(-1).disconnect, way.lost)
      assert.equal(business.calls.at(-1).hook, 'onClose', 'it is told when all clients are gone')
      assert.equal(business.calls.at(-1).body.error, null)
      for (const hook of ['onLeave', 'onDisconnect']) assert.equal(business.asked(hook).length, 1, hook)
    })

    it('onClose is told that clients were not gone in time', async t => {
      const hooks = ['onConnect', 'onLeave', 'onClose']
      const { business, server, party } = await open(site, WIRES.at(-1), t, {
        title: 'a late end', hooks, values: { ...ALL_ON, HOOK_TIMEOUT: '2s' }, more: { AO_SHUTDOWN__DEADLINE: '1s' },
      })
      const a = await party.user('ann')
      for (let i = 0; i < 6; i++) await party.enter(await party.room(), a)
      business.on('onLeave', hang)
      await server.end()
      const [{ body }] = business.asked('onClose')
      assert.match(body.error, /not gone in time/)
    })
  })
}

/** A site, a business server and people of one test's own, which end with it. */
async function open(site, way, t, { title, hooks, values = {}, more = {} }) {
  const business = await Business.open()
  let server, party
  t.after(async () => {
    party?.close()
    try {
      await server?.stop()
    } finally {
      business.close()
    }
  })
  server = await site.start({ title, env: { ...settings({ ...values, ...business.settings(hooks) }), ...more } })
  party = new Party(server, business, way)
  return { business, server, party }
}

/** What lasts when all nodes end and start again. */
async function restarts(site, way, t) {
  const { server, party } = await open(site, way, t, { title: 'a restart', hooks: ['onConnect'], values: ALL_ON })
  const a = await party.user('ann', { more: { reconnection: true } }), first = a.id
  const room = await party.room({ owner: a.user, whitelist: ['x'], blacklist: ['y'], adminlist: ['z'], historyMaxSize: 7 })
  await party.enter(room, a)
  await a.calls('roomMessage', [room, { textMessage: 'x' }], ok(1), event('roomMessage', room, { textMessage: 'x', author: a.user, timestamp: '{ts}', id: 1 }))
  await a.calls('directAddToList', ['blacklist', ['w']], ok())
  await Promise.all(server.nodes.map(node => node.end()))
  await Promise.all(server.nodes.map(node => node.start()))
  await a.until('to be back', () => a.log.filter(entry => entry.event === 'loginConfirmed').length > 1, 60_000)
  assert.notEqual(a.id, first)
  assert.deepEqual(a.log.at(-1), event('loginConfirmed', a.user, { id: a.id }))
  a.cursor = a.log.length
  await a.calls('listOwnSockets', [], ok({ [a.id]: [] }))
  for (const [list, names] of Object.entries({ whitelist: ['x'], blacklist: ['y'], adminlist: ['z'], userlist: [] })) {
    await a.calls('roomGetAccessList', [room, list], ok(names))
  }
  await a.calls('directGetAccessList', ['blacklist'], ok(['w']))
  await a.calls('roomHistoryInfo', [room], ok({ historySize: 1, historyMaxSize: 7, historyMaxGetMessages: 100, lastMessageId: 1 }))
  await a.calls('roomUserSeen', [room, a.user], ok({ joined: false, timestamp: '{ts}' }))
  await a.calls('roomJoin', [room], ok(1), event('roomUserJoined', room, a.user))
  await a.calls('roomMessage', [room, { textMessage: 'y' }], ok(2), event('roomMessage', room, { textMessage: 'y', author: a.user, timestamp: '{ts}', id: 2 }))
}

for (const site of [...SITES, ...ON_REDIS]) describe(site.name, () => {
  describe('everybody in one room', () => {
    const { scene } = stand(site, { title: 'all clients', values: ALL_ON, hooks: ['onConnect', 'roomMessagesChecker', 'directMessagesChecker'] })

    scene('each generation by each carrier hears all others, texts and bytes', async (party, { business }) => {
      business.on('roomMessagesChecker', {})
      business.on('directMessagesChecker', {})
      const room = await party.room()
      const all = []
      for (const way of WIRES) all.push(await party.user(way.name, { wire: way, user: `${way.generation} ${way.way} ${party.fresh('')}` }))
      await party.enter(room, ...all)
      let id = 0
      for (const sender of all) {
        for (const content of [{ textMessage: 'x' }, { bytes: BYTES, list: [1, { more: Buffer.from('é') }], nothing: null }]) {
          const seen = 'bytes' in content ? { bytes: { '{bin}': BYTES.toString('hex') }, list: [1, { more: { '{bin}': 'c3a9' } }], nothing: null } : content
          const message = { ...seen, author: sender.user, timestamp: '{ts}', id: ++id }
          await sender.calls('roomMessage', [room, content], ok(id), event('roomMessage', room, message))
          for (const other of all) if (other !== sender) await other.sees(event('roomMessage', room, message))
        }
        const to = all[(all.indexOf(sender) + 1) % all.length]
        const written = { bytes: { '{bin}': '61' }, timestamp: '{ts}', author: sender.user }
        await sender.calls('directMessage', [to.user, { bytes: Buffer.from('a') }], ok(written))
        await to.sees(event('directMessage', written))
      }
      // What looks like bytes is none, and what the history has is what was said.
      const [a] = all
      const alike = { data: { type: 'Buffer', data: [97] }, author: a.user, timestamp: '{ts}', id: ++id }
      await a.calls('roomMessage', [room, { data: { type: 'Buffer', data: [97] } }], ok(id), event('roomMessage', room, alike))
      const before = { bytes: { '{bin}': BYTES.toString('hex') }, list: [1, { more: { '{bin}': 'c3a9' } }], nothing: null }
      const last = all.at(-1)
      for (const other of all) {
        if (other !== a) await other.sees(event('roomMessage', room, alike))
        await other.calls('roomHistoryGet', [room, id - 2, 2], ok([alike, { ...before, author: last.user, timestamp: '{ts}', id: id - 1 }]))
      }
      await party.quiet()
    })
  })

  describe('a restart', () => {
    for (const way of [wire(2, 'websocket only'), wire(4, 'polling with upgrade')]) {
      it(`rooms, lists and histories last, presence does not: ${way.name}`, t => restarts(site, way, t))
    }
  })

  describe('without onConnect', () => {
    const { stage, scene } = stand(site, { title: 'tokens', hooks: [] })
    const credentials = async (party, name) => {
      const user = party.fresh(name), node = stage.server.nodeForClient()
      return { node, user, token: await node.token(user) }
    }

    scene('users sign in by the tokens of this server, any number of times', async party => {
      const { node, user, token } = await credentials(party, 'ann')
      const all = []
      for (const way of WIRES) {
        const client = await party.user(way.name, { wire: way, node, query: { user, token } })
        for (const other of all) await other.sees(event('socketConnectEcho', client.id, all.length + 1))
        all.push(client)
      }
      await party.quiet()
    })

    scene('or by auth, which wins', async party => {
      const { node, user, token } = await credentials(party, 'ann')
      for (const way of NEW_WIRES) {
        const a = party.opens('auth', { wire: way, node, query: { user: 'other', token: 'wrong' }, auth: { user, token } })
        await a.until('its login', () => a.log.length > 0)
        assert.deepEqual(a.log[0], event('loginConfirmed', user, { id: a.id }))
        a.close()
        await party.isRejected(text('notAllowed'), { wire: way, node, query: { user, token }, auth: { user, token: 'wrong' } })
      }
    })

    scene('a wrong token, and one that is missing', async party => {
      const { node, user, token } = await credentials(party, 'ann')
      const other = await credentials(party, 'bob')
      for (const wire of [...OLD_WIRES, ...NEW_WIRES]) {
        for (const query of [{ user }, { token }, {}]) await party.isRejected(text('noLogin'), { wire, node, query })
        await party.isRejected(text('notAllowed'), { wire, node, query: { user, token: `${token}x` } })
        await party.isRejected(text('notAllowed'), { wire, node, query: { user: other.user, token } })
      }
    })
  })

  describe('told as objects', () => {
    const { scene } = stand(site, { title: 'raw errors', values: { USE_RAW_ERROR_OBJECTS: true } })
    scene('who may not sign in', async (party, { business }) => {
      for (const [answer, error] of [
        [{}, noRaw('noLogin')[0]],
        [{ error: { code: 'notAllowed' } }, noRaw('notAllowed')[0]],
        [{ error: { code: 'too late', args: [1, { a: 2 }] } }, noRaw('too late', 1, { a: 2 })[0]],
        [{ error: 'Error: go away' }, noRaw('internalError', 'Error: go away')[0]],
        [{ userName: 'a:b' }, noRaw('invalidName', 'a:b')[0]],
      ]) {
        business.on('onConnect', answer)
        await party.isRejected(error)
      }
    })
  })
})
