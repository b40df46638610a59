// The console's users of react-wechat: found, looked at, signed out, given passwords, and deleted, beside real sockets of that protocol.
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { PHONE } from './board.mjs'
import { cells, consoleStage, deeds, hasOnly, HOSTILE, isCalm, isMissing, isOfItsDialect, looksWell } from './console-stage.mjs'

const STAY_AWAY = 4000
/** What can be done about a user. */
const DEEDS = ['Sign out…', 'New password…', 'Erase messages…', 'Delete…']

const stage = consoleStage({ AO_WECHAT__LISTEN: '127.0.0.1:0', AO_WECHAT__RATE_LIMIT: 'off' })
const { signedIn } = stage
let phones = 0

/** A route of react-wechat. @returns its answer */
async function ask(route, fields, token) {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
  return (await fetch(`${stage.server.at.wechat}/api/${route}`, { method: 'POST', headers, body: JSON.stringify(fields) })).json()
}
const login = async ({ phone, password }) => (await ask('login', { phone, password })).data?.token

/** Somebody who is registered, with a token. */
async function user(nick, { phone = `77${String(++phones).padStart(9, '0')}`, signed = true } = {}) {
  const person = { nick, phone, userName: `${nick}, by name`, email: 'somebody@example.org', password: `secret of ${phone}` }
  assert.deepEqual(await ask('reg', person), { code: 0, message: '' })
  return signed ? Object.assign(person, { token: await login(person) }) : person
}

async function befriend(one, other) {
  assert.equal((await ask('contact/add', { phone: other.phone }, one.token)).code, 0)
}

/** Somebody's socket, open: it is in a page of its own, as this is no browser. */
async function connected({ phone, token }) {
  const page = await (await stage.browser.newContext()).newPage()
  const socket = {
    /** Sends messages to somebody. */
    write: (to, ...contents) => page.evaluate(([from, to, contents]) => {
      for (const content of contents) globalThis.line.send(JSON.stringify({ type: 'wechat/saveMessage', payload: { from, to, content, timestamp: 1 } }))
    }, [phone, to.phone, contents]),
    /** Its close code, once it is closed. */
    code: async () => (await page.waitForFunction(() => globalThis.code)).jsonValue(),
    close: () => page.context().close(),
  }
  stage.opens(socket)
  await page.evaluate(url => new Promise((resolve, reject) => {
    globalThis.line = new WebSocket(url)
    globalThis.line.onmessage = () => resolve()
    globalThis.line.onclose = ({ code }) => { globalThis.code = code; reject(new Error(`closed with ${code}`)) }
  }), `${stage.server.at.wechat.replace('http', 'ws')}/wechat/${token}`)
  return socket
}

/** Whether a token still counts. */
const counts = async token => 'data' in await ask('info', {}, token)

test('users are listed with where they are and what waits for them, and found by phone and nickname', async () => {
  const [ann, ben] = [await user('Ann of the list'), await user('张三')]
  await befriend(ann, ben)
  await Promise.all(Array.from({ length: 55 }, (_, n) => user(`many`, { phone: `88${String(n).padStart(4, '0')}`, signed: false })))
  const socket = await connected(ann)
  await socket.write(ben, 'one', 'two')
  const console = await signedIn()
  const { page } = console
  await console.go('Messenger')
  await console.row(ben.phone).getByText('2', { exact: true }).waitFor()
  assert.deepEqual(await cells(console, ben.phone), [ben.phone, '张三', '张三, by name', '1', '2', 'away'])
  const [phone, nick, , contacts, waiting, nodes] = await cells(console, ann.phone)
  assert.deepEqual([phone, nick, contacts, waiting], [ann.phone, ann.nick, '1', '0'])
  assert.notEqual(nodes, 'away')

  const search = page.getByRole('searchbox')
  await search.fill('张三')
  await console.row(ann.phone).waitFor({ state: 'detached' })
  await console.row(ben.phone).waitFor()
  await search.fill(ann.phone.slice(3))
  await console.row(ann.phone).waitFor()
  await search.fill('88')
  await page.getByText('A phone is found by three characters').waitFor()
  await search.fill('many')
  await console.row('880049').waitFor()
  await console.button('Next').click()
  await console.row('880054').waitFor()
  assert.equal(await console.button('Next').isDisabled(), true)
  await console.button('Previous').click()
  await console.row('880000').waitFor()
  await search.fill(ben.phone)
  await console.link(ben.phone, console.row('张三')).click()
  await console.title(ben.phone)
  await page.locator('.back').click()
  await console.title('Messenger')
  await search.fill(ann.phone)
  await console.button('Open').click()
  await console.title(ann.phone)
})

test('Enter leads to the one who is meant, by phone or nickname; and nowhere where it may be several', async () => {
  const [only, one, other] = [await user('Only one'), await user('Namesake'), await user('Namesake')]
  const console = await signedIn()
  const { page } = console
  console.forgiven = isMissing
  const search = page.getByRole('searchbox')
  const enter = async text => {
    await console.go('Messenger')
    await search.fill(text)
    await search.press('Enter')
  }
  for (const text of ['Only one', only.phone, only.phone.slice(1)]) {
    await enter(text)
    await console.title(only.phone)
    await console.fact('Nickname', 'Only one')
  }
  await enter('Namesake')
  for (const { phone } of [one, other]) await console.row(phone).waitFor()
  await console.row(only.phone).waitFor({ state: 'detached' })
  await console.title('Messenger')
  await enter('Nobody’s nickname')
  await page.getByText('Nobody has the nickname').waitFor()
  await enter('990000000')
  await console.title('990000000')
  await page.getByText('Nobody has this phone.').waitFor()
})

test('a user who is online is found among all users, too, and leads to its own view', async () => {
  const ann = await user('Ann online')
  await connected(ann)
  const console = await signedIn()
  await console.go('Users')
  await console.link(ann.phone).click()
  await console.title(ann.phone)
  await console.fact('State', 'connected to')
})

test('a user is shown as it is, and signed out for good', async () => {
  const [ann, ben] = [await user('Ann'), await user('Ben')]
  await befriend(ann, ben)
  const [annSocket, benSocket] = [await connected(ann), await connected(ben)]
  const console = await signedIn()
  const { page } = console
  await console.visit('phone', ann.phone)
  await console.title(ann.phone)
  for (const [name, value] of [['Nickname', /^Ann$/], ['User name', 'Ann, by name'], ['E-mail', ann.email], ['Region', 'none'], ['State', 'connected to'], ['Messages that wait', /^0$/], ['Tokens count from', 'all count']]) await console.fact(name, value)
  await page.getByRole('region', { name: 'Contacts' }).getByText('Ben').waitFor()

  await console.confirm(console.button('Sign out…'), ['Ann', ann.phone], 'Sign out')
  await console.says('is signed out; the connection has ended')
  assert.equal(await annSocket.code(), STAY_AWAY)
  await console.fact('State', 'away')
  assert.equal(await counts(ann.token), false)
  await assert.rejects(connected(ann), /closed with 4000/)
  assert.equal(await counts(ben.token), true)
  const token = await login(ann)
  assert.equal(await counts(token), true)

  await benSocket.write(ann, 'are you there?')
  await console.fact('Messages that wait', /^1$/)
  await connected({ ...ann, token })
  await console.fact('Messages that wait', /^0$/)
  await console.fact('State', 'connected to')
})

test('a new password is shown once, and the old one is dead', async () => {
  const ann = await user('Ann who forgot')
  const socket = await connected(ann)
  const console = await signedIn()
  await console.visit('phone', ann.phone)
  await console.fact('Nickname', ann.nick)
  await console.agree(console.button('New password…'), [ann.nick, ann.phone], 'New password')
  const shown = console.dialog().getByLabel('Password')
  const password = await shown.inputValue()
  assert.match(password, /^[A-Za-z0-9]{16}$/)
  await console.button('Done', console.dialog()).click()
  assert.equal((await console.page.content()).includes(password), false)
  assert.equal(await socket.code(), STAY_AWAY)
  assert.equal(await counts(ann.token), false)
  assert.equal((await ask('login', { phone: ann.phone, password: ann.password })).code, 100002)
  assert.equal(await counts(await login({ phone: ann.phone, password })), true)
  await console.go('Audit log')
  const entry = console.row('resetPassword').filter({ hasText: ann.phone })
  await entry.waitFor()
  assert.equal((await entry.innerText()).includes(password), false)
  await console.link(ann.phone, entry).click()
  await console.title(ann.phone)
})

test('contacts are taken out on both sides, and may come again', async () => {
  const [ann, ben, cleo] = [await user('Ann who is annoyed'), await user('Ben who annoys'), await user('Cleo who stays')]
  for (const other of [ben, cleo]) await befriend(ann, other)
  const console = await signedIn()
  const { page } = console
  const contacts = page.getByRole('region', { name: 'Contacts' })
  await console.visit('phone', ann.phone)
  await contacts.getByText(ben.nick).waitFor()
  await console.confirm(console.button(`Take ${ben.phone} out`), [ann.phone, ben.phone], 'Take out')
  await console.says('are no contacts any more')
  await contacts.getByText(ben.nick).waitFor({ state: 'detached' })
  await contacts.getByText(cleo.nick).waitFor()
  await console.visit('phone', ben.phone)
  await contacts.getByText('The user has no contacts.').waitFor()
  await befriend(ben, ann)
  await contacts.getByText(ann.nick).waitFor()
})

test('a user is deleted: tokens and what waits are gone, and contacts know it no more', async () => {
  const [ann, ben] = [await user('Ann who goes'), await user('Ben who stays')]
  await befriend(ann, ben)
  const socket = await connected(ben)
  await socket.write(ann, 'one', 'two')
  const console = await signedIn()
  const { page } = console
  console.forgiven = isMissing
  await console.visit('phone', ann.phone)
  await console.fact('Messages that wait', /^2$/)
  assert.deepEqual(await deeds(console), DEEDS)
  await console.confirm(console.button('Delete…'), [ann.nick, ann.phone, '2 messages that wait'], 'Delete')
  await console.says('and 2 waiting messages')
  await page.getByText('Nobody has this phone.').waitFor()
  assert.deepEqual(await deeds(console), ['Erase messages…'], 'the rest can’t be done about nobody')
  assert.equal(await counts(ann.token), false)
  assert.equal((await ask('login', ann)).code, 100001)
  await console.visit('phone', ben.phone)
  await page.getByRole('region', { name: 'Contacts' }).getByText('The user has no contacts.').waitFor()

  await user('Somebody else', { phone: ann.phone, signed: false })
  assert.equal(await counts(ann.token), false, 'an old token is not the newcomer’s')
  await console.visit('phone', ann.phone)
  await console.fact('Nickname', 'Somebody else')
  await console.fact('Messages that wait', /^0$/)
  assert.deepEqual(await deeds(console), DEEDS)
})

test('what a user wrote is erased where it waits', async () => {
  const [ann, ben] = [await user('Ann who writes'), await user('Ben who is away')]
  await befriend(ann, ben)
  const socket = await connected(ann)
  await socket.write(ben, 'a secret')
  const console = await signedIn()
  await console.visit('phone', ben.phone)
  await console.fact('Messages that wait', /^1$/)
  await console.visit('phone', ann.phone)
  await console.confirm(console.button('Erase messages…'), [ann.phone], 'Erase')
  await console.says('Erased 1 message')
})

test('that something is erased is told, also where a server does not answer for a while', async () => {
  const [ann, ben] = [await user('Ann who wrote'), await user('Ben who was away')]
  await befriend(ann, ben)
  const socket = await connected(ann)
  await socket.write(ben, 'a secret')
  const console = await signedIn()
  const { page } = console
  console.forgiven = complaint => /503|ERR_FAILED/.test(complaint)
  await console.visit('phone', ben.phone)
  await console.fact('Messages that wait', /^1$/)
  let looks = 0
  await page.route('**/v1/jobs/*', route => {
    looks++
    if (looks === 1) return route.abort()
    if (looks === 2) return route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"title":"out"}' })
    return route.continue()
  })
  await console.visit('phone', ann.phone)
  await console.confirm(console.button('Erase messages…'), [ann.phone], 'Erase')
  await console.says('Erased 1 message')
  assert.ok(looks >= 3)
})

test('who may only look sees users and contacts, and no button that changes them', async () => {
  const [ann, ben] = [await user('Ann who is seen'), await user('Ben who is known')]
  await befriend(ann, ben)
  const console = await signedIn(stage.reader)
  const { page } = console
  await console.go('Messenger')
  await page.getByRole('searchbox').fill(ann.nick)
  await console.row(ann.phone).waitFor()
  await hasOnly(console, 'More contacts')
  await console.visit('phone', ann.phone)
  await page.getByText(ben.nick).waitFor()
  await hasOnly(console, 'More contacts')
})

isOfItsDialect(stage, 'Messenger', ['phone', '138'])

test('hostile names are text', async () => {
  const people = []
  for (const nick of HOSTILE) people.push(await user(nick))
  for (const other of people.slice(1)) await befriend(people[0], other)
  const console = await signedIn()
  const { page } = console
  await console.go('Messenger')
  await page.getByRole('searchbox').fill(HOSTILE[0])
  await console.row('onerror').first().waitFor()
  await isCalm(console, 'the list')
  for (const { phone, nick } of people) {
    await console.visit('phone', phone)
    await console.title(phone)
    await page.getByRole('region', { name: 'Contacts' }).getByRole('row').nth(1).waitFor()
    await isCalm(console, nick)
  }
  await page.setViewportSize(PHONE)
  await isCalm(console, 'a phone')
})

looksWell(stage, 'console-wechat', async (console, look, name) => {
  const [ann, ben] = [await user(`Look ${name}`), await user('Ben to look at')]
  await befriend(ann, ben)
  await connected(ann)
  const { page } = console
  await console.go('Messenger')
  await page.getByRole('searchbox').fill(ann.nick)
  await console.row(ann.phone).waitFor()
  await look('list')
  await console.visit('phone', ann.phone)
  await page.getByText(ben.nick).waitFor()
  await look('user')
  await console.button('Sign out…').click()
  await console.dialog().waitFor()
  await look('dialog')
})
