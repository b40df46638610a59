// What checks share: servers, the load generator, the API, metrics, and how figures are told.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

// Which server is started: read when the module is loaded.
process.env.AO_BIN = process.env.STRESS_SERVER
export const { startServer } = await import('../../tests/clients/server.mjs')

/** The secret of JSON Web Tokens, which the generator signs, too. */
export const SECRET = 'a secret of the checks, of some length'
export const JWT = ['--jwt', `hs256:${SECRET}`]

const started = new Set()
const servers = new Set()
const cleanups = new Set()

/** Ends what checks have started and not ended, as they failed or were interrupted. */
export async function endAll() {
  for (const child of started) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  started.clear()
  for (const one of servers) {
    if (!one.gone) one.process.kill('SIGKILL')
    rmSync(one.folder, { recursive: true, force: true })
  }
  servers.clear()
  const ends = [...cleanups]
  cleanups.clear()
  await Promise.allSettled(ends.map(end => end()))
}

/** Runs `run`, and then `end`, also where it fails or is interrupted. */
export async function thenEnd(end, run) {
  cleanups.add(end)
  try {
    return await run()
  } finally {
    if (cleanups.delete(end)) await end()
  }
}

/** What a check found. */
export class Report {
  figures = []
  missed = 0
  #quick

  /** `quick`: a run that only shows that it works, on a machine that may be busy. */
  constructor(name, about, quick) {
    Object.assign(this, { name, about })
    this.#quick = quick
    console.log(`\n${name}: ${about}`)
  }

  /** A figure, and whether it is as it must be. */
  must(what, holds, figure = '') {
    this.figures.push({ what, figure, holds: Boolean(holds) })
    if (!holds) this.missed++
    console.log(`  ${holds ? 'ok    ' : 'MISSED'} ${what}${figure === '' ? '' : `: ${figure}`}`)
  }

  /** How long something took, and whether that is as it must be; a quick run only tells it. */
  within(what, holds, figure) {
    if (this.#quick) this.tell(what, figure)
    else this.must(what, holds, figure)
  }

  /** A figure. */
  tell(what, figure) {
    this.figures.push({ what, figure })
    console.log(`         ${what}: ${figure}`)
  }

  /** Nothing happened that must never happen. */
  faultless(what, { faults, notes }) {
    this.must(what, Object.keys(faults).length === 0, Object.entries(faults).map(([fault, n]) => `${n} ${fault}`).join(', '))
    for (const note of notes) if (!Object.keys(faults).some(fault => note.endsWith(fault))) this.tell('note', note)
  }
}

/** A server with keys for tokens and nothing that slows a crowd down. */
export async function server(env = {}, more = {}) {
  const one = await startServer({ title: 'checked', env: { AO_JWT__SECRET: SECRET, ...env }, ...more })
  servers.add(one)
  return one
}

/**
 * Starts the load generator. @returns the process, and `report`: what it says at its end
 * @param {string[]} args of the scenario; @param {number} limit seconds after which it gives up
 */
export function generate(server, args, limit = 600) {
  const url = typeof server === 'string' ? server : server.url
  const child = spawn(process.env.STRESS_GENERATOR, [
    '--url', url.replace('http:', 'ws:'), '--time-limit', String(limit), '--pin', 'none', ...args,
  ], { stdio: ['ignore', 'pipe', 'pipe'] })
  started.add(child)
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', text => { out += text })
  child.stderr.setEncoding('utf8').on('data', text => { err = (err + text).slice(-20_000) })
  const report = once(child, 'close').then(([code, signal]) => {
    started.delete(child)
    if (code !== 0) throw new Error(`stress ${args.join(' ')}: ${signal ?? `exit code ${code}`}\n${err}`)
    return JSON.parse(out)
  })
  report.catch(() => {}) // whoever waits for it hears of it
  return { child, report }
}

/** The options of the generator by which it uses the API. */
export function access({ api, admin }) {
  return ['--to', new URL(api).host, '--credential', Buffer.from(`${admin.uid}:${admin.token}`).toString('base64')]
}

/** One request, on a connection of its own unless `agent` keeps one. @returns {Promise<{code: number, text: string}>} */
export function ask(url, { method = 'GET', headers = {}, body, agent = false } = {}) {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const request = http.request(url, { method, headers: { ...headers, ...length }, agent, timeout: 30_000 }, async answer => {
      let text = ''
      try {
        for await (const chunk of answer.setEncoding('utf8')) text += chunk
        resolve({ code: answer.statusCode, text })
      } catch (error) { reject(error) }
    })
    request.on('timeout', () => request.destroy(new Error(`no answer from ${url}`)))
    request.on('error', reject)
    request.end(body)
  })
}

/** A method of the HTTP API. @returns its answer */
export async function v1({ api, admin }, name, body, agent) {
  const headers = { authorization: `Bearer ${admin.uid}:${admin.token}` }
  const asked = body === undefined ? { headers, agent } : { method: 'POST', headers, body: JSON.stringify(body), agent }
  const { code, text } = await ask(`${api}/v1/${name}`, asked)
  if (code !== 200) throw new Error(`${name}: ${code} ${text}`)
  return JSON.parse(text)
}

/** The sum of a metric's series whose labels have all of `labels` in them. */
export async function metric({ api }, name, ...labels) {
  const { text } = await ask(`${api}/metrics`)
  const series = text.split('\n').filter(line => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && labels.every(label => line.includes(label)))
  return series.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** Waits until `holds`; whether it did within `seconds`. */
export async function eventually(holds, seconds) {
  for (const end = Date.now() + seconds * 1000; ;) {
    if (await holds()) return true
    if (Date.now() > end) return false
    await sleep(50)
  }
}

const GAUGES = ['clients', 'users', 'rooms', 'members', 'send_queue_bytes', 'poll_queue_bytes', 'pending_messages', 'pending_message_bytes']

/** Everybody has gone: nothing is counted any more, within 15 s; those who poll are missed when they answer no ping for longer. */
export async function emptied(report, server, patience = 15) {
  let left
  const begin = Date.now()
  const isEmpty = async () => {
    const found = await Promise.all(GAUGES.map(async name => [name, await metric(server, `always_online_${name}`)]))
    const stat = await v1(server, 'stat')
    // Who asks is connected, too.
    const connections = Math.max(0, await metric(server, 'always_online_connections') - 1)
    left = [...found, ['connections', connections], ...['users', 'rooms'].map(name => [`${name} of /v1/stat`, stat[name]])].filter(([, n]) => n !== 0)
    return left.length === 0
  }
  const empty = await eventually(isEmpty, patience)
  report.must('all counters are zero when everybody has gone', empty, empty ? `after ${seconds(Date.now() - begin)}` : left.map(([name, n]) => `${name} ${n}`).join(', '))
}

/** What the server's log has as warnings and errors. */
export function trouble({ stderr }) {
  return stderr.split('\n').filter(line => /\b(WARN|ERROR)\b/.test(line))
}

/** Tells of some of them. */
export function logged(report, server) {
  for (const line of trouble(server).slice(0, 5)) report.tell('log', line)
}

/** A line of /proc/PID/status, in KiB. */
export function kib({ process: { pid } }, line) {
  return Number(new RegExp(`^${line}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

export const seconds = ms => ms < 1000 ? `${ms >= 10 ? Math.round(ms) : Number(ms.toPrecision(2))} ms` : `${(ms / 1000).toFixed(1)} s`
export const mib = kib => `${(kib / 1024).toFixed(0)} MiB`

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]
}

/** p50, p99 and the most of milliseconds in a report of the generator. */
export const spread = ms => ms ? `p50 ${seconds(ms.p50)}, p99 ${seconds(ms.p99)}, at most ${seconds(ms.max)}` : 'none'
