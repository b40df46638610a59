// examples/chat-service/import.mjs, run as its header says, on what npm's chat-service 1.0.0 has left in a Redis (chat-service.json, as it was read there).
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { Business } from '../clients/chat-service/business.mjs'
import { api, settings } from '../clients/chat-service/stage.mjs'
import { startServer } from '../clients/server.mjs'
import { atEnd, command, Example, filled, folderFor, ROOT, source } from './stage.mjs'

const { Redis } = createRequire(new URL('../clients/package.json', import.meta.url))('ioredis')
const { REDIS_URL } = process.env
const LEFT = JSON.parse(source('tests/examples/chat-service.json'))
/** Messages of a room there: their times, the newest first. */
const times = room => LEFT.find(({ key }) => key === `chatservice:rooms:{${room}}:messagesTimestamps`).value.map(Number)

/** A server, what the original left, and a way to take it over: `run(...options)`, which gives how it ended. */
async function stage(t, { values = {} } = {}) {
  assert(REDIS_URL, 'REDIS_URL names no Redis: run scripts/test examples, or this below scripts/services')
  const prefix = `test ${randomUUID()} [*]:`
  const redis = new Redis(REDIS_URL)
  atEnd(t, async () => {
    await redis.del(LEFT.map(({ key }) => prefix + key))
    redis.disconnect()
  })
  const write = { string: 'set', set: 'sadd', list: 'rpush', hash: 'hset' }
  for (const { key, type, value } of LEFT) {
    const words = { string: [value], set: value, list: value, hash: [value] }[type]
    await redis[write[type]](prefix + key, ...words)
  }
  const server = await startServer({ env: settings(values) })
  atEnd(t, () => server.stop())
  const folder = folderFor(t, 'chat-service/import.mjs', { node_modules: join(ROOT, 'tests/clients/node_modules') })
  const { uid, token } = server.admin
  const line = filled(command('chat-service/import.mjs', 'node import.mjs'), {
    'ADMIN_UID=admin': `ADMIN_UID=${uid}`, 'ADMIN_TOKEN=…': `ADMIN_TOKEN=${token}`, 'redis://127.0.0.1:6379': `'${REDIS_URL}'`, 'http://127.0.0.1:4000': server.api,
  })
  return {
    server,
    async run(...options) {
      const example = new Example(t, [line, '--prefix', `'${prefix}'`, ...options].join(' '), { cwd: folder })
      const code = await example.ended()
      return { code, said: example.printed.join('\n'), complaints: example.stderr.trim() }
    },
  }
}

/** What a command returns that the server does for nobody. */
async function read(server, command, ...args) {
  const { body, text } = await api(server, 'execUserCommand', { command, args, bypassPermissions: true })
  assert(body?.result, `${command}: ${text}`)
  return body.result.results[0]
}
const list = async (server, room, name) => (await read(server, 'roomGetAccessList', room, name)).sort()

test('rooms and users come with their lists, modes and sizes, and messages with their authors and ids', async t => {
  const business = await Business.open()
  atEnd(t, () => business.close())
  const { server, run } = await stage(t, { values: business.settings(['roomMessagesChecker', 'roomMessageBefore']) })
  assert.deepEqual(await run('--times', 'sentAt'), { code: 0, said: 'taken over: 3 users, 3 rooms, 6 messages; 0 users and rooms were there', complaints: '' })
  assert.deepEqual(business.asked('roomMessageBefore'), [], 'the checker alone is asked')

  assert.equal(await read(server, 'roomGetOwner', 'club é'), 'ann')
  assert.equal(await read(server, 'roomGetOwner', 'quiet'), null)
  assert.equal(await read(server, 'roomGetWhitelistMode', 'club é'), true)
  assert.equal(await read(server, 'roomGetWhitelistMode', 'default'), false)
  assert.deepEqual(await read(server, 'roomNotificationsInfo', 'club é'), { enableUserlistUpdates: true, enableAccessListsUpdates: true })
  for (const [name, names] of [['whitelist', ['bob', 'cleo']], ['blacklist', ['mallory']], ['adminlist', ['bob']], ['userlist', []]]) {
    assert.deepEqual(await list(server, 'club é', name), names, name)
  }
  const size = async room => {
    const { historySize, historyMaxSize, lastMessageId } = await read(server, 'roomHistoryInfo', room)
    return [historySize, historyMaxSize, lastMessageId]
  }
  assert.deepEqual(await size('club é'), [3, 3, 5])
  assert.deepEqual(await size('default'), [3, 10_000, 3])
  assert.deepEqual(await size('quiet'), [0, 0, 1])

  const shown = async room => (await read(server, 'roomRecentHistory', room)).map(({ timestamp, ...message }) => message)
  const [third, second, first] = times('default')
  assert.deepEqual(await shown('default'), [
    { textMessage: 'from nobody', sentAt: third, id: 3 },
    { textMessage: 'hi', mood: { good: true }, picture: { type: 'Buffer', data: [97, 98, 99] }, sentAt: second, author: 'bob', id: 2 },
    { textMessage: 'hello', sentAt: first, author: 'ann', id: 1 },
  ])
  assert.deepEqual((await shown('club é')).map(({ id, author, textMessage }) => [id, author, textMessage]), [[5, 'ann', 'message 5'], [4, 'bob', 'message 4'], [3, 'ann', 'message 3']])

  const has = async (userName, listName, item) => (await api(server, 'userHasInList', { userName, listName, item })).body.result
  assert.deepEqual([await has('dora', 'whitelist', 'ann'), await has('dora', 'blacklist', 'mallory'), await has('ann', 'blacklist', 'mallory')], [true, true, true])
  const reaches = async (recipient, sender) => (await api(server, 'hasDirectAccess', { recipient, sender })).body.result
  assert.deepEqual([await reaches('dora', 'ann'), await reaches('dora', 'bob'), await reaches('bob', 'dora')], [true, false, true])
})

test('without a checker only texts come; what is left is named, and comes when it is run again', async t => {
  const { server, run } = await stage(t)
  const first = await run()
  assert.deepEqual([first.code, first.said], [1, 'taken over: 3 users, 3 rooms, 4 messages; 0 users and rooms were there'])
  assert.match(first.complaints, /^left: room "default": ChatServiceError: Bad argument at position 1, value \{.*"mood".*\}$/)
  const again = await run()
  assert.deepEqual([again.code, again.said], [1, 'taken over: 0 users, 0 rooms, 0 messages; 6 users and rooms were there'])
  assert.equal((await read(server, 'roomHistoryInfo', 'default')).lastMessageId, 1)
  assert.equal((await read(server, 'roomHistoryInfo', 'club é')).historySize, 3, 'what is there stays')
})

test('a room that has messages of its own is left as it is, and ids may begin at 1', async t => {
  const { server, run } = await stage(t)
  await api(server, 'addRoom', { roomName: 'club é' })
  for (let n = 0; n < 2; n++) await read(server, 'roomMessage', 'club é', { textMessage: 'ours' })
  const { complaints } = await run()
  assert.match(complaints, /left: room "club é": it has 2 messages of its own here, up to 2/)
  assert.equal((await read(server, 'roomHistoryInfo', 'club é')).historySize, 2)
  await api(server, 'deleteRoom', { roomName: 'club é' })
  await run('--renumber')
  const messages = await read(server, 'roomRecentHistory', 'club é')
  assert.deepEqual(messages.map(({ id, textMessage }) => [id, textMessage]), [[3, 'message 5'], [2, 'message 4'], [1, 'message 3']])
})
