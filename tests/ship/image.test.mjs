// The image, without Docker: its files are put together as the last stage of the Dockerfile says, and its commands are run in them, as its user, with nothing
// around. What its base image has is taken from this machine: the libraries that the binary asks for. And docker-compose.yml, as far as it can be read.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { after, before, test } from 'node:test'
import { attempt, binary, ROOT, run, yaml } from './binary.mjs'
import { child, eventually } from './machine.mjs'

/** What gcr.io/distroless/cc-debian12 has of what a program may be linked to: libc6 and libgcc-s1. */
const LIBRARIES = /^(ld-linux-[\w-]+\.so\.\d|lib(c|m|dl|rt|pthread|resolv)\.so\.\d|libgcc_s\.so\.1)$/
const NONROOT = 65532

/** The instructions of the Dockerfile, stage by stage. */
async function stages() {
  const text = await readFile(join(ROOT, 'Dockerfile'), 'utf8')
  const lines = text.split('\n').filter(line => !line.startsWith('#')).join('\n').replaceAll(/\\\n\s*/g, '').split('\n').filter(Boolean)
  const found = []
  for (const line of lines) {
    const [, word, rest] = /^([A-Z]+) (.+)$/.exec(line)
    if (word === 'FROM') found.push([])
    found.at(-1).push({ word, rest })
  }
  return found
}
const all = (stage, word) => stage.filter(one => one.word === word).map(one => one.rest)
const only = (stage, word) => {
  const [rest, ...more] = all(stage, word)
  assert(rest !== undefined && more.length === 0, `one ${word}`)
  return rest
}
const environment = stage => Object.fromEntries(all(stage, 'ENV').flatMap(rest => rest.split(/\s+/)).map(pair => /^(.+?)=(.*)$/.exec(pair).slice(1)))

let build, image, root, server, gone

before(async () => {
  [build, image] = await stages()
  root = await mkdtemp(join(tmpdir(), 'always-online-image-'))
  await chmod(root, 0o755)
})
after(async () => {
  const first = server && await child(server.pid)
  if (first) {
    process.kill(Number(first), 'SIGKILL')
    await gone
  }
  await rm(root, { recursive: true, force: true })
})

/** The server's own process, below unshare and the shell. */
const own = async () => child(await child(server.pid))
/** A command, in the files of the image. */
const inside = command => ['chroot', `--userspec=${NONROOT}:${NONROOT}`, root, ...command]

test('what the build copies is there, is not kept from it, and is all that the sources read', async () => {
  const allowed = (await readFile(join(ROOT, '.dockerignore'), 'utf8')).split('\n').filter(line => line.startsWith('!')).map(line => line.slice(1))
  const copied = all(build, 'COPY').flatMap(rest => rest.split(' ').slice(0, -1))
  for (const name of copied) {
    assert(await stat(join(ROOT, name)).catch(() => false), name)
    assert(allowed.some(path => name === path || name.startsWith(`${path}/`)), `${name} is kept from the build by .dockerignore`)
  }
  const sources = (await readdir(join(ROOT, 'src'), { recursive: true })).filter(name => name.endsWith('.rs'))
  for (const source of sources) {
    const text = await readFile(join(ROOT, 'src', source), 'utf8')
    for (const [, file] of text.matchAll(/include_(?:str|bytes)!\("([^"]+)"\)/g)) {
      const path = normalize(join('src', dirname(source), file))
      assert(copied.some(name => path.startsWith(`${name}/`)), `${source} reads ${path}, which is not copied`)
    }
  }
})

test('the files of the image are put together', async () => {
  for (const rest of all(image, 'COPY')) {
    const words = rest.split(' ')
    const flags = Object.fromEntries(words.filter(word => word.startsWith('--')).map(word => /^--(\w+)=(.+)$/.exec(word).slice(1)))
    const [from, to] = words.filter(word => !word.startsWith('--'))
    assert.equal(flags.from, 'build')
    const target = join(root, to)
    await mkdir(dirname(target), { recursive: true })
    if (from === '/build/target/ship/always-online') await cp(binary(), target)
    else {
      assert(all(build, 'RUN').some(command => command.includes(`mkdir ${from}`)), `nobody makes ${from}`)
      await mkdir(target)
    }
    if (flags.chmod) await chmod(target, parseInt(flags.chmod, 8))
    if (flags.chown) await chown(target, ...flags.chown.split(':').map(Number))
  }
  // The base image: libraries, and a folder for what is in passing.
  const linked = (await run('ldd', [binary()])).matchAll(/(?:=> )?(\/\S+) \(0x/g)
  for (const [, path] of linked) {
    const name = path.split('/').at(-1)
    assert.match(name, LIBRARIES)
    // The binary names its loader by the path, the loader looks for the others in folders that it knows.
    const place = name.startsWith('ld-') ? path : join('/usr/lib', name)
    await mkdir(join(root, dirname(place)), { recursive: true })
    await cp(path, join(root, place), { dereference: true })
  }
  await mkdir(join(root, 'tmp'))
  await chmod(join(root, 'tmp'), 0o1777)
})

test('it runs as its user, and its health check answers', async () => {
  const env = environment(image)
  const entry = JSON.parse(only(image, 'ENTRYPOINT'))
  const health = JSON.parse(/ CMD (\[.+\])$/.exec(only(image, 'HEALTHCHECK'))[1])
  assert.deepEqual(only(image, 'VOLUME'), env.AO_STORE__PATH)
  // A network of its own: the addresses are those of the image. And processes of their own, of which the shell is the first: when that one ends, so do all. It
  // ends with us, however we end, which the server itself would not, as it changes its user.
  const script = 'ip link set lo up && "$@"; exit $?'
  const apart = ['unshare', '--net', '--pid', '--fork', '--kill-child', 'sh', '-c', script, 'sh']
  server = spawn('setpriv', ['--pdeathsig', 'KILL', ...apart, ...inside(entry)], {
    env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [server.stdout, server.stderr]) stream.setEncoding('utf8').on('data', text => { said += text })
  gone = once(server, 'exit')
  const ask = async command => attempt('nsenter', ['--target', await own(), '--net', '--', ...command], { env: { PATH: process.env.PATH, ...env } })
  await eventually(`the health check answers: ${said}`, async () => {
    assert.equal(server.exitCode, null, said)
    return (await ask(inside(health))).code === 0
  })
  const { uid, mode } = await stat(join(root, env.AO_STORE__PATH))
  assert.deepEqual([uid, mode & 0o777], [NONROOT, 0o700])
  assert((await readdir(join(root, env.AO_STORE__PATH))).includes('always-online.sqlite3'))
  for (const port of all(image, 'EXPOSE').flatMap(rest => rest.split(' '))) {
    const { code, out } = await ask(['curl', '--silent', '--fail', '--max-time', '10', `http://127.0.0.1:${port}/livez`])
    assert.equal(code, 0, `${port}: ${out}`)
  }
  // Of the proxy in docker-compose.yml, which has a shell: it asks whoever serves port 3000, in its case itself.
  const [compose] = await yaml(await readFile(join(ROOT, 'docker-compose.yml'), 'utf8'))
  const [kind, written] = compose.services.proxy.healthcheck.test
  // Compose takes a $ for a variable unless there are two.
  const command = written.replaceAll('$$', '$')
  assert.equal(kind, 'CMD-SHELL')
  assert.equal((await ask(['sh', '-c', command])).code, 0)
  process.kill(Number(await own()), 'SIGTERM')
  assert.deepEqual(await gone, [0, null], said)
  assert.notEqual((await attempt('unshare', ['--net', 'sh', '-c', `ip link set lo up; ${command}`])).code, 0, 'nobody is there, and it is healthy')
})

test('each service of docker-compose.yml says whether it is well, and is waited for', async () => {
  const [compose] = await yaml(await readFile(join(ROOT, 'docker-compose.yml'), 'utf8'))
  for (const [name, service] of Object.entries(compose.services)) {
    // What is built here has the check of the Dockerfile.
    assert(service.healthcheck || service.build === '.', `${name} has no health check`)
    for (const [needed, { condition }] of Object.entries(service.depends_on ?? {})) {
      assert(compose.services[needed], needed)
      assert.equal(condition, 'service_healthy', `${name} waits for ${needed}`)
    }
    for (const volume of service.volumes ?? []) {
      const [from] = volume.split(':')
      if (from.startsWith('./')) assert(await stat(join(ROOT, from)), from)
      else assert(from in compose.volumes, from)
    }
  }
  for (const name of ['one', 'two']) {
    const { environment: settings } = compose.services[name]
    const checked = await attempt(binary(), ['check-config'], { env: { ...environment(image), ...settings } })
    assert.equal(checked.code, 0, checked.err)
  }
})
