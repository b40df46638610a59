// A business server that signs JSON Web Tokens: the part of your own backend that says who a user is and what it may do. No other server is asked, and
// none keeps a list of tokens: whoever knows the secret can sign, so it never gets into an app or a page. It needs Node 18 and no packages.
//
// It shares a secret of 32 bytes or more with the event server, which is started with it:
//
//   AO_JWT__SECRET=… cargo run --release
//
// Then, with the same secret:
//
//   AO_JWT__SECRET=… node examples/jwt_server.mjs
//
// A user logs in and gets {url, uid, token, expiresIn}; with `room`, a room that the token is for:
//
//   curl -H 'content-type: application/json' -d '{"user":"alice","password":"wonderland","room":"plans"}' http://127.0.0.1:8090/login
//
// A client calls it again when the event `expiring` comes, and sends `authenticate` with the new token on the same connection.
// Also read: LISTEN_PORT (8090), EVENTS_URL (http://127.0.0.1:3000), LIFETIME (seconds, 900).

import { createHmac, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'

const { AO_JWT__SECRET: SECRET, LISTEN_PORT = '8090', EVENTS_URL = 'http://127.0.0.1:3000', LIFETIME = '900' } = process.env
if (!SECRET) { console.error('AO_JWT__SECRET is not set'); process.exit(1) }

/** Stands for your user table, which holds no passwords but their hashes. In a product the login also needs a limit on attempts. */
const USERS = { alice: 'wonderland', bob: 'builder' }

/** What a user may do: everything in its team's rooms, and read the lobby. Here everybody is in the team of the room that is asked for. */
const caps = room => [
  { rooms: [room, `${room}:*`], match: 'wildcard', allow: ['join', 'send', 'sync'] },
  { rooms: ['lobby'], allow: ['join', 'sync'] },
]

/** Signs by HS256 (RFC 7515). A library does the same: jose, jsonwebtoken, PyJWT. */
function sign(claims) {
  const part = value => Buffer.from(JSON.stringify(value)).toString('base64url')
  const message = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  return `${message}.${createHmac('sha256', SECRET).update(message).digest('base64url')}`
}

function login({ user, password, room = 'plans' }) {
  if (typeof user !== 'string' || typeof room !== 'string') return [422, { error: 'user and room are texts' }]
  if (!Object.hasOwn(USERS, user) || USERS[user] !== password) return [401, { error: 'user or password is wrong' }]
  const now = Math.floor(Date.now() / 1000), expiresIn = Number(LIFETIME)
  const token = sign({ sub: user, iat: now, exp: now + expiresIn, jti: randomUUID(), caps: caps(room), meta: { plan: 'free' } })
  return [200, { url: EVENTS_URL, uid: user, token, expiresIn }]
}

const server = createServer(async (request, response) => {
  const answer = (code, body) => response
    .writeHead(code, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(body))
  if (request.method !== 'POST' || request.url !== '/login') return answer(404, { error: 'POST /login' })
  let text = ''
  for await (const chunk of request) if ((text += chunk).length > 10_000) return answer(413, { error: 'too much' })
  try { answer(...login(JSON.parse(text))) } catch { answer(400, { error: 'no JSON object' }) }
})
server.listen(Number(LISTEN_PORT), '127.0.0.1', () => console.log(`business server http://127.0.0.1:${server.address().port}`))
