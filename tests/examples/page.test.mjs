// Bob, and alice in a real browser on examples/page.html.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { LAPTOP, launch, PHONE } from '../browser/board.mjs'
import { startServer } from '../clients/server.mjs'
import { atEnd, businessServer, command, frailServer, ROOT, scene } from './stage.mjs'

const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => `${from + i}`)
const client = version => join(ROOT, `tests/clients/node_modules/socket.io-client-${version}`)
const FILES = { 2: 'dist/socket.io.js', 4: 'dist/socket.io.min.js' }

const script = version => ({ AO_WEBSOCKET__CLIENT_SCRIPT: join(client(version), FILES[version]) })

/** A server that serves the client of this version. */
async function serve(t, version) {
  const server = await startServer({ env: script(version) })
  atEnd(t, () => server.stop())
  return server
}

let browser
before(async () => { browser = await launch() })
after(() => browser?.close())

for (const version of [4, 2]) {
  /** A scene, and alice's page, not logged in. It comes to the server through the cable. */
  async function meet(t, server, viewport = LAPTOP) {
    const stage = await scene(t, server, { uid: 'alice' })
    const context = await browser.newContext({ viewport })
    atEnd(t, () => context.close())
    const page = await context.newPage()
    page.setDefaultTimeout(60_000)
    const errors = []
    page.on('pageerror', error => errors.push(String(error)))
    atEnd(t, () => assert.deepEqual(errors, [], 'nothing was thrown in the page'))
    const business = await businessServer(t, server, { EVENTS_URL: stage.cable.url })
    await page.goto(business.url)
    const texts = () => page.locator('#messages li').evaluateAll(items => items.map(item => [...item.childNodes].map(node => node.textContent).join(': ')))
    return {
      ...stage, page, business,
      says: text => page.waitForFunction(text => document.getElementById('state').textContent === text, text),
      /** The messages that can be read, all sent, are these, in this order. */
      async shows(...expected) {
        const same = expected => {
          const items = [...document.querySelectorAll('#messages li')]
          const texts = items.map(item => [...item.childNodes].map(node => node.textContent).join(': '))
          return !items.some(item => item.matches('.unsent')) && JSON.stringify(texts) === JSON.stringify(expected)
        }
        await page.waitForFunction(same, expected).catch(async error => assert.deepEqual(await texts(), expected, error.message))
      },
      async send(text) {
        await page.fill('[name=text]', text)
        await page.press('[name=text]', 'Enter')
      },
      async logIn(password = 'wonderland') {
        await page.fill('#login [name=user]', 'alice')
        await page.fill('#login [name=password]', password)
        await page.fill('#login [name=room]', stage.room)
        await page.click('#login button')
      },
    }
  }

  test(`client ${version}.x: history, by pages, then what is said now, both ways, after losses too`, async t => {
    const server = await serve(t, version)
    const { page, bob, cable, logIn, says, shows, send, write, said, hears, returns } = await meet(t, server, PHONE)
    await write(...numbers(0, 450))
    bob.tell('msg', { storage: 1, msgId: 'topic', text: 'gardens' })
    await logIn()
    await says('online')
    await shows(...said(...numbers(0, 450)))
    await page.waitForFunction(text => document.getElementById('people').textContent === text, `with ${bob.uid}`)
    await send('<b>hello</b> é日🎉')
    await hears('<b>hello</b> é日🎉')
    bob.tell('msg', { text: 'no id' })
    await write('<img src=x onerror=alert(1)>')
    const before = [...said(...numbers(0, 450)), 'alice: <b>hello</b> é日🎉', ...said('no id', '<img src=x onerror=alert(1)>')]
    await shows(...before)
    assert(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing sticks out')

    cable.cut()
    await page.waitForFunction(() => /connection lost|no connection/.test(document.getElementById('state').textContent))
    await send('without a network')
    assert.equal(await page.textContent('#messages .unsent'), 'alicewithout a network')
    await write('missed')
    cable.mend()
    await hears('<b>hello</b> é日🎉', 'without a network')
    await shows(...before, 'alice: without a network', ...said('missed'))

    await server.restart()
    await returns(bob)
    await write('after')
    await shows(...before, 'alice: without a network', ...said('missed', 'after'))
  })

  test(`client ${version}.x: a second tap is none, and what a proxy says is told plainly`, async t => {
    const { page, logIn, says, write, shows, said } = await meet(t, await serve(t, version))
    await page.route('**/login', route => route.fulfill({ status: 502, contentType: 'text/html', body: '<html>Bad Gateway' }))
    await logIn()
    await says('logging in does not work at the moment (HTTP 502)')
    await page.unroute('**/login')

    let logins = 0, open
    const opened = new Promise(resolve => { open = resolve })
    await page.route('**/login', async route => {
      logins++
      await opened
      await route.continue()
    })
    await logIn()
    await page.press('#login [name=room]', 'Enter')
    await page.evaluate(() => { for (const button of document.querySelectorAll('button')) button.click() })
    open()
    await says('online')
    await write('hello')
    await shows(...said('hello'))
    assert.equal(logins, 1)
  })

  test(`client ${version}.x: who is not wanted stays away and sees why`, async t => {
    const server = await serve(t, version)
    const { party, page, logIn, says, shows, send, hears, write, said, business } = await meet(t, server)
    await logIn('wrong')
    await says('user or password is wrong')
    await logIn()
    await says('online')
    const { token } = (await server.user('refresh_token', { json: { uid: 'alice' } })).data
    const elsewhere = await party.user('alice elsewhere', { uid: 'alice', token })
    await says('signed in elsewhere')
    await party.barrier(elsewhere)
    await page.waitForSelector('#login', { state: 'visible' })
    await write('meanwhile')
    await logIn()
    await shows(...said('meanwhile'))
    await send('here I am')
    await hears('here I am')
    await send('again')
    await hears('here I am', 'again')
    await shows(...said('meanwhile'), 'alice: here I am', 'alice: again')
    await page.reload()
    await business.kill()
    await logIn()
    await says('the business server does not answer')
  })
}

/** The page as a file. `fill` fills in fields of its second form and sends that. */
async function openFile(t) {
  const page = await browser.newPage()
  atEnd(t, () => page.close())
  page.setDefaultTimeout(60_000)
  await page.goto(pathToFileURL(join(ROOT, 'examples/page.html')).href)
  await page.click('summary')
  const fill = async fields => {
    for (const [name, value] of Object.entries(fields)) await page.fill(`#ticket [name=${name}]`, value)
    await page.click('#ticket button')
  }
  return { page, fill, says: text => page.waitForFunction(text => document.getElementById('state').textContent === text, text) }
}

test('opened as a file, with a token; the room is cleared', async t => {
  const server = await serve(t, 4)
  const { cable, room, uid, token, write } = await scene(t, server, { uid: 'alice' })
  const { page, fill, says } = await openFile(t)
  await fill({ url: cable.url, uid, token: 'wrong', room })
  await says('auth failed, uid or token is wrong')
  await fill({ token })
  await says('online')
  const items = texts => [...document.querySelectorAll('#messages li')].map(item => item.lastChild.textContent).join() === texts
  const shown = texts => page.waitForFunction(items, texts)
  await write('old', 'older')
  await shown('old,older')
  cable.cut()
  await page.waitForFunction(() => document.getElementById('state').textContent !== 'online')
  assert.equal((await server.ask('POST', '/admin/system/clear_room_msgs', { json: { roomId: room } })).meta.status, 0)
  await write('new')
  cable.mend()
  await shown('new')
})

test('a store that does not answer is waited for', async t => {
  const { server, store } = await frailServer(t, script(4))
  const { cable, room, uid, token, write } = await scene(t, server, { uid: 'alice' })
  const { page, fill, says } = await openFile(t)
  store.cut()
  await fill({ url: cable.url, uid, token, room })
  await says('server error, trying again')
  store.mend()
  await says('online')
  await write('there it is')
  await page.waitForFunction(() => document.querySelector('#messages li')?.lastChild.textContent === 'there it is')
})

test('without the script it says what is missing', async t => {
  const server = await startServer()
  atEnd(t, () => server.stop())
  const { page, fill } = await openFile(t)
  await fill({ url: server.url, uid: 'alice', token: 'any' })
  await page.waitForFunction(url => document.getElementById('state').textContent.startsWith(`${url}/socket.io/socket.io.js can't be loaded`), server.url)
})

test('the header names the version and the file', () => {
  const { version } = JSON.parse(readFileSync(join(client(4), 'package.json')))
  assert.equal(command('page.html', 'npm install'), `npm install --prefix target/page socket.io-client@${version}`)
  const script = `target/page/node_modules/socket.io-client/${FILES[4]}`
  assert.equal(command('page.html', 'CLIENT_SCRIPT'), `AO_WEBSOCKET__CLIENT_SCRIPT=${script} cargo run --release`)
  assert.equal(command('page.html', 'business_server'), command('business_server.rs', 'cargo run --example'))
})
