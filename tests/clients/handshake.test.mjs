// What old clients, browsers and phones need of the handshake: asked with plain HTTP, where a client library would hide it.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import { after, before, it } from 'node:test'
import { call } from './http.mjs'
import { startServer } from './server.mjs'

let server
before(async () => { server = await startServer({ title: 'handshake' }) })
after(() => server?.stop())

const ask = (path, headers = {}) => new Promise((resolve, reject) => {
  http.get(server.url + path, { headers, agent: false }, async response => {
    let text = ''
    for await (const chunk of response.setEncoding('utf8')) text += chunk
    resolve({ code: response.statusCode, headers: response.headers, text })
  }).on('error', reject)
})

/** The head of the answer to a websocket upgrade. */
async function upgrade(query, headers = {}) {
  const request = http.get(`${server.url}/socket.io/?${query}`, {
    agent: false,
    headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': 13, 'sec-websocket-key': randomBytes(16).toString('base64'), ...headers },
  })
  const [response, socket] = await Promise.race([once(request, 'upgrade'), once(request, 'response')])
  socket?.destroy()
  return response
}

for (const [version, query] of [[3, 'transport=polling'], [3, 'EIO=3&transport=polling'], [3, 'EIO=3&transport=polling&b64=1'], [4, 'EIO=4&transport=polling']]) {
  it(`answers ?${query} with an open packet of protocol ${version}`, async () => {
    const { code, headers, text } = await ask(`/socket.io/?${query}`)
    assert.equal(code, 200, text)
    const packet = version === 4 ? /^0(\{.*\})$/.exec(text) : /^\d+:0(\{.*?\})(2:40)?$/.exec(text)
    assert.ok(packet, `an open packet: ${JSON.stringify(text)}`)
    const open = JSON.parse(packet[1])
    assert.deepEqual([open.upgrades, open.pingInterval, open.pingTimeout], [['websocket'], 25_000, 20_000])
    assert.equal(headers['set-cookie'], undefined)
  })
}

it('takes websockets of both protocols, and one that names none; compression is declined', async () => {
  for (const query of ['EIO=4&transport=websocket', 'EIO=3&transport=websocket', 'transport=websocket']) {
    const { statusCode, headers } = await upgrade(query, { 'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits' })
    assert.equal(statusCode, 101, query)
    assert.equal(headers['sec-websocket-extensions'], undefined, query)
  }
})

it('lets every origin in, on /socket.io/ only', async () => {
  const origin = 'https://shop.example'
  const { headers } = await ask('/socket.io/?EIO=4&transport=polling', { origin })
  assert.equal(headers['access-control-allow-origin'], origin)
  assert.equal(headers['access-control-allow-credentials'], 'true')
  assert.match(headers.vary ?? '', /\borigin\b/i)
  const admin = await ask('/admin/monitor/stat', { origin })
  assert.equal(admin.headers['access-control-allow-origin'], undefined)
  assert.equal((await upgrade('EIO=4&transport=websocket', { origin })).statusCode, 101)
})

it('says how to get the client script where none is configured', async () => {
  for (const name of ['socket.io.js', 'socket.io.js.map']) {
    const { code, text } = await call('GET', `${server.url}/socket.io/${name}`)
    assert.equal(code, 404)
    assert.match(text, /client[_ -]?script/i)
  }
})
