// A session of Tinode's protocol, without its SDK: it is in a page of its own, as node has no WebSocket of a browser.
import { strict as assert } from 'node:assert'

export const secretOf = ({ login, password }) => Buffer.from(`${login}:${password}`).toString('base64')

export class Session {
  /** @param browser a new page of which has it; @param {string} url of the server; @param {string} key */
  static async open(browser, url, key) {
    const session = new Session()
    session.page = await (await browser.newContext()).newPage()
    await session.page.evaluate(url => new Promise((resolve, reject) => {
      const line = new WebSocket(url)
      const waiting = new Map()
      let last = 0
      globalThis.heard = []
      globalThis.ask = (verb, fields) => new Promise(done => {
        const id = String(++last)
        waiting.set(id, done)
        line.send(JSON.stringify({ [verb]: { id, ...fields } }))
      })
      line.onmessage = ({ data }) => {
        const { ctrl, data: message } = JSON.parse(data)
        if (message) globalThis.heard.push(message)
        waiting.get(ctrl?.id)?.(ctrl)
      }
      line.onclose = () => {
        globalThis.isClosed = true
        reject(new Error('closed'))
      }
      line.onopen = resolve
    }), `${url.replace('http', 'ws')}/v0/channels?apikey=${encodeURIComponent(key)}`).catch(async error => {
      await session.close()
      throw error
    })
    await session.does('hi', { ver: '0.25.3' })
    return session
  }

  /** @returns the answer, whatever it is */
  ask(verb, fields) { return this.page.evaluate(([verb, fields]) => globalThis.ask(verb, fields), [verb, fields]) }
  /** @returns the answer, a good one */
  async does(verb, fields) {
    const ctrl = await this.ask(verb, fields)
    assert(ctrl.code < 400, `${verb}: ${ctrl.code} ${ctrl.text}`)
    return ctrl
  }
  /** Says something in a topic. */
  publish(topic, content) { return this.does('pub', { topic, noecho: true, content }) }
  /** What is in a topic, as a newcomer reads it. */
  async reads(topic) {
    await this.page.evaluate(() => { globalThis.heard = [] })
    await this.does('get', { topic, what: 'data' })
    return this.page.evaluate(() => globalThis.heard.map(({ content }) => content))
  }
  async ends() { await this.page.waitForFunction(() => globalThis.isClosed) }
  close() { return this.page.context().close() }
}
