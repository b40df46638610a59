// Users who are online.
import { h, table } from './dom.js'
import { count, onlineLink, onNodes, quoted, roomLink } from './format.js'
import { list } from './list.js'

/** Rooms of a user that the list names. */
const NAMED = 3

/** @param {string[]} rooms */
function some(rooms) {
  const more = rooms.length - NAMED
  return h('span', { class: 'several' }, rooms.slice(0, NAMED).map(roomLink), more > 0 && `and ${count(more)} more`, rooms.length === 0 && 'none')
}

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
export function users(app, signal) {
  return {
    title: 'Users',
    content: list({
      app, signal, label: 'Users whose uid begins with', open: uid => `#/user/${encodeURIComponent(uid)}`,
      table: table('Users who are online', [
        { name: 'User', cell: ({ uid }) => onlineLink(app.api, uid) },
        { name: 'Rooms', cell: ({ rooms }) => some(rooms) },
        { name: 'Nodes', cell: ({ nodes }) => onNodes(nodes) },
      ]),
      key: ({ uid }) => String(uid),
      async load(request, signal) {
        const { users, next } = await app.api.call('users', request, signal)
        return { items: users, next }
      },
      empty: prefix => prefix
        ? [h('p', {}, 'Nobody is online whose uid begins with ', quoted(prefix), '.'), h('p', {}, 'For the token or the messages of a user who is away, press Open.')]
        : [h('p', {}, 'Nobody is online.'), h('p', {}, 'For a user who is away, type the uid and press Open.')],
    }),
  }
}
