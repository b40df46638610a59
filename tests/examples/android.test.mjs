// Bob and examples/AndroidClient.java in a room.
import assert from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { command, Example, folderFor, frailServer, ROOT, scene } from './stage.mjs'
import { startServer } from '../clients/server.mjs'

const LINE = command('AndroidClient.java', 'java -cp')
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => `${from + i}`)

let server, folder
/** What is made once for all tests. */
const suite = { ends: [], after(end) { this.ends.push(end) } }
before(async () => {
  server = await startServer()
  folder = folderFor(suite, 'AndroidClient.java')
  const libraries = new Example(suite, command('AndroidClient.java', 'mvn '), { cwd: folder, patience: 300_000 })
  assert.equal(await libraries.ended(), 0, libraries.stderr)
})
after(async () => {
  await server.stop()
  for (const end of suite.ends) await end()
})

const meet = (t, at = server) => scene(t, at, { line: LINE, uid: 'alice', folder })

test('history, by pages, then what is said now, both ways', async t => {
  const { start, bob, write, said, hears, uid } = await meet(t)
  await write(...numbers(0, 450))
  bob.tell('msg', { storage: 1, msgId: 'topic', text: 'gardens' })
  const alice = start()
  await alice.prints(...said(...numbers(0, 450)))
  alice.type('hello, bob é日🎉')
  await alice.prints(`${uid}: hello, bob é日🎉`)
  await hears('hello, bob é日🎉')
  bob.tell('msg', { storage: 2, text: 'a cursor' })
  bob.tell('msg', { text: 'no id' })
  await write('hello, alice é日🎉')
  await alice.prints(...said('no id', 'hello, alice é日🎉'))
})

test('the network fails, and the server restarts', async t => {
  const { start, bob, cable, write, returns, said, hears, uid } = await meet(t)
  bob.tell('msg', { storage: 1, msgId: 'topic', text: 'gardens' }) // it counts in the `offset` of pages, not in the position
  await write('first')
  const alice = start()
  await alice.prints(...said('first'))
  await alice.complains('online')
  cable.cut()
  await alice.complains('connection lost, coming back')
  await write(...numbers(0, 250))
  alice.type('typed without a network')
  await alice.prints(`${uid}: typed without a network`)
  cable.mend()
  await alice.prints(...said(...numbers(0, 250)))
  await hears('typed without a network')

  await server.restart()
  await returns(bob)
  await alice.complains('online', 3)
  await write('after')
  alice.type('mine')
  await hears('typed without a network', 'mine')
  await alice.printsInAnyOrder(`${uid}: mine`, ...said('after'))
})

test('the user leaves the app and comes back', async t => {
  const { start, bob, write, said, hears, uid } = await meet(t)
  const alice = start()
  await alice.complains('online')
  await write('seen')
  await alice.prints(...said('seen'))
  alice.type('/stop')
  await bob.upTo('remote_disconnect', who => who.uid === uid)
  await write('missed')
  alice.type('written in a train')
  alice.type('/start')
  await alice.prints(`${uid}: written in a train`, ...said('missed'))
  await hears('written in a train')
  await write('now')
  await alice.prints(...said('now'))
  alice.printedNothingElse()
})

test('the room is cleared', async t => {
  const { start, room, cable, write, said, hears, uid } = await meet(t)
  const alice = start()
  await alice.complains('online')
  await write('old', 'older')
  await alice.prints(...said('old', 'older'))
  cable.cut()
  await alice.complains('connection lost')
  assert.equal((await server.ask('POST', '/admin/system/clear_room_msgs', { json: { roomId: room } })).meta.status, 0)
  await write('new')
  cable.mend()
  await alice.prints(...said('new'))
  alice.type('mine')
  await hears('mine')
  await alice.prints(`${uid}: mine`)
})

test('the room is cleared while she is there', async t => {
  const { start, room, cable, write, said } = await meet(t)
  const alice = start()
  await alice.complains('online')
  await write('old', 'older')
  await alice.prints(...said('old', 'older'))
  assert.equal((await server.ask('POST', '/admin/system/clear_room_msgs', { json: { roomId: room } })).meta.status, 0)
  await write('new')
  await alice.prints(...said('new'))
  cable.cut()
  await alice.complains('connection lost')
  cable.mend()
  await alice.complains('online', 2)
  await write('newer')
  await alice.prints(...said('newer'))
})

test('an app that stays after its client has ended', async t => {
  const { party, cable, room, uid, token } = await meet(t)
  copyFileSync(join(ROOT, 'tests/examples/App.java'), join(folder, 'App.java'))
  const classes = new Example(t, "javac -cp 'lib/*' -d classes AndroidClient.java App.java", { cwd: folder })
  assert.equal(await classes.ended(), 0, classes.stderr)
  const app = new Example(t, `java -cp 'lib/*:classes' App ${cable.url} '${room}' ${uid}`, { cwd: folder, env: { TOKEN: token } })
  app.type('start')
  await app.prints('online')
  const elsewhere = await party.user('alice elsewhere', { uid, token })
  await app.prints('ended: signed in elsewhere')
  // To the background and to the front again. Carol is a client of the same kind that starts after that.
  for (const line of ['stop', 'start']) app.type(line)
  const carol = (await meet(t)).start()
  await carol.complains('online')
  await party.barrier(elsewhere)
  app.type('close')
  await app.prints('closed')
  assert.equal(await app.ended(), 0)
  app.printedNothingElse()
  await party.barrier(elsewhere)
  assert.deepEqual(elsewhere.log.filter(([event]) => event === 'kickout'), [])
})

test('a store that does not answer is waited for', async t => {
  const { server, store } = await frailServer(t)
  const { start, write, said } = await meet(t, server)
  store.cut()
  const alice = start()
  await alice.complains('server error, trying again')
  store.mend()
  await write('there it is')
  await alice.prints(...said('there it is'))
})

test('who is not wanted stays away and says why', async t => {
  const { start, party, uid, token } = await meet(t)
  const stranger = start({ token: 'wrong' })
  assert.equal(await stranger.ended(), 1)
  assert.match(stranger.stderr, /^ended: auth failed, uid or token is wrong$/m)

  const alice = start()
  await alice.complains('online')
  await party.user('alice elsewhere', { uid, token })
  assert.equal(await alice.ended(), 1)
  assert.match(alice.stderr, /^ended: signed in elsewhere$/m)

  const nobody = new Example(t, LINE.replace(/AndroidClient\.java .*/, 'AndroidClient.java'), { cwd: folder })
  assert.equal(await nobody.ended(), 2)
  assert.match(nobody.stderr, /^usage: /m)
})

test('a server that is not there is waited for', async t => {
  const { start, cable, write, said } = await meet(t)
  cable.cut()
  const alice = start()
  await alice.complains('no connection, trying again')
  cable.mend()
  await write('there it is')
  await alice.prints(...said('there it is'))
})
