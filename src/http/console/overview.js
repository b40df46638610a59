// The server at a glance: figures over time, the nodes, the switch, the settings.
import * as actions from './actions.js'
import { Chart, COLOURS, binaryCeiling } from './chart.js'
import { fill, h, keep, say, table } from './dom.js'
import { bytes, count, duration, milliseconds, name, percent, rate } from './format.js'

/** @typedef {import('./stat.js').Figures} Figures */

/** What is drawn: figure, title, how it is written, the scale. @type {[keyof Figures, string, (n: any) => string, ((n: number) => number)?][]} */
const CHARTS = [
  ['connections', 'Connections', n => n === null || n === undefined ? '–' : count(n)],
  ['users', 'Users', n => n === null || n === undefined ? '–' : count(n)],
  ['rooms', 'Rooms', n => n === null || n === undefined ? '–' : count(n)],
  ['messages', 'Messages/s', rate],
  ['deliveries', 'Deliveries/s', rate],
  ['latency', 'Latency', milliseconds],
  ['memory', 'Memory', bytes, binaryCeiling],
  ['cpu', 'Processor', percent],
  ['outgoing', 'Bytes out/s', bytes, binaryCeiling],
]

/** The spans to choose from, in minutes. */
const SPANS = [5, 30]

/**
 * Some buttons, of which one is pressed.
 * @template T
 * @param {string} label; @param {[T, string][]} options; @param {T} chosen; @param {(option: T) => void} choose
 */
function choice(label, options, chosen, choose) {
  const buttons = options.map(([option, text]) => h('button', {
    type: 'button', 'aria-pressed': String(option === chosen),
    onclick() {
      buttons.forEach((other, at) => other.setAttribute('aria-pressed', String(options[at][0] === option)))
      choose(option)
    },
  }, text))
  return h('div', { class: 'choice', role: 'group', 'aria-label': label }, buttons)
}

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
export function overview(app, signal) {
  const { api, stat } = app
  const context = { api, changed: () => {} }
  const charts = CHARTS.map(([figure, title, format, top]) => ({ figure, chart: new Chart(title, format, top) }))
  let span = SPANS[0] * 60_000
  let byNode = false

  const nodes = table('Nodes', ['Node', ...['Connections', 'Users', 'Rooms', 'Messages/s', 'Deliveries/s', 'Memory', 'CPU', 'Up'].map(name => ({ name, class: 'number slim' })), ...api.may('drain') ? [{ name: 'Actions', class: 'act tight', hidden: true }] : []])
  const nodesCard = h('section', { class: 'card', 'aria-label': 'Nodes' }, h('h2', {}, 'Nodes'), nodes.element)
  /** @param {any} node that answers: no other one can be asked from here */
  const drainButton = node => node.draining
    ? actions.button(api, 'drain', 'End drain…', () => actions.endDrain(context, node), { small: true, label: `End the drain of ${node.id}` })
    : actions.button(api, 'drain', 'Drain…', () => actions.drain(context, node), { small: true, danger: true, label: `Drain ${node.id}` })

  /** @param {any} node */
  function nodeRow(node) {
    const cells = Array.from({ length: 8 }, () => h('span'))
    const swatch = h('i', { class: 'swatch', 'aria-hidden': 'true' })
    const made = nodes.row([swatch, name(node.id), node.this && h('span', { class: 'badge' }, 'answers'), node.draining && h('span', { class: 'badge' }, 'draining')],
      ...cells, ...api.may('drain') ? [node.this && drainButton(node)] : [])
    made.update = (/** @type {any} */ now) => {
      const figures = stat.samples.at(-1)?.nodes.get(now.id)
      if (!figures) return
      swatch.className = `swatch c${stat.latest.nodes.findIndex((/** @type {any} */ n) => n.id === now.id) % COLOURS}`
      const whole = (/** @type {number | null} */ n) => n === null ? '–' : count(n)
      const values = [count(figures.connections), whole(figures.users), whole(figures.rooms), rate(figures.messages), rate(figures.deliveries), bytes(figures.memory), percent(figures.cpu), now.uptime === undefined ? '–' : duration(now.uptime)]
      values.forEach((value, at) => say(cells[at], value))
    }
    return made
  }

  const force = h('span', {}, '–')
  const version = h('dd', {}, '–')
  const forceButton = actions.button(api, 'config', 'Change…', () => actions.forceUserAuth(context, !stat.latest?.forceUserAuth), { small: true, label: 'Change who gets in' })
  const reloadButton = actions.button(api, 'reload', 'Reload…', () => actions.reload(context), { small: true, label: 'Reload the settings' })
  const settings = h('dl', { class: 'settings' })
  let shownSettings = ''

  function draw() {
    const { samples, latest } = stat
    if (!latest) return
    const end = Date.now()
    for (const { figure, chart } of charts) {
      // How long the API takes is of no node.
      const lines = byNode && (figure !== 'latency' || stat.latencyOf === 'deliveries')
        ? latest.nodes.map((/** @type {any} */ { id }) => ({ name: id, points: samples.map(({ time, nodes }) => ({ time, value: nodes.get(id)?.[figure] ?? null })) }))
        : [{ name: 'all', points: samples.map(({ time, total }) => ({ time, value: total[figure] })) }]
      chart.draw(lines, span, end)
    }
    const latency = charts.find(({ figure }) => figure === 'latency')
    if (latency) say(latency.chart.name, stat.latencyOf === 'deliveries' ? 'Latency of deliveries' : 'Latency of the API')
    keep(nodes.body, latest.nodes, (/** @type {any} */ node) => `${node.id} ${node.draining ?? ''}`, nodeRow)
    say(force, latest.forceUserAuth ? 'who has a valid token' : 'everybody: users are believed')
    say(version, latest.version)
    const text = JSON.stringify(latest.config)
    if (text !== shownSettings) fill(settings, Object.entries(latest.config).map(([key, value]) => h('div', {}, h('dt', {}, key), h('dd', {}, value === '' ? h('span', { class: 'soft' }, 'empty') : String(value)))))
    shownSettings = text
  }
  stat.addEventListener('sample', draw, { signal })
  draw()

  return {
    title: 'Overview',
    actions: [
      choice('What the charts show', [[false, 'Together'], [true, 'By node']], byNode, value => { byNode = value; nodesCard.classList.toggle('by-node', value); draw() }),
      choice('How long back', SPANS.map(minutes => [minutes * 60_000, `${minutes} min`]), span, value => { span = value; draw() }),
    ],
    content: [
      h('section', { class: 'charts', 'aria-label': 'Figures over time' }, charts.map(({ chart }) => chart.element)),
      nodesCard,
      h('section', { class: 'card', 'aria-label': 'Server' }, h('h2', {}, 'Server'),
        h('dl', { class: 'facts' }, h('div', {}, h('dt', {}, 'Version'), version), h('div', {}, h('dt', {}, 'Gets in'), h('dd', {}, force, forceButton)), reloadButton && h('div', {}, h('dt', {}, 'Settings'), h('dd', {}, 'of the file', reloadButton))),
        h('details', {}, h('summary', {}, 'Settings of the node that answers'), settings)),
    ],
  }
}
