// One room of chat-service: who owns it, its mode and lists, who is in it, and what can be changed about that.
import { button } from './actions.js'
import * as actions from './chat-actions.js'
import { fill, h, keep, repeat, say, table } from './dom.js'
import { count, name, userLink } from './format.js'

/** Milliseconds between two looks. */
const EVERY = 3000
/** Names of each list that are shown at first, and that each press of the button adds; and most that can be asked for. */
const NAMES = 200
const MOST = 10_000

/** The lists, as they are called here and there. @type {[string, string][]} */
const LISTS = [['adminlist', 'Administrators'], ['whitelist', 'Whitelist'], ['blacklist', 'Blacklist']]

/**
 * A list of names: `update` shows it as it is now.
 * @param {string} title
 * @param {string} none what is said where nobody is on it
 * @param {(item: string) => any} act a button for each
 * @param {any} add a button for the list
 * @param {() => void} more asks for more names
 */
function names(title, none, act, add, more) {
  const { element, body, row } = table(title, ['Name', { name: 'Actions', class: 'act', hidden: true }])
  element.classList.add('bare')
  const nothing = h('div', { class: 'empty', hidden: true }, h('p', {}, none))
  const size = h('span', { class: 'soft' })
  const moreButton = h('button', { type: 'button', hidden: true, onclick: more }, 'More names')
  return {
    card: h('section', { class: 'card', 'aria-label': title }, h('h2', {}, `${title} `, size), element, nothing, h('div', { class: 'more' }, add, moreButton)),
    /** @param {{size: number, names: string[]}} now; @param {number} limit */
    update(now, limit) {
      say(size, count(now.size))
      keep(body, now.names, item => item, item => row(item === '' ? h('span', { class: 'soft' }, 'the empty name') : userLink(item), act(item)))
      element.hidden = now.names.length === 0
      nothing.hidden = now.names.length > 0
      moreButton.hidden = now.names.length >= now.size || limit >= MOST
    },
  }
}

/** @param {import('./main.js').App} app; @param {AbortSignal} signal; @param {string} room */
export function chat(app, signal, room) {
  const { api } = app
  const fact = () => h('dd', {}, '–')
  const facts = { owner: fact(), mode: fact(), members: fact(), messages: fact(), last: fact(), told: fact() }
  let limit = NAMES
  /** The room as it was seen last. @type {any} */
  let seen
  const more = () => { limit = Math.min(limit + NAMES, MOST); look() }

  const members = names('Members', 'Nobody is here.', item => button(api, 'chat-service/execUserCommand', 'Put out…', () => actions.putOut(context, room, item), { small: true, danger: true, label: `Put ${item} out` }), null, more)
  const lists = LISTS.map(([list, title]) => ({
    list,
    ...names(title, 'Nobody is on this list.',
      item => button(api, 'chat-service/execUserCommand', 'Take off…', () => actions.takeOff(context, room, list, item, seen), { small: true, danger: true, label: `Take ${item} off the ${list}` }),
      button(api, 'chat-service/execUserCommand', 'Add…', () => actions.putOn(context, room, list), { small: true, label: `Add to the ${list}` }), more),
  }))
  const gone = h('div', { class: 'card empty', hidden: true }, h('p', {}, 'There is no such room.'), h('p', {}, 'It appears here when it is made.'))
  const there = h('div', { class: 'stack' },
    h('dl', { class: 'facts card' },
      h('div', {}, h('dt', {}, 'Owner'), facts.owner), h('div', {}, h('dt', {}, 'Mode'), facts.mode), h('div', {}, h('dt', {}, 'Users here'), facts.members),
      h('div', {}, h('dt', {}, 'Stored messages'), facts.messages), h('div', {}, h('dt', {}, 'Last message'), facts.last), h('div', {}, h('dt', {}, 'Members are told'), facts.told)),
    h('div', { class: 'columns' }, h('div', { class: 'stack' }, members.card, lists[0].card), h('div', { class: 'stack' }, lists[1].card, lists[2].card)))

  /** @param {any} now */
  function show(now) {
    if (seen?.owner !== now.owner || !seen) fill(facts.owner, now.owner === null ? h('span', { class: 'soft' }, 'nobody') : userLink(now.owner))
    seen = now
    say(facts.mode, now.whitelistOnly ? 'whitelist only' : 'open')
    say(facts.members, count(now.userlist.size))
    say(facts.messages, `${count(now.historySize)} of ${count(now.historyMaxSize)}`)
    say(facts.last, now.lastMessageId === 0 ? 'none yet' : `#${now.lastMessageId}`)
    say(facts.told, [now.enableUserlistUpdates && 'who comes and goes', now.enableAccessListsUpdates && 'changes of lists and mode'].filter(Boolean).join(', ') || 'neither')
    members.update(now.userlist, limit)
    for (const { list, update } of lists) update(now[list], limit)
  }

  async function look() {
    try {
      show((await api.call('chat-service/roomState', { roomName: room, limit }, signal)).result)
      there.hidden = false
      gone.hidden = true
      app.worked()
    } catch (error) {
      if (signal.aborted) return
      // Nobody is told by a status alone: the server may have no such method any more.
      const isGone = /** @type {any} */ (error).code === 'noRoom'
      there.hidden = isGone
      gone.hidden = !isGone
      for (const made of buttons) if (made) made.disabled = isGone
      if (!isGone) app.failed(error)
      return
    }
    for (const made of buttons) if (made) made.disabled = false
  }
  const context = { api, changed: look }
  const buttons = [
    button(api, 'chat-service/changeRoomOwner', 'Owner…', () => actions.changeOwner(context, room, seen)),
    button(api, 'chat-service/execUserCommand', 'Mode…', () => actions.changeMode(context, room, seen)),
    button(api, 'chat-service/changeRoomHistoryMaxSize', 'History…', () => actions.changeSize(context, room, seen)),
    button(api, 'chat-service/changeUserlistUpdates', 'Notices…', () => actions.changeNotices(context, room, seen)),
    button(api, 'chat-service/deleteRoom', 'Delete…', () => actions.remove(context, room, seen), { danger: true }),
  ]
  repeat(EVERY, signal, look)
  return { title: [name(room, 'whole')], back: ['Chat rooms', '#/chats'], actions: buttons, content: [gone, there] }
}
