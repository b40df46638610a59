// Anna looks at the events of a room, and sends some, while Bert talks there.
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { PHONE } from './board.mjs'
import { bot, forgive, ours, stage } from './stage.mjs'

const events = stage('/events', { AO_WEBSOCKET__PING_INTERVAL: '1s' })
const { newRoom } = events
const enter = async (room, options) => new Watcher(await events.enter(room, options))

class Watcher {
  constructor(window) {
    Object.assign(this, { window, page: window.page, status: text => window.status(text) })
  }

  /** What is shown, a line for each: the way and the event's name. */
  lines() {
    return this.page.evaluate(() => {
      const shown = [...document.querySelectorAll('#rows > li:not([hidden], .note) > details > summary > .name')]
      return shown.map(({ childNodes: [way, name] }) => way.textContent + name.textContent)
    })
  }

  /** These lines and no more behind the first `from`; the page shows what has come a moment later. */
  async shows(expected, from = 0) {
    const enough = n => document.querySelectorAll('#rows > li:not([hidden], .note)').length >= n
    await this.page.waitForFunction(enough, from + expected.length)
    assert.deepEqual((await this.lines()).slice(from), expected)
  }

  /** Waits until what is shown is exactly this, wherever it was before. */
  async showsOnly(...expected) {
    const names = '#rows > li:not([hidden], .note) > details > summary > .name'
    const same = ([names, expected]) => {
      const lines = [...document.querySelectorAll(names)].map(({ childNodes: [way, name] }) => way.textContent + name.textContent)
      return lines.join('\n') === expected.join('\n')
    }
    await this.page.waitForFunction(same, [names, expected]).catch(async e => { throw new Error(`${e.message}\nwanted ${expected}\nfound ${await this.lines()}`) })
  }

  /** Waits for a row that is shown with this name, and this in its payload; the latest. */
  async row(name, text = '') {
    const row = this.page.locator('#rows > li:visible').filter({ has: this.page.locator('.name', { hasText: name }), hasText: text }).last()
    await row.waitFor()
    return row
  }

  /** Fills in what the button offers, changed by `change`, and sends it. */
  async send(button, change = value => value) {
    await this.page.locator('#kinds').getByRole('button', { name: new RegExp(`^${button}`) }).click()
    const field = this.page.getByLabel(/^Payload/)
    const text = await field.inputValue()
    await field.fill(text && JSON.stringify(change(JSON.parse(text))))
    await this.page.getByRole('button', { name: 'Send', exact: true }).click()
  }

  /** Case counts: before it says "Acknowledged" it says "not acknowledged yet". */
  says(text) {
    return this.page.locator('#says', { hasText: new RegExp(text) }).waitFor()
  }
}
/** What it takes to be online. */
const FIRST = ['connect', 'authenticate', 'join', 'sync'].flatMap(name => [`sent ${name}`, `received ${name}`])
const talk = (window, room, ...texts) => bot(window, room, texts.map((text, i) => ({ storage: 0, msgId: `bot ${i}`, text })))

test('what passes is listed in its order, with way, time, size and the time until the answer', async () => {
  const room = newRoom()
  const anna = await enter(room)
  await anna.shows(FIRST)
  const bert = await events.enter(room, { at: '/chat', name: 'Bert' })
  await anna.row('remote_join')
  await bert.page.getByLabel('Message', { exact: true }).fill('good morning')
  await bert.page.keyboard.press('Enter')
  const row = await anna.row('msginsert', 'good morning')
  assert.match(await row.textContent(), /received msginsert/)
  assert.match(await row.locator('.size').textContent(), /^\d+ B$/)
  assert.match(await row.locator('time').first().textContent(), /^\d\d:\d\d:\d\d\.\d{3}$/)
  for (const name of ['authenticate', 'join', 'sync']) {
    const rows = anna.page.locator('#rows > li').filter({ has: anna.page.locator('.name', { hasText: name }), hasNotText: 'remote' })
    await rows.locator('.trip').nth(1).waitFor()
    assert.equal(await rows.count(), 2)
    const trips = await rows.locator('.trip').allTextContents()
    assert.equal(trips.length, 2)
    for (const trip of trips) assert.match(trip, /^[\d.]+ m?s$/)
  }
  const times = await anna.page.locator('#rows time').allTextContents()
  assert.deepEqual(times, [...times].sort())
})

test('a payload is unfolded as JSON, a packed page is unpacked, a token is not shown', async () => {
  const room = newRoom()
  const anna = await enter(room)
  await anna.send('insert', m => ({ ...m, text: '<b>bold</b>', deep: { list: [1, { two: [null, true] }], empty: {} } }))
  await anna.says('Acknowledged')
  await anna.page.reload()
  await anna.status('Online')
  const page = anna.page.locator('#rows > li.got').filter({ has: anna.page.locator('.name', { hasText: 'sync' }) })
  await page.locator('summary').first().click()
  await page.getByText('data, unpacked').waitFor()
  const entry = page.locator('.tree').last()
  await entry.getByText('text: "<b>bold</b>"').waitFor()
  await entry.locator('summary', { hasText: 'deep' }).click()
  await entry.getByText('empty: {}').waitFor()
  await entry.locator('summary', { hasText: 'list' }).click()
  await entry.locator('summary', { hasText: '1 key' }).click()
  await entry.locator('summary', { hasText: 'two' }).click()
  for (const text of ['null', 'true']) await entry.getByText(text, { exact: true }).waitFor()

  const { token } = JSON.parse(await anna.window.identity())
  const signedIn = await anna.row('authenticate', '(hidden)')
  await signedIn.locator('summary').first().click()
  await signedIn.locator('.whole').waitFor()
  assert.equal((await anna.page.locator('#rows').innerHTML()).includes(token), false)
})

test('each event can be sent, and its acknowledgement is shown with the round trip', async () => {
  const room = newRoom()
  const anna = await enter(room)
  const bert = await enter(room)
  await anna.send('insert')
  await anna.says(/^Acknowledged after [\d.]+ m?s: \{"status":0,"data":"msg success"\}$/)
  assert.match(await (await anna.row('ack')).locator('.trip').textContent(), /^[\d.]+ m?s$/)
  await anna.send('update')
  await anna.says('Acknowledged')
  await anna.send('ignore')
  await anna.says('Acknowledged')
  for (const kind of ['insert', 'update', 'ignore']) await bert.row(`msg${kind}`)
  await anna.send('sync')
  assert.match(await (await anna.row('ack', '"log":1')).textContent(), /"storage":1/)
  await anna.send('join', () => ({}))
  await anna.says(/^Refused after .*require roomId/)
  await anna.row('join', 'join failed')
  await anna.status('Online')
  await anna.send('authenticate')
  await anna.says('auth success')
  await anna.send('leave')
  await bert.row('remote_leave')
  await anna.page.getByRole('heading', { name: 'The server refused the connection' }).waitFor()
  await anna.page.locator('.note', { hasText: 'Closed for good: the server ended the session' }).waitFor()
})

test('two messages in a row have ids of their own', async () => {
  const room = newRoom()
  const anna = await enter(room)
  for (let i = 0; i < 2; i++) {
    await anna.page.getByRole('button', { name: 'Send', exact: true }).click()
    await anna.says('Acknowledged')
    await anna.page.waitForFunction(n => document.querySelectorAll('#rows > .sent .name small').length === n, i + 1)
  }
  await anna.send('sync')
  const sent = await anna.page.locator('#rows > .sent .short').allTextContents()
  const ids = sent.filter(text => text.includes('msgId')).map(text => JSON.parse(text).msgId)
  assert.equal(ids.length, 2)
  assert.equal(new Set(ids).size, 2)
})

test('what is no JSON is not sent, and the page says where it breaks', async () => {
  const anna = await enter(newRoom())
  await anna.shows(FIRST)
  const [field, button] = [anna.page.getByLabel(/^Payload/), anna.page.getByRole('button', { name: 'Send', exact: true })]
  await field.fill('{\n  "storage": 2\n  "text": "comma"\n}')
  await anna.page.locator('#wrong', { hasText: /^No JSON.*line 3/ }).waitFor()
  assert.equal(await field.getAttribute('aria-invalid'), 'true')
  await button.click({ force: true })
  await field.press('Control+Enter')
  await field.fill('{"storage": 2, "text": "right"}')
  await anna.page.getByLabel('Event', { exact: true }).fill(' ')
  await anna.page.getByText('An event has a name.').waitFor()
  await button.click({ force: true })
  await anna.page.getByLabel('Event', { exact: true }).fill('msg')
  await field.press('Control+Enter')
  await anna.says('Acknowledged')
  await anna.shows(['sent msg', 'received ack'], FIRST.length)
})

test('names and words choose what is shown; engine frames come when asked for', async () => {
  const room = newRoom()
  const anna = await enter(room)
  await talk(anna.window, room, 'apple', 'pear')
  await anna.row('msg', 'pear')
  const names = anna.page.getByRole('group', { name: 'Show only these events' })
  await names.getByRole('button', { name: /^msg/ }).click()
  await anna.showsOnly('received msg', 'received msg')
  await anna.page.getByLabel('Find').fill('PEAR')
  await anna.showsOnly('received msg')
  await anna.page.getByLabel('Find').fill('nowhere')
  await anna.page.getByText('Nothing to see').waitFor()
  await anna.page.getByLabel('Find').fill('')
  await names.getByRole('button', { name: /^msg/ }).click()
  await anna.row('authenticate')
  assert.equal((await anna.lines()).some(l => /ping|open/.test(l)), false)
  await anna.page.getByLabel('Engine').check()
  await anna.row('ping')
  assert.equal((await anna.lines())[0], 'received open')
  await anna.row('pong')
})

test('paused, nothing moves and nothing is lost; cleared, it begins anew; what is shown can be copied', async () => {
  const room = newRoom()
  const anna = await enter(room)
  await anna.window.context.grantPermissions(['clipboard-read', 'clipboard-write'])
  const pause = anna.page.locator('#pause')
  await anna.shows(FIRST)
  await pause.click()
  const before = await anna.lines()
  await talk(anna.window, room, 'one', 'two')
  await anna.page.locator('#held', { hasText: 'waiting' }).waitFor()
  assert.deepEqual(await anna.lines(), before)
  await pause.click()
  await anna.row('msg', 'two')
  await anna.page.getByRole('button', { name: 'Clear the list' }).click()
  await anna.showsOnly()
  await anna.send('insert', m => ({ ...m, text: 'copied' }))
  await anna.row('ack')
  await anna.page.getByRole('button', { name: 'Copy what is shown' }).click()
  await anna.page.getByText('Copied', { exact: true }).waitFor()
  const lines = (await anna.page.evaluate(() => navigator.clipboard.readText())).split('\n').map(line => JSON.parse(line))
  const copied = lines.filter(({ event }) => event === 'msg' || event === 'ack')
  assert.deepEqual(copied.map(({ way, event }) => [way, event]), [['sent', 'msg'], ['received', 'ack']])
  assert.equal(copied[0].data.text, 'copied')
  assert(copied[0].ms > 0 && copied[0].bytes > 0)
})

test('the list keeps the latest thousand', async () => {
  const room = newRoom()
  const anna = await enter(room)
  await talk(anna.window, room, ...Array.from({ length: 1_100 }, (_, i) => `fruit ${i}`))
  await anna.row('msg', 'fruit 1099')
  const found = await anna.page.evaluate(() => [...document.querySelectorAll('#rows > li')].map(li => /fruit (\d+)/.exec(li.textContent)?.[1]))
  assert.equal(found.length, 1_000)
  const fruit = found.filter(Boolean).map(Number)
  assert.deepEqual(fruit, Array.from(fruit, (_, i) => 1_100 - fruit.length + i))
})

test('by hand: nothing is sent that was not asked for, and the server says what it thinks of that', async () => {
  const room = newRoom()
  const anna = await enter(room)
  await anna.page.getByLabel('Sign in, join and catch up by itself').uncheck()
  await anna.status('Connected')
  await anna.page.getByRole('button', { name: 'Clear the list' }).click()
  await anna.send('insert')
  await anna.says('not acknowledged yet') // nor ever: an event before authentication has no effect
  await anna.send('authenticate', c => ({ ...c, token: 'wrong' }))
  await anna.row('authenticate', 'auth failed')
  await anna.page.locator('.note', { hasText: 'Closed: the server ended the session, for good' }).waitFor()
  await anna.status('Not connected')
  await anna.page.getByRole('button', { name: 'Not connected' }).waitFor()

  await anna.page.getByRole('button', { name: 'Connect', exact: true }).click()
  await anna.status('Connected')
  await anna.send('authenticate')
  await anna.row('ack', 'auth success')
  await anna.send('join')
  await anna.row('ack', 'join success')
  await anna.send('insert')
  await anna.row('ack', 'msg success')
  assert.deepEqual((await anna.lines()).filter(l => l.startsWith('sent')), ['msg', 'authenticate', 'connect', 'authenticate', 'join', 'msg'].map(n => `sent ${n}`))
  await anna.page.getByRole('button', { name: 'Disconnect', exact: true }).click()
  await anna.status('Not connected')

  await anna.page.reload() // the choice is kept
  await anna.status('Connected')
  await anna.page.getByLabel('Sign in, join and catch up by itself').check()
  await anna.status('Online')
  assert.match(await (await anna.row('sync', 'H4sI')).textContent(), /"log":1/)
})

test('a lost connection is noted, and what passes afterwards', ours, async () => {
  const anna = await enter(newRoom())
  await events.server.stop()
  await anna.page.locator('.note', { hasText: 'Closed: the connection was lost. Again in' }).first().waitFor()
  await anna.page.getByRole('button', { name: 'Not connected' }).waitFor()
  await events.server.start()
  await anna.status('Online')
  await anna.shows([...FIRST, ...FIRST])
  forgive(anna.window)
})

test('a phone and a dark laptop show the same', async () => {
  const room = newRoom()
  const phone = { viewport: PHONE, deviceScaleFactor: 3, hasTouch: true, isMobile: true }
  const [light, dark] = [await enter(room), await enter(room, { colorScheme: 'dark' })]
  await light.send('insert')
  await light.says('Acknowledged')
  const [hand, night] = [await enter(room, phone), await enter(room, { ...phone, colorScheme: 'dark' })]
  await talk(light.window, room, 'apple', 'pear')
  for (const w of [light, dark, hand, night]) await w.row('msg', 'pear')
  await (await dark.row('msg', 'pear')).locator('summary').first().click()
  assert.equal(await night.page.getByLabel(/^Payload/).isVisible(), false)
  await night.page.getByRole('button', { name: 'Send an event' }).tap()
  await night.send('insert', m => ({ ...m, text: 'from a phone' }))
  await light.row('msg', 'from a phone')
  for (const w of [hand, night]) assert.equal(await w.page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0)
  for (const [name, w] of Object.entries({ light, dark, phone: hand, 'phone-dark': night })) await events.picture(`events-${name}`, w.window)
})
