// A machine that is thrown away: this one's files, with systemd as its first process and a network of its own (tests/ship/boot). What is installed there,
// and what is changed, is gone with it; this machine is left as it was. It needs root.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const BOOT = fileURLToPath(new URL('boot', import.meta.url))
const BOOT_MS = 60_000
const COMMAND_MS = 60_000

export class Machine {
  static async boot() {
    const machine = new Machine()
    machine.folder = await mkdtemp(join(tmpdir(), 'always-online-machine-'))
    machine.said = ''
    machine.cgroup = join(await ownCgroup(), basename(machine.folder))
    const namespaces = ['--mount', '--pid', '--net', '--cgroup', '--uts', '--ipc', '--fork', '--kill-child']
    // A cgroup of its own, of which its first process sees nothing above; and an end with ours, however we end.
    const enter = 'mkdir "$0" && echo $$ >"$0/cgroup.procs" && exec "$@"'
    const command = ['sh', '-c', enter, machine.cgroup, 'unshare', ...namespaces, BOOT, machine.folder]
    machine.process = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [machine.process.stdout, machine.process.stderr]) {
      stream.setEncoding('utf8').on('data', text => { machine.said += text })
    }
    machine.gone = once(machine.process, 'exit')
    machine.process.on('exit', () => { machine.ended = true })
    // Whoever is told to end takes away what is left of it, too. They may be told several times.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => machine.end().finally(() => process.exit(1)))
    try {
      await eventually('the machine is up', async () => {
        if (machine.ended) throw new Gone(`the machine did not boot, which needs root, namespaces, cgroups and overlayfs:\n${machine.said}`)
        return (await machine.try('systemctl', 'is-active', 'basic.target')).code === 0
      }, BOOT_MS)
    } catch (why) {
      await machine.end()
      throw why
    }
    return machine
  }

  /** Runs a command there. @returns {Promise<{code: number, out: string, err: string}>} */
  async try(...command) {
    const pid = await this.#first()
    if (!pid) return { code: -1, out: '', err: 'there is no first process yet' }
    const inside = ['--target', pid, '--mount', '--pid', '--net', '--cgroup', '--uts', '--ipc', '--root', '--wd']
    const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' }
    return new Promise(answer => {
      execFile('nsenter', [...inside, '--', ...command], { env, timeout: COMMAND_MS }, (error, out, err) => {
        answer({ code: error ? error.code ?? -1 : 0, out: out.trim(), err: err.trim() })
      })
    })
  }

  /** Runs a command there that must go well. @returns its standard output */
  async run(...command) {
    const { code, out, err } = await this.try(...command)
    if (code !== 0) throw new Error(`${command.join(' ')}: exit code ${code}\n${out}\n${err}`)
    return out
  }

  end() {
    this.ending ??= this.#end()
    return this.ending
  }

  async #end() {
    this.process.kill('SIGKILL')
    if (!this.ended) await this.gone
    await rm(this.folder, { recursive: true, force: true })
    // Its processes end a little later than the one that has started them.
    await eventually(`${this.cgroup} is removed`, async () => {
      await removeCgroup(this.cgroup)
      return true
    })
  }

  /** The first process of the machine, by its number here: the one child of unshare. */
  #first() {
    return child(this.process.pid)
  }
}

/** The one child of a process; empty if it has none. */
export async function child(pid) {
  return (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')).trim()
}

/** Where the cgroup is that we are in, in the one hierarchy of version 2. */
async function ownCgroup() {
  const mounted = (await readFile('/proc/self/mounts', 'utf8')).split('\n').find(line => line.split(' ')[2] === 'cgroup2')
  if (!mounted) throw new Error('cgroups of version 2 are not mounted here')
  const [, path] = /^0::(.+)$/m.exec(await readFile('/proc/self/cgroup', 'utf8'))
  return join(mounted.split(' ')[1], path)
}

/** Removes a cgroup and those below it, from the leaves up; one that was never made is none. */
async function removeCgroup(path) {
  const entries = await readdir(path, { withFileTypes: true }).catch(why => {
    if (why.code === 'ENOENT') return undefined
    throw why
  })
  if (!entries) return
  for (const entry of entries) if (entry.isDirectory()) await removeCgroup(join(path, entry.name))
  await rmdir(path)
}

class Gone extends Error {}

/** Asks again until the answer is a good one, which is returned. */
export async function eventually(what, ask, within = 30_000) {
  let last
  for (const end = Date.now() + within; Date.now() < end;) {
    try {
      const answer = await ask()
      if (answer) return answer
    } catch (why) {
      if (why instanceof Gone) throw why
      last = why
    }
    await new Promise(again => setTimeout(again, 50))
  }
  throw new Error(`not in time: ${what}`, { cause: last })
}
