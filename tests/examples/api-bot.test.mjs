// Bob asks examples/api-bot.mjs for the time.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { eventually } from '../clients/http.mjs'
import { startServer } from '../clients/server.mjs'
import { command, Example, filled, folderFor, frailServer, scene } from './stage.mjs'

const LINE = command('api-bot.mjs', 'node examples/api-bot.mjs')
const TIME = /^@(\S+) it is \d\d:\d\d:\d\d UTC$/

let server
before(async () => { server = await startServer() })
after(() => server.stop())

/** A scene with the bot in it. `start()` starts it once more. */
async function meet(t, at = server, admin = at.admin) {
  const folder = folderFor(t, 'api-bot.mjs')
  const stage = await scene(t, at, { line: 'TOKEN=… http://127.0.0.1:3000 plans nobody', uid: 'nobody', folder })
  const line = filled(LINE.replace('examples/', ''), {
    'ADMIN_UID=admin': `ADMIN_UID=${admin.uid}`, 'ADMIN_TOKEN=…': `ADMIN_TOKEN=${admin.token}`, 'http://127.0.0.1:4000': at.api, plans: `'${stage.room}'`,
  })
  const file = join(folder, `${encodeURIComponent(stage.room)}.api-bot.json`)
  const heard = () => stage.bob.log.flatMap(([event, message]) => event === 'msg' ? [message] : [])
  return {
    ...stage,
    start: () => new Example(t, line, { cwd: folder }),
    position: () => existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).since : undefined,
    /** Bob has got so many answers, and nothing else. */
    async answers(count) {
      await stage.bob.until(`${count} answers`, () => heard().length >= count)
      assert.equal(heard().length, count, JSON.stringify(heard()))
      for (const message of heard()) assert.deepEqual([TIME.exec(message.text)?.[1], message[2]], [stage.bob.uid, 'clock'])
    },
  }
}

test('it answers what is asked, and nothing that was asked before it was there', async t => {
  const { start, write, answers } = await meet(t)
  await write('!time', 'hello')
  const bot = start()
  await bot.complains('online')
  await write('!time', 'what is !time', '!time')
  await answers(2)
  assert.equal(await bot.terminate(), 0)
  assert.equal(bot.stderr, 'online\n')
  bot.printedNothingElse()
})

test('it is killed again and again, and answers each question once', async t => {
  const { start, write, answers, bob, position } = await meet(t)
  const first = start()
  await first.complains('online')
  await first.terminate()
  const asking = write(...Array(40).fill('!time'))
  for (const count of [5, 14, 27]) {
    const bot = start()
    await bob.until(`${count} answers`, () => bob.log.filter(([event]) => event === 'msg').length >= count)
    await bot.kill()
  }
  await asking
  const last = start()
  await eventually('the position', position, n => n >= 80)
  await answers(40)
  await last.terminate()
})

test('the server restarts, and the room is cleared', async t => {
  const { start, room, bob, returns, write, answers } = await meet(t)
  const bot = start()
  await bot.complains('online')
  await write('!time')
  await answers(1)
  await server.restart()
  await returns(bob)
  await write('!time')
  await answers(2)
  assert.equal((await server.ask('POST', '/admin/system/clear_room_msgs', { json: { roomId: room } })).meta.status, 0)
  await write('!time')
  await answers(3)
})

test('who may not is told so', async t => {
  const { start } = await meet(t, server, { uid: 'admin', token: 'wrong' })
  const bot = start()
  assert.equal(await bot.ended(), 1)
  assert.match(bot.stderr, /^refused: An administrator's credentials are required: /)
})

test('a store that does not answer is waited for', async t => {
  const { server, store } = await frailServer(t)
  const { start, write, answers } = await meet(t, server)
  const bot = start()
  await bot.complains('online')
  store.cut()
  await bot.complains('trying again')
  await write('!time')
  store.mend()
  await answers(1)
  assert.equal(await bot.terminate(), 0)
})

test('usage', async t => {
  const bot = new Example(t, LINE.replace(/api-bot\.mjs .*/, 'api-bot.mjs'))
  assert.equal(await bot.ended(), 2)
  assert.match(bot.stderr, /^usage: /)
})
