// Takes the pictures of the documents, docs/images/NAME.png, of each page. Run with AO_BIN like the tests: npm run picture [whiteboard|chat|events]
import { stat } from 'node:fs/promises'
import { launch, Window } from './board.mjs'
import { Server } from './server.mjs'

const TAU = Math.PI * 2

/** Points along a function of 0…1, with the small unsteadiness of a hand. */
const along = (f, n = 40) => Array.from({ length: n + 1 }, (_, i) => f(i / n).map((v, k) => v + Math.sin(i * 0.2 + k * 2 + n) * 0.8))
const line = (...points) => points.slice(1).flatMap(([x, y], i) => along(t => [points[i][0] + (x - points[i][0]) * t, points[i][1] + (y - points[i][1]) * t], 10))
const arc = (x, y, rx, ry, from = 0, to = 1) => along(t => [x + rx * Math.cos(TAU * (from + (to - from) * t)), y + ry * Math.sin(TAU * (from + (to - from) * t))])
const box = (x, y, w, h) => line([x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y])
const scribble = (x, y, rx, ry, turns) => along(t => [x - rx + 2 * rx * t, y + ry * Math.sin(t * TAU * turns) * Math.sin(Math.PI * (0.12 + 0.76 * t))], turns * 8)
const hill = (x0, x1, y, height, phase) => along(t => [x0 + (x1 - x0) * t, y - height * Math.sin(t * Math.PI * 1.6 + phase)], 50)

const landscape = [
  ['Green', 'Thick', hill(120, 1160, 590, 34, 0.4)],
  ['Green', 'Medium', hill(640, 1120, 520, 60, 0.25)],
  ['Ink', 'Medium', box(330, 415, 180, 145)],
  ['Red', 'Thick', line([305, 420], [420, 315], [535, 420], [305, 420])],
  ['Orange', 'Medium', line([398, 558], [398, 488], [442, 488], [442, 558])],
  ['Ink', 'Thin', arc(432, 526, 3, 3)],
  ['Blue', 'Medium', box(350, 445, 32, 30)],
  ['Blue', 'Medium', box(460, 445, 32, 30)],
  ['Ink', 'Medium', line([478, 362], [478, 318], [502, 318], [502, 388])],
  ['Ink', 'Thin', along(t => [490 + 60 * t + 9 * Math.sin(t * 14), 304 - 66 * t], 40)],
]
const sky = [
  ['Orange', 'Thick', arc(930, 215, 52, 52, 0, 1.02)],
  ...Array.from({ length: 10 }, (_, i) => i / 10 * TAU).map(a => ['Orange', 'Medium', line([930 + 74 * Math.cos(a), 215 + 74 * Math.sin(a)], [930 + 104 * Math.cos(a), 215 + 104 * Math.sin(a)])]),
  ['Blue', 'Medium', [...arc(585, 190, 30, 26, 0.35, 0.92), ...arc(636, 172, 36, 34, 0.55, 0.95), ...arc(688, 196, 28, 24, 0.65, 1.2), ...line([690, 219], [572, 214])]],
  ['Ink', 'Thin', [...arc(745, 138, 16, 12, 0.55, 0.98), ...arc(777, 138, 16, 12, 0.52, 0.95)]],
  ['Ink', 'Thin', [...arc(805, 106, 12, 9, 0.55, 0.98), ...arc(829, 106, 12, 9, 0.52, 0.95)]],
  ['Ink', 'Thick', line([790, 562], [794, 468])],
  ['Green', 'Thick', scribble(792, 424, 64, 62, 8)],
  ['Violet', 'Medium', arc(212, 532, 13, 13)],
  ['Green', 'Medium', line([212, 546], [210, 592])],
  ['Red', 'Medium', arc(262, 540, 12, 12)],
  ['Green', 'Medium', line([262, 553], [264, 588])],
]
// "hello", joined up, from the left to the right
const hello = ['Violet', 'Medium', [
  ...along(t => [205 + 34 * t, 290 - 100 * Math.sin(t * Math.PI * 0.5)], 14), ...along(t => [239 - 18 * Math.sin(t * Math.PI), 190 + 100 * t], 14),
  ...along(t => [239 + 34 * t, 290 - 48 * Math.sin(t * Math.PI)], 16), ...along(t => [273 + 50 * t, 290 - 26 * t], 8), ...arc(305, 266, 18, 24, 0, -0.8), ...along(t => [311 + 24 * t, 289 - 9 * t * t], 8),
  ...along(t => [335 + 29 * t, 280 - 84 * t], 12), ...along(t => [364 - 22 * Math.sin(t * Math.PI * 0.9), 196 + 94 * t], 14),
  ...along(t => [358 + 32 * t, 290 - 94 * t], 12), ...along(t => [390 - 22 * Math.sin(t * Math.PI * 0.9), 196 + 94 * t], 14),
  ...along(t => [384 + 26 * t, 290 - 36 * t], 8), ...arc(424, 270, 19, 20, 0.62, -0.45), ...along(t => [430 + 30 * t, 252 - 6 * t], 6),
]]

const kite = [['Red', 'Medium', line([1075, 352], [1108, 398], [1070, 452], [1038, 400], [1075, 352])], ['Red', 'Thin', line([1075, 352], [1070, 452])], ['Red', 'Thin', line([1038, 400], [1108, 398])]]
const tail = ['Violet', 'Medium', along(t => [1070 - 62 * t + 13 * Math.sin(t * 15), 452 + 88 * t], 60)]

async function drawAll(window, strokes, options) {
  for (const [colour, width, points] of strokes) {
    await window.page.locator(`.swatch[title^=${colour}]`).click()
    await window.page.getByRole('button', { name: width, exact: true }).click()
    const [[x, y], ...rest] = points
    await window.page.mouse.move(x, y)
    await window.page.mouse.down()
    for (const [x, y] of rest) await window.page.mouse.move(x, y)
    if (options?.lift !== false) await window.page.mouse.up()
  }
}

/** Two people, one board. */
async function whiteboard(open) {
  const [anna, bert] = [await open('/'), await open('/')]
  await drawAll(anna, landscape)
  await drawAll(bert, sky)
  await drawAll(anna, [hello])
  await drawAll(bert, kite)
  await drawAll(bert, [tail], { lift: false }) // in the middle of it: Anna sees the pointer and what is not stored yet
  await anna.page.mouse.move(640, 660)
  await anna.page.locator('.cursor').waitFor()
  return anna
}

const yesterday = [
  ['anna', 'Where do we go this summer?'],
  ['bert', 'Somewhere with a lake'],
  ['bert', 'And mountains, if I may ask for both'],
  ['carla', 'The hut from two years ago was perfect: https://example.org/huts/lakeside'],
]
const today = [
  ['anna', 'Good morning! Shall I ask whether it is free in the second half of July? We could take the boat out again, and Carla’s brother wanted to come along, too.'],
  ['carla', 'He does. Yes, please ask'],
  ['anna', 'Done, they will answer by tonight'],
]

/** Three people, one of whom types. */
async function chat(open) {
  const people = { anna: await open('/chat', { name: 'Anna' }), bert: await open('/chat', { name: 'Bert Lindqvist' }), carla: await open('/chat', { name: 'Carla' }) }
  const at = (days, hour, minute) => { const t = new Date(); t.setDate(t.getDate() + days); t.setHours(hour, minute, 0, 0); return t }
  let minute = 0
  for (const [day, hour, lines] of [[-1, 19, yesterday], [0, 9, today]]) {
    for (const [who, text] of lines) {
      minute += 2
      await Promise.all(Object.values(people).map(({ page }) => page.clock.setSystemTime(at(day, hour, minute))))
      await people[who].page.getByLabel('Message', { exact: true }).fill(text)
      await people[who].page.keyboard.press('Enter')
      for (const { page } of Object.values(people)) await page.locator('.message.stored', { hasText: text }).waitFor()
    }
  }
  await people.anna.page.reload() // the days are named after today
  await people.anna.page.clock.setSystemTime(at(0, 9, 30))
  await people.anna.page.locator('.message', { hasText: today.at(-1)[1] }).waitFor()
  await people.carla.page.getByLabel('Message', { exact: true }).fill('Great')
  await people.anna.page.getByText('Carla is typing').waitFor()
  return people.anna
}

/** A client that sends, and sees what others do. */
async function events(open) {
  const anna = await open('/events')
  const bert = await open('/chat', { name: 'Bert' })
  const { page } = anna
  const row = text => page.locator('#rows > li', { hasText: text }).last()
  const say = async text => {
    await bert.page.getByLabel('Message', { exact: true }).pressSequentially(text)
    await bert.page.keyboard.press('Enter')
    await row(text).waitFor()
  }
  await say('Somewhere with a lake')
  await page.getByRole('button', { name: 'Send', exact: true }).click()
  await page.getByText('Acknowledged').waitFor()
  await page.locator('#kinds').getByRole('button', { name: /^sync/ }).click()
  await page.getByRole('button', { name: 'Send', exact: true }).click()
  await row('of sync').waitFor()
  await page.locator('#rows > .got', { hasText: '"data":[' }).first().locator('summary').first().click()
  await page.locator('#kinds').getByRole('button', { name: /^update/ }).click()
  await page.getByRole('button', { name: 'Send', exact: true }).click()
  await page.getByText('Acknowledged after').waitFor()
  return anna
}

const stories = { whiteboard: [whiteboard, 'holiday plans'], chat: [chat, 'a hut at the lake'], events: [events, 'plans'] }
const wanted = process.argv.slice(2)
const server = new Server()
await server.start()
const browser = await launch()
try {
  for (const name of wanted.length ? wanted : Object.keys(stories)) {
    const file = new URL(`../../docs/images/${name}.png`, import.meta.url).pathname
    const [story, room] = stories[name]
    const window = await story((path, options) => Window.open(browser, `${server.at.demo}${path}#${room}`, { locale: 'en-GB', ...options }))
    await window.page.screenshot({ path: file })
    console.log(`docs/images/${name}.png: ${Math.round((await stat(file)).size / 1024)} KiB`)
  }
} finally {
  await browser.close()
  await server.remove()
}
