// The console in a real browser, against a real server with real clients: everything that an operator does there, and what nobody may do with it.
import { strict as assert } from 'node:assert'
import { describe, test } from 'node:test'
import { PHONE } from './board.mjs'
import { Client } from './console.mjs'
import { consoleStage, hasOnly, isCalm, looksWell } from './console-stage.mjs'

const TALL = { viewport: { width: 1280, height: 1400 } }

const stage = consoleStage({ AO_RETENTION__RULES: 'news:*=30d,10000; *=365d' }, () => { ({ admin, reader, server } = stage) })
const { call: api, console: open, signedIn } = stage
let admin, reader, server

const client = async (uid, ...rooms) => stage.opens(await Client.join(server, uid, ...rooms))
const publish = (room, message, uid) => api('publish', { roomId: room, message: { storage: 0, ...message }, ...(uid && { uid }) })

describe('signing in', () => {
  test('wrong credentials are told, right ones are kept in the tab, and signing out forgets them', async () => {
    const console = await open()
    console.forgiven = complaint => complaint.includes('401')
    const { page } = console
    await page.getByLabel('Administrator', { exact: true }).fill(admin.uid)
    await page.getByLabel('Token', { exact: true }).fill('wrong')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').filter({ hasText: 'is wrong' }).waitFor()
    assert.equal(await page.evaluate(() => sessionStorage.length), 0)
    await console.signIn(admin)
    await page.reload()
    await console.title('Overview')
    assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie]), [0, ''])
    const other = await console.context.newPage()
    await other.goto(console.url)
    await other.getByRole('button', { name: 'Sign in' }).waitFor()
    await console.button('Sign out').click()
    await console.button('Sign in').waitFor()
    assert.equal(await page.evaluate(() => sessionStorage.length), 0)
  })

  test('credentials that stop counting end the session', async () => {
    const uid = 'short-lived'
    const console = await signedIn({ uid, token: await server.command('admin', 'create', uid) })
    console.forgiven = complaint => complaint.includes('401')
    await server.command('admin', 'remove', uid)
    await console.page.getByRole('alert').filter({ hasText: 'do not count any more' }).waitFor()
  })
})

describe('the views', () => {
  test('the overview shows figures over time, by themselves', async () => {
    const console = await signedIn()
    const { page } = console
    const [ann] = [await client('ann', 'hall'), await client('ben', 'hall')]
    await ann.send({ s: 0, text: 'hello' })
    const chart = title => page.locator('.chart').filter({ has: page.getByRole('heading', { name: title, exact: true }) })
    await chart('Connections').locator('.value', { hasText: /^2$/ }).waitFor()
    await chart('Users').locator('.value', { hasText: /^2$/ }).waitFor()
    await chart('Rooms').locator('.value', { hasText: /^1$/ }).waitFor()
    await chart('Memory').locator('.value', { hasText: 'MiB' }).waitFor()
    // The mean since the last answer, so it is there for one of them.
    const seen = chart('Latency of deliveries').locator('.line[d^=M]').waitFor({ state: 'attached' })
    await ann.send({ s: 0, text: 'how long does it take?' })
    await seen
    await page.waitForFunction(() => document.querySelector('.chart .line')?.getAttribute('d').includes('L'))
    const told = await chart('Connections').getByRole('img').getAttribute('aria-label')
    assert.match(told, /^Connections: now 2, lowest \d, highest 2; the last 5 minutes$/)
    await console.button('30 min').click()
    await console.button('By node').click()
    assert.match(await chart('Connections').getByRole('img').getAttribute('aria-label'), /now 2, .*; the last 30 minutes$/)
    await console.row('embedded').filter({ hasText: 'answers' }).waitFor()
    await page.getByText('Settings of the node that answers').click()
    await page.locator('.settings').getByText('websocket.listen', { exact: true }).waitFor()
  })

  test('nothing moves when the figures change', async () => {
    const console = await signedIn()
    const { page } = console
    await client('carla', 'moving')
    await console.row('embedded').waitFor()
    await page.evaluate(() => {
      globalThis.shifts = []
      new PerformanceObserver(list => shifts.push(...list.getEntries().map(({ value }) => value))).observe({ type: 'layout-shift' })
    })
    for (let i = 0; i < 4; i++) {
      await client(`guest ${i}`, `moving ${i}`)
      await page.waitForResponse(answer => answer.url().endsWith('/v1/stat'))
    }
    // The beginning of a number at the right edge moves with its length, and so do the times below the charts: a thousandth is more than all of that.
    const moved = await page.evaluate(() => shifts.reduce((a, b) => a + b, 0))
    assert(moved < 0.001, `the page moved by ${moved}`)
  })

  test('counters become rates: of each node between its own readings, and together their sum', async () => {
    const console = await open()
    const rates = await console.page.evaluate(async () => {
      const { Stat } = await import(new URL('./stat.js', location.href).href)
      const stat = new Stat({ get: () => new Promise(() => {}) }, new AbortController().signal)
      const node = (id, at, messages, more) => ({ id, at, connections: 1, messages, cpu: at / 10_000, memory: 5, ...more })
      const add = (time, ...nodes) => stat.add({ connections: nodes.length, users: 1, rooms: 1, nodes }, time, 7)
      add(0, node('a', 1000, 10), node('b', 1000, 100))
      add(2000, node('a', 3000, 30), node('b', 1000, 100)) // b has not told anything new
      add(4000, node('a', 5000, 50), node('b', 4000, 160))
      add(6000, node('a', 7000, 50), node('b', 4000, 160), node('c', 7000, 999)) // c has just come
      add(8000, node('a', 9000, 5), { id: 'old', connections: 1 }) // a began anew; one of an older build
      return stat.samples.map(({ total, nodes }) => [total.messages, total.latency, ...[...nodes.values()].map(({ messages }) => messages)])
    })
    assert.deepEqual(rates, [[null, 7, null, null], [10, 7, 10, null], [30, 7, 10, 20], [20, 7, 0, 20, null], [null, 7, null, null]])
  })

  test('latency is the mean since the answer before, of the slowest node, and none where nothing was delivered', async () => {
    const console = await open()
    const latencies = await console.page.evaluate(async () => {
      const { Stat } = await import(new URL('./stat.js', location.href).href)
      const stat = new Stat({ get: () => new Promise(() => {}) }, new AbortController().signal)
      const node = (id, at, latencyCount, latencySum) => ({ id, at, connections: 1, latencyCount, latencySum })
      const add = (time, ...nodes) => stat.add({ connections: 1, users: 1, rooms: 1, nodes }, time, 7)
      add(0, node('a', 1000, 4, 1), node('b', 1000, 0, 0))
      add(2000, node('a', 3000, 6, 1.008), node('b', 3000, 1, 0.002))
      add(4000, node('a', 5000, 6, 1.008), node('b', 5000, 1, 0.002))
      add(6000, node('a', 7000, 1, 0.5), node('b', 7000, 2, 0.003)) // a began anew
      return [stat.latencyOf, ...stat.samples.map(({ total, nodes }) => [total, ...nodes.values()].map(({ latency }) => latency && Math.round(latency * 1000) / 1000))]
    })
    assert.deepEqual(latencies, ['deliveries', [null, null, null], [4, 4, 2], [null, null, null], [1, null, 1]])
  })

  test('several nodes have a line and a row each, and the one that answers can be drained', async () => {
    const console = await open()
    const { page } = console
    let messages = 0, draining = false
    const node = (id, isThis) => ({ id, this: isThis, draining: isThis && draining, connections: 3, at: Date.now(), uptime: 90_061, users: 3, rooms: 1, messages: messages += 40, deliveries: 0, bytesIn: 0, bytesOut: 0, memory: 64 << 20, cpu: 1 })
    await page.route('**/v1/stat', async route => {
      const answer = await route.fetch()
      await route.fulfill({ response: answer, json: { ...await answer.json(), connections: 6, nodes: [node('node one', true), node('node two', false)] } })
    })
    // The server is needed further on: what it is asked to do is looked at, and not done.
    const drained = []
    await page.route('**/v1/drain', route => { drained.push(route.request().postDataJSON()); return route.fulfill({ json: { connections: 3 } }) })
    await console.signIn(admin)
    await console.row('node one').filter({ hasText: '1 d 1 h' }).waitFor()
    await console.button('By node').click()
    const chart = page.locator('.chart').first()
    assert.equal(await chart.locator('.line').count(), 2)
    assert.match(await chart.getByRole('img').getAttribute('aria-label'), /^Connections: now node one 3, node two 3; /)
    assert.equal(await console.button('Drain node two').count(), 0, 'a node drains itself alone')
    await console.confirm(console.button('Drain node one'), ['node one', '3 connections'], 'Drain')
    await console.says('Sending 3 connections away')
    assert.deepEqual(drained, [{ over: 30, node: 'node one' }])
    draining = true
    await console.row('node one').filter({ hasText: 'draining' }).waitFor()
    await console.confirm(console.button('End the drain of node one'), ['node one', 'newcomers'], 'End the drain')
    await console.says('lets newcomers in again')
    assert.deepEqual(drained.at(-1), { cancel: true, node: 'node one' })
    await console.confirm(console.button('Reload the settings'), ['nothing is changed'], 'Reload')
    await console.says('Nothing has changed.')
    assert.deepEqual(await console.findings(), [])
  })

  test('who gets in is switched for all nodes, and back', async () => {
    const console = await signedIn()
    const { page } = console
    await page.getByText('who has a valid token').waitFor()
    const change = console.button('Change who gets in')
    await console.confirm(change, ['all nodes', 'without a token'], 'Let everybody in')
    await console.says('Users need no tokens.')
    await page.getByText('everybody: users are believed').waitFor()
    await console.confirm(change, ['all nodes', 'a valid token'], 'Ask for tokens')
    await console.says('Users need tokens.')
    await page.getByText('who has a valid token').waitFor()
    assert.equal((await api('config', {})).forceUserAuth, true)
  })

  test('rooms and users are searched and paged by the server', async () => {
    for (let i = 0; i < 60; i++) await client(`many ${String(i).padStart(2, '0')}`, `crowd ${String(i).padStart(2, '0')}`)
    const console = await signedIn()
    const { page } = console
    for (const [section, first, last, behind] of [['Rooms', 'crowd 00', 'crowd 49', 'crowd 50'], ['Users', 'many 00', 'many 49', 'many 50']]) {
      await console.go(section)
      // It begins a little after the last letter, and at the first page.
      const searched = page.waitForResponse(answer => answer.request().postData()?.includes('"prefix"'))
      await page.getByRole('searchbox').fill(first.slice(0, -2))
      await searched
      await console.row(first).waitFor()
      await console.row(last).waitFor()
      assert.equal(await console.row(behind).count(), 0)
      await console.button('Next').click()
      await console.row(behind).waitFor()
      assert.equal(await console.row(first).count(), 0)
      await console.button('Previous').click()
      await console.row(first).waitFor()
      await page.getByRole('searchbox').fill('nobody has this')
      await page.locator('.empty', { hasText: 'nobody has this' }).waitFor()
      await page.getByRole('searchbox').fill(behind)
      await console.link(behind).click()
      await console.title(behind)
    }
  })

  test('a room shows its log, updates and members as they come, and all that is done to it', async () => {
    const room = 'news: the/room'
    for (let i = 0; i < 60; i++) await publish(room, { text: `old ${i}` }, 'editor')
    const [ann, ben] = [await client('ann 2', room), await client('ben 2', room)]
    const console = await signedIn()
    const { page } = console
    await console.go('Rooms')
    await console.link(room).click()
    await console.title(room)
    await console.fact('Users here', '2')
    await console.fact('Stored messages', '60')
    await console.fact('Kept', '30 d · newest 10,000')
    const entries = page.getByRole('region', { name: 'Log' }).getByRole('listitem')
    await entries.filter({ hasText: 'old 59' }).waitFor()
    assert.equal(await entries.count(), 50)
    await console.button('Older messages').click()
    await entries.filter({ hasText: '"old 0"' }).waitFor()
    await ann.send({ s: 0, text: 'just now' })
    await entries.first().filter({ hasText: 'just now' }).waitFor()
    assert.equal(await entries.filter({ hasText: 'just now' }).count(), 1)
    await publish(room, { storage: 1, msgId: 'topic', text: 'first topic' })
    await publish(room, { storage: 1, msgId: 'topic', text: 'second topic' })
    await page.getByRole('region', { name: 'Updates' }).getByText('second topic').waitFor()

    await console.button('Publish…').click()
    await page.getByLabel('Message, a JSON object').fill('no json')
    await console.button('Publish', console.dialog()).click()
    await console.dialog().getByRole('alert').filter({ hasText: 'no JSON' }).waitFor()
    await page.getByLabel('Message, a JSON object').fill('{"text": "from above"}')
    await console.button('Publish', console.dialog()).click()
    await console.says('Published to 2 users')
    await ben.hears(({ text }) => text === 'from above')

    await console.confirm(console.button('Kick ben 2'), ['ben 2', room], 'Kick')
    await console.row('ben 2').waitFor({ state: 'detached' })
    await console.fact('Users here', '1')

    await console.button('Trim…').click()
    await page.getByLabel('Number').fill('5')
    await console.button('Trim', console.dialog()).click()
    await console.says('Removed')
    await console.fact('Stored messages', /^5$/)
    await console.confirm(console.button('Clear…'), [room, '5 messages', 'can’t be undone'], 'Clear')
    await page.getByText('No messages are stored here.').waitFor()
    assert.equal(await entries.count(), 0)
    await ann.send({ s: 0, text: 'a new beginning' })
    await entries.filter({ hasText: 'a new beginning' }).waitFor()
  })

  test('of many updates the newest are shown', async () => {
    const room = 'a large board'
    const update = i => ({ publish: { roomId: room, message: { storage: 1, msgId: `shape ${i}`, text: `shape ${i}` } } })
    await api('batch', { commands: Array.from({ length: 510 }, (_, i) => update(i)) })
    const console = await signedIn()
    const { page } = console
    await console.visit('room', room)
    await page.getByRole('heading', { name: 'Updates (the newest 500 of 510)', exact: true }).waitFor()
    const updates = page.getByRole('region', { name: 'Updates' }).getByRole('listitem')
    assert.equal(await updates.count(), 500)
    await updates.first().filter({ hasText: 'shape 509' }).waitFor()
  })

  test('a user is found, given tokens, sent away and erased, and the audit log has it all', async () => {
    const ann = await client('ann 3', 'den')
    await ann.send({ s: 0, text: 'to be erased' })
    const console = await signedIn()
    const { page } = console
    await console.go('Users')
    await console.link('ann 3').click()
    await console.title('ann 3')
    await console.fact('State', 'online')
    await console.fact('Connections', '1')
    await console.link('den').waitFor()
    await console.confirm(console.button('Erase messages…'), ['ann 3', 'all rooms', 'can’t be undone'], 'Erase')
    await console.says('Erased')
    await console.confirm(console.button('Disconnect…'), ['ann 3'], 'Disconnect')
    await console.says('Ended 1 session')
    await ann.gone
    await console.fact('State', 'away')
    await console.confirm(console.button('Revoke JWTs…'), ['ann 3'], 'Revoke')
    await console.confirm(console.button('Take the token away…'), ['ann 3'], 'Take away')

    await console.go('Users')
    await page.getByRole('searchbox').fill('newcomer 3')
    await console.button('Open').click()
    await console.title('newcomer 3')
    const tokens = []
    for (const [leads, does] of [['Make a token…', 'Make a token'], ['Replace the token…', 'Replace']]) {
      await console.button(leads).click()
      await console.button(does, console.dialog()).click()
      const shown = console.dialog().getByLabel('Token')
      await shown.waitFor()
      tokens.push(await shown.inputValue())
      await console.button('Done', console.dialog()).click()
      await console.dialog().waitFor({ state: 'detached' })
    }
    assert.match(tokens.join(' '), /^\w{24} \w{24}$/)
    console.forgiven = complaint => complaint.includes('409')
    await console.button('Make a token…').click()
    await console.button('Make a token', console.dialog()).click()
    await console.dialog().getByRole('alert').filter({ hasText: 'has a token' }).waitFor()
    await page.keyboard.press('Escape')

    await console.go('Audit log')
    const rows = page.getByRole('row')
    await rows.filter({ hasText: 'token/refresh' }).first().waitFor()
    const text = (await rows.allInnerTexts()).join('\n')
    for (const method of ['token/create', 'token/refresh', 'token/revoke', 'revoke', 'disconnect', 'erase']) assert(text.includes(method), method)
    assert.match(text, /admin[^]*token\/create[^]*newcomer 3[^]*user-exists/)
    for (const token of tokens) assert(!(await page.content()).includes(token), 'no token stays in the page')
    assert(!text.includes('to be erased'))
  })

  test('webhooks that were put aside are listed and sent again', async () => {
    const console = await signedIn()
    const { page } = console
    await console.go('Webhooks')
    await page.getByText('Nothing was put aside.').waitFor()
    // A real one takes three days.
    const asked = []
    const batch = { id: 'msg_1', roomId: 'hall', parkedAt: '2025-01-02T03:04:05Z', attempts: 10, why: 'status 500', body: { type: 'room.events' } }
    await page.route('**/v1/hooks/*', route => {
      asked.push([new URL(route.request().url()).pathname, route.request().postDataJSON()])
      const failed = !asked.some(([path]) => path.endsWith('replay'))
      route.fulfill({ json: route.request().url().endsWith('failed') ? { batches: failed ? [batch] : [] } : { replayed: 1 } })
    })
    await console.row('status 500').waitFor()
    await console.confirm(console.button('Send msg_1 again'), ['msg_1', 'main'], 'Send again')
    await console.says('Sending 1 batch again')
    await page.getByText('Nothing was put aside.').waitFor()
    assert.deepEqual(asked.find(([path]) => path.endsWith('replay')), ['/v1/hooks/replay', { endpoint: 'main', ids: ['msg_1'] }])
  })

  test('an empty page of webhooks is not all of them', async () => {
    const console = await signedIn()
    const { page } = console
    const batch = { id: 'msg_1', roomId: 'hall', parkedAt: '2025-01-02T03:04:05Z', attempts: 10, why: 'status 500', body: {} }
    const pages = { first: { batches: [], next: 'second' }, second: { batches: [batch], next: 'third' }, third: { batches: [] } }
    await page.route('**/v1/hooks/failed', route => route.fulfill({ json: pages[route.request().postDataJSON().cursor ?? 'first'] }))
    await console.go('Webhooks')
    await page.getByText('Nothing on this page.').waitFor()
    await console.button('Next').click()
    await console.row('status 500').waitFor()
    await console.button('Next').click()
    await page.getByText('Nothing on this page.').waitFor()
    assert.equal(await page.getByText('Nothing was put aside.').isVisible(), false)
    assert.equal(await console.button('Next').isDisabled(), true)
    await console.button('Previous').click()
    await console.row('status 500').waitFor()
  })

  test('a server that does not answer is said, and what is shown stays', async () => {
    const console = await signedIn()
    const { page } = console
    console.forgiven = complaint => complaint.includes('ERR_')
    await client('dora', 'lobby')
    await console.go('Rooms')
    await console.row('lobby').waitFor()
    await page.route('**/v1/**', route => route.abort())
    await page.locator('.state', { hasText: 'No answer' }).waitFor()
    await page.getByText('What is shown is not of now.').waitFor()
    assert.equal(await console.row('lobby').count(), 1)
    await page.unroute('**/v1/**')
    await page.locator('.state', { hasText: 'Live' }).waitFor()
    await page.getByText('What is shown is not of now.').waitFor({ state: 'hidden' })
  })
})

describe('who may only look', () => {
  test('sees every view without a button that changes anything, and the server refuses the rest', async () => {
    await client('frida', 'gallery')
    await publish('gallery', { text: 'a picture' })
    const console = await signedIn(reader)
    const { page } = console
    await page.getByText('may look').waitFor()
    const look = () => hasOnly(console, 'Together', 'By node', '5 min', '30 min', 'Show', 'Older', 'Newer', 'Older messages', 'More members')
    await look()
    for (const section of ['Rooms', 'Users', 'Webhooks', 'Audit log']) {
      await console.go(section)
      await look()
    }
    await console.visit('room', 'gallery')
    await page.getByText('a picture').waitFor()
    await console.row('frida').waitFor()
    await look()
    await console.visit('user', 'frida')
    await console.fact('State', 'online')
    await look()
    console.forgiven = complaint => complaint.includes('403')
    const refused = await page.evaluate(async ({ uid, token }) => {
      const headers = { authorization: `Basic ${btoa(`${uid}:${token}`)}`, 'content-type': 'application/json' }
      const answer = await fetch('/v1/clear', { method: 'POST', headers, body: '{"roomId":"gallery"}' })
      return [answer.status, (await answer.json()).type]
    }, reader)
    assert.deepEqual(refused, [403, '/v1/docs#read-only'])
  })
})

describe('hostile names and messages', () => {
  const names = [
    '<img src=x onerror="globalThis.hacked=1">', '"><script>globalThis.hacked=1</script>', "'-globalThis.hacked-'", 'javascript:globalThis.hacked=1', '../../v1/stat?a=b#c%00',
    '\u202Egnp.exe\u202C\u200B', 'עברית and العربية', '%E0%A4%A', 'x'.repeat(256), '__proto__', '{{7*7}}${7*7}',
  ]

  test('are text in every view', async () => {
    for (const [at, name] of names.entries()) {
      await client(name, name)
      await publish(name, { text: name, html: '<b onclick=globalThis.hacked=1>', lines: 'one\ntwo', at }, name)
    }
    await api('kick', { roomId: names[0], uid: names[1] })
    const console = await signedIn(admin, TALL)
    const { page } = console
    for (const section of ['Rooms', 'Users', 'Audit log']) {
      await console.go(section)
      await console.row('onerror').first().waitFor()
      await isCalm(console, section)
    }
    for (const name of names) for (const [kind, needed] of [['room', 'Stored messages'], ['user', 'Connections']]) {
      await console.visit(kind, name)
      await console.fact(needed, /^1$/)
      await isCalm(console, `${kind} ${name}`)
    }
    await console.visit('room', names[5])
    await console.title('⟨202E⟩gnp.exe⟨202C⟩⟨200B⟩')
    await console.visit('room', names[0])
    await console.button(`Kick ${names[0]}`).click()
    await console.dialog().getByText(names[0]).first().waitFor()
    await isCalm(console, 'a dialog')
    await console.button('Cancel', console.dialog()).click()
    await page.setViewportSize(PHONE)
    await isCalm(console, 'a phone')
  })
})

describe('by keyboard', () => {
  test('the first key skips to the content, and dialogs give the focus back', async () => {
    await client('gina', 'keys')
    const console = await signedIn()
    const { page } = console
    const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent)
    await page.reload()
    await console.title('Overview')
    await page.keyboard.press('Tab')
    assert.equal(await focused(), 'skip')
    await page.keyboard.press('Enter')
    assert.equal(await focused(), 'main')
    await console.go('Rooms')
    assert.equal(await focused(), 'Rooms', 'the title of the view')
    await page.keyboard.press('Tab')
    assert.equal(await focused(), 'search')
    await page.keyboard.type('keys')
    await page.keyboard.press('Enter')
    await console.title('keys')
    await console.row('gina').waitFor()
    await console.button('Clear…').focus()
    await page.keyboard.press('Enter')
    await console.dialog().waitFor()
    assert.equal(await focused(), 'Cancel', 'Enter alone destroys nothing')
    await page.keyboard.press('Escape')
    await console.dialog().waitFor({ state: 'detached' })
    assert.equal(await focused(), 'Clear…')
  })
})

looksWell(stage, 'console', async (console, look, device) => {
  const room = `look ${device}`
  await client(`hugo ${device}`, room)
  await client(`ida ${device}`, room)
  await publish(room, { text: 'hello' }, 'editor')
  await publish(room, { storage: 1, msgId: 'topic', text: 'an update' })
  const { page } = console
  await console.row('embedded').waitFor()
  await page.waitForFunction(() => document.querySelector('.chart .line')?.getAttribute('d').includes('L'))
  await look('overview')
  await console.go('Rooms')
  await console.row(room).waitFor()
  await look('rooms')
  await page.getByRole('searchbox').fill('nothing of this name')
  await page.locator('.empty:visible').waitFor()
  await look('nothing')
  await console.visit('room', room)
  await page.getByText('an update').waitFor()
  await console.row('ida').waitFor()
  await look('room')
  await console.button('Trim…').click()
  await look('dialog')
  await page.keyboard.press('Escape')
  await console.button(`Kick ida ${device}`).click()
  await console.button('Kick', console.dialog()).click()
  await console.says('out of the room')
  await look('done')
  await console.go('Users')
  await console.row('hugo').first().waitFor()
  await look('users')
  await console.visit('user', `hugo ${device}`)
  await console.fact('State', 'online')
  await look('user')
  await console.go('Webhooks')
  await page.getByText('Nothing was put aside.').waitFor()
  await look('hooks')
  await console.go('Audit log')
  await console.row('kick').first().waitFor()
  await look('audit')
}, look => look('sign-in'))
