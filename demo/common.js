// What the pages of the demo share: the room in the address, the header, who one is, and the connection.
import { AlwaysOnline, randomText } from './always-online.js'

export const $ = id => document.getElementById(id)
export const make = (tag, props = {}, ...children) => { const e = Object.assign(document.createElement(tag), props); e.append(...children); return e }
/** Kept for this window: another one is another visitor. */
export const store = {
  get: k => { try { return JSON.parse(sessionStorage.getItem(k)) } catch { return null } },
  set: (k, v) => { try { sessionStorage.setItem(k, JSON.stringify(v)) } catch { /* private mode */ } },
}

// ---- the header ----
const PAGES = [
  ['whiteboard', './', 'Whiteboard', '<path d="M4 20l1-4.5L16.5 4a2.1 2.1 0 0 1 3 0l.5.5a2.1 2.1 0 0 1 0 3L8.5 19zM14.5 6l3.5 3.5"/>'],
  ['chat', 'chat', 'Chat', '<path d="M20.5 11.5a7.8 7.8 0 0 1-8.3 7.5 9 9 0 0 1-3.4-.7L4 20l1.5-4.1a7 7 0 0 1-1.7-4.4A7.8 7.8 0 0 1 12.2 4a7.8 7.8 0 0 1 8.3 7.5z"/>'],
  ['events', 'events', 'Events', '<path d="M8.5 4C6 4 6.5 7 6.5 9S5.5 12 4 12c1.5 0 2.5 1 2.5 3s-.5 5 2 5M15.5 4c2.5 0 2 3 2 5s1 3 2.5 3c-1.5 0-2.5 1-2.5 3s.5 5-2 5"/>'],
]
const page = document.body.dataset.page
const WAVE = '<path d="M3 16c3-10 6-10 8.5-4s6 5 9.5-5"/>'
const svg = (path, extra = '') => `<svg viewBox="0 0 24 24" aria-hidden="true"${extra}>${path}</svg>`
const link = ([name, , title, path]) => `<a data-to="${name}" title="${title}"${name === page ? ' aria-current="page"' : ''}>${svg(path)}<span>${title}</span></a>`
const CHAIN = '<path d="M10 14a4.5 4.5 0 0 0 6.4 0l3-3a4.5 4.5 0 0 0-6.4-6.4l-1 1M14 10a4.5 4.5 0 0 0-6.4 0l-3 3a4.5 4.5 0 0 0 6.4 6.4l1-1"/>'
document.body.insertAdjacentHTML('afterbegin', `<header id="bar">
  <div id="where" class="card row">
    ${svg(WAVE, ' class="logo"')}<button class="logo" popovertarget="pages" aria-label="Other pages">${svg(WAVE)}</button>
    <div><h1 id="room"></h1><div id="status" data-state="connecting">Connecting…</div></div>
    <span id="announce" class="sr" role="status"></span>
  </div>
  <nav id="pages" class="card" popover aria-label="Pages">${PAGES.map(link).join('')}</nav>
  <div id="company" class="card row">
    <button id="faces" popovertarget="people" aria-label="Who is here" hidden></button>
    <button id="share" aria-label="Share the link">${svg(CHAIN)}<span>Share</span></button>
  </div>
</header>`)
document.body.insertAdjacentHTML('beforeend', `<div id="people" class="card" popover><h2></h2><ul></ul></div>
<dialog id="ended" class="card" aria-labelledby="why"><h2 id="why"></h2><p></p>
  <div class="row"><button id="stranger">Join as somebody new</button><button id="again" class="main" autofocus></button></div></dialog>
<div id="toast" role="status"></div>`)

// ---- the room: of the address, the same on each page ----
const roomOf = () => {
  let name = location.hash.slice(1)
  try { name = decodeURIComponent(name) } catch { /* as it is */ }
  name ||= new URLSearchParams(location.search).get('room') ?? ''
  return name.replace(/\p{Cc}/gu, '').slice(0, 60)
}
export let room = roomOf()
if (!room) history.replaceState(null, '', '#' + (room = `${page === 'whiteboard' ? 'board' : page}-${randomText(6)}`))
addEventListener('hashchange', () => roomOf() && roomOf() !== room && location.reload())
$('room').textContent = room
document.title = `${room} · ${page}`
for (const [name, path] of PAGES) document.querySelector(`[data-to=${name}]`).href = `${path}#${encodeURIComponent(room)}`

// ---- people ----
const FACES = ['#4f6df5', '#d6409f', '#12a594', '#e5703a', '#8e4ec6', '#0c8ce9', '#b8860b', '#c94a5b']
const FIRST = 'Amber Brave Calm Clever Coral Dusty Early Gentle Golden Jolly Lucky Mellow Misty Quiet Silver Swift'.split(' ')
const LAST = 'Badger Crane Dolphin Falcon Fox Hare Heron Lynx Magpie Marten Otter Owl Panda Robin Seal Wren'.split(' ')
/** Names that people gave themselves, by uid. */
export const names = new Map()
/** Who gave no name has one all the same: a visitor's follows from the uid, so every window shows the same. Others are called by their uid. */
export function persona(uid) {
  let h = 2166136261
  for (const c of uid) h = Math.imul(h ^ c.codePointAt(0), 16777619) >>> 0
  const name = names.get(uid) ?? (/^demo-[a-z0-9]{6}$/.test(uid) ? `${FIRST[h % 16]} ${LAST[(h >>> 8) % 16]}` : uid)
  const words = name.split(/[\s_.-]+/).filter(Boolean)
  const initials = words.length > 1 ? [...words[0]][0] + [...words.at(-1)][0] : [...name].slice(0, 2).join('')
  return { name, initials: initials.toUpperCase(), colour: FACES[(h >>> 16) % FACES.length] }
}
export function face(uid) {
  const { name, initials, colour } = persona(uid)
  const f = make('span', { className: 'face', title: name, textContent: initials })
  f.style.setProperty('--who', colour)
  return f
}
export function showPeople() {
  const all = [me.uid, ...[...client.people].sort()]
  const shown = innerWidth > 700 ? 4 : 2
  $('faces').hidden = false
  $('faces').replaceChildren(...all.slice(0, shown).map(face))
  if (all.length > shown) $('faces').append(make('span', { className: 'face more', textContent: `+${all.length - shown}` }))
  $('faces').ariaLabel = `Who is here: ${all.length}`
  $('people').querySelector('h2').textContent = all.length === 1 ? 'Only you are here' : `${all.length} are here`
  const line = uid => make('li', { title: uid }, face(uid), make('bdi', { textContent: persona(uid).name }), uid === me.uid ? make('small', { textContent: 'you' }) : '')
  $('people').querySelector('ul').replaceChildren(...all.map(line))
}

// ---- identity and connection ----
/** {uid, token, url} of this window's visitor. */
export let me = null
/** Of that visitor; another one when the identity was replaced. */
export let client = null
let begin = () => {}, renewed = false, met = false, failures = 0
export async function identify(fresh = false) {
  me = fresh ? null : store.get('identity')
  while (!me) {
    try {
      const answer = await fetch('token', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' })
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`)
      store.set('identity', me = await answer.json())
    } catch (e) {
      show('connecting', `No identity yet (${e.message}), trying again`)
      await new Promise(done => setTimeout(done, 3000))
    }
  }
}
/** Brings this window into the room, and keeps it there. `onClient` is called for each client, before it connects: set the listeners there. */
export function enter(onClient) {
  begin = onClient
  return start()
}
async function start(fresh = false) {
  const waiting = client
  client = null
  waiting?.close()
  show('connecting', 'Connecting…')
  await identify(fresh)
  client = new AlwaysOnline(me.url, { uid: me.uid, token: me.token, room })
  client.on('people', showPeople)
  client.on('pending', status)
  client.on('state', changed)
  client.on('system', ({ content }) => toast(typeof content === 'string' ? content : JSON.stringify(content)))
  begin(client)
  showPeople()
}
/** Goes, without coming back: the connection is the page's own from now on. */
export function depart() {
  const leaving = client
  client = null
  leaving?.close()
}
function changed({ state, reason }) {
  if (!client) return
  if (state === 'refused' && reason.startsWith('auth failed') && !renewed) {
    renewed = true // the server does not know us any more (new data): once, as somebody new
    return start(true)
  }
  // A kept identity may name a server that moved. One that answers did not.
  if (state === 'waiting' && !met && reason !== 'server error' && ++failures === 3) return start(true)
  if (state === 'online') { renewed = false; met = true }
  if (state === 'kicked' || state === 'refused') {
    $('why').textContent = state === 'kicked' ? 'Signed in elsewhere' : 'The server refused the connection'
    const why = state === 'kicked' ? 'Another window uses the same identity, so this one was disconnected.' : `Its reason: ${reason}.`
    $('ended').querySelector('p').textContent = `${why} This window stays away until you decide.`
    $('again').textContent = state === 'kicked' ? 'Use it here' : 'Try again'
    if (!$('ended').open) $('ended').showModal()
  } else if ($('ended').open && state === 'online') $('ended').close()
  status()
  $('announce').textContent = { online: 'Online', waiting: 'Connection lost, reconnecting' }[state] ?? ''
}
$('ended').addEventListener('cancel', e => e.preventDefault())
$('again').addEventListener('click', () => { $('ended').close(); client.connect() })
$('stranger').addEventListener('click', () => { $('ended').close(); start(true) })

function status() {
  if (!client) return
  const { state, pending, retryAt } = client
  $('status').dataset.unsent = pending
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000))
  const waiting = seconds ? `Reconnecting in ${seconds} s` : 'Reconnecting…'
  const text = { connecting: 'Connecting…', online: 'Online', waiting, kicked: 'Kicked out', refused: `Refused: ${client.reason}`, closed: 'Closed' }[state]
  show(state, pending && state !== 'online' ? `${text} · ${pending} to send` : text)
}
export function show(state, text) {
  $('status').dataset.state = state
  if ($('status').textContent !== text) $('status').textContent = text
}
setInterval(status, 250)

// ---- sharing ----
let toastTimer = 0
export function toast(text) {
  $('toast').textContent = text
  $('toast').classList.add('shown')
  clearTimeout(toastTimer)
  toastTimer = setTimeout(() => $('toast').classList.remove('shown'), 2600)
}
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const field = make('textarea', { value: text }) // plain http on another host has no clipboard
  document.body.append(field)
  field.select()
  document.execCommand('copy')
  field.remove()
}
$('share').addEventListener('click', async () => {
  const url = `${location.origin}${location.pathname}#${encodeURIComponent(room)}`
  try {
    if (navigator.share && matchMedia('(pointer: coarse)').matches) return await navigator.share({ title: document.title, url })
    await copy(url)
    toast({ whiteboard: 'Link copied. Whoever opens it draws along.', chat: 'Link copied. Whoever opens it talks along.' }[page] ?? 'Link copied.')
  } catch (e) {
    if (e.name !== 'AbortError') toast(url)
  }
})

// ---- pages that are read ----
/** Keeps `scroller` at its end, unless the reader scrolled up: then `pill` counts what is new, and leads there. Returns what to call when something was added. */
export function follow(scroller, pill, noun) {
  let stuck = true, last = 0, count = 0
  const left = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight
  const label = () => {
    pill.hidden = stuck
    pill.lastElementChild.textContent = count ? `${count} new ${noun}${count === 1 ? '' : 's'}` : 'Latest'
  }
  const toEnd = () => {
    Object.assign(scroller, { scrollTop: scroller.scrollHeight })
    stuck = true
    count = 0
    last = scroller.scrollTop
    label()
  }
  scroller.addEventListener('scroll', () => {
    if (left() < 40) { stuck = true; count = 0 } else if (scroller.scrollTop < last) stuck = false
    last = scroller.scrollTop
    label()
  }, { passive: true })
  const resized = new ResizeObserver(() => stuck && toEnd())
  for (const element of [scroller, ...scroller.children]) resized.observe(element)
  pill.addEventListener('click', toEnd)
  return (news = 1, always = false) => {
    if (stuck || always) return toEnd()
    count += news
    label()
  }
}
// A keyboard on the screen takes its room from the page; not every browser says so to the layout.
visualViewport?.addEventListener('resize', () => {
  if (visualViewport.scale > 1.01) return
  document.documentElement.style.setProperty('--height', `${visualViewport.height}px`)
  if (document.body.classList.contains('sheet')) scrollTo(0, 0)
})
