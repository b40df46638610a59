// The three Swift clients: what sets them apart, and the requests that all of them make (../shared/spec/ios.md; no device was at hand).
import { randomInt } from 'node:crypto'
import { decodeV3, decodeV4, encodeV3, encodeV4 } from './packets.mjs'

const OLD = { protocol: 3, encode: encodeV3, decode: decodeV3, base64: 'b4', binary: Buffer.from([4]), connects: false }

/**
 * `eio`: what it writes for EIO. `connects`: it asks to be connected to "/" (the others are with the open packet, and again with every later
 * one). `base64`, `binary`: what stands before an attachment as text and as a frame.
 */
export const CLIENTS = [
  { ...OLD, name: 'A (v15)' },
  { ...OLD, name: 'B (v16, version two)', eio: 3 },
  { name: 'C (v16)', eio: 4, protocol: 4, encode: encodeV4, decode: decodeV4, base64: 'b', binary: Buffer.alloc(0), connects: true },
]

export function shuffled(list) {
  const left = [...list]
  return Array.from(list, () => left.splice(randomInt(left.length), 1)[0])
}

/** As NSJSONSerialization writes it: keys in any order, `\/`, and what is not ASCII as it is. */
export function json(value) {
  if (Array.isArray(value)) return `[${value.map(json)}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null).replaceAll('/', '\\/')
  const keys = shuffled(Object.keys(value).filter(key => value[key] !== undefined))
  return `{${keys.map(key => `${json(key)}:${json(value[key])}`)}}`
}

const ESCAPED = /[!*'();:@&=+$,/?%#[\]" {}^|]|[^\x00-\x7f]/gu
const escape = text => String(text).replace(ESCAPED, letter => [...Buffer.from(letter)].map(byte => `%${byte.toString(16).toUpperCase()}`).join(''))

/** An app on a phone: a client, a server, and what the app has configured. */
export class App {
  /** `params`, `cookies`, `headers`: connectParams, .cookies, .extraHeaders. `compress`: .compress. `host`: its name for the server. */
  constructor(client, url, { params = {}, cookies = {}, headers = {}, compress = false, host, origin } = {}) {
    Object.assign(this, { client, headers, compress })
    const { hostname, port } = new URL(url)
    this.host = host ?? `${hostname}:${port}`
    Object.assign(this, { hostname, port, origin: origin ?? `ws://${this.host}` })
    this.params = shuffled(Object.entries(params)).map(([key, value]) => `&${escape(key)}=${escape(value)}`).join('')
    this.cookie = Object.entries(cookies).map(([name, value]) => `${name}=${value}`).join('; ')
  }

  /** Path and query. No EIO where these letters are in the query already, wherever. */
  target(transport, sid) {
    const query = `transport=${transport}${transport === 'polling' ? '&b64=1' : ''}${this.params}`
    const eio = this.client.eio && !query.includes('EIO') ? `&EIO=${this.client.eio}` : ''
    return `/socket.io/?${query}${eio}${sid ? `&sid=${sid}` : ''}`
  }

  /** Of a polling request: as URLSession adds to what the app says. There is no Origin. */
  pollingHeaders(body) {
    const content = body === undefined ? {} : { 'Content-Type': 'text/plain; charset=UTF-8', 'Content-Length': Buffer.byteLength(body) }
    return {
      ...content, Accept: '*/*', ...this.#own(), 'Accept-Language': 'de-DE,de;q=0.9', 'Accept-Encoding': 'gzip, deflate',
      'User-Agent': 'App/1 CFNetwork/1410.0.3 Darwin/22.6.0', Connection: 'keep-alive',
    }
  }

  /** Of an upgrade, in random order. The port is always written. */
  upgradeHeaders(key) {
    const offer = 'permessage-deflate; client_max_window_bits; server_max_window_bits=15'
    return shuffled(Object.entries({
      Host: this.host, Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': key,
      Origin: this.origin, ...this.compress ? { 'Sec-WebSocket-Extensions': offer } : {}, ...this.#own(),
    }))
  }

  #own() { return { ...this.cookie ? { Cookie: this.cookie } : {}, ...this.headers } }
}
