// The twelve ways in, where each client has an address of its own, 127.0.0.2 and so on: there are proxies that go by it.
import http from 'node:http'
import https from 'node:https'
import * as wires from '../wires.mjs'

let clients = 0

function spread(wire) {
  const connect = (url, more = {}) => {
    const { Agent } = new URL(url).protocol === 'https:' ? https : http
    const agent = new Agent({ localAddress: `127.0.0.${2 + clients++ % 250}` })
    return wire.connect(url, { agent, ...more })
  }
  return { ...wire, connect }
}

export const wireOf = (generation, way) => spread(wires.wire(generation, way))
export const APART = wires.WIRES.map(spread)
