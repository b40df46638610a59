// Tinode's clients: users, topics and API keys, with what there is to do about keys. One user and one topic have views of their own.
import { button } from './actions.js'
import { h, repeat, table } from './dom.js'
import { badge, figure, given, moment, name, onNodes, quoted, soft, tinodeLink, topicLink } from './format.js'
import { list, pages } from './list.js'
import { growing } from './one.js'
import * as actions from './tinode-actions.js'

/** Milliseconds between two looks at the keys. */
const EVERY = 4000

/** The lists, as they are called in the address and here. @type {[string, string, (app: import('./main.js').App, signal: AbortSignal) => any[]][]} */
const LISTS = [['users', 'Users', users], ['topics', 'Topics', topics], ['keys', 'API keys', keys]]

/** @param {import('./main.js').App} app; @param {AbortSignal} signal; @param {string} [which] */
export function tinode(app, signal, which = 'users') {
  const [shown, , content] = LISTS.find(([key]) => key === which) ?? LISTS[0]
  const links = LISTS.map(([key, text]) => h('a', { href: `#/tinode-list/${key}`, 'aria-current': key === shown && 'page' }, text))
  return { title: 'Tinode', content: [h('nav', { class: 'tabs', 'aria-label': 'Of Tinode' }, links), ...content(app, signal)] }
}

/** Ids that users have. */
const USER = /^usr[\w-]{11}$/

/**
 * Where Enter leads: to the only one that is found; nowhere, where it may be several.
 * @param {import('./main.js').App} app; @param {AbortSignal} signal; @param {'user' | 'topic'} kind
 */
const only = (app, signal, kind) => async (/** @type {string} */ text) => {
  const found = (await app.api.call(`tinode/list${kind === 'user' ? 'Users' : 'Topics'}`, { text, limit: 2 }, signal)).result
  const [one, other] = found[`${kind}s`]
  // What somebody wrote who is nobody any more can be erased.
  const id = one && !other && !found.next ? one[kind] : kind === 'user' && USER.test(text) && text
  return id ? `#/tinode-${kind}/${encodeURIComponent(id)}` : undefined
}

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
function users(app, signal) {
  return list({
    app, signal, label: 'A login, a whole tag, or an id', open: only(app, signal, 'user'),
    table: table('Users of Tinode', [
      { name: 'User', cell: ({ user }) => tinodeLink(user) },
      { name: 'Name', cell: user => given(user.name) },
      { name: 'Login', cell: ({ login }) => given(login) },
      { name: 'State', class: 'short', cell: ({ state }) => badge(state, state === 'ok' ? '' : 'bad') },
      { name: 'Nodes', cell: ({ nodes }) => onNodes(nodes) },
    ]),
    key: ({ user }) => user,
    load: pages(app.api, 'tinode/listUsers', 'users'),
    empty: text => text
      ? [h('p', {}, 'Nobody has ', quoted(text), ' as a login, a tag or an id.'), h('p', {}, 'The beginning of one finds nobody.')]
      : [h('p', {}, 'Nobody has registered yet.')],
  })
}

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
function topics(app, signal) {
  return list({
    app, signal, label: 'A whole tag, or an id', open: only(app, signal, 'topic'),
    table: table('Topics of Tinode', [
      { name: 'Topic', cell: ({ topic }) => topicLink(topic) },
      { name: 'Kind', class: 'short', cell: ({ kind }) => badge(kind) },
      { name: 'Name', cell: topic => given(topic.name) },
      { name: 'Owner', cell: ({ owner }) => owner === null ? soft('nobody') : tinodeLink(owner) },
      { name: 'Here', class: 'number slim', cell: ({ here }) => figure(here) },
    ]),
    key: ({ topic }) => topic,
    load: pages(app.api, 'tinode/listTopics', 'topics'),
    empty: text => text ? [h('p', {}, 'No topic has ', quoted(text), ' as a tag or an id.')] : [h('p', {}, 'There is no topic yet.')],
  })
}

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
function keys(app, signal) {
  const { api } = app
  /** @type {import('./one.js').Context} */
  const context = { api, signal, seen: undefined, changed: () => { look() } }
  const revoke = (/** @type {any} */ key) => !key.revoked
    && button(api, 'tinode/revokeKey', 'Revoke…', () => actions.revokeKey(context, key), { small: true, danger: true, label: `Revoke ${key.name}` })
  const all = growing(context, {
    title: 'API keys', method: 'tinode/listKeys', what: 'keys', key: key => key.name,
    none: ['No key was made or revoked here.', 'Those that were made elsewhere with the same salt are good all the same.'],
    table: table('API keys', [
      { name: 'Name', cell: key => name(key.name) },
      { name: 'What it is for', cell: ({ note }) => given(note) },
      { name: 'Made', cell: ({ created }) => moment(created) },
      { name: 'State', class: 'short', cell: ({ revoked }) => revoked ? badge('revoked', 'bad') : badge('good', 'good') },
      { name: 'Actions', class: 'act', hidden: true, cell: revoke },
    ]),
  })
  async function look() {
    try {
      all.update(undefined, await all.load?.(undefined))
      app.worked()
    } catch (error) {
      if (!signal.aborted) app.failed(error)
    }
  }
  repeat(EVERY, signal, look)
  const add = button(api, 'tinode/createKey', 'New key…', () => actions.createKey(context))
  return [add && h('p', {}, add), all.element]
}
