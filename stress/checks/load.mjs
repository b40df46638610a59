// Checks that the load generator does nearly by itself: a storm, a limit, a failing network, scarce memory.
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { access, emptied, generate, JWT, kib, logged, metric, mib, seconds, server, spread } from './stage.mjs'

/** How a crowd gathers before it is cut off. */
const GATHERING = ['--conn-rate', '2000', '--conn-concurrency', '64', '--timeout', '60', '--sources', '16']

/** All are cut off at once: by resets, and by the death of the server. */
export async function storm(report, { sockets, quick }) {
  for (const cut of ['reset', 'kill']) {
    const one = await server()
    let running = true
    const args = [...GATHERING, ...JWT, 'storm', '--n', sockets, '--cut', cut, ...access(one), ...(quick ? ['--patience', '20'] : [])].map(String)
    if (cut === 'kill') {
      args.push('--kill', String(one.process.pid))
      // Whoever looks after the server starts it again at once. If that fails, the generator hears of it.
      once(one.process, 'exit').then(() => running && one.start()).catch(() => {})
    }
    const { result, ...said } = await generate(one, args).report.finally(() => { running = false })
    const { newcomers } = result
    report.tell('the cut', cut === 'reset' ? `${sockets} connections reset by their clients, away for ${result.down_s} s` : `server killed with ${sockets} connections, there again after ${result.down_s} s`)
    report.within('newcomers are served within 1 s all the time', newcomers.answer_ms?.max < 1000, `${spread(newcomers.answer_ms)}${newcomers.longest_after_s ? `, ${newcomers.longest_after_s} s after the first` : ''}`)
    report.must('each newcomer is served', newcomers.failed === 0 && newcomers.answer_ms?.n > 0, `${newcomers.answer_ms?.n ?? 0} newcomers`)
    report.must('no attempt to come back failed', result.attempts_failed === 0, JSON.stringify(result.failures))
    report.must('all resumed', result.resumed === sockets && result.all_resumed, `${result.resumed} of ${sockets}`)
    report.faultless('each got exactly what was published', said)
    report.tell('until resumed, since all came back', spread(result.resumed_ms))
    report.tell('until joined', spread(result.joined_ms))
    report.tell('messages', `${result.delivered} delivered, ${result.replayed} of them from pages`)
    await emptied(report, one)
    logged(report, one)
    await one.stop()
  }
}

/** The limit of connections is reached, and freed. */
export async function full(report, { sockets, quick }) {
  const n = Math.min(sockets, 5000)
  const over = quick ? Math.floor(n / 4) : Math.min(500, Math.floor(n / 2))
  const one = await server({ AO_LIMITS__CONNECTIONS: String(n) })
  const { result, ...said } = await generate(one, [...GATHERING, ...JWT, 'full', '--n', n, '--over', over].map(String)).report
  report.must('those beyond the limit are refused, with the reason', result.refused_with_reason === over, `${result.refused_with_reason} of ${over}; ${spread(result.refusal_ms)}`)
  report.must('they are let in when half of the others have left', result.let_in_again === over, `${result.let_in_again} of ${over}`)
  report.faultless('nothing else', said)
  const counted = await metric(one, 'always_online_refused_newcomers_total', 'reason="connections"')
  report.must('the refusals are counted', counted === over, `always_online_refused_newcomers_total ${counted}`)
  await emptied(report, one)
  logged(report, one)
  await one.stop()
}

/** The network fails for two seconds every fifteen. */
export async function drops(report, { quick, seconds: given }) {
  const duration = given ?? (quick ? 17 : 180)
  const one = await server()
  const size = quick ? ['--n', '40', '--room-size', '10', '--every', '5'] : ['--n', '200']
  const { result, ...said } = await generate(one, [...JWT, 'drops', ...size, '--duration', String(duration)], duration + 60).report
  report.tell('the network', `failed ${result.failures_of_the_network} times, ${result.connections_lost} connections lost, ${result.resumes} resumed`)
  report.must('it failed at all', result.failures_of_the_network > 0)
  report.must('all is delivered', result.expected > 0 && result.delivered === result.expected, `${result.delivered} of ${result.expected}, ${result.replayed} from pages`)
  report.faultless('in order, and nothing twice', said)
  report.within('p99 of the replay is below 1 s', result.replay_ms?.p99 < 1000, spread(result.replay_ms))
  report.tell('until caught up, since the network was there again', spread(result.caught_up_since_the_network_ms))
  await emptied(report, one)
  logged(report, one)
  await one.stop()
}

/**
 * What members who never read keep the server from forgetting: in few rooms that speak fast, where each is soon too far behind, and in many
 * rooms where all stay below what one may be behind.
 */
const STRAINS = {
  'few who are far behind': { rooms: 150, rate: 700, stay: 10, duration: 60 },
  'many who are a little behind': { rooms: 400, rate: 1000, stay: 60, duration: 40 },
}

/** Members who never read fill the memory up to its limit, and newcomers come. */
export async function memory(report, { quick, seconds: given }) {
  await exhausted(report)
  const strains = quick ? { 'few who are far behind': { rooms: 40, rate: 240, stay: 60, duration: 15 } } : STRAINS
  for (const [name, strain] of Object.entries(strains)) await strained(report, name, { ...strain, ...(given && { duration: given }) }, quick)
}

/** The memory is at its limit, by a limit that is set lower while the server runs, and not any more. */
async function exhausted(report) {
  const folder = await mkdtemp(join(tmpdir(), 'always-online-memory-'))
  const file = join(folder, 'always-online.toml')
  const limit = size => writeFile(file, `[limits]\nmemory = "${size}"\n`)
  await limit('4 GiB')
  const one = await server({}, { args: ['--config', file] })
  try {
    const open = `${one.url}/socket.io/?EIO=4&transport=polling`
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    /** Asks on the one connection that is there. @returns the status and the text */
    const ask = async (url, method, body) => {
      const asked = request(url, { method, agent }).end(body)
      const [answer] = await once(asked, 'response')
      return [answer.statusCode, await text(answer)]
    }
    const there = JSON.parse((await ask(open, 'GET'))[1].slice(1)).sid
    /** The first answer to a newcomer that has this status; what it says. */
    const answers = async status => {
      for (const end = Date.now() + 60_000; Date.now() < end; await sleep(50)) {
        const answer = await fetch(open)
        const said = await answer.text()
        if (answer.status === status) return said
      }
    }
    await limit('1 MiB')
    one.process.kill('SIGHUP')
    const why = await answers(503)
    report.must('at the limit newcomers are refused, with the reason', why?.includes('no memory to spare'), why ?? 'never')
    const [status, said] = await ask(`${open}&sid=${there}`, 'POST', '40')
    agent.destroy()
    report.must('who is there is served', status === 200, `${status} ${said}`)
    const counted = await metric(one, 'always_online_refused_newcomers_total', 'reason="memory"')
    report.must('the alert has something to tell', counted > 0, `always_online_refused_newcomers_total ${counted}`)
    await limit('4 GiB')
    one.process.kill('SIGHUP')
    report.must('newcomers are let in again', await answers(200) !== undefined)
    await one.stop()
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A server without clients: how much memory it takes, in MiB. */
async function empty() {
  const one = await server()
  const rss = kib(one, 'VmRSS')
  await one.stop()
  return Math.ceil(rss / 1024)
}

async function strained(report, name, { rooms, rate, stay, duration }, quick) {
  const bound = quick ? await empty() + 40 : 150
  const one = await server({ AO_LIMITS__MEMORY: `${bound} MiB` })
  const { result, ...said } = await generate(one, [
    ...JWT, '--server-pid', one.process.pid, 'strain', '--rooms', rooms, '--rate', rate, '--stay', stay, '--bytes', 65536, '--warmup', 0, '--duration', duration,
  ].map(String), duration + 120).report
  const { newcomers } = result
  // Whoever is behind is dropped before that, so the memory need not come to its limit.
  report.tell(`${name}: newcomers who were refused, with the reason`, `${newcomers.refused_with_reason} of ${newcomers.came}, from ${newcomers.first_refused_after_s} s to ${newcomers.last_refused_after_s} s; ${spread(result.refused_ms)}`)
  report.must(`${name}: the server lives`, one.process.exitCode === null && one.process.signalCode === null)
  const most = kib(one, 'VmHWM')
  report.must(`${name}: the memory stays below ${bound} MiB and a tenth`, most <= bound * 1.1 * 1024, `${mib(most)} at most`)
  const counted = await metric(one, 'always_online_refused_newcomers_total', 'reason="memory"')
  report.must(`${name}: the refusals are counted`, counted >= newcomers.refused_with_reason, `always_online_refused_newcomers_total ${counted}`)
  report.faultless(`${name}: members who read get everything`, said)
  report.tell('deliveries to them', spread(result.members_who_read.latency_ms))
  const dropped = await metric(one, 'always_online_drops_total', 'reason="slow"') + await metric(one, 'always_online_drops_total', 'reason="stalled"')
  report.must(`${name}: members who never read are dropped`, dropped > 0, `${dropped} dropped, ${result.members_who_never_read.came_again} came again`)
  const after = result.let_in_again_after_s
  report.must(`${name}: newcomers are let in again when the load has gone`, after !== null, after === null ? 'never' : `after ${seconds(after * 1000)}`)
  await emptied(report, one)
  logged(report, one)
  await one.stop()
}
