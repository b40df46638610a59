// One user of react-wechat: who it is, where it is, what waits for it, whom it knows, and what can be done.
import { button } from './actions.js'
import { fill, h, keep, repeat, say, table } from './dom.js'
import { count, moment, name, phoneLink } from './format.js'
import * as actions from './phone-actions.js'

/** Milliseconds between two looks. */
const EVERY = 3000
/** Contacts that are shown at first, and that each press of the button adds. */
const CONTACTS = 50

/** @param {import('./main.js').App} app; @param {AbortSignal} signal; @param {string} phone */
export function phone(app, signal, phone) {
  const { api } = app
  const fact = () => h('dd', {}, '–')
  const facts = { nick: fact(), userName: fact(), email: fact(), region: fact(), state: fact(), waiting: fact(), since: fact(), tokens: fact() }
  const size = h('span', { class: 'soft' })
  const may = api.may('wechat/removeContact')
  const known = table('Contacts of the user', ['Phone', 'Nickname', { name: 'Mutual', class: 'short' }, ...may ? [{ name: 'Actions', class: 'act', hidden: true }] : []])
  const nobody = h('div', { class: 'empty', hidden: true }, h('p', {}, 'The user has no contacts.'))
  const more = h('button', { type: 'button', hidden: true, onclick: () => { limit += CONTACTS; stale = true; look() } }, 'More contacts')
  let limit = CONTACTS
  /** How many contacts there were, when they were asked for. */
  let asked = -1
  /** Somebody wants to see others, or there may be others. */
  let stale = true
  /** Looks that were begun: the last one counts. */
  let looks = 0
  /** The user as it was seen last. @type {any} */
  let seen

  const contactRow = (/** @type {any} */ { phone: contact }) => {
    const nick = h('span'), mutual = h('span')
    const out = button(api, 'wechat/removeContact', 'Take out…', () => actions.removeContact(context, phone, contact), { small: true, danger: true, label: `Take ${contact} out` })
    const made = known.row(phoneLink(contact), nick, mutual, ...out ? [out] : [])
    made.update = (/** @type {any} */ now) => {
      fill(nick, now.nick === null ? h('span', { class: 'soft' }, 'unknown') : name(now.nick))
      say(mutual, now.mutual === null ? '–' : now.mutual ? 'yes' : 'no')
    }
    return made
  }

  /** Sets a fact that is somebody's text. @param {Element} element; @param {string | null} text */
  const tell = (element, text) => {
    if (/** @type {any} */ (element).told === text) return
    /** @type {any} */ (element).told = text
    fill(element, text === null || text === '' ? h('span', { class: 'soft' }, 'none') : name(text, 'whole'))
  }
  /** Sets a fact that is a time. @param {Element} element; @param {number | null} ms; @param {string} none */
  const date = (element, ms, none) => {
    if (/** @type {any} */ (element).told === ms) return
    /** @type {any} */ (element).told = ms
    fill(element, ms === null ? none : moment(ms))
  }

  /** @param {any} now */
  function show(now) {
    seen = now
    tell(facts.nick, now.nick)
    tell(facts.userName, now.userName)
    tell(facts.email, now.email)
    tell(facts.region, now.region)
    say(facts.state, now.nodes.length ? `connected to ${now.nodes.join(', ')}` : 'away')
    facts.state.className = now.nodes.length ? 'good' : ''
    say(facts.waiting, count(now.waiting))
    date(facts.since, now.waitingSince, '–')
    date(facts.tokens, now.tokensFrom === null ? null : now.tokensFrom * 1000, 'all count')
    say(size, count(now.contacts))
    known.element.hidden = now.contacts === 0
    nobody.hidden = now.contacts > 0
    more.hidden = limit >= now.contacts
  }

  /** The first contacts, in as many pages as that takes. They are asked for when their number has changed, and not with each look. */
  async function contacts() {
    const found = []
    let after
    do {
      const page = (await api.call('wechat/listContacts', { phone, limit: CONTACTS, ...(after && { after }) }, signal)).result
      found.push(...page.contacts)
      after = page.next
    } while (after && found.length < limit)
    return found
  }

  const gone = h('div', { class: 'card empty', hidden: true }, h('p', {}, 'Nobody has this phone.'), h('p', {}, 'The user appears here when somebody registers it.'))
  const erase = deed('eraseMessages', 'Erase messages…', 'What the user wrote and waits for others.', () => actions.eraseMessages(context, phone))
  const deeds = [
    deed('signOut', 'Sign out…', 'Ends the connection; tokens count no more.', () => actions.signOut(context, phone, seen)),
    deed('resetPassword', 'New password…', 'A random one, shown once.', () => actions.resetPassword(context, phone, seen)),
    erase,
    deed('deleteUser', 'Delete…', 'The account, and what waits for it.', () => actions.remove(context, phone, seen)),
  ].filter(one => one !== false)
  const there = h('div', { class: 'stack' },
    h('dl', { class: 'facts card' },
      h('div', {}, h('dt', {}, 'Nickname'), facts.nick), h('div', {}, h('dt', {}, 'User name'), facts.userName), h('div', {}, h('dt', {}, 'E-mail'), facts.email),
      h('div', {}, h('dt', {}, 'Region'), facts.region), h('div', {}, h('dt', {}, 'State'), facts.state), h('div', {}, h('dt', {}, 'Messages that wait'), facts.waiting),
      h('div', {}, h('dt', {}, 'Oldest of them'), facts.since), h('div', {}, h('dt', {}, 'Tokens count from'), facts.tokens)),
    h('section', { class: 'card', 'aria-label': 'Contacts' }, h('h2', {}, 'Contacts ', size), known.element, nobody, h('div', { class: 'more' }, more)))

  /** @param {string} method; @param {string} text; @param {string} about; @param {() => unknown} act */
  function deed(method, text, about, act) {
    const made = button(api, `wechat/${method}`, text, act, { danger: true })
    return made && h('li', {}, h('p', {}, about), made)
  }

  async function look() {
    const mine = ++looks
    try {
      const now = (await api.call('wechat/userState', { phone }, signal)).result
      const found = stale || asked !== now.contacts ? await contacts() : undefined
      if (mine !== looks) return
      show(now)
      if (found) {
        keep(known.body, found, (/** @type {any} */ contact) => contact.phone, contactRow)
        asked = now.contacts
        stale = false
      }
      setGone(false)
      app.worked()
    } catch (error) {
      if (signal.aborted || mine !== looks) return
      // Nobody is told by a status alone: the server may have no such method any more.
      const isGone = /** @type {any} */ (error).code === 'noUser'
      stale = true
      if (isGone) {
        seen = undefined
        setGone(true)
        app.worked()
      } else app.failed(error)
    }
  }
  /** What is said of nobody, and what can be done. @param {boolean} is */
  function setGone(is) {
    there.hidden = is
    gone.hidden = !is
    for (const one of deeds) if (one !== erase) one.hidden = is
  }
  const context = { api, changed: () => { stale = true; look() } }
  repeat(EVERY, signal, look)
  return {
    title: [name(phone, 'whole')],
    back: ['Messenger', '#/phones'],
    content: [gone,
      h('div', { class: 'columns' }, there, deeds.length > 0 && h('section', { class: 'card', 'aria-label': 'What can be done' }, h('h2', {}, 'What can be done'), h('ul', { class: 'deeds' }, deeds)))],
  }
}
