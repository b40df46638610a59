// What rooms, permissions, history and direct messages of chat-service are, beyond the recordings: who is told what, and in which order, on files and on Redis,
// with a user's sockets on the same node and on others. And the original's defects, which are not copied.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { ack, event } from './chat-service/client.mjs'
import { no, ok } from './chat-service/contract.mjs'
import { stand } from './chat-service/party.mjs'
import { ALL_ON, ON_REDIS, SITES } from './chat-service/stage.mjs'

const said = (room, client, id, textMessage) => event('roomMessage', room, { textMessage, author: client.user, timestamp: '{ts}', id })
const joined = (room, client) => event('roomUserJoined', room, client.user)
const left = (room, client) => event('roomUserLeft', room, client.user)
const lost = room => event('roomAccessRemoved', room)
const added = (room, list, ...names) => event('roomAccessListAdded', room, list, names)
const removed = (room, list, ...names) => event('roomAccessListRemoved', room, list, names)
const mode = (room, value) => event('roomModeChanged', room, value)
const say = (client, room, textMessage = 'x') => client.ask('roomMessage', room, { textMessage })

/** New people in a room that has `state`; the first of them owns it, unless `state` says otherwise. Each name is a user's. */
async function gather(party, names, state = {}) {
  const people = []
  for (const name of names) people.push(await party.user(name))
  const room = await party.room({ owner: people[0]?.user, ...state })
  await party.enter(room, ...people)
  return [room, ...people]
}

function presence(scene) {
  scene('joining twice and leaving twice tells nobody', async party => {
    const [room, a, b] = await gather(party, ['ann', 'bob'])
    await a.calls('roomJoin', [room], ok(1))
    await b.calls('roomLeave', [room], ok(0))
    await a.sees(left(room, b))
    await b.calls('roomLeave', [room], ok(0))
    const never = await party.room()
    await b.calls('roomLeave', [never], ok(0))
    await party.quiet()
  })

  scene('a room is told of a user\'s first socket and of his last, his sockets of each', async party => {
    const [room, a, b] = await gather(party, ['ann', 'bob'])
    const b2 = await party.again(b), b3 = await party.again(b, [b, b2])
    await b2.calls('roomJoin', [room], ok(2))
    for (const other of [b, b3]) await other.sees(event('roomJoinedEcho', room, b2.id, 2))
    await b.calls('roomLeave', [room], ok(1))
    for (const other of [b2, b3]) await other.sees(event('roomLeftEcho', room, b.id, 1))
    await b3.calls('roomLeave', [room], ok(1))
    await party.quiet()
    await a.calls('roomUserSeen', [room, b.user], ok({ joined: true, timestamp: '{ts}' }))
    await b2.calls('roomLeave', [room], ok(0))
    for (const other of [b, b3]) await other.sees(event('roomLeftEcho', room, b2.id, 0))
    await a.sees(left(room, b))
    await a.calls('roomUserSeen', [room, b.user], ok({ joined: false, timestamp: '{ts}' }))
    await party.quiet()
  })

  scene('a user sends by any socket, and those get it that have joined', async party => {
    const [room, a] = await gather(party, ['ann'])
    const a2 = await party.again(a), b = await party.user('bob')
    await a2.calls('roomMessage', [room, { textMessage: 'x' }], ok(1))
    await a.sees(said(room, a, 1, 'x'))
    await b.calls('roomMessage', [room, { textMessage: 'x' }], no('notJoined', room))
    await party.quiet()
  })

  for (const [how, end] of [['closes', client => client.close()], ['is cut off', client => client.cut()]]) {
    scene(`a socket that ${how} leaves its rooms`, async party => {
      const [room, a, b] = await gather(party, ['ann', 'bob'])
      const b2 = await party.again(b)
      const quietly = await party.room({ enableUserlistUpdates: false })
      await party.enter(room, b2)
      await party.enter(quietly, b2, a)
      end(b)
      await b2.sees(event('roomLeftEcho', room, b.id, 1), event('socketDisconnectEcho', b.id, 1))
      await a.quiet()
      const b3 = await party.again(b2)
      assert.notEqual(b3.id, b.id)
      end(b2)
      await b3.seesInAnyOrder(event('roomLeftEcho', room, b2.id, 0), event('roomLeftEcho', quietly, b2.id, 0), event('socketDisconnectEcho', b2.id, 1))
      assert.equal(b3.log[b3.cursor - 1].event, 'socketDisconnectEcho', 'it comes last')
      await a.sees(left(room, b))
      await b3.calls('listOwnSockets', [], ok({ [b3.id]: [] }))
      await a.calls('roomGetAccessList', [room, 'userlist'], ok([a.user]))
      await party.quiet()
    })
  }

  scene('a system message goes to one\'s other sockets, whatever it is', async party => {
    const a = await party.user('ann'), a2 = await party.again(a), b = await party.user('bob')
    for (const data of [null, 0, '', 'é😀', true, [], {}, [[1, { x: null }]], { id: 1, author: 'x' }]) {
      await a.calls('systemMessage', [data], ok())
      await a2.sees(event('systemMessage', data))
    }
    await a.calls('systemMessage', [{ bytes: Buffer.from([0, 1, 255]) }], ok())
    await a2.sees(event('systemMessage', { bytes: { '{bin}': '0001ff' } }))
    // What looks like bytes is none.
    await a.calls('systemMessage', [{ type: 'Buffer', data: [97] }], ok())
    await a2.sees(event('systemMessage', { type: 'Buffer', data: [97] }))
    await b.quiet()
  })

  scene('a room that is named like a socket is no socket', async party => {
    const a = await party.user('ann'), b = await party.user('bob')
    await b.calls('roomCreate', [a.id, false], ok())
    await party.enter(a.id, b)
    await b.calls('roomMessage', [a.id, { textMessage: 'x' }], ok(1), said(a.id, b, 1, 'x'))
    await a.quiet()
  })

  scene('what is no command is not answered, and names of socket.io do nothing', async party => {
    const [room, a, b] = await gather(party, ['ann', 'bob'])
    for (const name of ['roomShout', 'loginConfirmed', 'constructor', '__proto__', 'toString', 'roomjoin', '', 'message']) a.emit(name, [room])
    for (const name of ['disconnect', 'error', 'connection', 'newListener']) b.raw(name, 'x')
    await a.quiet()
    // Such a packet may end the connection it came by, and nothing else.
    const note = {}
    b.emit('listOwnSockets', [], note)
    await b.until('an answer, or its end', () => note.args || !b.connected)
    if (b.connected) assert.deepEqual(await b.ask('roomLeave', room), ok(0))
    await a.sees(left(room, b))
    await a.quiet()
  })
}

function permissions(scene) {
  scene('who is blacklisted loses the room with all his sockets, and nobody else hears more than that', async party => {
    const [room, a, b, c] = await gather(party, ['ann', 'bob', 'cleo'])
    const b2 = await party.again(b), b3 = await party.again(b, [b, b2])
    await party.enter(room, b2)
    await a.calls('roomAddToList', [room, 'blacklist', [b.user, 'stranger', b.user]], ok(), added(room, 'blacklist', b.user, 'stranger', b.user), left(room, b))
    // What a user is told and what a room is told are two orders: on another node than the change's either may be first.
    for (const socket of [b, b2]) await socket.seesInAnyOrder(added(room, 'blacklist', b.user, 'stranger', b.user), lost(room))
    await b3.sees(lost(room))
    await c.sees(added(room, 'blacklist', b.user, 'stranger', b.user), left(room, b))
    await say(a, room)
    for (const member of [a, c]) await member.sees(said(room, a, 1, 'x'))
    await a.sees(ack('roomMessage', ...ok(1)))
    for (const socket of [b, b2, b3]) await socket.calls('roomJoin', [room], no('notAllowed'))
    await b.calls('roomMessage', [room, { textMessage: 'x' }], no('notJoined', room))
    await b.calls('listOwnSockets', [], ok({ [b.id]: [], [b2.id]: [], [b3.id]: [] }))
    // Once more: the list is told although nothing changed, and nobody goes.
    await a.calls('roomAddToList', [room, 'blacklist', [b.user]], ok(), added(room, 'blacklist', b.user))
    await c.sees(added(room, 'blacklist', b.user))
    await a.calls('roomRemoveFromList', [room, 'blacklist', [b.user, 'x']], ok(), removed(room, 'blacklist', b.user, 'x'))
    await c.sees(removed(room, 'blacklist', b.user, 'x'))
    await b3.calls('roomJoin', [room], ok(1), joined(room, b))
    for (const member of [a, c]) await member.sees(joined(room, b))
    for (const socket of [b, b2]) await socket.sees(event('roomJoinedEcho', room, b3.id, 1))
    await party.quiet()
  })

  scene('several lose access at once, in any order', async party => {
    const [room, a, b, c, d] = await gather(party, ['ann', 'bob', 'cleo', 'dora'])
    const names = [b.user, c.user]
    await a.ask('roomAddToList', room, 'blacklist', names)
    for (const member of [a, d]) {
      await member.sees(added(room, 'blacklist', ...names))
      await member.seesInAnyOrder(left(room, b), left(room, c))
    }
    await a.sees(ack('roomAddToList', ...ok()))
    for (const socket of [b, c]) {
      const seen = name => socket.log.slice(socket.cursor).some(({ event }) => event === name)
      await socket.until('to lose the room', () => seen('roomAccessListAdded') && seen('roomAccessRemoved'))
      await party.forget(socket)
      assert.equal(socket.log.filter(({ event }) => event === 'roomAccessRemoved').length, 1)
    }
    await a.calls('roomGetAccessList', [room, 'userlist'], ok([a.user, d.user]))
    await party.quiet()
  })

  scene('a room of a whitelist: who is taken off it goes, and who was not on it when the mode came', async party => {
    const [room, a, b, c, d] = await gather(party, ['ann', 'bob', 'cleo', 'dora'])
    await a.calls('roomAddToList', [room, 'adminlist', [d.user]], ok(), added(room, 'adminlist', d.user))
    await d.calls('roomAddToList', [room, 'whitelist', [b.user]], ok(), added(room, 'adminlist', d.user), added(room, 'whitelist', b.user))
    await a.sees(added(room, 'whitelist', b.user))
    // The owner and the admin are spared, although they are on no whitelist.
    await d.calls('roomSetWhitelistMode', [room, true], ok(), mode(room, true), left(room, c))
    await a.sees(mode(room, true), left(room, c))
    await b.sees(added(room, 'adminlist', d.user), added(room, 'whitelist', b.user), mode(room, true), left(room, c))
    await c.sees(added(room, 'adminlist', d.user), added(room, 'whitelist', b.user))
    await c.seesInAnyOrder(mode(room, true), lost(room))
    await c.calls('roomJoin', [room], no('notAllowed'))
    // Told again although it is so already.
    await a.calls('roomSetWhitelistMode', [room, true], ok(), mode(room, true))
    for (const member of [b, d]) await member.sees(mode(room, true))
    await a.calls('roomRemoveFromList', [room, 'whitelist', [b.user]], ok(), removed(room, 'whitelist', b.user), left(room, b))
    await b.seesInAnyOrder(removed(room, 'whitelist', b.user), lost(room))
    await d.sees(removed(room, 'whitelist', b.user), left(room, b))
    await a.calls('roomSetWhitelistMode', [room, false], ok(), mode(room, false))
    await d.sees(mode(room, false))
    await b.calls('roomJoin', [room], ok(1), joined(room, b))
    for (const member of [a, d]) await member.sees(joined(room, b))
    // Without the mode the whitelist is only a list.
    await a.calls('roomRemoveFromList', [room, 'whitelist', [b.user]], ok(), removed(room, 'whitelist', b.user))
    for (const member of [b, d]) await member.sees(removed(room, 'whitelist', b.user))
    await party.quiet()
  })

  scene('the owner and admins always may join, whatever the lists say', async party => {
    const [a, b, c] = [await party.user('ann'), await party.user('bob'), await party.user('cleo')]
    const room = await party.room({ owner: a.user, adminlist: [b.user], blacklist: [a.user, b.user, c.user], whitelist: [c.user], whitelistOnly: true })
    for (const client of [a, b]) assert.deepEqual(await client.ask('roomJoin', room), ok(1))
    // The blacklist beats the whitelist.
    assert.deepEqual(await c.ask('roomJoin', room), no('notAllowed'))
    for (const [client, access] of [[a, true], [b, true], [c, false]]) {
      assert.equal(await party.does('hasRoomAccess', { roomName: room, userName: client.user }), access)
    }
  })

  scene('who may edit what', async party => {
    const [room, a, b, c] = await gather(party, ['ann', 'bob', 'cleo'], { enableAccessListsUpdates: false })
    await a.calls('roomAddToList', [room, 'adminlist', [b.user]], ok())
    for (const command of ['roomAddToList', 'roomRemoveFromList']) {
      for (const list of ['whitelist', 'blacklist']) {
        await a.calls(command, [room, list, ['x', a.user]], ok())
        await b.calls(command, [room, list, ['x', 'y']], ok())
        await b.calls(command, [room, list, ['x', a.user]], no('notAllowed'))
        await c.calls(command, [room, list, ['x']], no('notAllowed'))
        await c.calls(command, [room, list, []], no('notAllowed'))
      }
      await b.calls(command, [room, 'adminlist', ['x']], no('notAllowed'))
      for (const client of [a, b, c]) await client.calls(command, [room, 'userlist', ['x']], no('notAllowed'))
    }
    await c.calls('roomSetWhitelistMode', [room, true], no('notAllowed'))
    for (const client of [b, c]) await client.calls('roomDelete', [room], no('notAllowed'))
    // A former admin who is blacklisted stays until he leaves.
    await a.calls('roomAddToList', [room, 'blacklist', [b.user]], ok())
    await a.calls('roomRemoveFromList', [room, 'adminlist', [b.user]], ok())
    await b.calls('roomMessage', [room, { textMessage: 'x' }], ok(1), said(room, b, 1, 'x'))
    await b.calls('roomLeave', [room], ok(0))
    await b.calls('roomJoin', [room], no('notAllowed'))
    for (const client of [a, c]) await client.sees(said(room, b, 1, 'x'), left(room, b))
    await party.quiet()
  })

  scene('a room that is deleted: all lose it, and one of that name starts anew', async party => {
    const [room, a, b] = await gather(party, ['ann', 'bob'])
    const b2 = await party.again(b)
    await b.calls('roomMessage', [room, { textMessage: 'x' }], ok(1), said(room, b, 1, 'x'))
    await a.sees(said(room, b, 1, 'x'))
    await a.ask('roomDelete', room)
    for (const client of [a, b, b2]) {
      await client.until('to lose the room', () => client.log.slice(client.cursor).some(entry => entry.event === 'roomAccessRemoved'))
      const seen = client.log.slice(client.cursor).filter(entry => entry.event !== 'roomUserLeft')
      assert.deepEqual(seen, client === a ? [lost(room), ack('roomDelete', ...ok())] : [lost(room)])
    }
    await party.forget()
    for (const command of ['roomJoin', 'roomLeave', 'roomGetOwner']) await b.calls(command, [room], no('noRoom', room))
    await b.calls('roomCreate', [room, false], ok())
    await b.calls('roomGetAccessList', [room, 'userlist'], ok([]))
    await b.calls('roomHistoryInfo', [room], ok({ historySize: 0, historyMaxSize: 10000, historyMaxGetMessages: 100, lastMessageId: 0 }))
    await b.calls('roomUserSeen', [room, a.user], ok({ joined: false, timestamp: null }))
    await b.calls('roomJoin', [room], ok(1), joined(room, b))
    await b2.sees(event('roomJoinedEcho', room, b.id, 1))
    await b.calls('roomMessage', [room, { textMessage: 'x' }], ok(1), said(room, b, 1, 'x'))
    await party.quiet()
  })

  scene('a room that is made anew while messages are on their way has none of them', async party => {
    const [room, a, b, c] = await gather(party, ['ann', 'bob', 'cleo'])
    for (let life = 0; life < 5; life++) {
      const early = Promise.all(Array.from({ length: 20 }, (_, i) => Promise.all([b, c].map(client => say(client, room, `early ${life} ${i}`)))))
      assert.deepEqual(await a.ask('roomDelete', room), ok())
      assert.deepEqual(await a.ask('roomCreate', room, false), ok())
      // Who was not heard by the former room is no member of this one.
      for (const [error, id] of (await early).flat()) assert.ok(id > 0 || /^ChatServiceError: (No such room|Not joined|Server operation timeout)/.test(error), error)
      for (const client of [b, c]) assert.ok((await client.ask('roomJoin', room))[1] > 0)
      for (const [at, client] of [b, c].entries()) assert.deepEqual(await say(client, room, `late ${life}`), ok(at + 1))
      const [, messages] = await b.ask('roomRecentHistory', room)
      assert.deepEqual(messages.map(({ id, textMessage }) => [id, textMessage]), [[2, `late ${life}`], [1, `late ${life}`]])
    }
  })
}

function history(scene) {
  const info = (room, historySize, historyMaxSize, lastMessageId) =>
    ['roomHistoryInfo', [room], ok({ historySize, historyMaxSize, historyMaxGetMessages: 3, lastMessageId })]
  const page = (a, ...ids) => ok(ids.map(id => ({ textMessage: `m${id}`, author: a.user, timestamp: '{ts}', id })))
  const fill = async (a, room, from, to) => { for (let id = from; id <= to; id++) assert.deepEqual(await say(a, room, `m${id}`), ok(id)) }

  scene('ids that are gone: a page starts at the oldest that is there', async party => {
    const [room, a] = await gather(party, ['ann'])
    await fill(a, room, 1, 8)
    await party.forget(a)
    await a.calls(...info(room, 5, 5, 8))
    await a.calls('roomHistoryGet', [room, 0, 2], page(a, 5, 4))
    await a.calls('roomHistoryGet', [room, 1, 100], page(a, 6, 5, 4))
    await a.calls('roomHistoryGet', [room, 3, 1], page(a, 4))
    await a.calls('roomHistoryGet', [room, 4, 3], page(a, 7, 6, 5))
    await a.calls('roomHistoryGet', [room, 7, 3], page(a, 8))
    await a.calls('roomHistoryGet', [room, 8, 3], page(a))
    await a.calls('roomRecentHistory', [room], page(a, 8, 7, 6))
    // More than a page only for whoever runs the server.
    const [all] = await party.executes('roomHistoryGet', [room, 0, 100], { userName: a.user, bypassPermissions: true })
    assert.deepEqual(all.map(({ id }) => id), [8, 7, 6, 5, 4])
  })

  scene('a size that shrinks trims at once, and 0 keeps nothing but the ids', async party => {
    const [room, a] = await gather(party, ['ann'])
    await fill(a, room, 1, 4)
    await party.does('changeRoomHistoryMaxSize', { roomName: room, size: 2 })
    await party.forget(a)
    await a.calls(...info(room, 2, 2, 4))
    await a.calls('roomRecentHistory', [room], page(a, 4, 3))
    await party.does('changeRoomHistoryMaxSize', { roomName: room, size: 0 })
    await a.calls(...info(room, 0, 0, 4))
    await fill(a, room, 5, 6)
    await party.forget(a)
    await a.calls(...info(room, 0, 0, 6))
    for (const id of [0, 4, 6]) await a.calls('roomHistoryGet', [room, id, 3], page(a))
    await party.does('changeRoomHistoryMaxSize', { roomName: room, size: 3 })
    await fill(a, room, 7, 7)
    await party.forget(a)
    await a.calls(...info(room, 1, 3, 7))
    await a.calls('roomHistoryGet', [room, 0, 3], page(a, 7))
  })

  scene('messages of all members have one order, and ids without a hole', async party => {
    const EACH = 40
    const [room, ...members] = await gather(party, ['ann', 'bob', 'cleo', 'dora'], { historyMaxSize: 1000 })
    const acks = await Promise.all(members.flatMap(member => Array.from({ length: EACH }, (_, i) => say(member, room, `${member.name} ${i}`))))
    const count = EACH * members.length
    assert.deepEqual(acks.map(([, id]) => id).sort((a, b) => a - b), Array.from({ length: count }, (_, i) => i + 1))
    const seen = member => member.log.filter(entry => entry.event === 'roomMessage').map(({ args }) => args[1])
    for (const member of members) {
      await member.until('all messages', () => seen(member).length === count)
      assert.deepEqual(seen(member).map(({ id }) => id), Array.from({ length: count }, (_, i) => i + 1))
      assert.deepEqual(seen(member), seen(members[0]))
      // Who sends one after another is heard in that order.
      const own = seen(members[0]).filter(({ author }) => author === member.user).map(({ textMessage }) => textMessage)
      assert.deepEqual(own, Array.from({ length: EACH }, (_, i) => `${member.name} ${i}`))
    }
    const [log] = await party.executes('roomHistoryGet', [room, 0, count], { bypassPermissions: true })
    assert.deepEqual(log.reverse(), seen(members[0]))
  })
}

function direct(scene) {
  const written = (from, textMessage) => ({ textMessage, timestamp: '{ts}', author: from.user })

  scene('a message reaches all sockets of the one, and the others of the other', async party => {
    const a = await party.user('ann'), a2 = await party.again(a), b = await party.user('bob'), b2 = await party.again(b)
    await a.calls('directMessage', [b.user, { textMessage: 'x' }], ok(written(a, 'x')))
    for (const socket of [b, b2]) await socket.sees(event('directMessage', written(a, 'x')))
    await a2.sees(event('directMessageEcho', b.user, written(a, 'x')))
    await party.quiet()
  })

  scene('the order of refusals', async party => {
    const a = await party.user('ann'), b = await party.user('bob')
    const send = (to, answer, ...before) => a.calls('directMessage', [to, { textMessage: 'x' }], answer, ...before)
    const offline = party.fresh('offline')
    await party.does('addUser', { userName: offline, state: { blacklist: [a.user] } })
    await send('nobody', no('noUser', 'nobody'))
    await send(a.user, no('notAllowed'))
    await send(offline, no('notAllowed'))
    const away = party.fresh('away')
    await party.does('addUser', { userName: away })
    await send(away, no('noUserOnline', away))
    const picky = party.fresh('picky')
    await party.does('addUser', { userName: picky, state: { whitelist: [a.user, b.user], blacklist: [b.user], whitelistOnly: true } })
    await send(picky, no('noUserOnline', picky))
    await b.calls('directMessage', [picky, { textMessage: 'x' }], no('notAllowed'))
    for (const [sender, access] of [[a.user, true], [b.user, false], ['nobody', false]]) {
      assert.equal(await party.does('hasDirectAccess', { recipient: picky, sender }), access)
    }
    assert.equal(await party.does('hasDirectAccess', { recipient: 'nobody', sender: a.user }), false)
    // bypassPermissions skips the lists, and nothing else.
    const message = { textMessage: 'x' }
    await party.fails('execUserCommand', { command: 'directMessage', args: [offline, message], userName: a.user, bypassPermissions: true }, 'noUserOnline', offline)
    await party.fails('execUserCommand', { command: 'directMessage', args: [a.user, message], userName: a.user, bypassPermissions: true }, 'notAllowed')
    await b.calls('directAddToList', ['blacklist', [a.user]], ok())
    await send(b.user, no('notAllowed'))
    await party.executes('directMessage', [b.user, message], { userName: a.user, id: a.id, bypassPermissions: true })
    await b.sees(event('directMessage', written(a, 'x')))
    await party.quiet()
  })

  scene('lists are a user\'s own, and he is on none of them', async party => {
    const a = await party.user('ann'), b = await party.user('bob')
    for (const list of ['whitelist', 'blacklist']) {
      for (const command of ['directAddToList', 'directRemoveFromList']) await a.calls(command, [list, ['x', a.user]], no('notAllowed'))
      await a.calls('directAddToList', [list, ['x', 'x', 'y']], ok())
      await a.calls('directGetAccessList', [list], ok(['x', 'y']))
      await b.calls('directGetAccessList', [list], ok([]))
    }
    // They stay when he goes.
    a.close()
    const again = await party.user('ann', { user: a.user })
    await again.calls('directGetAccessList', ['whitelist'], ok(['x', 'y']))
    await party.quiet()
  })
}

/** Two nodes, or two sockets of one, do the same at once. */
function races(scene) {
  scene('one list changed by many at once: all that was accepted is in it, and the limit holds', async party => {
    const LIMIT = 20
    const [room, a, b] = await gather(party, ['ann', 'bob'], { enableAccessListsUpdates: false })
    await a.calls('roomAddToList', [room, 'adminlist', [b.user]], ok())
    const add = async (_, i) => [`${i}`, await [a, b][i % 2].ask('roomAddToList', room, 'whitelist', [`${i}`])]
    const answers = await Promise.all(Array.from({ length: 2 * LIMIT }, add))
    const accepted = answers.filter(([, [error]]) => error === null).map(([name]) => name)
    assert.equal(accepted.length, LIMIT)
    for (const [, answer] of answers.filter(([, [error]]) => error !== null)) assert.deepEqual(answer, no('listLimitExceeded', 'whitelist'))
    await party.forget()
    await a.calls('roomGetAccessList', [room, 'whitelist'], ok(accepted))
  })

  scene('one room made by many at once has one owner', async party => {
    const clients = []
    for (const name of ['ann', 'bob', 'cleo', 'dora']) clients.push(await party.user(name))
    const room = party.fresh('room')
    const answers = await Promise.all(clients.map(client => client.ask('roomCreate', room, false)))
    const makers = clients.filter((_, i) => answers[i][0] === null)
    assert.equal(makers.length, 1)
    for (const answer of answers.filter(([error]) => error !== null)) assert.deepEqual(answer, no('roomExists', room))
    await party.forget()
    await makers[0].calls('roomGetOwner', [room], ok(makers[0].user))
  })

  scene('joins and leaves of one user at once run one by one', async party => {
    const [room, a] = await gather(party, ['ann'])
    const b = await party.user('bob'), b2 = await party.again(b)
    for (let round = 0; round < 10; round++) {
      const joins = await Promise.all([b, b2].map(socket => socket.ask('roomJoin', room)))
      assert.deepEqual(joins.map(([, count]) => count).sort(), [1, 2])
      const leaves = await Promise.all([b, b2].map(socket => socket.ask('roomLeave', room)))
      assert.deepEqual(leaves.map(([, count]) => count).sort(), [0, 1])
    }
    await a.sees(...Array.from({ length: 10 }, () => [joined(room, b), left(room, b)]).flat())
    await a.quiet()
  })

  scene('who is blacklisted while he joins is not in the room', async party => {
    const [room, a] = await gather(party, ['ann'], { enableAccessListsUpdates: false })
    const b = await party.user('bob')
    for (let round = 0; round < 10; round++) {
      const [[refused]] = await Promise.all([b.ask('roomJoin', room), a.ask('roomAddToList', room, 'blacklist', [b.user])])
      if (refused !== null) assert.deepEqual([refused, null], no('notAllowed'))
      assert.deepEqual(await a.ask('roomGetAccessList', room, 'userlist'), ok([a.user]))
      assert.deepEqual(await b.ask('listOwnSockets'), ok({ [b.id]: [] }))
      assert.deepEqual(await a.ask('roomRemoveFromList', room, 'blacklist', [b.user]), ok())
    }
  })
}

for (const site of [...SITES, ...ON_REDIS]) describe(site.name, () => {
  describe('presence', () => presence(stand(site, { title: 'presence', values: ALL_ON }).scene))
  describe('permissions', () => permissions(stand(site, { title: 'permissions', values: ALL_ON }).scene))
  describe('history', () => history(stand(site, { title: 'history', values: { ...ALL_ON, HISTORY_MAX_SIZE: 5, HISTORY_MAX_GET_MESSAGES: 3 } }).scene))
  describe('direct messages', () => direct(stand(site, { title: 'direct messages', values: ALL_ON }).scene))
  describe('at once', () => races(stand(site, { title: 'at once', values: { ...ALL_ON, ROOM_LIST_SIZE_LIMIT: 20 } }).scene))

  describe('by default', () => {
    const { scene } = stand(site, { title: 'defaults' })

    scene('a history of any size is answered, and its asker stays', async party => {
      const [room, a] = await gather(party, ['ann'])
      const bytes = 400_000, count = 30, letters = 'abcdefghijklmnopqrstuvwxyzäöüß'
      const texts = [...letters].map(letter => letter.repeat(bytes / Buffer.byteLength(letter)))
      for (const [at, text] of texts.entries()) await a.calls('roomMessage', [room, { textMessage: text }], ok(at + 1), said(room, a, at + 1, text))
      const told = ([error, messages]) => [error, messages?.map(({ id, textMessage }) => [id, textMessage === texts[id - 1]])]
      const whole = [null, texts.map((_, at) => [count - at, true])]
      for (let round = 0; round < 2; round++) {
        assert.deepEqual(told(await a.ask('roomRecentHistory', room)), whole)
        assert.deepEqual(told(await a.ask('roomHistoryGet', room, 0, 100)), whole)
      }
      const rounds = await Promise.all([1, 2, 3, 4].map(() => a.ask('roomHistoryGet', room, 0, 20)))
      for (const answer of rounds) assert.deepEqual(told(answer), [null, whole[1].slice(10)])
      assert.deepEqual(await a.ask('roomLeave', room), [null, 0])
    })

    scene('a message has a size, and a larger one is nobody\'s', async party => {
      const [room, a] = await gather(party, ['ann'])
      const most = 500 * 1024, text = 'x'.repeat(most - '{"textMessage":""}'.length)
      await a.calls('roomMessage', [room, { textMessage: `${text}x` }], no('messageTooLarge', most))
      await a.calls('roomMessage', [room, { textMessage: text }], ok(1), said(room, a, 1, text))
      const body = { command: 'roomMessage', args: [room, { textMessage: `${text}x` }], bypassPermissions: true }
      await party.fails('execUserCommand', body, 'messageTooLarge', most)
      await party.quiet()
    })

    scene('nobody makes rooms, writes to another or is told who comes', async party => {
      const [room, a, b] = await gather(party, ['ann', 'bob'])
      await a.calls('roomCreate', [party.fresh('room'), false], no('notAllowed'))
      await a.calls('roomDelete', [room], no('notAllowed'))
      for (const to of [b.user, a.user, 'nobody']) await a.calls('directMessage', [to, { textMessage: 'x' }], no('notAllowed'))
      const body = { command: 'directMessage', args: [b.user, { textMessage: 'x' }], userName: a.user, bypassPermissions: true }
      await party.fails('execUserCommand', body, 'notAllowed')
      await a.calls('roomNotificationsInfo', [room], ok({ enableUserlistUpdates: false, enableAccessListsUpdates: false }))
      await b.calls('roomLeave', [room], ok(0))
      await a.calls('roomAddToList', [room, 'whitelist', ['x']], ok())
      await a.calls('roomSetWhitelistMode', [room, true], ok())
      await party.quiet()
    })
  })

  if (site.clustered) describe('a node that dies', () => {
    const values = { ...ALL_ON, HEARTBEAT_RATE: '1s', HEARTBEAT_TIMEOUT: '4s' }
    const { scene } = stand(site, { title: 'a dead node', values })

    scene('its users leave, once', async (party, { server }) => {
      const [stays, dies] = server.nodes
      const a = await party.user('ann', { node: stays }), b = await party.user('bob', { node: dies }), c = await party.user('cleo', { node: stays })
      const c2 = await party.again(c, [c], { node: dies })
      const room = await party.room({ owner: a.user })
      await party.enter(room, a, b, c, c2)
      a.patience = c.patience = 60_000
      await dies.kill()
      await a.sees(left(room, b))
      await c.seesInAnyOrder(left(room, b), event('roomLeftEcho', room, c2.id, 1), event('socketDisconnectEcho', c2.id, 1))
      await c.calls('listOwnSockets', [], ok({ [c.id]: [room] }))
      await a.calls('roomGetAccessList', [room, 'userlist'], ok([a.user, c.user]))
      await dies.start()
      const again = await party.user('bob', { user: b.user, node: dies })
      await again.calls('listOwnSockets', [], ok({ [again.id]: [] }))
      await again.calls('roomJoin', [room], ok(1), joined(room, again))
      for (const member of [a, c]) await member.sees(joined(room, again))
      await a.quiet()
    })
  })
})
