// Users of react-wechat, by their phones: all that there are, connected or not.
import { h, keep, say, table } from './dom.js'
import { count, name, phoneLink, quoted } from './format.js'
import { list } from './list.js'

/** Characters of a phone that find it. */
const SHORTEST = 3

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
export function phones(app, signal) {
  const number = (/** @type {string} */ name) => ({ name, class: 'number slim' })
  const { element, body, row } = table('Users of react-wechat', ['Phone', 'Nickname', 'User name', number('Contacts'), number('Waiting'), 'Connected to'])
  const make = (/** @type {any} */ { phone }) => {
    const nick = h('span'), userName = h('span'), contacts = h('span'), waiting = h('span'), nodes = h('span', { class: 'several' })
    const made = row(phoneLink(phone), nick, userName, contacts, waiting, nodes)
    let shown = ''
    made.update = (/** @type {any} */ now) => {
      const text = JSON.stringify(now)
      if (text === shown) return
      shown = text
      nick.replaceChildren(name(now.nick))
      userName.replaceChildren(name(now.userName))
      for (const [cell, size] of /** @type {[Element, number][]} */ ([[contacts, now.contacts], [waiting, now.waiting]])) {
        say(cell, count(size))
        cell.className = size === 0 ? 'none' : ''
      }
      nodes.replaceChildren(...now.nodes.length ? now.nodes.map((/** @type {string} */ node) => name(node)) : [h('span', { class: 'soft' }, 'away')])
    }
    return made
  }
  return {
    title: 'Messenger',
    content: list({
      app, signal, table: element, label: 'Part of a phone, or a whole nickname', open: phone => `#/phone/${encodeURIComponent(phone)}`,
      async load({ prefix, cursor, limit }, signal) {
        const request = { limit, ...(prefix && { text: prefix }), ...(cursor !== undefined && { after: cursor }) }
        const { users, next } = (await app.api.call('wechat/listUsers', request, signal)).result
        return { items: users, next: next ?? undefined }
      },
      show: items => keep(body, items, ({ phone }) => phone, make),
      empty: text => text
        ? [h('p', {}, 'Nobody has the nickname ', quoted(text), [...text].length < SHORTEST ? '.' : ', or a phone with that in it.'),
          [...text].length < SHORTEST && h('p', {}, 'A phone is found by three characters or more of it.')]
        : [h('p', {}, 'Nobody has registered yet.')],
    }),
  }
}
