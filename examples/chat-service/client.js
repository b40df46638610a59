// A client of chat-service in a terminal, by socket.io-client 2, as the users of npm's chat-service have it: it joins a room, prints what is said there, and
// says each line that is typed. When its connection is lost it comes back, and reads what it has missed: no message is printed twice, and none is left out
// that the room still has. docs/chat-service.md has the protocol.
//
// It needs the event server, and the business server beside it, which says who its users are (business.mjs). In a folder of its own:
//
//   npm install socket.io-client@2.5.0
//   node client.js ann wonderland
//
// The name and the token go in the query, and the room is `default`. Another one is the third word. Also read: CHAT_URL (ws://localhost:8000/chat-service).

const { createInterface } = require('readline')
const io = require('socket.io-client')

const [userName, token, room = 'default'] = process.argv.slice(2)
const url = process.env.CHAT_URL || 'ws://localhost:8000/chat-service'
const socket = io.connect(url, { query: `userName=${encodeURIComponent(userName)}&token=${encodeURIComponent(token)}` })

let have // the id of the last message that was printed: ids of a room begin at 1 and have no gaps
let joined = false
let waiting = [] // lines that are to be said once we are in the room
const unanswered = new Set() // lines that were sent

/** Sends a command. Its answer is the error, or null, and what it returns. With use_raw_error_objects an error has a code. */
const ask = (command, ...args) => new Promise((resolve, reject) => {
  socket.emit(command, ...args, (error, data) => error ? reject(new Error(error.code || error)) : resolve(data))
})

// Each connection has to join again. Nothing may be sent before this: it would be ignored.
socket.on('loginConfirmed', async () => {
  try {
    await ask('roomJoin', room)
    await catchUp()
    console.error(`in ${room}`)
    joined = true
    for (const line of waiting.splice(0)) say(line)
  } catch (error) {
    console.error(error.message)
    socket.close() // it may not join
  }
})

/** Prints what was said since the last message that was printed; the first time nothing, and what comes from now on. */
async function catchUp () {
  const { lastMessageId, historyMaxGetMessages } = await ask('roomHistoryInfo', room)
  if (have === undefined) have = lastMessageId
  if (have > lastMessageId) have = 0 // the room was deleted, and made anew
  while (have < lastMessageId) {
    const missed = await ask('roomHistoryGet', room, have, historyMaxGetMessages) // the newest first
    if (missed.length === 0) return // the room does not keep them
    missed.reverse().forEach(show)
  }
}

socket.on('roomMessage', async (name, message) => {
  if (name !== room || have === undefined) return
  if (message.id > have + 1) await catchUp().catch(error => console.error(error.message))
  show(message)
})

function show (message) {
  if (message.id <= have) return // it was in the history
  have = message.id
  console.log(`${message.author}: ${message.textMessage}`)
}

async function say (textMessage) {
  if (!joined) return waiting.push(textMessage)
  unanswered.add(textMessage)
  try {
    await ask('roomMessage', room, { textMessage })
  } catch (error) {
    console.error(error.message)
  }
  unanswered.delete(textMessage)
}
createInterface({ input: process.stdin }).on('line', say)

// Who comes and who goes is told in rooms that were made with enableUserlistUpdates.
socket.on('roomUserJoined', (name, user) => console.error(`${user} is here`))
socket.on('roomUserLeft', (name, user) => console.error(`${user} is gone`))
socket.on('roomAccessRemoved', name => console.error(`${name} is closed to ${userName}`))

// Who is refused is disconnected by the server, and stays away. After a loss socket.io comes back by itself.
socket.on('loginRejected', error => console.error(error.code || error))
socket.on('disconnect', reason => {
  joined = false
  for (const line of unanswered) console.error(`not known whether it was said: ${line}`)
  unanswered.clear()
  console.error(`connection lost: ${reason}`)
  if (reason === 'io server disconnect') process.exit(1)
})
