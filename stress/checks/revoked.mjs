// Sockets whose tokens are revoked, on two nodes.
import { createHmac } from 'node:crypto'
import { createRequire } from 'node:module'
import { SECRET, eventually, seconds, thenEnd, v1 } from './stage.mjs'

const require = createRequire(new URL('../../tests/clients/package.json', import.meta.url))
const BOUND_MS = 1000
/** Revocations at a time. */
const AT_ONCE = 8

const base64 = value => Buffer.from(value).toString('base64url')

/** A token that says what the user may do. */
function signed(uid) {
  const now = Math.floor(Date.now() / 1000)
  const claims = { sub: uid, iat: now, exp: now + 3600 }
  const text = `${base64('{"alg":"HS256","typ":"JWT"}')}.${base64(JSON.stringify(claims))}`
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`
}

/** A user in a room of its node. `closed` is when the connection ended, and how. */
function member(node, uid, token) {
  const WebSocket = require('ws')
  const socket = new WebSocket(`${node.url.replace('http:', 'ws:')}/socket.io/?EIO=4&transport=websocket`)
  const user = { uid, socket, closed: undefined }
  const send = (name, argument) => socket.send(`42${JSON.stringify([name, argument])}`)
  return new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.on('close', code => {
      user.closed = { at: performance.now(), code }
      reject(new Error(`${uid} was closed: ${code}`))
    })
    socket.on('message', data => {
      const text = data.toString()
      if (text === '2') return socket.send('3')
      if (text.startsWith('0')) return socket.send('40')
      if (text.startsWith('40')) return send('authenticate', { uid, token })
      const [name, { status } = {}] = text.startsWith('42') ? JSON.parse(text.slice(2)) : []
      if (status) return reject(new Error(`${uid}: ${text}`))
      if (name === 'authenticate') send('join', { roomId: `room ${uid.at(-1)}` })
      if (name === 'join') resolve(user)
    })
  })
}

export async function revoked(report, { quick }) {
  const { startCluster } = await import('../../tests/clients/cluster.mjs')
  const cluster = await startCluster({ title: 'revoked', env: { AO_JWT__SECRET: SECRET } })
  await thenEnd(() => cluster.stop(), async () => {
    const [one] = cluster.nodes
    // A user has one session, so there are as many users as connections.
    const users = []
    for (const [at, node] of cluster.nodes.entries()) {
      for (let i = 0; i < (quick ? 20 : 200); i++) {
        const kind = i % 2 ? 'token' : 'jwt'
        const uid = `${kind}-${at}-${i}`
        const token = kind === 'jwt' ? signed(uid) : (await v1(one, 'token/create', { uid })).token
        users.push(Object.assign(await member(node, uid, token), { kind, at }))
      }
    }
    const waiting = [...users]
    const worker = async () => {
      for (let user; (user = waiting.pop());) {
        user.asked = performance.now()
        await v1(one, user.kind === 'jwt' ? 'revoke' : 'token/revoke', { uid: user.uid })
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    await eventually(() => users.every(({ closed }) => closed), 10)
    for (const kind of ['jwt', 'token']) {
      for (const at of cluster.nodes.keys()) {
        const some = users.filter(user => user.kind === kind && user.at === at)
        const took = some.map(({ closed, asked }) => closed ? closed.at - asked : Infinity).sort((a, b) => a - b)
        const where = at === 0 ? 'on the node that was asked' : 'on the other node'
        report.within(`sockets of ${kind === 'jwt' ? 'JSON Web Tokens' : 'plain tokens'} ${where} are closed within 1 s`, took.at(-1) < BOUND_MS,
          `${took.filter(Number.isFinite).length} of ${some.length}; p50 ${seconds(took[took.length >> 1])}, at most ${seconds(took.at(-1))}`)
        const codes = [...new Set(some.map(({ closed }) => closed?.code))]
        report.must(`their clients are told not to come back ${where}`, codes.length === 1 && codes[0] === 1008, `close codes ${codes.join(', ')}`)
      }
    }
  })
}
