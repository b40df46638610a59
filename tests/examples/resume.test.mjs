// Bob writes into a room while alice, who is examples/resume.mjs, is cut off, restarted and killed.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { eventually } from '../clients/http.mjs'
import { startServer } from '../clients/server.mjs'
import { command, folderFor, frailServer, modules, scene } from './stage.mjs'

const LINE = command('resume.mjs', 'node resume.mjs')
const CLIENT = 'socket.io-client-4'
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => `${from + i}`)

let server
before(async () => { server = await startServer() })
after(() => server.stop())

/** `play` gets a scene whose example is alice; `journal()` are the entries of her journal, `inserts()` the texts of the messages in it. */
async function told(t, play, at = server) {
  const folder = folderFor(t, 'resume.mjs', { node_modules: modules(t, { 'socket.io-client': CLIENT }) })
  const stage = await scene(t, at, { line: LINE, uid: 'alice', folder })
  const file = join(folder, `${encodeURIComponent(stage.room)}.${encodeURIComponent(stage.uid)}.journal`)
  const journal = () => existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1).map(line => JSON.parse(line)) : []
  await play({ ...stage, file, journal, inserts: () => journal().flatMap(({ message }) => message ? [message.text] : []) })
}

test('it is the version of the header', t => {
  const { version } = JSON.parse(readFileSync(join(modules(t, { it: CLIENT }), 'it/package.json')))
  assert.equal(command('resume.mjs', 'npm install'), `npm install socket.io-client@${version}`)
})

test('history, by pages, then what is said now, both ways', t => told(t, async ({ start, bob, write, said, hears, uid }) => {
  await write(...numbers(0, 450))
  bob.tell('msg', { storage: 1, msgId: 'topic', text: 'gardens' })
  const alice = start()
  alice.type('typed before it is connected')
  await alice.prints(...said(...numbers(0, 450)), 'topic is now gardens', `${uid}: typed before it is connected`)
  alice.type('hello, bob 🎉')
  await alice.prints(`${uid}: hello, bob 🎉`)
  await hears('typed before it is connected', 'hello, bob 🎉')
  await write('hello, alice')
  bob.tell('msg', { storage: 2, text: 'a cursor' })
  bob.tell('msg', { s: 1, 1: 'topic', text: 'trees' })
  await write('bye')
  await alice.prints(...said('hello, alice'), 'topic is now trees', ...said('bye'))
  alice.printedNothingElse()
  assert.equal(await alice.terminate(), 0)
}))

test('the network fails', t => told(t, async ({ start, bob, cable, write, said, hears, uid }) => {
  bob.tell('msg', { storage: 1, msgId: 'topic', text: 'gardens' }) // it counts in the `offset` of pages, not in the position
  await write('first')
  const alice = start()
  await alice.complains('online')
  await write('before')
  await alice.prints(...said('first'), 'topic is now gardens', ...said('before'))
  cable.cut()
  await alice.complains('connection lost (transport close), coming back')
  await write(...numbers(0, 250))
  alice.type('typed without a network')
  alice.type('and more')
  cable.mend()
  await alice.prints(...said(...numbers(0, 250)), 'topic is now gardens', `${uid}: typed without a network`, `${uid}: and more`)
  await hears('typed without a network', 'and more')
  await write('after')
  await alice.prints(...said('after'))
}))

test('the server restarts', t => told(t, async ({ start, bob, returns, write, said, uid }) => {
  const alice = start()
  await alice.complains('online')
  await write('before')
  await alice.prints(...said('before'))
  alice.type('mine')
  await alice.prints(`${uid}: mine`)
  await server.restart()
  await returns(bob)
  await alice.complains('online', 2)
  await write('after')
  await alice.prints(...said('after'))
}))

test('it is killed and started again, and goes on where it was', t => told(t, async ({ start, cable, write, said, hears, uid }) => {
  const one = start()
  await one.complains('online')
  await write('seen')
  await one.prints(...said('seen'))
  one.type('sent')
  await one.prints(`${uid}: sent`)
  cable.cut()
  await one.complains('connection lost')
  one.type('typed without a network')
  await one.complains('no connection')
  await one.kill()
  await write(...numbers(0, 230))

  cable.mend()
  const two = start()
  await two.prints(...said(...numbers(0, 230)), `${uid}: typed without a network`)
  await hears('sent', 'typed without a network')
  await two.terminate()

  const three = start()
  await three.complains('online')
  await write('new')
  await three.prints(...said('new'))
}))

test('an acknowledgement is lost, and the process with it', t => told(t, async ({ start, write, said, hears, journal, uid }) => {
  const one = start()
  await one.complains('online')
  server.pause()
  try {
    one.type('on its way')
    one.type('this one too')
    // It goes out before the next line is read.
    await eventually('both are in the journal', journal, entries => entries.filter(entry => entry.sending).length === 2)
    await one.kill()
  } finally {
    server.resume()
  }
  const two = start()
  await two.prints(`${uid}: on its way`, `${uid}: this one too`)
  await write('the end')
  await two.prints(...said('the end'))
  await hears('on its way', 'this one too')
}))

test('killed at any moment, it neither misses nor repeats', t => told(t, async ({ start, write, inserts, file }) => {
  const all = numbers(0, 400)
  const printed = []
  const writing = write(...all)
  for (let life = 0; life < 8; life++) {
    const alice = start()
    const enough = inserts().length + randomInt(1, 30)
    await eventually('some of it', inserts, list => list.length >= Math.min(enough, all.length))
    await alice.kill()
    printed.push(...alice.printed)
    if (life === 4) appendFileSync(file, '{"message":{"text":"half a l') // a write that a crash cut short
  }
  await writing
  const last = start()
  await eventually('all of it', inserts, list => list.length >= all.length)
  await last.terminate()
  printed.push(...last.printed)
  assert.deepEqual(inserts(), all)
  assert.equal(new Set(printed).size, printed.length, 'nothing was printed twice')
}))

test('messages without an id, and some that were stored twice', t => told(t, async ({ start, bob, cable, write, said }) => {
  const one = start()
  await one.complains('online')
  bob.tell('msg', { s: 0, text: 'no id' })
  await write('between')
  bob.tell('msg', { s: 0, text: 'no id' })
  await one.prints(...said('no id', 'between', 'no id'))
  const again = { s: 0, 1: 7, text: 'sent again' }
  await bob.ask('msg', again)
  await bob.ask('msg', { ...again, 1: '7' })
  await one.prints(...said('sent again'))
  cable.cut()
  await one.complains('connection lost')
  bob.tell('msg', { s: 0, text: 'no id' })
  await bob.ask('msg', again)
  cable.mend()
  await write('after')
  await one.prints(...said('no id', 'after'))
  await one.kill()
  const two = start()
  await two.complains('online')
  await write('the end')
  await two.prints(...said('the end'))
}))

test('the room is cleared', t => told(t, async ({ start, room, write, said, inserts }) => {
  const one = start()
  await one.complains('online')
  await write('old', 'older')
  await one.prints(...said('old', 'older'))
  await one.terminate()
  assert.equal((await server.ask('POST', '/admin/system/clear_room_msgs', { json: { roomId: room } })).meta.status, 0)
  await write('new')
  const two = start()
  await two.prints(...said('new'))
  await two.kill()
  const three = start()
  await write('newer')
  await three.prints(...said('newer'))
  assert.deepEqual(inserts(), ['old', 'older', 'new', 'newer'])
}))

test('the room is cleared while she is there', t => told(t, async ({ start, room, cable, write, said, inserts }) => {
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
  assert.deepEqual(inserts(), ['old', 'older', 'new', 'newer'])
}))

test('who is not wanted stays away and says why', t => told(t, async ({ start, party, uid, token }) => {
  const stranger = start({ token: 'wrong' })
  assert.equal(await stranger.ended(), 1)
  assert.match(stranger.stderr, /^refused: auth failed, uid or token is wrong$/m)

  const alice = start()
  await alice.complains('online')
  await party.user('alice elsewhere', { uid, token })
  assert.equal(await alice.ended(), 1)
  assert.match(alice.stderr, new RegExp(`^${uid} signed in elsewhere$`, 'm'))

  const nobody = start({ token: '' })
  assert.equal(await nobody.ended(), 2)
  assert.match(nobody.stderr, /^usage: /)
}))

test('a server that is not there is waited for', t => told(t, async ({ start, cable, write, said }) => {
  cable.cut()
  const alice = start()
  await alice.complains('trying again')
  cable.mend()
  await write('there it is')
  await alice.prints(...said('there it is'))
  assert.match(alice.stderr, new RegExp(`^no connection to ${cable.url} \\(.+\\), trying again$`, 'm'))
}))

test('a store that does not answer is waited for', async t => {
  const { server, store } = await frailServer(t)
  await told(t, async ({ start, write, said }) => {
    store.cut()
    const alice = start()
    await alice.complains('server error, trying again')
    await alice.complains('connection lost')
    store.mend()
    await write('there it is')
    await alice.prints(...said('there it is'))
  }, server)
})
