// Takes rooms and users over from the Redis of npm's chat-service 1.0.0, by the server API: owners, modes, lists, sizes, and the messages with their ids.
//
// The original is stopped, and nobody is let in here until this has ended. In a folder of its own:
//
//   npm install ioredis@5.11.1
//   ADMIN_UID=admin ADMIN_TOKEN=… node import.mjs redis://127.0.0.1:6379 http://127.0.0.1:4000
//
// It only reads the Redis. It may be interrupted, and run again: it goes on where it was. Exit code 1: something was left, and is named.
//
// --renumber     ids begin at 1, instead of those messages being said in place of them that the original has forgotten already: one call for each
// --times FIELD  each message has the original's time (ms since 1970) in this field; its `timestamp` is that of the import
// --prefix TEXT  what stands before the original's keys (ioredis' keyPrefix)
//
// Messages with other fields than `textMessage`, --times, and messages whose author is no user need the hook roomMessagesChecker, which must accept them.

import { parseArgs } from 'node:util'
import Redis from 'ioredis'

const { positionals: [source, target], values: options } = parseArgs({
  allowPositionals: true,
  options: { renumber: { type: 'boolean', default: false }, times: { type: 'string' }, prefix: { type: 'string', default: '' } },
})
const { ADMIN_UID, ADMIN_TOKEN } = process.env
if (!source || !target || !ADMIN_UID || !ADMIN_TOKEN) {
  console.error('usage: ADMIN_UID=… ADMIN_TOKEN=… node import.mjs REDIS_URL API_URL [--renumber] [--times FIELD] [--prefix TEXT]')
  process.exit(2)
}

const WORKERS = 8 // rooms, or users, at the same time; messages of one room go one after the other
const FILLERS = 32 // calls at the same time for messages of a room that are gone there
const PAGE = 500 // messages that are read at once
const redis = new Redis(source, { maxRetriesPerRequest: 1 })
redis.on('error', () => {}) // said by whatever was asked
const authorization = `Basic ${Buffer.from(`${ADMIN_UID}:${ADMIN_TOKEN}`).toString('base64')}`
const counts = { users: 0, rooms: 0, messages: 0, there: 0 }
const left = []

/** An error of the server API, with the name that chat-service gives it, if it does. */
class Refused extends Error {
  constructor({ detail, title, code }) { super(detail ?? title); this.code = code }
}

/** Calls a method of the server API. @returns its result */
async function call(method, body) {
  const answer = await fetch(new URL(`/v1/chat-service/${method}`, target), {
    method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body: JSON.stringify(body),
  })
  const said = await answer.json().catch(() => ({ title: `HTTP ${answer.status}` }))
  if (answer.ok) return said.result
  if (answer.status === 401 || answer.status === 403 && !said.code) throw new Error(`${said.title}: these credentials may not do this`)
  throw new Refused(said)
}

// ---- What the original has. A room or user NAME has keys chatservice:rooms:{NAME}:KEY; no name has braces in it. ----

const keyOf = (kind, name, key) => `${options.prefix}chatservice:${kind}:{${name}}:${key}`
const names = key => redis.smembers(key)
const isSet = text => Boolean(text) // false is an empty text

/** The names of all rooms, or users. SCAN may tell one twice. */
async function* all(kind) {
  const seen = new Set()
  const escaped = options.prefix.replace(/[\\*?[\]]/g, '\\$&')
  for await (const keys of redis.scanStream({ match: `${escaped}chatservice:${kind}:{*}:isInit`, count: 1000 })) {
    for (const key of keys) {
      const name = key.slice(keyOf(kind, '', '').length - 2, -'}:isInit'.length)
      if (!seen.has(name)) yield name
      seen.add(name)
    }
  }
}

async function userState(name) {
  const key = part => keyOf('users', name, part)
  return { whitelist: await names(key('whitelist')), blacklist: await names(key('blacklist')), whitelistOnly: isSet(await redis.get(key('whitelistMode'))) }
}

async function roomState(name) {
  const key = part => keyOf('rooms', name, part)
  const texts = ['owner', 'whitelistMode', 'historyMaxSize', 'enableAccessListsUpdates', 'enableUserlistUpdates']
  const [owner, mode, size, lists, users] = await redis.mget(texts.map(key))
  const [whitelist, blacklist, adminlist] = await Promise.all(['whitelist', 'blacklist', 'adminlist'].map(list => names(key(list))))
  return {
    whitelist, blacklist, adminlist, whitelistOnly: isSet(mode), enableAccessListsUpdates: isSet(lists), enableUserlistUpdates: isSet(users),
    historyMaxSize: Math.min(Math.floor(Number(size)), Number.MAX_SAFE_INTEGER), ...(owner && { owner }),
  }
}

/** The messages of a room, the oldest first, which is at the end of the original's lists. Their ids are the last ones, without a gap. */
async function* history(name) {
  const key = part => keyOf('rooms', name, part)
  for (let end = await redis.llen(key('messagesHistory')); end > 0; end -= PAGE) {
    const range = part => redis.lrange(key(part), Math.max(0, end - PAGE), end - 1)
    const [texts, times] = await Promise.all(['messagesHistory', 'messagesTimestamps'].map(range))
    for (let at = texts.length - 1; at >= 0; at--) yield { message: JSON.parse(texts[at]), time: Number(times[at]) }
  }
}

// ---- And how it comes here. ----

async function takeUser(name) {
  try {
    await call('addUser', { userName: name, state: await userState(name) })
    counts.users++
  } catch (error) {
    if (error.code !== 'userExists') throw error
    counts.there++
  }
}

async function takeRoom(name) {
  const state = await roomState(name)
  const size = state.historyMaxSize
  const [stored, said] = [await redis.llen(keyOf('rooms', name, 'messagesHistory')), Number(await redis.get(keyOf('rooms', name, 'lastMessageId')))]
  const end = options.renumber ? stored : said // the id of the last message
  let last = 0 // and of the last one that is here
  try {
    await call('addRoom', { roomName: name, state })
    counts.rooms++
  } catch (error) {
    if (error.code !== 'roomExists') throw error
    // One that an earlier run began: it goes on behind what is there.
    counts.there++
    last = await takeUp(name, end - stored, end)
    await call('changeRoomHistoryMaxSize', { roomName: name, size })
  }
  if (last < end - stored) last = await fill(name, last, end - stored, size)
  let id = end - stored
  for await (const entry of history(name)) {
    if (++id <= last) continue
    await say(name, entry)
    counts.messages++
  }
}

/** The id of the last message of a room that is here already, if an earlier run can have said it. */
async function takeUp(name, before, end) {
  const { lastMessageId, historySize } = (await execute('roomHistoryInfo', [name])).results[0]
  const isOurs = lastMessageId <= before ? historySize === 0 : lastMessageId <= end
  if (!isOurs) throw new Refused({ detail: `it has ${historySize} messages of its own here, up to ${lastMessageId}` })
  return lastMessageId
}

const execute = (command, args, more) => call('execUserCommand', { command, args, bypassPermissions: true, bypassHooks: true, ...more })

/** A message, as its author said it. Of an author who is no user the field stays, where a checker allows that. */
async function say(name, { message, time }) {
  const { author, ...rest } = message
  const said = options.times ? { ...rest, [options.times]: time } : rest
  try {
    if (author === undefined) return await execute('roomMessage', [name, said])
    return await execute('roomMessage', [name, said], { userName: author })
  } catch (error) {
    if (error.code !== 'noUser') throw error
    return execute('roomMessage', [name, { ...said, author }])
  }
}

/** Uses up the ids behind `last` up to `to`, of messages that are gone there: said while the room keeps none. @returns `to` */
async function fill(name, last, to, size) {
  await call('changeRoomHistoryMaxSize', { roomName: name, size: 0 })
  // They are all alike, so their order does not count.
  const filler = async () => { while (last < to) { last++; await execute('roomMessage', [name, { textMessage: '' }]) } }
  await Promise.all(Array.from({ length: FILLERS }, filler))
  await call('changeRoomHistoryMaxSize', { roomName: name, size })
  return to
}

/** Does this with all that there are, some at a time. What is refused is named, and the others go on. */
async function each(kind, take) {
  const those = all(kind)
  const worker = async () => {
    for (let next; !(next = await those.next()).done;) {
      try {
        await take(next.value)
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        left.push(`${kind.slice(0, -1)} ${JSON.stringify(next.value)}: ${error.message}`)
      }
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, worker))
}

try {
  await each('users', takeUser) // before the rooms: they are the authors of messages
  await each('rooms', takeRoom)
} catch (error) {
  left.push(error.cause?.message ?? error.message)
}
redis.disconnect()
console.log(`taken over: ${counts.users} users, ${counts.rooms} rooms, ${counts.messages} messages; ${counts.there} users and rooms were there`)
for (const line of left) console.error(`left: ${line}`)
process.exitCode = left.length > 0 ? 1 : 0
