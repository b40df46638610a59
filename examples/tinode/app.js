// The page: who is there, a chat, and what is wrong. client.js speaks with the server.
import { Chats, Drafty, refusal } from './client.js'

const $ = id => document.getElementById(id)
const WHY = {
  401: 'Login or password is wrong.', 403: 'You may not do that.', 404: 'There is nobody and nothing of that name.', 409: 'That login is taken.',
  413: 'That is too large.', 422: 'The server does not allow that, or not so often.',
  503: 'The server can’t be reached, or is out of order.', 504: 'The server does not answer.',
}
/** What went wrong, for people and by its name. */
const words = error => {
  const { code, text } = refusal(error)
  return code ? `${WHY[code] ?? 'That could not be done.'} (${code}: ${text})` : text
}
const STATES = { connecting: 'connecting…', online: '', waiting: 'no connection' }
let chats

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const element = (name, text = '', more = {}) => Object.assign(document.createElement(name), { textContent: text, ...more })
const say = text => { $('notice').textContent = text; clearTimeout(say.timer); say.timer = setTimeout(() => { $('notice').textContent = '' }, 5_000) }
/** Does something, and says what went wrong. */
const tries = async (what, tell = say) => {
  try {
    return await what()
  } catch (error) {
    console.error(error)
    tell(words(error))
  }
}
/** What a form says, when it is sent. */
const onForm = (id, does) => $(id).addEventListener('submit', event => {
  event.preventDefault()
  does(Object.fromEntries(new FormData(event.target, event.submitter)), event.target)
})

function begins(next) {
  chats = next
  chats.addEventListener('state', ({ detail }) => { $('state').textContent = STATES[detail] })
  chats.addEventListener('contacts', showContacts)
  chats.addEventListener('messages', showMessages)
  chats.addEventListener('peer', showPeer)
  chats.addEventListener('gone', () => { say('This chat has ended.'); closes() })
  chats.addEventListener('out', () => { say('Please log in again.'); shows('entrance') })
}

function shows(id) {
  for (const main of document.querySelectorAll('main')) main.hidden = main.id !== id
}

function closes() {
  $('chat').hidden = true
  document.body.classList.remove('talking')
  showContacts()
}

onForm('sign-in', async ({ server, key, login, password, name, what }, form) => {
  $('trouble').textContent = ''
  begins(new Chats({ server, key }))
  const done = await tries(async () => {
    await (what === 'register' ? chats.register(login, password, name) : chats.logIn(login, password))
    return true
  }, text => { $('trouble').textContent = text })
  if (!done) return chats.logOut()
  form.elements.password.value = ''
  shows('inside')
})

$('log-out').addEventListener('click', () => {
  chats.logOut()
  closes()
  shows('entrance')
})

onForm('find', ({ login }, form) => tries(async () => {
  const user = await chats.find(login)
  if (!user) return say('Nobody has this login.')
  form.reset()
  await opens(user)
}))

onForm('make', ({ name }, form) => tries(async () => {
  const topic = await chats.make(name)
  form.reset()
  await opens(topic.name)
}))

onForm('invite', ({ login }, form) => tries(async () => {
  const user = await chats.find(login)
  if (!user) return say('Nobody has this login.')
  await chats.invite(user)
  form.reset()
  say('Invited.')
}))

async function opens(topic) {
  await tries(async () => {
    await chats.enter(topic)
    $('chat').hidden = false
    document.body.classList.add('talking')
    $('compose').elements.content.focus()
    $('messages').scrollTop = $('messages').scrollHeight
    showContacts()
  })
}

function showContacts() {
  if (!chats) return
  $('own-name').textContent = chats.name
  $('contacts').replaceChildren(...chats.contacts().map(({ topic, name, online, unread }) => {
    const item = element('li', ''), button = element('button', '', { type: 'button', onclick: () => opens(topic) })
    if (chats.open?.name === topic && !$('chat').hidden) button.setAttribute('aria-current', 'true')
    button.append(element('bdi', name), element('small', online ? 'online' : ''), element('b', unread || ''))
    item.append(button)
    return item
  }))
}

function showPeer() {
  const topic = chats.open
  if (!topic) return
  $('title').textContent = topic.public?.fn ?? topic.name
  $('peer-state').textContent = topic.isP2PType() && topic.online ? 'online' : ''
  $('invite').hidden = !topic.isGroupType()
}

const STYLES = { ST: 'b', EM: 'i', DL: 'del', CO: 'code' }

/** A part of a message, as Drafty calls it, with what is `inside` it: text is text, and never markup. */
function part(type, data, inside) {
  const all = [inside ?? []].flat(Infinity)
  const within = (name, more) => { const made = element(name, '', more); made.append(...all); return made }
  const url = data?.ref && chats.fileUrl(data.ref)
  if (type === 'BR') return element('br')
  if (STYLES[type]) return within(STYLES[type])
  if (type === 'LN' && /^https?:/.test(data?.url)) return within('a', { href: data.url, rel: 'noopener noreferrer', target: '_blank' })
  if (!url) return all
  if (type === 'IM' || data.mime?.startsWith('image/')) return element('img', '', { src: url, alt: data.name ?? '', loading: 'lazy' })
  return element('a', data.name ?? 'file', { href: url, download: data.name ?? '', rel: 'noopener' })
}

/** What is in a message: its text, pictures and files. */
function shown(content) {
  const parts = typeof content === 'string' ? [content] : Drafty.isValid(content) ? [Drafty.format(content, part)].flat(Infinity) : [JSON.stringify(content)]
  return parts.map(one => typeof one === 'string' ? element('span', one) : one)
}

const remover = (label, onclick) => element('button', '×', { type: 'button', ariaLabel: label, title: label, onclick })

function showMessages() {
  const list = $('messages')
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 50
  list.replaceChildren(...chats.messages().map(({ seq, own, sent, why, ts, content, sender, read }) => {
    const item = element('li', '', { className: why ? 'own unsent' : own ? 'own' : '' })
    if (!own && chats.open.isGroupType()) item.append(element('bdi', sender ?? ''))
    item.append(...shown(content), element('time', `${time.format(new Date(ts))}${own ? sent ? read ? ' ✓✓' : ' ✓' : why ? '' : ' …' : ''}`))
    if (own && sent) item.append(remover('Delete for all', () => tries(() => chats.remove(seq).then(showMessages))))
    if (why) item.append(remover('Discard', () => chats.discard(seq)), element('small', `Not sent. ${words(why)}`))
    return item
  }))
  if (atEnd) list.scrollTop = list.scrollHeight
}

$('messages').addEventListener('scroll', async ({ target }) => {
  if (target.scrollTop > 0 || target.childElementCount === 0) return
  const from = target.scrollHeight
  await chats.earlier()
  showMessages()
  target.scrollTop = target.scrollHeight - from
})

onForm('compose', ({ content }, form) => {
  if (!content.trim()) return
  form.elements.content.value = ''
  tries(() => chats.say(content.trim()))
})
$('compose').elements.content.addEventListener('input', () => chats.types())
$('compose').elements.content.addEventListener('keydown', event => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  $('compose').requestSubmit()
})
$('compose').elements.file.addEventListener('change', ({ target }) => {
  const [file] = target.files
  if (file) tries(() => chats.send(file)).then(() => { target.value = '' })
})

$('back').addEventListener('click', closes)
$('leave').addEventListener('click', () => confirm('Leave this chat?') && tries(async () => {
  await chats.leave()
  closes()
}))
document.addEventListener('visibilitychange', () => { if (!document.hidden && chats?.open) showMessages() })

const kept = Chats.kept()
if (kept) {
  begins(kept)
  shows('inside')
  tries(() => kept.connect())
}
