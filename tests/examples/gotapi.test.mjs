// Two people in real browsers on examples/gotapi.html, opened as a file.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { launch, LAPTOP, PHONE } from '../browser/board.mjs'
import { Line } from '../clients/cut.mjs'
import { startServer } from '../clients/server.mjs'
import { atEnd, ROOT } from './stage.mjs'

let browser
before(async () => { browser = await launch() })
after(() => browser?.close())

async function serve(t) {
  const server = await startServer({ env: { AO_GOTAPI__LISTEN: '127.0.0.1:0' } })
  atEnd(t, () => server.stop())
  return server
}

/** Somebody's page, in the room. */
async function enter(t, url, name, { room = '/plans é', viewport = LAPTOP } = {}) {
  const context = await browser.newContext({ viewport })
  atEnd(t, () => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  const errors = []
  page.on('pageerror', error => errors.push(String(error)))
  atEnd(t, () => assert.deepEqual(errors, [], 'nothing was thrown in the page'))
  await page.goto(pathToFileURL(join(ROOT, 'examples/gotapi.html')).href)
  for (const [field, value] of Object.entries({ server: url, room, name })) await page.fill(`[name=${field}]`, value)
  await page.click('#entrance button')
  const person = {
    page,
    says: text => page.waitForFunction(text => document.getElementById('state').textContent === text, text),
    /** What can be read is this, all of it sent. */
    shows: (...expected) => page.waitForFunction(expected => {
      const items = [...document.querySelectorAll('#messages li')]
      const texts = items.map(item => `${item.childNodes[0].textContent}: ${item.childNodes[1].textContent}`)
      return items.every(item => !item.className) && JSON.stringify(texts) === JSON.stringify(expected)
    }, expected),
    async send(text) {
      await page.fill('[name=text]', text)
      await page.press('[name=text]', 'Enter')
    },
  }
  await person.says('online')
  return person
}

const post = (server, room, message) => fetch(new URL(room, server.urls.gotapi), { method: 'POST', body: JSON.stringify(message) })
const stored = (uuid, name, text) => ({ type: 2, uuid, body: { data: { name, text }, hash: '', sent: false } })

test('two people talk, one comes later, and one message is recalled', async t => {
  const server = await serve(t)
  const ann = await enter(t, server.urls.gotapi, 'ann')
  const ben = await enter(t, server.urls.gotapi, 'ben', { viewport: PHONE })
  await ann.send('<b>hello</b> é日🎉')
  await ben.shows('ann: <b>hello</b> é日🎉')
  await ben.send('hello, ann')
  const both = ['ann: <b>hello</b> é日🎉', 'ben: hello, ann']
  await ann.shows(...both)
  await ben.shows(...both)
  const cleo = await enter(t, server.urls.gotapi, 'cleo')
  await cleo.shows(...both)
  await ben.page.click('#messages li:first-child button')
  for (const person of [ann, ben, cleo]) await person.shows('ben: hello, ann')
  assert(await ben.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing sticks out')
  // What is not for this page does no harm.
  for (const strange of ['plain text', '[1]', 'null']) await fetch(new URL('/plans é', server.urls.gotapi), { method: 'POST', body: strange })
  for (const strange of [{ type: 2 }, { type: 2, uuid: 'x', body: { data: 7 } }]) await post(server, '/plans é', strange)
  await ben.send('still there')
  await ann.shows('ben: hello, ann', 'ben: still there')
})

test('what is said while a line is cut arrives, once, on both sides', async t => {
  const server = await serve(t)
  const line = await Line.to(server.urls.gotapi)
  atEnd(t, () => line.close())
  const ann = await enter(t, line.url, 'ann')
  const ben = await enter(t, server.urls.gotapi, 'ben')
  await ann.send('before')
  await ben.shows('ann: before')
  line.cut()
  await ann.says('connection lost, coming back')
  await ann.send('without a network')
  assert.equal(await ann.page.textContent('#messages .unsent b'), 'ann')
  await ben.send('missed')
  await ben.shows('ann: before', 'ben: missed')
  line.mend()
  await ann.says('online')
  await ben.shows('ann: before', 'ben: missed', 'ann: without a network')
  await ann.page.waitForFunction(() => !document.querySelector('#messages .unsent'))
  const texts = await ann.page.locator('#messages li').evaluateAll(items => items.map(item => item.childNodes[1].textContent))
  assert.deepEqual(texts.sort(), ['before', 'missed', 'without a network'])
})

test('what was said before is read page by page', async t => {
  const server = await serve(t)
  const texts = Array.from({ length: 120 }, (_, n) => `${n}`)
  for (const n of texts) await post(server, '/plans é', stored(`uuid ${n}`, 'bot', n))
  const ann = await enter(t, server.urls.gotapi, 'ann')
  const said = from => texts.slice(from).map(n => `bot: ${n}`)
  await ann.shows(...said(70))
  await ann.page.click('#older')
  await ann.shows(...said(20))
  await ann.page.click('#older')
  await ann.shows(...said(0))
  await ann.page.click('#older')
  await ann.page.waitForFunction(() => document.getElementById('older').hidden)
  await ann.shows(...said(0))
})
