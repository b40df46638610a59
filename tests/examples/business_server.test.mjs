import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Party, WRONG } from '../clients/party.mjs'
import { startServer } from '../clients/server.mjs'
import { wire } from '../clients/wires.mjs'
import { atEnd, businessServer, command, Example, filled, source } from './stage.mjs'

const LOGIN = command('business_server.rs', 'curl ')

/** Logs in as the header says. @returns {code, headers, body} */
async function login(t, business, { user = 'alice', password = 'wonderland', body = JSON.stringify({ user, password }) } = {}) {
  const line = filled(LOGIN, { '{"user":"alice","password":"wonderland"}': body, 'http://127.0.0.1:8080': business.url })
  const curl = new Example(t, line.replace('curl', 'curl --silent --include --noproxy "*"'))
  assert.equal(await curl.ended(), 0, curl.stderr)
  const text = curl.printed.join('\n')
  const [, code, headers, answer] = /^HTTP\/1\.1 (\d+) (.*?)\n\n(.*)$/s.exec(text)
  return { code: Number(code), headers, body: answer.startsWith('{') ? JSON.parse(answer) : answer }
}

for (const env of [{ AO_API__OPEN: 'false' }, { AO_COMPAT: 'deployed' }]) {
  test(`users get in, ${JSON.stringify(env)}`, async t => {
    const server = await startServer({ env })
    const party = new Party(server, wire(4, 'websocket only'))
    atEnd(t, async () => { party.close(); await server.stop() })
    const business = await businessServer(t, server)

    const first = await login(t, business)
    assert.equal(first.code, 200, JSON.stringify(first))
    assert.deepEqual(first.body, { url: server.url, uid: 'alice', token: first.body.token })
    assert.match(first.headers, /^cache-control: no-store$/m)
    const alice = await party.user('alice', first.body)
    const bob = await party.user('bob', (await login(t, business, { user: 'bob', password: 'builder' })).body)
    await party.enter(alice, 'plans')
    await party.enter(bob, 'plans', { present: [alice] })

    // Another login: the old token is dead, the old connection lives until the new one is there.
    const second = await login(t, business)
    assert.notEqual(second.body.token, first.body.token)
    await party.barrier(alice, bob)
    const late = await party.guest('late', first.body)
    late.tell('authenticate', first.body)
    await late.isRefused(WRONG)
    await party.user('alice again', second.body)
    await alice.isRefused(['kickout', 0])
  })
}

test('who may not gets nothing', async t => {
  const server = await startServer()
  atEnd(t, () => server.stop())
  const business = await businessServer(t, server)
  for (const wrong of [{ password: 'Wonderland' }, { user: 'bob' }, { user: 'carol', password: '' }]) {
    const { code, body } = await login(t, business, wrong)
    assert.deepEqual([code, body], [401, { error: 'user or password is wrong' }])
  }
  for (const [body, expected] of [['{"user":"alice"}', 422], ['alice', 400]]) assert.equal((await login(t, business, { body })).code, expected)
  assert.equal((await server.user('refresh_token', { json: { uid: 'alice' } })).meta.msg, 'user not exists', 'no user was made')

  const page = await fetch(business.url)
  assert.match(page.headers.get('content-type'), /^text\/html/)
  assert.equal(await page.text(), source('examples/page.html'))

  await server.end()
  const { code, body } = await login(t, business)
  assert.deepEqual([code, body], [503, { error: 'not now, try again in a moment' }])
  await business.complains('the token API does not answer: error sending request')
  await server.start()
  assert.equal((await login(t, business)).code, 200, 'it gets over that')
  business.signal('SIGINT')
  assert.equal(await business.ended(), 0)
})

test('what is set wrong is told', async t => {
  const server = await startServer()
  atEnd(t, () => server.stop())
  const business = await businessServer(t, server, { ADMIN_TOKEN: 'unused' })
  const mistaken = await businessServer(t, Object.assign(Object.create(server), { admin: { uid: server.admin.uid, token: 'wrong' } }))
  const { code, body } = await login(t, mistaken)
  assert.deepEqual([code, body], [500, { error: 'something is wrong here' }])
  await mistaken.complains('the token API refused: require permission')

  const LINE = command('business_server.rs', 'cargo run --example business_server')
  const unset = new Example(t, LINE.replace('ADMIN_TOKEN=…', ''))
  assert.equal(await unset.ended(), 1)
  assert.match(unset.stderr, /ADMIN_TOKEN is not set/)
  const taken = new Example(t, LINE, { env: { LISTEN: new URL(business.url).host } })
  assert.equal(await taken.ended(), 1)
  assert.match(taken.stderr, /can't listen on 127\.0\.0\.1:\d+/)
})
