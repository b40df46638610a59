// Rooms with anybody in them.
import { h, table } from './dom.js'
import { count, quoted, roomLink } from './format.js'
import { list } from './list.js'

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
export function rooms(app, signal) {
  return {
    title: 'Rooms',
    content: list({
      app, signal, label: 'Rooms that begin with', open: name => `#/room/${encodeURIComponent(name)}`,
      table: table('Rooms with anybody in them', [
        { name: 'Room', cell: ({ roomId }) => roomLink(roomId) },
        { name: 'Members', class: 'number', cell: ({ members }) => count(members) },
      ]),
      key: ({ roomId }) => roomId,
      async load(request, signal) {
        const { rooms, next } = await app.api.call('rooms', request, signal)
        return { items: rooms, next }
      },
      empty: prefix => prefix
        ? [h('p', {}, 'Nobody is in a room whose name begins with ', quoted(prefix), '.'), h('p', {}, 'Rooms that only have messages are not listed: press Open to look into one.')]
        : [h('p', {}, 'Nobody is in any room.'), h('p', {}, 'Rooms appear here as soon as a client joins one.')],
    }),
  }
}
