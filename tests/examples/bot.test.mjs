// Bob asks examples/bot.py for the time.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { eventually } from '../clients/http.mjs'
import { startServer } from '../clients/server.mjs'
import { command, Example, folderFor, frailServer, ROOT, scene } from './stage.mjs'

const LINE = command('bot.py', 'python bot.py')
const PYTHON = join(ROOT, '.tools/python-socketio-5')
const TIME = /^@(\S+) it is \d\d:\d\d:\d\d UTC$/

let server
before(async () => { server = await startServer() })
after(() => server.stop())

/** A scene with the bot in place of alice. `answers(n)`: bob has got n answers, and nothing else came after the last he looked at. */
async function meet(t, at = server) {
  const folder = folderFor(t, 'bot.py', { venv: PYTHON })
  const stage = await scene(t, at, { line: LINE, uid: 'timekeeper', folder })
  const { bob, room, uid } = stage
  const file = join(folder, `${encodeURIComponent(room)}.${uid}.position`)
  const heard = () => bob.log.flatMap(([event, message]) => event === 'msg' ? [message.text] : [])
  return {
    ...stage,
    position: () => existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined,
    async answers(count) {
      await bob.until(`${count} answers`, () => heard().length >= count)
      assert.equal(heard().length, count, `${count} answers: ${heard()}`)
      for (const text of heard()) assert.equal(TIME.exec(text)?.[1], bob.uid)
    },
    /** What the log has of the bot. */
    async stored() {
      const all = []
      for (let page = { offset: 0, next: 1 }; page.next;) {
        page = (await server.ask('GET', '/admin/monitor/room_msgs', { query: { roomId: room, offset: page.offset } })).data
        all.push(...page.msgs.map(({ data }) => data))
      }
      return all.filter(message => message[2] === uid)
    },
  }
}

test('it is the version of the header', () => {
  const installed = execFileSync(join(PYTHON, 'bin/pip'), ['freeze', '--disable-pip-version-check'], { encoding: 'utf8' })
  const [, version] = /^python-socketio==(\S+)$/m.exec(installed)
  assert.equal(command('bot.py', 'pip install'), `python3 -m venv venv && venv/bin/pip install 'python-socketio[asyncio-client]==${version}'`)
})

test('it answers, says what it is told, and ends in peace', async t => {
  const { start, bob, uid, write, answers, hears, stored } = await meet(t)
  await write('!time', '!time')
  const bot = start()
  await bot.complains('online')
  await write('hello', '!time', 'what is !time')
  await answers(1)
  bot.type('I shall be gone soon é日🎉')
  bot.process.stdin.write(Buffer.from('caf\xe9\n', 'latin1'))
  bot.type('good-bye')
  const answer = (await stored())[0].text
  await hears(answer, 'I shall be gone soon é日🎉', 'caf\ufffd', 'good-bye')
  assert.equal(await bot.terminate(), 0)
  await bob.upTo('remote_disconnect', who => who.uid === uid)
  assert.equal(bot.stderr, 'online\n')
  bot.printedNothingElse()
})

test('it answers what was asked while it was away, and nothing twice', async t => {
  const { start, bob, cable, write, answers, stored, position } = await meet(t)
  const one = start()
  await one.complains('online')
  await write('!time')
  await answers(1)
  // A position behind the answer is not known to the next one: it finds the answer in the log.
  await one.kill()

  await write('!time', ...Array.from({ length: 230 }, (_, i) => `talk ${i}`), '!time')
  const two = start()
  await answers(3)
  cable.cut()
  await two.complains('trying again')
  await write('!time')
  two.type('said without a network')
  cable.mend()
  await bob.upTo('msg', message => message.text === 'said without a network')
  bob.log = bob.log.filter(([, message]) => message?.text !== 'said without a network')
  await answers(4)

  bob.tell('msg', { text: '!time' }) // without an id
  await answers(5)
  await eventually('the position', position, n => n >= 234 + 4)
  await two.terminate()
  for (let i = 0; i < 3; i++) {
    const again = start()
    await again.complains('online')
    await again.kill()
  }
  const last = start()
  await write('!time')
  await answers(6)
  assert.equal((await stored()).length, 7)
  await last.terminate()
})

test('it is killed at any moment', async t => {
  const { start, write, bob, answers, stored } = await meet(t)
  const first = start()
  await first.complains('online')
  await first.terminate()
  const asking = write(...Array(60).fill('!time'))
  for (const count of [5, 17, 31, 44]) {
    const bot = start()
    await bob.until(`${count} answers`, () => bob.log.filter(([event]) => event === 'msg').length >= count)
    await bot.kill()
  }
  await asking
  const last = start()
  await eventually('an answer to each', stored, list => new Set(list.map(message => message.msgId)).size === 60, 60_000)
  await last.terminate()
  // Each once, or twice with the same id: then receivers leave the second out.
  const ids = (await stored()).map(message => message.msgId)
  assert.equal(new Set(ids).size, 60)
  assert(ids.length <= 64, `${ids.length} answers were stored`)
  await answers(ids.length)
})

test('the server restarts, the room is cleared', async t => {
  const { start, bob, room, returns, write, answers } = await meet(t)
  const bot = start()
  await bot.complains('online')
  await write('!time', 'talk')
  await answers(1)
  await server.restart()
  await returns(bob)
  await bot.complains('online', 2)
  await write('!time')
  await answers(2)
  assert.equal((await server.ask('POST', '/admin/system/clear_room_msgs', { json: { roomId: room } })).meta.status, 0)
  await write('!time')
  await answers(3)
})

test('who is not wanted stays away and says why', async t => {
  const { start, party, cable, uid, token } = await meet(t)
  const stranger = start({ token: 'wrong' })
  assert.equal(await stranger.ended(), 1)
  assert.equal(stranger.stderr, 'refused: auth failed, uid or token is wrong\n')

  const bot = start()
  await bot.complains('online')
  await party.user('another bot', { uid, token })
  assert.equal(await bot.ended(), 1)
  assert.equal(bot.stderr, 'online\nrefused: signed in elsewhere\n')

  cable.cut()
  const lonely = start()
  await lonely.complains('trying again', 2)
  assert.equal(await lonely.terminate(), 0)
})

test('a store that does not answer is waited for', async t => {
  const { server, store } = await frailServer(t)
  const { start, write, answers } = await meet(t, server)
  const first = start()
  await first.complains('online')
  await first.terminate()
  store.cut()
  const bot = start()
  await bot.complains('(server error), trying again')
  await write('!time')
  store.mend()
  await answers(1)
  assert.equal(await bot.terminate(), 0)
})

test('usage', async t => {
  const folder = folderFor(t, 'bot.py', { venv: PYTHON })
  const bot = new Example(t, LINE.replace(/bot\.py .*/, 'bot.py'), { cwd: folder })
  assert.equal(await bot.ended(), 2)
  assert.match(bot.stderr, /^usage: /)
})
