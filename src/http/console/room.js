// One room: who is in it, its log and its updates as they arrive, and what can be done with it.
import * as actions from './actions.js'
import { fill, h, keep, repeat, say, table } from './dom.js'
import { count, duration, moment, name, userLink } from './format.js'

/** Milliseconds between two looks at the log, and at the members. */
const LOG_EVERY = 1500
const MEMBERS_EVERY = 3000
/** The same for the log of a room with more updates than are shown: each answer has all of them. */
const LARGE_EVERY = 15_000
/** Messages of a page, and the most messages and updates that the page keeps when new ones come. */
const PAGE = 50
const KEPT = 500
/** Characters from which on a message may have to be scrolled, and so can have the focus. */
const LONG = 200
/** Members that are shown at first, and that each press of the button adds. */
const MEMBERS = 100

/** @param {any} message */
const sender = message => message.uid === undefined ? h('span', { class: 'soft' }, 'nobody') : userLink(message.uid)

/** A message: when, whose, and what, as it is stored. @param {any} message; @param {string} [place] */
function entry(message, place = `#${message.index}`) {
  const text = JSON.stringify(message.data)
  return h('li', { class: 'entry', 'data-index': message.index },
    h('div', { class: 'by' }, h('span', { class: 'place' }, place), sender(message), moment(message.ts * 1000)),
    h('pre', text.length > LONG ? { tabindex: 0, role: 'region', 'aria-label': `Message ${place}` } : {}, text))
}

/** @param {any} rule */
function retention({ age, count: most }) {
  const parts = [age !== undefined && duration(age), most !== undefined && `newest ${count(most)}`].filter(Boolean)
  return parts.length ? parts.join(' · ') : 'all, for ever'
}

/** @param {import('./main.js').App} app; @param {AbortSignal} signal; @param {string} room */
export function room(app, signal, room) {
  const { api } = app
  const fact = () => h('dd', {}, '–')
  const facts = { members: fact(), messages: fact(), indices: fact(), retention: fact() }

  // The log, the newest first: `end` is where it ends, `before` where what is shown begins, if there is more before it.
  const entries = h('ol', { class: 'entries' })
  const updates = h('ol', { class: 'entries' })
  const updatesTitle = h('h2', {}, 'Updates')
  const updatesCard = h('section', { class: 'card', 'aria-label': 'Updates', hidden: true }, updatesTitle, updates)
  const nothing = h('div', { class: 'empty', hidden: true }, h('p', {}, 'No messages are stored here.'), h('p', {}, 'They appear as they arrive. Messages that are only delivered are not stored, and not shown.'))
  const olderButton = h('button', { type: 'button', hidden: true, onclick: () => older() }, 'Older messages')
  let end = 0, epoch = -1, messages = 0, most = KEPT
  /** When the next look is due, if it is not the next turn. */
  let due = 0
  /** @type {number | undefined} */
  let before
  let lastUpdates = ''

  /** @param {any} page */
  function takeFacts(page) {
    messages = page.log - page.start
    say(facts.messages, count(messages))
    say(facts.indices, messages > 0 ? `${count(page.start)} to ${count(page.log - 1)}` : `next is ${count(page.log)}`)
    end = page.log
    epoch = page.epoch
    // What was trimmed meanwhile is there no more.
    while (Number(/** @type {HTMLElement | null} */ (entries.lastElementChild)?.dataset.index) < page.start) entries.lastElementChild?.remove()
    if (before !== undefined && before <= page.start) before = undefined
    olderButton.hidden = before === undefined
    nothing.hidden = entries.childElementCount > 0
    if (page.updates) {
      const all = page.updates.length
      const newest = page.updates.slice(-KEPT)
      const text = JSON.stringify(newest)
      if (text !== lastUpdates) fill(updates, newest.map((/** @type {any} */ update) => entry(update, 'update')).reverse())
      lastUpdates = text
      updatesCard.hidden = all === 0
      say(updatesTitle, all > KEPT ? `Updates (the newest ${count(KEPT)} of ${count(all)})` : `Updates (${count(all)})`)
      due = all > KEPT ? performance.now() + LARGE_EVERY : 0
    }
  }

  async function begin() {
    const page = await api.call('history', { roomId: room, limit: PAGE, reverse: true }, signal)
    fill(entries, page.messages.map((/** @type {any} */ message) => entry(message)))
    before = page.next
    lastUpdates = ''
    takeFacts(page)
  }

  async function follow() {
    for (;;) {
      const page = await api.call('history', { roomId: room, since: end, limit: PAGE }, signal)
      // Another log than before, or one of which more is gone than was shown.
      if (page.epoch !== epoch || page.log < end) return begin()
      entries.prepend(...page.messages.map((/** @type {any} */ message) => entry(message)).reverse())
      forget()
      const first = page.next === undefined
      takeFacts({ ...page, log: first ? page.log : page.next })
      if (first) return
    }
  }

  /** Lets go of the oldest of what is shown, if that is too much. They can be had again. */
  function forget() {
    while (entries.childElementCount > most) {
      before = Number(/** @type {HTMLElement} */ (entries.lastElementChild).dataset.index)
      entries.lastElementChild?.remove()
    }
  }

  async function older() {
    try {
      const page = await api.call('history', { roomId: room, since: before, limit: PAGE, reverse: true }, signal)
      entries.append(...page.messages.map((/** @type {any} */ message) => entry(message)))
      most = Math.max(most, entries.childElementCount)
      before = page.next
      olderButton.hidden = before === undefined
    } catch (error) {
      if (!signal.aborted) app.failed(error)
    }
  }

  const members = table('Members of the room', ['User', { name: 'Connections', class: 'number slim' }, { name: 'Actions', class: 'act', hidden: true }])
  const noMembers = h('div', { class: 'empty', hidden: true }, h('p', {}, 'Nobody is here.'))
  const moreButton = h('button', { type: 'button', hidden: true, onclick: () => { shown += MEMBERS; lookAtMembers().catch(error => signal.aborted || app.failed(error)) } }, 'More members')
  let shown = MEMBERS

  /** @param {any} member */
  function memberRow({ uid, dummy }) {
    const connections = h('span')
    const held = h('span', { class: 'badge' }, 'held')
    const made = members.row([userLink(uid), dummy && h('span', { class: 'badge', title: 'hears everything and is seen by nobody' }, 'dummy'), held], connections,
      actions.button(api, 'kick', 'Kick', () => actions.kick(context, room, uid), { small: true, danger: true, label: `Kick ${uid}` }))
    made.update = (/** @type {any} */ now) => {
      say(connections, count(now.connections))
      held.hidden = !now.held
    }
    return made
  }

  async function lookAtMembers() {
    /** @type {any[]} */
    const all = []
    let cursor, page
    do {
      page = await api.call('members', { roomId: room, limit: Math.min(1000, shown - all.length), ...(cursor !== undefined && { cursor }) }, signal)
      all.push(...page.users)
      cursor = page.next
    } while (cursor !== undefined && all.length < shown)
    keep(members.body, all, member => `${member.dummy} ${member.uid}`, memberRow)
    say(facts.members, count(page.total))
    members.element.hidden = all.length === 0
    noMembers.hidden = all.length > 0
    moreButton.hidden = cursor === undefined
  }

  /** @param {() => Promise<void>} look */
  const guarded = look => async () => {
    try {
      await look()
      app.worked()
    } catch (error) {
      if (!signal.aborted) app.failed(error)
    }
  }
  // One look at the log at a time: two would show the same messages twice.
  let looking = Promise.resolve()
  const lookAtLog = (anew = false) => {
    looking = looking.then(guarded(() => anew || epoch === -1 ? begin() : follow()))
    return looking
  }
  const changed = () => { guarded(lookAtMembers)(); lookAtLog(true) }
  const context = { api, changed }

  repeat(LOG_EVERY, signal, async () => { if (performance.now() >= due) await lookAtLog() })
  repeat(MEMBERS_EVERY, signal, guarded(lookAtMembers))
  if (api.has('retention')) guarded(async () => say(facts.retention, retention(await api.call('retention', { roomId: room }, signal))))()

  return {
    title: [name(room, 'whole')],
    back: ['Rooms', '#/rooms'],
    actions: [
      actions.button(api, 'publish', 'Publish…', () => actions.publish({ api, changed: () => {} }, room)),
      actions.button(api, 'trim', 'Trim…', () => actions.trim(context, room, messages)),
      actions.button(api, 'clear', 'Clear…', () => actions.clear(context, room, messages), { danger: true }),
    ],
    content: [
      h('dl', { class: 'facts card' },
        h('div', {}, h('dt', {}, 'Users here'), facts.members), h('div', {}, h('dt', {}, 'Stored messages'), facts.messages),
        h('div', {}, h('dt', {}, 'Their indices'), facts.indices), api.has('retention') && h('div', {}, h('dt', {}, 'Kept'), facts.retention)),
      h('div', { class: 'columns' },
        h('div', { class: 'stack' }, updatesCard, h('section', { class: 'card', 'aria-label': 'Log' }, h('h2', {}, 'Log', h('span', { class: 'soft' }, ' newest first')), entries, nothing, h('div', { class: 'more' }, olderButton))),
        h('section', { class: 'card', 'aria-label': 'Members' }, h('h2', {}, 'Members'), members.element, noMembers, h('div', { class: 'more' }, moreButton))),
    ],
  }
}
