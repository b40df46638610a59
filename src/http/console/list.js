// A list that the server searches and pages: the page asks for what it shows, and no more.
import { fill, h, repeat, say } from './dom.js'

/** Entries of a page. */
const PAGE = 50
/** Milliseconds between two looks at the same page. */
const AGAIN = 4000
/** Milliseconds that a search waits for the next letter. */
const TYPING = 200

/** What a list asks for. @typedef {{prefix?: string, cursor?: string, limit: number}} Page */

/**
 * How a dialect lists what it has.
 * @param {import('./api.js').Api} api; @param {string} method; @param {string} what the answer calls them
 * @param {Record<string, unknown>} [of] what else is asked; @param {string} [by] the field for what is searched
 */
export const pages = (api, method, what, of = {}, by = 'text') => async (/** @type {Page} */ { prefix, cursor, limit }, /** @type {AbortSignal} */ signal) => {
  const asked = { ...of, limit, ...(prefix && { [by]: prefix }), ...(cursor !== undefined && { after: cursor }) }
  const { [what]: items, next } = (await api.call(method, asked, signal)).result
  return { items, next: next ?? undefined }
}

/**
 * @template T
 * @param {Object} options
 * @param {import('./main.js').App} options.app
 * @param {AbortSignal} options.signal
 * @param {string} options.label of the search
 * @param {number} [options.longest] characters of a name
 * @param {ReturnType<typeof import('./dom.js').table>} options.table
 * @param {(item: T) => string} options.key
 * @param {(request: Page, signal: AbortSignal) => Promise<{items: T[], next?: string}>} options.load
 * @param {(prefix: string) => any} options.empty what is said where nothing is found
 * @param {(text: string) => string | undefined | Promise<string | undefined>} options.open where what was typed leads; nowhere: it is searched for
 */
export function list({ app, signal, label, longest = 256, table, key, load, empty, open }) {
  let prefix = ''
  /** Where the pages before this one, and this one, begin. @type {(string | undefined)[]} */
  let cursors = [undefined]
  /** @type {string | undefined} */
  let next
  let asked = 0
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing

  const search = h('input', {
    type: 'search', id: 'search', autocomplete: 'off', spellcheck: 'false', maxlength: longest, placeholder: 'Search…',
    oninput() {
      clearTimeout(typing)
      typing = setTimeout(seek, TYPING)
    },
  })
  function seek() {
    clearTimeout(typing)
    prefix = search.value
    cursors = [undefined]
    look()
  }
  async function go() {
    const text = search.value
    if (!text) return
    let to
    try { to = await open(text) } catch (error) {
      if (!signal.aborted) app.failed(error)
      return
    }
    // Somebody may have gone elsewhere, or typed on.
    if (signal.aborted || search.value !== text) return
    if (to) location.hash = to
    else seek()
  }
  const form = h('form', { role: 'search', class: 'search', onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault()
    go()
  } }, h('label', { for: 'search' }, label), search, h('button', { type: 'submit' }, 'Open'))
  const back = h('button', { type: 'button', onclick: () => { cursors.pop(); look() } }, 'Previous')
  const on = h('button', { type: 'button', onclick: () => { cursors.push(next); look() } }, 'Next')
  const page = h('span', { role: 'status' })
  const nothing = h('div', { class: 'empty', hidden: true })
  const pager = h('nav', { class: 'pager', 'aria-label': 'Pages' }, back, page, on)

  async function look() {
    const mine = ++asked
    /** @type {{items: T[], next?: string}} */
    let found
    try {
      found = await load({ limit: PAGE, ...(prefix && { prefix }), ...(cursors.at(-1) !== undefined && { cursor: cursors.at(-1) }) }, signal)
    } catch (error) {
      if (!signal.aborted) app.failed(error)
      return
    }
    if (mine !== asked || signal.aborted) return
    app.worked()
    // A page from which everybody has gone leads back.
    if (found.items.length === 0 && cursors.length > 1) { cursors.pop(); return look() }
    next = found.next
    table.show(found.items, key)
    const is = found.items.length === 0
    table.element.hidden = is
    nothing.hidden = !is
    if (is) fill(nothing, empty(prefix))
    back.disabled = cursors.length === 1
    on.disabled = next === undefined
    pager.hidden = back.disabled && on.disabled
    say(page, `Page ${cursors.length}`)
  }
  repeat(AGAIN, signal, look)
  return [form, h('div', { class: 'card' }, table.element, nothing), pager]
}
