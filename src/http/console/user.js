// One user: connections, with their rooms and nodes, and what can be done.
import * as actions from './actions.js'
import { h, keep, repeat, say, table } from './dom.js'
import { count, name, roomLink } from './format.js'

/** Milliseconds between two looks. */
const EVERY = 2500

/**
 * Where a user is: its connections, and from the list of users its rooms where the server does not tell of connections.
 * @param {import('./api.js').Api} api; @param {string} uid; @param {AbortSignal} signal
 */
async function whereabouts(api, uid, signal) {
  if (api.has('whereabouts')) return (await api.call('whereabouts', { uid }, signal)).connections
  const { users } = await api.call('users', { prefix: uid, limit: 1 }, signal)
  const found = users.find((/** @type {any} */ user) => String(user.uid) === uid)
  return found ? [{ node: found.nodes.join(', '), connection: '', rooms: found.rooms }] : []
}

/** @param {import('./main.js').App} app; @param {AbortSignal} signal; @param {string} uid */
export function user(app, signal, uid) {
  const { api } = app
  const state = h('dd', {}, '–'), connections = h('dd', {}, '–'), rooms = h('dd', {}, '–'), nodes = h('dd', {}, '–')
  const sockets = table('Connections of the user', ['Connection', 'Node', 'Rooms'])
  const where = table('Rooms of the user', ['Room', { name: 'Actions', class: 'act', hidden: true }])
  const away = h('div', { class: 'empty', hidden: true }, h('p', {}, 'The user has no connection.'), h('p', {}, 'What can be done here works all the same.'))
  const nowhere = h('div', { class: 'empty', hidden: true }, h('p', {}, 'The user is in no room.'))

  const socketRow = (/** @type {any} */ socket) => {
    const inRooms = h('span')
    const made = sockets.row(name(socket.socketId ?? socket.connection ?? ''), name(socket.node), inRooms)
    made.update = (/** @type {any} */ now) => say(inRooms, count(now.rooms.length))
    return made
  }
  const roomRow = (/** @type {string} */ room) => where.row(roomLink(room),
    actions.button(api, 'kick', 'Kick', () => actions.kick(context, room, uid), { small: true, danger: true, label: `Kick out of ${room}` }))

  async function look() {
    try {
      const all = await whereabouts(api, uid, signal)
      const inRooms = [...new Set(all.flatMap((/** @type {any} */ socket) => socket.rooms))].sort()
      const on = [...new Set(all.map((/** @type {any} */ socket) => socket.node))]
      say(state, all.length ? 'online' : 'away')
      state.className = all.length ? 'good' : ''
      say(connections, count(all.length))
      say(rooms, count(inRooms.length))
      say(nodes, on.join(', ') || '–')
      keep(sockets.body, all, (/** @type {any} */ socket) => `${socket.node} ${socket.connection}`, socketRow)
      keep(where.body, inRooms, room => room, roomRow)
      sockets.element.hidden = all.length === 0
      away.hidden = all.length > 0
      where.element.hidden = inRooms.length === 0
      nowhere.hidden = inRooms.length > 0
      app.worked()
    } catch (error) {
      if (!signal.aborted) app.failed(error)
    }
  }
  const context = { api, changed: look }
  repeat(EVERY, signal, look)

  /** @param {string} method; @param {string} text; @param {string} about; @param {() => unknown} act; @param {boolean} [danger] */
  const deed = (method, text, about, act, danger) => {
    const made = actions.button(api, method, text, act, { danger })
    return made && h('li', {}, h('p', {}, about), made)
  }
  const deeds = [
    deed('token/create', 'Make a token…', 'For a user who has none.', () => actions.createToken(context, uid)),
    deed('token/refresh', 'Replace the token…', 'The old one is dead at once.', () => actions.refreshToken(context, uid), true),
    deed('disconnect', 'Disconnect…', 'Ends all sessions; the token stays good.', () => actions.disconnect(context, uid), true),
    deed('token/revoke', 'Take the token away…', 'Ends all sessions, too.', () => actions.revokeToken(context, uid), true),
    deed('revoke', 'Revoke JWTs…', 'JSON Web Tokens that were issued until now.', () => actions.revoke(context, uid), true),
    deed('erase', 'Erase messages…', 'In all rooms, with every copy.', () => actions.erase(context, uid), true),
  ].filter(Boolean)

  return {
    title: [name(uid, 'whole')],
    back: ['Users', '#/users'],
    content: [
      h('dl', { class: 'facts card' }, h('div', {}, h('dt', {}, 'State'), state), h('div', {}, h('dt', {}, 'Connections'), connections), h('div', {}, h('dt', {}, 'Rooms'), rooms), h('div', {}, h('dt', {}, 'Nodes'), nodes)),
      h('div', { class: 'columns' },
        h('div', { class: 'stack' },
          h('section', { class: 'card', 'aria-label': 'Rooms' }, h('h2', {}, 'Rooms'), where.element, nowhere),
          h('section', { class: 'card', 'aria-label': 'Connections' }, h('h2', {}, 'Connections'), sockets.element, away)),
        deeds.length > 0 && h('section', { class: 'card', 'aria-label': 'What can be done' }, h('h2', {}, 'What can be done'), h('ul', { class: 'deeds' }, deeds))),
    ],
  }
}
