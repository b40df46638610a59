// The nine ways in of an iPhone: three clients, each with the three ways to use its transports. Of the same shape as those of ../wires.mjs.
import { SwiftSocket } from './client.mjs'
import { CLIENTS } from './swift.mjs'

/** What an app may configure. */
export const DRESSES = {
  bare: {},
  dressed: {
    params: { token: 'a+b/c=d e&f', 'naïve[0]': 'é😀', flag: true, careless: 'Optional("x")' },
    cookies: { session: '0123456789abcdef', lang: 'de' },
    headers: { Authorization: 'Bearer x.y.z', 'X-App-Version': '1.2 (3)' },
    compress: true,
  },
}

const TRANSPORTS = {
  'websocket only': ['websocket'],
  'polling only': ['polling'],
  'polling with upgrade': ['polling', 'websocket'],
}

/** `configured`: as for an `App`, and what its app does (`SwiftSocket`). */
export function phone(client, way, configured) {
  const transports = TRANSPORTS[way]
  return {
    name: `iOS ${client.name}, ${way}`, client, way, transports, ascii: false,
    connect: url => new SwiftSocket(client, transports, url, configured),
  }
}

/** All nine, or those whose name contains AO_WIRES. */
export const phones = configured => CLIENTS.flatMap(client => Object.keys(TRANSPORTS).map(way => phone(client, way, configured)))
  .filter(({ name }) => name.includes(process.env.AO_WIRES ?? ''))
