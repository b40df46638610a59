// A Prometheus of a test's own: PROMETHEUS_BIN (scripts/part installs it), with the configuration of deploy/ but for what it scrapes and how often.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url))
const READY_MS = 30_000

/** A port that nobody has now. Somebody may take it before it is used: whoever uses it tries again. */
async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  await new Promise(closed => probe.close(closed))
  return port
}

export class Prometheus {
  /** Scrapes `targets`, HOST:PORT each, every second. */
  static async start(targets) {
    if (!process.env.PROMETHEUS_BIN) throw new Error('PROMETHEUS_BIN names no Prometheus: run scripts/test operate')
    const folder = await mkdtemp(join(tmpdir(), 'always-online-prometheus-'))
    const file = await readFile(join(DEPLOY, 'prometheus/prometheus.yml'), 'utf8')
    const config = file.replaceAll(/(_interval): 15s/g, '$1: 1s').replace(/targets: \[.*\]/, `targets: ${JSON.stringify(targets)}`)
    await writeFile(join(folder, 'prometheus.yml'), config)
    await writeFile(join(folder, 'alerts.yml'), await readFile(join(DEPLOY, 'prometheus/alerts.yml')))
    const prometheus = new Prometheus()
    prometheus.folder = folder
    for (let attempt = 1; ; attempt++) {
      if (await prometheus.#run(await freePort())) return prometheus
      if (attempt === 5) {
        await prometheus.stop()
        throw new Error(`Prometheus does not start:\n${prometheus.log}`)
      }
    }
  }

  /** Whether it got ready on that port. */
  async #run(port) {
    this.url = `http://127.0.0.1:${port}`
    this.log = ''
    this.process = spawn(process.env.PROMETHEUS_BIN, [
      `--config.file=${this.folder}/prometheus.yml`, `--storage.tsdb.path=${this.folder}/data`, `--web.listen-address=127.0.0.1:${port}`,
    ], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.process.stderr.setEncoding('utf8').on('data', text => { this.log += text })
    let gone = false
    this.process.once('exit', () => { gone = true })
    this.process.once('error', error => { gone = true; this.log += error })
    for (const end = Date.now() + READY_MS; Date.now() < end && !gone;) {
      if (await fetch(`${this.url}/-/ready`).then(answer => answer.ok, () => false)) return !gone
      await new Promise(again => setTimeout(again, 50))
    }
    return false
  }

  async stop() {
    if (this.process?.exitCode === null && this.process.signalCode === null) {
      const ended = once(this.process, 'exit')
      this.process.kill('SIGKILL') // its data goes as well
      await ended
    }
    await rm(this.folder, { recursive: true, force: true })
  }

  /** What its API answers. */
  async api(path, query = {}) {
    const answer = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(query)}`)
    const { status, data, error } = await answer.json()
    if (status !== 'success') throw new Error(`${path} ${JSON.stringify(query)}: ${error}`)
    return data
  }

  /** The series of an expression now, each `{metric, value}`. */
  async query(expression) {
    const { result } = await this.api('query', { query: expression })
    return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
  }
}
