// The client against a scripted server: a socket that the test plays by hand, packet by packet. No browser, no network.
import { strict as assert } from 'node:assert'
import { afterEach, beforeEach, mock, test } from 'node:test'
import { AlwaysOnline, Connection } from '../../demo/always-online.js'

let sockets, client, got, states
const settle = async () => { for (let i = 0; i < 10; i++) await Promise.resolve() }

class Socket {
  sent = []
  bufferedAmount = 0
  constructor(url) { this.url = url; sockets.push(this) }
  send(text) { this.sent.push(text) }
  close() { this.closed = true }
  async says(text) { this.onmessage({ data: text }); await settle() }
  event(...values) { return this.says(`42${JSON.stringify(values)}`) }
  lost() { this.onclose() }
  async opens() {
    await this.says('0{"sid":"x","pingInterval":25000,"pingTimeout":20000}')
    await this.says('40{"sid":"y"}')
  }
  async letsIn() {
    await this.opens()
    await this.event('authenticate', { status: 0, data: 'auth success' })
    await this.event('join', { status: 0, data: 'join success' })
  }
}
const last = () => sockets.at(-1)
const stroke = (id, uid = 'bert') => ({ s: 0, msgId: id, 2: uid })
const page = (data, log, next = 0) => last().event('sync', { data, offset: data.length, next, log })
const ids = () => got.map(m => m.msgId)

beforeEach(async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  sockets = []; got = []; states = []
  client = new AlwaysOnline('http://board.example:3000/', { uid: 'anna', token: async () => 't0ken', room: 'r/1', WebSocket: Socket })
  client.on('message', ({ message }) => got.push(message))
  client.on('state', ({ state }) => states.push(state))
  await settle()
})
afterEach(() => {
  client.close()
  mock.timers.reset()
})

test('it connects, authenticates, joins and asks for the history', async () => {
  assert.equal(last().url, 'ws://board.example:3000/socket.io/?EIO=4&transport=websocket')
  await last().letsIn()
  assert.deepEqual(last().sent.slice(0, 3), ['40', '42["authenticate",{"uid":"anna","token":"t0ken"}]', '42["join",{"roomId":"r/1"}]'])
  assert.match(last().sent[3], /"sync",\{"offset":0,"resume":true/)
  assert.equal(client.state, 'connecting')
  await page([], 0)
  assert.equal(client.state, 'online')
})

test('a message that is in a page and arrives live as well is handed out once', async () => {
  await last().letsIn()
  await last().event('msg', stroke('b'))
  await last().event('msg', stroke('c'))
  await page([stroke('a'), stroke('b')], 2)
  await last().event('msg', stroke('b'))
  await last().event('msg', stroke('d'))
  assert.deepEqual(ids(), ['a', 'b', 'c', 'd'])
})

test('after a reconnect it goes on at the number of inserts, not at the offset that counts updates', async () => {
  await last().letsIn()
  await page([stroke('a'), { s: 1, msgId: 'u', 2: 'bert' }], 1)
  await last().event('msg', stroke('b'))
  last().lost()
  mock.timers.tick(30_000)
  await settle()
  await last().letsIn()
  assert.match(last().sent.at(-1), /"offset":2,/)
})

test('an unacknowledged message goes out again under its id, unless a page shows that it was stored', async () => {
  await last().letsIn()
  await page([], 0)
  const [lost, stored] = [client.send({ storage: 0, msgId: 'lost' }), client.send({ storage: 0, msgId: 'stored' })]
  last().lost()
  mock.timers.tick(30_000)
  await settle()
  await last().letsIn()
  await page([stroke('stored', 'anna')], 1)
  assert.equal((await stored).status, 0)
  const sent = last().sent.filter(t => t.includes('"msg"'))
  assert.equal(sent.length, 1)
  assert.match(sent[0], /"lost"/)
  await last().says(`43${/^42(\d+)/.exec(sent[0])[1]}[{"status":0,"data":"msg success"}]`)
  assert.equal((await lost).data, 'msg success')
  assert.deepEqual(ids(), [])
})

test('an outcome that the server does not know is asked for again, a refusal is final', async () => {
  await last().letsIn()
  await page([], 0)
  const one = client.send({ storage: 0, msgId: 'one' })
  await last().says('431[{"status":1,"data":"outcome unknown"}]')
  assert.equal(client.pending, 1)
  mock.timers.tick(2_000)
  await last().says('432[{"status":0,"data":"msg success"}]')
  await one
  const large = assert.rejects(client.send({ storage: 0, msgId: 'large' }), /message too large/)
  await last().says('433[{"status":1,"data":"message too large"}]')
  await large
})

test('what JSON cannot hold is rejected and forgotten; what is sent stays as it was', async () => {
  await last().letsIn()
  await page([], 0)
  for (const message of [{ n: 1n }, { storage: 1, msgId: 'u', n: 1n }, { storage: 2, n: 1n }]) await assert.rejects(client.send(message), /BigInt/)
  assert.equal(client.pending, 0)
  last().lost()
  await assert.rejects(client.send({ n: 1n }), /BigInt/)
  const message = { msgId: 'behind', n: 1 }
  const behind = client.send(message)
  message.n = 2n
  mock.timers.tick(30_000)
  await settle()
  await last().letsIn()
  await page([], 0)
  assert.deepEqual(last().sent.filter(t => t.includes('"msg"')), ['421["msg",{"msgId":"behind","n":1}]'])
  await last().says('431[{"status":0,"data":"msg success"}]')
  await behind
})

test('a log that was cleared on the server is read anew', async () => {
  await last().letsIn()
  await page([stroke('a'), stroke('b')], 2)
  let resets = 0
  client.on('reset', () => resets++)
  last().lost()
  mock.timers.tick(30_000)
  await settle()
  await last().letsIn()
  await page([], 0)
  await page([stroke('a')], 1)
  assert.equal(resets, 1)
  assert.deepEqual(ids(), ['a', 'b', 'a'])
})

test('a silent server is a lost one; a ping is answered', async () => {
  await last().letsIn()
  await page([], 0)
  mock.timers.tick(44_000)
  await last().says('2')
  assert.equal(last().sent.at(-1), '3')
  mock.timers.tick(44_999)
  assert.equal(client.state, 'online')
  mock.timers.tick(1)
  assert.equal(client.state, 'waiting')
  assert.equal(last().closed, true)
})

test('kicked or refused it stays away, until it is told to connect', async () => {
  await last().letsIn()
  await page([], 0)
  await last().event('kickout', 0)
  mock.timers.tick(3_600_000)
  await settle()
  assert.deepEqual([client.state, sockets.length], ['kicked', 1])
  client.connect()
  await settle()
  await last().opens()
  await last().event('authenticate', { status: 1, data: 'reach rate limit' })
  mock.timers.tick(3_600_000)
  assert.deepEqual([client.state, client.reason, sockets.length], ['refused', 'reach rate limit', 2])
})

test('a store that does not answer is no refusal: the client comes back, after pauses that grow', async () => {
  for (const [i, failing] of ['authenticate', 'join', 'authenticate'].entries()) {
    await last().opens()
    if (failing === 'join') await last().event('authenticate', { status: 0, data: 'auth success' })
    await last().event(failing, { status: 1, data: 'server error' })
    assert.deepEqual([client.state, client.reason, last().closed, sockets.length], ['waiting', 'server error', true, i + 1])
    const pause = client.retryAt - Date.now()
    assert(pause >= 250 * 2 ** i && pause <= 500 * 2 ** i, `${pause}`)
    mock.timers.tick(pause + 1)
    await settle()
  }
  await last().letsIn()
  await page([], 0)
  assert.deepEqual([client.state, sockets.length], ['online', 4])
})

test('the pause between attempts grows, up to half a minute', async () => {
  const pauses = []
  for (let i = 0; i < 10; i++) {
    last().lost()
    pauses.push(client.retryAt - Date.now())
    mock.timers.tick(30_000)
    await settle()
  }
  pauses.forEach((p, i) => assert(p >= Math.min(30_000, 500 * 2 ** i) / 2 && p <= Math.min(30_000, 500 * 2 ** i), `${pauses}`))
})

test('what a tool sends past the bookkeeping is answered, and changes nothing', async () => {
  await last().letsIn()
  await page([stroke('a')], 1)
  const [answers, frames] = [[], []]
  client.on('frame', frame => frames.push(frame))
  const before = last().sent.length
  for (const [name, value] of [['authenticate', { uid: 'anna', token: 't0ken' }], ['join', { roomId: 'other' }], ['sync', { offset: 0 }]]) {
    assert.equal(client.emit(name, value, answer => answers.push(answer)), true)
    await last().event(name, name === 'sync' ? { data: [stroke('a')], offset: 1, next: 0 } : { status: 0 })
    await last().says(`43${last().sent.length - before}[{"status":0}]`)
  }
  await last().event('join', { status: 1, data: 'join failed, require roomId' })
  assert.deepEqual([answers.length, last().sent.length - before, client.state, ids().length], [3, 3, 'online', 1])
  assert.deepEqual(frames.filter(f => f.sent).map(f => f.text), last().sent.slice(before))
  assert.equal(frames.filter(f => !f.sent).length, 7)
  last().lost()
  assert.equal(client.emit('sync', { offset: 0 }), false)
})

test('what is larger than the server takes is not sent, as that would close the connection again and again', async () => {
  await last().says('0{"sid":"x","pingInterval":25000,"pingTimeout":20000,"maxPayload":1000}')
  await last().says('40{"sid":"y"}')
  await last().event('authenticate', { status: 0 })
  await last().event('join', { status: 0 })
  await page([], 0)
  const before = last().sent.length
  await assert.rejects(client.send({ text: 'ü'.repeat(600) }), /message too large/)
  assert.deepEqual([last().sent.length, client.pending], [before, 0])
  client.send({ text: 'u'.repeat(600) }).catch(() => {}) // the end of the test closes the client
  assert.equal(last().sent.length, before + 1)
})

test('what became of a message is told between those that stand around it in the log', async () => {
  await last().letsIn()
  await page([], 0)
  const order = []
  client.on('message', ({ message }) => order.push(message.msgId))
  client.on('settled', ({ message, answer }) => order.push(`${message.msgId}: ${answer.status}`))
  const ours = client.send({ msgId: 'ours' })
  last().lost()
  mock.timers.tick(30_000)
  await settle()
  await last().letsIn()
  await page([stroke('before'), { s: 0, msgId: 'ours', 2: 'anna' }, stroke('after')], 3)
  await ours
  assert.deepEqual(order, ['before', 'ours: 0', 'after'])
})

test('a bare connection does only what it is told, and says how it ended', async () => {
  const told = []
  const bare = new Connection('ws://board.example', { WebSocket: Socket })
  Object.assign(bare, { onopen: () => told.push('open'), onevent: (...event) => told.push(event), onclose: (...end) => told.push(end) })
  await last().opens()
  await last().event('authenticate', { status: 1, data: 'authentication timeout' })
  assert.deepEqual(last().sent, ['40'])
  await last().says('41')
  assert.deepEqual(told, ['open', ['authenticate', { status: 1, data: 'authentication timeout' }], ['the server ended the session', true]])
  assert.equal(last().closed, true)
})
