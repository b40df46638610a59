// Users of react-wechat, by their phones: all that there are, connected or not.
import { h, keep, say, table } from './dom.js'
import { count, name, phoneLink, quoted } from './format.js'
import { list } from './list.js'

/** Characters of a phone that find it. */
const SHORTEST = 3
const LONGEST = 20
/** Users that are looked at for one with just this phone. */
const MOST = 100
/** What a phone looks like. */
const PHONE = /^[0-9+_]{3,20}$/

/** @param {string} phone */
const hashOf = phone => `#/phone/${encodeURIComponent(phone)}`

/**
 * Where Enter leads: to the user with just this phone, or to the only one who is found. Nowhere, where it may be several.
 * @param {import('./api.js').Api} api; @param {AbortSignal} signal; @param {string} text
 */
async function whom(api, signal, text) {
  const { users, next } = (await api.call('wechat/listUsers', { text, limit: MOST }, signal)).result
  const only = users.find((/** @type {any} */ { phone }) => phone === text) ?? (users.length === 1 && users[0])
  if (only) return hashOf(only.phone)
  const { length } = [...text]
  // It may be somebody's whom a search does not find, or finds behind many others.
  if ((next || length < SHORTEST || length > LONGEST) && await isThere(api, signal, text)) return hashOf(text)
  // What somebody wrote who is nobody any more can be erased.
  return users.length === 0 && PHONE.test(text) ? hashOf(text) : undefined
}

/** @param {import('./api.js').Api} api; @param {AbortSignal} signal; @param {string} phone */
const isThere = (api, signal, phone) => api.call('wechat/userState', { phone }, signal).then(() => true, error => {
  if (error.code === 'noUser') return false
  throw error
})

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
      app, signal, table: element, label: 'Part of a phone, or a whole nickname', open: text => whom(app.api, signal, text),
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
