// The server in numbers, asked every two seconds and remembered for half an hour. Counters become rates here: of each node between two of its
// own readings, and together as the sum of these, as nodes come and go.
import { repeat } from './dom.js'

/** Milliseconds between two questions. */
export const EVERY = 2000
/** Milliseconds that are remembered. */
export const SPAN = 30 * 60_000

/**
 * The figures of one node, or of all together, at one moment. What is not known is null.
 * @typedef {Object} Figures
 * @property {number} connections
 * @property {number | null} users
 * @property {number | null} rooms
 * @property {number | null} messages each second
 * @property {number | null} deliveries each second
 * @property {number | null} incoming bytes each second
 * @property {number | null} outgoing bytes each second
 * @property {number | null} memory bytes
 * @property {number | null} cpu share of a processor
 * @property {number | null} latency milliseconds; of all together that of the slowest
 */

/** @typedef {{time: number, total: Figures, nodes: Map<string, Figures>}} Sample */

/** Rates, and the counters that they are of. @type {[keyof Figures, string][]} */
const RATES = [['messages', 'messages'], ['deliveries', 'deliveries'], ['incoming', 'bytesIn'], ['outgoing', 'bytesOut'], ['cpu', 'cpu']]

/** @param {(number | null)[]} values */
const sum = values => {
  const known = values.filter(value => value !== null)
  return known.length === 0 ? null : known.reduce((a, b) => /** @type {number} */ (a) + /** @type {number} */ (b), 0)
}
/** @param {(number | null)[]} values */
const largest = values => values.reduce((a, b) => b === null || (a !== null && a >= b) ? a : b, null)

export class Stat extends EventTarget {
  /** @type {Sample[]} */
  samples = []
  /** The last answer. @type {any} */
  latest = null
  /** Why there is none of now. @type {Error | null} */
  error = null
  /** What `latency` is: that of deliveries where the server tells it, else that of the answers to this page. */
  latencyOf = 'answers'
  /** The last reading of each node, with its rates. @type {Map<string, {reading: any, figures: Figures}>} */
  #nodes = new Map()

  /** @param {import('./api.js').Api} api; @param {AbortSignal} signal */
  constructor(api, signal) {
    super()
    repeat(EVERY, signal, async () => {
      const begun = performance.now()
      try {
        const stat = await api.get('stat', signal)
        this.add(stat, Date.now(), performance.now() - begun)
        this.error = null
      } catch (error) {
        if (signal.aborted) return
        this.error = /** @type {Error} */ (error)
      }
      this.dispatchEvent(new Event('sample'))
    })
  }

  /**
   * Remembers an answer.
   * @param {any} stat
   * @param {number} time of now
   * @param {number} took milliseconds that the answer took
   */
  add(stat, time, took) {
    const nodes = new Map()
    for (const reading of stat.nodes) nodes.set(reading.id, this.#figures(reading))
    for (const id of [...this.#nodes.keys()]) if (!nodes.has(id)) this.#nodes.delete(id)
    const all = [...nodes.values()]
    /** @param {keyof Figures} name */
    const of = name => all.map(figures => figures[name])
    // Where nothing was delivered since the last answer there is no latency.
    const tells = stat.nodes.some((/** @type {any} */ reading) => typeof reading.latencyCount === 'number')
    this.latencyOf = tells ? 'deliveries' : 'answers'
    /** @type {Figures} */
    const total = {
      connections: stat.connections, users: stat.users, rooms: stat.rooms,
      messages: sum(of('messages')), deliveries: sum(of('deliveries')), incoming: sum(of('incoming')), outgoing: sum(of('outgoing')),
      memory: sum(of('memory')) ?? stat.memory?.rss ?? null, cpu: sum(of('cpu')), latency: tells ? largest(of('latency')) : took,
    }
    this.latest = stat
    this.samples.push({ time, total, nodes })
    while (this.samples[0].time < time - SPAN) this.samples.shift()
  }

  /** @param {any} reading of a node @returns {Figures} */
  #figures(reading) {
    const before = this.#nodes.get(reading.id)
    // The others tell of themselves every few seconds: until then their rates stay.
    if (before && before.reading.at === reading.at && reading.at !== undefined) {
      return { ...before.figures, connections: reading.connections }
    }
    const figures = /** @type {any} */ ({
      connections: reading.connections, users: reading.users ?? null, rooms: reading.rooms ?? null, memory: reading.memory || null,
      latency: latency(before?.reading, reading),
    })
    const seconds = before ? (reading.at - before.reading.at) / 1000 : NaN
    for (const [name, counter] of RATES) {
      const grown = before ? reading[counter] - before.reading[counter] : NaN
      // A counter that is smaller than before began anew.
      figures[name] = grown >= 0 && seconds > 0 ? grown / seconds : null
    }
    this.#nodes.set(reading.id, { reading, figures })
    return figures
  }
}

/** Milliseconds from a message to its last delivery: the mean between two readings, where anything was delivered. @param {any} before; @param {any} now */
function latency(before, now) {
  const batches = now.latencyCount - (before?.latencyCount ?? NaN)
  const seconds = now.latencySum - (before?.latencySum ?? NaN)
  return batches > 0 && seconds >= 0 ? seconds / batches * 1000 : null
}
