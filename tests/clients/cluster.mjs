// Two nodes that behave as one server, on the Redis and the MongoDB of REDIS_URL and MONGODB_URL. To tests it looks like one `Server`:
// each next client goes to the next node and keeps it, as behind a proxy; its token was made at another one; calls to /admin take turns.
import { randomUUID } from 'node:crypto'
import Redis from 'ioredis'
import { MongoClient } from 'mongodb'
import { command, startServer } from './server.mjs'

/** Starts `nodes` nodes with keys and a database of their own, which end with them. `env` is added to the environment of each. */
export async function startCluster({ title = 'default', env = {}, nodes = 2 } = {}) {
  const { REDIS_URL, MONGODB_URL } = process.env
  if (!REDIS_URL || !MONGODB_URL) {
    throw new Error('REDIS_URL and MONGODB_URL name no Redis and no MongoDB for the cluster: run scripts/test clients, or this below scripts/services')
  }
  const name = `ao_test_${randomUUID().replaceAll('-', '')}`
  const cluster = new Cluster(title, {
    AO_STORE__MESSAGES: REDIS_URL, AO_STORE__TOKENS: withDatabase(MONGODB_URL, name), AO_STORE__KEY_PREFIX: `${name}:`, AO_STORE__LEASE: '9s', ...env,
  })
  try {
    await cluster.start(nodes)
  } catch (error) {
    await cluster.stop().catch(() => {})
    throw error
  }
  return cluster
}

export class Cluster {
  nodes = []
  #clients = 0
  #calls = 0

  constructor(title, env) {
    Object.assign(this, { title, env })
  }

  async start(count) {
    // There is no first administrator in MongoDB: whoever runs the service makes one.
    // It makes the database, too, which takes a while on a machine that has much to do, however little time the nodes' stores are given.
    const places = Object.entries(this.env).filter(([name]) => name.startsWith('AO_STORE__') && !/DEADLINE|LEASE/.test(name))
    this.admin = { uid: 'root', token: await command(['admin', 'create', 'root'], Object.fromEntries(places)) }
    for (let i = 0; i < count; i++) {
      const node = await startServer({ title: `${this.title}, node ${i}`, env: this.env })
      node.admin = this.admin
      this.nodes.push(node)
    }
  }

  get open() { return false }

  /** Where the next client connects, for all its life. */
  nodeForClient() { return this.#at(this.#clients++) }

  /** Where the next HTTP call goes. */
  nodeForCall() { return this.#at(this.#calls++) }

  /** The node behind `node`. */
  other(node) { return this.#at(this.nodes.indexOf(node) + 1) }

  #at(place) { return this.nodes[place % this.nodes.length] }

  ask(...request) { return this.nodeForCall().ask(...request) }
  user(...request) { return this.nodeForCall().user(...request) }

  /** Made at another node than the one where the latest client went. */
  token(uid) { return this.#at(this.#clients).token(uid) }

  /** A command of the binary, with the cluster's stores. @returns its stdout, trimmed */
  command(...args) { return command(args, this.env) }

  /** All nodes end, then all start again. */
  async restart() {
    await Promise.all(this.nodes.map(node => node.end()))
    await Promise.all(this.nodes.map(node => node.start()))
  }

  async stop() {
    const ends = await Promise.allSettled(this.nodes.map(node => node.stop()))
    await Promise.all([this.#dropKeys(), this.#dropDatabase()])
    for (const { reason } of ends) if (reason) throw reason
  }

  async #dropKeys() {
    const redis = new Redis(this.env.AO_STORE__MESSAGES, { maxRetriesPerRequest: 1 })
    try {
      for await (const keys of redis.scanStream({ match: `${this.env.AO_STORE__KEY_PREFIX}*`, count: 1000 })) if (keys.length) await redis.unlink(keys)
    } finally {
      redis.disconnect()
    }
  }

  async #dropDatabase() {
    const mongo = new MongoClient(this.env.AO_STORE__TOKENS, { serverSelectionTimeoutMS: 5000 })
    try {
      await mongo.db().dropDatabase()
    } finally {
      await mongo.close()
    }
  }
}

/** A server's URL with a database in it; its users stay where they were. */
function withDatabase(server, name) {
  const [, scheme, hosts, database, options] = /^([\w+]+):\/\/([^/?]*)\/?([^?]*)\??(.*)$/.exec(server) ?? []
  if (!hosts) throw new Error('MONGODB_URL is no URL')
  const source = hosts.includes('@') && !options.includes('authSource=') ? [`authSource=${database || 'admin'}`] : []
  const all = [...options.split('&').filter(Boolean), ...source].join('&')
  return `${scheme}://${hosts}/${name}${all && `?${all}`}`
}
