// The page: it logs in, and shows lists, a chat and a call. What it knows comes from a Client; what was said is kept in Chats.
import { Call } from './call.js'
import { Chats } from './chats.js'
import { Client, login, register, Refused } from './client.js'
import { language, refusal, switchLanguage, text, translate } from './texts.js'

const FACE = 96 // pixels of a picture's sides
const NOTICE = 4_000 // ms
const RELAY = new URLSearchParams(location.search).has('relay')
const $ = id => document.getElementById(id)
const make = (tag, fields = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), fields)
  element.append(...children)
  return element
}

let session // of the log-in: { client, chats, storage, info, contacts }
let peer // the phone whose chat is open
let call

// ---- In ----

const SESSION = 'session'
const serverField = $('server').querySelector('input')
// Where the page is behind the same proxy as the server, its own origin is the server's.
serverField.value = localStorage.getItem('server') ?? (location.protocol === 'https:' ? location.origin : 'http://127.0.0.1:3002')

onSubmit('login', ({ phone, password, stay }) => enter(phone, password, stay))
onSubmit('registration', async ({ picture, stay, ...fields }) => {
  const thumb = picture.size > 0 ? await face(picture) : undefined
  await register(serverField.value, { ...fields, thumb })
  await enter(fields.phone, fields.password, stay)
})
for (const button of document.querySelectorAll('.other')) button.addEventListener('click', () => {
  for (const id of ['login', 'registration']) $(id).hidden = !$(id).hidden
  $('trouble').textContent = ''
  document.querySelector('#entrance form:not([hidden]) input').focus()
})

/** Calls `handle` with a form's fields, and shows what goes wrong. Until that is done it can't be sent: a second tap is none. */
function onSubmit(id, handle) {
  $(id).addEventListener('submit', async event => {
    event.preventDefault()
    if (!serverField.reportValidity()) return
    const button = event.target.querySelector('button.main')
    button.disabled = true
    $('trouble').textContent = ''
    try {
      await handle(Object.fromEntries(new FormData(event.target)))
    } catch (error) {
      complain(error)
    }
    button.disabled = false
  })
}

/** Dates are written as the user's own place has it, where that has the page's language. */
const locale = () => navigator.languages.find(one => one.startsWith(language)) ?? language
const trouble = error => error instanceof Refused ? refusal(error) : text('unreachable')
function complain(error) {
  $('trouble').textContent = trouble(error)
  if (!(error instanceof Refused)) console.warn(error)
}

async function enter(phone, password, stay) {
  const server = serverField.value
  const { info, token } = await login(server, phone, password)
  const storage = stay ? localStorage : sessionStorage
  localStorage.setItem('server', server)
  storage.setItem(SESSION, JSON.stringify({ server, token, info }))
  for (const form of ['login', 'registration']) $(form).reset()
  begin(storage)
}

/** Goes on with who is logged in, if anybody is. */
function begin(storage = [sessionStorage, localStorage].find(storage => storage.getItem(SESSION))) {
  if (!storage) return show()
  const { server, token, info, contacts = [] } = JSON.parse(storage.getItem(SESSION))
  const client = new Client(server, token, info.phone)
  session = { client, storage, info, chats: new Chats(storage, server, info.phone), people: new Map() }
  know(contacts)
  client.addEventListener('state', () => changed(client))
  client.addEventListener('contacts', ({ detail }) => {
    know(detail)
    // Who they are can be seen without a server, too; unless their pictures are too large for what a browser keeps.
    try { storage.setItem(SESSION, JSON.stringify({ server, token, info, contacts: detail })) } catch { /* then not */ }
    show()
  })
  client.addEventListener('message', ({ detail }) => came(detail))
  client.addEventListener('signal', ({ detail }) => heard(detail))
  select('chats')
  for (const message of session.chats.unsent) client.post(message)
  client.connect()
}

function know(contacts) {
  session.contacts = contacts
  for (const card of contacts) session.people.set(card.phone, card)
}

async function changed(client) {
  if (client.state === 'online') {
    session.chats.allSent()
    for (const note of document.querySelectorAll('#messages .note')) note.remove()
  }
  show()
  // A token may be wrong by now, which looks like a newer socket somewhere else.
  if (client.state === 'replaced' && await client.info().then(() => false, error => error.code === 401)) {
    leave()
    $('trouble').textContent = text('token wrong')
  }
}

function leave() {
  call?.hangUp()
  session.storage.removeItem(SESSION)
  session.client.close()
  session = peer = undefined
  $('login').hidden = false
  $('registration').hidden = true
  show()
  $('login').elements.phone.focus()
}

$('log-out').addEventListener('click', () => {
  if (session.chats.list().length > 0 && !confirm(text('log out?'))) return
  session.chats.forget()
  leave()
})
$('use-here').addEventListener('click', () => session.client.connect())
addEventListener('offline', () => session?.client.drop())
addEventListener('online', () => session?.client.hurry())
addEventListener('pagehide', () => call?.hangUp())
for (const button of document.querySelectorAll('.language')) button.addEventListener('click', () => { switchLanguage(); show() })

// ---- Lists ----

const TABS = ['chats', 'contacts', 'find']
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

const card = phone => session.people.get(phone) ?? { phone, nick: phone, thumb: null }

/** A picture of somebody, or the first letter. */
function portrait({ nick, phone, thumb }) {
  const hue = [...phone].reduce((sum, letter) => (sum * 31 + letter.charCodeAt()) % 360, 7)
  const shown = make('span', { className: 'face', ariaHidden: 'true' })
  shown.style.setProperty('--hue', hue)
  shown.append(isPicture(thumb) ? make('img', { src: thumb, alt: '' }) : [...nick][0]?.toUpperCase() ?? '')
  return shown
}

/** Pictures come in the message itself: nothing is fetched from anywhere because somebody says so. */
const isPicture = content => typeof content === 'string' && /^data:image\/(png|jpeg|gif|webp);base64,/.test(content)
const shownAs = content => typeof content === 'string' ? content : content?.text ?? JSON.stringify(content)

/** A row of a list: whose it is, a line below, and something at its end. */
const row = (person, line, end, tag = 'button') => make(tag, { className: 'person' },
  portrait(person), make('span', {}, make('bdi', { textContent: person.nick }), make('small', { textContent: line })), ...end)

function opener(person, line, end = []) {
  const button = row(person, line, end)
  button.type = 'button'
  button.dataset.phone = person.phone
  if (person.phone === peer) button.ariaCurrent = 'true'
  button.addEventListener('click', () => open(person.phone))
  return button
}

/** A number that is said with its noun. */
const badge = unread => make('span', { className: 'badge', ariaLabel: unread ? `${unread} ${text('unread')}` : '', role: 'img', textContent: unread || '' })

function showLists() {
  const chats = session.chats.list().map(([phone, { items, unread }]) => {
    const last = items.at(-1)?.content
    return opener(card(phone), isPicture(last) ? '▣' : shownAs(last ?? ''), [badge(unread)])
  })
  fill($('chats'), chats.length ? chats : [make('p', { textContent: text('no chats') })])
  const groups = Object.entries(Object.groupBy(session.contacts, ({ group }) => group))
  const contacts = groups.flatMap(([group, cards]) => [make('h2', { textContent: group }), ...cards.map(person => opener(person, person.phone))])
  fill($('contacts'), contacts.length ? contacts : [make('p', { textContent: text('no contacts') })])
  const unread = session.chats.allUnread
  $('all-unread').replaceWith(Object.assign(badge(unread), { id: 'all-unread' }))
  const ringing = call?.phase === 'ringing' ? `${card(call.peer).nick} ${text('ringing')} · ` : ''
  document.title = `${ringing}${unread ? `(${unread}) ` : ''}${text('title')}`
}

/** Puts new rows in place of the old ones, and leaves the focus where it was. */
function fill(list, rows) {
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.phone : undefined
  list.replaceChildren(...rows)
  if (focused) list.querySelector(`[data-phone="${CSS.escape(focused)}"]`)?.focus()
}

onSubmit('search', async ({ keyword }) => {
  $('found-note').textContent = ''
  const people = await session.client.search(keyword).catch(error => { notice(trouble(error)); return undefined })
  if (!people) return
  $('found-note').textContent = people.length ? '' : text('nobody')
  $('found').replaceChildren(...people.map(person => make('li', {}, row(person, person.phone, [adder(person)], 'div'))))
})

function adder(person) {
  const isContact = session.contacts.some(({ phone }) => phone === person.phone)
  const button = make('button', { type: 'button', className: 'main', textContent: text(isContact ? 'added' : 'add'), disabled: isContact, ariaLabel: `${text('add')}: ${person.nick}` })
  button.addEventListener('click', async () => {
    button.disabled = true
    try {
      await session.client.add(person.phone)
      session.people.set(person.phone, person)
      if (!session.contacts.some(({ phone }) => phone === person.phone)) session.contacts.push(person)
      button.textContent = text('added')
      notice(`${person.nick}: ${text('added')}`)
      show()
    } catch (error) {
      button.disabled = false
      notice(trouble(error))
    }
  })
  return button
}

/** A picture as a small square, as a data URL. */
async function face(file) {
  const image = await createImageBitmap(file)
  const side = Math.min(image.width, image.height)
  const canvas = make('canvas', { width: FACE, height: FACE })
  canvas.getContext('2d').drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, FACE, FACE)
  return canvas.toDataURL('image/jpeg', 0.85)
}

// ---- A chat ----

function open(phone) {
  peer = phone
  session.chats.read(phone)
  show()
  showMessages()
  if (matchMedia('(pointer: fine)').matches) $('compose').elements.content.focus()
  else $('messages').focus()
}

$('back').addEventListener('click', () => {
  const last = peer
  peer = undefined
  show()
  document.querySelector(`.person[data-phone="${CSS.escape(last)}"]`)?.focus()
})

function came(message) {
  const isSeen = message.from === peer && document.visibilityState === 'visible'
  if (!session.chats.add(message, { seen: isSeen })) return
  if (message.from === peer) append(message)
  show()
}

document.addEventListener('visibilitychange', () => {
  if (!session || !peer || document.visibilityState !== 'visible') return
  session.chats.read(peer)
  show()
})

function showMessages() {
  $('messages').firstElementChild.replaceChildren()
  for (const message of session.chats.with(peer)) append(message)
}

/** Shows a message at the end. As text, never as HTML: anybody wrote it. */
function append({ content, from, timestamp, unsent }) {
  const list = $('messages')
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60
  const said = make('div', { className: 'said' }, isPicture(content) ? make('img', { src: content, alt: text('picture') }) : String(shownAs(content)))
  const time = new Date(Number(timestamp))
  const item = make('li', { className: from === session.info.phone ? 'own' : '' }, said)
  if (!isNaN(time)) item.append(make('time', { dateTime: time.toISOString(), textContent: time.toLocaleString(locale(), { dateStyle: 'short', timeStyle: 'short' }) }))
  if (unsent) item.append(make('span', { className: 'note', textContent: text('not sent') }))
  list.firstElementChild.append(item)
  if (isAtEnd) list.scrollTop = list.scrollHeight
}

$('compose').addEventListener('submit', event => {
  event.preventDefault()
  const field = event.target.elements.content
  const content = field.value.trim()
  if (!content) return
  const message = session.client.send(peer, content)
  const unsent = session.client.state !== 'online'
  session.chats.add(message, { seen: true, unsent })
  append({ ...message, unsent })
  $('messages').scrollTop = $('messages').scrollHeight
  field.value = ''
  show()
})
$('compose').elements.content.addEventListener('keydown', event => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  $('compose').requestSubmit()
})

// ---- A call ----

$('call-peer').addEventListener('click', () => call ?? start(new Call(session.client, peer, { policy: RELAY ? 'relay' : 'all' })))
$('call-accept').addEventListener('click', () => call.accept())
$('call-end').addEventListener('click', () => call?.hangUp())
for (const [id, kind] of [['call-microphone', 'audio'], ['call-camera', 'video']]) $(id).addEventListener('click', ({ currentTarget }) => {
  const isOn = call?.toggle(kind)
  if (isOn !== undefined) currentTarget.ariaPressed = isOn
})
// Escape is not what ends a call.
$('call').addEventListener('cancel', event => event.preventDefault())

function heard(signal) {
  const { type, payload: { from } } = signal
  if (call?.peer === from) return call.heard(signal)
  if (type === 'invite-offer' && call) session.client.signal('invite-refuse', from) // one at a time
  else if (type === 'invite-offer') start(new Call(session.client, from, { incoming: true, policy: RELAY ? 'relay' : 'all' }))
  else if (type === 'video-offer') session.client.signal('hang-up', from) // of a call that this page knows nothing of, any more
}

function start(started) {
  call = started
  for (const id of ['call-microphone', 'call-camera']) $(id).ariaPressed = 'true'
  $('remote').srcObject = call.remote
  const clock = setInterval(showTime, 1_000)
  call.addEventListener('change', showCall)
  call.addEventListener('end', ({ detail }) => {
    clearInterval(clock)
    call = undefined
    $('remote').srcObject = $('local').srcObject = null
    $('call').close()
    notice(text(detail))
    if (session) show()
  })
  $('call').showModal()
  showCall()
  show()
  ;(call.phase === 'ringing' ? $('call-accept') : $('call-end')).focus()
  if (call.phase === 'ringing' && navigator.userActivation?.hasBeenActive) navigator.vibrate?.([400, 200, 400])
}

const STATES = { connecting: 'call connecting' }
const ENDS = { ringing: 'refuse', inviting: 'cancel' }

function showCall() {
  const person = card(call.peer), { phase } = call
  $('call').dataset.phase = phase
  const hasPicture = call.remote.getVideoTracks().length > 0 && ['talking', 'recovering'].includes(phase)
  $('call').classList.toggle('seen', hasPicture)
  $('call-face').replaceChildren(portrait(person))
  $('call-name').textContent = person.nick
  $('call-state').textContent = text(STATES[phase] ?? phase)
  const isOn = !['ringing', 'inviting'].includes(phase)
  for (const id of ['call-microphone', 'call-camera', 'local']) $(id).hidden = !isOn
  $('call-accept').hidden = phase !== 'ringing'
  $('call-end').ariaLabel = text(ENDS[phase] ?? 'hang up')
  for (const [id, kind] of [['call-microphone', 'audio'], ['call-camera', 'video']]) $(id).disabled = !call.local?.getTracks().some(track => track.kind === kind)
  if ($('local').srcObject !== call.local) $('local').srcObject = call.local ?? null
  if (isOn && $('call').contains(document.activeElement) === false) $('call-end').focus()
  showTime()
}

function showTime() {
  const seconds = call?.since ? Math.floor((Date.now() - call.since) / 1000) : undefined
  $('call-time').textContent = seconds === undefined ? '' : `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

// ---- All of it ----

let noticed
function notice(what) {
  clearTimeout(noticed)
  $('notice').textContent = what
  noticed = setTimeout(() => { $('notice').textContent = '' }, NOTICE)
}

function show() {
  translate()
  $('entrance').hidden = session !== undefined
  $('phone').hidden = session === undefined
  document.title = text('title')
  if (!session) return
  const { info, client } = session
  $('me').replaceChildren(portrait(info))
  $('own-name').textContent = info.nick
  $('state').textContent = text(client.state)
  $('state').dataset.state = client.state
  $('elsewhere').hidden = client.state !== 'replaced'
  $('phone').classList.toggle('open', peer !== undefined)
  $('chat').classList.toggle('open', peer !== undefined)
  if (peer !== undefined) {
    $('peer').replaceChildren(portrait(card(peer)))
    $('peer-name').textContent = card(peer).nick
    $('peer-phone').textContent = peer
    $('call-peer').disabled = client.state !== 'online'
  }
  showLists()
  if (call) showCall()
}

show()
begin()
