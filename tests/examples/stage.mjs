// What the tests of all examples stand on. An example is run by the very command that its header gives, in a folder of its own: only addresses, room, uid
// and tokens are put in, and what `cargo run --example` would build is there already (`cargo build --examples`).
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { startCluster } from '../clients/cluster.mjs'
import { Line } from '../clients/cut.mjs'
import { Party, STORED, SUCCESS } from '../clients/party.mjs'
import { wire } from '../clients/wires.mjs'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const BOUND_MS = 60_000
const running = new Set()
process.on('exit', () => { for (const example of running) example.signal('SIGKILL') })
// An aborted run leaves none behind either.
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) process.once(signal, () => process.exit(code))

/** The text of an example, or of another file of the repository. */
export const source = file => readFileSync(join(ROOT, file), 'utf8')

/** The command in an example's header whose text has `part` in it, on one line. */
export function command(file, part) {
  const [header] = source(`examples/${file}`).split(/^(?:import|const|use|set|<html)\b/m)
  const lines = header.replace(/\\\n(\/\/|#)?\s*/g, '').split('\n')
  const found = lines.map(line => /^(?:\/\/!?|#)? {1,}(\S.*)$/.exec(line)?.[1]).filter(line => line?.includes(part))
  assert.equal(found.length, 1, `the header of ${file} has one command with ${part}: ${found.join(' | ')}`)
  return found[0]
}

/** The command, for a shell, with each of `values` put in for its key, which must be there. */
export function filled(text, values) {
  for (const [key, value] of Object.entries(values)) {
    assert(text.includes(key), `${key} in ${text}`)
    text = text.replace(key, () => value)
  }
  return text
}

const endings = new WeakMap()

/**
 * What is done when the test `t` ends, whether or not it passed: what came last is done first, so that a folder goes after those who write in it. All of it
 * is done, even where something fails; `t.after` would do it in the order of the calls, and nothing behind what fails.
 */
export function atEnd(t, what) {
  if (!endings.has(t)) {
    const steps = []
    endings.set(t, steps)
    t.after(async () => {
      const failures = []
      for (const step of steps.reverse()) {
        try { await step() } catch (error) { failures.push(error) }
      }
      if (failures.length > 0) throw failures.length > 1 ? new AggregateError(failures, 'several steps failed') : failures[0]
    })
  }
  endings.get(t).push(what)
}

/** A new folder with an example in it, and `links`: name → where it leads. It goes when the test `t` ends. */
export function folderFor(t, file, links = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'always-online-example-'))
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  copyFileSync(join(ROOT, 'examples', file), join(folder, basename(file)))
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(folder, name))
  return folder
}

/** A node_modules folder: name → the package in tests/clients that stands there. */
export function modules(t, packages) {
  const folder = mkdtempSync(join(tmpdir(), 'always-online-modules-'))
  atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  for (const [name, there] of Object.entries(packages)) symlinkSync(join(ROOT, 'tests/clients/node_modules', there), join(folder, name))
  return folder
}

/** A server that has its tokens at the far end of a line, `store`. */
export async function frailServer(t, env = {}) {
  assert(process.env.MONGODB_URL, 'MONGODB_URL names no MongoDB: run scripts/test examples, or this below scripts/services')
  const url = new URL(process.env.MONGODB_URL)
  const store = await Line.to(url)
  url.host = new URL(store.url).host
  if (url.username && !url.searchParams.has('authSource')) url.searchParams.set('authSource', url.pathname.slice(1) || 'admin')
  url.pathname = `/ao_test_${randomUUID().replaceAll('-', '')}`
  const tokens = { AO_STORE__TOKENS: url.href, AO_STORE__DEADLINE: '2s' }
  const cluster = await startCluster({ nodes: 1, env: { ...tokens, ...env } }).catch(error => { store.close(); throw error })
  atEnd(t, async () => {
    store.mend()
    await cluster.stop()
    store.close()
  })
  return { server: cluster.nodes[0], store }
}

let rooms = 0

/**
 * Bob in a new room of `server`, and an example that can be started in it, again and again, by the command `line` in `folder`: `start({token})`.
 * It goes through `cable`. What bob does `write` it prints as `said`, what it writes bob `hears`.
 */
export async function scene(t, server, { line, uid: name, folder }) {
  const party = new Party(server, wire(4, 'websocket only'))
  const cable = await Line.to(server.url)
  atEnd(t, () => { party.close(); cable.close() })
  const room = `the plans ${++rooms}`, uid = `${name}-${rooms}`, token = await server.token(uid)
  const bob = await party.user('bob')
  await party.enter(bob, room)
  const values = { 'http://127.0.0.1:3000': cable.url, plans: `'${room}'`, [name]: uid }
  const heard = () => bob.log.flatMap(([event, message]) => event === 'msg' ? [message.text] : [])
  let written = 0
  return {
    party, cable, bob, room, uid, token,
    start: ({ token: other = token } = {}) => new Example(t, filled(line, { 'TOKEN=…': `TOKEN='${other}'`, ...values }), { cwd: folder }),
    /** Bob writes these texts, one after the other. */
    async write(...texts) {
      for (const text of texts) assert.deepEqual(await bob.ask('msg', { storage: 0, msgId: `b${++written}`, text }), STORED)
    },
    said: (...texts) => texts.map(text => `${bob.uid}: ${text}`),
    /** These are all that bob has got in this scene. */
    async hears(...texts) {
      await bob.until(`to hear ${JSON.stringify(texts)}`, () => heard().length >= texts.length)
      assert.deepEqual(heard(), texts)
    },
    /** A client that was dropped is back in the room. */
    async returns(client) {
      await client.upTo('reconnect')
      client.tell('authenticate', { uid: client.uid, token: client.token })
      await client.sees(SUCCESS)
      client.tell('join', { roomId: room })
      await client.upTo('join', answer => answer.status === 0)
    },
  }
}

/** A running command line, and what it printed. Tests read its standard output from front to back, so "nothing else was printed" needs no waiting. */
export class Example {
  printed = []
  stderr = ''
  #read = 0
  #waiting = new Set()

  constructor(t, line, { cwd = ROOT, env = {}, patience = BOUND_MS } = {}) {
    this.line = line
    this.patience = patience
    const inherited = Object.entries(process.env).filter(([name]) => !/^(AO_.*|TOKEN|ADMIN_UID|ADMIN_TOKEN|API_URL|EVENTS_URL|LISTEN)$/.test(name))
    // A process group of its own, to reach the program and not only the shell around it.
    const built = line.replace(/cargo run --example (\w+)/, (_, name) => `'${join(ROOT, 'target/debug/examples', name)}'`)
    this.process = spawn('bash', ['-c', built], { cwd, env: { ...Object.fromEntries(inherited), LC_ALL: 'C.UTF-8', ...env }, detached: true })
    running.add(this)
    createInterface({ input: this.process.stdout }).on('line', text => { this.printed.push(text); this.#wake() })
    this.process.stderr.setEncoding('utf8').on('data', text => { this.stderr += text; this.#wake() })
    this.process.stdin.on('error', () => {}) // it may have ended
    this.closed = once(this.process, 'close').then(([code, signal]) => {
      running.delete(this)
      this.end = { code, signal }
      this.#wake()
    })
    atEnd(t, () => this.kill())
  }

  type(text) { this.process.stdin.write(`${text}\n`) }

  /** The next lines of standard output, exactly these. */
  async prints(...expected) {
    const next = () => this.printed.slice(this.#read, this.#read + expected.length)
    const differs = () => next().some((line, i) => line !== expected[i])
    await this.#until(`to print ${JSON.stringify(expected.slice(0, 5))}${expected.length > 5 ? ` … ${expected.length} lines` : ''}`,
      () => differs() || next().length === expected.length)
    assert.deepEqual(next(), expected, this.#report('other lines than expected'))
    this.#read += expected.length
  }

  /** The next lines of standard output are these, in any order. */
  async printsInAnyOrder(...expected) {
    const next = () => this.printed.slice(this.#read, this.#read + expected.length)
    await this.#until(`to print ${JSON.stringify(expected)} in any order`, () => next().length === expected.length)
    assert.deepEqual(next().sort(), expected.sort(), this.#report('other lines than expected'))
    this.#read += expected.length
  }

  /** The next line of standard output that `pattern` fits. @returns the match */
  async matches(pattern) {
    await this.#until(`to print ${pattern}`, () => this.printed.length > this.#read)
    const match = pattern.exec(this.printed[this.#read])
    assert(match, this.#report(`expected ${pattern}`))
    this.#read++
    return match
  }

  /** Nothing was printed but what was expected. */
  printedNothingElse() { assert.deepEqual(this.printed.slice(this.#read), [], this.#report('more was printed')) }

  /** Standard error has `text` in it, `times` times or more. */
  complains(text, times = 1) {
    return this.#until(`to say ${JSON.stringify(text)} ${times} times`, () => this.stderr.split(text).length > times)
  }

  /** @returns its exit code, once it has ended by itself */
  async ended() {
    await this.#until('to end', () => this.end)
    return this.end.code
  }

  /** SIGTERM. @returns the exit code */
  terminate() {
    this.signal('SIGTERM')
    return this.ended()
  }

  async kill() {
    this.signal('SIGKILL')
    await this.closed
  }

  signal(name) {
    if (this.end) return
    try { process.kill(-this.process.pid, name) } catch (error) { if (error.code !== 'ESRCH') throw error }
  }

  async #until(what, ready) {
    const enough = () => ready() || this.end
    if (!enough()) {
      await new Promise(resolve => {
        const timer = setTimeout(resolve, this.patience)
        const check = () => { if (enough()) { clearTimeout(timer); this.#waiting.delete(check); resolve() } }
        this.#waiting.add(check)
      })
    }
    assert(ready(), this.#report(this.end ? `it ended and was expected ${what}` : `expected it within ${this.patience} ms ${what}`))
  }

  #report(what) {
    const shown = this.printed.map((line, i) => `  ${i < this.#read ? ' ' : '→'} ${line}`).slice(-40)
    const end = this.end ? `ended: ${JSON.stringify(this.end)}` : 'running'
    return `${this.line}: ${what} (${end})\nstandard output (→ not expected yet):\n${shown.join('\n')}\nstandard error:\n${this.stderr.slice(-3_000)}`
  }

  #wake() { for (const check of [...this.#waiting]) check() }
}

/** The business server of business_server.rs for `server`, started as its header says. Its address is its `url`. */
export async function businessServer(t, server, env = {}) {
  const { uid, token } = server.admin
  const line = filled(command('business_server.rs', 'cargo run --example'), { 'ADMIN_UID=admin': `ADMIN_UID=${uid}`, 'ADMIN_TOKEN=…': `ADMIN_TOKEN=${token}` })
  const business = new Example(t, line, { env: { LISTEN: '127.0.0.1:0', API_URL: server.api, EVENTS_URL: server.url, ...env } })
  business.url = (await business.matches(/^business server (http:\S+)$/))[1]
  return business
}
