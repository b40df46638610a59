// The server API of chat-service: POST /v1/chat-service/METHOD. Its envelope, each field of a wrong type, commands for a user or for nobody, and what its methods do
// on one node and on several.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { COMMANDS, GOOD, ROOM_READS, WRONG, no, ok } from './chat-service/contract.mjs'
import { event, gone } from './chat-service/client.mjs'
import { stand } from './chat-service/party.mjs'
import { ALL_ON, ON_REDIS, SITES, api } from './chat-service/stage.mjs'
import { eventually } from './http.mjs'

/** Each method with its fields, in the order of the contract; `?` behind a type: it may be missing. */
const METHODS = {
  execUserCommand: { command: 'text', args: 'list', userName: 'text?', id: 'text?', bypassPermissions: 'bool?', bypassHooks: 'bool?' },
  addUser: { userName: 'text', state: 'object?' },
  deleteUser: { userName: 'text' },
  hasUser: { userName: 'text' },
  userHasInList: { userName: 'text', listName: 'text', item: 'text' },
  hasDirectAccess: { recipient: 'text', sender: 'text' },
  disconnectUserSockets: { userName: 'text' },
  addRoom: { roomName: 'text', state: 'object?' },
  deleteRoom: { roomName: 'text' },
  hasRoom: { roomName: 'text' },
  roomHasInList: { roomName: 'text', listName: 'text', item: 'text' },
  hasRoomAccess: { roomName: 'text', userName: 'text' },
  changeRoomOwner: { roomName: 'text', owner: 'name' },
  changeRoomHistoryMaxSize: { roomName: 'text', size: 'size' },
  changeAccessListsUpdates: { roomName: 'text', mode: 'bool' },
  changeUserlistUpdates: { roomName: 'text', mode: 'bool' },
  checkArguments: { command: 'text', args: 'list' },
  getHandshakeData: { id: 'text' },
  emitToChannel: { channel: 'text', eventName: 'text', args: 'list' },
  sendToChannel: { id: 'text', channel: 'text', eventName: 'text', args: 'list' },
  clusterBusEmit: { event: 'text', args: 'list' },
  getInstanceHeartbeat: { id: 'text?' },
  getInstanceSockets: { id: 'text?' },
  userStateSync: { userName: 'text' },
  roomStateSync: { roomName: 'text' },
  instanceRecovery: { id: 'text' },
}
const VALUES = { text: 'none', list: [], object: {}, bool: true, name: null, size: 1 }
/** Without null, which may stand for a field that is not there. */
const NOT = {
  text: [5, true, {}, []], list: [5, true, 'x', {}], object: [5, true, 'x', []],
  bool: [0, 1, 'true', {}, []], name: [5, true, {}, []], size: [-1, '5', true, {}, []],
}
const fieldsOf = method => Object.entries(METHODS[method]).map(([name, type]) => ({ name, type: type.replace('?', ''), optional: type.endsWith('?') }))
const whole = method => Object.fromEntries(fieldsOf(method).filter(({ optional }) => !optional).map(({ name, type }) => [name, VALUES[type]]))

/** An answer that is a problem with this status. */
function isProblem({ status, type, body, text }, expected) {
  assert.equal(status, expected, text)
  assert.match(type, /^application\/problem\+json\b/)
  assert.equal(body.status, expected)
  for (const field of ['title', 'detail']) assert.equal(typeof body[field], 'string', text)
}

function envelope(scene) {
  scene('no such method, another verb, no credentials, a body that is none: in this order', async ({ server }) => {
    const node = server.nodes[0]
    const nobody = { admin: null, headers: { authorization: 'Basic eDp5' } }
    for (const method of ['nothing', 'hasuser', 'hasUser/', '__proto__', 'constructor']) {
      isProblem(await api(node, method, {}, { verb: 'GET', ...nobody, text: '{' }), 404)
    }
    for (const verb of ['GET', 'PUT', 'DELETE']) isProblem(await api(node, 'hasUser', {}, { verb, ...nobody, text: '{' }), 405)
    isProblem(await api(node, 'hasUser', {}, { ...nobody, text: '{' }), 401)
    isProblem(await api(node, 'hasUser', {}, { admin: null, text: '{' }), 401)
    isProblem(await api(node, 'hasUser', {}, { admin: { uid: node.admin.uid, token: `${node.admin.token}x` } }), 401)
    for (const text of ['', '{', '{"userName":"x"', 'userName=x', '[]', '["x"]', 'null', '5', '"x"']) isProblem(await api(node, 'hasUser', {}, { text }), 400)
    isProblem(await api(node, 'hasUser', { userName: 'x', more: 1 }), 400)
    isProblem(await api(node, 'addRoom', { roomName: 'x', state: { nothing: 1 } }), 400)
    isProblem(await api(node, 'addRoom', { roomName: 'x', state: { userlist: ['x'] } }), 400)
    isProblem(await api(node, 'hasUser', {}), 400)
    assert.deepEqual((await api(node, 'hasRoom', { roomName: 'x' })).body, { result: false })
  })

  scene('credentials in the query', async ({ server }) => {
    const node = server.nodes[0]
    assert.deepEqual((await api(node, 'hasUser', { userName: 'nobody' }, { admin: null, query: node.admin })).body, { result: false })
    isProblem(await api(node, 'hasUser', { userName: 'nobody' }, { admin: null, query: { ...node.admin, token: 'x' } }), 401)
  })

  for (const method of Object.keys(METHODS)) {
    scene(`${method}: fields of wrong types, and fields that are not there`, async party => {
      for (const [place, { name, type, optional }] of fieldsOf(method).entries()) {
        for (const value of NOT[type]) await party.fails(method, { ...whole(method), [name]: value }, 'badArgument', place, value)
        if (!optional) {
          const { [name]: _, ...rest } = whole(method)
          isProblem(await api(party.server.nodeForCall(), method, rest), 400)
        }
      }
      isProblem(await api(party.server.nodeForCall(), method, { ...whole(method), unknown: null }), 400)
    })
  }

  scene('all methods are in the OpenAPI document', async ({ server }) => {
    const { paths } = await (await fetch(`${server.nodes[0].api}/v1/openapi.json`)).json()
    for (const method of Object.keys(METHODS)) assert.ok(paths[`/v1/chat-service/${method}`]?.post, method)
  })
}

function commands(scene) {
  const exec = (party, body, code, ...args) => party.fails('execUserCommand', body, code, ...args)

  scene('the order of refusals', async party => {
    const a = await party.user('ann'), b = await party.user('bob')
    await exec(party, { command: 'roomShout', args: [] }, 'noCommand', 'roomShout')
    await exec(party, { command: '__proto__', args: [], userName: 'nobody', id: 'x' }, 'noCommand', '__proto__')
    for (const command of ['roomJoin', 'roomLeave']) {
      await exec(party, { command, args: ['none'] }, 'noSocket', command)
      await exec(party, { command, args: ['none'], userName: a.user }, 'noSocket', command)
      await exec(party, { command, args: ['none'], userName: 'nobody' }, 'noSocket', command)
    }
    for (const command of ['systemMessage', 'listOwnSockets', ...Object.keys(COMMANDS).filter(name => name.startsWith('direct') && name !== 'directMessage')]) {
      await exec(party, { command, args: COMMANDS[command].map(type => GOOD[type]) }, 'noLogin')
    }
    await exec(party, { command: 'listOwnSockets', args: [], userName: 'nobody' }, 'noUser', 'nobody')
    await exec(party, { command: 'listOwnSockets', args: [], userName: 'nobody', id: 'x' }, 'noUser', 'nobody')
    await exec(party, { command: 'listOwnSockets', args: [], userName: a.user, id: 'x' }, 'invalidSocket', 'x')
    await exec(party, { command: 'roomJoin', args: ['none'], userName: a.user, id: b.id }, 'invalidSocket', b.id)
    await exec(party, { command: 'roomJoin', args: ['none'], userName: a.user, id: a.id }, 'noRoom', 'none')
    await party.quiet()
  })

  for (const [name, types] of Object.entries(COMMANDS).filter(([, types]) => types.length > 0)) {
    scene(`${name}: arguments, by execUserCommand and by checkArguments`, async party => {
      const a = await party.user('ann')
      const good = types.map(type => GOOD[type])
      const body = { command: name, userName: a.user, id: a.id }
      const bad = types.flatMap((type, place) => WRONG[type].filter(value => !JSON.stringify(value).includes('Buffer')).map(value => [place, value]))
      for (const [place, value] of bad) {
        await exec(party, { ...body, args: good.with(place, value) }, 'badArgument', place, value)
        await party.fails('checkArguments', { command: name, args: good.with(place, value) }, 'badArgument', place, value)
      }
      for (const method of ['execUserCommand', 'checkArguments']) {
        const request = method === 'checkArguments' ? { command: name, args: [] } : { ...body, args: [] }
        const { status, body: problem } = await api(party.server.nodeForCall(), method, request)
        assert.deepEqual([status, problem.code, problem.detail], [400, 'wrongArgumentsCount', `ChatServiceError: Expected ${types.length} arguments, got 0`])
      }
      assert.equal(await party.does('checkArguments', { command: name, args: good }), null)
      await a.quiet()
    })
  }

  scene('checkArguments: no such command', party => party.fails('checkArguments', { command: 'roomShout', args: [] }, 'noCommand', 'roomShout'))

  scene('joining and leaving by a socket wherever it is: all sockets are told', async party => {
    const a = await party.user('ann'), a2 = await party.again(a)
    const room = await party.room()
    for (const [i, node] of party.server.nodes.entries()) {
      const [results, left] = [{ results: [1] }, { results: [0] }]
      assert.deepEqual(await party.does('execUserCommand', { command: 'roomJoin', args: [room], userName: a.user, id: a2.id }, node), results)
      await a2.seesInAnyOrder(event('roomUserJoined', room, a.user), event('roomJoinedEcho', room, a2.id, 1))
      await a.sees(event('roomJoinedEcho', room, a2.id, 1))
      await party.executes('roomMessage', [room, { textMessage: 'x' }], { userName: a.user, id: a.id })
      await a2.sees(event('roomMessage', room, { textMessage: 'x', author: a.user, timestamp: '{ts}', id: i + 1 }))
      assert.deepEqual(await party.does('execUserCommand', { command: 'roomLeave', args: [room], userName: a.user, id: a2.id }, node), left)
      for (const socket of [a, a2]) await socket.sees(event('roomLeftEcho', room, a2.id, 0))
    }
    await party.quiet()
  })

  scene('an id is excluded from echoes', async party => {
    const a = await party.user('ann'), a2 = await party.again(a), b = await party.user('bob')
    await party.executes('systemMessage', [1], { userName: a.user })
    for (const socket of [a, a2]) await socket.sees(event('systemMessage', 1))
    await party.executes('systemMessage', [2], { userName: a.user, id: a.id })
    await a2.sees(event('systemMessage', 2))
    const message = { textMessage: 'x', timestamp: '{ts}', author: a.user }
    await party.executes('directMessage', [b.user, { textMessage: 'x' }], { userName: a.user })
    await b.sees(event('directMessage', message))
    for (const socket of [a, a2]) await socket.sees(event('directMessageEcho', b.user, message))
    await party.executes('directMessage', [b.user, { textMessage: 'x' }], { userName: a.user, id: a2.id })
    await b.sees(event('directMessage', message))
    await a.sees(event('directMessageEcho', b.user, message))
    const [sockets] = await party.executes('listOwnSockets', [], { userName: a.user })
    assert.deepEqual(sockets, { [a.id]: [], [a2.id]: [] })
    await party.quiet()
  })

  scene('a command of nobody has no author and no echo', async party => {
    const a = await party.user('ann'), named = await party.user('undefined', { user: 'undefined' })
    const room = await party.room()
    await party.enter(room, a)
    await exec(party, { command: 'roomMessage', args: [room, { textMessage: 'x' }] }, 'notJoined', room)
    for (const command of ROOM_READS) {
      const args = COMMANDS[command].map(type => GOOD[type]).with(0, room)
      if (command === 'roomGetAccessList') args[1] = 'whitelist'
      await exec(party, { command, args }, 'notJoined', room)
      await party.executes(command, args, { bypassPermissions: true })
    }
    assert.deepEqual(await party.executes('roomMessage', [room, { textMessage: 'x' }], { bypassPermissions: true }), [1])
    await a.sees(event('roomMessage', room, { textMessage: 'x', timestamp: '{ts}', id: 1 }))
    await party.executes('directMessage', [a.user, { textMessage: 'y' }], { bypassPermissions: true })
    await a.sees(event('directMessage', { textMessage: 'y', timestamp: '{ts}' }))
    await exec(party, { command: 'roomAddToList', args: [room, 'blacklist', [a.user]] }, 'notAllowed')
    await exec(party, { command: 'roomAddToList', args: [room, 'userlist', ['x']], bypassPermissions: true }, 'notAllowed')
    await party.executes('roomAddToList', [room, 'blacklist', [a.user]], { bypassPermissions: true })
    await a.sees(event('roomAccessListAdded', room, 'blacklist', [a.user]), event('roomAccessRemoved', room))
    await exec(party, { command: 'roomJoin', args: [room], userName: a.user, id: a.id, bypassPermissions: true }, 'notAllowed')
    await party.executes('roomDelete', [room], { bypassPermissions: true })
    assert.equal(await party.does('hasRoom', { roomName: room }), false)
    await named.quiet()
    await a.quiet()
  })

  scene('bytes, in and out', async party => {
    const a = await party.user('ann'), bytes = { type: 'Buffer', data: [0, 97, 255] }
    await party.executes('systemMessage', [bytes], { userName: a.user })
    await a.sees(event('systemMessage', { '{bin}': '0061ff' }))
    const room = await party.room()
    await party.enter(room, a)
    await party.does('emitToChannel', { channel: room, eventName: 'picture', args: [{ of: bytes }] })
    await a.sees(event('picture', { of: { '{bin}': '0061ff' } }))
  })
}

function people(scene) {
  scene('users: made, asked about, deleted', async party => {
    const userName = party.fresh('user')
    assert.equal(await party.does('hasUser', { userName }), false)
    await party.fails('deleteUser', { userName }, 'noUser', userName)
    await party.fails('userHasInList', { userName, listName: 'whitelist', item: 'x' }, 'noUser', userName)
    assert.equal(await party.does('addUser', { userName, state: { whitelist: ['x'], blacklist: ['y'], whitelistOnly: true } }), null)
    await party.fails('addUser', { userName }, 'userExists', userName)
    assert.equal(await party.does('hasUser', { userName }), true)
    for (const [listName, item, expected] of [['whitelist', 'x', true], ['whitelist', 'y', false], ['blacklist', 'y', true]]) {
      assert.equal(await party.does('userHasInList', { userName, listName, item }), expected)
    }
    await party.fails('userHasInList', { userName, listName: 'adminlist', item: 'x' }, 'noList', 'adminlist')
    for (const [sender, expected] of [['x', true], ['y', false], ['z', false]]) {
      assert.equal(await party.does('hasDirectAccess', { recipient: userName, sender }), expected)
    }
    const a = await party.user('ann', { user: userName })
    await a.calls('directGetWhitelistMode', [], ok(true))
    await party.fails('addUser', { userName }, 'userExists', userName)
    await party.fails('deleteUser', { userName }, 'userOnline', userName)
    a.close()
    const remove = () => api(party.server.nodeForCall(), 'deleteUser', { userName })
    await eventually('he can be deleted when he is gone', remove, ({ status }) => status === 200)
    assert.equal(await party.does('hasUser', { userName }), false)
    const again = await party.user('ann', { user: userName })
    await again.calls('directGetAccessList', ['whitelist'], ok([]))
    await again.calls('directGetWhitelistMode', [], ok(false))
  })

  scene('disconnectUserSockets: all of them, on every node, and they stay away', async party => {
    const a = await party.user('ann'), a2 = await party.again(a), a3 = await party.again(a, [a, a2]), b = await party.user('bob')
    const room = await party.room()
    await party.enter(room, a, b)
    assert.equal(await party.does('disconnectUserSockets', { userName: a.user }), null)
    for (const socket of [a, a2, a3]) {
      await socket.until('its end', () => socket.log.some(entry => entry.disconnect))
      assert.deepEqual(socket.log.at(-1), gone())
    }
    await b.sees(event('roomUserLeft', room, a.user))
    // A socket departs behind its DISCONNECT, and who signs in meanwhile is told of it.
    await party.becomes('execUserCommand', { command: 'listOwnSockets', args: [], userName: a.user }, { results: [{}] })
    const again = party.opens('ann', { user: a.user })
    await again.until('its login', () => again.confirmed)
    await party.forget(again)
    await again.calls('listOwnSockets', [], ok({ [again.id]: [] }))
    await b.quiet()
  })

  scene('the handshake of a socket, and of one that is not there', async party => {
    const a = await party.user('ann', { query: { user: 'ann of the handshake', colour: 'réd' } })
    for (const node of party.server.nodes) {
      const { isConnected, query, headers, ...rest } = await party.does('getHandshakeData', { id: a.id }, node)
      assert.equal(isConnected, true)
      assert.deepEqual([query.user, query.colour], ['ann of the handshake', 'réd'])
      assert.equal(typeof headers, 'object')
      assert.deepEqual(Object.keys(rest), ['auth'])
      assert.equal((await party.does('getHandshakeData', { id: 'nothing' }, node)).isConnected, false)
    }
    a.close()
    for (const node of party.server.nodes) {
      await eventually('it is gone', () => party.does('getHandshakeData', { id: a.id }, node), ({ isConnected }) => !isConnected)
    }
  })
}

function rooms(scene) {
  scene('rooms: made, changed, deleted', async party => {
    const a = await party.user('ann'), b = await party.user('bob')
    const roomName = party.fresh('room')
    const missing = [['deleteRoom', {}], ['roomHasInList', { listName: 'whitelist', item: 'x' }], ['changeRoomOwner', { owner: null }],
      ['changeRoomHistoryMaxSize', { size: 1 }], ['changeAccessListsUpdates', { mode: true }], ['changeUserlistUpdates', { mode: true }]]
    for (const [method, rest] of missing) await party.fails(method, { roomName, ...rest }, 'noRoom', roomName)
    assert.equal(await party.does('hasRoom', { roomName }), false)
    assert.equal(await party.does('hasRoomAccess', { roomName, userName: a.user }), false)
    const state = {
      whitelist: ['x'], blacklist: ['y'], adminlist: [b.user], whitelistOnly: true, owner: a.user, historyMaxSize: 7,
      enableAccessListsUpdates: false, enableUserlistUpdates: false,
    }
    assert.equal(await party.does('addRoom', { roomName, state }), null)
    await party.fails('addRoom', { roomName }, 'roomExists', roomName)
    assert.equal(await party.does('hasRoom', { roomName }), true)
    for (const [listName, item, expected] of [['whitelist', 'x', true], ['blacklist', 'x', false], ['adminlist', b.user, true], ['userlist', a.user, false]]) {
      assert.equal(await party.does('roomHasInList', { roomName, listName, item }), expected)
    }
    await party.fails('roomHasInList', { roomName, listName: 'nolist', item: 'x' }, 'noList', 'nolist')
    await a.calls('roomNotificationsInfo', [roomName], ok({ enableUserlistUpdates: false, enableAccessListsUpdates: false }))
    await a.calls('roomHistoryInfo', [roomName], ok({ historySize: 0, historyMaxSize: 7, historyMaxGetMessages: 100, lastMessageId: 0 }))
    await a.calls('roomGetWhitelistMode', [roomName], ok(true))
    await a.calls('roomJoin', [roomName], ok(1))
    assert.equal(await party.does('changeUserlistUpdates', { roomName, mode: true }), null)
    assert.equal(await party.does('changeAccessListsUpdates', { roomName, mode: true }), null)
    await b.calls('roomJoin', [roomName], ok(1), event('roomUserJoined', roomName, b.user))
    await a.sees(event('roomUserJoined', roomName, b.user))
    await a.calls('roomNotificationsInfo', [roomName], ok({ enableUserlistUpdates: true, enableAccessListsUpdates: true }))
    assert.equal(await party.does('changeRoomOwner', { roomName, owner: b.user }), null)
    await b.calls('roomGetOwner', [roomName], ok(b.user))
    await a.calls('roomAddToList', [roomName, 'adminlist', ['z']], no('notAllowed'))
    assert.equal(await party.does('changeRoomOwner', { roomName, owner: null }), null)
    await b.calls('roomGetOwner', [roomName], ok(null))
    assert.equal(await party.does('deleteRoom', { roomName }), null)
    for (const client of [a, b]) {
      await client.until('to lose the room', () => client.log.slice(client.cursor).some(entry => entry.event === 'roomAccessRemoved'))
      client.cursor = client.log.length
      await client.calls('roomJoin', [roomName], no('noRoom', roomName))
    }
    assert.equal(await party.does('hasRoom', { roomName }), false)
    await party.quiet()
  })

  scene('channels: the joined sockets of a room, the sockets of a user', async party => {
    const a = await party.user('ann'), a2 = await party.again(a), b = await party.user('bob')
    const room = await party.room()
    await party.enter(room, a, b)
    for (const node of party.server.nodes) {
      await party.does('emitToChannel', { channel: room, eventName: 'news', args: [1, { x: null }] }, node)
      for (const socket of [a, b]) await socket.sees(event('news', 1, { x: null }))
      await party.does('sendToChannel', { id: a.id, channel: room, eventName: 'news', args: [] }, node)
      await b.sees(event('news'))
      await party.does('emitToChannel', { channel: `echo:${a.user}`, eventName: 'roomMessage', args: ['all'] }, node)
      for (const socket of [a, a2]) await socket.sees(event('roomMessage', 'all'))
      await party.does('sendToChannel', { id: a2.id, channel: `echo:${a.user}`, eventName: 'others', args: [] }, node)
      await a.sees(event('others'))
      for (const channel of ['nowhere', 'echo:nobody', '', a.id]) {
        await party.does('emitToChannel', { channel, eventName: 'news', args: [] }, node)
        await party.does('sendToChannel', { id: 'x', channel, eventName: 'news', args: [] }, node)
      }
    }
    for (const eventName of ['connect', 'disconnect', 'error', 'newListener']) {
      await party.fails('emitToChannel', { channel: room, eventName, args: [] }, 'badArgument', 1, eventName)
      await party.fails('sendToChannel', { id: 'x', channel: room, eventName, args: [] }, 'badArgument', 2, eventName)
    }
    await party.quiet()
  })
}

function instances(scene) {
  scene('instances: their heartbeat and their sockets', async (party, { business }) => {
    const clients = []
    for (const node of party.server.nodes) clients.push(await party.user('ann', { node }))
    const ids = business.asked('onConnect').map(({ body }) => body.instance)
    assert.equal(new Set(ids).size, clients.length, 'each node is an instance')
    for (const [i, node] of party.server.nodes.entries()) {
      const own = await party.does('getInstanceSockets', {}, node)
      assert.equal(own[clients[i].id], clients[i].user)
      for (const [j, id] of ids.entries()) {
        assert.equal((await party.does('getInstanceSockets', { id }, node))[clients[j].id], clients[j].user)
        const heartbeat = await party.does('getInstanceHeartbeat', { id }, node)
        assert.ok(Number.isSafeInteger(heartbeat) && Math.abs(Date.now() - heartbeat) < 60_000, `${heartbeat} is a time of now`)
      }
      assert.ok(await party.does('getInstanceHeartbeat', {}, node))
      assert.equal(await party.does('getInstanceHeartbeat', { id: 'nothing' }, node), null)
      assert.deepEqual(await party.does('getInstanceSockets', { id: 'nothing' }, node), {})
    }
  })

  scene('clusterBusEmit: every instance is told, once', async (party, { business }) => {
    const args = ['x', { y: [null, 1] }]
    assert.equal(await party.does('clusterBusEmit', { event: 'flush', args }), null)
    const bodies = await business.called('clusterBus', { count: party.server.nodes.length })
    for (const body of bodies) assert.deepEqual([body.event, body.args], ['flush', args])
    assert.equal(new Set(bodies.map(({ instance }) => instance)).size, party.server.nodes.length)
  })

  scene('synchronizing and recovering what is in order changes nothing', async party => {
    const a = await party.user('ann'), a2 = await party.again(a), b = await party.user('bob')
    const room = await party.room()
    await party.enter(room, a, b)
    for (const node of party.server.nodes) {
      for (const client of [a, b]) assert.equal(await party.does('userStateSync', { userName: client.user }, node), null)
      assert.equal(await party.does('roomStateSync', { roomName: room }, node), null)
      assert.equal(await party.does('instanceRecovery', { id: 'nothing' }, node), null)
    }
    await a2.calls('listOwnSockets', [], ok({ [a.id]: [room], [a2.id]: [] }))
    await b.calls('roomGetAccessList', [room, 'userlist'], ok([a.user, b.user]))
    await party.quiet()
  })

  scene('recovering an instance that lives: it is answered when its sockets are out', async (party, { business }) => {
    const room = await party.room()
    for (let round = 0; round < 10; round++) for (const node of party.server.nodes) {
      business.reset()
      const clients = []
      for (const name of ['ann', 'bob', 'cy']) clients.push(await party.user(name, { node }))
      const id = business.asked('onConnect')[0].body.instance
      for (const client of clients) assert.equal((await client.ask('roomJoin', room))[0], null)
      assert.equal(await party.does('instanceRecovery', { id }), null)
      // Of any node, at once.
      const asked = party.server.nodes.flatMap(node => clients.map(({ user }) => party.does('execUserCommand', { userName: user, command: 'listOwnSockets', args: [] }, node)))
      for (const { results } of await Promise.all(asked)) assert.deepEqual(results, [{}])
      assert.deepEqual(await party.does('getInstanceSockets', { id }), {})
      for (const client of clients) await client.until('its end', () => !client.connected)
    }
    const [members] = await party.executes('roomGetAccessList', [room, 'userlist'], { bypassPermissions: true })
    assert.deepEqual(members, [])
  })
}

for (const site of [...SITES, ...ON_REDIS]) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ envelope, commands, people, rooms })) {
    describe(title, () => stories(stand(site, { title: `API: ${title}`, values: ALL_ON }).scene))
  }
  describe('instances', () => instances(stand(site, { title: 'API: instances', values: ALL_ON, hooks: ['onConnect', 'clusterBus'] }).scene))
})
