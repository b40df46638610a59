// Users of react-wechat, by their phones: all that there are, connected or not.
import { h, table } from './dom.js'
import { figure, name, onNodes, phoneLink, quoted } from './format.js'
import { list, pages } from './list.js'

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
  return {
    title: 'Messenger',
    content: list({
      app, signal, label: 'Part of a phone, or a whole nickname', open: text => whom(app.api, signal, text),
      table: table('Users of react-wechat', [
        { name: 'Phone', cell: ({ phone }) => phoneLink(phone) },
        { name: 'Nickname', cell: ({ nick }) => name(nick) },
        { name: 'User name', cell: ({ userName }) => name(userName) },
        { name: 'Contacts', class: 'number slim', cell: ({ contacts }) => figure(contacts) },
        { name: 'Waiting', class: 'number slim', cell: ({ waiting }) => figure(waiting) },
        { name: 'Connected to', cell: ({ nodes }) => onNodes(nodes) },
      ]),
      key: ({ phone }) => phone,
      load: pages(app.api, 'wechat/listUsers', 'users'),
      empty: text => text
        ? [h('p', {}, 'Nobody has the nickname ', quoted(text), [...text].length < SHORTEST ? '.' : ', or a phone with that in it.'),
          [...text].length < SHORTEST && h('p', {}, 'A phone is found by three characters or more of it.')]
        : [h('p', {}, 'Nobody has registered yet.')],
    }),
  }
}
