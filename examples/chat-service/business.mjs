// A business server beside chat-service: who users are, which rooms there are, and what may be said there. What were functions in the process of npm's
// chat-service are hooks here: requests of the event server, signed, each with an answer. docs/chat-service.md has all of them.
//
// Both know a secret, whsec_ and the base64 of 24 bytes or more: `echo whsec_$(openssl rand -base64 32)`. The event server calls the hooks that are named:
//
//   AO_WEBSOCKET__LISTEN=127.0.0.1:8000 AO_CHAT_SERVICE__ENABLED=true AO_CHAT_SERVICE__ENABLE_USERLIST_UPDATES=true \
//   AO_CHAT_SERVICE__HOOK_URL=http://127.0.0.1:8090/ AO_CHAT_SERVICE__HOOK_SECRET=whsec_… \
//   AO_CHAT_SERVICE__HOOKS=onConnect,onJoin,onLeave,onDisconnect,roomMessageBefore,roomMessageAfter cargo run --release
//
// Then this one, in a folder of its own, with the credentials of an administrator:
//
//   npm install standardwebhooks@1.1.1
//   HOOK_SECRET=whsec_… ADMIN_UID=admin ADMIN_TOKEN=… node business.mjs
//
// Also read: LISTEN_PORT (8090), API_URL (http://127.0.0.1:4000).

import { createServer } from 'node:http'
import { Webhook } from 'standardwebhooks'

const { HOOK_SECRET, ADMIN_UID, ADMIN_TOKEN, LISTEN_PORT = '8090', API_URL = 'http://127.0.0.1:4000' } = process.env
const signed = new Webhook(HOOK_SECRET)

/** Stands for your user table and its sessions. */
const TOKENS = new Map([['ann', 'wonderland'], ['ben', 'builder'], ['admin', 'root']])
const TEAM = new Set(['ann', 'admin'])
const LONGEST = 200 // characters of a message

const refused = { error: { code: 'notAllowed' } }

/** What is asked, and what is answered. An answer `{error}` refuses; `{}` and nothing go on. */
const hooks = {
  // Who is it? The query is what the client sent; `authData` comes with loginConfirmed.
  onConnect({ handshake: { query } }) {
    const { userName, token } = query
    if (!TOKENS.has(userName) || TOKENS.get(userName) !== token) return refused
    return { userName, authData: { team: TEAM.has(userName) } }
  },

  // The room has let the user in, by its lists and its mode; an error takes that back.
  onJoin({ userName, roomName }) {
    if (roomName === 'staff' && !TEAM.has(userName)) return refused
  },

  // Before a message is stored: it may be refused, or another one be put in its place.
  roomMessageBefore({ args: [room, message], isLocalCall }) {
    if (isLocalCall) return // our own, by the API
    if (message.textMessage.length > LONGEST) return { error: 'too long' }
    return { args: [room, { ...message, textMessage: message.textMessage.replaceAll('darn', '****') }] }
  },

  // Afterwards: `args[1]` is the message with its id, author and time. A place to keep it, or to answer it.
  roomMessageAfter({ args: [room, message], error }) {
    if (!error) console.log(`${room} ${message.id} ${message.author}: ${message.textMessage}`)
  },

  onLeave({ userName, roomName }) { console.log(`${userName} left ${roomName}`) },
  onDisconnect({ userName, nconnected }) { if (nconnected === 0) console.log(`${userName} is offline`) },
}

/** Calls a method of the server API. */
async function call(method, body) {
  const answer = await fetch(new URL(`/v1/chat-service/${method}`, API_URL), {
    method: 'POST', body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', authorization: `Basic ${Buffer.from(`${ADMIN_UID}:${ADMIN_TOKEN}`).toString('base64')}` },
  })
  const said = await answer.json()
  if (!answer.ok) throw new Error(`${method}: ${said.detail ?? said.title}`)
  return said.result
}

createServer(async (request, response) => {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  // The bytes as they came: parsed and written again, they would have another signature.
  const body = Buffer.concat(chunks).toString('utf8')
  let question
  try {
    question = signed.verify(body, request.headers)
  } catch (error) {
    return response.writeHead(401).end(`${error.message}\n`)
  }
  try {
    const answer = await hooks[question.hook](question)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer ?? {}))
  } catch (error) {
    console.error(error)
    response.writeHead(500).end() // no consent: the event server tells its client that the hook failed
  }
}).listen(Number(LISTEN_PORT), '127.0.0.1', async function () {
  // Rooms have to be made: by the API, or by users where the event server allows that.
  for (const roomName of ['default', 'staff']) {
    if (!await call('hasRoom', { roomName })) await call('addRoom', { roomName, state: { owner: 'admin' } })
  }
  console.log(`business server http://127.0.0.1:${this.address().port}`)
})
