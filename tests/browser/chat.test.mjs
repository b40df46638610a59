// Anna and Bert talk in one room, in two browser contexts.
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { LAPTOP, PHONE, Wire } from './board.mjs'
import { bot, forgive, ours, stage } from './stage.mjs'

const SMALL = 2048 // UTF-16 units: what the server takes in these tests
const chat = stage('/chat', { AO_MESSAGE__MAX_SIZE: `${SMALL}` })
const { newRoom } = chat
const enter = async (room, options) => new Talker(await chat.enter(room, options))

class Talker {
  constructor(window) {
    Object.assign(this, { window, page: window.page, status: text => window.status(text) })
  }

  write(text) {
    return this.page.getByLabel('Message', { exact: true }).fill(text)
  }

  async say(...texts) {
    for (const text of texts) {
      await this.write(text)
      await this.page.keyboard.press('Enter')
    }
  }

  /** Waits until the messages are these, in this order; each is told by its text. */
  reads(...texts) {
    const same = wanted => JSON.stringify([...document.querySelectorAll('.text')].map(e => e.textContent)) === JSON.stringify(wanted)
    return this.page.waitForFunction(same, texts).catch(async e => { throw new Error(`${e.message}\nwanted ${texts}\nfound ${await this.texts()}`) })
  }

  texts() {
    return this.page.locator('.text').allTextContents()
  }

  /** Waits until everything said here is stored. */
  stored() {
    return this.page.waitForFunction(() => document.getElementById('status').dataset.unsent === '0' && !document.querySelector('.sending, .failed'))
  }

  message(text) {
    return this.page.locator('.message', { hasText: text })
  }
}

test('what one says the other reads, with name and time; one\'s own stands at the right', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room, { name: 'Anna' }), await enter(room, { name: 'Bert' })]
  await anna.say('Good morning', 'Where shall we go?')
  await anna.stored()
  await bert.reads('Good morning', 'Where shall we go?')
  await bert.say('To a lake')
  await anna.reads('Good morning', 'Where shall we go?', 'To a lake')

  const [first, second] = [bert.message('Good morning'), bert.message('Where shall we go?')]
  await first.locator('.author', { hasText: /^Anna$/ }).waitFor()
  assert.match(await first.locator('time').textContent(), /^\d\d?:\d\d/)
  assert.equal(await first.locator('.day').textContent(), 'Today')
  assert.equal(await first.locator('.author').isVisible(), true)
  assert.equal(await second.locator('.author').isVisible(), false, 'messages of one author stand together')
  assert.equal(await second.locator('.day').isVisible(), false)
  const right = async (talker, text) => {
    const box = await talker.message(text).locator('.bubble').boundingBox()
    return box.x + box.width / 2 > LAPTOP.width / 2
  }
  assert.deepEqual([await right(anna, 'Good morning'), await right(anna, 'To a lake')], [true, false])
  assert.deepEqual([await right(bert, 'Good morning'), await right(bert, 'To a lake')], [false, true])
  await anna.message('Good morning').locator('.meta .sr', { hasText: /^stored$/ }).waitFor({ state: 'attached' })
})

test('who comes late reads everything, in order, over several pages', async () => {
  const room = newRoom()
  const anna = await enter(room)
  const all = Array.from({ length: 450 }, (_, i) => `number ${i + 1}`)
  await bot(anna.window, room, all.map((text, i) => ({ storage: 0, msgId: `n${i}`, text })))
  await anna.page.waitForFunction(() => [...document.querySelectorAll('.text')].at(-1)?.textContent === 'number 450')

  const wire = new Wire()
  // The history is on its way.
  const held = new Promise(done => { wire.passes = text => !text.startsWith('42["sync"') || done() })
  const late = await enter(room, { wire, until: 'Connecting' })
  await late.page.getByText('Reading the history…').waitFor()
  await held
  assert.equal(await late.page.getByRole('log').getAttribute('aria-busy'), 'true')
  await wire.cut() // what was held back is lost: the page begins anew
  wire.mend()
  await late.status('Online')
  await late.page.getByText('Reading the history…').waitFor({ state: 'hidden' })
  assert.deepEqual(wire.sent('sync').slice(-3).map(s => [s.offset, s.encoding, s.resume]), [[0, 'gzip', true], [200, 'gzip', true], [400, 'gzip', true]])

  await late.reads(...all.slice(-200))
  const earlier = late.page.getByRole('button', { name: 'Show earlier messages' })
  await earlier.click()
  await late.reads(...all.slice(-400))
  await earlier.click()
  await late.reads(...all)
  await earlier.waitFor({ state: 'hidden' })
  forgive(late.window)
})

test('that somebody types is seen, and vanishes by itself or with the message', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room, { name: 'Anna' }), await enter(room)]
  const sign = bert.page.getByText('Anna is typing')
  await anna.write('Good mor')
  await sign.waitFor()
  await sign.waitFor({ state: 'detached' }) // she thinks
  await anna.write('Good morning')
  await sign.waitFor()
  await anna.page.keyboard.press('Enter')
  await sign.waitFor({ state: 'detached' })
  await bert.reads('Good morning')
  await anna.write('What')
  await sign.waitFor()
  await anna.write('')
  await sign.waitFor({ state: 'detached' })
})

test('a restarted server: what was said meanwhile waits, is sent, and is there exactly once for everybody', ours, async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  await anna.say('before')
  await bert.reads('before')
  await anna.stored()
  await chat.server.stop()
  await Promise.all([anna.status('Reconnecting'), bert.status('Reconnecting')])
  await anna.say('one', 'two')
  await anna.page.waitForFunction(() => document.getElementById('status').textContent.includes('2 to send'))
  await anna.message('two').locator('.meta', { hasText: 'waiting…' }).waitFor({ state: 'attached' })
  await chat.server.start()
  await Promise.all([anna.status('Online'), bert.status('Online')])
  await anna.stored()
  await bert.say('three')
  for (const talker of [anna, bert, await enter(room)]) await talker.reads('before', 'one', 'two', 'three')
  forgive(anna.window, bert.window)
})

test('who was cut off reads on where it was, without doubles or gaps, in the order of the others', async () => {
  const room = newRoom()
  const wire = new Wire()
  const [anna, bert] = [await enter(room, { wire }), await enter(room)]
  await bert.say('1', '2')
  await anna.reads('1', '2')
  await wire.cut()
  await anna.status('Reconnecting')
  await anna.say('4')
  await bert.say('3')
  await bert.stored()
  wire.mend()
  await anna.status('Online')
  await anna.stored()
  await bert.say('5')
  for (const talker of [anna, bert, await enter(room)]) await talker.reads('1', '2', '3', '4', '5')
  assert.deepEqual(wire.sent('sync').map(s => s.offset), [0, 2])
  forgive(anna.window)
})

test('a message that was stored, but whose acknowledgement got lost, is there once', async () => {
  const room = newRoom()
  const wire = new Wire()
  const [anna, bert] = [await enter(room, { wire }), await enter(room)]
  wire.passes = text => !text.startsWith('43')
  await anna.say('stored, unknown to Anna')
  await bert.reads('stored, unknown to Anna')
  await anna.message('stored').and(anna.page.locator('.sending')).waitFor()
  await wire.cut()
  await bert.say('afterwards')
  await bert.stored()
  await anna.status('Reconnecting')
  wire.mend()
  await anna.status('Online')
  await anna.stored()
  for (const talker of [anna, bert, await enter(room)]) await talker.reads('stored, unknown to Anna', 'afterwards')
  assert.equal(wire.sent('msg').filter(m => m.text).length, 1)
  forgive(anna.window)
})

test('what could not be sent outlives a reload, and goes out under its id', async () => {
  const room = newRoom()
  const wire = new Wire()
  const [anna, bert] = [await enter(room, { wire }), await enter(room)]
  await wire.cut()
  await anna.status('Reconnecting')
  await anna.say('not lost')
  await anna.page.reload()
  await anna.page.waitForFunction(() => document.getElementById('status').textContent.includes('1 to send'))
  await anna.message('not lost').locator('.meta', { hasText: 'waiting…' }).waitFor({ state: 'attached' })
  wire.mend()
  await anna.status('Online')
  await anna.stored()
  for (const talker of [anna, bert]) await talker.reads('not lost')
  assert.equal(wire.sent('msg').filter(m => m.text).length, 1)
  forgive(anna.window)
})

test('what the server does not take says so, and can be tried again or discarded', ours, async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  const large = 'x'.repeat(SMALL)
  await anna.say(large, 'small')
  await bert.reads('small')
  await anna.page.getByText('Not sent: it is larger than the server takes').waitFor()
  await anna.page.getByRole('button', { name: 'Try again' }).click()
  await anna.page.getByText('Not sent: it is larger than the server takes').waitFor()
  await anna.page.getByRole('button', { name: 'Discard' }).click()
  await anna.reads('small')
  await anna.page.reload()
  await anna.reads('small')
})

test('nothing empty is sent, Shift+Enter begins a line, too much is said before it is sent', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  await anna.say('', '   \n ')
  await anna.write('x'.repeat(4_100))
  await anna.page.getByText('100 too many').waitFor()
  await anna.page.keyboard.press('Enter')
  await anna.write('first line')
  await anna.page.keyboard.press('Shift+Enter')
  await anna.page.keyboard.type('second line')
  await anna.page.keyboard.press('Enter')
  await bert.reads('first line\nsecond line')
  await anna.reads('first line\nsecond line')
})

test('what somebody writes stays text; links are links of http only', async () => {
  const room = newRoom()
  const evil = '<img src=x onerror="hacked=1"><script>hacked=1</script>'
  const [anna, bert] = [await enter(room, { name: evil.slice(0, 40) }), await enter(room)]
  await bot(bert.window, room, [
    { storage: 0, msgId: 'a', text: { toString: 'x' } }, { storage: 0, msgId: 'b', text: ['x'] }, { storage: 0, msgId: 'c' },
    { storage: 0, msgId: 'd', text: 'odd time', t: 9e99 },
    { storage: 1, msgId: 'e', of: 'd', text: 7 }, { storage: 1, msgId: 'f', name: { a: 1 } }, { storage: 1, msgId: 'g', name: evil },
  ])
  const link = 'see (https://example.org/a?b=1&c=<x>), javascript:hacked=1 and http://[nonsense'
  await anna.say(evil, link, 'a'.repeat(600), 'مرحبا بالعالم')
  await anna.stored()
  for (const talker of [anna, bert, await enter(room)]) {
    await talker.reads('odd time', evil, link, 'a'.repeat(600), 'مرحبا بالعالم')
    const found = await talker.page.evaluate(() => ({
      hacked: window.hacked,
      elements: document.querySelectorAll('#list img, #list script').length,
      links: [...document.querySelectorAll('#list a')].map(a => [a.href, a.rel, a.target]),
      tooWide: [document.documentElement, document.getElementById('scroll')].map(e => e.scrollWidth - e.clientWidth),
      arabic: getComputedStyle([...document.querySelectorAll('.bubble')].at(-1)).direction,
    }))
    const links = [['https://example.org/a?b=1&c=', 'noopener noreferrer nofollow', '_blank']]
    assert.deepEqual(found, { hacked: undefined, elements: 0, links, tooWide: [0, 0], arabic: 'rtl' })
  }
})

test('one\'s own message can be changed and deleted, nobody else\'s', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  await anna.say('a speling', 'a mistake', 'as it is')
  await bert.reads('a speling', 'a mistake', 'as it is')
  await anna.stored()
  await anna.message('a speling').hover()
  await anna.message('a speling').getByRole('button', { name: 'Change' }).click()
  await anna.say('a spelling')
  await anna.message('a mistake').hover()
  await anna.message('a mistake').getByRole('button', { name: 'Delete' }).click()
  await anna.page.getByRole('button', { name: 'Delete', exact: true }).last().click()
  const [id] = await bert.page.evaluate(() => [...document.querySelectorAll('.message')].map(li => li.entry.id).slice(-1))
  await bot(bert.window, room, [{ storage: 1, msgId: 'forged', of: id, text: 'forged' }])
  await anna.write('')
  await anna.page.keyboard.press('ArrowUp') // the latest
  assert.equal(await anna.page.getByLabel('Message', { exact: true }).inputValue(), 'as it is')
  await anna.page.keyboard.press('Escape')
  await anna.stored()
  await bert.page.reload()
  for (const talker of [anna, bert, await enter(room)]) await talker.reads('a spelling', 'Message deleted', 'as it is')
  assert.equal(await bert.page.getByRole('button', { name: 'Change', exact: true }).count(), 0)
  await anna.message('a spelling').locator('.meta', { hasText: /^edited/ }).waitFor({ state: 'attached' })
})

test('a name is given in the page, seen by all, also where one spoke before, and kept', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  await anna.say('hello')
  await bert.reads('hello')
  await anna.page.getByRole('button', { name: 'Change your name' }).click()
  await anna.page.getByLabel('Name', { exact: true }).fill('Anna Karenina')
  await anna.page.keyboard.press('Enter')
  await bert.message('hello').locator('.author', { hasText: 'Anna Karenina' }).waitFor()
  await bert.page.getByRole('button', { name: 'Who is here' }).click()
  await bert.page.locator('#people li', { hasText: 'Anna Karenina' }).waitFor()
  await anna.page.reload()
  await anna.page.getByPlaceholder('Message as Anna Karenina').waitFor()
  const again = await anna.window.context.newPage() // another window of the same browser
  await again.goto(anna.page.url().replace(/#.*/, `#${encodeURIComponent(newRoom())}`))
  await again.getByPlaceholder('Message as Anna Karenina').waitFor()
})

test('who comes and goes is told; a reload is neither', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room, { name: 'Bert' })]
  await anna.page.locator('.note', { hasText: 'Bert joined' }).waitFor()
  // Who is away for four seconds has left. When they have passed the test says: how long a reload takes, only the machine knows.
  await anna.page.evaluate(() => {
    const [set, clear] = [window.setTimeout, window.clearTimeout]
    window.away = new Map()
    window.setTimeout = (act, ms, ...values) => {
      if (ms !== 4000) return set(act, ms, ...values)
      const timer = Symbol('away')
      window.away.set(timer, () => act(...values))
      return timer
    }
    window.clearTimeout = timer => window.away.delete(timer) || clear(timer)
  })
  const pass = () => anna.page.evaluate(() => { for (const [timer, act] of [...window.away]) window.away.delete(timer) && act() })
  await bert.page.reload()
  await bert.status('Online')
  await bert.say('back')
  await anna.reads('back')
  await pass()
  await bert.page.close()
  await anna.page.waitForFunction(() => window.away.size === 1)
  await pass()
  await anna.page.locator('.note', { hasText: 'Bert left' }).waitFor()
  assert.deepEqual(await anna.page.locator('.note').allTextContents(), ['Bert joined', 'Bert left'])
})

test('after a reconnect the page waits once for each of the others to come back', async () => {
  const room = newRoom()
  const wire = new Wire()
  const [anna, bert] = [await enter(room, { wire }), await enter(room)]
  for (let i = 0; i < 4; i++) await bot(bert.window, room, [])
  const here = n => anna.page.waitForFunction(label => document.getElementById('faces').ariaLabel === label, `Who is here: ${n}`)
  await here(6)
  await anna.page.evaluate(() => {
    const set = window.setTimeout
    window.waits = 0
    window.setTimeout = (act, ms, ...values) => ms === 4000 ? void window.waits++ : set(act, ms, ...values) // of those who left; none comes due here
  })
  await wire.cut()
  await anna.status('Reconnecting')
  wire.mend()
  await anna.status('Online')
  await here(6)
  await anna.page.waitForFunction(() => window.waits >= 5)
  assert.equal(await anna.page.evaluate(() => window.waits), 5)
  forgive(anna.window)
})

test('the list follows what is said, unless the reader looks at something above', async () => {
  const room = newRoom()
  const [anna, bert] = [await enter(room), await enter(room)]
  for (let i = 1; i <= 30; i++) await bert.say(`line ${i}`)
  await anna.message('line 30').waitFor()
  const atEnd = is => anna.page.waitForFunction(is => { const s = document.getElementById('scroll'); return s.scrollHeight - s.scrollTop - s.clientHeight < 2 === is }, is)
  await anna.page.waitForFunction(() => { const s = document.getElementById('scroll'); return s.scrollHeight > s.clientHeight + 200 })
  await atEnd(true)
  await anna.message('line 20').hover()
  await anna.page.mouse.wheel(0, -400)
  const pill = anna.page.locator('#news')
  await pill.getByText('Latest').waitFor()
  await bert.say('news one', 'news two')
  await pill.getByText('2 new messages').waitFor()
  await atEnd(false)
  await pill.click()
  await pill.waitFor({ state: 'hidden' })
  await atEnd(true)
  await bert.say('news three')
  await anna.message('news three').waitFor()
  await atEnd(true)
})

test('the same identity elsewhere: this window says so and stays away until asked', async () => {
  const room = newRoom()
  const anna = await enter(room)
  const again = await enter(room, { identity: await anna.window.identity() })
  await anna.page.getByRole('heading', { name: 'Signed in elsewhere' }).waitFor()
  await again.say('from the other window')
  await again.stored()
  await anna.status('Kicked out')
  await anna.page.getByRole('button', { name: 'Use it here' }).click()
  await anna.reads('from the other window')
  await again.status('Kicked out')
})

test('a cleared room begins anew; what an administrator pushes is shown', ours, async () => {
  const room = newRoom()
  const wire = new Wire()
  const anna = await enter(room, { wire })
  await anna.say('old', 'older')
  await anna.stored()
  const credentials = new URLSearchParams(await chat.server.admin())
  const administer = async (path, content) => {
    const body = new URLSearchParams({ roomId: room, ...content })
    const answer = await fetch(`${chat.server.at.websocket}/admin/system/${path}?${credentials}`, { method: 'POST', body })
    assert.equal((await answer.json()).meta.status, 0)
  }
  await administer('push', { content: 'Back in a minute <b>' })
  await anna.page.getByText('Back in a minute <b>').waitFor()
  await administer('clear_room_msgs')
  await wire.cut()
  await anna.status('Reconnecting')
  wire.mend()
  await anna.reads()
  await anna.page.getByText('Nothing said yet').waitFor()
  await anna.say('new')
  await anna.stored()
  await anna.reads('new')
  forgive(anna.window)
})

test('the other pages are a step away, in the same room', async () => {
  const room = newRoom()
  const anna = await enter(room)
  for (const name of ['Whiteboard', 'Events', 'Chat']) {
    await anna.page.getByRole('link', { name }).click()
    await anna.page.getByRole('link', { name }).and(anna.page.locator('[aria-current=page]')).waitFor()
    await anna.status('Online')
    await anna.page.waitForFunction(room => document.getElementById('room').textContent === room, room)
  }
  assert.match(anna.page.url(), /\/chat#/)
})

test('a phone and a dark laptop show the same; a keyboard on the screen hides nothing', async () => {
  const room = newRoom()
  const phone = { viewport: PHONE, deviceScaleFactor: 3, hasTouch: true, isMobile: true }
  const [light, dark] = [await enter(room, { name: 'Anna' }), await enter(room, { name: 'Bert', colorScheme: 'dark' })]
  const lines = [
    'Good morning! Where do we go this summer?', 'Somewhere with a lake', 'And mountains, if I may ask for both', 'The hut was perfect: https://example.org/huts',
    'Shall I ask whether it is free in the second half of July?', 'Yes, please',
  ]
  for (const [i, line] of lines.entries()) {
    await (i % 3 ? dark : light).say(line)
    await Promise.all([light, dark].map(t => t.reads(...lines.slice(0, i + 1))))
  }
  const [hand, night] = [await enter(room, { ...phone, name: 'Carla' }), await enter(room, { ...phone, name: 'Dora', colorScheme: 'dark' })]
  await hand.say('I come, too')
  await night.reads(...lines, 'I come, too')
  await dark.write('Great')
  await light.page.getByText('Bert is typing').waitFor()
  for (const [name, t] of Object.entries({ light, dark, phone: hand, 'phone-dark': night })) await chat.picture(`chat-${name}`, t.window)

  await hand.page.getByLabel('Message', { exact: true }).tap()
  await hand.page.setViewportSize({ width: PHONE.width, height: 420 }) // what a keyboard leaves
  const inside = e => { const { top, bottom } = e.getBoundingClientRect(); return top >= 0 && bottom <= innerHeight }
  for (const place of [hand.message('I come, too').locator('.bubble'), hand.page.getByRole('button', { name: 'Send' })]) {
    await hand.page.waitForFunction(inside, await place.elementHandle())
  }
  await chat.picture('chat-phone-keyboard', hand.window)
  await hand.page.getByRole('button', { name: 'Other pages' }).tap()
  await hand.page.getByRole('link', { name: 'Events' }).waitFor()
  await chat.picture('chat-phone-menu', hand.window)
})
