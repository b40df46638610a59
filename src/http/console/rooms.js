// Rooms with anybody in them.
import { h, keep, table } from './dom.js'
import { count, quoted, roomLink } from './format.js'
import { list } from './list.js'

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
export function rooms(app, signal) {
  const { element, body, row } = table('Rooms with anybody in them', ['Room', { name: 'Members', class: 'number' }])
  const make = (/** @type {any} */ room) => {
    const members = h('span')
    const made = row(roomLink(room.roomId), members)
    made.update = (/** @type {any} */ now) => { members.textContent = count(now.members) }
    return made
  }
  return {
    title: 'Rooms',
    content: list({
      app, signal, table: element, label: 'Rooms that begin with', open: name => `#/room/${encodeURIComponent(name)}`,
      async load(request, signal) {
        const { rooms, next } = await app.api.call('rooms', request, signal)
        return { items: rooms, next }
      },
      show: items => keep(body, items, ({ roomId }) => roomId, make),
      empty: prefix => prefix
        ? [h('p', {}, 'Nobody is in a room whose name begins with ', quoted(prefix), '.'), h('p', {}, 'Rooms that only have messages are not listed: press Open to look into one.')]
        : [h('p', {}, 'Nobody is in any room.'), h('p', {}, 'Rooms appear here as soon as a client joins one.')],
    }),
  }
}
