// One user: connections, with their rooms and nodes, and what can be done.
import * as actions from './actions.js'
import { table } from './dom.js'
import { count, name, roomLink, state } from './format.js'
import { facts, known, one } from './one.js'

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
export const user = (app, signal, uid) => one(app, signal, {
  title: uid,
  back: ['Users', '#/users'],
  async state() {
    const sockets = await whereabouts(app.api, uid, signal)
    const all = (/** @type {string[]} */ names) => [...new Set(names)]
    return { sockets, rooms: all(sockets.flatMap((/** @type {any} */ { rooms }) => rooms)).sort(), nodes: all(sockets.map((/** @type {any} */ { node }) => node)) }
  },
  codes: [],
  gone: [],
  parts: context => [
    facts({
      State: ({ sockets }) => sockets.length ? state(true, 'online') : 'away',
      Connections: ({ sockets }) => count(sockets.length),
      Rooms: ({ rooms }) => count(rooms.length),
      Nodes: ({ nodes }) => nodes.join(', ') || '–',
    }),
    known({
      title: 'Rooms', of: ({ rooms }) => rooms, key: room => room, none: ['The user is in no room.'],
      table: table('Rooms of the user', [
        { name: 'Room', cell: roomLink },
        { name: 'Actions', class: 'act', hidden: true, cell: kick(context, uid) },
      ]),
    }),
    known({
      title: 'Connections', of: ({ sockets }) => sockets, key: ({ node, connection }) => `${node} ${connection}`,
      none: ['The user has no connection.', 'What can be done here works all the same.'],
      table: table('Connections of the user', [
        { name: 'Connection', cell: ({ socketId, connection }) => name(socketId ?? connection ?? '') },
        { name: 'Node', cell: ({ node }) => name(node) },
        { name: 'Rooms', cell: ({ rooms }) => count(rooms.length) },
      ]),
    }),
  ],
  deeds: [
    { method: 'token/create', text: 'Make a token…', about: 'For a user who has none.', act: actions.createToken, isSafe: true },
    { method: 'token/refresh', text: 'Replace the token…', about: 'The old one is dead at once.', act: actions.refreshToken },
    { method: 'disconnect', text: 'Disconnect…', about: 'Ends all sessions; the token stays good.', act: actions.disconnect },
    { method: 'token/revoke', text: 'Take the token away…', about: 'Ends all sessions, too.', act: actions.revokeToken },
    { method: 'revoke', text: 'Revoke JWTs…', about: 'JSON Web Tokens that were issued until now.', act: actions.revoke },
    { method: 'erase', text: 'Erase messages…', about: 'In all rooms, with every copy.', act: actions.erase },
  ],
})

/** @param {import('./one.js').Context} context; @param {string} uid */
const kick = (context, uid) => (/** @type {string} */ room) =>
  actions.button(context.api, 'kick', 'Kick', () => actions.kick(context, room, uid), { small: true, danger: true, label: `Kick out of ${room}` })
