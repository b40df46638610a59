// npm's chat-service, started as its README says: the peer of the dialect.
//   npm ci && node server.js                                state in memory
//   REDIS_URL=redis://127.0.0.1:6379 node server.js         state in Redis, which should be empty
const http = require('http')
const ChatService = require('chat-service')

const onConnect = async (service, id) => service.transport.getHandshakeData(id).query.user
const redis = process.env.REDIS_URL && new URL(process.env.REDIS_URL)
const address = redis && [{ host: redis.hostname, port: Number(redis.port), db: Number(redis.pathname.slice(1)) || 0 }]
const stores = redis ? { state: 'redis', stateOptions: { redisOptions: address }, adapter: 'redis', adapterOptions: { host: redis.hostname, port: Number(redis.port) } } : {}

const server = http.createServer((request, response) => { response.statusCode = 404; response.end() })
const service = new ChatService({
  enableRoomsManagement: true, enableDirectMessages: true, directListSizeLimit: 1e6, roomListSizeLimit: 1e6, transportOptions: { http: server, ioOptions: { maxHttpBufferSize: 4e6 } }, ...stores,
}, { onConnect })

service.on('ready', () => {
  if (!server.listening) return server.listen(0, '127.0.0.1', say)
  say()
})
function say() { console.log(`websocket http://127.0.0.1:${server.address().port}`) }
const end = () => service.close().finally(() => process.exit())
process.on('SIGTERM', end)
process.on('SIGINT', end)
