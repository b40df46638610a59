// The page: it shows lists and a chat. What it knows comes from a Client; what was said is kept in
// Chats. The entrance and calls have files of their own.
import { call, heard, openCallPane, showCall, startCall } from './callpane.js'
import { Chats } from './chats.js'
import { Client, Refused } from './client.js'
import { $, isPicture, make, notice, onSubmit, portrait, trouble } from './elements.js'
import { complain, openEntrance } from './entrance.js'
import { language, switchLanguage, text, translate } from './texts.js'

const SESSION = 'session'
const TABS = ['chats', 'contacts', 'find']

let session // of the log-in: { client, chats, storage, info, contacts, people }
let peer // the phone whose chat is open
const drafts = new Map() // what was begun to be written, by phone

// ---- In and out ----

/** Who is logged in, in this window or in all of this browser. */
function stored(storage) {
  const kept = storage.getItem(SESSION)
  return kept ? JSON.parse(kept) : undefined
}

openEntrance((server, phone) => {
  const kept = stored(localStorage)
  const isOther = kept && (kept.server !== server || kept.info.phone !== phone)
  if (isOther) throw new Refused(0, text('somebody stays'))
}, ({ server, info, token, stay }) => {
  const storage = stay ? localStorage : sessionStorage
  storage.setItem(SESSION, JSON.stringify({ server, token, info }))
  begin(storage)
})

/** Goes on with who is logged in, if anybody is. */
function begin(storage = [sessionStorage, localStorage].find(stored)) {
  if (!storage) return show()
  const { server, token, info } = stored(storage)
  const client = new Client(server, token, info.phone)
  const chats = new Chats(storage, server, info.phone)
  session = { client, storage, info, chats, people: new Map() }
  know(chats.contacts)
  follow(client)
  // Another window has written something, maybe what only this one can send.
  chats.addEventListener('change', ({ detail }) => {
    if (detail === 'contacts') know(chats.contacts)
    soon()
  })
  select('chats')
  client.connect()
}

function follow(client) {
  const handlers = {
    state: () => changed(client),
    contacts: cards => {
      session.chats.contacts = cards
      know(cards)
      show()
    },
    message: message => { if (session.chats.add(message)) soon() },
    signal: signal => heard(client, signal),
    doubtful: messages => { for (const message of messages) mark(message, 'doubtful') },
    refused: message => mark(message, 'too long'),
  }
  for (const [name, handle] of Object.entries(handlers)) {
    client.addEventListener(name, ({ detail }) => {
      if (session?.client === client) handle(detail)
    })
  }
}

function know(contacts) {
  session.contacts = contacts
  for (const card of contacts) session.people.set(card.phone, card)
}

async function changed(client) {
  if (client.state === 'online') sendUnsent()
  show()
  if (client.state !== 'replaced') return
  // A token may be wrong by now, which looks like a newer socket somewhere else.
  const isWrong = await client.info().then(() => false, error => error.code === 401)
  if (!isWrong || session?.client !== client) return
  session.storage.setItem(SESSION, '') // what was said stays for whoever logs in again
  leave('token wrong')
}

function leave(why) {
  call?.hangUp()
  session.client.close()
  session.chats.close()
  session = peer = undefined
  drafts.clear()
  for (const form of document.forms) form.reset()
  for (const element of document.querySelectorAll('.theirs')) element.replaceChildren()
  $('login').hidden = false
  $('registration').hidden = true
  show()
  complain(why ? text(why) : '')
  $('login').elements.phone.focus()
}

$('log-out').addEventListener('click', () => {
  if (session.chats.list().length > 0 && !confirm(text('log out?'))) return
  session.storage.removeItem(SESSION)
  session.chats.forget()
  leave()
})

// Windows that stay logged in are logged in and out together.
addEventListener('storage', ({ storageArea, key, newValue }) => {
  if (storageArea !== localStorage || session?.storage !== localStorage) return
  if (key !== SESSION && key !== null) return
  const kept = stored(localStorage)
  if (kept?.info.phone === session.info.phone) return session.client.token = kept.token
  // What this window has written since.
  if (newValue === null) session.chats.forget()
  leave(newValue === '' ? 'token wrong' : 'logged out elsewhere')
})

$('come-back').addEventListener('click', () => session.client.connect())
addEventListener('offline', () => session?.client.drop())
addEventListener('online', () => session?.client.hurry())
// A page that the browser had put aside has heard nothing meanwhile.
addEventListener('pageshow', ({ persisted }) => { if (persisted) location.reload() })
for (const one of document.querySelectorAll('.language')) one.addEventListener('click', () => {
  switchLanguage()
  complain('')
  show()
})

// ---- Lists ----

for (const [i, name] of TABS.entries()) {
  $(`tab-${name}`).addEventListener('click', () => select(name))
  $(`tab-${name}`).addEventListener('keydown', ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key]
    if (step) select(TABS.at((i + step) % TABS.length), { focus: true })
  })
}

function select(chosen, { focus = false } = {}) {
  for (const name of TABS) {
    $(name).hidden = name !== chosen
    $(`tab-${name}`).ariaSelected = name === chosen
    $(`tab-${name}`).tabIndex = name === chosen ? 0 : -1
  }
  if (focus) $(`tab-${chosen}`).focus()
  show()
}

const card = phone => session?.people.get(phone) ?? { phone, nick: phone, thumb: null }

function shownAs(content) {
  if (typeof content !== 'string') return String(content?.text ?? JSON.stringify(content))
  return isPicture(content) ? '▣' : content
}

/** A row of a list: whose it is, a line below, and something at its end. */
function row(tag, person, line, end = []) {
  const who = [make('bdi', { textContent: person.nick }), make('small', { textContent: line })]
  return make(tag, { className: 'person' }, portrait(person), make('span', {}, ...who), ...end)
}

function opener(person, line, end) {
  const button = row('button', person, line, end)
  button.type = 'button'
  button.dataset.phone = person.phone
  if (person.phone === peer) button.ariaCurrent = 'true'
  button.addEventListener('click', () => open(person.phone))
  return button
}

/** A number that is said with its noun. */
const badge = unread => make('span', {
  className: 'badge',
  role: 'img',
  ariaLabel: unread ? `${unread} ${text('unread')}` : '',
  textContent: unread || '',
})

function showLists() {
  const chats = session.chats.list().map(([phone, items]) => {
    const end = badge(session.chats.unread(phone))
    return opener(card(phone), shownAs(items.at(-1).content), [end])
  })
  fill($('chats'), chats.length ? chats : [make('p', { textContent: text('no chats') })])
  const groups = Object.entries(Object.groupBy(session.contacts, ({ group }) => group))
  const contacts = groups.flatMap(([group, cards]) =>
    [make('h2', { textContent: group }), ...cards.map(person => opener(person, person.phone))])
  const nobody = make('p', { textContent: text('no contacts') })
  fill($('contacts'), contacts.length ? contacts : [nobody])
  const unread = session.chats.allUnread
  $('all-unread').replaceWith(Object.assign(badge(unread), { id: 'all-unread' }))
  const ringing = call?.phase === 'ringing' ? `${card(call.peer).nick} ${text('ringing')} · ` : ''
  document.title = `${ringing}${unread ? `(${unread}) ` : ''}${text('title')}`
}

/** Puts new rows in place of the old ones, and leaves the focus where it was. */
function fill(list, rows) {
  const { activeElement } = document
  const focused = list.contains(activeElement) ? activeElement.dataset.phone : undefined
  list.replaceChildren(...rows)
  if (focused) list.querySelector(`[data-phone="${CSS.escape(focused)}"]`)?.focus()
}

onSubmit('search', words => { $('found-note').textContent = words }, async ({ keyword }) => {
  const { client } = session
  const people = await client.search(keyword)
  if (session?.client !== client) return
  $('found-note').textContent = people.length ? '' : text('nobody')
  $('found').replaceChildren(...people.map(person =>
    make('li', {}, row('div', person, person.phone, [adder(person)]))))
})

const isContact = ({ phone }) => session.contacts.some(other => other.phone === phone)

function adder(person) {
  const isKnown = isContact(person)
  const textContent = text(isKnown ? 'added' : 'add')
  const ariaLabel = `${textContent}: ${person.nick}`
  const button = make('button', { type: 'button', className: 'main', textContent, ariaLabel })
  button.disabled = isKnown
  button.addEventListener('click', async () => {
    const { client } = session
    button.disabled = true
    try {
      await client.add(person.phone)
      if (session?.client !== client) return
      if (!isContact(person)) know([...session.contacts, person])
      button.replaceWith(adder(person))
      notice(`${person.nick}: ${text('added')}`)
      show()
    } catch (error) {
      button.disabled = false
      notice(trouble(error))
    }
  })
  return button
}

// ---- A chat ----

/** Opens a chat. On a phone it covers the lists, and "back" leads to them. */
function open(phone) {
  if (!history.state?.chat) history.pushState({ chat: true }, '')
  turnTo(phone)
  if (matchMedia('(pointer: fine)').matches) $('compose').elements.content.focus()
  else $('messages').focus()
}

$('back').addEventListener('click', () => history.back())
addEventListener('popstate', ({ state }) => {
  if (state?.chat || peer === undefined) return
  const last = peer
  turnTo(undefined)
  const panel = document.querySelector('[role=tabpanel]:not([hidden])')
  panel.querySelector(`[data-phone="${CSS.escape(last)}"]`)?.focus()
})

/** What was being written stays with whom it is for. */
function turnTo(phone) {
  const field = $('compose').elements.content
  if (peer !== undefined) drafts.set(peer, field.value)
  peer = phone
  field.value = drafts.get(phone) ?? ''
  readMessages()
  show()
  toEnd()
}

function readMessages() {
  if (peer !== undefined && document.visibilityState === 'visible') session.chats.read(peer)
}

document.addEventListener('visibilitychange', () => soon())

const toEnd = () => { $('messages').scrollTop = $('messages').scrollHeight }

/** Shows the open chat: what is new and what is gone, and leaves the rest alone. */
function showMessages() {
  const { scrollHeight, scrollTop, clientHeight } = $('messages')
  const isAtEnd = scrollHeight - scrollTop - clientHeight < 60
  const list = $('messages').firstElementChild
  const messages = peer === undefined ? [] : session.chats.with(peer)
  const names = messages.map(({ key, note }) => `${language} ${note} ${key}`)
  const wanted = new Set(names)
  for (const item of [...list.children]) if (!wanted.has(item.shows)) item.remove()
  for (const [i, message] of messages.entries()) {
    const next = list.children[i]
    if (next?.shows === names[i]) continue
    list.insertBefore(Object.assign(bubble(message), { shows: names[i] }), next ?? null)
  }
  if (isAtEnd) toEnd()
}

/** A date as the user's own place has it, where that has the page's language. */
function when(time) {
  const locale = navigator.languages.find(one => one.startsWith(language)) ?? language
  return time.toLocaleString(locale, { dateStyle: 'short', timeStyle: 'short' })
}

/** A message, as text, never as HTML: anybody wrote it. */
function bubble({ content, from, timestamp, note }) {
  const picture = isPicture(content) && make('img', { src: content, alt: text('image') })
  const said = make('div', { className: 'said' }, picture || shownAs(content))
  const item = make('li', { className: from === session.info.phone ? 'own' : '' }, said)
  const time = new Date(Number(timestamp))
  const [dateTime, textContent] = isNaN(time) ? ['', ''] : [time.toISOString(), when(time)]
  item.append(make('time', { dateTime, textContent }))
  if (note) item.append(make('span', { className: 'note', textContent: text(note) }))
  return item
}

/** Says something else about a message. */
function mark(message, note) {
  session.chats.note(message, note)
  soon()
}

/** Messages that have waited for a connection, of all windows. */
function sendUnsent() {
  const { client, chats } = session
  for (const message of chats.unsent) if (client.post(message)) mark(message)
}

$('compose').addEventListener('submit', event => {
  event.preventDefault()
  const { client, chats } = session
  const field = event.target.elements.content
  const content = field.value.trim()
  if (!content) return
  const message = client.message(peer, content)
  if (!client.fits(message)) return notice(text('too long'))
  const note = client.post(message) ? undefined : 'not sent'
  chats.add(message, note)
  field.value = ''
  show()
  toEnd()
})
$('compose').elements.content.addEventListener('keydown', event => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  $('compose').requestSubmit()
})
$('call-peer').addEventListener('click', () => call ?? startCall(session.client, peer))
openCallPane(card, show)

// ---- All of it ----

let due

/** Shows all once, however much there is in this moment that changes something. */
function soon() {
  due ??= setTimeout(() => {
    due = undefined
    if (!session) return
    if (session.client.state === 'online') sendUnsent()
    readMessages()
    show()
  })
}

function showBanner({ state }) {
  const banner = $('banner')
  // Not for the blink of an eye in which a page connects for the first time.
  banner.hidden = state === 'online' || (state === 'connecting' && banner.hidden)
  $('banner-text').textContent = text(state)
  $('come-back').hidden = state === 'connecting'
  $('come-back').textContent = text(state === 'replaced' ? 'use here' : 'try now')
}

function show() {
  translate()
  $('entrance').hidden = session !== undefined
  $('phone').hidden = session === undefined
  document.title = text('title')
  if (!session) return void ($('banner').hidden = true)
  const { info, client } = session
  $('me').replaceChildren(portrait(info))
  $('own-name').textContent = info.nick
  $('state').textContent = text(client.state)
  $('state').dataset.state = client.state
  showBanner(client)
  for (const id of ['phone', 'chat']) $(id).classList.toggle('open', peer !== undefined)
  if (peer !== undefined) {
    $('peer').replaceChildren(portrait(card(peer)))
    $('peer-name').textContent = card(peer).nick
    $('peer-phone').textContent = peer
    $('call-peer').disabled = client.state !== 'online'
  }
  showLists()
  showMessages()
  showCall()
}

show()
begin()
