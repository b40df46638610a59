// Small charts of figures over time: one line of all together, or one for each node. The lines are drawn by SVG that is stretched; what is to be
// read is text beside it, which is not. Nothing moves but the lines.
import { h, say, svg } from './dom.js'
import { clockTime, minuteTime } from './format.js'

/** How many lines have a colour of their own. */
export const COLOURS = 8
const WIDTH = 300
const HEIGHT = 72
/** A line breaks where nothing was heard for so long, milliseconds. */
const GAP = 10_000

/** @typedef {{time: number, value: number | null}} Point */
/** @typedef {{name: string, points: Point[]}} Line */

/** The next of 1, 2, 5, 10, … above a value. @param {number} value */
export function ceiling(value) {
  if (!(value > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return power * /** @type {number} */ ([1, 2, 5, 10].find(step => step * power >= value))
}

/** As `ceiling`, for bytes: powers of two. @param {number} value */
export const binaryCeiling = value => value > 0 ? 2 ** Math.ceil(Math.log2(value)) : 1

export class Chart {
  /** @type {Line[]} */
  #lines = []
  #span = 300_000
  #end = 0
  #top = 1
  /** Where the pointer is, from 0 to 1. @type {number | null} */
  #pointer = null

  /**
   * @param {string} title
   * @param {(value: number | null | undefined) => string} format
   * @param {(value: number) => number} [top] the scale's end for a largest value
   */
  constructor(title, format, top = ceiling) {
    this.title = title
    this.format = format
    this.topOf = top
    this.value = h('span', { class: 'value' }, '–')
    this.note = h('span', { class: 'note' })
    this.grid = svg('path', { class: 'grid' })
    this.area = svg('path', { class: 'area' })
    this.paths = svg('g')
    this.cross = svg('path', { class: 'cross' })
    this.plot = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' }, this.grid, this.area, this.paths, this.cross)
    this.most = h('span', { class: 'most', 'aria-hidden': 'true' })
    this.axis = h('div', { class: 'axis', 'aria-hidden': 'true' })
    const heading = h('h2', {}, title)
    this.element = h('figure', { class: 'chart card' },
      h('figcaption', {}, heading, h('div', { class: 'now' }, this.value, this.note)),
      h('div', { class: 'plot', onpointermove: (/** @type {PointerEvent} */ e) => this.#point(e), onpointerleave: () => this.#point(null) }, this.plot, this.most),
      this.axis)
    this.name = heading
  }

  /** @param {PointerEvent | null} event */
  #point(event) {
    if (event) {
      const { left, width } = this.plot.getBoundingClientRect()
      this.#pointer = Math.min(1, Math.max(0, (event.clientX - left) / width))
    } else this.#pointer = null
    this.#tell()
  }

  /**
   * Draws.
   * @param {Line[]} lines
   * @param {number} span milliseconds that are shown
   * @param {number} end of the time that is shown
   */
  draw(lines, span, end) {
    this.#lines = lines
    this.#span = span
    this.#end = end
    const shown = lines.map(({ points }) => points.filter(({ time }) => time >= end - span))
    const values = shown.flat().map(({ value }) => value).filter(value => value !== null)
    const largest = Math.max(0, .../** @type {number[]} */ (values))
    this.#top = this.topOf(largest)
    say(this.most, this.format(this.#top))
    const x = (/** @type {number} */ time) => WIDTH * (1 - (end - time) / span)
    const y = (/** @type {number} */ value) => HEIGHT - 1 - (HEIGHT - 3) * value / this.#top
    while (this.paths.children.length > lines.length) this.paths.lastChild.remove()
    while (this.paths.children.length < lines.length) this.paths.append(svg('path', { class: `line c${this.paths.children.length % COLOURS}` }))
    shown.forEach((points, at) => this.paths.children[at].setAttribute('d', path(points, x, y)))
    this.area.setAttribute('d', lines.length === 1 ? area(shown[0], x, y) : '')
    this.#drawAxis(x)
    const known = shown[0]?.filter(({ value }) => value !== null).map(({ value }) => /** @type {number} */ (value)) ?? []
    const range = known.length ? `, lowest ${this.format(Math.min(...known))}, highest ${this.format(Math.max(...known))}` : ''
    const now = lines.map(line => `${lines.length > 1 ? `${line.name} ` : ''}${this.format(last(line))}`).join(', ')
    this.plot.setAttribute('aria-label', `${this.title}: now ${now}${lines.length === 1 ? range : ''}; the last ${Math.round(span / 60_000)} minutes`)
    this.#tell()
  }

  /** Lines at whole minutes, with their times below. @param {(time: number) => number} x */
  #drawAxis(x) {
    const step = this.#span / 5
    const marks = []
    for (let time = Math.ceil((this.#end - this.#span) / step) * step; time <= this.#end; time += step) marks.push(time)
    this.grid.setAttribute('d', marks.map(time => `M${x(time).toFixed(1)} 0V${HEIGHT}`).join('') + `M0 ${HEIGHT - 1}H${WIDTH}M0 2H${WIDTH}`)
    while (this.axis.children.length > marks.length) this.axis.lastChild.remove()
    while (this.axis.children.length < marks.length) this.axis.append(h('span'))
    marks.forEach((time, at) => {
      const share = x(time) / WIDTH
      const label = /** @type {HTMLElement} */ (this.axis.children[at])
      say(label, minuteTime(time))
      label.style.left = `${(share * 100).toFixed(2)}%`
      label.hidden = share < 0.06 || share > 0.94
    })
  }

  /** Says what is now, or what was where the pointer is. */
  #tell() {
    const line = this.#lines.length === 1 ? this.#lines[0] : null
    const values = this.#lines.map(last).filter(value => value !== null && value !== undefined)
    let note = '', value = line ? last(line) : values.length ? values.reduce((a, b) => Math.max(/** @type {number} */ (a), /** @type {number} */ (b)), 0) : null
    if (!line) note = 'highest node'
    let cross = ''
    if (this.#pointer !== null && line) {
      const time = this.#end - this.#span * (1 - this.#pointer)
      const near = line.points.reduce((/** @type {Point | null} */ best, point) => !best || Math.abs(point.time - time) < Math.abs(best.time - time) ? point : best, null)
      if (near && Math.abs(near.time - time) < GAP) {
        value = near.value
        note = clockTime(near.time)
        cross = `M${(this.#pointer * WIDTH).toFixed(1)} 0V${HEIGHT}`
      }
    }
    this.cross.setAttribute('d', cross)
    say(this.value, this.format(value))
    say(this.note, note)
  }
}

/** @param {Line} line */
const last = line => line.points.at(-1)?.value ?? null

/**
 * @param {Point[]} points
 * @param {(time: number) => number} x
 * @param {(value: number) => number} y
 */
function path(points, x, y) {
  let d = '', before = -Infinity
  for (const { time, value } of points) {
    if (value === null) { before = -Infinity; continue }
    // Where a line begins it is a point, which is seen also where nothing follows.
    d += `${time - before > GAP ? 'M' : 'L'}${x(time).toFixed(1)} ${y(value).toFixed(1)}${time - before > GAP ? 'h0' : ''}`
    before = time
  }
  return d
}

/**
 * @param {Point[]} points
 * @param {(time: number) => number} x
 * @param {(value: number) => number} y
 */
function area(points, x, y) {
  let d = '', run = /** @type {Point[]} */ ([])
  const close = () => {
    if (run.length > 1) d += `M${x(run[0].time).toFixed(1)} ${HEIGHT}${run.map(({ time, value }) => `L${x(time).toFixed(1)} ${y(/** @type {number} */ (value)).toFixed(1)}`).join('')}L${x(/** @type {Point} */ (run.at(-1)).time).toFixed(1)} ${HEIGHT}Z`
    run = []
  }
  for (const point of points) {
    if (point.value === null || (run.length && point.time - /** @type {Point} */ (run.at(-1)).time > GAP)) close()
    if (point.value !== null) run.push(point)
  }
  close()
  return d
}
