// What administrators have changed.
import { h, keep, repeat, table } from './dom.js'
import { chatLink, moment, name, phoneLink, roomLink, tinodeLink, topicLink, userLink } from './format.js'

/** Milliseconds between two looks at the first page. */
const EVERY = 4000
/** Entries of a page. */
const PAGE = 50

/** How users and rooms of dialects are looked at, where not as all others. @type {Record<string, {user?: (name: string) => any, room?: (name: string) => any}>} */
const LINKS = { 'chat-service': { room: chatLink }, wechat: { user: phoneLink }, tinode: { user: tinodeLink, room: topicLink } }

/** Whom and what it was about. @param {any} entry */
function about({ method, uid, roomId }) {
  const of = LINKS[method.split('/')[0]]
  return [uid !== undefined && (of?.user ?? userLink)(uid), ' ', roomId !== undefined && (of?.room ?? roomLink)(roomId)]
}

/** Figures of an entry in words. @param {any} entry */
function details({ asked, given }) {
  const told = [...Object.entries(asked), ...Object.entries(given)]
  return told.map(([key, value]) => h('span', { class: 'pair' }, key, ' ', name(typeof value === 'string' ? value : JSON.stringify(value))))
}

/** A method, which may be broken behind its dialect. @param {string} text */
const method = text => h('code', {}, text.split('/').flatMap((part, at) => at === 0 ? [part] : ['/', h('wbr'), part]))

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
export function audit(app, signal) {
  const { element, body, row } = table('What administrators have changed', [{ name: 'When', class: 'when' }, { name: 'Who', class: 'short' }, { name: 'What', class: 'method' }, 'On', 'Details', { name: 'Outcome', class: 'short' }])
  const nothing = h('div', { class: 'empty', hidden: true }, h('p', {}, 'Nothing was changed yet.'), h('p', {}, 'Every change by an administrator is listed here: who, what, when. Published messages are not.'))
  /** @type {(string | undefined)[]} */
  const cursors = [undefined]
  /** @type {string | undefined} */
  let next
  const back = h('button', { type: 'button', onclick: () => { cursors.pop(); look() } }, 'Newer')
  const on = h('button', { type: 'button', onclick: () => { cursors.push(next); look() } }, 'Older')
  const pager = h('nav', { class: 'pager', 'aria-label': 'Pages' }, back, on)
  const make = (/** @type {any} */ entry) => row(moment(entry.at), name(entry.admin), method(entry.method),
    about(entry), h('span', { class: 'several' }, details(entry)),
    h('span', { class: entry.outcome === 'done' ? 'badge good' : 'badge bad' }, entry.outcome))

  async function look() {
    try {
      const cursor = cursors.at(-1)
      const page = await app.api.call('audit', { limit: PAGE, ...(cursor !== undefined && { cursor }) }, signal)
      next = page.next
      /** Entries that are alike within a millisecond are told apart by how many came before. @type {Map<string, number>} */
      const seen = new Map()
      const entries = page.entries.reverse().map((/** @type {any} */ entry) => {
        const text = JSON.stringify(entry)
        const times = (seen.get(text) ?? 0) + 1
        seen.set(text, times)
        return { ...entry, key: `${text} ${times}` }
      }).reverse()
      keep(body, entries, (/** @type {any} */ { key }) => key, make)
      element.hidden = entries.length === 0
      nothing.hidden = entries.length > 0
      back.disabled = cursors.length === 1
      on.disabled = next === undefined
      pager.hidden = back.disabled && on.disabled
      app.worked()
    } catch (error) {
      if (!signal.aborted) app.failed(error)
    }
  }
  repeat(EVERY, signal, look)
  return { title: 'Audit log', content: [h('div', { class: 'card' }, element, nothing), pager] }
}
