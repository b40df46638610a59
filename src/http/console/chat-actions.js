// What an administrator can do with rooms of chat-service. Commands are done for nobody, past the permissions of users; the hooks of commands are asked.
import { wholeNumber } from './actions.js'
import { ask, toast } from './dialog.js'
import { h } from './dom.js'
import { quoted, some } from './format.js'

/** @typedef {import('./actions.js').Context} Context */

/** @param {Context} context; @param {string} command; @param {unknown[]} args */
const execute = ({ api }, command, args) => api.call('chat-service/execUserCommand', { command, args, bypassPermissions: true })

/** @type {[string, string][]} */
const MODES = [['open', 'everybody who is not on the blacklist'], ['whitelist', 'who is on the whitelist, and not on the blacklist']]

/** @param {Context} context */
export const make = ({ api }) => ask({
  title: 'Make a room',
  says: [h('p', {}, 'A name has no colons, braces or control characters.')],
  fields: [
    { name: 'roomName', label: 'Name', required: true },
    { name: 'owner', label: 'Owner', hint: 'Nothing: nobody.' },
    { name: 'mode', label: 'Who may join', type: 'select', value: 'open', options: MODES },
  ],
  button: 'Make',
  async act({ roomName, owner, mode }) {
    await api.call('chat-service/addRoom', { roomName, state: { whitelistOnly: mode === 'whitelist', ...(owner && { owner }) } })
    toast('Made ', quoted(roomName), '.')
    location.hash = `#/chat/${encodeURIComponent(roomName)}`
  },
})

/** @param {Context} context; @param {string} room; @param {string} user */
export const putOut = (context, room, user) => ask({
  title: 'Put this user out?',
  says: [
    h('p', {}, quoted(user), ' will be put on the blacklist of ', quoted(room), ', and leaves it with all sockets.'),
    h('p', {}, 'The owner and administrators of a room are spared: they stay until they leave.'),
  ],
  button: 'Put out', danger: true,
  async act() {
    await execute(context, 'roomAddToList', [room, 'blacklist', [user]])
    toast(quoted(user), ' is on the blacklist of ', quoted(room), '.')
    context.changed()
  },
})

/** @param {Context} context; @param {string} room; @param {string} list */
export const putOn = (context, room, list) => ask({
  title: `Add to the ${list}`,
  says: [h('p', {}, 'Of ', quoted(room), '.', list === 'blacklist' && ' Who is there, and neither owner nor administrator, leaves at once.')],
  fields: [{ name: 'names', label: 'Names, one in each line', type: 'area', required: true }],
  button: 'Add', danger: list === 'blacklist',
  async act({ names }) {
    const all = names.split('\n').filter(Boolean)
    await execute(context, 'roomAddToList', [room, list, all])
    toast(`Added ${some(all.length, 'name')} to the ${list} of `, quoted(room), '.')
    context.changed()
  },
})

/** @param {Context} context; @param {string} room; @param {string} list; @param {string} item; @param {any} state */
export const takeOff = (context, room, list, item, state) => ask({
  title: `Take off the ${list}?`,
  says: [h('p', {}, quoted(item), ` will be taken off the ${list} of `, quoted(room), '.', list === 'whitelist' && state.whitelistOnly && ' The room is closed to this user then: all sockets leave at once.')],
  button: 'Take off', danger: true,
  async act() {
    await execute(context, 'roomRemoveFromList', [room, list, [item]])
    toast(quoted(item), ` is off the ${list} of `, quoted(room), '.')
    context.changed()
  },
})

/** @param {Context} context; @param {string} room; @param {any} state */
export const changeMode = (context, room, state) => ask({
  title: 'Who may join?',
  says: [h('p', {}, 'Of ', quoted(room), ', beside its owner and administrators. Who is there and may not be any more leaves at once.')],
  fields: [{ name: 'mode', label: 'Who may join', type: 'select', value: state?.whitelistOnly ? 'whitelist' : 'open', options: MODES }],
  button: 'Change', danger: !state?.whitelistOnly,
  async act({ mode }) {
    await execute(context, 'roomSetWhitelistMode', [room, mode === 'whitelist'])
    toast(quoted(room), mode === 'whitelist' ? ' is for who is on its whitelist.' : ' is open.')
    context.changed()
  },
})

/** @param {Context} context; @param {string} room; @param {any} state */
export const changeOwner = ({ api, changed }, room, state) => ask({
  title: 'Change the owner',
  says: [h('p', {}, 'Of ', quoted(room), '. Who owns it now has no rights by that any more.')],
  fields: [{ name: 'owner', label: 'Owner', hint: 'Nothing: nobody.', value: state?.owner ?? '' }],
  button: 'Change',
  async act({ owner }) {
    await api.call('chat-service/changeRoomOwner', { roomName: room, owner: owner || null })
    toast(owner ? quoted(owner) : 'Nobody', ' owns ', quoted(room), '.')
    changed()
  },
})

/** @param {Context} context; @param {string} room; @param {any} state */
export const changeSize = ({ api, changed }, room, state) => ask({
  title: 'How many messages are kept?',
  says: [h('p', {}, 'Of ', quoted(room), '. Older ones than these are gone at once, for everybody.')],
  fields: [{ name: 'size', label: 'Messages', type: 'number', required: true, value: String(state?.historyMaxSize ?? '') }],
  button: 'Change', danger: true,
  async act({ size }) {
    await api.call('chat-service/changeRoomHistoryMaxSize', { roomName: room, size: wholeNumber(size, 'The number of messages') })
    toast(quoted(room), ` keeps ${some(Number(size), 'message')}.`)
    changed()
  },
})

/** @param {Context} context; @param {string} room; @param {any} state */
export const changeNotices = ({ api, changed }, room, state) => ask({
  title: 'What are members told?',
  says: [h('p', {}, 'Of ', quoted(room), '.')],
  fields: [
    { name: 'users', label: 'Who comes and goes', type: 'select', value: String(Boolean(state?.enableUserlistUpdates)), options: [['true', 'told'], ['false', 'not told']] },
    { name: 'lists', label: 'Changes of lists and mode', type: 'select', value: String(Boolean(state?.enableAccessListsUpdates)), options: [['true', 'told'], ['false', 'not told']] },
  ],
  button: 'Change',
  async act({ users, lists }) {
    await api.call('chat-service/changeUserlistUpdates', { roomName: room, mode: users === 'true' })
    await api.call('chat-service/changeAccessListsUpdates', { roomName: room, mode: lists === 'true' })
    toast('Changed what members of ', quoted(room), ' are told.')
    changed()
  },
})

/** @param {Context} context; @param {string} room; @param {any} state */
export const remove = ({ api, changed }, room, state) => ask({
  title: 'Delete the room?',
  says: [
    h('p', {}, quoted(room), ' will be gone, with its lists', state ? ` and ${some(state.historySize, 'message')}` : ' and messages', '. Everybody in it leaves, the owner too.'),
    h('p', {}, 'A room of the same name that is made afterwards is a new one. This can’t be undone.'),
  ],
  button: 'Delete', danger: true,
  async act() {
    await api.call('chat-service/deleteRoom', { roomName: room })
    toast('Deleted ', quoted(room), '.')
    changed()
  },
})
