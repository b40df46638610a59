// A Redis as npm's chat-service 1.0.0 leaves it, where docs/migration-chat-service.md has it, and the script that takes over what is there.
import { strict as assert } from 'node:assert'
import { copyFile, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Program } from './programs.mjs'

const { Redis } = createRequire(new URL('../clients/package.json', import.meta.url))('ioredis')
const { REDIS_SERVER_BIN } = process.env
const ROOT = new URL('../../', import.meta.url).pathname

/** Starts the Redis for this reader. It ends with the reader. */
export async function leaveChatServiceBehind(reader) {
  assert(REDIS_SERVER_BIN, 'REDIS_SERVER_BIN is not set: run this below scripts/services')
  const port = await reader.port('6379')
  await symlink(REDIS_SERVER_BIN, join(reader.top, 'bin', 'redis-server'))
  const server = new Program(`exec redis-server --port ${port} --bind 127.0.0.1 --save ''`, { cwd: reader.folder, env: reader.env })
  reader.beside(server)
  assert(await server.until(out => /Ready to accept connections/.test(out), 30_000), `Redis does not start:\n${server.out}${server.err}`)
  await write(`redis://127.0.0.1:${port}`)
  await copyFile(join(ROOT, 'examples/chat-service/import.mjs'), join(reader.folder, 'import.mjs'))
}

/** What one left that was really there: the example's test has it. */
async function write(url) {
  const redis = new Redis(url)
  const left = JSON.parse(await readFile(join(ROOT, 'tests/examples/chat-service.json'), 'utf8'))
  const words = { string: value => ['set', value], set: value => ['sadd', ...value], list: value => ['rpush', ...value], hash: value => ['hset', ...Object.entries(value).flat()] }
  for (const { key, type, value } of left) {
    const [command, ...rest] = words[type](value)
    await redis.call(command, key, ...rest)
  }
  redis.disconnect()
}
