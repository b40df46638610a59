import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Party } from '../clients/party.mjs'
import { startServer } from '../clients/server.mjs'
import { wire } from '../clients/wires.mjs'
import { atEnd, command, Example, filled, ROOT } from './stage.mjs'

const SECRET = 'known to both of them, and to nobody else'
const LOGIN = command('jwt_server.mjs', 'curl ')

/** The example beside a server that knows its secret. */
async function stage(t) {
  const server = await startServer({ env: { AO_JWT__SECRET: SECRET, AO_ROOMS__ACCESS: 'claims' } })
  const party = new Party(server, wire(4, 'websocket only'))
  atEnd(t, async () => { party.close(); await server.stop() })
  const line = filled(command('jwt_server.mjs', 'node examples/jwt_server.mjs'), { 'AO_JWT__SECRET=…': `AO_JWT__SECRET='${SECRET}'` })
  const business = new Example(t, line, { cwd: ROOT, env: { LISTEN_PORT: '0', EVENTS_URL: server.url } })
  const [, url] = await business.matches(/^business server (http:\/\/127\.0\.0\.1:\d+)$/)
  return { server, party, url }
}

async function login(t, url, { user = 'alice', password = 'wonderland', room = 'plans' } = {}) {
  const body = JSON.stringify({ user, password, room })
  const line = filled(LOGIN, { '{"user":"alice","password":"wonderland","room":"plans"}': body, 'http://127.0.0.1:8090': url })
  const curl = new Example(t, line.replace('curl', 'curl --silent --noproxy "*"'))
  assert.equal(await curl.ended(), 0, curl.stderr)
  return JSON.parse(curl.printed.join('\n'))
}

test('who logs in may do what its token says, and renews it on the same connection', async t => {
  const { server, party, url } = await stage(t)
  const first = await login(t, url)
  assert.deepEqual([first.url, first.uid, first.expiresIn], [server.url, 'alice', 900])
  const alice = await party.user('alice', first)
  await party.enter(alice, 'plans')
  assert.deepEqual(await alice.ask('msg', { text: 'hello' }), { status: 0, data: 'msg success' })
  alice.tell('join', { roomId: 'elsewhere' })
  await alice.sees(['join', { status: 1, data: 'join failed, not allowed' }])
  const second = await login(t, url)
  alice.tell('authenticate', second)
  await alice.sees(['authenticate', { status: 0, data: 'auth success' }])
})

test('who may not log in gets no token', async t => {
  const { url } = await stage(t)
  for (const wrong of [{ password: 'Wonderland' }, { user: 'bob' }, { user: 'constructor', password: '' }]) {
    assert.deepEqual(await login(t, url, wrong), { error: 'user or password is wrong' })
  }
})

test('without a secret it does not start', async t => {
  const business = new Example(t, 'node examples/jwt_server.mjs', { cwd: ROOT })
  assert.equal(await business.ended(), 1)
  assert.match(business.stderr, /AO_JWT__SECRET is not set/)
})
