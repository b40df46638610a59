// Everything at a moderate rate for a long time: nothing may grow, and nothing may be logged.
import { createServer } from 'node:http'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { JWT, emptied, generate, kib, median, metric, mib, server, trouble } from './stage.mjs'

const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 'soak').toString('base64')}`
/** Milliseconds between two looks at the memory. */
const LOOK_MS = 5000
/** Milliseconds between two reloads. */
const RELOAD_MS = 30_000
/** How much memory may be more at the end: hundredths. */
const DRIFT = 5
/** How much of a core it may take: hundredths. A load that takes more is none to draw conclusions from. */
const CORE = 30

/** What alternates; all of it is taken in while the server runs. */
const SETTINGS = [
  '[limits]\nconnections = 15000\nmessages = "off"\n[retention]\nrules = "r*=300"\ninterval = "10s"\n',
  '[limits]\nconnections = 14000\nmessages = "1000 in 1s"\n[retention]\nrules = "r*=250"\ninterval = "10s"\n',
]

/** Answers hooks with consent, and takes webhooks. */
async function business() {
  const heard = { hooks: 0, webhooks: 0 }
  const endpoint = createServer(async (request, response) => {
    for await (const _ of request);
    heard[request.url === '/hook' ? 'hooks' : 'webhooks']++
    response.setHeader('content-type', 'application/json').end('{"result":{}}')
  })
  await new Promise(listening => endpoint.listen(0, '127.0.0.1', listening))
  return { heard, endpoint, url: `http://127.0.0.1:${endpoint.address().port}` }
}

export async function soak(report, { quick, minutes: given }) {
  const minutes = given ?? (quick ? 1 : 30)
  const folder = await mkdtemp(join(tmpdir(), 'always-online-soak-'))
  const file = join(folder, 'always-online.toml')
  await writeFile(file, SETTINGS[0])
  const { heard, endpoint, url } = await business()
  const one = await server({
    AO_HOOK__URL: `${url}/hook`, AO_HOOK__SECRET: WEBHOOK_SECRET, AO_HOOK__EVENTS: 'connect,join',
    AO_WEBHOOK__URL: `${url}/webhook`, AO_WEBHOOK__SECRET: WEBHOOK_SECRET,
  }, { args: ['--config', file] })
  try {
    // Caches and pools have their bounds: what grows behind that is a leak.
    await fill(one, quick ? 3 : 45)
    const begin = Date.now()
    const until = begin + minutes * 60_000
    const cpu = await metric(one, 'process_cpu_seconds_total')
    const memory = []
    const watching = watch(one, begin, until, memory)
    const reloading = reload(one, file, until)
    const loads = await load(one, minutes * 60)
    await watching
    const reloads = await reloading
    const used = (await metric(one, 'process_cpu_seconds_total') - cpu) / ((Date.now() - begin) / 1000)

    report.tell('the load', `${minutes} minutes, ${loads.clients} clients came and went, ${loads.deliveries} deliveries, ${loads.pages} pages, ${heard.hooks} hooks, ${heard.webhooks} webhooks, ${reloads} reloads`)
    for (const [what, said] of loads.reports) report.faultless(`${what}: nothing that must never happen`, said)
    report.must('it was watched long enough and asked for everything', heard.hooks > 0 && heard.webhooks > 0 && loads.pages > 0 && (reloads > 0 || minutes < 1))
    report.must(`it takes less than ${CORE} % of a core`, used * 100 < CORE, `${(used * 100).toFixed(1)} %`)
    // Minutes 4 to 7 of 30, and the last 3.
    const between = (from, to) => median(memory.filter(([at]) => at >= from && at <= to).map(([, rss]) => rss))
    const [early, late] = [between(minutes * 4 / 30, minutes * 7 / 30), between(minutes * 27 / 30, minutes)]
    const drift = (late / early - 1) * 100
    report.must(`the memory grows by ${DRIFT} % at most`, drift <= DRIFT, `${mib(early)} to ${mib(late)}: ${drift.toFixed(1)} %`)
    report.tell('memory at every tenth of the time', Array.from({ length: 11 }, (_, i) => mib(memory[Math.min(memory.length - 1, Math.floor(memory.length * i / 10))][1])).join(', '))
    const lines = trouble(one)
    report.must('nothing is logged as a warning or an error', lines.length === 0, lines.length === 0 ? '' : `${lines.length} lines:\n${lines.slice(0, 20).join('\n')}`)
    await emptied(report, one, 60)
    await one.stop()
  } finally {
    endpoint.closeAllConnections()
    endpoint.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Looks at the memory until the end: minutes and KiB. */
async function watch(one, begin, until, memory) {
  while (Date.now() < until) {
    memory.push([(Date.now() - begin) / 60_000, kib(one, 'VmRSS')])
    await sleep(LOOK_MS)
  }
}

/** Has the server read other settings again and again; how often. */
async function reload(one, file, until) {
  let times = 0
  for (; Date.now() + RELOAD_MS < until; times++) {
    await sleep(RELOAD_MS)
    // At once, as an editor does it: no half of a file is read.
    await writeFile(`${file}.new`, SETTINGS[(times + 1) % SETTINGS.length])
    await rename(`${file}.new`, file)
    one.process.kill('SIGHUP')
  }
  return times
}

/** Runs a scenario of the generator by that name, for so many seconds at most. */
const runner = (one, limit) => (name, args) => generate(one, [...JWT, '--run-id', name, ...args].map(String), limit).report

/** People who come and go as fast as they can, for so many seconds. */
const fill = (one, duration) =>
  runner(one, duration + 300)('fill', ['churn', '--duration', duration, '--concurrency', 20, '--rooms', 10, '--store', 0])

/** People who come and go, speak, poll and read, for so many seconds. */
async function load(one, duration) {
  const run = runner(one, duration + 300)
  const talk = ['--store', 0, '--warmup', 0, '--duration', duration]
  // Each stays for a second: some 20 come each second.
  const churn = run('churn', ['churn', '--duration', duration, '--concurrency', 20, '--linger', 1, '--rooms', 10, '--store', 0])
  const rooms = run('rooms', ['fanout', '--rooms', 5, '--members', 10, '--senders', 2, '--rate', 20, ...talk])
  const polling = run('poll', ['--way', 'polling', 'fanout', '--rooms', 2, '--members', 5, '--rate', 4, ...talk])
  const reading = read(run, Date.now() + duration * 1000)
  const [came, said, polled, pages] = await Promise.all([churn, rooms, polling, reading])
  return {
    clients: came.result.joined,
    deliveries: said.result.counts.delivered + polled.result.counts.delivered,
    pages: pages.pages,
    reports: [['people who come and go', came], ['rooms', said], ['clients that poll', polled], ['pages', pages]],
  }
}

/** Reads the history of a room again and again: with the faults of all times together. */
async function read(run, until) {
  const history = ['sync', '--messages', 240, '--clients', 3]
  await run('pages', [...history, '--part', 'fill'])
  const all = { pages: 0, faults: {}, notes: [] }
  while (Date.now() + 15_000 < until) {
    const { result, faults } = await run('pages', [...history, '--part', 'read', '--times', 20])
    all.pages += result.counts.pages ?? 0
    for (const [fault, n] of Object.entries(faults)) all.faults[fault] = (all.faults[fault] ?? 0) + n
    await sleep(10_000)
  }
  return all
}
