// The OpenAPI document is a valid one, and the server does what it says: schemathesis sends it whatever fits the document and whatever does not, and
// looks at each answer. None is a failure of the server, and none is one that the document does not have.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startServer } from '../clients/server.mjs'
import { python } from './python.mjs'

// Seconds for all methods together.
const TIME = process.env.TEST_FUZZ_SECONDS ?? '100'
const CHECKS = [
  'not_a_server_error', 'status_code_conformance', 'content_type_conformance', 'response_schema_conformance', 'response_headers_conformance',
  'unsupported_method', 'allow_header_conformance', 'ignored_auth',
]

let server, folder
before(async () => {
  server = await startServer()
  folder = await mkdtemp(join(tmpdir(), 'always-online-openapi-'))
})
after(async () => {
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

test('the document is valid', async () => {
  const answer = await fetch(`${server.api}/v1/openapi.json`)
  const file = join(folder, 'openapi.json')
  await writeFile(file, await answer.text())
  const { code, text } = await python('openapi-spec-validator', ['--schema', '3.1', file])
  assert.equal(code, 0, text)
})

test('no answer is undocumented, and none is a failure of the server', async () => {
  const { uid, token } = server.admin
  const { code, text } = await python('schemathesis', [
    'run', `${server.api}/v1/openapi.json`, '--header', `Authorization: Bearer ${uid}:${token}`, '--checks', CHECKS.join(','), '--max-time', TIME,
    '--no-color', '--request-timeout', '30', '--warnings', 'off',
  ], { cwd: folder, timeout: 240_000 }) // it leaves notes of its own where it runs
  assert.equal(code, 0, text.slice(-30_000))
})
