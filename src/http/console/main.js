// The console: signing in, the frame around the views, and which view is shown. A view is named by the fragment of the address, so that it can be
// linked to, gone back to, and opened in another tab.
import { Api, Problem } from './api.js'
import { audit } from './audit.js'
import { chat } from './chat.js'
import { chats } from './chats.js'
import { closeAll, toast } from './dialog.js'
import { fill, h, icon, say } from './dom.js'
import { visible } from './format.js'
import { hooks } from './hooks.js'
import { overview } from './overview.js'
import { phone } from './phone.js'
import { phones } from './phones.js'
import { room } from './room.js'
import { rooms } from './rooms.js'
import { Stat } from './stat.js'
import { tinode } from './tinode.js'
import { tinodeTopic } from './tinode-topic.js'
import { tinodeUser } from './tinode-user.js'
import { user } from './user.js'
import { users } from './users.js'

/**
 * What a view gets.
 * @typedef {Object} App
 * @property {Api} api
 * @property {Stat} stat
 * @property {(error: unknown) => void} failed says that what is shown is not of now
 * @property {() => void} worked says that it is again
 */

/**
 * What a view gives.
 * @typedef {{title: any, back?: [string, string], actions?: any[], content: any[]}} View
 */

/** `needs`: a method without which there is no such section. @type {Record<string, {text: string, needs?: string, view: (app: App, signal: AbortSignal) => View}>} */
const SECTIONS = {
  overview: { text: 'Overview', view: overview },
  rooms: { text: 'Rooms', view: rooms },
  users: { text: 'Users', view: users },
  chats: { text: 'Chat rooms', needs: 'chat-service/listRooms', view: chats },
  phones: { text: 'Messenger', needs: 'wechat/listUsers', view: phones },
  tinode: { text: 'Tinode', needs: 'tinode/listUsers', view: tinode },
  hooks: { text: 'Webhooks', view: hooks },
  audit: { text: 'Audit log', view: audit },
}
/** Views of one thing, and the section that they are in. @type {Record<string, {section: string, view: (app: App, signal: AbortSignal, name: string) => View}>} */
const ONES = {
  room: { section: 'rooms', view: room }, user: { section: 'users', view: user }, chat: { section: 'chats', view: chat }, phone: { section: 'phones', view: phone },
  'tinode-list': { section: 'tinode', view: tinode }, 'tinode-user': { section: 'tinode', view: tinodeUser }, 'tinode-topic': { section: 'tinode', view: tinodeTopic },
}

const bar = /** @type {HTMLElement} */ (document.getElementById('bar'))
const main = /** @type {HTMLElement} */ (document.getElementById('main'))

// The fragment names the view, so this link moves the focus itself.
document.getElementById('skip')?.addEventListener('click', event => {
  event.preventDefault()
  main.focus()
})

/** Ends the session that runs. @type {AbortController | null} */
let session = null

/** @param {string} [why] */
function signIn(why = '') {
  bar.hidden = true
  document.title = 'Sign in · always-online console'
  const uid = h('input', { id: 'uid', name: 'uid', autocomplete: 'username', spellcheck: 'false', autocapitalize: 'off', required: true })
  const token = h('input', { id: 'token', name: 'token', type: 'password', autocomplete: 'current-password', required: true })
  const wrong = h('p', { class: 'wrong', role: 'alert' }, why)
  const go = h('button', { class: 'main', type: 'submit' }, 'Sign in')
  const form = h('form', { class: 'form card', id: 'sign-in' },
    h('img', { src: './icon.svg', alt: '', width: 40, height: 40 }), h('h1', {}, 'always-online console'),
    h('div', { class: 'field' }, h('label', { for: 'uid' }, 'Administrator'), uid),
    h('div', { class: 'field' }, h('label', { for: 'token' }, 'Token'), token),
    wrong, go,
    h('p', { class: 'soft small' }, 'The first administrator’s token is in the data folder, in the file ', h('code', {}, 'admin-credential'), '. Others are made by ', h('code', {}, 'always-online admin create'), '.'))
  form.addEventListener('submit', async (/** @type {Event} */ event) => {
    event.preventDefault()
    if (go.disabled) return
    go.disabled = true
    fill(wrong)
    try {
      start(await Api.open(uid.value.trim(), token.value.trim()))
    } catch (error) {
      go.disabled = false
      fill(wrong, error instanceof Problem && error.status === 401 ? 'The administrator or the token is wrong.' : /** @type {Error} */ (error).message)
    }
  })
  fill(main, form)
  uid.focus()
}

/** @param {string} [why] */
function signOut(why) {
  session?.abort()
  session = null
  closeAll()
  Api.forget()
  signIn(why)
}

/** @param {Api} api who has signed in */
function start(api) {
  const over = new AbortController()
  session = over
  api.over = over.signal
  api.onrefused = () => { if (session === over) signOut('The credentials do not count any more.') }
  const stat = new Stat(api, over.signal)
  const state = h('span', { class: 'state', role: 'status' }, 'Asking…')
  stat.addEventListener('sample', () => {
    say(state, stat.error ? 'No answer' : 'Live')
    state.dataset.state = stat.error ? 'bad' : 'good'
  })
  const notice = h('div', { id: 'notice', role: 'status' })
  /** @type {App} */
  const app = {
    api, stat,
    failed: error => {
      say(notice, `What is shown is not of now. ${/** @type {Error} */ (error).message}`)
      notice.classList.add('shown')
    },
    worked: () => {
      say(notice, '')
      notice.classList.remove('shown')
    },
  }
  const isThere = (/** @type {string} */ section) => SECTIONS[section].needs === undefined || api.has(SECTIONS[section].needs)
  const links = Object.entries(SECTIONS).filter(([key]) => isThere(key)).map(([key, { text }]) => h('a', { href: `#/${key}`, 'data-section': key }, icon(key), h('span', {}, text)))
  fill(bar,
    h('div', { class: 'brand' }, h('img', { src: './icon.svg', alt: '', width: 28, height: 28 }), h('div', {}, h('strong', {}, 'always-online'), state)),
    h('div', { class: 'account' }, h('div', {}, h('bdi', {}, visible(api.uid)), h('span', { class: 'soft small' }, api.role === 'admin' ? 'may change' : 'may look')),
      h('button', { type: 'button', class: 'icon-only', 'aria-label': 'Sign out', title: 'Sign out', onclick: () => signOut() }, icon('out'))),
    h('nav', { 'aria-label': 'Sections' }, links))
  bar.hidden = false

  /** @type {AbortController | null} */
  let shown = null
  /** @param {boolean} moved whether somebody went here, rather than that it is where one began */
  const show = moved => {
    shown?.abort()
    shown = new AbortController()
    const signal = AbortSignal.any([shown.signal, over.signal])
    const [, kind = '', encoded = ''] = location.hash.split('/')
    const one = ONES[kind]
    const wanted = one ? one.section : kind in SECTIONS ? kind : 'overview'
    const section = isThere(wanted) ? wanted : 'overview'
    let of = ''
    try { of = decodeURIComponent(encoded) } catch { /* no name of anything */ }
    app.worked()
    const view = one && of && section === wanted ? one.view(app, signal, of) : SECTIONS[section].view(app, signal)
    for (const link of links) {
      if (link.dataset.section === section) link.setAttribute('aria-current', 'page')
      else link.removeAttribute('aria-current')
    }
    const title = h('h1', { tabindex: -1 }, view.title)
    fill(main,
      h('div', { class: 'head' }, h('div', {}, view.back && h('a', { class: 'back', href: view.back[1] }, view.back[0]), title), h('div', { class: 'buttons' }, view.actions ?? [])),
      notice, view.content)
    document.title = `${title.textContent} · always-online console`
    scrollTo(0, 0)
    // Who can't see that the page has changed hears its title.
    if (moved) title.focus()
  }
  addEventListener('hashchange', () => show(true), { signal: over.signal })
  show(false)
}

const kept = Api.kept()
if (kept) {
  Api.open(kept.uid, kept.token).then(start, error => {
    // Who was signed in and can't be now is asked again; a server that is away for a moment is no reason to forget.
    if (error instanceof Problem && error.status === 401) Api.forget()
    signIn(error instanceof Problem && error.status === 401 ? '' : error.message)
    if (!(error instanceof Problem && error.status === 401)) toast('Reload this page to try again.')
  })
} else signIn()
