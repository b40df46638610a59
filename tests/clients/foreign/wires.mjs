// The other clients, as wires of the same kind: to each of them the same story is told.
import { fileURLToPath } from 'node:url'
import { Driver } from './driven.mjs'
import { TRANSPORTS, keep } from '../wires.mjs'
import { miniProgram } from './wx.mjs'

/** The one way in for a mini-program, which has WebSockets only. `options`: of its `wx`. */
export function weapp(version, options) {
  return {
    name: `weapp.socket.io ${version}${options?.tasks === false ? ', before there were tasks' : ', websocket only'}`,
    way: 'websocket only',
    transports: ['websocket'],
    lost: /^transport close$/,
    connect: (url, more = {}) => {
      const { io, bytes } = miniProgram(`weapp.socket.io-${version[0]}`, options)
      const socket = io(url, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0, ...more })
      return Object.assign(socket, { bytes })
    },
  }
}

const path = name => fileURLToPath(new URL(name, import.meta.url))

const python = (version, ...flags) => new Driver(path(`../../../.tools/python-socketio-${version}/bin/python`), path('python/clients.py'), ...flags)
const PYTHON = { 4: python(4), 5: python(5) }
/** As the library comes. */
const UNTOLD = { 4: python(4, '--few-packets'), 5: python(5, '--few-packets') }

/** Over polling version 4 has two faults of its own, with any server. */
const SHORT_OF_4 = {
  // A packet's length counts UTF-16 units. It counts characters: of an answer with one beyond the first 65,536 the next packets are unreadable.
  lacks: /[\u{10000}-\u{10ffff}]/gu,
  // A POST that is answered with an error ends its loops, and nothing tells the application: it stays "connected", silent, for ever.
  deaf: true,
}

/**
 * One way in for python-socketio's AsyncClient. `threads`: its Client instead; `returns`: version 4 may come back after it was refused;
 * `fewPackets`: it takes as many packets in one answer to a poll as it does by default, 16.
 */
export function pythonWire(version, way, { fewPackets, ...more } = {}) {
  const transports = TRANSPORTS[way]
  return {
    name: `python-socketio ${version}.x, ${way}`,
    way,
    transports,
    // Version 4 says no reason at all, version 5 calls each lost transport so.
    lost: version === 4 ? /^transport close$/ : /^transport error$/,
    ...version === 4 && way === 'polling only' && SHORT_OF_4,
    connect: url => (fewPackets ? UNTOLD : PYTHON)[version].connect(url, transports, more),
  }
}

const java = generation => {
  const built = path(`../../../.tools/java-client-${generation}`)
  return new Driver('java', '-Xmx256m', '-cp', `${built}/classes:${built}/dependency/*`, 'Clients')
}
const JAVA = { '1.0': java(1), 2.1: java(2) }

/** One way in for io.socket:socket.io-client. */
export function javaWire(version, way) {
  const transports = TRANSPORTS[way]
  return {
    name: `java ${version}.x, ${way}`,
    way,
    transports,
    lost: transports.includes('websocket') ? /^transport error$/ : /^transport (close|error)$/,
    // Version 2 writes bytes over polling as base64 with line ends, which the server's engine takes for malformed: it closes the session.
    garbles: version === '2.1' && way === 'polling only',
    connect: url => JAVA[version].connect(url, transports),
  }
}

const ways = Object.keys(TRANSPORTS)
export const FOREIGN = keep([
  weapp('2.1'), weapp('3.0'),
  ...[4, 5].flatMap(version => ways.map(way => pythonWire(version, way))),
  ...Object.keys(JAVA).flatMap(version => ways.map(way => javaWire(version, way))),
])
