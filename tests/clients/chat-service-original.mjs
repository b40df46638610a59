// Runs the suite that npm's chat-service is published with, unchanged, against servers of ours: on files, on Redis, and on two nodes. What it does to the
// inside of its own process can't be done to ours, and is left out here, by name.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { it } from 'node:test'
import { fileURLToPath } from 'node:url'

const { REDIS_SERVER_BIN } = process.env
assert.ok(REDIS_SERVER_BIN, 'REDIS_SERVER_BIN names no Redis: run this below scripts/services')
const require = createRequire(import.meta.url)
const own = name => fileURLToPath(new URL(`chat-service/original/${name}`, import.meta.url))

/** Tests that replace functions of the original, or take parts of it; and the one whose defect is not copied. */
const LEFT_OUT = [
  'should be able to integrate with a http server', 'should be able to integrate with an io server', 'should be able to use a custom',
  'should check state constructor type', 'should check transport constructor type', 'should rollback a failed', 'should rollback a disconnected',
  'should not join a disconnected socket', 'should propagate transport close errors', 'should support extending ChatServiceError',
  'should recover from', 'should emit consistencyFailure on leave channel errors',
]

/** A Redis of its own: the suite empties it all the time. */
async function startRedis(port) {
  const redis = spawn(REDIS_SERVER_BIN, ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: ['ignore', 'pipe', 'inherit'] })
  process.on('exit', () => redis.kill('SIGKILL'))
  let said = ''
  for await (const text of redis.stdout.setEncoding('utf8')) {
    said += text
    if (said.includes('Ready to accept connections')) break
  }
  assert.ok(redis.exitCode === null, `Redis has ended: ${said}`)
  return redis
}

/** Three ports, one after the other, that nobody listens on. */
async function freePorts() {
  for (;;) {
    const servers = []
    try {
      for (let port = 0; servers.length < 3; port++) {
        const server = createServer().listen(port, '127.0.0.1')
        servers.push(server)
        await once(server, 'listening')
        port ||= server.address().port
      }
      return servers[0].address().port
    } catch { /* one is taken */ } finally {
      await Promise.all(servers.map(server => new Promise(done => server.close(done))))
    }
  }
}

it('passes the suite of the original', async t => {
  const port = await freePorts()
  const redis = await startRedis(port + 2)
  t.after(() => redis.kill('SIGKILL'))
  const mocha = require.resolve('mocha/bin/mocha.js')
  const suite = join(dirname(require.resolve('chat-service/package.json')), 'test', 'index.js')
  const escaped = LEFT_OUT.map(name => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|')
  const child = spawn(process.execPath, [
    mocha, '--exit', '--no-config', '--reporter', 'json', '--timeout', '20000', '--require', own('suite.cjs'), '--grep', escaped, '--invert', suite,
  ], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SUITE_REDIS_URL: `redis://127.0.0.1:${port + 2}/1`, SUITE_PORT: `${port}`, NODE_PATH: fileURLToPath(new URL('node_modules', import.meta.url)) },
  })
  let text = ''
  for await (const chunk of child.stdout.setEncoding('utf8')) text += chunk
  const { stats, failures } = JSON.parse(text.slice(text.indexOf('{\n  "stats"')))
  const said = failures.map(({ fullTitle, err }) => `${fullTitle}\n    ${err.message}`)
  assert.deepEqual(said, [])
  assert.ok(stats.passes > 200, `${stats.passes} passed`)
})
