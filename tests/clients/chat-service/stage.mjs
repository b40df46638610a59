// What chat-service is tested on: servers with each kind of stores, their business server, and the server API.
import { randomUUID } from 'node:crypto'
import http from 'node:http'
import Redis from 'ioredis'
import { startCluster } from '../cluster.mjs'
import { startServer } from '../server.mjs'

const BOUND_MS = 30_000

/** Those whose name contains AO_SITES ("two nodes"), or all. `clustered`: several nodes that are one. */
const keep = sites => sites.filter(({ name }) => name.includes(process.env.AO_SITES ?? ''))

/** One node on files, two on Redis and MongoDB: where all is tested. */
export const SITES = keep([
  { name: 'one node', start: startServer, clustered: false },
  { name: 'two nodes', start: startCluster, clustered: true },
])

/** And on Redis alone, as the original runs: there tokens are not shared, and each node has an administrator of its own. */
export const ON_REDIS = keep([
  { name: 'one node on Redis alone', start: options => startOnRedis({ ...options, nodes: 1 }), clustered: false },
  { name: 'two nodes on Redis alone', start: startOnRedis, clustered: true },
])

/** As environment variables: keys are those of `[chat_service]`, in capitals. */
export const settings = values => Object.fromEntries(Object.entries({ ENABLED: 'true', ...values }).map(([key, value]) => [`AO_CHAT_SERVICE__${key}`, `${value}`]))

/** Everything that is off by default. */
export const ALL_ON = {
  ENABLE_ACCESS_LISTS_UPDATES: true, ENABLE_DIRECT_MESSAGES: true, ENABLE_ROOMS_MANAGEMENT: true, ENABLE_USERLIST_UPDATES: true,
}

/** Nodes on the Redis of REDIS_URL, with keys of their own, which go with them. */
async function startOnRedis({ title, env = {}, nodes: count = 2 }) {
  const { REDIS_URL } = process.env
  if (!REDIS_URL) throw new Error('REDIS_URL names no Redis: run this below scripts/services')
  const prefix = `ao_test_${randomUUID().replaceAll('-', '')}:`
  const stores = { AO_STORE__MESSAGES: REDIS_URL, AO_STORE__KEY_PREFIX: prefix, AO_STORE__LEASE: '9s' }
  const nodes = []
  try {
    for (let i = 0; i < count; i++) nodes.push(await startServer({ title: `${title}, node ${i}`, env: { ...stores, ...env } }))
  } catch (error) {
    await Promise.allSettled(nodes.map(node => node.stop()))
    throw error
  }
  let clients = 0, calls = 0
  return {
    nodes,
    nodeForClient: () => nodes[clients++ % count],
    nodeForCall: () => nodes[calls++ % count],
    async stop() {
      const ends = await Promise.allSettled(nodes.map(node => node.stop()))
      const redis = new Redis(REDIS_URL, { maxRetriesPerRequest: 1 })
      for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1000 })) if (keys.length) await redis.unlink(keys)
      redis.disconnect()
      for (const { reason } of ends) if (reason) throw reason
    },
  }
}

/**
 * A call of the server API at a node, by default with its administrator's credentials. `text` is a body that is not made of `body`.
 * @returns {Promise<{status, type, body, text}>}
 */
export function api(node, method, body = {}, { verb = 'POST', query = {}, text = JSON.stringify(body), headers, admin = node.admin } = {}) {
  const url = new URL(`${node.api}/v1/chat-service/${method}`)
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value)
  const credentials = admin && { authorization: `Basic ${Buffer.from(`${admin.uid}:${admin.token}`).toString('base64')}` }
  const all = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...credentials, ...headers }
  return new Promise((resolve, reject) => {
    // One connection for each call: a server that was started again is never met through a kept one.
    const request = http.request(url, { method: verb, headers: all, agent: false, timeout: BOUND_MS }, async response => {
      let answer = ''
      try {
        for await (const chunk of response.setEncoding('utf8')) answer += chunk
      } catch (error) { return reject(error) }
      resolve({ status: response.statusCode, type: response.headers['content-type'], text: answer, body: parsed(answer) })
    })
    request.on('timeout', () => request.destroy(new Error(`no answer to ${method} within ${BOUND_MS} ms`)))
    request.on('error', reject)
    request.end(text)
  })
}

function parsed(text) {
  try { return JSON.parse(text) } catch { return undefined }
}
