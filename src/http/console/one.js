// One thing, as a user or a topic: parts that show what is known of it, and what can be done, for as long as it is there.
import { button } from './actions.js'
import { h, refresh, repeat } from './dom.js'
import { count, name } from './format.js'
import { pages } from './list.js'

/** Milliseconds between two looks. */
const EVERY = 3000
/** Entries of a list that are shown at first, and that each press of its button adds. */
const PAGE = 50

/**
 * `load` gets what `update` needs beside the thing as it is now. `isStale`: its view was changed, and it is to be loaded in any case.
 * @typedef {{element: any, isStale?: boolean, load?: (now: any) => Promise<any>, update: (now: any, loaded: any) => void}} Part
 * @typedef {import('./actions.js').Context & {signal: AbortSignal, seen: any}} Context `seen`: the thing as it was seen last, if it is there
 *
 * What can be done. `act` gets what the thing is called, and how it was seen last; `when`: for whom it is there, where not for whatever is there.
 * @typedef {(context: Context, title: string, seen: any) => unknown} Act
 * @typedef {{method: string, text: string, act: Act, about?: string, isSafe?: boolean, when?: (now: any) => boolean}} Deed
 */

/** A card with a title. @param {string} title; @param {any} beside it; @param {...any} content */
export const card = (title, beside, ...content) => h('section', { class: 'card', 'aria-label': title }, h('h2', {}, title, beside && [' ', beside]), content)

/** What is said in place of a list with nobody in it. @param {...string} says */
export const nothing = (...says) => h('div', { class: 'empty', hidden: true }, says.map(text => h('p', {}, text)))

/**
 * Facts, each behind its name.
 * @param {Record<string, (now: any) => any>} all
 * @returns {Part}
 */
export function facts(all) {
  const values = Object.entries(all).map(([name, tell]) => ({ name, tell, element: h('dd', {}, '–') }))
  return {
    element: h('dl', { class: 'facts card' }, values.map(({ name, element }) => h('div', {}, h('dt', {}, name), element))),
    update(now) { for (const { tell, element } of values) refresh(element, tell(now)) },
  }
}

/** @typedef {ReturnType<typeof import('./dom.js').table>} Table */

/**
 * A list of what is known already.
 * @param {{title: string, table: Table, of: (now: any) => any[], key: (item: any) => string, none: string[]}} list `none`: what is said where it is empty
 * @returns {Part}
 */
export function known({ title, table, of, key, none }) {
  const empty = nothing(...none)
  return {
    element: card(title, null, table.element, empty),
    update(now) {
      const items = of(now)
      table.show(items, key)
      table.element.hidden = items.length === 0
      empty.hidden = items.length > 0
    },
  }
}

/**
 * A list of which there may be more than is shown at first.
 * @param {Context} context
 * @param {Object} list
 * @param {string} list.title
 * @param {Table} list.table
 * @param {(item: any) => string} list.key
 * @param {string} list.method that lists them
 * @param {Record<string, unknown>} [list.of] whose they are
 * @param {string} list.what the answer calls them
 * @param {string[]} list.none what is said where there is none
 * @param {(now: any) => number} [list.size] how many there are
 * @param {(now: any) => unknown} [list.mark] they are asked for again where that is another one; nothing: with each look
 * @returns {Part}
 */
export function growing({ api, signal, changed }, { title, table, key, method, of, what, none, size, mark }) {
  const load = pages(api, method, what, of)
  const number = size && h('span', { class: 'soft' })
  const empty = nothing(...none)
  const more = h('button', { type: 'button', hidden: true, onclick: () => { limit += PAGE; changed() } }, `More ${what}`)
  let limit = PAGE
  /** @type {unknown} */
  let last
  /** @type {Part} */
  const part = {
    isStale: true,
    element: card(title, number, table.element, empty, h('div', { class: 'more' }, more)),
    async load(now) {
      if (mark && !part.isStale && mark(now) === last) return
      const found = []
      /** @type {string | undefined} */
      let cursor
      do {
        const { items, next } = await load({ limit: PAGE, cursor }, signal)
        found.push(...items)
        cursor = next
      } while (cursor !== undefined && found.length < limit)
      return { found, isMore: cursor !== undefined }
    },
    update(now, loaded) {
      if (size) refresh(number, count(size(now)))
      if (!loaded) return
      last = mark?.(now)
      part.isStale = false
      table.show(loaded.found, key)
      table.element.hidden = loaded.found.length === 0
      empty.hidden = loaded.found.length > 0
      more.hidden = !loaded.isMore
    },
  }
  return part
}

/**
 * @param {import('./main.js').App} app
 * @param {AbortSignal} signal
 * @param {Object} view
 * @param {string} view.title
 * @param {[string, string]} view.back
 * @param {() => Promise<any>} view.state asks how it is now
 * @param {string[]} view.codes with which the server says that it is not there
 * @param {string[]} view.gone what is said then
 * @param {(context: Context) => Part[]} view.parts
 * @param {Deed[]} view.deeds with an `about` in a list of their own, or else above
 * @returns {import('./main.js').View}
 */
export function one(app, signal, { title, back, state, codes, gone, parts: partsOf, deeds: all }) {
  const { api } = app
  /** Looks that were begun: the last one counts. */
  let begun = 0
  /** @type {Context} */
  const context = {
    api, signal, seen: undefined,
    changed() {
      stale()
      look()
    },
  }
  const parts = partsOf(context)
  const deeds = all.flatMap(({ method, text, act, about, isSafe, when }) => {
    const made = button(api, method, text, () => act(context, title, context.seen), { danger: !isSafe })
    if (!made) return []
    const element = about ? h('li', {}, h('p', {}, about), made) : made
    if (when) element.hidden = !when(undefined)
    return [{ about, element, when: when ?? (now => now !== undefined) }]
  })
  const [listed, above] = [true, false].map(is => deeds.filter(({ about }) => Boolean(about) === is).map(({ element }) => element))
  const absent = h('div', { class: 'card empty', hidden: true }, gone.map(text => h('p', {}, text)))
  const there = h('div', { class: 'stack' }, parts.map(({ element }) => element))

  function stale() { for (const part of parts) part.isStale = true }

  /** @param {any} now as it is; nothing: it is not there */
  function show(now) {
    context.seen = now
    there.hidden = now === undefined
    absent.hidden = now !== undefined
    for (const { element, when } of deeds) element.hidden = !when(now)
    app.worked()
  }

  async function look() {
    const mine = ++begun
    try {
      const now = await state()
      const loaded = await Promise.all(parts.map(part => part.load?.(now)))
      if (mine !== begun) return
      parts.forEach((part, at) => part.update(now, loaded[at]))
      show(now)
    } catch (error) {
      if (signal.aborted || mine !== begun) return
      stale()
      // Nobody is told by a status alone: the server may have no such method any more.
      if (codes.includes(/** @type {any} */ (error).code)) show(undefined)
      else app.failed(error)
    }
  }
  repeat(EVERY, signal, look)
  return {
    title: [name(title, 'whole')],
    back,
    actions: above,
    content: [absent, listed.length === 0 ? there : h('div', { class: 'columns' }, there, card('What can be done', null, h('ul', { class: 'deeds' }, listed)))],
  }
}
