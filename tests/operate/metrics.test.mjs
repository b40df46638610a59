// A real Prometheus watches running servers: one with a store of its own and all that can be counted, and two nodes on Redis and MongoDB. Whatever
// the dashboard and the alert rules ask of it has data, and what is on the pages of the servers is what docs/METRICS.md says.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { startCluster } from '../clients/cluster.mjs'
import { Party } from '../clients/party.mjs'
import { startServer } from '../clients/server.mjs'
import { wire } from '../clients/wires.mjs'
import { DEPLOY, Prometheus } from './prometheus.mjs'

const PATIENCE = 60_000
/** Labels' values that need a defect of the server to be there. */
const OF_DEFECTS = ['always_online_task_restarts_total']

let business, server, cluster, prometheus, talking
const parties = []

/** Answers hooks, and takes webhooks. */
async function businessServer() {
  const business = createServer(async (request, response) => {
    for await (const _ of request);
    response.setHeader('content-type', 'application/json').end('{"result":{}}')
  })
  await new Promise(listening => business.listen(0, '127.0.0.1', listening))
  return business
}

/** People in a room who go on talking, catching up and publishing until `talking` is over. */
async function talk(server) {
  const party = new Party(server, wire(4, 'websocket only'))
  parties.push(party)
  const room = party.fresh('room')
  const [ann, ben] = await party.gather(room, 'ann', 'ben')
  const poller = await party.user('poller', { wire: wire(2, 'polling only') })
  await party.enter(poller, room, { present: [ann, ben] })
  const { uid, token } = server.admin
  for (let i = 0; talking; i++) {
    await ann.ask('msg', { storage: 0, text: `message ${i}` })
    await ben.ask('sync', { offset: 0 })
    poller.tell('no such event')
    const answer = await fetch(`${server.nodeForCall().api}/v1/publish`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${uid}:${token}` },
      body: JSON.stringify({ roomId: room, message: { text: 'a word' } }),
    })
    assert.equal(answer.status, 200, await answer.text())
    // Another one each time: sign-ins, hooks and handshakes go on.
    const guest = await party.user('guest')
    guest.close()
    await new Promise(again => setTimeout(again, 100))
  }
}

/** Asks again until there is an answer that `fits`. */
async function eventually(what, ask, fits) {
  for (const end = Date.now() + PATIENCE; ;) {
    const answer = await ask()
    if (fits(answer)) return answer
    if (Date.now() > end) assert.fail(`${what}: not within ${PATIENCE} ms; the last answer was ${JSON.stringify(answer)}`)
    await new Promise(again => setTimeout(again, 250))
  }
}

let talks
before(async () => {
  const certificates = process.env.TEST_TLS
  if (!certificates) throw new Error('TEST_TLS names no folder with certificates: scripts/test operate makes one')
  business = await businessServer()
  const url = `http://127.0.0.1:${business.address().port}`
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  server = await startServer({
    title: 'embedded',
    env: {
      AO_WEBSOCKET__TLS_CERTIFICATE: `${certificates}/server.crt`, AO_WEBSOCKET__TLS_KEY: `${certificates}/server.key`,
      AO_HOOK__URL: `${url}/hook`, AO_HOOK__SECRET: secret, AO_HOOK__CACHE: '1m', AO_HOOK__EVENTS: 'connect,join,message',
      AO_WEBHOOK__URL: `${url}/webhook`, AO_WEBHOOK__SECRET: secret,
      AO_CHAT_SERVICE__ENABLED: 'true', AO_CHAT_SERVICE__HOOK_URL: `${url}/chat`, AO_CHAT_SERVICE__HOOK_SECRET: secret, AO_CHAT_SERVICE__HOOKS: 'onConnect',
      AO_TINODE__LISTEN: '127.0.0.1:0', AO_TINODE__HOOK_URL: `${url}/tinode`, AO_TINODE__HOOK_SECRET: secret, AO_TINODE__HOOKS: 'push',
    },
  })
  cluster = await startCluster({ title: 'two nodes' })
  prometheus = await Prometheus.start([server, ...cluster.nodes].map(({ api }) => new URL(api).host))
  talking = true
  talks = Promise.all([talk(server), talk(cluster)])
  talks.catch(() => {}) // asked for at the end
})

after(async () => {
  talking = false
  await talks?.catch(() => {})
  for (const party of parties) party.close()
  await prometheus?.stop()
  await server?.stop()
  await cluster?.stop()
  business?.close()
})

test('promtool accepts the rules and the configuration', async () => {
  const promtool = (...args) => promisify(execFile)(process.env.PROMTOOL_BIN, args, { cwd: join(DEPLOY, 'prometheus') })
  const rules = await promtool('check', 'rules', 'alerts.yml')
  assert.match(rules.stdout, /SUCCESS: \d+ rules found/)
  await promtool('check', 'config', 'prometheus.yml')
})

test('all instances are scraped', async () => {
  const up = await eventually('three instances are up', () => prometheus.query('up{job="always-online"} == 1'), ({ length }) => length === 3)
  assert.equal(up.length, 3)
  const { activeTargets } = await prometheus.api('targets')
  assert.deepEqual(activeTargets.map(({ lastError }) => lastError), ['', '', ''])
  await eventually('two nodes see each other', () => prometheus.query('always_online_nodes == 2'), ({ length }) => length === 2)
})

test('every query of the dashboard has data', async () => {
  const { panels } = JSON.parse(await readFile(join(DEPLOY, 'grafana/always-online.json'), 'utf8'))
  const queries = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))
  assert(queries.length > 60, `${queries.length} queries`)
  for (const { title, expr } of queries) {
    const asked = expr.replaceAll('$__rate_interval', '30s').replaceAll('$instance', '.*')
    await eventually(`${title}: ${asked}`, () => prometheus.query(asked), ({ length }) => length > 0)
  }
})

test('every rule has data, and none fails', async () => {
  const { groups } = await eventually('all rules were looked at', () => prometheus.api('rules'),
    ({ groups }) => groups.every(({ rules }) => rules.every(({ health }) => health !== 'unknown')))
  const rules = groups.flatMap(({ rules }) => rules)
  assert(rules.length > 15, `${rules.length} rules`)
  for (const { name, query, health, lastError, annotations } of rules) {
    assert.equal(health, 'ok', `${name}: ${lastError}`)
    assert(annotations.summary && annotations.runbook_url, `${name} has no summary or no runbook`)
    for (const condition of query.split(' unless ')) {
      const [, asked] = /^(.+?) (?:==|[<>]) [\d.]+$/s.exec(condition) ?? []
      assert(asked, `${name} compares with nothing: ${condition}`)
      await eventually(`${name}: ${asked}`, () => prometheus.query(asked), ({ length }) => length > 0)
    }
  }
})

test('every expression of the runbook is understood', async () => {
  const operations = await readFile(new URL('../../docs/OPERATIONS.md', import.meta.url), 'utf8')
  const prose = operations.replace(/```[^]*?```/g, '')
  const expressions = [...prose.matchAll(/`([^`]+)`/g)].map(([, code]) => code).filter(code => /^[^/]*\b(?:always_online|process)_[a-z]/.test(code))
  assert(expressions.length > 60, `${expressions.length} expressions`)
  for (const expression of expressions) await prometheus.query(expression) // fails where Prometheus can't read it
})

test('what happens is seen', async () => {
  const moves = [
    'rate(always_online_messages_total{storage="insert"}[30s])', 'rate(always_online_deliveries_total[30s])', 'rate(always_online_received_bytes_total[30s])',
    'rate(always_online_sent_bytes_total[30s])', 'rate(always_online_events_total{event="msg",outcome="done"}[30s])',
    'rate(always_online_events_total{event="sync",outcome="done"}[30s])', 'rate(always_online_events_total{event="other",outcome="ignored"}[30s])',
    'rate(always_online_sign_ins_total{kind="token"}[30s])', 'rate(always_online_store_call_seconds_count{call="publish"}[30s])',
    'rate(always_online_page_seconds_count[30s])', 'rate(always_online_sign_in_seconds_count[30s])',
    'histogram_quantile(0.99, rate(always_online_delivery_seconds_bucket[30s]))', 'always_online_ready', 'always_online_members', 'always_online_users',
    'always_online_rooms', 'process_resident_memory_bytes{job="always-online"}', 'rate(process_cpu_seconds_total{job="always-online"}[30s])',
    'always_online_clients{carrier="websocket",version="4"}',
  ]
  for (const move of moves) {
    await eventually(move, () => prometheus.query(move), series => series.some(({ value }) => value > 0))
  }
  const ofTheEmbedded = [
    'rate(always_online_tls_handshakes_total{outcome="done"}[30s])', 'rate(always_online_hook_attempts_total{event="message"}[30s])',
    'rate(always_online_webhook_attempts_total{outcome="delivered"}[30s])', 'always_online_clients{carrier="polling",version="3"}',
    '(always_online_tls_certificate_expiry_timestamp_seconds - time()) / 86400',
  ]
  for (const move of ofTheEmbedded) {
    await eventually(move, () => prometheus.query(move), series => series.some(({ value }) => value > 0))
  }
  const ofRedis = 'rate(always_online_lease_renewals_total{outcome="renewed"}[30s])'
  await eventually(ofRedis, () => prometheus.query(ofRedis), series => series.filter(({ value }) => value > 0).length === 2)
})

test('what is scraped is what the reference names, all of it and nothing else', async () => {
  const reference = await readFile(new URL('../../docs/METRICS.md', import.meta.url), 'utf8')
  const declared = [...reference.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)]
    .flatMap(([, name, type]) => type === 'histogram' ? ['bucket', 'sum', 'count'].map(series => `${name}_${series}`) : [name])
  assert(declared.length > 60, `${declared.length} metrics`)
  const series = await prometheus.query('count by (__name__) ({job="always-online"})')
  const found = series.map(({ metric }) => metric.__name__).filter(name => name !== 'up' && !name.startsWith('scrape_') && !/^ALERTS/.test(name))
  assert.deepEqual(found.sort(), declared.filter(name => !OF_DEFECTS.includes(name)).sort())
})

test('nobody who talked had trouble', async () => {
  talking = false
  await talks
})
