// A line to a server that can be cut and mended, to drop a client the way a network does: no close frame, no goodbye.
import { once } from 'node:events'
import net from 'node:net'

export class Line {
  #open = new Set()
  #server
  #whole = true
  #end

  /** A line to the server at `url`. Its own address is `line.url`. */
  static async to(url) {
    const line = new Line()
    line.#end = new URL(url)
    line.#server = net.createServer(near => {
      if (!line.#whole) return near.resetAndDestroy()
      const far = net.connect(line.#end.port, line.#end.hostname)
      for (const [one, other] of [[near, far], [far, near]]) {
        line.#open.add(one)
        one.setNoDelay(true).pipe(other)
        one.on('error', () => {})
        one.on('close', () => { line.#open.delete(one); other.destroy() })
      }
    }).listen(0, '127.0.0.1')
    await once(line.#server, 'listening')
    line.url = `${line.#end.protocol}//127.0.0.1:${line.#server.address().port}`
    return line
  }

  /** Everything on it is lost, and nobody gets through until `mend`. */
  cut() {
    this.#whole = false
    for (const socket of this.#open) socket.destroy()
  }

  /** Whole again; `url` is where it leads from now on, if elsewhere. */
  mend(url = this.#end) {
    this.#end = new URL(url)
    this.#whole = true
  }

  close() {
    this.cut()
    this.#server.close()
  }
}
