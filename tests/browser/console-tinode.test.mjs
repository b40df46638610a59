// The console's section for Tinode: users, topics and API keys are found, looked at and taken away, beside real sessions of that protocol.
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { PHONE } from './board.mjs'
import { cells, consoleStage, deeds, hasOnly, HOSTILE, isCalm, isMissing, isOfItsDialect, looksWell } from './console-stage.mjs'
import { secretOf, Session } from './tinode-session.mjs'

/** What can be done about a user who may sign in. */
const DEEDS = ['Sign out…', 'Suspend…', 'Erase messages…', 'Delete…']

const stage = consoleStage({ AO_TINODE__LISTEN: '127.0.0.1:0', AO_TINODE__RATE_LIMIT: 'off' }, async () => { key = (await asked('createKey', { note: 'these tests' })).key })
const { signedIn } = stage
let key, people = 0
const asked = async (method, fields) => (await stage.call(`tinode/${method}`, fields)).result

const session = async (apiKey = key) => stage.opens(await Session.open(stage.browser, stage.server.at.tinode, apiKey))

/** Somebody who has registered, and is on `me`. `about`: more of the account. */
async function user(fn, about = {}) {
  const person = { fn, login: `somebody${++people}`, password: `secret ${people}` }
  const online = await session()
  const { params } = await online.does('acc', { user: 'new', scheme: 'basic', secret: secretOf(person), login: true, desc: { public: { fn } }, ...about })
  await online.does('sub', { topic: 'me' })
  return Object.assign(person, { id: params.user, token: params.token, session: online })
}

/** The code that a sign-in is answered with. */
async function signIn(scheme, secret) {
  return (await (await session()).ask('login', { scheme, secret })).code
}

/** Two who have begun to talk: the topic's id as administrators see it. */
async function talk(one, other) {
  await one.session.does('sub', { topic: other.id })
  await other.session.does('sub', { topic: one.id })
  const { topics } = await asked('listUserTopics', { user: one.id })
  return topics.find(({ topic }) => topic.includes(other.id)).topic
}

/** A group of somebody's. */
async function group(owner, fn, ...members) {
  const { topic } = await owner.session.does('sub', { topic: 'newGroup', set: { desc: { public: { fn } } } })
  for (const { session } of members) await session.does('sub', { topic })
  return topic
}

test('users are listed with where they are, and found by login, tag and id', async () => {
  const ann = await user('Ann of the list', { tags: ['gardening'] })
  const ben = await user('张三')
  await ben.session.close()
  const console = await signedIn()
  const { page } = console
  await console.go('Tinode')
  const search = page.getByRole('searchbox')
  for (const text of [ann.login, 'gardening', ann.id, ann.login.toUpperCase()]) {
    await search.fill(text)
    await console.row(ann.id).waitFor()
    await console.row(ben.id).waitFor({ state: 'detached' })
  }
  const [id, name, login, state, nodes] = await cells(console, ann.id)
  assert.deepEqual([id, name, login, state], [ann.id, ann.fn, ann.login, 'ok'])
  assert.notEqual(nodes, 'away')
  await search.fill(ben.login)
  await console.row(ben.id).getByText('away').waitFor()
  await search.fill('nobody’s tag')
  await page.getByText('as a login, a tag or an id').waitFor()
  await search.fill(ben.login)
  await console.button('Open').click()
  await console.title(ben.id)
  await console.fact('Name', '张三')
  await page.locator('.back').click()
  await console.title('Tinode')
})

test('Enter leads to the one who is meant, and nowhere where it may be several', async () => {
  const [one, other] = [await user('One', { tags: ['namesake'] }), await user('Other', { tags: ['namesake'] })]
  const console = await signedIn()
  console.forgiven = isMissing
  const search = console.page.getByRole('searchbox')
  await console.go('Tinode')
  await search.fill('namesake')
  await search.press('Enter')
  for (const { id } of [one, other]) await console.row(id).waitFor()
  await console.title('Tinode')
  const nobody = `${one.id.slice(0, 5)}zzzzz${one.id.slice(10)}`
  await search.fill(nobody)
  await search.press('Enter')
  await console.title(nobody)
  await console.page.getByText('There is no user with this id.').waitFor()
  assert.deepEqual(await deeds(console), ['Erase messages…'], 'the rest can’t be done about nobody')
})

test('a user who is online is found among all users, too, and leads to its own view', async () => {
  const ann = await user('Ann online')
  const console = await signedIn()
  await console.go('Users')
  await console.link(ann.id).click()
  await console.title(ann.id)
  await console.fact('Sessions', '1 session on')
})

test('a user is shown as it is, and signed out for good', async () => {
  const [ann, ben] = [await user('Ann', { tags: ['tea'] }), await user('Ben')]
  const pair = await talk(ann, ben)
  const console = await signedIn()
  const { page } = console
  await console.visit('tinode-user', ann.id)
  await console.title(ann.id)
  for (const [name, value] of [['Name', /^Ann$/], ['Login', ann.login], ['State', 'may sign in'], ['Level', 'auth'], ['Sessions', '1 session'], ['Tags', 'tea'], ['Files', 'none']]) {
    await console.fact(name, value)
  }
  await page.getByRole('region', { name: 'Topics' }).getByText('Ben').waitFor()
  await console.link(pair).waitFor()
  assert.deepEqual(await deeds(console), DEEDS)

  await console.confirm(console.button('Sign out…'), ['Ann', ann.id], 'Sign out')
  await console.says('is signed out; 1 session ended')
  await ann.session.ends()
  await console.fact('Sessions', 'away')
  assert.deepEqual([await signIn('token', ann.token), await signIn('token', ben.token)], [401, 200])
  assert.equal(await signIn('basic', secretOf(ann)), 200)
})

test('a user is suspended, and let in again', async () => {
  const ann = await user('Ann who rests')
  const console = await signedIn()
  await console.visit('tinode-user', ann.id)
  await console.fact('State', 'may sign in')
  await console.confirm(console.button('Suspend…'), [ann.fn, ann.id], 'Suspend')
  await ann.session.ends()
  await console.fact('State', 'suspended')
  assert.deepEqual(await deeds(console), ['Sign out…', 'Resume…', 'Erase messages…', 'Delete…'])
  assert.equal(await signIn('basic', secretOf(ann)), 403)
  await console.confirm(console.button('Resume…'), [ann.fn, ann.id], 'Resume')
  await console.says('may sign in again')
  await console.fact('State', 'may sign in')
  assert.equal(await signIn('basic', secretOf(ann)), 200)
})

test('what a user wrote is erased, also once the user is gone; what others wrote stays', async () => {
  const [ann, ben] = [await user('Ann who writes'), await user('Ben who owns')]
  const topic = await group(ben, 'A group', ann)
  await ann.session.publish(topic, 'a secret')
  await ben.session.publish(topic, 'no secret')
  const console = await signedIn()
  console.forgiven = isMissing
  await console.visit('tinode-user', ann.id)
  await console.fact('Name', ann.fn)
  await console.confirm(console.button('Delete…'), [ann.fn, ann.id], 'Delete')
  await console.says('1 session ended')
  await console.page.getByText('There is no user with this id.').waitFor()
  await ann.session.ends()
  assert.equal(await signIn('token', ann.token), 404)
  assert.deepEqual((await ben.session.reads(topic)).sort(), ['a secret', 'no secret'])
  await console.confirm(console.button('Erase messages…'), [ann.id], 'Erase')
  await console.says('Erased 1 message')
  assert.deepEqual(await ben.session.reads(topic), ['no secret'])
  const again = await session()
  await again.does('acc', { user: 'new', scheme: 'basic', secret: secretOf(ann), desc: { public: { fn: 'Somebody else' } } })
})

test('topics are listed, looked at, and deleted', async () => {
  const [ann, ben, cleo] = [await user('Ann who owns'), await user('Ben the member'), await user('Cleo elsewhere')]
  const topic = await group(ann, 'Hill walkers', ben)
  await talk(ann, cleo)
  await ann.session.publish(topic, 'first')
  const console = await signedIn()
  const { page } = console
  console.forgiven = isMissing
  await console.go('Tinode')
  await console.link('Topics', page.getByRole('navigation', { name: 'Of Tinode' })).click()
  await page.getByRole('searchbox').fill(topic)
  await console.row(topic).waitFor()
  assert.deepEqual(await cells(console, topic), [topic, 'group', 'Hill walkers', ann.id, '2'])
  await console.button('Open').click()
  await console.title(topic)
  for (const [name, value] of [['Name', 'Hill walkers'], ['Kind', 'group'], ['Owner', ann.id], ['Users here', /^2$/], ['Members', /^2$/], ['Messages', 'up to #1']]) await console.fact(name, value)
  const members = page.getByRole('region', { name: 'Members' })
  for (const { fn } of [ann, ben]) await members.getByText(fn).waitFor()
  assert.equal((await page.content()).includes('first'), false, 'nobody reads along')
  await console.confirm(console.button('Delete…'), ['Hill walkers', topic, '2 members'], 'Delete')
  await page.getByText('There is no such topic.').waitFor()
  assert.equal(await console.button('Delete…').count(), 0)
  assert.equal((await ben.session.ask('sub', { topic })).code, 404)
  await console.go('Audit log')
  await console.link(topic, console.row('deleteTopic').filter({ hasText: topic })).click()
  await console.title(topic)
})

test('an API key is shown once; it lets in until it is revoked', async () => {
  const console = await signedIn()
  const { page } = console
  await console.visit('tinode-list', 'keys')
  await console.row('these tests').waitFor()
  await console.button('New key…').click()
  await console.dialog().getByLabel('What it is for').fill('the second app')
  await console.button('Make', console.dialog()).click()
  const made = await console.dialog().getByLabel('Key').inputValue()
  assert.match(made, /^[\w-]{32}$/)
  await console.button('Done', console.dialog()).click()
  const row = console.row('the second app')
  await row.getByText('good', { exact: true }).waitFor()
  assert.equal((await page.content()).includes(made), false)
  await session(made)
  await console.confirm(row.getByRole('button'), ['the second app'], 'Revoke')
  await row.getByText('revoked', { exact: true }).waitFor()
  assert.equal(await row.getByRole('button').count(), 0)
  await assert.rejects(session(made), /closed/)
  await session()
  await console.go('Audit log')
  await console.row('revokeKey').waitFor()
  assert.equal((await page.content()).includes(made), false)
})

test('who may only look sees users, topics and keys, and no button that changes them', async () => {
  const ann = await user('Ann who is seen')
  const topic = await group(ann, 'Seen, too')
  const console = await signedIn(stage.reader)
  const { page } = console
  for (const [kind, name, text] of [['tinode-user', ann.id, 'Seen, too'], ['tinode-topic', topic, ann.fn], ['tinode-list', 'keys', 'these tests']]) {
    await console.visit(kind, name)
    await page.getByText(text).first().waitFor()
    await hasOnly(console, 'More topics', 'More members', 'More keys')
  }
})

isOfItsDialect(stage, 'Tinode', ['tinode-user', 'usrAAAAAAAAAAA'])

test('hostile names are text', async () => {
  const owner = await user(HOSTILE[0])
  const topics = []
  for (const name of HOSTILE) topics.push(await group(owner, name))
  const console = await signedIn()
  const { page } = console
  await console.go('Tinode')
  await page.getByRole('searchbox').fill(owner.login)
  await console.row('onerror').waitFor()
  await isCalm(console, 'the list')
  await console.visit('tinode-user', owner.id)
  await page.getByRole('region', { name: 'Topics' }).getByRole('row').nth(HOSTILE.length).waitFor()
  await isCalm(console, 'a user')
  for (const topic of topics) {
    await console.visit('tinode-topic', topic)
    await page.getByRole('region', { name: 'Members' }).getByText('onerror').waitFor()
    await isCalm(console, topic)
  }
  await page.setViewportSize(PHONE)
  await isCalm(console, 'a phone')
  for (const [kind, name] of [['tinode-user', '../../v1/stat'], ['tinode-user', '%E0%A4%A'], ['tinode-list', '<img src=x>']]) {
    console.forgiven = complaint => /40[04]/.test(complaint)
    await console.visit(kind, name)
    await isCalm(console, `${kind} ${name}`)
  }
})

looksWell(stage, 'console-tinode', async (console, look, name) => {
  const [ann, ben] = [await user(`Look ${name}`, { tags: ['to_look_at'] }), await user('Ben to look at')]
  const topic = await group(ann, 'To look at', ben)
  const { page } = console
  await console.go('Tinode')
  await page.getByRole('searchbox').fill(ann.login)
  await console.row(ann.id).waitFor()
  await look('users')
  await console.visit('tinode-user', ann.id)
  await page.getByText('To look at').waitFor()
  await look('user')
  await console.visit('tinode-list', 'topics')
  await console.row(topic).waitFor()
  await look('topics')
  await console.visit('tinode-topic', topic)
  await page.getByText(ben.fn).waitFor()
  await look('topic')
  await console.visit('tinode-list', 'keys')
  await console.row('these tests').waitFor()
  await look('keys')
  await console.button('New key…').click()
  await console.dialog().waitFor()
  await look('dialog')
})
