// A page that loads its client from the server, as pages of the original do: <script src="http://server/socket.io/socket.io.js">, in a real browser.
import { strict as assert } from 'node:assert'
import { createHash, randomUUID } from 'node:crypto'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { launch } from './board.mjs'
import { dist, Pages, visit } from './pages.mjs'
import { Server } from './server.mjs'

const SCRIPT = '/socket.io/socket.io.js'
const WAYS = [['websocket'], ['polling'], ['polling', 'websocket']]

let browser
before(async () => { browser = await launch() })
after(() => browser?.close())

/** A server that is started with these settings, for the tests of one `describe`. @returns it is there when they run */
function started(settings) {
  const stage = {}
  before(async () => {
    stage.server = new Server(await settings())
    await stage.server.start()
    stage.script = stage.server.at.websocket + SCRIPT
  })
  after(() => stage.server?.remove())
  return stage
}

async function visitor(server) {
  const uid = `visitor ${randomUUID()}`
  const answer = await fetch(`${server.at.api}/user/create_token`, { method: 'POST', body: new URLSearchParams({ uid }) })
  return { uid, token: (await answer.json()).data.token, room: randomUUID() }
}

for (const generation of [2, 4]) describe(`the client ${generation}.x, from its npm package`, () => {
  const stage = started(() => ({ AO_WEBSOCKET__CLIENT_SCRIPT: dist(generation) }))

  /** All a page does, whatever way it connects. `url`: of the server; none where that is the page's own. */
  async function works(page, url) {
    for (const transports of WAYS) {
      const { uid, token, room } = await visitor(stage.server)
      const got = await page.evaluate(visit, { url, uid, token, room, options: { transports } })
      assert.deepEqual(got, { transport: transports.at(-1), data: [{ s: 0, 1: 'hello', text: 'from a page', 2: uid }] })
    }
  }

  test('a page of another site loads it, signs in, joins and sends', async () => {
    const pages = await Pages.serve({ '/': `<!doctype html><title>chat</title><script src="${stage.script}"></script>` })
    const page = await browser.newPage()
    try {
      await page.goto(pages.at('chat.localhost'))
      await works(page, stage.server.at.websocket)
    } finally {
      await page.close()
      pages.close()
    }
  })

  test('a page of the same address loads it, and needs not say where the server is', async () => {
    const page = await browser.newPage()
    try {
      await page.goto(`${stage.server.at.websocket}/livez`)
      await page.addScriptTag({ url: SCRIPT })
      await works(page)
    } finally {
      await page.close()
    }
  })

  test('it is the file, with its type; its source map is where it says', async () => {
    const [script, map] = await Promise.all([readFile(dist(generation), 'utf8'), readFile(`${dist(generation)}.map`, 'utf8')])
    const answer = await fetch(`${stage.script}?v=1`)
    assert.equal(answer.status, 200)
    assert.match(answer.headers.get('content-type'), /^(application|text)\/javascript; charset=utf-8$/)
    assert.equal(await answer.text(), script)
    const name = /^\/\/# sourceMappingURL=(.*)$/m.exec(script)[1]
    const mapped = await fetch(new URL(name, stage.script))
    assert.deepEqual([mapped.status, mapped.headers.get('content-type')], [200, 'application/json'])
    assert.equal(await mapped.text(), map)
    assert.ok(JSON.parse(map).sources.length > 0)
  })

  test('a page may ask for it with `crossorigin`, as `integrity` needs it', async () => {
    const digest = createHash('sha384').update(await readFile(dist(generation))).digest('base64')
    for (const credentials of ['anonymous', 'use-credentials']) {
      const tag = `<script crossorigin="${credentials}" integrity="sha384-${digest}" src="${stage.script}"></script>`
      const pages = await Pages.serve({ '/': `<!doctype html><title>chat</title>${tag}` })
      const page = await browser.newPage()
      try {
        await page.goto(pages.at('chat.localhost'))
        assert.equal(await page.evaluate(() => typeof io), 'function')
      } finally {
        await page.close()
        pages.close()
      }
    }
  })

  test('what a browser has already is not sent again', async () => {
    const first = await fetch(stage.script)
    assert.equal(first.headers.get('cache-control'), 'no-cache')
    const again = await fetch(stage.script, { headers: { 'if-modified-since': first.headers.get('last-modified') } })
    assert.equal(again.status, 304)
    assert.equal((await fetch(stage.script, { method: 'POST' })).status, 405)
  })

  test('HEAD is answered with the length, and without the file', async () => {
    const answer = await fetch(stage.script, { method: 'HEAD' })
    assert.deepEqual([answer.status, Number(answer.headers.get('content-length'))], [200, (await readFile(dist(generation))).length])
    assert.equal(await answer.text(), '')
  })
})

describe('without AO_WEBSOCKET__CLIENT_SCRIPT', () => {
  const stage = started(() => ({}))

  test('the answer is a 404 that says how to set it', async () => {
    for (const path of [SCRIPT, `${SCRIPT}.map`]) {
      const answer = await fetch(stage.server.at.websocket + path)
      assert.equal(answer.status, 404)
      assert.match((await answer.json()).message, /AO_WEBSOCKET__CLIENT_SCRIPT.*socket\.io-client\/dist\/socket\.io\.js/)
    }
  })

  test('a page that tries knows that it has no client', async () => {
    const page = await browser.newPage()
    try {
      await page.goto(`${stage.server.at.websocket}/livez`)
      await assert.rejects(page.addScriptTag({ url: SCRIPT }))
      assert.equal(await page.evaluate(() => typeof io), 'undefined')
    } finally {
      await page.close()
    }
  })
})

describe('a file that comes and goes', () => {
  let folder, file
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'client-script-'))
    file = join(folder, 'client.js')
  })
  after(() => rm(folder, { recursive: true, force: true }))
  const stage = started(() => ({ AO_WEBSOCKET__CLIENT_SCRIPT: file }))
  const get = async (path = SCRIPT) => {
    const answer = await fetch(stage.server.at.websocket + path)
    return [answer.status, await answer.text()]
  }

  test('the server starts without it, and serves it, and what replaces it, as soon as it is there', async () => {
    const [status, text] = await get()
    assert.equal(status, 404)
    assert.match(text, /the configured client script can't be read/)
    assert.ok(!text.includes(folder), 'where it should be is for the log')
    await copyFile(dist(2), file)
    assert.deepEqual(await get(), [200, await readFile(dist(2), 'utf8')])
    await copyFile(dist(4), file)
    assert.deepEqual(await get(), [200, await readFile(dist(4), 'utf8')])
    await rm(file)
    assert.equal((await get())[0], 404)
  })

  test('nothing but the file and its map is served', async () => {
    await writeFile(file, 'client')
    await writeFile(`${file}x`, 'secret')
    for (const path of [`${SCRIPT}x`, `${SCRIPT}/../client.jsx`, `${SCRIPT}%2f..%2fclient.jsx`, '/socket.io/client.js']) {
      const [status, text] = await get(path)
      assert.ok(status >= 400 && !text.includes('secret') && text !== 'client', `${path}: ${status} ${text}`)
    }
    assert.equal((await get(`${SCRIPT}.map`))[0], 404, 'a map that is not there')
  })
})
