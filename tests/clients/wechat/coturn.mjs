// A coturn of a test's own, as Debian has it: it relays on the loopback, for whoever has credentials that were made with its secret.
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'

const HOST = '127.0.0.1'
const BOUND_MS = 60_000
/** Ports to be tried: that one is free nobody can promise. */
const TRIES = 10
const started = new Set()
process.on('exit', () => { for (const turn of started) turn.kill('SIGKILL') })

export class Coturn {
  secret = randomBytes(24).toString('base64url')
  #said = ''

  /** One that is there for the tests of a `describe`. */
  static forTests() {
    const coturn = new Coturn()
    before(() => coturn.start())
    after(() => coturn.stop())
    return coturn
  }

  /** Its addresses, as a page is told them. */
  get urls() { return ['udp', 'tcp'].map(transport => `turn:${HOST}:${this.port}?transport=${transport}`) }

  async start() {
    this.folder = await mkdtemp(join(tmpdir(), 'always-online-coturn-'))
    for (let i = 0; i < TRIES; i++) {
      this.port = await freePort()
      if (await this.#starts()) return
    }
    throw new Error(`turnserver has not started: ${this.report()}`)
  }

  async #starts() {
    const options = [
      '-n', '--simple-log', '--no-cli', '--no-tls', '--no-dtls', '--allow-loopback-peers', '--verbose', `--listening-ip=${HOST}`, `--relay-ip=${HOST}`,
      `--listening-port=${this.port}`, '--realm=always-online', '--use-auth-secret', `--static-auth-secret=${this.secret}`, '--log-file=stdout',
      `--userdb=${join(this.folder, 'users')}`, `--pidfile=${join(this.folder, 'pid')}`,
    ]
    const child = spawn('turnserver', options, { stdio: ['ignore', 'pipe', 'pipe'] })
    started.add(child)
    this.process = child
    this.ended = once(child, 'exit').finally(() => started.delete(child))
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => { this.#said = (this.#said + text).slice(-100_000) })
    const failed = new Promise((_, reject) => child.once('error', reject))
    return Promise.race([this.#answers(), this.ended.then(() => false), failed])
  }

  /** It answers a binding request (RFC 8489). */
  async #answers() {
    const socket = createSocket('udp4')
    const request = Buffer.concat([Buffer.from('000100002112a442', 'hex'), randomBytes(12)])
    try {
      await new Promise((resolve, reject) => {
        socket.on('message', answer => { if (answer.subarray(8, 20).equals(request.subarray(8))) resolve() })
        socket.on('error', () => {}) // nobody listens there yet
        const again = setInterval(() => socket.send(request, this.port, HOST), 50)
        const end = setTimeout(() => reject(new Error(`turnserver does not answer: ${this.report()}`)), BOUND_MS)
        socket.on('close', () => { clearInterval(again); clearTimeout(end) })
        this.ended.then(resolve)
      })
      return this.process.exitCode === null && this.process.signalCode === null
    } finally {
      socket.close()
    }
  }

  /** Whether a client with these credentials gets two relays, and what it sends from one to the other. */
  takes(username, credential) {
    return new Promise((resolve, reject) => {
      const options = ['-y', '-c', '-n', '1', '-m', '1', '-p', `${this.port}`, '-u', username, '-w', credential, HOST]
      execFile('turnutils_uclient', options, { timeout: BOUND_MS }, (error, stdout) => {
        if (error && (error.code === 'ENOENT' || error.killed)) return reject(error)
        resolve(!error && /Total lost packets 0 /.test(stdout))
      })
    })
  }

  /** Sessions in which this user has relayed something so far, by what coturn says of each when it ends or every now and then. */
  relayedFor(phone) { return this.#said.split('\n').filter(line => line.includes(`:${phone}>`) && /usage: .*(rp|sp)=[1-9]/.test(line)).length }

  /** Relays that this user was given. */
  allocationsOf(phone) { return this.#said.split('\n').filter(line => line.includes(`:${phone}>`) && line.includes('ALLOCATE processed, success')).length }

  async stop() {
    if (this.process && this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGTERM')
      const late = setTimeout(() => this.process.kill('SIGKILL'), 10_000)
      await this.ended
      clearTimeout(late)
    }
    await rm(this.folder, { recursive: true, force: true })
  }

  report() { return this.#said.slice(-3_000) }
}

/** A port that is free now, for both transports. */
async function freePort() {
  const tcp = createServer().listen(0, HOST)
  await once(tcp, 'listening')
  const { port } = tcp.address()
  tcp.close()
  await once(tcp, 'close')
  return port
}
