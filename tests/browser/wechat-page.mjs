// examples/wechat as people use it: accounts, contacts, chats with what came while they were away, lost connections, two languages, keyboard and screen readers.
// Calls have a file of their own.
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { PHONE } from './board.mjs'
import { stage } from './wechat.mjs'

const LOOKS = [['laptop', {}], ['phone', { viewport: PHONE, hasTouch: true, isMobile: true }]]
const here = stage()

test('an account: what is missing, what is taken, what is wrong, and in', async () => {
  const ann = await here.visitor('Ann')
  await ann.logsIn()
  await ann.trouble('Nobody has this phone number.')
  await ann.registers({ region: 'Beijing' })
  const eve = await here.visitor('Eve')
  eve.phone = ann.phone
  await eve.page.locator('#login .other').click()
  await eve.fill('registration', { phone: eve.phone, password: 'x', nick: 'Eve', userName: 'Eve', email: 'eve@example.org' })
  await eve.trouble('This phone number is taken.')
  await eve.page.fill('#registration [name=phone]', 'no phone')
  await eve.page.press('#registration [name=phone]', 'Enter')
  assert.equal(await eve.page.evaluate(() => document.querySelector('#registration').checkValidity()), false)
  await eve.page.locator('#registration .other').click()
  await eve.logsIn('guessed')
  await eve.trouble('The password is wrong.')
  await eve.page.fill('#server input', 'http://127.0.0.1:9')
  await eve.page.press('#login [name=password]', 'Enter')
  await eve.trouble('The server does not answer.')
})

test('people find each other, talk, and see what they have not read', async () => {
  const [ann, ben] = [await here.user('Ann'), await here.user('张三', LOOKS[1][1])]
  await ann.finds('000')
  await ann.finds(ben.phone)
  await ann.adds(ben)
  assert.equal(await ann.page.locator('#found .person button').textContent(), 'Added')
  assert.deepEqual(await ann.page.locator('#contacts h2').allTextContents(), ['Z'])
  await ann.opensChat(ben)
  await ann.writes('hello é日🎉', '<b>not bold</b> <img src=x onerror=alert(1)>')
  await ben.hasUnread(ann, 2)
  assert.match(await ben.page.title(), /^\(2\)/)
  await ben.opensChat(ann)
  await ben.reads('hello é日🎉', '<b>not bold</b> <img src=x onerror=alert(1)>')
  await ben.hasUnread(ann, 0)
  await ben.writes('two\nlines')
  await ann.reads('> hello é日🎉', '> <b>not bold</b> <img src=x onerror=alert(1)>', 'two\nlines')
  await ann.hasUnread(ben, 0)
  // Shift and Enter is a line, Enter alone sends.
  await ann.page.fill('#compose [name=content]', 'a')
  await ann.page.press('#compose [name=content]', 'Shift+Enter')
  await ann.page.keyboard.type('b')
  await ann.page.press('#compose [name=content]', 'Enter')
  await ben.reads('hello é日🎉', '<b>not bold</b> <img src=x onerror=alert(1)>', '> two\nlines', 'a\nb')
  for (const person of [ann, ben]) await person.fits()
})

test('what came while one was away is there, once, with its number; what was read stays', async () => {
  const [ann, ben] = await here.pair()
  await ben.page.locator('#tab-chats').click()
  await ben.page.goto('about:blank')
  await ann.opensChat(ben)
  await ann.writes('one', 'two', 'three')
  await ben.page.goBack()
  await ben.isOnline()
  await ben.hasUnread(ann, 3)
  await ben.page.reload()
  await ben.isOnline()
  await ben.hasUnread(ann, 3)
  await ben.opensChat(ann)
  await ben.reads('one', 'two', 'three')
  await ben.page.reload()
  await ben.isOnline()
  await ben.hasUnread(ann, 0)
  await ben.opensChat(ann)
  await ben.reads('one', 'two', 'three')
})

test('a lost connection is shown and comes back; what was written meanwhile goes out, and nothing twice', async () => {
  const line = await here.line()
  const [ann, ben] = await here.pair('Ann', 'Ben', [{ line }, {}])
  await ann.opensChat(ben)
  await ann.writes('before')
  await ben.opensChat(ann)
  await ben.reads('before')
  line.cut()
  await ann.state('Connection lost, coming back')
  assert.equal(await ann.page.locator('#call-peer').isDisabled(), true)
  await ann.writes('meanwhile')
  await ann.page.locator('#messages .note', { hasText: 'not sent yet' }).waitFor()
  await ben.writes('for who is away')
  await ann.page.reload() // what has not gone out is kept, and who everybody is
  await ann.opensChat(ben)
  await ann.reads('> before', '> meanwhile')
  line.mend()
  await ann.isOnline()
  await ben.reads('before', '> for who is away', 'meanwhile')
  await ann.opensChat(ben)
  await ann.reads('> before', '> meanwhile', 'for who is away')
  line.cut()
  await ann.state('Connection lost, coming back')
  line.mend()
  await ann.isOnline()
  await ann.writes('after')
  await ben.reads('before', '> for who is away', 'meanwhile', 'after')
})

test('without a network it does not wait, and with one it is back at once', async () => {
  const [ann, ben] = await here.pair()
  await ann.context.setOffline(true)
  await ann.state('Connection lost, coming back')
  await ann.context.setOffline(false)
  await ann.isOnline()
  await ben.opensChat(ann)
  await ben.writes('hello')
  await ann.hasUnread(ben, 1)
})

test('the newest window has the account; the older one stays away, and can have it back', async () => {
  const ann = await here.user('Ann')
  const again = await here.visitor('Ann again')
  Object.assign(again, { phone: ann.phone, password: ann.password })
  await again.logsIn()
  await again.isOnline()
  await ann.state('Logged in elsewhere')
  await ann.button('Use it here').click()
  await ann.isOnline()
  await again.state('Logged in elsewhere')
})

test('an open chat on a phone shows a lost connection, and that the account is used elsewhere', async () => {
  const line = await here.line()
  const [ann, ben] = await here.pair('Ann', 'Ben', [{ line, ...LOOKS[1][1] }, {}])
  await ann.opensChat(ben)
  await ann.banner()
  line.cut()
  await ann.banner('Connection lost, coming back')
  line.mend()
  await ann.button('Try now').click()
  await ann.banner()
  const again = await here.visitor('Ann again')
  Object.assign(again, { phone: ann.phone, password: ann.password })
  await again.logsIn()
  await ann.banner('Logged in elsewhere')
  await ann.isAccessible('a chat of a window that was replaced')
  await ann.fits()
  await ann.writes('written meanwhile')
  await ann.page.locator('#messages .note', { hasText: 'not sent yet' }).waitFor()
  await ann.button('Use it here').click()
  await ann.banner()
  await ben.opensChat(ann)
  await ben.reads('written meanwhile')
  await ann.page.locator('#messages .note').waitFor({ state: 'detached' })
})

test('two windows that stay logged in are one: neither loses what the other has', async () => {
  const [one, ben] = await here.pair('Ann', 'Ben', [{ stay: true }, {}])
  const other = await one.window()
  await other.isOnline()
  await one.state('Logged in elsewhere')
  await ben.opensChat(one)
  await ben.writes('to the second')
  await other.hasUnread(ben, 1)
  await one.hasUnread(ben, 1)
  // What is written in the window that has no connection goes by the other one.
  await one.opensChat(ben)
  await other.hasUnread(ben, 0)
  await one.writes('from the first')
  await ben.reads('> to the second', 'from the first')
  await one.page.locator('#messages .note').waitFor({ state: 'detached' })
  await other.opensChat(ben)
  await other.writes('from the second')
  await one.button('Use it here').click()
  await one.isOnline()
  await other.state('Logged in elsewhere')
  await ben.writes('to the first')
  const all = ['to the second', '> from the first', '> from the second', 'to the first']
  for (const window of [one, other]) await window.reads(...all)
  for (const window of [other, one]) {
    await window.page.reload()
    await window.isOnline()
    await window.opensChat(ben)
    await window.reads(...all)
  }
  await ben.reads(...all.map(text => text.startsWith('> ') ? text.slice(2) : `> ${text}`))
})

test('who logs out does so in all windows, and nothing of it comes back', async () => {
  const [one, ben] = await here.pair('Ann', 'Ben', [{ stay: true }, {}])
  const other = await one.window()
  await other.isOnline()
  await ben.opensChat(one)
  await ben.writes('hello')
  await one.hasUnread(ben, 1)
  one.page.on('dialog', dialog => dialog.accept())
  await one.button('Log out').click()
  await other.trouble('You have logged out in another window.')
  const kept = () => other.page.evaluate(() => Object.keys(localStorage))
  assert.deepEqual(await kept(), ['server'])
  for (const window of [one, other]) {
    await window.page.reload()
    await window.page.locator('#login').waitFor()
  }
  // Another account may stay now. Two can't.
  const cleo = await here.user('Cleo')
  Object.assign(one, { phone: cleo.phone, password: cleo.password })
  await one.page.check('#login [name=stay]')
  await one.logsIn()
  await one.isOnline()
  Object.assign(other, { phone: ben.phone, password: ben.password })
  await other.page.check('#login [name=stay]')
  await other.logsIn()
  await other.trouble('Another account stays logged in in this browser.')
  await other.page.uncheck('#login [name=stay]')
  await other.logsIn()
  await other.isOnline()
  await one.isOnline()
})

test('what was begun to be written stays with whom it is for', async () => {
  const [ann, ben] = await here.pair()
  const cleo = await here.user('Cleo')
  await ann.adds(cleo)
  const field = ann.page.locator('#compose [name=content]')
  await ann.opensChat(ben)
  await field.fill('for Ben')
  await ann.opensChat(cleo)
  assert.equal(await field.inputValue(), '')
  await field.fill('for Cleo')
  await ann.opensChat(ben)
  assert.equal(await field.inputValue(), 'for Ben')
  await field.press('Enter')
  await ann.opensChat(cleo)
  assert.equal(await field.inputValue(), 'for Cleo')
  await ann.opensChat(ben)
  assert.equal(await field.inputValue(), '')
  await ann.reads('> for Ben')
})

test('a message that is too long is not sent, and ends nothing', async () => {
  const [ann, ben] = await here.pair()
  const field = ann.page.locator('#compose [name=content]')
  const long = '日'.repeat(2 ** 20 / 3)
  await ann.opensChat(ben)
  await field.evaluate((element, text) => { element.value = text }, long)
  await field.press('Enter')
  await ann.notice('Too long to be sent.')
  assert.equal(await field.inputValue(), long)
  await ann.writes('short')
  await ben.opensChat(ann)
  await ben.reads('short')
})

test('a proxy that takes less than the server closes once, not for ever', async () => {
  const [ann, ben] = await here.pair()
  let closed = 0
  await ann.page.routeWebSocket(/\/wechat\//, near => {
    const far = near.connectToServer()
    near.onMessage(text => {
      if (text.length < 1_000) return far.send(text)
      closed++
      near.close({ code: 1009 })
      far.close()
    })
  })
  await ann.page.reload()
  await ann.isOnline()
  await ann.opensChat(ben)
  await ann.writes('before', 'x'.repeat(1_000))
  await ann.page.locator('#messages .note', { hasText: 'Too long to be sent.' }).waitFor()
  await ann.button('Try now').click()
  await ann.isOnline()
  await ann.writes('after')
  await ben.opensChat(ann)
  await ben.reads('before', 'after')
  assert.equal(closed, 1)
})

test('a file that is no picture is told as that', async () => {
  const ann = await here.visitor('Ann')
  await ann.page.locator('#login .other').click()
  const file = { name: 'face.png', mimeType: 'image/png', buffer: Buffer.from('not a picture') }
  await ann.page.setInputFiles('#registration [name=picture]', file)
  const { phone, password } = ann
  const account = { phone, password, nick: 'Ann', userName: 'Ann', email: 'ann@example.org' }
  await ann.fill('registration', account)
  await ann.trouble('This file is no picture that a browser can read.')
  await ann.page.setInputFiles('#registration [name=picture]', [])
  await ann.page.press('#registration [name=email]', 'Enter')
  await ann.isOnline()
})

test('blanks around names, and in phone numbers, are not meant', async () => {
  const [ann, ben] = [await here.visitor('Ann'), await here.user('Ben')]
  const spread = phone => ` ${phone.slice(0, 3)} (${phone.slice(3, 7)}) ${phone.slice(7)} `
  const { phone } = ann
  await ann.registers({ phone: spread(phone), nick: '  Ann  ', userName: ' ann ' })
  assert.equal(await ann.page.textContent('#own-name'), 'Ann')
  await ann.finds(spread(ben.phone))
  await ann.page.locator('#found .person', { hasText: ben.phone }).getByRole('button').click()
  await ben.page.locator(`#contacts .person[data-phone="${phone}"]`).waitFor({ state: 'attached' })
})

test('"back" of the browser leads from a chat to the lists', async () => {
  const [ann, ben] = await here.pair('Ann', 'Ben', [LOOKS[1][1], {}])
  for (const back of [() => ann.page.goBack(), () => ann.page.locator('#back').click()]) {
    await ann.opensChat(ben)
    assert.equal(await ann.page.locator('#lists').isVisible(), false)
    await back()
    await ann.page.locator('#lists').waitFor()
    await ann.isOnline()
  }
})

test('at 320 pixels a long name leaves room for the rest', async () => {
  const small = { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true }
  const long = 'Maximiliane-Wilhelmine von und zu Hohenburg'
  const [ann, ben] = await here.pair(long, `${long}${'x'.repeat(15)}`, [small, small])
  /** All of it can be seen. */
  const isWithin = async (person, ...selectors) => {
    await person.fits()
    for (const selector of selectors) {
      const { x, y, width, height } = await person.page.locator(selector).boundingBox()
      const isIn = x >= 0 && y >= 0 && x + width <= 320 && y + height <= 640 && width >= 32
      assert(isIn, `${selector}: ${[x, y, width, height]}`)
    }
  }
  await isWithin(ann, '#own-name', '#log-out', '#lists .language', '#found .person button')
  await ann.opensChat(ben)
  await isWithin(ann, '#back', '#peer-name', '#call-peer', '#compose button')
  await ann.page.locator('#call-peer').click()
  await ben.phase('ringing')
  await isWithin(ben, '#call-name', '#call-accept', '#call-end')
  await ben.button('Accept').click()
  for (const person of [ann, ben]) {
    await person.phase('talking')
    await isWithin(person, '#call-name', '#call-microphone', '#call-camera', '#call-end')
  }
  await ann.button('Hang up').click()
  await ann.noCall()
})

for (const [windows, stay] of [['one window', false], ['all windows', true]]) {
  test(`a token that is no longer good leads back, and what was said stays: ${windows}`, () => isLedBack(stay))
}

async function isLedBack(stay) {
  const [ann, ben] = await here.pair('Ann', 'Ben', [{ stay }, {}])
  await ben.opensChat(ann)
  await ben.writes('hello')
  await ann.hasUnread(ben, 1)
  const windows = stay ? [ann, await ann.window()] : [ann]
  await windows.at(-1).isOnline()
  await ann.page.evaluate(stay => {
    const storage = stay ? localStorage : sessionStorage
    const session = JSON.parse(storage.getItem('session'))
    storage.setItem('session', JSON.stringify({ ...session, token: `${session.token}x` }))
  }, stay)
  await ann.page.reload()
  for (const window of windows) await window.trouble('Please log in again.')
  await ann.page.setChecked('#login [name=stay]', stay)
  await ann.logsIn()
  await ann.isOnline()
  await ann.hasUnread(ben, 1)
}

test('logging out forgets who it was, and what was said; staying logged in is asked for', async () => {
  const [ann, ben] = await here.pair()
  await ann.opensChat(ben)
  await ann.writes('hello')
  await ben.hasUnread(ann, 1)
  await ben.finds(ann.phone)
  await ben.page.locator('#found .person').waitFor()
  await ben.opensChat(ann)
  await ben.reads('hello')
  await ben.page.fill('#compose [name=content]', 'begun')
  ben.page.on('dialog', dialog => dialog.accept())
  await ben.button('Log out').click()
  await ben.page.locator('#login').waitFor()
  const left = await ben.page.evaluate(() => {
    const values = [...document.querySelectorAll('form [name]')].map(({ value }) => value)
    return [document.documentElement.outerHTML, ...values].join('\n')
  })
  for (const trace of [ann.phone, ben.phone, 'Ann', 'Ben', 'hello', 'begun']) {
    assert(!left.includes(trace), `${trace} is left`)
  }
  assert.deepEqual(await ben.page.evaluate(() => [Object.keys(sessionStorage), Object.keys(localStorage)]), [[], ['server']])
  await ben.page.reload()
  await ben.page.locator('#login').waitFor()
  await ben.page.check('#login [name=stay]')
  await ben.logsIn()
  await ben.isOnline()
  const later = await ben.context.newPage()
  await later.goto(ben.page.url())
  await later.locator('#state[data-state=online]').waitFor()
})

for (const [locale, words, online] of [['zh-CN', ['登录', 'Log in'], '在线'], ['en-GB', ['Log in', '登录'], 'Online']]) {
  test(`in the language of the browser, ${locale}, and in the other one`, async () => {
    const ann = await here.visitor('安', { locale })
    for (const word of words) {
      await ann.button(word).waitFor()
      assert.equal(await ann.page.getAttribute('html', 'lang'), word === '登录' ? 'zh-CN' : 'en')
      await ann.page.locator('#entrance .language').click()
    }
    await ann.registers()
    await ann.state(online)
    await ann.page.locator('#lists .language').click()
    await ann.state(online === '在线' ? 'Online' : '在线')
    await ann.page.reload()
    await ann.state(online === '在线' ? 'Online' : '在线')
  })
}

for (const [look, options] of LOOKS) for (const colorScheme of ['light', 'dark']) test(`readable for all, and nothing sticks out: ${look}, ${colorScheme}`, async () => {
  const entrance = await here.visitor('Ann', { ...options, colorScheme })
  await entrance.isAccessible('the entrance')
  await entrance.page.locator('#login .other').click()
  await entrance.isAccessible('the registration')
  await entrance.fits()
  const [ann, ben] = await here.pair('Ann', 'Ben with a very long name that fits nowhere '.repeat(2), [{ ...options, colorScheme }, {}])
  await ann.isAccessible('finding people')
  await ann.fits()
  await ben.opensChat(ann)
  await ben.writes('x'.repeat(300), 'hello')
  await ann.hasUnread(ben, 2)
  for (const tab of ['chats', 'contacts']) {
    await ann.page.locator(`#tab-${tab}`).click()
    await ann.isAccessible(tab)
    await ann.fits()
  }
  await ann.opensChat(ben)
  await ann.isAccessible('a chat')
  await ann.fits()
  await ben.page.locator('#call-peer').click()
  await ann.phase('ringing')
  await ann.isAccessible('a call that rings')
  await ann.button('Accept').click()
  await ann.phase('talking')
  await ann.seesFrames(5)
  await ann.isAccessible('a call')
  await ann.button('Hang up').click()
  await ann.noCall()
})

test('all of it by the keyboard alone', async () => {
  const [ann, ben] = await here.pair()
  const { keyboard } = ann.page
  const focused = () => ann.page.evaluate(() => document.activeElement.id || document.activeElement.name || document.activeElement.dataset.phone)
  await ann.page.locator('#tab-find').focus()
  await keyboard.press('ArrowLeft')
  assert.equal(await focused(), 'tab-contacts')
  await keyboard.press('Tab')
  assert.equal(await focused(), ben.phone)
  await keyboard.press('Enter')
  assert.equal(await focused(), 'content')
  await keyboard.type('hello')
  await keyboard.press('Enter')
  await ben.opensChat(ann)
  await ben.reads('hello')
  // A call takes the focus, and only its buttons have it; Escape ends nothing.
  await ben.page.locator('#call-peer').click()
  await ann.phase('ringing')
  assert.equal(await focused(), 'call-accept')
  for (let i = 0; i < 3; i++) await keyboard.press('Escape')
  await ann.phase('ringing')
  assert.equal(await focused(), 'call-accept')
  await keyboard.press('Enter')
  await ann.phase('talking')
  assert.equal(await focused(), 'call-end')
  // A phone's gesture for "back" closes it in spite of all.
  await ann.page.evaluate(() => document.getElementById('call').close())
  await ann.phase('talking')
  assert.equal(await focused(), 'call-end')
  await keyboard.press('Enter')
  await ann.noCall()
  await ben.noCall()
})
