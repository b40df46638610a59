// Rooms of chat-service: all that there are, with anybody in them or not.
import { button } from './actions.js'
import { make as makeRoom } from './chat-actions.js'
import { h, table } from './dom.js'
import { badge, chatLink, figure, quoted, soft, userLink } from './format.js'
import { list, pages } from './list.js'

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
export function chats(app, signal) {
  const { api } = app
  const number = (/** @type {string} */ name, /** @type {string} */ what) => ({ name, class: 'number slim', cell: (/** @type {any} */ room) => figure(room[what]) })
  return {
    title: 'Chat rooms',
    actions: [button(api, 'chat-service/addRoom', 'New room…', () => makeRoom({ api, changed: () => {} }))],
    content: list({
      app, signal, label: 'Rooms that begin with', longest: 1013, open: name => `#/chat/${encodeURIComponent(name)}`,
      table: table('Rooms of chat-service', [
        { name: 'Room', cell: ({ roomName }) => chatLink(roomName) },
        { name: 'Owner', cell: ({ owner }) => owner === null ? soft('nobody') : userLink(owner) },
        { name: 'Mode', class: 'short', cell: ({ whitelistOnly }) => badge(whitelistOnly ? 'whitelist only' : 'open') },
        number('Members', 'members'), number('Admins', 'adminlist'), number('Whitelist', 'whitelist'), number('Blacklist', 'blacklist'),
      ]),
      key: ({ roomName }) => roomName,
      load: pages(api, 'chat-service/listRooms', 'rooms', {}, 'prefix'),
      empty: prefix => prefix
        ? [h('p', {}, 'There is no room whose name begins with ', quoted(prefix), '.')]
        : [h('p', {}, 'There is no room.'), h('p', {}, 'Rooms are made by a business server, by the button above, or by users where that is enabled.')],
    }),
  }
}
