// Each of the 24 commands of chat-service with every wrong count and type of arguments, names that nothing can have, lists above their limits and messages with
// reserved fields. The answer is the original's error, and nothing is half done.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { COMMANDS, ALLOWED, FORBIDDEN, GOOD, ROOM_READS, WRONG, no, noRaw, ok } from './chat-service/contract.mjs'
import { event, gone } from './chat-service/client.mjs'
import { difference } from './chat-service/match.mjs'
import { stand } from './chat-service/party.mjs'
import { ALL_ON, ON_REDIS, SITES } from './chat-service/stage.mjs'
import { wire } from './wires.mjs'

const good = types => types.map(type => GOOD[type])
/** Each value that is not of its type, in its place: `[place, value, args]`. */
const wrongs = types => types.flatMap((type, place) => WRONG[type].map(value => [place, value, good(types).with(place, value)]))
const isBinary = value => JSON.stringify(value)?.includes('"type":"Buffer"')

/** The answer to a wrong number of arguments. The contract does not say whether raw errors have numbers or texts there. */
function isCount(answer, error, expected, got) {
  const [wanted] = error('wrongArgumentsCount', expected, got)
  const [seen, data] = answer
  if (wanted.args) assert.deepEqual({ ...seen, args: seen?.args?.map(String) }, { ...wanted, args: wanted.args.map(String) })
  else assert.equal(seen, wanted)
  assert.equal(data, null)
}

function is(answer, expected, what) {
  const found = difference({ ack: '', args: expected }, { ack: '', args: answer })
  assert.equal(found, undefined, `${what}: ${found}`)
}

/** What is told of arguments, whatever the store: `error` is how. */
function argumentsOf(scene, error, { binary = true } = {}) {
  for (const [command, types] of Object.entries(COMMANDS)) {
    scene(`${command}: too few arguments`, async party => {
      const a = await party.user('ann')
      for (let count = 0; count < types.length; count++) {
        isCount(await a.ask(command, ...good(types).slice(0, count)), error, types.length, count)
        // The number is looked at before the types.
        isCount(await a.ask(command, ...Array(count).fill({ wrong: 1 })), error, types.length, count)
      }
      for (const entry of a.log.slice(a.cursor)) assert.ok(entry.ack, 'nothing but acknowledgements')
    })

    scene(`${command}: arguments of wrong types`, async party => {
      const [a, b] = [await party.user('ann'), await party.user('bob')]
      for (const [place, value, args] of wrongs(types).filter(([, value]) => binary || !isBinary(value))) {
        is(await a.ask(command, ...args), error('badArgument', place, value), `${command} ${JSON.stringify(args)}`)
        // The same with more than it takes, and without anybody who waits for the answer.
        is(await a.ask(command, ...args, 'more'), error('badArgument', place, value), `${command} ${JSON.stringify(args)} and more`)
        a.fire(command, ...args)
      }
      if (types.length > 1) {
        const all = types.map(type => WRONG[type][0])
        is(await a.ask(command, ...all), error('badArgument', 0, all[0]), 'the first that is wrong is named')
      }
      for (const entry of a.log.slice(a.cursor)) assert.ok(entry.ack, 'nothing but acknowledgements')
      await b.quiet()
    })
  }

  scene('arguments beyond a command\'s own are accepted', async party => {
    const a = await party.user('ann')
    const room = await party.room({ owner: a.user })
    const more = [null, { a: [1] }, 'x', [[]], 5]
    const answers = {
      directAddToList: [['blacklist', ['x']], null], directGetAccessList: [['blacklist'], ['x']], directRemoveFromList: [['blacklist', ['x']], null],
      directSetWhitelistMode: [[true], null], directGetWhitelistMode: [[], true],
      listOwnSockets: [[], { [a.id]: [] }],
      roomJoin: [[room], 1], roomMessage: [[room, { textMessage: 'x' }], 1],
      roomAddToList: [[room, 'whitelist', ['x']], null], roomGetAccessList: [[room, 'whitelist'], ['x']], roomRemoveFromList: [[room, 'whitelist', ['x']], null],
      roomGetOwner: [[room], a.user], roomGetWhitelistMode: [[room], false], roomSetWhitelistMode: [[room, false], null],
      roomHistoryInfo: [[room], { historySize: 1, historyMaxSize: 10000, historyMaxGetMessages: 100, lastMessageId: 1 }],
      roomHistoryGet: [[room, 1, 1], []], roomNotificationsInfo: [[room], { enableUserlistUpdates: true, enableAccessListsUpdates: true }],
      roomUserSeen: [[room, 'x'], { joined: false, timestamp: null }], roomLeave: [[room], 0], systemMessage: [[5], null],
      roomCreate: [[party.fresh('more'), false], null], roomDelete: [[room], null],
    }
    for (const [command, [args, data]] of Object.entries(answers)) is(await a.ask(command, ...args, ...more), ok(data), command)
    assert.equal((await a.ask('roomRecentHistory', 'none', ...more))[1], null)
    is(await a.ask('directMessage', 'nobody', { textMessage: 'x' }, ...more), error('noUser', 'nobody'), 'directMessage')
  })

  scene('a room that is not there', async party => {
    const a = await party.user('ann')
    for (const [command, types] of Object.entries(COMMANDS).filter(([command, types]) => types[0] === 'text' && /^room(?!Create)/.test(command))) {
      for (const room of ['none', '', 'a:b', '__proto__', 'constructor']) {
        is(await a.ask(command, ...good(types).with(0, room)), error('noRoom', room), `${command} ${room}`)
      }
    }
  })

  scene('a list that is not there', async party => {
    const a = await party.user('ann')
    const room = await party.room({ owner: a.user })
    for (const list of ['', 'nolist', 'Blacklist', '__proto__', 'owner', 'messages']) {
      is(await a.ask('roomGetAccessList', room, list), error('noList', list), list)
      for (const command of ['roomAddToList', 'roomRemoveFromList']) is(await a.ask(command, room, list, ['x']), error('noList', list), `${command} ${list}`)
      is(await a.ask('directGetAccessList', list), error('noList', list), `direct ${list}`)
      for (const command of ['directAddToList', 'directRemoveFromList']) is(await a.ask(command, list, ['x']), error('noList', list), `${command} ${list}`)
    }
    for (const list of ['adminlist', 'userlist']) is(await a.ask('directGetAccessList', list), error('noList', list), `direct ${list}`)
    for (const command of ['roomAddToList', 'roomRemoveFromList']) is(await a.ask(command, room, 'userlist', ['x']), error('notAllowed'), 'userlist')
  })

  scene('names that nothing can have', async party => {
    const a = await party.user('ann')
    for (const name of FORBIDDEN) {
      is(await a.ask('roomCreate', name, false), error('invalidName', name), JSON.stringify(name))
      await party.fails('addRoom', { roomName: name }, 'invalidName', name)
      await party.fails('addUser', { userName: name }, 'invalidName', name)
      assert.equal(await party.does('hasRoom', { roomName: name }), false)
      assert.equal(await party.does('hasUser', { userName: name }), false)
    }
  })

  scene('names that are too long for a list', async party => {
    const a = await party.user('ann')
    const room = await party.room({ owner: a.user })
    const [longest, longer] = [1024, 1025].map(length => 'x'.repeat(length))
    for (const [command, ...on] of [['roomAddToList', room, 'whitelist'], ['directAddToList', 'whitelist']]) {
      is(await a.ask(command, ...on, [longest]), [null, null], command)
      is(await a.ask(command, ...on, ['y', longer]), error('invalidName', longer), command)
    }
    is(await a.ask('roomGetAccessList', room, 'whitelist'), [null, [longest]], 'what is refused is not added in part')
    is(await a.ask('directGetAccessList', 'whitelist'), [null, [longest]], 'what is refused is not added in part')
    await party.fails('addRoom', { roomName: party.fresh('room'), state: { blacklist: [longer] } }, 'invalidName', longer)
    await party.fails('addUser', { userName: party.fresh('user'), state: { blacklist: [longer] } }, 'invalidName', longer)
    await party.fails('changeRoomOwner', { roomName: room, owner: longer }, 'invalidName', longer)
  })
}

/** What depends on the store as well. */
function nothingHalfDone(scene) {
  scene('what is refused changes nothing', async party => {
    const a = await party.user('ann')
    const room = await party.room({ owner: a.user, blacklist: ['x'], whitelist: ['y'], adminlist: ['z'] })
    for (const names of WRONG.names) {
      for (const list of ['blacklist', 'whitelist', 'adminlist']) {
        for (const command of ['roomAddToList', 'roomRemoveFromList']) assert.notEqual((await a.ask(command, room, list, names))[0], null)
      }
      assert.notEqual((await a.ask('directAddToList', 'blacklist', names))[0], null)
    }
    a.cursor = a.log.length
    await a.calls('roomGetAccessList', [room, 'blacklist'], ok(['x']))
    await a.calls('roomGetAccessList', [room, 'whitelist'], ok(['y']))
    await a.calls('roomGetAccessList', [room, 'adminlist'], ok(['z']))
    await a.calls('directGetAccessList', ['blacklist'], ok([]))
    for (const mode of WRONG.bool) {
      const name = party.fresh('room')
      assert.notEqual((await a.ask('roomCreate', name, mode))[0], null)
      assert.equal(await party.does('hasRoom', { roomName: name }), false)
      assert.notEqual((await a.ask('roomSetWhitelistMode', room, mode))[0], null)
      assert.notEqual((await a.ask('directSetWhitelistMode', mode))[0], null)
    }
    a.cursor = a.log.length
    await a.calls('roomGetWhitelistMode', [room], ok(false))
    await a.calls('directGetWhitelistMode', [], ok(false))
    await party.enter(room, a)
    for (const message of WRONG.message) assert.notEqual((await a.ask('roomMessage', room, message))[0], null)
    a.cursor = a.log.length
    await a.calls('roomHistoryInfo', [room], ok({ historySize: 0, historyMaxSize: 10000, historyMaxGetMessages: 100, lastMessageId: 0 }))
    await a.quiet()
  })

  scene('names like others, whatever something may think of them', async party => {
    for (const name of ALLOWED) {
      const room = `${name}`
      const a = await party.user('ann', { user: name })
      await a.calls('roomCreate', [room, false], ok())
      await a.calls('roomCreate', [room, false], no('roomExists', room))
      await party.fails('addRoom', { roomName: room }, 'roomExists', room)
      await party.fails('addUser', { userName: name }, 'userExists', name)
      await a.calls('roomJoin', [room], ok(1), event('roomUserJoined', room, name))
      await a.calls('roomMessage', [room, { textMessage: name }], ok(1), event('roomMessage', room, { textMessage: name, author: name, timestamp: '{ts}', id: 1 }))
      await a.calls('roomAddToList', [room, 'whitelist', [name]], ok(), event('roomAccessListAdded', room, 'whitelist', [name]))
      await a.calls('roomGetAccessList', [room, 'whitelist'], ok([name]))
      await a.calls('roomGetAccessList', [room, 'userlist'], ok([name]))
      await a.calls('roomGetOwner', [room], ok(name))
      await a.calls('roomUserSeen', [room, name], ok({ joined: true, timestamp: '{ts}' }))
      await a.calls('listOwnSockets', [], ok({ [a.id]: [room] }))
      await a.calls('roomLeave', [room], ok(0))
      await a.calls('roomDelete', [room], ok())
      await a.quiet()
      a.close()
    }
  })

  scene('users whose names nothing can have may not sign in', async party => {
    for (const name of FORBIDDEN.filter(Boolean)) {
      const a = party.opens('bad', { user: name })
      await a.sees(event('loginRejected', ...no('invalidName', name).slice(0, 1)), gone())
    }
  })

  scene('names in lists may be any texts', async party => {
    const a = await party.user('ann')
    const room = await party.room({ owner: a.user })
    const names = [...new Set([...FORBIDDEN, ...ALLOWED])]
    await a.calls('roomAddToList', [room, 'blacklist', names], ok())
    await a.calls('roomGetAccessList', [room, 'blacklist'], ok(names))
    await a.calls('directAddToList', ['whitelist', names], ok())
    await a.calls('directGetAccessList', ['whitelist'], ok(names))
    for (const item of names) {
      assert.equal(await party.does('roomHasInList', { roomName: room, listName: 'blacklist', item }), true)
      assert.equal(await party.does('userHasInList', { userName: a.user, listName: 'whitelist', item }), true)
    }
    await a.calls('roomRemoveFromList', [room, 'blacklist', names.slice(1)], ok())
    await a.calls('roomGetAccessList', [room, 'blacklist'], ok(names.slice(0, 1)))
    await a.calls('roomUserSeen', [room, ''], ok({ joined: false, timestamp: null }))
  })

  scene('texts that are long, or that something may stumble over', async party => {
    const a = await party.user('ann')
    const room = await party.room({ owner: a.user })
    await party.enter(room, a)
    for (const [i, textMessage] of ['', 'x'.repeat(200_000), '\0\u0001\u001f\u007f', '"\\/\b\f', '\u2028\u2029', 'é😀', '{id}', '%s%j', '__proto__'].entries()) {
      const message = { textMessage, author: a.user, timestamp: '{ts}', id: i + 1 }
      await a.calls('roomMessage', [room, { textMessage }], ok(i + 1), event('roomMessage', room, message))
      await a.calls('roomHistoryGet', [room, i, 1], ok([message]))
    }
  })

  scene('numbers of the history at their ends', async party => {
    const a = await party.user('ann')
    const room = await party.room({ owner: a.user })
    await party.enter(room, a)
    await a.ask('roomMessage', room, { textMessage: 'x' })
    await party.forget(a)
    const x = { textMessage: 'x', author: a.user, timestamp: '{ts}', id: 1 }
    for (const limit of [1, 100, 101, 2 ** 31, 2 ** 32, 2 ** 53, 1e21, 1e300]) await a.calls('roomHistoryGet', [room, 0, limit], ok([x]))
    for (const id of [1, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63, 2 ** 64, 1e21, 1e300]) await a.calls('roomHistoryGet', [room, id, 1e300], ok([]))
    await a.calls('roomHistoryGet', [room, -0, 1], ok([x]))
  })

  scene('a room is told nothing by those who are not in it', async party => {
    const [a, b] = [await party.user('ann'), await party.user('bob')]
    const room = await party.room({ owner: a.user })
    for (const command of ROOM_READS) {
      const args = good(COMMANDS[command]).with(0, room)
      const listed = command === 'roomGetAccessList' ? args.with(1, 'whitelist') : args
      is(await b.ask(command, ...listed), no('notJoined', room), command)
      assert.equal((await a.ask(command, ...listed))[0], null, `${command} by the owner`)
    }
    // Who may not look is not told whether there is such a list.
    is(await b.ask('roomGetAccessList', room, 'nolist'), no('notJoined', room), 'a list that is not there')
    is(await b.ask('roomAddToList', room, 'nolist', ['x']), no('notAllowed'), 'a list that is not there')
  })
}

function limits(scene) {
  const LIMIT = 3

  for (const list of ['blacklist', 'whitelist', 'adminlist']) {
    scene(`a room's ${list} above its limit: the names given are counted, whichever they are`, async party => {
      const a = await party.user('ann')
      const room = await party.room({ owner: a.user })
      const add = (names, answer) => a.calls('roomAddToList', [room, list, names], answer)
      const has = names => a.calls('roomGetAccessList', [room, list], ok(names))
      await add(['1', '2', '3', '4'], no('listLimitExceeded', list))
      await has([])
      await add(['1', '1', '1', '1'], no('listLimitExceeded', list))
      await add(['1', '1'], ok())
      await has(['1'])
      await add(['1', '1', '1'], no('listLimitExceeded', list))
      await add(['2', '3'], ok())
      await has(['1', '2', '3'])
      await add(['1'], no('listLimitExceeded', list))
      await add([], ok())
      await a.calls('roomRemoveFromList', [room, list, ['1', '1', '2', 'x', 'y', 'z']], ok())
      await has(['3'])
      await add(['4', '5'], ok())
      await has(['3', '4', '5'])
      // The order of refusals: the room, the right, the list, the limit.
      await a.calls('roomAddToList', ['none', list, ['1', '2', '3', '4']], no('noRoom', 'none'))
      const b = await party.user('bob')
      await b.calls('roomAddToList', [room, list, ['1', '2', '3', '4']], no('notAllowed'))
      // Whoever runs the server may do what users may not, but not this.
      const args = [room, list, ['x']]
      for (const bypassPermissions of [false, true]) {
        await party.fails('execUserCommand', { command: 'roomAddToList', args, userName: a.user, bypassPermissions }, 'listLimitExceeded', list)
      }
    })
  }

  scene('what addRoom and addUser are given is not limited, what is added to it is', async party => {
    const a = await party.user('ann')
    const names = Array.from({ length: 2 * LIMIT }, (_, i) => `${i}`)
    const room = await party.room({ owner: a.user, blacklist: names, whitelist: names, adminlist: names })
    for (const list of ['blacklist', 'whitelist', 'adminlist']) {
      await a.calls('roomGetAccessList', [room, list], ok(names))
      await a.calls('roomAddToList', [room, list, []], no('listLimitExceeded', list))
      await a.calls('roomAddToList', [room, list, ['x']], no('listLimitExceeded', list))
    }
    const userName = party.fresh('user')
    await party.does('addUser', { userName, state: { blacklist: names } })
    assert.equal(await party.does('userHasInList', { userName, listName: 'blacklist', item: '5' }), true)
  })

  for (const list of ['blacklist', 'whitelist']) {
    scene(`a user's ${list} above its limit`, async party => {
      const a = await party.user('ann')
      const add = (names, answer) => a.calls('directAddToList', [list, names], answer)
      const has = names => a.calls('directGetAccessList', [list], ok(names))
      await add(['1', '2', '3', '4'], no('listLimitExceeded', list))
      await has([])
      await add(['1', '2', '2'], ok())
      await has(['1', '2'])
      await add(['1', '2'], no('listLimitExceeded', list))
      await add(['3'], ok())
      await add(['3'], no('listLimitExceeded', list))
      await has(['1', '2', '3'])
      await a.calls('directRemoveFromList', [list, ['1', '2', '3', '4', '5']], ok())
      await has([])
    })
  }
}

for (const site of [...SITES, ...ON_REDIS]) describe(site.name, () => {
  describe('arguments, told in texts', () => {
    argumentsOf(stand(site, { title: 'commands', values: ALL_ON }).scene, no)
  })

  describe('nothing half done', () => {
    nothingHalfDone(stand(site, { title: 'nothing half done', values: ALL_ON }).scene)
  })

  describe('limits', () => {
    const values = { ...ALL_ON, ENABLE_ACCESS_LISTS_UPDATES: false, DIRECT_LIST_SIZE_LIMIT: 3, ROOM_LIST_SIZE_LIMIT: 3 }
    limits(stand(site, { title: 'limits of lists', values }).scene)
  })
})

// The carriers and the form of errors have no store in them.
for (const site of SITES.filter(({ clustered }) => !clustered)) {
  describe('arguments, told as objects', () => {
    argumentsOf(stand(site, { title: 'raw errors', values: { ...ALL_ON, USE_RAW_ERROR_OBJECTS: true } }).scene, noRaw, { binary: false })
  })
  for (const way of [wire(4, 'polling only'), wire(3, 'polling with upgrade'), wire(1, 'websocket only')]) {
    describe(`arguments by ${way.name}`, () => {
      argumentsOf(stand(site, { title: way.name, values: ALL_ON, way }).scene, no)
    })
  }
}
