import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../clients/server.mjs'
import { Party, WRONG } from '../clients/party.mjs'
import { wire } from '../clients/wires.mjs'
import { atEnd, command, Example, filled } from './stage.mjs'

const LINE = command('create-token.sh', 'sh examples/create-token.sh')

function run(t, server, { uid = 'alice', admin = server.admin } = {}) {
  const line = filled(LINE, { 'ADMIN_UID=admin': `ADMIN_UID=${admin.uid}`, 'ADMIN_TOKEN=…': `ADMIN_TOKEN=${admin.token}`, alice: `'${uid}'` })
  return new Example(t, line, { env: { API_URL: server.api } })
}

async function token(...request) {
  const example = run(...request)
  assert.equal(await example.ended(), 0, example.stderr)
  const [, token] = await example.matches(/^([A-Za-z0-9]{24})$/)
  example.printedNothingElse()
  return token
}

for (const env of [{ AO_API__OPEN: 'false' }, { AO_COMPAT: 'deployed' }]) {
  test(`a token, and another one, ${JSON.stringify(env)}`, async t => {
    const server = await startServer({ env })
    const party = new Party(server, wire(4, 'websocket only'))
    atEnd(t, async () => { party.close(); await server.stop() })
    for (const uid of ['alice', 'Zoë "the" \\ {"token":"none"} & 100%']) {
      const first = await token(t, server, { uid })
      const alice = await party.user('alice', { uid, token: first })
      const second = await token(t, server, { uid })
      assert.notEqual(second, first)
      // The old one is dead, who is connected stays until somebody signs in with the new one.
      const late = await party.guest('late', { uid, token: first })
      late.tell('authenticate', { uid, token: first })
      await late.isRefused(WRONG)
      await party.user('alice again', { uid, token: second })
      await alice.isRefused(['kickout', 0])
    }
  })
}

test('what goes wrong has an exit code and a reason', async t => {
  const server = await startServer()
  atEnd(t, () => server.stop())
  const stranger = run(t, server, { admin: { uid: 'nobody', token: 'wrong' } })
  assert.equal(await stranger.ended(), 1)
  assert.match(stranger.stderr, /no token for alice: require permission/)

  const nameless = run(t, server, { uid: '' })
  assert.equal(await nameless.ended(), 1)
  assert.match(nameless.stderr, /param error/)

  for (const line of [LINE.replace(/alice$/, ''), 'sh examples/create-token.sh alice']) {
    const unused = new Example(t, line)
    assert.equal(await unused.ended(), 2)
    assert.match(unused.stderr, /^usage: /)
  }

  await server.end()
  const lonely = run(t, server)
  assert.equal(await lonely.ended(), 3)
  assert.match(lonely.stderr, /curl: \(7\)/)
  for (const failed of [stranger, nameless, lonely]) failed.printedNothingElse()
})
