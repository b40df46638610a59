// What an operator relies on, in small: the checks of stress/operate that need nothing but the server and the load generator.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const OPERATE = fileURLToPath(new URL('../../stress/operate', import.meta.url))
const SERVER = process.env.AO_BIN ?? fileURLToPath(new URL('../../target/debug/always-online', import.meta.url))
// Built beside it.
const GENERATOR = process.env.STRESS_GENERATOR ?? join(dirname(SERVER), 'stress')

async function check(name) {
  const env = { ...process.env, STRESS_SERVER: SERVER, STRESS_GENERATOR: GENERATOR }
  const { stdout } = await promisify(execFile)(OPERATE, ['--quick', name], { env, maxBuffer: 1 << 24, timeout: 180_000 })
    .catch(error => { throw new Error(`${error.stdout}\n${error.stderr}`) })
  assert.match(stdout, /all as it must be/)
}

test('all clients come back from a storm and have missed nothing', () => check('storm'))
test('a limit of connections is reached, and freed', () => check('full'))
test('a failing network loses nothing and doubles nothing', () => check('drops'))
test('at its limit of memory the server lives and serves who is there', () => check('memory'))
