// What comes in, read as strictly as a client has to whose app would crash, or hang, on anything else.

/** What the Swift client would crash on, misread or wait for. */
export class Violation extends Error {}

export function demand(fine, what) {
  if (!fine) throw new Violation(what)
}

/** `<length in UTF-16 units>:<packet>`, repeated. */
export const encodeV3 = packets => packets.map(packet => `${packet.length}:${packet}`).join('')

/** Joined by 0x1e. */
export const encodeV4 = packets => packets.join('\x1e')

export function decodeV3(body) {
  const packets = []
  for (let at = 0; at < body.length;) {
    const [head, length] = /^([1-9]\d*):/.exec(body.slice(at, at + 12)) ?? []
    demand(head, `a length in the payload ${JSON.stringify(body)} at ${at}`)
    const begin = at + head.length
    at = begin + Number(length)
    demand(at <= body.length, `the length ${length} reads past the end of ${JSON.stringify(body)}`)
    packets.push(body.slice(begin, at))
    demand(packets.at(-1).isWellFormed(), `the length ${length} splits a surrogate pair in ${JSON.stringify(body)}`)
  }
  return packets
}

export function decodeV4(body) {
  const packets = body.split('\x1e')
  demand(packets.every(packet => packet !== ''), `no empty packet and no trailing separator in ${JSON.stringify(body)}`)
  return packets
}

/** Neither halves of characters nor packets of the binary kind, which begin with 0x00 or 0x01. */
export function utf8(bytes) {
  demand(!(bytes[0] < 2), 'text, not packets of the binary kind')
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Violation(`UTF-8: ${bytes.subarray(0, 200).toString('latin1')}`)
  }
}

/** Valid JSON without half a surrogate pair: NSJSONSerialization takes no other. */
function parsed(text) {
  try {
    return JSON.parse(text, (key, value) => {
      demand(key.isWellFormed() && (typeof value !== 'string' || value.isWellFormed()), `whole surrogate pairs in ${text}`)
      return value
    })
  } catch (error) {
    demand(error instanceof Violation, `JSON in a packet: ${JSON.stringify(text)}`)
    throw error
  }
}

const isObject = value => value !== null && typeof value === 'object' && !Array.isArray(value)
const isCount = value => Number.isInteger(value) && value > 0
const SOCKET_IO = /^([0-6])(\/[^,]*)?,?(\d*)([\s\S]*)$/

/** Hears all that the server says in one engine.io session. */
export class Ear {
  #opened = false
  #pings = 0
  #asked = new Set()

  constructor(client) { this.client = client }

  /** A packet of the client's: what it asks for may be answered. */
  said(packet) {
    if (packet === '2') this.#pings++
    const [, , id] = /^4[25](?:\d+-)?(\/[^,]*,)?(\d+)\[/.exec(packet) ?? []
    if (id) this.#asked.add(Number(id))
  }

  /** A packet of the server's. @returns `{type, …}` */
  heard(packet) {
    demand(typeof packet === 'string', 'no binary from this server')
    demand(this.#opened === !packet.startsWith('0'), `one open packet, and first: ${packet}`)
    const old = this.client.protocol === 3
    const says = (type, fine) => {
      demand(fine, `nothing that client ${this.client.name} can't take: ${packet}`)
      return { type }
    }
    switch (packet[0]) {
      case '0': return this.#open(packet)
      case '1': return says('close', packet === '1')
      case '2': return says('ping', packet === '2' && !old)
      case '3': return packet === '3probe' ? { type: 'probed' } : says('pong', packet === '3' && old && this.#pings-- > 0)
      case '4': return this.#message(packet)
      case '6': return says('noop', packet === '6')
      default: return says('unknown', false)
    }
  }

  #open(packet) {
    this.#opened = true
    const open = parsed(packet.slice(1))
    demand(isObject(open) && typeof open.sid === 'string' && open.sid !== '', `a sid in ${packet}`)
    demand(isCount(open.pingInterval) && isCount(open.pingTimeout), `two times in ${packet}`)
    demand(open.pingInterval < 60_000, 'a poll that is answered before URLSession gives it up')
    demand(Array.isArray(open.upgrades) && open.upgrades.every(upgrade => typeof upgrade === 'string'), `a list of upgrades in ${packet}`)
    return { type: 'open', ...open }
  }

  #message(packet) {
    const [, kind, namespace = '/', id, text] = SOCKET_IO.exec(packet.slice(1)) ?? []
    const fine = condition => demand(condition, `nothing that client ${this.client.name} can't take: ${packet}`)
    fine(kind !== undefined)
    const data = text === '' ? undefined : parsed(text)
    fine(kind === '3' || id === '') // nothing here asks for an acknowledgement
    switch (kind) {
      case '0':
        fine(this.client.protocol === 3 ? text === '' : isObject(data) && typeof data.sid === 'string')
        return { type: 'connect', namespace }
      case '1':
        fine(text === '')
        return { type: 'disconnect', namespace }
      case '2':
        fine(Array.isArray(data) && typeof data[0] === 'string')
        return { type: 'event', namespace, data }
      case '3':
        fine(Array.isArray(data) && id !== '' && this.#asked.delete(Number(id)))
        return { type: 'ack', namespace, id: Number(id), data }
      case '4':
        fine(data !== undefined && !Array.isArray(data))
        return { type: 'error', namespace, data }
      default:
        return fine(false) // no binary from this server
    }
  }
}
