// A bot that needs the HTTP API alone: it reads a room, and answers "!time". It answers each question exactly once, also when it is killed, when the
// server restarts, or when an answer gets lost on its way.
//
// It needs Node 20 or newer, a running server (cargo run --release), and an administrator's uid and token, which the first start has printed.
//
//   ADMIN_UID=admin ADMIN_TOKEN=… node examples/api-bot.mjs http://127.0.0.1:4000 plans
//
// Exit codes: 0 ended by SIGINT or SIGTERM, 1 the server does not want these requests, 2 wrong usage.
//
// How it works (docs/api.md). `history` hands out the room's log by index, and an index never means another message. Each answer is published with an
// Idempotency-Key that is made of its question's index. So the bot may publish an answer as often as it likes: the server stores it once. The position in
// the log is written down after the answers; who is killed in between answers again, and nothing comes of it.
//
// It asks once a second. A business server that has webhooks (docs/webhooks.md) is told instead.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

const [api, room] = process.argv.slice(2)
const { ADMIN_UID, ADMIN_TOKEN } = process.env
if (!room || !ADMIN_UID || !ADMIN_TOKEN) end(2, 'usage: ADMIN_UID=… ADMIN_TOKEN=… node api-bot.mjs API ROOM')

const UID = 'clock'
const EVERY = 1_000 // ms between two looks
const PATIENCE = 30_000 // ms for an answer; the server itself waits for its store for 10 s and more
const PAUSE = [500, 15_000] // ms, the first and the longest, before a request goes out again

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => end(0))

/** Asks until there is an answer. A key makes sure that it is done once, however often it is asked for. */
async function ask(method, body, key) {
  for (let pause = PAUSE[0]; ; pause = Math.min(2 * pause, PAUSE[1])) {
    const answer = await attempt(method, body, key)
    if (answer.ok) return answer.body
    console.error(`${method}: ${answer.why}, trying again`)
    await sleep(Math.max(pause * (0.5 + Math.random()), answer.wait))
  }
}

/** One attempt. What is no use to repeat ends this program. */
async function attempt(method, body, key) {
  try {
    const response = await fetch(`${api}/v1/${method}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Basic ${Buffer.from(`${ADMIN_UID}:${ADMIN_TOKEN}`).toString('base64')}`,
        ...key && { 'idempotency-key': key },
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE),
    })
    const answer = await response.json()
    if (response.ok) return { ok: true, body: answer }
    const passing = response.status >= 500 || [408, 409, 429].includes(response.status)
    if (!passing) end(1, `refused: ${answer.title}: ${answer.detail}`)
    return { ok: false, why: answer.title, wait: 1_000 * Number(response.headers.get('retry-after') ?? 0) }
  } catch (error) {
    return { ok: false, why: error.cause?.code ?? error.message, wait: 0 } // no network, no server, or no answer in time
  }
}

// ---- The position: where in the log we are, and in which log. ----

const file = `${encodeURIComponent(room)}.api-bot.json`
let position = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : await beginning()

/** Who is new here answers nothing that was asked before. */
async function beginning() {
  const { log, epoch } = await ask('history', { roomId: room, limit: 1, reverse: true })
  return { since: log, epoch }
}

function note(next) {
  position = next
  writeFileSync(`${file}.new`, JSON.stringify(position))
  renameSync(`${file}.new`, file)
}

// ---- The room. ----

note(position)
console.error('online')
for (;;) {
  const page = await ask('history', { roomId: room, since: position.since, limit: 200 })
  for (const { index, ts, uid, data } of page.messages) {
    if (data.text !== '!time' || uid === UID) continue
    // When the question was stored: so the answer is the same whenever it is given.
    await answer(index, page.epoch, `@${uid} it is ${new Date(ts * 1_000).toISOString().slice(11, 19)} UTC`)
  }
  // The room was cleared, or the store has lost something: `since` may be beyond what is there, and `log` is where it goes on.
  note({ since: page.next ?? page.log, epoch: page.epoch })
  if (page.next === undefined) await sleep(EVERY)
}

/** Publishes the answer to the question at this index of this log; once, however often it is called. */
async function answer(index, epoch, text) {
  const key = createHash('sha256').update(JSON.stringify(['api-bot', room, epoch, index])).digest('hex')
  await ask('publish', { roomId: room, uid: UID, message: { storage: 0, text } }, key)
}

function sleep(ms) {
  return new Promise(wake => setTimeout(wake, ms))
}

function end(code, why) {
  if (why) console.error(why)
  process.exit(code)
}
