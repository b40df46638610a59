// Elements. Whatever comes from outside becomes text, never markup: nothing here takes any.

const SVG = 'http://www.w3.org/2000/svg'

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Sets what an element is and does: `onclick` and the like are listeners, `true` is an attribute without a value, and what is nothing is left out.
 * @param {Element} element
 * @param {Record<string, any>} attributes
 */
function dress(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (name === 'value') /** @type {HTMLInputElement} */ (element).value = value
    else element.setAttribute(name, value === true ? '' : String(value))
  }
}

/**
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
const present = children => children.flat().filter(c => c !== null && c !== undefined && c !== false).map(c => c instanceof Node ? c : String(c))

/**
 * An element of HTML.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  dress(element, attributes)
  element.append(...present(/** @type {any} */ (children)))
  return element
}

/**
 * An element of SVG.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {any}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag)
  dress(element, attributes)
  element.append(...present(children))
  return element
}

/**
 * Puts these in place of what an element has.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export const fill = (element, ...children) => element.replaceChildren(...present(/** @type {any} */ (children)))

/**
 * Sets a text, if it is another one: what stays as it is moves no selection, and is told to nobody again.
 * @param {Element} element
 * @param {string | number} text
 */
export function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = String(text)
}

/**
 * The same for whatever is in an element.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function refresh(element, ...children) {
  const next = /** @type {Element} */ (element.cloneNode(false))
  fill(next, ...children)
  if (!next.isEqualNode(element)) element.replaceChildren(...next.childNodes)
}

/**
 * Line icons, 20 by 20.
 * @type {Record<string, string>}
 */
const ICONS = {
  overview: 'M2.5 11h3l2-6 4 11 2.5-7 1 2h2.5',
  rooms: 'M3 5.5A1.5 1.5 0 0 1 4.5 4h11A1.5 1.5 0 0 1 17 5.5v7a1.5 1.5 0 0 1-1.5 1.5H9l-4 3v-3h-.5A1.5 1.5 0 0 1 3 12.5z',
  users: 'M7.5 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.5 16.5c0-3 2.2-4.5 5-4.5s5 1.5 5 4.5M13 3.9a3 3 0 0 1 0 5.3M14.7 12.3c1.8.6 2.8 2 2.8 4.2',
  chats: 'M8.5 12.5H6l-3 2.5V5a1.5 1.5 0 0 1 1.5-1.5h7A1.5 1.5 0 0 1 13 5v1M9 9h6.5A1.5 1.5 0 0 1 17 10.5V17l-2.5-2H9.5A1.5 1.5 0 0 1 8 13.5V10a1 1 0 0 1 1-1z',
  phones: 'M6.5 2.5h7A1.5 1.5 0 0 1 15 4v12a1.5 1.5 0 0 1-1.5 1.5h-7A1.5 1.5 0 0 1 5 16V4a1.5 1.5 0 0 1 1.5-1.5zM9 15h2',
  tinode: 'M10 3.5c-4 0-7 2.5-7 5.7 0 1.7.8 3.2 2.2 4.2l-.7 3.1 3.3-1.7c.7.2 1.4.2 2.2.2 4 0 7-2.5 7-5.8s-3-5.7-7-5.7zM7 9.2h.01M10 9.2h.01M13 9.2h.01',
  hooks: 'M10 7.5 7 13M10 7.5a2.5 2.5 0 1 0-2.4-1.8M7 13a2.5 2.5 0 1 1-2.6-2.4M7 14h6M13 14a2.5 2.5 0 1 0 .8-2.4L11.2 7',
  audit: 'M5 3.5h7l3 3v10H5zM12 3.5v3h3M7.5 10h5M7.5 13h5',
  out: 'M8 4H4.5v12H8M12 6.5 15.5 10 12 13.5M8.5 10h7',
}

/**
 * @param {string} name of an icon
 * @returns {SVGElement}
 */
export const icon = name => svg('svg', { class: 'icon', viewBox: '0 0 20 20', 'aria-hidden': 'true' }, svg('path', { d: ICONS[name] }))

/**
 * Keeps the rows of a live list as they are where their keys stay: a row under the pointer or with the focus is not made anew.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => Element & {update?: (item: T) => void}} make
 */
export function keep(parent, items, keyOf, make) {
  const keys = new Set(items.map(keyOf))
  /** @type {Map<string, Element>} */
  const old = new Map()
  for (const child of [...parent.children]) {
    const { key } = /** @type {any} */ (child)
    if (keys.has(key)) old.set(key, child)
    else child.remove()
  }
  let place = parent.firstElementChild
  for (const item of items) {
    const key = keyOf(item)
    let row = /** @type {any} */ (old.get(key))
    if (!row) {
      row = make(item)
      row.key = key
    }
    row.update?.(item)
    if (row === place) place = place.nextElementSibling
    else parent.insertBefore(row, place)
  }
}

/**
 * A table. On a phone its cells stand below each other, each behind its column's name; the roles keep it a table there, too.
 * @param {string} caption what it is, for who can't see where it stands
 * @param {(string | {name: string, class?: string, hidden?: boolean, cell?: (item: any) => any})[]} columns `hidden`: the name is only told; `cell`: what `show` puts there
 */
export function table(caption, columns) {
  const all = /** @type {{name: string, class?: string, hidden?: boolean, cell?: (item: any) => any}[]} */ (columns.map(column => typeof column === 'string' ? { name: column } : column))
  const heads = all.map(({ name, class: kind, hidden }) => h('th', { scope: 'col', role: 'columnheader', class: kind }, hidden ? h('span', { class: 'sr' }, name) : name))
  const body = h('tbody', { role: 'rowgroup' })
  const element = h('table', { role: 'table' }, h('caption', { class: 'sr' }, caption), h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads)), body)
  /** @param {...(Child | Child[])} cells one for each column */
  const row = (...cells) => h('tr', { role: 'row' }, cells.map((cell, at) =>
    h('td', { role: 'cell', class: all[at].class, 'data-label': all[at].hidden ? undefined : all[at].name }, h('div', {}, ...[cell].flat()))))
  function liveRow() {
    const made = row(...all.map(() => null))
    made.update = (/** @type {any} */ item) => all.forEach(({ cell }, at) => refresh(made.cells[at].firstElementChild, cell?.(item)))
    return made
  }
  return {
    element,
    /** @type {HTMLTableSectionElement} */
    body,
    row,
    /** Shows these by the columns' cells. @param {any[]} items; @param {(item: any) => string} keyOf */
    show: (items, keyOf) => keep(body, items, keyOf, liveRow),
  }
}

/**
 * Does something again and again until the signal says no: not while the page is hidden, and not before the last time has ended.
 * @param {number} milliseconds between two times
 * @param {AbortSignal} signal
 * @param {() => Promise<void>} work
 */
export async function repeat(milliseconds, signal, work) {
  while (!signal.aborted) {
    await work()
    await new Promise(done => {
      const end = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        done(undefined)
      }
      const timer = setTimeout(end, milliseconds)
      signal.addEventListener('abort', end)
    })
    if (!document.hidden || signal.aborted) continue
    await new Promise(done => {
      const end = () => {
        document.removeEventListener('visibilitychange', end)
        signal.removeEventListener('abort', end)
        done(undefined)
      }
      document.addEventListener('visibilitychange', end)
      signal.addEventListener('abort', end)
    })
  }
}
