// A Redis and a MongoDB as the original leaves them, where docs/migration.md has them: keys with messages, keys with copies, and documents.
import { strict as assert } from 'node:assert'
import { execFile } from 'node:child_process'
import { mkdir, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Program } from './programs.mjs'

const { MongoClient } = createRequire(new URL('../clients/package.json', import.meta.url))('mongodb')
const { REDIS_SERVER_BIN, MONGOD_BIN } = process.env

/** Starts both for this reader. They end with the reader. */
export async function leaveBehind(reader) {
  assert(REDIS_SERVER_BIN && MONGOD_BIN, 'REDIS_SERVER_BIN and MONGOD_BIN are not set: run this below scripts/services')
  const [redis, mongodb] = [await reader.port('6379'), await reader.port('27017')]
  await mkdir(join(reader.top, 'mongodb'))
  await symlink(REDIS_SERVER_BIN, join(reader.top, 'bin', 'redis-server'))
  await started(reader, 'Redis', `exec redis-server --port ${redis} --bind 127.0.0.1 --save ''`, /Ready to accept connections/)
  const mongod = `exec '${MONGOD_BIN}' --port ${mongodb} --bind_ip 127.0.0.1 --nounixsocket --dbpath ../mongodb --wiredTigerCacheSizeGB 0.25`
  await started(reader, 'MongoDB', mongod, /Waiting for connections/)
  await messages(`redis://127.0.0.1:${redis}`)
  await accounts(`mongodb://127.0.0.1:${mongodb}`)
}

async function started(reader, name, command, sign) {
  const server = new Program(command, { cwd: reader.folder, env: reader.env })
  reader.beside(server)
  assert(await server.until(out => sign.test(out), 30_000), `${name} does not start:\n${server.out}${server.err}`)
}

async function messages(url) {
  const redis = (...words) => promisify(execFile)('redis-cli', ['-u', url, ...words])
  const entry = (message, ts) => JSON.stringify({ data: { ...message, 2: '1000' }, ts })
  for (const n of [1, 2, 3]) await redis('RPUSH', 'msg_7_insert', entry({ s: 0, 1: n, text: 'né' }, 1_500_000_000 + n))
  for (const [id, ts] of [['late', 1_500_000_900], ['early', 1_500_000_100]]) {
    await redis('HSET', 'msg_7_update', id, entry({ s: 1, 1: id }, ts))
    await redis('RPUSH', 'msg_7_update_backup', entry({ s: 1, 1: id }, ts))
  }
  await redis('RPUSH', 'msg_7_ignore', entry({ s: 2, 1: 'ignored' }, 1_500_000_950))
  // What a trial of this server left, of a room with a name that is hard on a shell: who removes it must not remove room 7.
  await redis('SET', "ao:seq:x msg_7_insert it's", '1')
}

async function accounts(url) {
  const client = await MongoClient.connect(url)
  const account = (uid, token) => ({ uid, token, createTime: 1_500_000_000, updateTime: 1_500_000_000 })
  await client.db('account').collection('users').insertOne(account('1000', 'abcdefghijklmnopqrstuvwx'))
  await client.db('account').collection('admins').insertOne(account('ops', 'ABCDEFGHIJKLMNOPQRSTUVWX'))
  await client.close()
}
