// The Debian package (AO_DEB, which scripts/part makes) on a machine where systemd runs: installed, used, updated, removed. What a test leaves is what the next
// one begins with.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { eventually, Machine } from './machine.mjs'

const SETTINGS = '/etc/always-online.toml'
const DATA = '/var/lib/always-online'
const UNIT = 'always-online.service'

let machine

before(async () => {
  if (!process.env.AO_DEB) throw new Error('AO_DEB names no package: run scripts/test ship')
  machine = await Machine.boot()
  await put('/root/always-online.deb', await readFile(process.env.AO_DEB))
})
after(() => machine?.end())

/** Writes a file of the machine, and leaves its owner and mode as they are. */
async function put(path, content) {
  await machine.run('sh', '-c', `printf %s "$1" | base64 -d >"$2"`, 'put', '', path)
  const text = Buffer.from(content).toString('base64')
  // A command line has its bounds.
  for (let at = 0; at < text.length; at += 65_536) {
    await machine.run('sh', '-c', `printf %s "$1" | base64 -d >>"$2"`, 'put', text.slice(at, at + 65_536), path)
  }
}

const show = async property => machine.run('systemctl', 'show', '--value', '--property', property, UNIT)
const state = async path => (await machine.try('stat', '--format', '%U:%G %a', path)).out
const healthy = async () => (await machine.try('always-online', 'health', 'http://127.0.0.1:3000')).code === 0
const journal = async () => machine.run('journalctl', '--no-pager', '--output', 'cat', '--unit', UNIT)
/** A command as the package's user, with its settings. */
const asUser = (...words) => machine.try('runuser', '-u', 'always-online', '--', 'always-online', '--config', SETTINGS, ...words)

test('it is installed, and the service runs', async () => {
  await machine.run('dpkg', '--install', '/root/always-online.deb')
  await eventually('the server is ready', healthy)
  assert.equal(await show('ActiveState'), 'active')
  assert.equal(await show('UnitFileState'), 'enabled')
  assert.match(await machine.run('always-online', '--version'), /^always-online \d+\.\d+\.\d+$/)
})

test('its user is one that nobody signs in as', async () => {
  const [name, , uid, , , home, shell] = (await machine.run('getent', 'passwd', 'always-online')).split(':')
  assert.deepEqual([name, home, shell], ['always-online', DATA, '/usr/sbin/nologin'])
  assert(Number(uid) < 1000, uid)
  const owner = await machine.run('stat', '--format', '%U', `/proc/${await show('MainPID')}`)
  assert.equal(owner, 'always-online')
})

test('settings and data are for nobody else', async () => {
  assert.equal(await state(SETTINGS), 'root:always-online 640')
  assert.equal(await state(DATA), 'always-online:always-online 700')
  assert.equal(await state(`${DATA}/admin-credential`), 'always-online:always-online 600')
  assert.notEqual((await machine.try('runuser', '-u', 'nobody', '--', 'cat', SETTINGS)).code, 0)
  const token = (await machine.run('cat', `${DATA}/admin-credential`)).split('token: ')[1]
  assert(token.length > 0 && !(await journal()).includes(token), 'the journal has the token of the administrator')
})

test('systemd finds nothing wrong with the unit, and little that it may do', async () => {
  const verified = await machine.try('systemd-analyze', 'verify', `/lib/systemd/system/${UNIT}`)
  assert.equal(verified.code, 0, verified.err)
  assert(!verified.err.includes('always-online'), verified.err)
  const { out } = await machine.try('systemd-analyze', 'security', '--no-pager', UNIT)
  const [, exposure] = /exposure level for \S+: ([\d.]+)/.exec(out)
  assert(Number(exposure) < 2, out)
  assert.equal(await show('LimitNOFILE'), '1048576')
})

test('a server that is asked to end has the time that it takes', async () => {
  const { out } = await asUser('print-config')
  const [, deadline] = /\[shutdown\][^[]*?^deadline = "(\d+)s"/ms.exec(out)
  const [, patience] = /^(\d+)s$/.exec(await show('TimeoutStopUSec'))
  assert(Number(patience) > Number(deadline) + 1, `${patience} s for ${deadline} s`)
})

test('commands work as its user, with its settings', async () => {
  const checked = await asUser('check-config')
  assert.equal(checked.code, 0, checked.err)
  const made = await asUser('admin', 'create', 'ops')
  assert.equal(made.code, 0, made.err)
  assert.match((await asUser('admin', 'list')).out, /^ops$/m)
})

test('a reload takes a changed setting in, and the process goes on', async () => {
  const before = await show('MainPID')
  await machine.run('sed', '--in-place', 's/^# filter = "info"/filter = "debug"/', SETTINGS)
  await machine.run('systemctl', 'reload', UNIT)
  await eventually('the reload is in the log', async () => /the configuration was read again.*log\.filter/.test(await journal()))
  assert.equal(await show('MainPID'), before)
  assert(await healthy())
})

test('it comes back when it was killed', async () => {
  await machine.run('systemctl', 'kill', '--signal', 'SIGKILL', UNIT)
  await eventually('it was started again', async () => await show('NRestarts') === '1' && await healthy())
})

test('it is not started again and again with a wrong setting', async () => {
  const right = await machine.run('cat', SETTINGS)
  await put(SETTINGS, `nonsense = 1\n${right}\n`)
  await machine.try('systemctl', 'restart', UNIT)
  await eventually('the service has failed', async () => await show('ActiveState') === 'failed')
  assert.equal(await show('ExecMainStatus'), '2')
  assert.match(await journal(), /nonsense/)
  await put(SETTINGS, `${right}\n`)
  await machine.run('systemctl', 'restart', UNIT)
  await eventually('the server is ready', healthy)
})

test('it is started again for as long as its store is away, and is up when that is back', async () => {
  const right = await machine.run('cat', SETTINGS)
  await put(SETTINGS, right.replace('[store]\n', '[store]\nmessages = "redis://127.0.0.1:6379"\n'))
  await machine.try('systemctl', 'restart', UNIT)
  const before = Number(await show('NRestarts'))
  // More than systemd allows by itself, which is five times in ten seconds.
  await eventually('it was started again and again', async () => Number(await show('NRestarts')) >= before + 6)
  await eventually('it ended as its store was away', async () => await show('ExecMainStatus') === '4')
  assert.equal(await show('StartLimitIntervalUSec'), '0')
  await put(SETTINGS, `${right}\n`)
  await eventually('the server is ready', healthy)
})

test('an update restarts it, and leaves the settings and their mode as they are', async () => {
  const [before, settings] = [await show('MainPID'), await machine.run('cat', SETTINGS)]
  await machine.run('chmod', '600', SETTINGS)
  await machine.run('chown', 'always-online', SETTINGS)
  await machine.run('dpkg', '--install', '/root/always-online.deb')
  await eventually('the server is ready', healthy)
  assert.notEqual(await show('MainPID'), before)
  assert.equal(await machine.run('cat', SETTINGS), settings)
  assert.equal(await state(SETTINGS), 'always-online:always-online 600')
})

test('settings that were restored can be read by the service', async () => {
  const settings = await machine.run('cat', SETTINGS)
  await machine.run('rm', SETTINGS)
  await machine.run('dpkg', '--force-confmiss', '--install', '/root/always-online.deb')
  assert.equal(await state(SETTINGS), 'root:always-online 640')
  await eventually('the server is ready', healthy)
  await put(SETTINGS, `${settings}\n`)
  await machine.run('systemctl', 'restart', UNIT)
  await eventually('the server is ready', healthy)
})

test('it stops in order', async () => {
  await machine.run('systemctl', 'stop', UNIT)
  assert.equal(await show('Result'), 'success')
  assert.match(await journal(), /asked to end.*SIGTERM/)
  await machine.run('systemctl', 'start', UNIT)
  await eventually('the server is ready', healthy)
})

test('it is removed, and the settings stay', async () => {
  await machine.run('dpkg', '--remove', 'always-online')
  assert.equal((await machine.try('pgrep', '-u', 'always-online')).out, '')
  assert.equal(await state('/usr/bin/always-online'), '')
  assert.equal(await state(`/lib/systemd/system/${UNIT}`), '')
  assert.match(await machine.run('cat', SETTINGS), /^filter = "debug"/m)
})

test('it is purged, and messages and accounts stay', async () => {
  const said = await machine.run('dpkg', '--purge', 'always-online')
  assert.match(said, /messages and accounts stay in \/var\/lib\/always-online/)
  assert.equal(await state(SETTINGS), '')
  assert.equal(await state(`${DATA}/always-online.sqlite3`), 'always-online:always-online 600')
  assert.equal((await machine.try('find', '/etc', '-name', '*always-online*')).out, '')
})
