// A client that neither misses nor repeats a message: not when the network fails, not when the server restarts, not when this process is killed.
// It prints what others write into a room, and sends the lines of its standard input.
//
// It needs Node 20 or newer, a running server (cargo run --release), and a token (ADMIN_UID=… ADMIN_TOKEN=… sh examples/create-token.sh alice).
// In a folder of its own, with this file in it:
//
//   npm install socket.io-client@4.8.4
//   TOKEN=… node resume.mjs http://127.0.0.1:3000 plans alice
//
// Exit codes: 0 ended by SIGINT or SIGTERM, 1 the server does not want this client, 2 wrong usage.
//
// How it works (docs/PROTOCOL.md, "A resume recipe"). The server keeps the inserts of a room in a log. A client that knows how many it has asks for the
// rest. That number is the position here, and it is stored in the same write as the message: were they two writes, a crash between them would lose or
// repeat one. In a product the journal is your database, and the write is a transaction.
//
// One thing the number can't tell: a room that was cleared and has more messages again than this client had. Then the first of the new ones are missed.
import { randomUUID } from 'node:crypto'
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { io } from 'socket.io-client'

const [url, room, uid] = process.argv.slice(2)
const token = process.env.TOKEN
if (!uid || !token) end(2, 'usage: TOKEN=… node resume.mjs URL ROOM UID')

const ACK_PATIENCE = 30_000 // ms; the server itself waits for its store for 10 s and more
const PAUSE = 2_000 // ms before a message goes out again that the server could not store
const RETRYABLE = ['store unavailable', 'outcome unknown']

// ---- The journal: lines of JSON. {have, message} an insert of the log, {sending: message} one of ours, {have} a position, {cleared: true}. ----

const journal = `${encodeURIComponent(room)}.${encodeURIComponent(uid)}.journal`
let have = 0 // the inserts of the log that were handed out: where the next sync starts
const seen = new Set() // their keys, also of those that were cleared since: what was said after a clearing may have been printed live
const pending = new Map() // key → message of ours that is not known to be stored

function replay(entry) {
  if (entry.cleared) have = 0
  if (entry.sending) pending.set(keyOf(entry.sending, uid), entry.sending)
  if (entry.refused) pending.delete(entry.refused)
  if (entry.message && idOf(entry.message) !== undefined) {
    seen.add(keyOf(entry.message))
    pending.delete(keyOf(entry.message))
  }
  if (entry.have !== undefined) have = entry.have
}

/** Written before anything else is done. Nothing is lost if this process is killed; of a power failure fsync would have to take care. */
function note(entry) {
  appendFileSync(journal, `${JSON.stringify(entry)}\n`)
  replay(entry)
}

if (existsSync(journal)) {
  const text = readFileSync(journal, 'utf8')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  truncateSync(journal, Buffer.byteLength(whole)) // a line that was cut short is none
  for (const line of whole.split('\n').slice(0, -1)) replay(JSON.parse(line))
}

// ---- The connection. It comes back by itself after a loss, with a growing and random pause. ----

const socket = io(url, { transports: ['websocket'], reconnectionDelayMax: 30_000 })
let live = false // whether the log was read to its end, so that messages go straight out and in
let queue = [] // what comes meanwhile

socket.on('connect', () => socket.emit('authenticate', { uid, token }))

socket.on('authenticate', answer => {
  if (answer.status === 0) socket.emit('join', { roomId: room })
  else if (['server error', 'reach rate limit'].includes(answer.data)) console.error(`${answer.data}, trying again`) // the server drops us in a moment, and we come back; if it refuses us, 'disconnect' says so
  else end(1, `refused: ${answer.data}`) // with a wrong token: ask your business server for a new one
})

socket.on('join', answer => {
  if (answer.status === 0) catchUp()
  else if (answer.data === 'server error') socket.io.engine.close() // comes back after a pause
  else end(1, answer.data)
})

socket.on('disconnect', reason => {
  live = false
  queue = []
  if (reason === 'io server disconnect') end(1, 'the server ended the session') // it did so for good: socket.io does not come back, nor should we
  console.error(`connection lost (${reason}), coming back`)
})

socket.on('connect_error', error => console.error(`no connection to ${url} (${error.message}), trying again`))
socket.on('kickout', () => end(1, `${uid} signed in elsewhere`)) // coming back would throw the other one out

// ---- Catching up: pages of the log from our position on. ----

let from // the position that was asked for

function catchUp() {
  live = false
  from = have
  // With `resume` the answer has `log`, the position behind the page. Its `offset` counts updates too: who resumes there skips inserts.
  socket.emit('sync', { offset: from, resume: true })
}

socket.on('sync', ({ data, next, log }) => {
  if (log < from) { // somebody cleared the room
    note({ cleared: true })
    return catchUp()
  }
  let at = from
  for (const message of data) {
    if (kindOf(message) === 0) handOut(message, ++at)
    else update(message)
  }
  if (log !== have) note({ have: log })
  if (next) return catchUp()
  live = true
  while (live && queue.length) receive(queue.shift())
  if (!live) return // one of them has to be read from the log
  console.error('online')
  for (const key of pending.keys()) transmit(key)
})

socket.on('msg', message => live ? receive(message) : queue.push(message))

function receive(message) {
  if (kindOf(message) === 1) update(message)
  if (kindOf(message) !== 0) return // 2 is for those who are here at the moment: a cursor, somebody typing
  // It may have been in a page already: that is known by its sender and id. One without an id is rather read from the log.
  if (idOf(message) === undefined) catchUp()
  else if (!seen.has(keyOf(message))) handOut(message, have + 1)
}

/** `at` is the position behind it. Too small a position does no harm, as what is read again was seen; too large a one would skip messages. */
function handOut(message, at) {
  if (seen.has(keyOf(message))) return note({ have: at }) // stored twice, because its sender had to send it again
  note({ message, have: at })
  console.log(`${message[2]}: ${message.text}`)
}

/** Updates come whole behind the last page after each connect, and replace what was there under that id. */
function update(message) {
  console.log(`${idOf(message)} is now ${message.text}`)
}

// ---- Sending: a message is pending until the server has it, however many connections that takes. ----

createInterface({ input: process.stdin }).on('line', text => {
  const message = { storage: 0, msgId: randomUUID(), text }
  note({ sending: message })
  if (live) transmit(keyOf(message, uid))
})

/** Only while `live`: socket.io keeps what is sent without a connection, and would send it before `authenticate`, where it has no effect. */
function transmit(key) {
  const message = pending.get(key)
  socket.timeout(ACK_PATIENCE).emit('msg', message, (lost, answer) => {
    if (!pending.has(key)) return // a page had it
    const again = () => live && pending.has(key) && transmit(key) // the same id: if it is stored twice, receivers hand it out once
    if (lost) again()
    else if (answer.status === 0) handOut({ ...message, 2: uid }, live ? have + 1 : have) // a page that is on its way counts it
    else if (RETRYABLE.includes(answer.data)) setTimeout(again, PAUSE * (1 + Math.random()))
    else {
      note({ refused: key })
      console.error(`not sent (${answer.data}): ${message.text}`)
    }
  })
}

// ---- Messages have short keys or long ones: 0 insert, 1 update, 2 ignore in `s` or `storage`, the id in `1` or `msgId`, the sender in `2`. ----

function kindOf(message) { return [1, 2].find(kind => kind === Number(message.s ?? message.storage)) ?? 0 }
function idOf(message) { return message[1] ?? message.msgId }
function keyOf(message, sender = message[2]) { return JSON.stringify([String(sender), String(idOf(message))]) }

function end(code, reason) {
  if (reason) console.error(reason)
  process.exit(code)
}
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => end(0))
