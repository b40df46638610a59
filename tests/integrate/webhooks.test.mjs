// Webhooks are received by the libraries of Standard Webhooks, in Node and in Python: what they verify is what was sent. On files, and on Redis with
// MongoDB and two nodes.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { startCluster } from '../clients/cluster.mjs'
import { Party } from '../clients/party.mjs'
import { startServer } from '../clients/server.mjs'
import { wire } from '../clients/wires.mjs'
import { python } from './python.mjs'

const SECRET = `whsec_${randomBytes(32).toString('base64')}`
const PREVIOUS = `whsec_${randomBytes(24).toString('base64')}`
const SITES = { 'on files': startServer, 'on two nodes': startCluster }
const PATIENCE = 60_000

for (const [site, start] of Object.entries(SITES)) describe(site, () => {
  let server, party, endpoint
  const received = []
  let wake = () => {}

  before(async () => {
    endpoint = createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request.setEncoding('utf8')) body += chunk
      received.push({ headers: request.headers, body })
      response.end()
      wake()
    })
    await new Promise(listening => endpoint.listen(0, '127.0.0.1', listening))
    const url = `http://127.0.0.1:${endpoint.address().port}/hooks`
    server = await start({ env: { AO_WEBHOOK__URL: url, AO_WEBHOOK__SECRET: SECRET, AO_WEBHOOK__PREVIOUS_SECRET: PREVIOUS } })
    party = new Party(server, wire(4, 'websocket only'))
  })
  after(async () => {
    party.close()
    await server.stop()
    endpoint.close()
  })

  /** The request with an event of this kind. */
  async function told(type) {
    const end = Date.now() + PATIENCE
    for (;;) {
      const found = received.find(({ body }) => JSON.parse(body).data.events?.some(event => event.type === type))
      if (found) return found
      assert(Date.now() < end, `no ${type} within ${PATIENCE} ms: ${JSON.stringify(received.map(({ body }) => body))}`)
      await new Promise(again => { wake = again; setTimeout(again, 100) })
    }
  }

  test('what happens in a room is told, signed by both secrets', async () => {
    const alice = await party.user('alice')
    await party.enter(alice, 'the plans')
    const { uid, token } = server.admin
    const answer = await fetch(`${server.nodes.at(-1).api}/v1/publish`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${uid}:${token}` },
      body: JSON.stringify({ roomId: 'the plans', message: { text: 'né 🎉' }, uid: 'editor' }),
    })
    assert.equal(answer.status, 200)
    const { index } = await answer.json()
    const { headers, body } = await told('message.inserted')
    for (const secret of [SECRET, PREVIOUS]) {
      const event = new Webhook(secret).verify(body, headers)
      assert.equal(event.type, 'room.events')
      const message = event.data.events.find(({ type }) => type === 'message.inserted')
      assert.deepEqual([event.data.roomId, message.uid, message.index, message.message.text], ['the plans', 'editor', index, 'né 🎉'])
    }
    const other = new Webhook(`whsec_${randomBytes(32).toString('base64')}`)
    assert.throws(() => other.verify(body, headers))
    assert.throws(() => new Webhook(SECRET).verify(body.replace('editor', 'mallory'), headers))
  })

  test('Python verifies it as well', async t => {
    const folder = await mkdtemp(join(tmpdir(), 'always-online-webhooks-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const program = `
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
job = json.load(open(sys.argv[1]))
for secret in job["secrets"]:
    print(Webhook(secret).verify(job["body"], job["headers"])["type"])
try:
    Webhook(job["secrets"][0]).verify(job["body"] + " ", job["headers"])
except WebhookVerificationError:
    print("refused")
`
    const file = join(folder, 'job.json')
    await writeFile(file, JSON.stringify({ ...await told('message.inserted'), secrets: [SECRET, PREVIOUS] }))
    const { code, text } = await python('python', ['-c', program, file])
    assert.deepEqual([code, text], [0, 'room.events\nroom.events\nrefused\n'])
  })
})
