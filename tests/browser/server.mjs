// The server under test: the real binary on free ports of the loopback, with data of its own.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'

const BINARY = process.env.AO_BIN ?? new URL('../../target/debug/always-online', import.meta.url).pathname

/** Listeners that are there where the variable is set. */
const OWN = { wechat: 'AO_WECHAT__LISTEN', tinode: 'AO_TINODE__LISTEN' }
const LISTENER = new RegExp(`\\b(websocket|api|demo|${Object.keys(OWN).join('|')}) (http:\\/\\/\\S+)`)

export class Server {
  #settings
  #child
  #directory
  #listen = { websocket: '127.0.0.1:0', api: '127.0.0.1:0', demo: '127.0.0.1:0' }

  /** @param {Record<string, string>} settings AO_… variables beyond those that are set here */
  constructor(settings = {}) {
    this.#settings = settings
  }

  /** Addresses after start(): websocket, api, demo, and those of OWN where it has them, as http://127.0.0.1:PORT */
  at = {}

  /** A second start listens on the same ports and finds the same data. */
  async start() {
    this.#directory ??= await mkdtemp(join(tmpdir(), 'demo-pages-'))
    const child = spawn(BINARY, [], { env: this.#environment(), stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child = child
    const ended = once(child, 'exit').then(([code, signal]) => { throw new Error(`the server ended: ${signal ?? code}`) })
    await Promise.race([this.#addresses(child), ended])
    ended.catch(() => {})
    for (const [name, url] of Object.entries(this.at)) this.#listen[name] = new URL(url).host
    while (!(await fetch(`${this.at.websocket}/readyz`).then(r => r.ok, () => false))) await pause(20)
  }

  #environment() {
    // None of our own AO_ variables: the server takes them for its settings.
    const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('AO_'))
    const env = { ...Object.fromEntries(inherited), AO_STORE__PATH: this.#directory, ...this.#settings }
    for (const [name, address] of Object.entries(this.#listen)) env[`AO_${name.toUpperCase()}__LISTEN`] = address
    return env
  }

  async #addresses(child) {
    for await (const line of createInterface({ input: child.stdout })) {
      const [, name, url] = LISTENER.exec(line) ?? []
      if (name) this.at[name] = url
      if (this.at.websocket && this.at.api && this.at.demo && Object.entries(OWN).every(([name, variable]) => this.at[name] || !this.#settings[variable])) break
    }
    child.stdout.resume() // a full pipe would stop the server
  }

  /** Uid and token of the administrator of the first start. */
  async admin() {
    const text = await readFile(join(this.#directory, 'admin-credential'), 'utf8')
    return Object.fromEntries([...text.matchAll(/^(uid|token): (.+)$/gm)].map(([, key, value]) => [key, value]))
  }

  /** What a command of the program prints, beside this server and with its settings. */
  async command(...args) {
    const child = spawn(BINARY, args, { env: this.#environment(), stdio: ['ignore', 'pipe', 'inherit'] })
    let printed = ''
    for await (const part of child.stdout) printed += part
    const code = child.exitCode ?? (await once(child, 'exit'))[0]
    if (code !== 0) throw new Error(`always-online ${args.join(' ')} ended with ${code}`)
    return printed.trim()
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await exit
  }

  async remove() {
    await this.stop()
    await rm(this.#directory, { recursive: true, force: true })
  }
}
