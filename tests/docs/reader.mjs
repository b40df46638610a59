// Somebody who does what a document says, from top to bottom, in an empty folder, and looks whether what comes is what the document says.
//
// Two things are other than on the page, because many run beside each other on one machine: `cargo run --release` and `always-online` are AO_BIN (the
// debug build), and each port stands for a free one. A token that a document shows stands for the one that really came.
import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { blocks } from './blocks.mjs'
import { launch } from '../browser/board.mjs'
import { difference, pattern, tokens } from './expected.mjs'
import { Page, Program, Shell } from './programs.mjs'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const BINARY = resolve(process.env.AO_BIN ?? join(ROOT, 'target/debug/always-online'))
const ADDRESS = /(127\.0\.0\.1:|0\.0\.0\.0:|localhost:|--port |listen\()(\d{4,5})\b/g

/** Follows a document. `allowed`: the languages of blocks that are only shown; `prepare(reader)` is called before the first block. */
export async function follow(markdown, { allowed = [], prepare } = {}) {
  const reader = await Reader.begin(allowed)
  try {
    await prepare?.(reader)
    for (const block of blocks(markdown)) {
      try {
        await reader[block.kind](block)
      } catch (error) {
        throw new Error(`line ${block.line}, ${block.kind} ${block.name ?? block.file ?? ''}\n${block.text ?? ''}${error.message}`, { cause: error })
      }
    }
  } finally {
    await reader.done()
  }
}

export class Reader {
  /** Ports of the document and the real ones, tokens of the document and the real ones. */
  ports = new Map()
  tokens = new Map()
  #running = new Map()
  #places = new Map()
  #beside = []

  static async begin(allowed) {
    assert(existsSync(BINARY), `no server binary at ${BINARY}: build it (cargo build) or set AO_BIN`)
    const reader = new Reader()
    reader.allowed = allowed
    reader.top = await realpath(await mkdtemp(join(tmpdir(), 'always-online-docs-')))
    reader.folder = join(reader.top, 'reader')
    process.on('exit', () => rmSync(reader.top, { recursive: true, force: true })) // of an aborted run
    await mkdir(reader.folder)
    await reader.#standIns()
    reader.env = surroundings(join(reader.top, 'bin'))
    reader.shell = new Shell({ cwd: reader.folder, env: reader.env })
    return reader
  }

  /** The programs that a document names, and that are other ones here. */
  async #standIns() {
    const listen = {}
    for (const [name, port] of [['WEBSOCKET', 3000], ['API', 4000], ['DEMO', 5000]]) listen[name] = await this.port(String(port))
    await mkdir(join(this.top, 'bin'))
    await this.#program('always-online', [
      ...Object.entries(listen).map(([name, port]) => `export AO_${name}__LISTEN=\${AO_${name}__LISTEN:-127.0.0.1:${port}}`),
      `exec '${BINARY}' "$@"`,
    ])
    await this.#program('cargo', [
      '[ "${1:-} ${2:-}" = "run --release" ] || { echo "cargo $* is not stood in for" >&2; exit 2; }',
      'shift 2',
      '[ "${1:-}" != -- ] || shift',
      'exec always-online "$@"',
    ])
  }

  async #program(name, lines) {
    const file = join(this.top, 'bin', name)
    await writeFile(file, ['#!/usr/bin/env bash', ...lines, ''].join('\n'))
    await chmod(file, 0o755)
  }

  /** The port that stands behind one of the document. */
  async port(shown) {
    if (!this.ports.has(shown)) this.ports.set(shown, String(await freePort(this.ports)))
    return this.ports.get(shown)
  }

  /** From the document to here. */
  async #real(text) {
    for (const [, , port] of text.matchAll(ADDRESS)) await this.port(port)
    const addressed = text.replace(ADDRESS, (_, host, port) => host.replace('0.0.0.0', '127.0.0.1') + this.ports.get(port))
    return tokens(addressed).reduce((all, shown) => all.replaceAll(shown, this.tokens.get(shown) ?? shown), addressed)
  }

  /** From here to the document. */
  #shown(text) {
    let shown = text
    for (const [document, real] of this.ports) shown = shown.replaceAll(new RegExp(`\\b${real}\\b`, 'g'), document)
    return shown.replaceAll('localhost:', '127.0.0.1:')
  }

  async commands({ text }) {
    this.printed = await this.shell.run(await this.#real(text))
  }

  async program({ name, text }) {
    assert(!this.#running.has(name), `in the terminal ${name} something runs already`)
    // A terminal is opened where the first one is, and stays there.
    if (!this.#places.has(name)) this.#places.set(name, this.shell.cwd)
    this.#running.set(name, new Program(await this.#real(text), { cwd: this.#places.get(name), env: this.env }))
  }

  async open({ file, name }) {
    this.browser ??= await launch()
    this.#running.set(name, await Page.open(this.browser, join(this.shell.cwd, file)))
  }

  async 'ctrl-c'({ name }) {
    await this.#at(name).stop()
    this.#running.delete(name)
  }

  async output({ name, language, text }) {
    const { regexp, groups } = pattern(text.replaceAll('localhost:', '127.0.0.1:'), this.tokens)
    if (name) return this.#learn(groups, await this.#at(name).prints(regexp, came => this.#shown(came)))
    assert(this.printed !== undefined, 'no commands stand before this output')
    const came = this.#shown(this.printed)
    this.printed = undefined
    if (language === 'json') return this.#compare(text, came)
    const found = regexp.exec(came.trimEnd() + '\n')
    assert(found && found[0].trimEnd() === came.trimEnd(), `came: ${came}`)
    this.#learn(groups, found)
  }

  #compare(text, came) {
    const learn = (shown, real) => {
      if (this.tokens.has(shown) && this.tokens.get(shown) !== real) return `another token than ${shown} came`
      this.tokens.set(shown, real)
    }
    const found = difference(JSON.parse(text), JSON.parse(came), learn)
    assert(!found, `${found}\ncame: ${came}`)
  }

  #learn(groups, found) {
    groups.forEach((shown, i) => this.tokens.set(shown, found.groups[`t${i + 1}`]))
  }

  #at(name) {
    const running = this.#running.get(name)
    assert(running, `nothing runs in ${name}`)
    return running
  }

  /** A server that the document takes for granted. */
  beside(program) {
    this.#beside.push(program)
  }

  async file({ file, text }) {
    const path = join(this.shell.cwd, file)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, await this.#real(text))
  }

  async excerpt({ file, text }) {
    const trimmed = code => code.split('\n').map(line => line.trim()).filter(Boolean).join('\n')
    const whole = await readFile(join(ROOT, file), 'utf8')
    assert(`\n${trimmed(whole)}\n`.includes(`\n${trimmed(text)}\n`), `these lines are not in ${file}`)
  }

  async shown({ language }) {
    assert(this.allowed.includes(language), `a block of ${language} may not be there for show alone`)
  }

  async done() {
    const groups = [this.shell, ...this.#running.values(), ...this.#beside].filter(running => running instanceof Shell || running instanceof Program)
    for (const group of groups) group.signal('SIGTERM')
    const late = setTimeout(() => groups.forEach(group => group.signal('SIGKILL')), 10_000)
    await Promise.all(groups.map(group => group.ended))
    clearTimeout(late)
    await this.browser?.close()
    await rm(this.top, { recursive: true, force: true })
  }
}

/** This process's environment without the server's settings and what npm and node:test tell their children. */
function surroundings(bin) {
  const ours = /^(AO_|npm_(package|lifecycle|config_(local_)?prefix|node|execpath|command)|INIT_CWD$|NODE_|BASH_ENV$)/
  const rest = Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)))
  return {
    ...rest, PATH: `${bin}:${rest.PATH}`, NO_COLOR: '1', no_proxy: [rest.no_proxy, '127.0.0.1', 'localhost'].filter(Boolean).join(),
    npm_config_audit: 'false', npm_config_fund: 'false', npm_config_update_notifier: 'false', npm_config_loglevel: 'error',
  }
}

/** Drawn from below the ports that the kernel gives to outgoing connections, as in scripts/common.sh. */
async function freePort(taken) {
  for (let tries = 0; tries < 100; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if ([...taken.values()].includes(String(port))) continue
    const probe = createServer()
    const free = await once(probe.listen(port, '127.0.0.1'), 'listening').then(() => true, () => false)
    if (!free) continue
    probe.close()
    await once(probe, 'close')
    return port
  }
  throw new Error('no free port was found')
}
