// The twelve ways in: four generations of the client × three ways to use its transports.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

const GENERATIONS = [1, 2, 3, 4]
const TRANSPORTS = {
  'websocket only': ['websocket'],
  'polling only': ['polling'],
  'polling with upgrade': ['polling', 'websocket'],
}

/** One way in. `generation`: the client's major version, `transports`: the client's option of that name. */
export function wire(generation, way) {
  const transports = TRANSPORTS[way]
  const open = require(`socket.io-client-${generation}`)
  return {
    name: `socket.io-client ${generation}.x, ${way}`,
    generation,
    way,
    transports,
    // engine.io-parser 1.x encodes text on polling as UTF-8 twice; servers since socket.io 2.0 (the original's is 2.1.1) do not,
    // so there only ASCII gets through, with the original as with this one.
    ascii: generation === 1 && transports.includes('polling'),
    connect: (url, more = {}) => open(url, {
      transports, forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0, ...more,
    }),
  }
}

/** All twelve, or those whose name contains AO_WIRES ("4.x, websocket"): to look at one of them closely. */
export const WIRES = GENERATIONS.flatMap(generation => Object.keys(TRANSPORTS).map(way => wire(generation, way)))
  .filter(({ name }) => name.includes(process.env.AO_WIRES ?? ''))
