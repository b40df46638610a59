// The same events on socket.io 4 (allowEIO3), written plainly, as a team would: the peer to be measured against.
//   npm ci && node server.js [PORT]                         messages in memory; any free port without one
//   REDIS_URL=redis://127.0.0.1:6379 node server.js [PORT]    messages in Redis, broadcasts through the Redis adapter
const http = require('http')
const zlib = require('zlib')
const { Server } = require('socket.io')

const PAGE = 200

const memory = () => {
  const rooms = new Map()
  const of = r => rooms.get(r) ?? rooms.set(r, { insert: [], update: new Map() }).get(r)
  return {
    async save(r, m) { m.s === 1 ? of(r).update.set(String(m[1]), m) : m.s === 2 || of(r).insert.push(m) },
    async page(r, o) { return of(r).insert.slice(o, o + PAGE) },
    async updates(r) { return [...of(r).update.values()] },
  }
}
const inRedis = c => ({
  async save(r, m) {
    const text = JSON.stringify({ data: m, ts: Math.floor(Date.now() / 1000) })
    if (m.s === 1) await c.hSet(`msg_${r}_update`, String(m[1]), text)
    else if (m.s !== 2) await c.rPush(`msg_${r}_insert`, text)
  },
  async page(r, o) { return (await c.lRange(`msg_${r}_insert`, o, o + PAGE - 1)).map(t => JSON.parse(t).data) },
  async updates(r) { return Object.values(await c.hGetAll(`msg_${r}_update`)).map(t => JSON.parse(t).data) },
})

async function main() {
  const server = http.createServer((req, res) => { res.statusCode = 404; res.end() })
  const io = new Server(server, { allowEIO3: true, maxHttpBufferSize: 4e6 })
  let store = memory()
  if (process.env.REDIS_URL) {
    const { createClient } = require('redis')
    const { createAdapter } = require('@socket.io/redis-adapter')
    const [c, pub, sub] = Array.from({ length: 3 }, () => createClient({ url: process.env.REDIS_URL }))
    await Promise.all([c, pub, sub].map(x => x.connect()))
    store = inRedis(c)
    io.adapter(createAdapter(pub, sub))
  }
  const users = new Map()
  const present = new Map()

  io.on('connection', socket => {
    const late = setTimeout(() => socket.disconnect(true), 10_000)
    socket.on('authenticate', ({ uid }) => {
      clearTimeout(late)
      users.get(uid)?.emit('kickout', 0).disconnect(true)
      users.set(socket.uid = uid, socket)
      socket.emit('authenticate', { status: 0, data: 'auth success' })
    })
    socket.on('join', ({ roomId }) => {
      socket.join(String(socket.rid = roomId))
      const room = present.get(roomId) ?? present.set(roomId, new Set()).get(roomId)
      socket.emit('join', { status: 0, data: 'join success' })
      socket.to(String(roomId)).emit('remote_join', { uid: socket.uid })
      for (const s of room) socket.emit('remote_join', { uid: s.uid })
      room.add(socket)
    })
    socket.on('msg', async (msg, ack) => {
      if (!socket.rid || JSON.stringify(msg).length > 500 * 1024) return
      if (![0, 1, 2].includes(msg.s)) msg.s = 0
      msg[2] = socket.uid
      const saved = store.save(socket.rid, msg)
      socket.to(String(socket.rid)).emit('msg', msg)
      if (ack) { await saved; ack({ status: 0 }) }
    })
    socket.on('sync', async ({ offset, encoding }) => {
      const from = parseInt(offset) || 0
      const data = await store.page(socket.rid, from)
      const next = data.length < PAGE ? 0 : 1
      if (!next) data.push(...await store.updates(socket.rid))
      const answer = { data, offset: from + data.length, next }
      if (encoding !== 'gzip') return socket.emit('sync', answer)
      zlib.gzip(JSON.stringify(data), (_, z) => socket.emit('sync', { ...answer, data: z.toString('base64'), encoding }))
    })
    socket.on('leave', () => { socket.to(String(socket.rid)).emit('remote_leave', { uid: socket.uid }); socket.disconnect(true) })
    socket.on('disconnect', () => {
      clearTimeout(late)
      if (users.get(socket.uid) === socket) users.delete(socket.uid)
      if (!socket.rid) return
      socket.to(String(socket.rid)).emit('remote_disconnect', { uid: socket.uid })
      const room = present.get(socket.rid)
      room?.delete(socket) && room.size === 0 && present.delete(socket.rid)
    })
  })
  // The same line as the server's own, so that a script finds the port of either.
  server.listen(+process.argv[2] || 0, '127.0.0.1', () => console.log(`websocket http://127.0.0.1:${server.address().port}`))
}
main()
