// examples/tinode in a real chromium, with npm's tinode-sdk as its header installs it: accounts, chats of two and of groups, files, lost connections, a reload.
import { strict as assert } from 'node:assert'
import { readFile } from 'node:fs/promises'
import { after, afterEach, before, test } from 'node:test'
import { Line } from '../clients/cut.mjs'
import { startServer } from '../clients/server.mjs'
import { KEY, ready, settings } from '../clients/tinode/stage.mjs'
import { AXE, LAPTOP, launch, PHONE } from './board.mjs'
import { serveExample } from './example.mjs'
import { secretOf, Session } from './tinode-session.mjs'

const SDK = 'node_modules/tinode-sdk/umd/tinode.prod.js'
const BOUND_MS = 60_000
const MARKUP = '<b>not bold</b> <img src=x onerror=globalThis.hacked=1>'
/** A lost connection, and what was refused, is logged by the browser itself. */
const isLoss = text => /WebSocket connection to|net::ERR_|Failed to load resource: the server responded with a status of 4/.test(text)

let browser, files, server, logins = 0
const people = [], lines = [], sessions = []

before(async () => {
  browser = await launch()
  files = await serveExample('tinode', { [SDK]: new URL(`../clients/${SDK}`, import.meta.url) })
  server = await startServer({ title: 'a page of Tinode', env: settings({ FILES: undefined }) })
  await ready(server)
})
after(async () => {
  await browser?.close()
  files?.closeAllConnections()
  files?.close()
  await server?.stop()
})
afterEach(async () => {
  const [open, cut] = [people.splice(0), lines.splice(0)]
  await Promise.all(sessions.splice(0).map(session => session.close()))
  await Promise.all(open.map(person => person.context.close()))
  for (const line of cut) line.close()
  for (const { name, complaints } of open) assert.deepEqual(complaints, [], `what the page of ${name} has logged`)
})

class Person {
  complaints = []

  /** Somebody new, on the page. `line`: whether what it says goes by a line that can be cut. */
  static async opens(name, { line, forgiven = () => false, ...options } = {}) {
    const person = Object.assign(new Person(), { name, login: `login${++logins}`, password: `secret of ${name}`, server: server.urls.tinode })
    if (line) {
      person.line = await Line.to(person.server)
      person.server = person.line.url
      lines.push(person.line)
    }
    person.context = await browser.newContext({ viewport: LAPTOP, ...options })
    await person.context.routeWebSocket(/channels/, socket => person.goesBetween(socket))
    person.page = await person.context.newPage()
    person.page.setDefaultTimeout(BOUND_MS)
    person.page.on('dialog', dialog => dialog.accept())
    person.page.on('console', message => message.type() === 'error' && !isLoss(message.text()) && !forgiven(message.text()) && person.complaints.push(message.text()))
    person.page.on('pageerror', error => person.complaints.push(String(error)))
    person.page.on('request', request => { if (/^https?:/.test(request.url()) && new URL(request.url()).hostname !== '127.0.0.1') person.complaints.push(`asked ${request.url()}`) })
    await person.page.goto(`http://127.0.0.1:${files.address().port}/`)
    people.push(person)
    return person
  }

  /** The same, with an account. */
  static async registers(name, options) {
    const person = await Person.opens(name, options)
    await person.enters('Make an account')
    await person.isInside()
    return person
  }

  /** The messages that it has sent to the server, and how many answers to such shall be lost. */
  sent = []
  losses = 0
  goesBetween(socket) {
    const server = socket.connectToServer()
    const published = new Set()
    socket.onMessage(text => {
      const { pub } = JSON.parse(text)
      if (pub) {
        this.sent.push(pub)
        published.add(pub.id)
      }
      server.send(text)
    })
    server.onMessage(text => {
      if (this.losses > 0 && published.has(JSON.parse(text).ctrl?.id)) this.losses--
      else socket.send(text)
    })
  }

  button(name, within = this.page) { return within.getByRole('button', { name, exact: true }) }
  /** Fills the entrance in, and presses one of its buttons. */
  async enters(button, { key = KEY, ...more } = {}) {
    const { page } = this
    if (!await page.locator('#entrance details').evaluate(details => details.open)) await page.locator('#entrance summary').click()
    const { login, password, name, server } = this
    for (const [field, value] of Object.entries({ login, password, name, server, key, ...more })) await page.fill(`#sign-in [name=${field}]`, value)
    await this.button(button).click()
  }
  /** Waits until it is in, and connected. */
  async isInside() {
    await this.page.locator('#own-name', { hasText: this.name }).waitFor()
    await this.state(/^$/)
  }
  state(text) { return this.page.locator('#state').filter({ hasText: text }).waitFor({ state: 'attached' }) }
  trouble(text) { return this.page.locator('#trouble', { hasText: text }).waitFor() }
  notice(text) { return this.page.locator('#notice', { hasText: text }).waitFor() }

  async talksTo(other) {
    await this.page.fill('#find [name=login]', other.login)
    await this.button('Talk').click()
    await this.isIn(other.name)
  }
  isIn(title) { return this.page.locator('#title', { hasText: title }).waitFor() }
  contact(name) { return this.page.locator('#contacts li', { hasText: name }) }
  async opens(name) {
    await this.contact(name).getByRole('button').click()
    await this.isIn(name)
  }
  async writes(...texts) {
    for (const text of texts) {
      await this.page.fill('#compose [name=content]', text)
      await this.page.press('#compose [name=content]', 'Enter')
    }
  }
  /** What it sees of the chat is this, in this order. */
  reads(...texts) {
    return this.page.waitForFunction(texts => {
      const seen = [...document.querySelectorAll('#messages li')].map(item => [...item.querySelectorAll('span, a, img')].map(part => part.textContent || part.alt).join(' '))
      return JSON.stringify(seen) === JSON.stringify(texts)
    }, texts)
  }
  /** What it wrote and could not send: texts, each with why. */
  unsent() { return this.page.locator('#messages li.unsent').evaluateAll(all => all.map(item => [item.querySelector('span').textContent, item.querySelector('small').textContent])) }
  /** What it wrote was read by all. */
  wasRead(text) { return this.page.locator('#messages li.own', { hasText: text }).getByText('✓✓').waitFor() }

  /** Nothing hangs over, nothing became markup, and axe-core finds nothing serious. */
  async isWell(what) {
    const [hangs, hacked] = await this.page.evaluate(() => [document.documentElement.scrollWidth - document.documentElement.clientWidth, globalThis.hacked])
    assert.deepEqual([Math.max(0, hangs), hacked], [0, undefined], what)
    await this.page.evaluate(AXE)
    const violations = await this.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }).then(result => result.violations))
    const serious = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact)).map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`)
    assert.deepEqual(serious, [], what)
  }
}

test('an account: what is missing, what is taken, what is wrong, and in', async () => {
  const forgiven = () => true
  const ann = await Person.opens('Ann', { forgiven })
  await ann.enters('Log in', { key: 'no key' })
  await ann.trouble('it does not know this API key')
  await ann.enters('Log in')
  await ann.trouble('Login or password is wrong. (401: authentication failed)')
  await ann.enters('Make an account')
  await ann.isInside()
  const eve = await Person.opens('Eve', { forgiven })
  eve.login = ann.login
  await eve.enters('Make an account')
  await eve.trouble('That login is taken.')
  await eve.enters('Log in', { password: 'guessed' })
  await eve.trouble('Login or password is wrong.')
  await eve.enters('Log in', { password: ann.password })
  await eve.page.locator('#own-name', { hasText: 'Ann' }).waitFor()
})

test('two find each other, talk, and see what was read', async () => {
  const [ann, ben] = [await Person.registers('Ann'), await Person.registers('张三', { viewport: PHONE, hasTouch: true, isMobile: true })]
  await ann.page.fill('#find [name=login]', 'nobody-at-all')
  await ann.button('Talk').click()
  await ann.notice('Nobody has this login.')
  await ann.talksTo(ben)
  await ann.writes('hello é日🎉', MARKUP)
  await ann.reads('hello é日🎉', MARKUP)
  await ben.contact('Ann').getByText('2', { exact: true }).waitFor()
  await ben.contact('Ann').getByText('online').waitFor()
  await ben.opens('Ann')
  await ben.reads('hello é日🎉', MARKUP)
  await ann.wasRead('hello')
  await ben.writes('good morning')
  await ann.reads('hello é日🎉', MARKUP, 'good morning')
  await ann.button('Delete for all', ann.page.locator('#messages li', { hasText: 'hello' })).click()
  for (const person of [ann, ben]) await person.reads(MARKUP, 'good morning')
  await ben.writes('see https://example.org/ and\n*this*')
  for (const person of [ann, ben]) {
    const last = person.page.locator('#messages li').nth(2)
    for (const [part, text] of [['a', 'https://example.org/'], ['b', 'this'], ['span', 'see ']]) await last.locator(part, { hasText: text }).waitFor()
    assert.equal(await last.locator('br').count(), 1)
    await person.isWell('a chat')
  }
})

test('a group: made, joined by who is invited, and left', async () => {
  const [ann, ben, cleo] = [await Person.registers('Ann'), await Person.registers('Ben'), await Person.registers('Cleo')]
  await ann.page.fill('#make [name=name]', 'Hill walkers')
  await ann.button('Make').click()
  await ann.isIn('Hill walkers')
  for (const { login } of [ben, cleo]) {
    await ann.page.fill('#invite [name=login]', login)
    await ann.button('Invite').click()
    await ann.notice('Invited.')
    await ann.page.locator('#notice:empty').waitFor({ state: 'attached' })
  }
  for (const person of [ben, cleo]) await person.opens('Hill walkers')
  await ann.writes('up?')
  for (const person of [ben, cleo]) await person.reads('up?')
  await ben.writes('up!')
  for (const person of [ann, ben, cleo]) await person.reads('up?', 'up!')
  await cleo.page.locator('#messages bdi', { hasText: 'Ben' }).waitFor()
  await ben.button('Leave').click()
  await ben.contact('Hill walkers').waitFor({ state: 'detached' })
  await ann.writes('down')
  await cleo.reads('up?', 'up!', 'down')
})

test('what the server refuses is said with its reason, and not tried again', async () => {
  const [forgiven, group] = [() => true, 'Readers of quite a long list, who may not write']
  const [ann, ben] = [await Person.registers('Ann'), await Person.registers('Ben', { forgiven, viewport: PHONE, hasTouch: true, isMobile: true, colorScheme: 'dark' })]
  const signsIn = async who => {
    const session = await Session.open(browser, server.urls.tinode, KEY)
    sessions.push(session)
    return { session, id: (await session.does('login', { scheme: 'basic', secret: secretOf(who) })).params.user }
  }
  const [{ session: owner }, { id }] = [await signsIn(ann), await signsIn(ben)]
  const { topic } = await owner.does('sub', { topic: 'newReaders', set: { desc: { public: { fn: group } } } })
  await owner.does('set', { topic, sub: { user: id, mode: 'JRPS' } })
  await ben.opens(group)
  await ben.writes(MARKUP)
  await ben.notice('You may not do that. (403: permission denied)')
  assert.deepEqual(await ben.unsent(), [[MARKUP, 'Not sent. You may not do that. (403: permission denied)']])
  assert.equal(ben.sent.length, 1)
  await ben.isWell('a refused text')
  await ben.button('Discard').click()
  await ben.reads()
})

test('what nobody answers is sent again, and arrives once; where it is never answered, that is said', async () => {
  const [ann, ben] = [await Person.registers('Ann', { forgiven: text => text.includes('does not answer') }), await Person.registers('Ben')]
  await ann.talksTo(ben)
  await ben.opens('Ann')
  ann.losses = 1
  await ann.writes('one')
  await ben.reads('one')
  await ann.page.locator('#messages li.own', { hasText: 'one' }).getByText('✓').waitFor()
  assert.equal(ann.sent.length, 2)
  ann.losses = 3
  await ann.writes('two')
  await ann.notice('The server does not answer.')
  assert.deepEqual(await ann.unsent(), [['two', 'Not sent. The server does not answer.']])
  assert.equal(ann.sent.length, 5)
  for (const person of [ann, ben]) await person.reads('one', 'two')
})

test('a file and a picture arrive as they were', async () => {
  const [ann, ben] = [await Person.registers('Ann'), await Person.registers('Ben')]
  await ann.talksTo(ben)
  await ben.opens('Ann')
  const dot = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==', 'base64')
  await ann.page.setInputFiles('#compose [name=file]', { name: 'words é.txt', mimeType: 'text/plain', buffer: Buffer.from('some words') })
  await ben.page.getByRole('link', { name: 'words é.txt' }).waitFor()
  await ann.page.setInputFiles('#compose [name=file]', { name: 'dot.png', mimeType: 'image/png', buffer: dot })
  await ben.page.waitForFunction(() => document.querySelector('#messages img')?.naturalWidth === 1)
  const [download] = await Promise.all([ben.page.waitForEvent('download'), ben.page.getByRole('link', { name: 'words é.txt' }).click()])
  assert.equal(await readFile(await download.path(), 'utf8'), 'some words')
})

test('who was cut off comes back by itself, and reads what came meanwhile, once', async () => {
  const [ann, ben] = [await Person.registers('Ann', { line: true }), await Person.registers('Ben')]
  await ann.talksTo(ben)
  await ben.opens('Ann')
  await ann.writes('one')
  await ben.reads('one')
  ann.line.cut()
  await ann.state(/\S/)
  await ben.writes('two', 'three')
  await ben.reads('one', 'two', 'three')
  ann.line.mend()
  await ann.reads('one', 'two', 'three')
  await ann.writes('four')
  for (const person of [ann, ben]) await person.reads('one', 'two', 'three', 'four')
})

test('who reloads the page is still in; who logs out is not', async () => {
  const [ann, ben] = [await Person.registers('Ann'), await Person.registers('Ben')]
  await ann.talksTo(ben)
  await ann.writes('remember')
  await ann.reads('remember')
  await ann.page.reload()
  await ann.isInside()
  await ann.opens('Ben')
  await ann.reads('remember')
  await ann.button('Log out').click()
  await ann.button('Log in').waitFor()
  await ann.page.reload()
  await ann.button('Log in').waitFor()
  await ann.isWell('the entrance')
})
