// The cluster of scripts/cluster, as its clients see it: one address, plain or by TLS, and one for tokens. To tests it looks like one `Server`.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { call, eventually } from '../http.mjs'

const SCRIPT = fileURLToPath(new URL('../../../scripts/cluster', import.meta.url))
const FOLDER = process.env.AO_CLUSTER_DIR
export const INSTANCES = ['one', 'two']

export class Cluster {
  /** Where clients come in: `http:` and `https:` addresses. */
  plain = undefined
  tls = undefined
  /** Whether they come by TLS now. */
  secure = false
  api = undefined
  open = false
  /** The instances' own addresses. Clients don't know them; tests ask there who is where. */
  instances = {}
  /** How to make an administrator. */
  #advice

  /** The one that runs already, with an administrator made as it says. */
  static async found() {
    if (!FOLDER) throw new Error('AO_CLUSTER_DIR names no cluster: run scripts/test proxy, which starts one')
    const cluster = new Cluster()
    cluster.read((await cluster.script('start')).stdout)
    const made = await run('bash', ['-c', cluster.#advice.replace(/ops$/, 'root')], bare())
    cluster.admin = { uid: 'root', token: made.stdout.trim() }
    return cluster
  }

  /** Takes the addresses from what `scripts/cluster start` prints. */
  read(announced) {
    const one = pattern => pattern.exec(announced)?.[1] ?? fail(`scripts/cluster start did not say ${pattern}: ${announced}`)
    this.plain = one(/^websocket (http:\S+)$/m)
    this.tls = one(/^tls (https:\S+)$/m)
    this.api = one(/^api (http:\S+)$/m)
    for (const name of INSTANCES) this.instances[name] = one(new RegExp(`^behind the proxy:.*\\b${name} (http:[^\\s,]+)`, 'm'))
    this.#advice = one(/^ {2}(AO_STORE__TOKENS=.* admin create ops)$/m)
  }

  // As `Server` has them.
  get url() { return this.secure ? this.tls : this.plain }
  get nodes() { return [this] }
  nodeForClient() { return this }
  nodeForCall() { return this }
  async ask(method, path, { query = {}, ...rest } = {}) {
    return (await call(method, this.plain + path, { query: { ...this.admin, ...query }, ...rest })).body
  }

  /** Made through the proxy's port of the token API. */
  async token(uid) {
    const { body, text } = await call('POST', `${this.api}/user/create_token`, { query: this.admin, json: { uid } })
    if (body?.meta?.status !== 0) throw new Error(`create_token for ${uid} answered ${text}`)
    return body.data.token
  }

  /** Runs scripts/cluster. @returns `{code, stdout, stderr}` */
  script(...args) { return script(args) }

  /** What `scripts/cluster status` says: `{code, runs: {name: pid}, not: [name]}`. */
  async status() {
    const { code, stdout } = await this.script('status')
    const runs = {}
    const not = []
    for (const line of stdout.trim().split('\n')) {
      const [, name, pid] = /^(\w+) runs \(pid (\d+), port \d+\)$/.exec(line) ?? []
      if (name) runs[name] = Number(pid)
      else not.push(/^(\w+) does not run$/.exec(line)?.[1] ?? fail(`a strange line of status: ${line}`))
    }
    return { code, runs, not }
  }

  /** The pid that the cluster noted. */
  async pid(name) { return Number(await readFile(`${FOLDER}/${name}/pid`, 'utf8')) }

  /** How many connections each instance has, as it says itself; none where it does not answer. */
  async connections() {
    const counts = {}
    for (const name of INSTANCES) {
      const { body } = await call('GET', `${this.instances[name]}/admin/monitor/stat`, { query: this.admin }).catch(() => ({}))
      counts[name] = body?.data.nodes.find(node => node.this).connections ?? 0
    }
    return counts
  }

  /** Connects by `connect` and looks where it came out. @returns `[client, the instance's name]` */
  async located(connect) {
    const sum = counts => counts.one + counts.two
    const before = await this.connections()
    const client = await connect()
    const now = await eventually('one connection more', () => this.connections(), counts => sum(counts) === sum(before) + 1)
    return [client, INSTANCES.find(name => now[name] > before[name])]
  }

  /** So many are connected: those who went are no longer counted. */
  counts(all) { return eventually(`${all} are connected`, () => this.connections(), ({ one, two }) => one + two === all) }
}

/** Runs scripts/cluster, with `env` beside what is set. @returns `{code, stdout, stderr}` */
export const script = (args, env = {}) => run(SCRIPT, args, { ...process.env, ...env })

const fail = why => { throw new Error(why) }

/** This process's environment without any AO_…: as in the shell of somebody who copies a command. */
const bare = () => Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('AO_')))

function run(program, args, env) {
  const cwd = fileURLToPath(new URL('../../..', import.meta.url))
  return new Promise((resolve, reject) => {
    execFile(program, args, { env, cwd, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error && typeof error.code !== 'number') reject(error)
      else resolve({ code: error?.code ?? 0, stdout, stderr })
    })
  })
}
