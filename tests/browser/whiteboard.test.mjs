// Anna and Bert draw on one board, in two browser contexts.
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { LAPTOP, PHONE } from './board.mjs'
import { forgive, ours, stage } from './stage.mjs'

const ROOF = [[300, 420], [400, 300], [500, 420]]
const FLOOR = [[300, 560], [500, 560]]
const WAVE = [[700, 300], [760, 360], [820, 300], [880, 360], [940, 300]]

const board = stage('/')
const { enter, newRoom } = board

test('what one draws the other sees, after a reload and later too', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  await anna.draw(ROOF)
  await anna.draw(FLOOR)
  await bert.sees([...ROOF, ...FLOOR])
  await anna.stored()
  await bert.looksAs(anna)

  await bert.page.reload()
  await bert.sees([...ROOF, ...FLOOR])
  const carla = await enter(room)
  await carla.looksAs(anna)
})

test('a stroke is seen while it is drawn, with the pointer and the name of who draws', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  await anna.draw(WAVE, { lift: false })
  await bert.sees(WAVE.slice(0, -1))
  const name = await anna.page.evaluate(() => document.querySelector('#people li').firstChild.title)
  await bert.page.locator('.cursor', { hasText: name }).waitFor()
  await anna.page.mouse.up()
  await anna.stored()
  await bert.sees(WAVE)
})

test('a stroke longer than a piece arrives whole', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  const spiral = Array.from({ length: 24 }, (_, i) => [640 + Math.cos(i / 2) * (40 + i * 8), 380 + Math.sin(i / 2) * (40 + i * 8)].map(Math.round))
  await anna.draw(spiral)
  await bert.sees(spiral)
  await anna.stored()
  const carla = await enter(room)
  await carla.sees(spiral)
  await carla.looksAs(anna)
})

test('the eraser takes away what it touches, in every window', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  await anna.draw(FLOOR)
  await bert.sees(FLOOR)
  await bert.page.keyboard.press('e')
  await bert.draw([[400, 540], [400, 580]])
  await anna.sees([[400, 560]], false)
  await anna.sees(FLOOR)
})

test('clearing reaches everybody, now and later', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  await anna.draw(ROOF)
  await anna.stored() // Bert has got it when his own is stored: what he clears is what he has
  await bert.draw(FLOOR)
  await anna.sees([...ROOF, ...FLOOR])
  await bert.sees([...ROOF, ...FLOOR])
  await bert.stored()
  await bert.page.getByRole('button', { name: 'Clear the board' }).click()
  await bert.page.getByRole('button', { name: 'Clear', exact: true }).click()
  await anna.sees([...ROOF, ...FLOOR], false)
  await bert.sees([...ROOF, ...FLOOR], false)
  await bert.stored()
  await anna.draw(WAVE)
  await bert.sees(WAVE)
  await anna.stored()
  const carla = await enter(room)
  await carla.sees(WAVE)
  await carla.sees([...ROOF, ...FLOOR], false)
})

test('who comes and goes is listed', async () => {
  const room = newRoom()
  const anna = await enter(room)
  const count = n => anna.page.waitForFunction(n => document.querySelectorAll('#people li').length === n, n)
  await count(1)
  const bert = await enter(room)
  await count(2)
  await bert.page.goto('about:blank')
  await count(1)
})

test('a restarted server: the page says so, comes back, and a stroke drawn meanwhile arrives exactly once', ours, async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  await anna.draw(ROOF)
  await bert.sees(ROOF)
  await anna.stored()
  await bert.page.evaluate(watchRoom, { room })

  await board.server.stop()
  await Promise.all([anna.status('Reconnecting'), bert.status('Reconnecting')])
  await anna.draw(FLOOR)
  await anna.page.waitForFunction(() => document.getElementById('status').textContent.includes('1 to send'))
  await board.server.start()
  await Promise.all([anna.status('Online'), bert.status('Online')])
  await anna.stored()
  await bert.sees([...ROOF, ...FLOOR])

  await anna.draw(WAVE) // what arrives before this has arrived by now
  await bert.page.waitForFunction(() => window.watched.length >= 3)
  const watched = await bert.page.evaluate(() => window.watched)
  assert.equal(watched.length, 3)
  assert.equal(new Set(watched).size, 3)
  const carla = await enter(room)
  await carla.sees([...ROOF, ...FLOOR, ...WAVE])
  forgive(anna, bert)
})

/** Runs in the page: a second client, unseen by the others, that notes the stroke of every stored piece it is handed. */
async function watchRoom({ room }) {
  const { AlwaysOnline } = await import('/always-online.js')
  const { uid, token, url } = await (await fetch('/token', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' })).json()
  const watcher = new AlwaysOnline(url, { uid, token, room, dummy: true })
  window.watched = []
  watcher.on('message', ({ message, kind }) => kind === 0 && window.watched.push(message.msgId))
  await new Promise(done => watcher.on('state', ({ state }) => state === 'online' && done()))
}

test('the same identity elsewhere: this window says so and stays away until asked', async () => {
  const room = newRoom()
  const anna = await enter(room)
  const again = await enter(room, { identity: await anna.identity() })
  await anna.status('Kicked out')
  await anna.page.getByRole('heading', { name: 'Signed in elsewhere' }).waitFor()
  await anna.page.evaluate(() => dispatchEvent(new Event('online'))) // what makes a dropped client try at once
  await again.draw(ROOF)
  await again.stored()
  await anna.status('Kicked out')
  await again.status('Online')

  await anna.page.getByRole('button', { name: 'Use it here' }).click()
  await anna.status('Online')
  await anna.sees(ROOF)
  await again.status('Kicked out')
})

test('an identity that the server does not know is replaced', async () => {
  const stranger = JSON.parse(await (await enter(newRoom())).identity())
  const anna = await enter(newRoom(), { identity: JSON.stringify({ ...stranger, token: 'of another server' }) })
  assert.notEqual(JSON.parse(await anna.identity()).uid, stranger.uid)
})

test('two fingers move the view and leave no ink', async () => {
  const phone = await enter(newRoom(), { viewport: PHONE, hasTouch: true, isMobile: true })
  const zoom = () => phone.page.evaluate(() => parseInt(document.getElementById('fit').textContent))
  const before = await zoom()
  const fingers = await phone.context.newCDPSession(phone.page)
  const touch = (type, ...points) => fingers.send('Input.dispatchTouchEvent', { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) })
  await touch('touchStart', [150, 300])
  await touch('touchStart', [150, 300], [250, 300])
  for (let i = 1; i <= 10; i++) await touch('touchMove', [150 - i * 5, 300], [250 + i * 5, 300])
  await touch('touchEnd')
  await phone.page.waitForFunction(before => parseInt(document.getElementById('fit').textContent) > before * 1.8, before)
  await phone.sees([[150, 300], [195, 300], [250, 300]], false)
  await phone.stored()
})

test('a phone and a dark laptop show the same drawing', async () => {
  const room = newRoom()
  const [light, dark] = [await enter(room), await enter(room, { viewport: LAPTOP, colorScheme: 'dark' })]
  await light.draw(ROOF)
  await light.draw(FLOOR)
  await light.stored()
  const phone = await enter(room, { viewport: PHONE, deviceScaleFactor: 3, hasTouch: true, isMobile: true })
  await dark.sees([...ROOF, ...FLOOR])
  const anyInk = () => { const { width, height } = document.getElementById('board'); return document.getElementById('board').getContext('2d').getImageData(0, 0, width, height).data.some((v, i) => i % 4 === 3 && v > 128) }
  await phone.page.waitForFunction(anyInk)
  await phone.page.touchscreen.tap(195, 300)
  await light.page.waitForFunction(() => document.querySelectorAll('.cursor').length === 1)
  for (const [name, w] of Object.entries({ light, dark, phone })) await board.picture(name, w)
})
