// The console's rooms of chat-service: found, looked into, and changed, beside real clients of that protocol.
import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import { test } from 'node:test'
import { io } from 'socket.io-client-4'
import { PHONE } from './board.mjs'
import { cells, consoleStage, hasOnly, HOSTILE, isCalm, isMissing, isOfItsDialect, looksWell } from './console-stage.mjs'

const stage = consoleStage({ AO_CHAT_SERVICE__ENABLED: 'true' })
const { call, signedIn } = stage

const chat = async (method, body) => (await call(`chat-service/${method}`, body)).result
const room = (roomName, state) => chat('addRoom', { roomName, state })

/** Somebody who has joined these rooms. `losses` are the rooms that were closed to the user. */
async function joined(user, ...rooms) {
  const { token } = await call('token/create', { uid: user })
  const socket = io(`${stage.server.at.websocket}/chat-service`, { transports: ['websocket'], reconnection: false, forceNew: true, auth: { user, token } })
  stage.opens(socket)
  const losses = []
  socket.on('roomAccessRemoved', name => losses.push(name))
  await once(socket, 'loginConfirmed')
  for (const name of rooms) {
    const [error] = await new Promise(done => socket.emit('roomJoin', name, (...answer) => done(answer)))
    assert.equal(error, null)
  }
  return { losses, say: (name, textMessage) => new Promise(done => socket.emit('roomMessage', name, { textMessage }, done)), socket }
}

test('rooms are listed with their owners, modes and sizes, and found by their names', async () => {
  await room('club one', { owner: 'ann', whitelistOnly: true, whitelist: ['ben', 'cleo'], blacklist: ['mallory'], adminlist: ['ben'] })
  for (let n = 0; n < 60; n++) await room(`many ${String(n).padStart(2, '0')}`)
  await joined('ben', 'club one')
  const console = await signedIn()
  const { page } = console
  await console.go('Chat rooms')
  await console.row('club one').waitFor()
  assert.deepEqual(await cells(console, 'club one'), ['club one', 'ann', 'whitelist only', '1', '1', '2', '1'])
  await page.getByRole('searchbox').fill('many')
  await console.row('many 49').waitFor()
  assert.equal(await console.row('club one').count(), 0)
  await console.button('Next').click()
  await console.row('many 59').waitFor()
  assert.equal(await console.button('Next').isDisabled(), true)
  await console.button('Previous').click()
  await console.row('many 00').waitFor()
  await page.getByRole('searchbox').fill('no such room')
  await page.getByText('There is no room whose name begins with').waitFor()
  await page.getByRole('searchbox').fill('club one')
  await console.link('club one', console.row('club one')).click()
  await console.title('club one')
  await page.locator('.back').click()
  await console.title('Chat rooms')
})

test('a room is shown as it is, and what is changed about it is done', async () => {
  await room('hall', { owner: 'ann', adminlist: ['ada'], historyMaxSize: 20 })
  const [ben, cleo] = [await joined('ben b', 'hall'), await joined('cleo c', 'hall')]
  for (const text of ['one', 'two']) await ben.say('hall', text)
  const console = await signedIn()
  const { page } = console
  const part = name => page.getByRole('region', { name, exact: true })
  await console.visit('chat', 'hall')
  await console.title('hall')
  for (const [name, value] of [['Owner', 'ann'], ['Mode', 'open'], ['Users here', /^2$/], ['Stored messages', '2 of 20'], ['Last message', '#2'], ['Members are told', 'neither']]) await console.fact(name, value)
  await part('Administrators').getByText('ada').waitFor()

  await console.confirm(console.button('Put ben b out'), ['ben b', 'hall'], 'Put out')
  await console.says('is on the blacklist')
  await part('Blacklist').getByText('ben b').waitFor()
  await console.fact('Users here', /^1$/)
  assert.deepEqual([ben.losses, cleo.losses], [['hall'], []])
  await console.confirm(console.button('Take ben b off the blacklist'), ['ben b', 'hall'], 'Take off')
  await part('Blacklist').getByText('Nobody is on this list.').waitFor()
  assert.equal(await chat('hasRoomAccess', { roomName: 'hall', userName: 'ben b' }), true)

  await console.button('Add to the whitelist').click()
  await console.dialog().getByLabel('Names, one in each line').fill('dora\nben b\n')
  await console.button('Add', console.dialog()).click()
  await console.says('Added 2 names')
  await part('Whitelist').getByText('dora').waitFor()
  await console.button('Mode…').click()
  await console.dialog().getByLabel('Who may join').selectOption('whitelist')
  await console.button('Change', console.dialog()).click()
  await console.fact('Mode', 'whitelist only')
  await console.fact('Users here', /^0$/)
  assert.deepEqual(cleo.losses, ['hall'])

  await console.button('Owner…').click()
  await console.dialog().getByLabel('Owner').fill('')
  await console.button('Change', console.dialog()).click()
  await console.fact('Owner', 'nobody')
  await console.button('History…').click()
  await console.dialog().getByLabel('Messages').fill('9'.repeat(20))
  await console.button('Change', console.dialog()).click()
  await console.dialog().getByText('is too large').waitFor()
  await console.dialog().getByLabel('Messages').fill('1')
  await console.button('Change', console.dialog()).click()
  await console.fact('Stored messages', '1 of 1')
  await console.button('Notices…').click()
  await console.dialog().getByLabel('Who comes and goes').selectOption('true')
  await console.button('Change', console.dialog()).click()
  await console.fact('Members are told', 'who comes and goes')

  await console.confirm(console.button('Delete…'), ['hall', '1 message'], 'Delete')
  await page.getByText('There is no such room.').waitFor()
  assert.equal(await chat('hasRoom', { roomName: 'hall' }), false)
  console.forgiven = isMissing
})

test('a room is made, and one that can’t be is said', async () => {
  const console = await signedIn()
  await console.go('Chat rooms')
  console.forgiven = complaint => /40[09]/.test(complaint)
  await console.button('New room…').click()
  await console.dialog().getByLabel('Name').fill('a:b')
  await console.button('Make', console.dialog()).click()
  await console.dialog().getByText('contains invalid characters').waitFor()
  await console.dialog().getByLabel('Name').fill('a new one')
  await console.dialog().getByLabel('Owner').fill('ann')
  await console.button('Make', console.dialog()).click()
  await console.says('Made')
  await console.title('a new one')
  await console.fact('Owner', 'ann')
  assert.equal(await chat('hasRoomAccess', { roomName: 'a new one', userName: 'ann' }), true)
})

test('who may only look sees rooms and lists, and no button that changes them', async () => {
  await room('gallery', { whitelist: ['frida'] })
  const console = await signedIn(stage.reader)
  const { page } = console
  await console.go('Chat rooms')
  await console.row('gallery').waitFor()
  await hasOnly(console, 'More names')
  await console.visit('chat', 'gallery')
  await page.getByText('frida').waitFor()
  await hasOnly(console, 'More names')
})

isOfItsDialect(stage, 'Chat rooms', ['chat', 'hall'])

test('hostile names are text', async () => {
  // A room's name is no longer than this.
  const names = HOSTILE.map(name => name.slice(0, 256))
  for (const name of names) await room(name, { owner: name, whitelist: names, blacklist: [''] })
  const console = await signedIn()
  const { page } = console
  await console.go('Chat rooms')
  await page.getByRole('searchbox').fill('<img')
  await console.row('onerror').first().waitFor()
  await isCalm(console, 'the list')
  for (const name of names) {
    await console.visit('chat', name)
    await page.getByText('the empty name').waitFor()
    await isCalm(console, name)
  }
  await page.setViewportSize(PHONE)
  await isCalm(console, 'a phone')
})

looksWell(stage, 'console-chat', async (console, look, device) => {
  const name = `look ${device}`
  await room(name, { owner: 'hugo', adminlist: ['ida'], blacklist: ['mallory'] })
  await joined(`hugo ${device}`, name)
  const { page } = console
  await console.go('Chat rooms')
  await page.getByRole('searchbox').fill('look')
  await console.row(name).waitFor()
  await look('list')
  await console.visit('chat', name)
  await console.fact('Users here', /^1$/)
  await page.getByText('mallory').waitFor()
  await look('room')
  await console.button('Mode…').click()
  await console.dialog().waitFor()
  await look('dialog')
})
