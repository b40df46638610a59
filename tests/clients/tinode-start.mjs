// The start of a server with Tinode's clients: it says where it listens, and that it is ready, when it has its secrets.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { connect, createServer } from 'node:net'
import { describe, it } from 'node:test'
import Redis from 'ioredis'
import WebSocket from 'ws'
import { call, eventually } from './http.mjs'
import { startServer } from './server.mjs'
import { api, settings, socketAddress } from './tinode/stage.mjs'

/** Both are made at the first start, and kept in the store. */
const MADE = settings({ API_KEY_SALT: undefined, TOKEN_KEY: undefined })
/** What the secrets are called in the store. */
const SECRETS = 'tinode-secrets'
const HELD_MS = 150

/** A way to a Redis, which answers a connection that asks for the secrets when `asks` has resolved. */
async function openGate(url, asks) {
  const { hostname, port } = new URL(url), gate = new URL(url), sockets = new Set()
  const server = createServer(client => {
    const redis = connect(Number(port || 6379), hostname)
    let held = Promise.resolve()
    for (const socket of [client, redis]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => { client.destroy(); redis.destroy() })
    }
    client.on('data', bytes => {
      if (bytes.includes(SECRETS)) held = asks()
      redis.write(bytes)
    })
    redis.on('data', bytes => { held = held.then(() => { if (!client.destroyed) client.write(bytes) }) })
  })
  await new Promise(listens => server.listen(0, '127.0.0.1', listens))
  gate.host = `127.0.0.1:${server.address().port}`
  return {
    url: gate.href,
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** A server on Redis whose answers about the secrets come by `asks`, for one test. */
async function stand(t, asks, start) {
  const { REDIS_URL } = process.env
  assert.ok(REDIS_URL, 'REDIS_URL names no Redis: run this below scripts/services')
  const prefix = `ao_test_${randomUUID().replaceAll('-', '')}:`
  const gate = await openGate(REDIS_URL, asks)
  let server
  t.after(async () => {
    await server?.stop()
    gate.close()
    const redis = new Redis(REDIS_URL, { maxRetriesPerRequest: 1 })
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1000 })) if (keys.length) await redis.unlink(keys)
    redis.disconnect()
  })
  const env = { AO_STORE__MESSAGES: gate.url, AO_STORE__KEY_PREFIX: prefix, ...MADE }
  server = await start(env)
  return server
}

const makesAKey = async server => {
  const { status, text, body } = await api(server, 'createKey', { note: 'an app' })
  assert.equal(status, 200, text)
  const socket = new WebSocket(socketAddress(server, body.result.key))
  await new Promise((opened, failed) => socket.on('open', opened).on('error', failed))
  socket.terminate()
}

describe('tinode: the start', () => {
  it('a key can be made as soon as the server is ready', async t => {
    const server = await startServer({ title: 'tinode, start', env: MADE })
    t.after(() => server.stop())
    await makesAKey(server)
    await server.restart()
    await makesAKey(server)
  })

  it('also where the secrets take their time', async t => {
    const late = () => new Promise(answers => setTimeout(answers, HELD_MS))
    await makesAKey(await stand(t, late, env => startServer({ title: 'tinode, late secrets', env })))
  })

  it('where the store does not tell the secrets the server starts, is not ready, and goes on trying', async t => {
    let open, asked = 0
    const opened = new Promise(opens => { open = opens })
    const never = () => { asked++; return opened }
    let ready = false
    const server = await stand(t, never, async env => {
      // It is ready at last, and was told of before.
      const starts = startServer({ title: 'tinode, no secrets', env })
      starts.then(() => { ready = true }, () => {})
      return { starts, stop: async () => (await starts).stop() }
    })
    await eventually('a second attempt', async () => asked, times => times > 1)
    assert.equal(ready, false)
    open()
    await makesAKey(await server.starts)
  })
})
