// Users who are online.
import { h, keep, table } from './dom.js'
import { count, name, onlineLink, quoted, roomLink } from './format.js'
import { list } from './list.js'

/** Rooms of a user that the list names. */
const NAMED = 3

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
export function users(app, signal) {
  const { element, body, row } = table('Users who are online', ['User', 'Rooms', 'Nodes'])
  const make = (/** @type {any} */ user) => {
    const rooms = h('span', { class: 'several' })
    const nodes = h('span', { class: 'several' })
    const made = row(onlineLink(app.api, user.uid), rooms, nodes)
    let shown = ''
    made.update = (/** @type {any} */ now) => {
      const text = JSON.stringify(now)
      if (text === shown) return
      shown = text
      const more = now.rooms.length - NAMED
      rooms.replaceChildren(...now.rooms.slice(0, NAMED).map(roomLink), ...(more > 0 ? [`and ${count(more)} more`] : []), ...(now.rooms.length ? [] : ['none']))
      nodes.replaceChildren(...now.nodes.map((/** @type {string} */ node) => name(node)))
    }
    return made
  }
  return {
    title: 'Users',
    content: list({
      app, signal, table: element, label: 'Users whose uid begins with', open: uid => `#/user/${encodeURIComponent(uid)}`,
      async load(request, signal) {
        const { users, next } = await app.api.call('users', request, signal)
        return { items: users, next }
      },
      show: items => keep(body, items, ({ uid }) => String(uid), make),
      empty: prefix => prefix
        ? [h('p', {}, 'Nobody is online whose uid begins with ', quoted(prefix), '.'), h('p', {}, 'For the token or the messages of a user who is away, press Open.')]
        : [h('p', {}, 'Nobody is online.'), h('p', {}, 'For a user who is away, type the uid and press Open.')],
    }),
  }
}
