// One server under test: AO_BIN (default: the debug build of this repository), started on free ports with a data folder of its own.
// It is told everything by its environment and tells its ports on stdout: `websocket http://127.0.0.1:41234`.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { call } from './http.mjs'

const BINARY = process.env.AO_BIN ?? fileURLToPath(new URL('../../target/debug/always-online', import.meta.url))
const READY_MS = 30_000
const END_MS = 30_000
/** Listeners that are there where the variable is set. Where it leaves the port open, it is another one at each start. */
const OWN = { gotapi: 'AO_GOTAPI__LISTEN', wechat: 'AO_WECHAT__LISTEN', tinode: 'AO_TINODE__LISTEN', tinode_grpc: 'AO_TINODE__GRPC_LISTEN' }
const LISTENER = new RegExp(`^(websocket|api|demo|${Object.keys(OWN).join('|')})\\s+(https?:\\/\\/\\S+)`)
const started = new Set()

/** Servers that are there, or are being started. */
export const servers = () => [...started]

// A failed run shows what its servers said; an aborted one leaves none behind.
process.on('exit', code => {
  for (const server of started) {
    server.process?.kill('SIGKILL')
    if (code !== 0 && server.stderr) console.error(`--- stderr of the server (${server.title})\n${server.stderr.slice(-20_000)}`)
  }
})

/** Starts a server and waits until it is ready. `env` is added to its environment, `args` are its command line; `title` names it in failures. */
export async function startServer({ title = 'default', env = {}, args = [] } = {}) {
  needBinary()
  const server = new Server(title, env, await mkdtemp(join(tmpdir(), 'always-online-clients-')), args)
  started.add(server)
  await server.start()
  return server
}

function needBinary() {
  if (!existsSync(BINARY)) throw new Error(`no server binary at ${BINARY}: build it (cargo build) or set AO_BIN`)
}

/** This process's environment without settings of the server (it refuses those it does not know) but AO_LOG, and with `env`. */
function surroundings(env) {
  const inherited = Object.entries(process.env).filter(([key]) => key === 'AO_LOG' || !key.startsWith('AO_') && key !== 'NODE_ENV')
  return { ...Object.fromEntries(inherited), ...env }
}

/** Runs one of the binary's commands. @returns its stdout, trimmed */
export async function command(args, env) {
  needBinary()
  return (await promisify(execFile)(BINARY, args, { env: surroundings(env), timeout: READY_MS })).stdout.trim()
}

export class Server {
  /** Addresses by listener: `websocket`, `api`, `demo`, and those of OWN where it has them. */
  urls = {}
  /** The first administrator, printed at the first start only. */
  admin = { uid: undefined, token: undefined }
  stderr = ''

  constructor(title, env, folder, args = []) {
    Object.assign(this, { title, env, folder, args })
  }

  get url() { return this.urls.websocket }
  get api() { return this.urls.api }

  /** As `Cluster` has them: which node the next client goes to, which one gets the next HTTP call. */
  get nodes() { return [this] }
  nodeForClient() { return this }
  nodeForCall() { return this }

  /** Whether create_token works without credentials. */
  get open() { return this.env.AO_COMPAT !== 'deployed' && !this.env.AO_STORE__TOKENS && !this.env.AO_STORE__MESSAGES }

  async start() {
    for (const listener of Object.keys(OWN)) delete this.urls[listener]
    const at = listener => this.urls[listener] ? new URL(this.urls[listener]).host : '127.0.0.1:0'
    this.process = spawn(BINARY, this.args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: surroundings({
        AO_WEBSOCKET__LISTEN: at('websocket'), AO_API__LISTEN: at('api'), AO_DEMO__LISTEN: at('demo'),
        AO_STORE__PATH: this.folder, ...this.env,
      }),
    })
    this.process.stderr.setEncoding('utf8').on('data', text => { this.stderr += text })
    const lines = createInterface({ input: this.process.stdout })
    lines.on('line', line => this.#read(line))
    const failed = new Promise((_, reject) => {
      this.process.once('error', reject)
      this.process.once('exit', (code, signal) => reject(this.#failure(`it ended at start (${signal ?? `exit code ${code}`})`)))
    })
    failed.catch(() => {})
    await Promise.race([failed, this.#ready()])
    this.gone = false
  }

  /** SIGTERM; after 30 s SIGKILL and a failure. */
  async stop() {
    if (!this.gone) await this.end()
    started.delete(this)
    if (process.exitCode) console.error(`--- stderr of the server (${this.title})\n${this.stderr.slice(-20_000)}`)
    await rm(this.folder, { recursive: true, force: true })
  }

  /** The same ports, but those that `env` leaves open, and the same data folder, a new process. */
  async restart() {
    await this.end()
    await this.start()
  }

  /** SIGKILL: it has no time for a goodbye. */
  async kill() {
    const ended = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await ended
    this.gone = true
  }

  /** SIGSTOP: it says nothing more, and its connections stay open, until `resume`. */
  pause() {
    this.process.kill('SIGSTOP')
    // On a busy machine a thread may run on for a moment, and do what is sent to it from now on.
    const threads = `/proc/${this.process.pid}/task`
    const state = thread => {
      try {
        return readFileSync(`${threads}/${thread}/stat`, 'utf8').split(') ').at(-1)[0]
      } catch { return 'X' } // it ended after it was listed
    }
    const stopped = thread => /[TXZ]/.test(state(thread))
    for (const end = Date.now() + 10_000; !readdirSync(threads).every(stopped);) {
      if (Date.now() > end) throw this.#failure('it did not stop')
    }
  }
  resume() { this.process.kill('SIGCONT') }

  /** SIGTERM, and nothing more until `start` or `stop`. */
  async end() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) {
      throw this.#failure(`it had ended by itself (${this.process.signalCode ?? `exit code ${this.process.exitCode}`})`)
    }
    const ended = once(this.process, 'exit')
    this.process.kill('SIGTERM')
    let late = false
    const timer = setTimeout(() => { late = true; this.process.kill('SIGKILL') }, END_MS)
    await ended
    clearTimeout(timer)
    this.gone = true
    if (late) throw this.#failure(`it did not end within ${END_MS} ms of SIGTERM`)
  }

  #read(line) {
    this.stderr += `stdout: ${line.replace(/(token: ).*/, '$1…')}\n`
    const listener = LISTENER.exec(line)
    if (listener) this.urls[listener[1]] = listener[2].replace(/\/$/, '')
    const admin = /^admin (uid|token):\s*(\S+)/.exec(line)
    if (admin) this.admin[admin[1]] = admin[2]
  }

  async #ready() {
    const end = Date.now() + READY_MS
    for (;;) {
      const up = this.urls.websocket && this.urls.api && Object.entries(OWN).every(([listener, variable]) => this.urls[listener] || !this.env[variable])
        && await call('GET', `${this.urls.websocket}/readyz`).then(answer => answer.code === 200, () => false)
        && (!this.urls.wechat || await this.#letsPeopleIn())
      if (up) return
      if (Date.now() > end) throw this.#failure(`it was not ready within ${READY_MS} ms (addresses so far: ${JSON.stringify(this.urls)})`)
      await new Promise(again => setTimeout(again, 20))
    }
  }

  /** Of react-wechat: it has looked whether there is anything to be taken over, and has done so. Until then it answers 503. */
  #letsPeopleIn() { return call('GET', `${this.urls.wechat}/api/info`).then(answer => answer.code !== 503, () => false) }

  #failure(what) {
    return new Error(`server (${this.title}): ${what}\nstderr:\n${this.stderr.slice(-5_000)}`)
  }

  /** A call to an `/admin/…` route, with the administrator's credentials. @returns the body: `{meta, data}` */
  async ask(method, path, { query = {}, ...rest } = {}) {
    return (await call(method, this.url + path, { query: { ...this.admin, ...query }, ...rest })).body
  }

  /** A call to `/user/ROUTE` of the token API, by default with the administrator's credentials. @returns the body: `{meta, data}` */
  async user(route, request, query = this.admin) {
    return (await call('POST', `${this.api}/user/${route}`, { query, ...request })).body
  }

  /** A fresh token for `uid`, created with the administrator's credentials where they are asked for. */
  async token(uid) {
    const query = this.open ? {} : this.admin
    const { body, text } = await call('POST', `${this.api}/user/create_token`, { query, json: { uid } })
    if (body?.meta?.status !== 0) throw new Error(`create_token for ${uid} answered ${text}`)
    return body.data.token
  }
}
