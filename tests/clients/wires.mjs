// The twelve ways in: four generations of the client × three ways to use its transports.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

const GENERATIONS = [1, 2, 3, 4]
export const TRANSPORTS = {
  'websocket only': ['websocket'],
  'polling only': ['polling'],
  'polling with upgrade': ['polling', 'websocket'],
}

/**
 * One way in. `generation`: the client's major version, `transports`: the client's option of that name, `lost`: the reason it gives when
 * the server has closed its transport, `lacks`: letters that it can't carry while it polls.
 */
export function wire(generation, way) {
  const transports = TRANSPORTS[way]
  const open = require(`socket.io-client-${generation}`)
  return {
    name: `socket.io-client ${generation}.x, ${way}`,
    generation,
    way,
    transports,
    lost: transports.includes('websocket') ? /^transport close$/ : /^transport (close|error)$/,
    // engine.io-parser 1.x encodes text on polling as UTF-8 twice; servers since socket.io 2.0 (the original's is 2.1.1) do not,
    // so there only ASCII gets through, with the original as with this one.
    lacks: generation === 1 && transports.includes('polling') ? /[^\0-\x7f]/gu : undefined,
    connect: (url, more = {}) => open(url, {
      transports, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0, ...more,
    }),
  }
}

/** Those whose name contains AO_WIRES ("4.x, websocket"), or all: to look at one of them closely. */
export const keep = wires => wires.filter(({ name }) => name.includes(process.env.AO_WIRES ?? ''))

/** All twelve. */
export const WIRES = keep(GENERATIONS.flatMap(generation => Object.keys(TRANSPORTS).map(way => wire(generation, way))))
