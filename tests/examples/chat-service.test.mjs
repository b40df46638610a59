// The client and the business server of examples/chat-service, each as its header says: two people talk, the business server has its say, and a line that is
// cut loses nothing and repeats nothing.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { settings, api } from '../clients/chat-service/stage.mjs'
import { Line } from '../clients/cut.mjs'
import { startServer } from '../clients/server.mjs'
import { atEnd, command, Example, filled, folderFor, modules, ROOT, source } from './stage.mjs'

const SECRET = `whsec_${randomBytes(32).toString('base64')}`
/** The settings that the business server's header gives to the event server. */
const ASKED = /AO_CHAT_SERVICE__HOOKS=(\S+)/.exec(source('examples/chat-service/business.mjs'))[1]

/** A port that is free now, and is asked for in a moment. */
async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  return port
}

/** The event server, its business server, and people who come to it through a line each. */
async function stage(t) {
  const port = await freePort()
  const values = { HOOK_URL: `http://127.0.0.1:${port}/`, HOOK_SECRET: SECRET, HOOKS: ASKED, ENABLE_USERLIST_UPDATES: true }
  const server = await startServer({ env: settings(values) })
  atEnd(t, () => server.stop())
  const { uid, token } = server.admin
  const line = filled(command('chat-service/business.mjs', 'node business.mjs'), { 'whsec_…': SECRET, 'ADMIN_UID=admin': `ADMIN_UID=${uid}`, 'ADMIN_TOKEN=…': `ADMIN_TOKEN=${token}` })
  const folder = folderFor(t, 'chat-service/business.mjs', { node_modules: join(ROOT, 'tests/integrate/node_modules') })
  const business = new Example(t, line, { cwd: folder, env: { LISTEN_PORT: port, API_URL: server.api } })
  await business.matches(/^business server http:\/\/127\.0\.0\.1:\d+$/)
  const place = folderFor(t, 'chat-service/client.js', { node_modules: modules(t, { 'socket.io-client': 'socket.io-client-2' }) })
  /** Somebody who begins to come in. */
  const comes = async (name, token, room = '') => {
    const cable = await Line.to(server.url)
    atEnd(t, () => cable.close())
    const line = filled(command('chat-service/client.js', 'node client.js'), { 'ann wonderland': `${name} ${token} ${room}` })
    const person = new Example(t, line, { cwd: place, env: { CHAT_URL: `${cable.url.replace('http', 'ws')}/chat-service` } })
    return Object.assign(person, { cable })
  }
  const enters = async (name, token) => {
    const person = await comes(name, token)
    await person.complains('in default')
    return person
  }
  return { server, business, comes, enters }
}

test('two people talk, and the business server has its say', async t => {
  const { server, business, comes, enters } = await stage(t)
  const ann = await enters('ann', 'wonderland')
  const ben = await enters('ben', 'builder')
  await ann.complains('ben is here')
  ann.type('hello é日🎉')
  for (const person of [ann, ben]) await person.prints('ann: hello é日🎉')
  await business.prints('default 1 ann: hello é日🎉')
  ben.type('darn, it works')
  for (const person of [ann, ben]) await person.prints('ben: ****, it works')
  await business.prints('default 2 ben: ****, it works')
  ben.type('x'.repeat(201))
  await ben.complains('too long')

  const stranger = await comes('ann', 'guessed')
  assert.equal(await stranger.ended(), 1)
  assert.match(stranger.stderr, /Action is not allowed/)
  const outsider = await comes('ben', 'builder', 'staff')
  await outsider.complains('Action is not allowed')
  await outsider.complains('connection lost: io client disconnect')
  assert.deepEqual((await api(server, 'execUserCommand', { command: 'roomGetAccessList', args: ['staff', 'userlist'], bypassPermissions: true })).body, { result: { results: [[]] } })
  await outsider.terminate()

  const { status } = await api(server, 'execUserCommand', { command: 'roomAddToList', args: ['default', 'blacklist', ['ben']], bypassPermissions: true })
  assert.equal(status, 200)
  await ben.complains('default is closed to ben')
  await ann.complains('ben is gone')
  await business.prints('ben left default')
  await ben.terminate()
  await business.prints('ben is offline')
  for (const person of [ann, ben, business]) person.printedNothingElse()
})

test('what is said while a line is cut arrives, once, on both sides', async t => {
  const { enters } = await stage(t)
  const ann = await enters('ann', 'wonderland')
  const ben = await enters('ben', 'builder')
  ben.type('before')
  for (const person of [ann, ben]) await person.prints('ben: before')
  ann.cable.cut()
  await ann.complains('connection lost')
  ann.type('without a network')
  ben.type('missed')
  ben.type('this, too')
  await ben.prints('ben: missed', 'ben: this, too')
  ann.cable.mend()
  await ann.prints('ben: missed', 'ben: this, too', 'ann: without a network')
  await ben.prints('ann: without a network')
  for (const person of [ann, ben]) person.printedNothingElse()
})

test('the business server answers nobody whose signature is wrong', async t => {
  const { business } = await stage(t)
  const url = business.printed[0].split(' ').at(-1)
  const forged = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(Date.now() / 1000 | 0), 'webhook-signature': `v1,${randomBytes(32).toString('base64')}` }
  for (const headers of [forged, {}]) {
    const answer = await fetch(url, { method: 'POST', headers, body: '{"hook":"onDisconnect","userName":"forged","nconnected":0}' })
    assert.equal(answer.status, 401, await answer.text())
  }
  business.printedNothingElse()
})
