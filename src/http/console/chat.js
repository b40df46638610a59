// One room of chat-service: who owns it, its mode and lists, who is in it, and what can be changed about that.
import { button } from './actions.js'
import * as actions from './chat-actions.js'
import { h, say, table } from './dom.js'
import { count, soft, userLink } from './format.js'
import { card, facts, nothing, one } from './one.js'

/** Names of each list that are shown at first, and that each press of the button adds; and most that can be asked for. */
const NAMES = 200
const MOST = 10_000

/** The lists, as they are called here and there. @type {[string, string][]} */
const LISTS = [['adminlist', 'Administrators'], ['whitelist', 'Whitelist'], ['blacklist', 'Blacklist']]

/**
 * A list of names.
 * @param {string} title
 * @param {string} none what is said where nobody is on it
 * @param {(now: any) => {size: number, names: string[]}} of the room as it is
 * @param {(item: string) => any} act a button for each
 * @param {any} add a button for the list
 * @param {() => void} more asks for more names
 */
function names(title, none, of, act, add, more) {
  const all = table(title, [
    { name: 'Name', cell: item => item === '' ? soft('the empty name') : userLink(item) },
    { name: 'Actions', class: 'act', hidden: true, cell: act },
  ])
  all.element.classList.add('bare')
  const empty = nothing(none)
  const size = h('span', { class: 'soft' })
  const moreButton = h('button', { type: 'button', hidden: true, onclick: more }, 'More names')
  return {
    element: card(title, size, all.element, empty, h('div', { class: 'more' }, add, moreButton)),
    /** @param {any} now; @param {number} limit */
    update(now, limit) {
      const list = of(now)
      say(size, count(list.size))
      all.show(list.names, item => item)
      all.element.hidden = list.names.length === 0
      empty.hidden = list.names.length > 0
      moreButton.hidden = list.names.length >= list.size || limit >= MOST
    },
  }
}

/** @param {import('./main.js').App} app; @param {AbortSignal} signal; @param {string} room */
export function chat(app, signal, room) {
  const { api } = app
  let limit = NAMES
  return one(app, signal, {
    title: room,
    back: ['Chat rooms', '#/chats'],
    state: async () => (await api.call('chat-service/roomState', { roomName: room, limit }, signal)).result,
    codes: ['noRoom'],
    gone: ['There is no such room.', 'It appears here when it is made.'],
    parts: context => [
      facts({
        Owner: now => now.owner === null ? soft('nobody') : userLink(now.owner),
        Mode: now => now.whitelistOnly ? 'whitelist only' : 'open',
        'Users here': now => count(now.userlist.size),
        'Stored messages': now => `${count(now.historySize)} of ${count(now.historyMaxSize)}`,
        'Last message': now => now.lastMessageId === 0 ? 'none yet' : `#${now.lastMessageId}`,
        'Members are told': now => [now.enableUserlistUpdates && 'who comes and goes', now.enableAccessListsUpdates && 'changes of lists and mode'].filter(Boolean).join(', ') || 'neither',
      }),
      lists(context),
    ],
    deeds: [
      { method: 'chat-service/changeRoomOwner', text: 'Owner…', act: actions.changeOwner, isSafe: true },
      { method: 'chat-service/execUserCommand', text: 'Mode…', act: actions.changeMode, isSafe: true },
      { method: 'chat-service/changeRoomHistoryMaxSize', text: 'History…', act: actions.changeSize, isSafe: true },
      { method: 'chat-service/changeUserlistUpdates', text: 'Notices…', act: actions.changeNotices, isSafe: true },
      { method: 'chat-service/deleteRoom', text: 'Delete…', act: actions.remove },
    ],
  })

  /** Who is here, and on the lists. @param {import('./one.js').Context} context @returns {import('./one.js').Part} */
  function lists(context) {
    const command = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => unknown} */ act, danger = true) =>
      button(api, 'chat-service/execUserCommand', text, act, { small: true, danger, label })
    const more = () => { limit = Math.min(limit + NAMES, MOST); context.changed() }
    const all = [
      names('Members', 'Nobody is here.', now => now.userlist, item => command('Put out…', `Put ${item} out`, () => actions.putOut(context, room, item)), null, more),
      ...LISTS.map(([list, title]) => names(title, 'Nobody is on this list.', now => now[list],
        item => command('Take off…', `Take ${item} off the ${list}`, () => actions.takeOff(context, room, list, item, context.seen)),
        command('Add…', `Add to the ${list}`, () => actions.putOn(context, room, list), false), more)),
    ]
    const [members, admins, white, black] = all.map(({ element }) => element)
    return {
      element: h('div', { class: 'columns' }, h('div', { class: 'stack' }, members, admins), h('div', { class: 'stack' }, white, black)),
      update(now) { for (const { update } of all) update(now, limit) },
    }
  }
}
