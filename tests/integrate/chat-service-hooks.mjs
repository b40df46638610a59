// A business server in Node that chat-service asks by its hooks; each question is verified by the library of Standard Webhooks. What an answer does, and that
// anything which is no whole answer is never consent. On files, on Redis with MongoDB and two nodes, and on Redis alone.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { Business, broken, hang, raw } from '../clients/chat-service/business.mjs'
import { ChatClient, event } from '../clients/chat-service/client.mjs'
import { COMMANDS, no, noRaw, ok, text } from '../clients/chat-service/contract.mjs'
import { difference } from '../clients/chat-service/match.mjs'
import { stand } from '../clients/chat-service/party.mjs'
import { ALL_ON, ON_REDIS, SITES, settings } from '../clients/chat-service/stage.mjs'
import { eventually } from '../clients/http.mjs'
import { Server } from '../clients/server.mjs'
import { wire } from '../clients/wires.mjs'

/** The library of Standard Webhooks as the judge of signatures. */
const verify = secret => {
  const webhook = new Webhook(secret)
  return (body, headers) => webhook.verify(body, headers)
}
const QUIET = { ...ALL_ON, ENABLE_USERLIST_UPDATES: false, ENABLE_ACCESS_LISTS_UPDATES: false }
/** What roomHistoryInfo says of a room in which nothing was ever said. */
const EMPTY = { historySize: 0, historyMaxSize: 10000, historyMaxGetMessages: 100, lastMessageId: 0 }
const failed = hook => no('internalError', `hook ${hook} failed`)

/** What is no answer: status, no object, broken. Each with whether it takes until the timeout. */
const NO_ANSWERS = {
  'a connection that breaks': broken, 'status 500': raw(500, '{}'), 'status 201': raw(201, '{}'), 'status 400': raw(400, '{"error":"Error: x"}'),
  'a page of HTML': raw(200, '<html>'), nothing: raw(200, ''), 'a list': raw(200, '[]'),
  null: raw(200, 'null'), 'a text': raw(200, '"x"'), 'a number': raw(200, '1'),
  'half an object': raw(200, '{"error":'), 'two objects': raw(200, '{}{}'), 'no answer in time': hang,
  'an error that is a number': { error: 5 }, 'an error that is an object of nothing': { error: {} }, 'an error whose code is a number': { error: { code: 5 } },
  'an error whose args are no list': { error: { code: 'notAllowed', args: 'x' } },
}

/** Of these bodies exactly those are expected, without instance; of several nodes in any order. */
function are(bodies, ...expected) {
  assert.equal(bodies.length, expected.length, JSON.stringify(bodies))
  for (const [i, { instance, ...body }] of bodies.entries()) assert.equal(difference(expected[i], body), undefined)
}

/** What a hook of a command of a client is asked by. */
const asked = (client, command, when, args, more = {}) => ({
  hook: command + when, command, userName: client.user, id: client.id, bypassPermissions: false, isLocalCall: false, args, restArgs: [], data: {}, ...more,
})
const bodies = (business, hook, client) => business.asked(hook).map(({ body }) => body).filter(({ userName }) => !client || userName === client.user)

function logins(scene) {
  scene('onConnect: who it is, and what he is told', async (party, { business }) => {
    business.on('onConnect', ({ handshake }) => ({ userName: `${handshake.query.user}!`, authData: { level: 3, id: 'overwritten', deep: [{ x: null }] } }))
    const a = party.opens('ann')
    await a.until('its login', () => a.log.length > 0)
    await a.sees(event('loginConfirmed', `${a.user}!`, { level: 3, id: a.id, deep: [{ x: null }] }))
    const [{ body }] = business.asked('onConnect')
    assert.deepEqual([body.id, body.handshake.query.user], [a.id, a.user])
    for (const field of ['query', 'headers', 'auth', 'address']) assert.ok(Object.hasOwn(body.handshake, field), field)
    assert.match(body.handshake.address, /127\.0\.0\.1/)
    assert.equal(typeof body.handshake.headers.host, 'string')
  })

  scene('onConnect has the auth of a version 4 client', async (party, { business }) => {
    await party.user('ann', { wire: wire(4, 'websocket only'), auth: { secret: ['x', 1] } })
    assert.deepEqual(business.asked('onConnect')[0].body.handshake.auth, { secret: ['x', 1] })
  })

  scene('onConnect refuses', async (party, { business }) => {
    for (const [error, told] of [
      ['Error: go away', 'Error: go away'], [{ code: 'notAllowed' }, text('notAllowed')],
      [{ code: 'too late', args: [1] }, 'ChatServiceError: too late'], [{ code: 'noUser', args: ['x'] }, text('noUser', 'x')],
    ]) {
      business.on('onConnect', { error })
      await party.isRejected(told)
    }
    for (const answer of [{}, undefined]) {
      business.on('onConnect', answer)
      await party.isRejected(text('noLogin'))
    }
  })

  const wrong = { 'a name that is no text': { userName: 5 }, 'authData that is no object': { userName: 'x', authData: 5 } }
  for (const [what, answer] of Object.entries({ ...NO_ANSWERS, ...wrong })) {
    scene(`onConnect, and no answer: ${what}`, async (party, { business }) => {
      business.on('onConnect', answer)
      await party.isRejected(failed('onConnect')[0])
      assert.equal(business.asked('onConnect').length, 1, 'it is asked once')
    })
  }

  scene('the middleware refuses before the namespace is entered', async (party, { business }) => {
    for (const way of [wire(1, 'websocket only'), wire(2, 'polling only'), wire(3, 'websocket only'), wire(4, 'polling with upgrade')]) {
      business.on('middleware', { error: 'not you' })
      await party.opens('stranger', { wire: way }).sees({ refused: 'not you' })
      assert.deepEqual(business.asked('onConnect'), [])
      const [{ body }] = business.asked('middleware')
      for (const field of ['query', 'headers', 'auth', 'address']) assert.ok(Object.hasOwn(body.handshake, field), field)
      business.reset()
      await party.user('ann', { wire: way })
      assert.equal(business.asked('middleware').length, 1)
      business.reset()
    }
  })

  for (const [what, answer] of Object.entries(NO_ANSWERS)) {
    scene(`the middleware, and no answer: ${what}`, async (party, { business }) => {
      business.on('middleware', answer)
      const a = party.opens('stranger')
      await a.until('to be refused', () => a.log.length > 0)
      assert.match(a.log[0].refused, /hook middleware failed/)
      assert.deepEqual(business.asked('onConnect'), [])
    })
  }
}

function joins(scene) {
  scene('onJoin is asked for a socket that joins, and no other time', async (party, { business }) => {
    const a = await party.user('ann'), a2 = await party.again(a)
    const room = await party.room({ owner: a.user })
    await party.enter(room, a, a2)
    await a.calls('roomJoin', [room], ok(2))
    const of = (socket, njoined) => ({ hook: 'onJoin', userName: a.user, id: socket.id, roomName: room, njoined })
    are(bodies(business, 'onJoin', a), of(a, 1), of(a2, 2))
    await a.calls('roomLeave', [room], ok(1))
    are(bodies(business, 'onLeave', a), { ...of(a, 1), hook: 'onLeave' })
    await a.calls('roomLeave', [room], ok(1))
    assert.equal(bodies(business, 'onLeave', a).length, 1)
  })

  for (const [what, answer, error] of [
    ['a text', { error: 'Error: full' }, ['Error: full', null]], ['a code', { error: { code: 'notAllowed' } }, no('notAllowed')],
    ['no answer', raw(500), failed('onJoin')], ['no answer in time', hang, failed('onJoin')],
  ]) {
    scene(`onJoin refuses by ${what}: nothing is left of the join`, async (party, { business }) => {
      const a = await party.user('ann'), b = await party.user('bob'), b2 = await party.again(b)
      const room = await party.room({ owner: a.user, enableUserlistUpdates: true })
      await party.enter(room, a)
      business.on('onJoin', answer)
      await b.calls('roomJoin', [room], error)
      await a.calls('roomGetAccessList', [room, 'userlist'], ok([a.user]))
      await a.calls('roomMessage', [room, { textMessage: 'x' }], ok(1), event('roomMessage', room, { textMessage: 'x', author: a.user, timestamp: '{ts}', id: 1 }))
      await b.calls('roomMessage', [room, { textMessage: 'x' }], no('notJoined', room))
      await b.calls('listOwnSockets', [], ok({ [b.id]: [], [b2.id]: [] }))
      await party.quiet()
      business.on('onJoin', {})
      await b.calls('roomJoin', [room], ok(1), event('roomUserJoined', room, b.user))
      await a.sees(event('roomUserJoined', room, b.user))
      await b2.sees(event('roomJoinedEcho', room, b.id, 1))
      await party.quiet()
    })
  }

  scene('onLeave is awaited, whatever it answers', async (party, { business }) => {
    const a = await party.user('ann')
    for (const answer of [{ error: 'Error: no' }, raw(500), broken, raw(200, '[]'), hang]) {
      const room = await party.room()
      await party.enter(room, a)
      business.on('onLeave', answer)
      await a.calls('roomLeave', [room], ok(0))
      are(bodies(business, 'onLeave', a).filter(({ roomName }) => roomName === room), { hook: 'onLeave', userName: a.user, id: a.id, roomName: room, njoined: 0 })
    }
    let released
    const until = new Promise(resolve => { released = resolve })
    const room = await party.room()
    await party.enter(room, a)
    business.on('onLeave', async () => { await until; return {} })
    a.emit('roomLeave', [room])
    await business.called('onLeave', { fits: ({ roomName }) => roomName === room })
    const before = a.log.length
    released()
    await a.sees({ ack: 'roomLeave', args: [null, 0] })
    assert.equal(a.log.length, before + 1, 'it was acknowledged behind the hook')
  })

  scene('access that is lost: onLeave for each socket, and none is left', async (party, { business }) => {
    const a = await party.user('ann'), b = await party.user('bob'), b2 = await party.again(b)
    const room = await party.room({ owner: a.user })
    await party.enter(room, a, b, b2)
    await a.calls('roomAddToList', [room, 'blacklist', [b.user]], ok())
    const seen = await business.called('onLeave', { count: 2, fits: ({ userName }) => userName === b.user })
    assert.deepEqual(seen.map(({ id, roomName, njoined }) => [id, roomName, njoined]).sort(), [b, b2].map(({ id }) => [id, room, 0]).sort())
    for (const socket of [b, b2]) await socket.sees(event('roomAccessRemoved', room))
  })

  scene('onDisconnect: what he leaves, and what is still joined', async (party, { business }) => {
    const a = await party.user('ann'), a2 = await party.again(a)
    const [one, two] = [await party.room(), await party.room()]
    await party.enter(one, a, a2)
    await party.enter(two, a)
    a.close()
    const [body] = await business.called('onDisconnect', { fits: ({ id }) => id === a.id })
    assert.equal(body.userName, a.user)
    assert.equal(body.nconnected, 1)
    assert.deepEqual([...body.roomsRemoved].sort(), [one, two].sort())
    const still = Array.isArray(body.joinedSockets) ? body.joinedSockets[body.roomsRemoved.indexOf(one)] : body.joinedSockets[one]
    assert.equal(Array.isArray(still) ? still.length : still, 1, 'one socket is still in the first room')
    const left = await business.called('onLeave', { count: 2, fits: ({ id }) => id === a.id })
    assert.deepEqual(left.map(({ roomName, njoined }) => [roomName, njoined]).sort(), [[one, 1], [two, 0]].sort())
    await a2.seesInAnyOrder(event('roomLeftEcho', one, a.id, 1), event('roomLeftEcho', two, a.id, 0), event('socketDisconnectEcho', a.id, 1))
  })
}

function checkers(scene) {
  const clean = { textMessage: 5, any: [{ thing: null }], nested: { id: 1, author: 'kept', timestamp: 2 } }

  scene('a message is any object, without id and time of its own, and its author is who sends it', async (party, { business }) => {
    const a = await party.user('ann'), b = await party.user('bob')
    const room = await party.room()
    await party.enter(room, a)
    const given = { id: 77, ...clean, timestamp: 1, author: 'mallory' }
    await a.calls('roomMessage', [room, given], ok(1), event('roomMessage', room, { ...clean, author: a.user, timestamp: '{ts}', id: 1 }))
    await a.calls('roomMessage', [room, {}], ok(2), event('roomMessage', room, { author: a.user, timestamp: '{ts}', id: 2 }))
    await a.calls('directMessage', [b.user, given], ok({ ...clean, author: a.user, timestamp: '{ts}' }))
    await b.sees(event('directMessage', { ...clean, author: a.user, timestamp: '{ts}' }))
    // A message of nobody keeps its own.
    assert.deepEqual(await party.executes('roomMessage', [room, { author: 'system', id: 5, x: 1 }], { bypassPermissions: true }), [3])
    await a.sees(event('roomMessage', room, { author: 'system', x: 1, timestamp: '{ts}', id: 3 }))
    assert.ok(business.asked('roomMessagesChecker').length >= 3)
    for (const { body } of [...business.asked('roomMessagesChecker'), ...business.asked('directMessagesChecker')]) assert.equal(typeof body.message, 'object')
  })

  scene('what is no object is a bad argument', async party => {
    const a = await party.user('ann')
    for (const message of [null, 'text', 5, true, [], [{ textMessage: 'x' }]]) {
      await a.calls('roomMessage', ['none', message], no('badArgument', 1, message))
      await a.calls('directMessage', ['none', message], no('badArgument', 1, message))
    }
  })

  for (const [hook, command] of [['roomMessagesChecker', 'roomMessage'], ['directMessagesChecker', 'directMessage']]) {
    scene(`${hook} refuses before all else, and what is no answer is no consent`, async (party, { business }) => {
      const a = await party.user('ann'), b = await party.user('bob')
      const room = await party.room()
      await party.enter(room, a)
      const to = command === 'roomMessage' ? room : b.user
      for (const [answer, error] of [
        [{ error: 'Error: too rude' }, ['Error: too rude', null]], [{ error: { code: 'badArgument', args: [1, 'x'] } }, no('badArgument', 1, 'x')],
        [{ error: { code: 'rude' } }, no('rude')], ...Object.values(NO_ANSWERS).map(answer => [answer, failed(hook)]),
      ]) {
        business.on(hook, answer)
        await a.calls(command, [to, { x: 1 }], error)
        // The checker comes before the handler, which would say that there is no such room or user.
        await a.calls(command, ['none', { x: 1 }], error)
        const { 0: shown } = error
        const problem = await party.does('checkArguments', { command, args: [to, { x: 1 }] }).then(() => undefined, told => told.message)
        assert.ok(problem?.includes(JSON.stringify(shown).slice(1, -1)), `checkArguments: ${problem}`)
      }
      await party.quiet()
      if (command === 'roomMessage') await a.calls('roomHistoryInfo', [room], ok(EMPTY))
    })
  }
}

/** An answer of `COMMANDBefore` that is an object and of no use. */
const WRONG_BEFORE = {
  'args that are no list': { args: 'x' }, 'too few args': { args: ['r'] }, 'too many args': { args: ['r', {}, 1] }, 'an arg of a wrong type': { args: [5, {}] },
  'a message that is none': { args: ['r', 'text'] }, 'restArgs that are no list': { restArgs: {} }, 'results that are no list': { results: 'x' },
}

function around(scene) {
  for (const [command, types] of Object.entries(COMMANDS)) {
    scene(`${command}: before and after, of clients and of the API`, async (party, { business }) => {
      const values = { text: party.fresh('none'), names: [], message: { textMessage: 'x' }, bool: true, id: 0, limit: 1, any: { x: [null] } }
      const args = types.map(type => values[type])
      const a = await party.user('ann')
      business.reset()
      const answer = await a.ask(command, ...args, 'rest', null)
      const [before] = bodies(business, `${command}Before`), [after] = bodies(business, `${command}After`)
      are([before], asked(a, command, 'Before', args, { restArgs: ['rest', null] }))
      assert.equal(after.results === null, after.error !== null, 'results, or an error')
      if (after.error) {
        const { name, code, args: of, text: told } = after.error
        assert.deepEqual([name, told], ['ChatServiceError', answer[0]])
        assert.equal(text(code, ...of), told)
      } else assert.equal(difference({ results: after.results }, { results: answer.slice(1) }), undefined)
      business.reset()
      const body = { command, args, userName: a.user, id: a.id, bypassPermissions: true }
      await party.does('execUserCommand', body).catch(() => {}) // there is no room of that name, or no such user
      assert.equal(bodies(business, `${command}Before`).length, 1)
      const [told] = bodies(business, `${command}Before`)
      assert.deepEqual([told.isLocalCall, told.bypassPermissions, told.userName, told.id], [true, true, a.user, a.id])
      business.reset()
      await party.does('execUserCommand', { ...body, bypassHooks: true }).catch(() => {})
      for (const when of ['Before', 'After']) assert.deepEqual(bodies(business, command + when), [], 'bypassHooks')
      if (types.length > 0) {
        await a.ask(command)
        for (const when of ['Before', 'After']) assert.deepEqual(bodies(business, command + when), [], 'what fails before skips both')
      }
    })
  }

  const enter = async party => {
    const a = await party.user('ann'), b = await party.user('bob')
    const room = await party.room({ owner: a.user })
    await party.enter(room, a, b)
    return [room, a, b]
  }
  const said = (room, client, id, message) => event('roomMessage', room, { ...message, author: client.user, timestamp: '{ts}', id })

  scene('before: other arguments, other rest, and data for the hook behind', async (party, { business }) => {
    const [room, a, b] = await enter(party)
    business.on('roomMessageBefore', ({ args }) => ({ args: [args[0], { colour: ['red'] }], restArgs: [1, 2], data: { seen: [true] } }))
    await a.calls('roomMessage', [room, { textMessage: 'x' }, 'mine'], ok(1), said(room, a, 1, { colour: ['red'] }))
    await b.sees(said(room, a, 1, { colour: ['red'] }))
    const [after] = bodies(business, 'roomMessageAfter')
    assert.deepEqual([after.restArgs, after.data, after.results, after.error], [[1, 2], { seen: [true] }, [1], null])
    assert.equal(difference({ args: [room, { colour: ['red'], author: a.user, timestamp: '{ts}', id: 1 }] }, { args: after.args }), undefined)
    await party.quiet()
  })

  scene('before: results end the command', async (party, { business }) => {
    const [room, a, b] = await enter(party)
    for (const [results, answer] of [[[77], [null, 77]], [[null, 'extra', [1]], [null, null, 'extra', [1]]], [[{ x: 1 }], [null, { x: 1 }]]]) {
      business.reset()
      business.on('roomMessageBefore', { results })
      await a.calls('roomMessage', [room, { textMessage: 'x' }], answer)
      assert.deepEqual(bodies(business, 'roomMessageAfter'), [])
    }
    business.on('roomMessageBefore', { results: [] })
    await a.calls('roomMessage', [room, { textMessage: 'x' }], ok(1), said(room, a, 1, { textMessage: 'x' }))
    await b.sees(said(room, a, 1, { textMessage: 'x' }))
    business.on('roomMessageBefore', { results: [1, 'more'] })
    assert.deepEqual(await party.executes('roomMessage', [room, { textMessage: 'x' }], { userName: a.user }), [1, 'more'])
    await party.quiet()
  })

  scene('before: a refusal, and what is no answer', async (party, { business }) => {
    const [room, a] = await enter(party)
    for (const [answer, error] of [
      [{ error: 'Error: not here' }, ['Error: not here', null]], [{ error: { code: 'notAllowed' } }, no('notAllowed')],
      [{ error: { code: 'noRoom', args: ['x'] } }, no('noRoom', 'x')], [{ error: { code: 'busy', args: [1] } }, no('busy')],
      ...[...Object.values(NO_ANSWERS), ...Object.values(WRONG_BEFORE)].map(answer => [answer, failed('roomMessageBefore')]),
    ]) {
      business.reset()
      business.on('roomMessageBefore', answer)
      await a.calls('roomMessage', [room, { textMessage: 'x' }], error)
      assert.equal(bodies(business, 'roomMessageBefore').length, 1, 'it is asked once')
      assert.deepEqual(bodies(business, 'roomMessageAfter'), [], 'there is nothing to be told of')
    }
    await party.quiet()
    business.reset()
    await a.calls('roomHistoryInfo', [room], ok(EMPTY))
  })

  scene('after: it overrides what is told, and not what is done', async (party, { business }) => {
    const [room, a] = await enter(party)
    let id = 0
    for (const [answer, told] of [
      [{}, undefined], [undefined, undefined], [{ results: [] }, undefined], [{ results: ['x', 1] }, [null, 'x', 1]],
      [{ error: 'Error: done, but' }, ['Error: done, but', null]], [{ error: { code: 'notAllowed' } }, no('notAllowed')],
      [raw(500), failed('roomMessageAfter')], [broken, failed('roomMessageAfter')], [{ results: 5 }, failed('roomMessageAfter')],
    ]) {
      business.on('roomMessageAfter', answer)
      id++
      await a.calls('roomMessage', [room, { textMessage: 'x' }], told ?? ok(id), said(room, a, id, { textMessage: 'x' }))
    }
    business.on('roomMessageAfter', { results: ['saved'] })
    await a.calls('roomMessage', ['none', { textMessage: 'x' }], [null, 'saved'])
    business.on('roomMessageAfter', {})
    await a.calls('roomMessage', ['none', { textMessage: 'x' }], no('noRoom', 'none'))
  })

  scene('a redirect is not followed', async (party, { business }) => {
    const [room, a] = await enter(party)
    let followed = 0
    const other = createServer((_, response) => { followed++; response.end('{}') })
    await new Promise(listening => other.listen(0, '127.0.0.1', listening))
    const location = `http://127.0.0.1:${other.address().port}/`
    for (const status of [301, 302, 303, 307, 308]) {
      business.on('roomMessageBefore', raw(status, '', { location }))
      await a.calls('roomMessage', [room, { textMessage: 'x' }], failed('roomMessageBefore'))
    }
    other.close()
    assert.equal(followed, 0)
  })

  scene('failures are counted, refusals are not', async (party, { business, server }) => {
    const [room, a] = await enter(party)
    const count = async () => {
      let sum = 0
      for (const node of server.nodes) {
        const page = await (await fetch(`${node.api}/metrics`)).text()
        sum += Number(/^always_online_chat_service_hook_failures_total\{hook="roomJoinBefore"\} (\d+)/m.exec(page)?.[1] ?? 0)
      }
      return sum
    }
    const before = await count()
    business.on('roomJoinBefore', { error: 'Error: no' })
    await a.calls('roomJoin', [room], ['Error: no', null])
    assert.equal(await count(), before)
    business.on('roomJoinBefore', raw(500))
    await a.calls('roomJoin', [room], failed('roomJoinBefore'))
    assert.equal(await count(), before + 1)
  })
}

/** Joins and leaves of one user in one room run one by one: a hook that takes its time is told of, and others wait for it, but not for ever. */
function locks(scene) {
  const held = (business, id) => {
    let release
    const gate = new Promise(resolve => { release = resolve })
    business.on('onJoin', async body => {
      if (body.id === id) await gate
      return {}
    })
    return release
  }

  scene('a join that takes longer than lock_ttl is told of, and done', async (party, { business, server }) => {
    const a = await party.user('ann')
    const room = await party.room()
    const release = held(business, a.id)
    a.emit('roomJoin', [room])
    const [body] = await business.called('lockTimeExceeded', { fits: ({ info }) => info?.userName === a.user })
    assert.equal(typeof body.error, 'string')
    assert.deepEqual([body.info.userName, body.info.roomName], [a.user, room])
    release()
    await a.sees({ ack: 'roomJoin', args: [null, 1] })
    const pages = await Promise.all(server.nodes.map(async node => (await fetch(`${node.api}/metrics`)).text()))
    assert.ok(pages.some(page => /^always_online_chat_service_events_total\{event="lockTimeExceeded"\} [1-9]/m.test(page)), 'it is counted')
  })

  scene('who waits for another join of his gets a timeout, and others are not held up', async (party, { business }) => {
    const a = await party.user('ann'), a2 = await party.again(a), b = await party.user('bob')
    const [room, other] = [await party.room(), await party.room()]
    const release = held(business, a.id)
    a.emit('roomJoin', [room])
    await business.called('onJoin', { fits: ({ id }) => id === a.id })
    a2.emit('roomJoin', [room])
    await b.calls('roomJoin', [room], ok(1))
    await b.calls('roomLeave', [room], ok(0))
    const a3 = await party.user('ann3', { user: a.user })
    await a3.calls('roomJoin', [other], ok(1))
    await a2.until('a timeout', () => a2.log.some(entry => entry.ack === 'roomJoin'))
    assert.deepEqual(a2.log.find(entry => entry.ack === 'roomJoin').args, no('timeout'))
    release()
    await a.until('its join', () => a.log.some(entry => entry.ack === 'roomJoin'))
    assert.deepEqual(a.log.find(entry => entry.ack === 'roomJoin').args, ok(1))
    assert.deepEqual(await a2.ask('roomJoin', room), ok(2))
  })
}

/** Whoever loses access while onJoin is asked does not get in by the answer, also where he has it again by then. */
function bans(scene) {
  const pending = async (party, business, b, room) => {
    let answer
    const gate = new Promise(resolve => { answer = resolve })
    business.on('onJoin', async ({ id }) => {
      if (id === b.id) await gate
      return {}
    })
    b.emit('roomJoin', [room])
    await business.called('onJoin', { fits: ({ id }) => id === b.id })
    return answer
  }
  const rows = {
    'is banned, and then is not': b => [['roomAddToList', 'blacklist', [b.user]], ['roomRemoveFromList', 'blacklist', [b.user]]],
    'is not whitelisted, and then is': b => [['roomSetWhitelistMode', true], ['roomAddToList', 'whitelist', [b.user]]],
  }
  for (const [what, changes] of Object.entries(rows)) {
    scene(`who ${what} while onJoin is asked stays out, and may come again`, async (party, { business }) => {
      const a = await party.user('ann'), b = await party.user('bob')
      const room = await party.room({ owner: a.user })
      await party.enter(room, a)
      const answer = await pending(party, business, b, room)
      for (const [command, ...args] of changes(b)) await a.calls(command, [room, ...args], ok())
      await b.sees(event('roomAccessRemoved', room))
      answer()
      await b.sees({ ack: 'roomJoin', args: no('notAllowed') })
      await a.calls('roomGetAccessList', [room, 'userlist'], ok([a.user]))
      await a.calls('roomMessage', [room, { textMessage: 'x' }], ok(1), event('roomMessage', room, { textMessage: 'x', author: a.user, timestamp: '{ts}', id: 1 }))
      await b.calls('roomMessage', [room, { textMessage: 'x' }], no('notJoined', room))
      await b.calls('roomLeave', [room], ok(0))
      await party.quiet()
      await b.calls('roomJoin', [room], ok(1))
      await b.calls('roomLeave', [room], ok(0))
    })
  }
}

/** A server that is started by hand, to be seen before it is ready. */
async function starting(business, hooks, more = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'always-online-clients-'))
  const server = new Server('a start', { ...settings(business.settings(hooks)), ...more }, folder)
  const start = server.start()
  start.catch(() => {})
  const end = async () => {
    const { exitCode, signalCode } = server.process
    if (exitCode === null && signalCode === null) await server.kill()
    business.close()
    await rm(folder, { recursive: true, force: true })
  }
  return { server, start, end }
}

const EVERY = Object.keys(COMMANDS).flatMap(command => [`${command}Before`, `${command}After`])

for (const site of [...SITES, ...ON_REDIS]) describe(site.name, () => {
  const values = { ...QUIET, HOOK_TIMEOUT: '1s' }
  const on = (title, hooks, more = {}) => stand(site, { title: `hooks: ${title}`, values: { ...values, ...more }, hooks: ['onConnect', ...hooks], verify }).scene
  describe('logins', () => logins(on('logins', ['middleware'])))
  describe('joins', () => joins(on('joins', ['onJoin', 'onLeave', 'onDisconnect'])))
  describe('checkers', () => checkers(on('checkers', ['roomMessagesChecker', 'directMessagesChecker'])))
  describe('before and after', () => around(on('before and after', EVERY)))

  describe('bans', () => bans(on('bans', ['onJoin'], { HOOK_TIMEOUT: '30s' })))
  describe('locks', () => locks(on('locks', ['onJoin', 'lockTimeExceeded'], { LOCK_TTL: '1s', HOOK_TIMEOUT: '30s' })))

  describe('told as objects', () => {
    const scene = on('raw errors', ['systemMessageBefore'], { USE_RAW_ERROR_OBJECTS: true })
    scene('an error that is a text is an internalError with it', async (party, { business }) => {
      const a = await party.user('ann')
      for (const [answer, error] of [
        [{ error: 'Error: no' }, noRaw('internalError', 'Error: no')], [{ error: { code: 'busy', args: [1, { x: 2 }] } }, noRaw('busy', 1, { x: 2 })],
        [raw(500), noRaw('internalError', 'hook systemMessageBefore failed')],
      ]) {
        business.on('systemMessageBefore', answer)
        await a.calls('systemMessage', [1], error)
      }
      // By the API a hook's own text is no failure of the server, a hook that fails is.
      business.on('systemMessageBefore', { error: 'Error: no' })
      const body = { command: 'systemMessage', args: [1], userName: a.user }
      await assert.rejects(party.does('execUserCommand', body), /"status": ?400/)
      business.on('systemMessageBefore', raw(500))
      await assert.rejects(party.does('execUserCommand', body), /"status": ?500/)
    })
  })
})

describe('start and end', () => {
  it('CONNECT waits for the answer to onStart', async () => {
    const business = await Business.open({ verify })
    let go
    const gate = new Promise(resolve => { go = resolve })
    business.on('onStart', async () => { await gate; return {} })
    const { server, start, end } = await starting(business, ['onConnect', 'onStart'])
    let client
    try {
      await business.called('onStart')
      await eventually('both listeners are open', () => server.urls, urls => urls.websocket && urls.api)
      client = new ChatClient(wire(2, 'websocket only'), server, 'early', { query: { user: 'ann' } })
      await eventually('its engine is open', () => client.socket.io.engine, engine => engine?.readyState === 'open' && engine.id)
      assert.deepEqual(business.asked('onConnect'), [])
      assert.equal(client.log.length, 0)
      go()
      await start
      await client.sees(event('loginConfirmed', 'ann', { id: client.id ?? '{id:A}' }))
    } finally {
      go()
      client?.close()
      await end()
    }
    assert.deepEqual(business.problems, [])
  })

  for (const [what, answer] of Object.entries({ refuses: { error: 'Error: not today' }, fails: raw(500) })) {
    it(`onStart ${what}: exit code 1`, async () => {
      const business = await Business.open({ verify })
      business.on('onStart', answer)
      const { start, end } = await starting(business, ['onStart'])
      try {
        await assert.rejects(start, /exit code 1/)
      } finally {
        await end()
      }
    })

    it(`onStart ${what} while a client waits: it is not waited for`, async () => {
      const business = await Business.open({ verify })
      let go
      const gate = new Promise(resolve => { go = resolve })
      business.on('onStart', async () => { await gate; return answer })
      // Far longer than the test waits for the end.
      const { server, start, end } = await starting(business, ['onConnect', 'onStart'], { AO_SHUTDOWN__DEADLINE: '10m' })
      let client
      try {
        await business.called('onStart')
        await eventually('both listeners are open', () => server.urls, urls => urls.websocket && urls.api)
        client = new ChatClient(wire(4, 'websocket only'), server, 'early', { query: { user: 'ann' } })
        await eventually('its engine is open', () => client.socket.io.engine, engine => engine?.readyState === 'open' && engine.id)
        go()
        await assert.rejects(start, /exit code 1/)
        assert.deepEqual(business.asked('onConnect'), [])
      } finally {
        go()
        client?.close()
        await end()
      }
    })

    it(`onClose ${what}: exit code 1`, async () => {
      const business = await Business.open({ verify })
      business.on('onClose', answer)
      const { server, start, end } = await starting(business, ['onClose'])
      try {
        await start
        await server.end()
        assert.equal(server.process.exitCode, 1)
      } finally {
        await end()
      }
    })
  }
})
