// Polling as URLSession does it: one GET and one POST at a time, each on a connection of its own that is kept.
import http from 'node:http'
import { demand, utf8 } from './packets.mjs'

const PATIENCE_MS = 60_000

export class Polling {
  #agents = { GET: new http.Agent({ keepAlive: true, maxSockets: 1 }), POST: new http.Agent({ keepAlive: true, maxSockets: 1 }) }

  constructor(app) { this.app = app }

  /** The packets of one answer. */
  async get(sid) {
    const { code, body } = await this.ask('GET', sid)
    if (code !== 200) throw new Error(`a poll was answered with ${code}: ${body}`)
    return this.app.client.decode(body)
  }

  async post(sid, packets) {
    const { code, body } = await this.ask('POST', sid, this.app.client.encode(packets))
    if (code !== 200) throw new Error(`a POST was answered with ${code}: ${body}`)
  }

  /** One request, whatever comes of it. @returns {Promise<{code: number, headers: object, body: string}>} */
  ask(method, sid, body) {
    const { hostname, port } = this.app
    const options = {
      hostname, port, method, path: this.app.target('polling', sid), headers: this.app.pollingHeaders(body),
      agent: this.#agents[method], timeout: PATIENCE_MS,
    }
    return new Promise((resolve, reject) => {
      const request = http.request(options, async response => {
        try {
          const chunks = []
          for await (const chunk of response) chunks.push(chunk)
          const { statusCode: code, headers } = response
          demand(headers['set-cookie'] === undefined, 'no cookie is set')
          resolve({ code, headers, body: utf8(Buffer.concat(chunks)) })
        } catch (error) { reject(error) }
      })
      request.on('timeout', () => request.destroy(new Error(`no answer to a ${method} within ${PATIENCE_MS} ms`)))
      request.on('error', reject)
      request.end(body)
    })
  }

  /** Ends its connections, and with them what is under way. */
  close() { for (const agent of Object.values(this.#agents)) agent.destroy() }
}
