// Pages of other sites: a tiny server of HTML and of the npm packages' browser files, under any name below localhost. A browser leads all of them to
// the loopback; to the server under test only `localhost` itself is one of this machine.
import http from 'node:http'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'

/** The browser file of a generation of socket.io-client. */
export const dist = generation => new URL(`node_modules/socket.io-client-${generation}/dist/socket.io.js`, import.meta.url).pathname

export class Pages {
  /** `pages`: HTML by path. The clients are at /2.js and /4.js. */
  static async serve(pages) {
    const all = { ...pages, '/2.js': await readFile(dist(2)), '/4.js': await readFile(dist(4)) }
    const served = new Pages()
    served.server = http.createServer(({ url }, response) => {
      const type = url.endsWith('.js') ? 'text/javascript' : 'text/html'
      response.writeHead(all[url] ? 200 : 404, { 'content-type': `${type}; charset=utf-8` }).end(all[url])
    }).listen(0, '127.0.0.1')
    await once(served.server, 'listening')
    return served
  }

  /** Where they are, as a site of this name. */
  at(name) { return `http://${name}:${this.server.address().port}` }

  close() {
    this.server.closeAllConnections()
    this.server.close()
  }
}

/** Runs in a page that has `io`: connects, signs in, joins, sends, and reads it back. @returns the transport it ended on, and what it read */
export function visit({ url, uid, token, room, options }) {
  return new Promise((resolve, reject) => {
    const socket = io(url, { forceNew: true, reconnection: false, ...options })
    const manager = socket.io
    const fail = what => error => { socket.close(); reject(new Error(`${what}: ${error?.message ?? error}`)) }
    socket.on('connect_error', fail('connect_error'))
    socket.on('disconnect', fail('disconnect'))
    socket.on('connect', () => socket.emit('authenticate', { uid, token }))
    socket.on('authenticate', answer => answer.status === 0 ? socket.emit('join', { roomId: room }) : fail('authenticate')(answer.data))
    socket.on('join', () => socket.emit('msg', { s: 0, 1: 'hello', text: 'from a page' }, () => socket.emit('sync', { offset: 0 })))
    socket.on('sync', ({ data }) => {
      const last = options.transports.at(-1)
      const done = () => {
        if (manager.engine.transport.name !== last) return
        const transport = manager.engine.transport.name
        socket.off('disconnect')
        socket.close()
        resolve({ transport, data })
      }
      manager.engine.on('upgrade', done)
      done()
    })
  })
}
