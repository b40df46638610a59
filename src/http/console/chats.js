// Rooms of chat-service: all that there are, with anybody in them or not.
import { button } from './actions.js'
import { make as makeRoom } from './chat-actions.js'
import { h, keep, say, table } from './dom.js'
import { chatLink, count, quoted, userLink } from './format.js'
import { list } from './list.js'

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
export function chats(app, signal) {
  const { api } = app
  const number = (/** @type {string} */ name) => ({ name, class: 'number slim' })
  const { element, body, row } = table('Rooms of chat-service', ['Room', 'Owner', { name: 'Mode', class: 'short' }, number('Members'), number('Admins'), number('Whitelist'), number('Blacklist')])
  const make = (/** @type {any} */ { roomName }) => {
    const owner = h('span'), mode = h('span', { class: 'badge' })
    const [members, admins, white, black] = ['', '', '', ''].map(() => h('span'))
    const made = row(chatLink(roomName), owner, mode, members, admins, white, black)
    let shown = ''
    made.update = (/** @type {any} */ now) => {
      const text = JSON.stringify(now)
      if (text === shown) return
      shown = text
      owner.replaceChildren(now.owner === null ? h('span', { class: 'soft' }, 'nobody') : userLink(now.owner))
      say(mode, now.whitelistOnly ? 'whitelist only' : 'open')
      for (const [cell, size] of /** @type {[Element, number][]} */ ([[members, now.members], [admins, now.adminlist], [white, now.whitelist], [black, now.blacklist]])) {
        say(cell, count(size))
        cell.className = size === 0 ? 'none' : ''
      }
    }
    return made
  }
  return {
    title: 'Chat rooms',
    actions: [button(api, 'chat-service/addRoom', 'New room…', () => makeRoom({ api, changed: () => {} }))],
    content: list({
      app, signal, table: element, label: 'Rooms that begin with', longest: 1013, open: name => `#/chat/${encodeURIComponent(name)}`,
      async load({ cursor, ...request }, signal) {
        const { rooms, next } = (await api.call('chat-service/listRooms', { ...request, ...(cursor !== undefined && { after: cursor }) }, signal)).result
        return { items: rooms, next: next ?? undefined }
      },
      show: items => keep(body, items, ({ roomName }) => roomName, make),
      empty: prefix => prefix
        ? [h('p', {}, 'There is no room whose name begins with ', quoted(prefix), '.')]
        : [h('p', {}, 'There is no room.'), h('p', {}, 'Rooms are made by a business server, by the button above, or by users where that is enabled.')],
    }),
  }
}
