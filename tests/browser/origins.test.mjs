// Pages of other sites, in a real browser, with the socket.io clients 2.x and 4.x: who is allowed gets in, who is not can read nothing.
import { strict as assert } from 'node:assert'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { launch } from './board.mjs'
import { Pages, visit } from './pages.mjs'
import { Server } from './server.mjs'

const WAYS = { websocket: ['websocket'], polling: ['polling'], 'polling with upgrade': ['polling', 'websocket'] }
const html = generation => `<!doctype html><title>chat</title><script src="/${generation}.js"></script>`

let browser, pages
before(async () => {
  browser = await launch()
  pages = await Pages.serve({ '/2': html(2), '/4': html(4), '/none': '<!doctype html><title>elsewhere</title>' })
})
after(async () => {
  await browser?.close()
  pages?.close()
})

/** A page of the site `name`, as a visitor has it open. `notes`: the answers that it got, also those kept from it, and what the browser logged. */
async function open(name, path) {
  const page = await (await browser.newContext()).newPage()
  const notes = { answers: [], logged: [] }
  page.on('console', message => notes.logged.push(message.text()))
  await page.goto(pages.at(name) + path)
  const network = await page.context().newCDPSession(page)
  network.on('Network.responseReceivedExtraInfo', ({ statusCode, headers }) => {
    const lower = Object.entries(headers).map(([key, value]) => [key.toLowerCase(), value])
    const cors = Object.fromEntries(lower.filter(([key]) => key.startsWith('access-control-')))
    notes.answers.push({ status: statusCode, cors, vary: Object.fromEntries(lower).vary })
  })
  await network.send('Network.enable')
  return [page, notes]
}

/** The browser tells of answers by the way, in its own time, ... */
async function told(notes, count) {
  await until(`${count} answers`, notes, () => notes.answers.length >= count)
  return notes.answers
}

/** ... and of what it logs. */
const logged = (notes, pattern) => until(`${pattern} in the log`, notes, () => pattern.test(notes.logged.join('\n')))

async function until(what, notes, ready) {
  for (const end = Date.now() + 30_000; !ready(); await pause(50)) assert(Date.now() < end, `no ${what}: ${JSON.stringify(notes)}`)
}

async function token(server, uid) {
  const answer = await fetch(`${server.at.api}/user/create_token`, { method: 'POST', body: new URLSearchParams({ uid }) })
  const { meta, data } = await answer.json()
  assert.equal(meta.status, 0, 'a token for who had none')
  return data.token
}

/** What `visit` is to do, with the client's `options`. */
const guest = async (server, uid, options) => ({ url: server.at.websocket, uid, token: await token(server, uid), room: randomUUID(), options })

/** How many connections there have been. */
async function opened(server) {
  const metrics = await (await fetch(`${server.at.api}/metrics`)).text()
  return Number(/^always_online_connections_opened_total (\d+)$/m.exec(metrics)[1])
}

for (const { title, setting, allowed, refused } of [
  { title: '*', setting: () => '*', allowed: ['chat.localhost', 'localhost'], refused: [] },
  {
    title: 'a list', setting: () => `https://elsewhere.example, ${pages.at('chat.localhost').toUpperCase()}/`,
    allowed: ['chat.localhost'], refused: ['forum.localhost', 'localhost'],
  },
  { title: 'a list of others', setting: () => 'https://elsewhere.example', allowed: [], refused: ['chat.localhost'] },
  { title: 'loopback', setting: () => 'loopback', allowed: ['localhost', '127.0.0.1'], refused: ['chat.localhost'] },
]) {
  describe(`AO_WEBSOCKET__ORIGINS: ${title}`, () => {
    let server
    before(async () => {
      server = new Server({ AO_WEBSOCKET__ORIGINS: setting() })
      await server.start()
    })
    after(() => server?.remove())

    for (const name of allowed) for (const generation of [2, 4]) for (const [way, transports] of Object.entries(WAYS)) {
      test(`a page of ${name}, client ${generation}.x, ${way}: gets in`, async () => {
        const [page, notes] = await open(name, `/${generation}`)
        const uid = `visitor ${randomUUID()}`
        const got = await page.evaluate(visit, await guest(server, uid, { transports }))
        assert.deepEqual(got, { transport: transports.at(-1), data: [{ s: 0, 1: 'hello', text: 'from a page', 2: uid }] })
        if (transports[0] === 'websocket') return page.context().close()
        for (const { cors, vary } of (await told(notes, 2)).filter(({ status }) => status === 200)) {
          assert.deepEqual(cors, { 'access-control-allow-origin': pages.at(name), 'access-control-allow-credentials': 'true' })
          assert.equal(vary, 'origin')
        }
        await page.context().close()
      })
    }

    for (const name of refused) for (const generation of [2, 4]) for (const [way, transports] of Object.entries(WAYS)) {
      test(`a page of ${name}, client ${generation}.x, ${way}: is refused, and reads nothing`, async () => {
        const [page, notes] = await open(name, `/${generation}`)
        const before = await opened(server)
        const uid = `stranger ${randomUUID()}`
        await assert.rejects(page.evaluate(visit, await guest(server, uid, { transports })), /connect_error: (websocket|xhr poll) error/)
        if (transports[0] === 'websocket') {
          await logged(notes, /WebSocket connection to '.*' failed: .*Unexpected response code: 403/)
        } else {
          await logged(notes, /blocked by CORS policy/)
          assert.deepEqual((await told(notes, 1)).map(({ status, cors }) => [status, cors]), [[403, {}]])
        }
        assert.equal(await opened(server), before, 'no connection was opened')
        await page.context().close()
      })
    }
  })
}

describe('what a page does by itself, without a client', () => {
  let server
  before(async () => {
    server = new Server({ AO_WEBSOCKET__ORIGINS: pages.at('chat.localhost') })
    await server.start()
  })
  after(() => server?.remove())

  /** Runs in a page: what it can read of an answer. */
  const read = ({ url, init }) => fetch(url, init).then(async answer => [answer.type, answer.status, await answer.text()], error => [error.name])
  const handshake = () => `${server.at.websocket}/socket.io/?EIO=4&transport=polling`

  test('the answer to a page that is not allowed is out of its reach, whatever way it asks', async () => {
    const [page] = await open('forum.localhost', '/none')
    for (const init of [{ credentials: 'omit' }, { credentials: 'include' }]) {
      assert.deepEqual(await page.evaluate(read, { url: handshake(), init }), ['TypeError'])
    }
    assert.deepEqual(await page.evaluate(read, { url: handshake(), init: { mode: 'no-cors' } }), ['opaque', 0, ''])
    assert.deepEqual(await page.evaluate(read, { url: handshake(), init: { headers: { 'x-mine': '1' } } }), ['TypeError'])
    await page.context().close()
  })

  test('a page that is allowed may send headers of its own', async () => {
    const [page] = await open('chat.localhost', '/4')
    const uid = `visitor ${randomUUID()}`
    const options = { transports: ['polling'], extraHeaders: { 'x-mine': '1', authorization: 'Bearer x' }, withCredentials: true }
    const { transport } = await page.evaluate(visit, await guest(server, uid, options))
    assert.equal(transport, 'polling')
    await page.context().close()
  })

  test('a page without an origin of its own is no page of the list', async () => {
    const [page] = await open('chat.localhost', '/none')
    const sent = await page.evaluate(url => new Promise(resolve => {
      addEventListener('message', event => resolve(event.data))
      const frame = document.createElement('iframe')
      frame.sandbox = 'allow-scripts'
      frame.srcdoc = `<script>fetch(${JSON.stringify(url)}).then(a => a.status, e => e.name).then(got => parent.postMessage([origin, got], '*'))</script>`
      document.body.append(frame)
    }), handshake())
    assert.deepEqual(sent, ['null', 'TypeError'])
    await page.context().close()
  })

  test('/admin, /user and the rest are for no page, the allowed one included', async () => {
    const [page, notes] = await open('chat.localhost', '/none')
    const { websocket, api } = server.at
    const uid = `made by a page ${randomUUID()}`
    const form = { method: 'POST', body: `uid=${encodeURIComponent(uid)}`, headers: { 'content-type': 'application/x-www-form-urlencoded' } }
    const json = { method: 'POST', body: JSON.stringify({ uid }), headers: { 'content-type': 'application/json' } }
    const asked = [
      [`${websocket}/admin/monitor/stat?uid=admin&token=x`], [`${websocket}/admin/system/push`, form], [`${websocket}/admin/system/push`, json],
      [`${api}/user/create_token`, form], [`${api}/user/create_token`, json], [`${api}/metrics`], [`${websocket}/readyz`], [`${websocket}/nothing`],
    ]
    for (const [url, init] of asked) assert.deepEqual(await page.evaluate(read, { url, init }), ['TypeError'], url)
    for (const { cors } of await told(notes, asked.length)) assert.deepEqual(cors, {})
    assert.equal(notes.answers.length, asked.length)
    // What it could not read was not done either: this is the first token of that uid.
    await token(server, uid)
    await page.context().close()
  })
})

describe('the demo gives tokens', () => {
  let server
  before(async () => {
    server = new Server()
    await server.start()
  })
  after(() => server?.remove())

  /** Opens something of the demo under a name for this machine, and asks from there. */
  async function ask(name) {
    const page = await (await browser.newContext()).newPage()
    await page.goto(`http://${name}:${new URL(server.at.demo).port}/common.css`)
    return page.evaluate(async () => (await fetch('/token', { method: 'POST' })).status)
  }

  for (const name of ['localhost', '127.0.0.1']) test(`to its own pages, opened as ${name}`, async () => assert.equal(await ask(name), 200))

  test('not to pages under a name of others that leads to this machine', async () => assert.equal(await ask('rebound.localhost'), 403))

  test('not to pages of other sites', async () => {
    for (const name of ['localhost', 'chat.localhost']) {
      const [page, notes] = await open(name, '/none')
      await page.evaluate(url => fetch(url, { method: 'POST', mode: 'no-cors' }), `${server.at.demo}/token`)
      assert.deepEqual((await told(notes, 1)).map(answer => answer.status), [403], name)
    }
  })
})
