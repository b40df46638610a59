// The console as an operator uses it: a window, signing in, the views, and axe-core's opinion of them.
import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { io } from 'socket.io-client-4'
import { AXE, LAPTOP } from './board.mjs'

/** A window with the console in it. */
export class Console {
  /** What the browser logged as an error, uncaught errors, and what was asked of others. */
  complaints = []

  static async open(browser, url, options = {}) {
    const console = new Console()
    console.url = url
    console.context = await browser.newContext({ viewport: LAPTOP, ...options })
    console.page = await console.context.newPage()
    const own = new URL(url).origin
    console.page.on('console', m => m.type() === 'error' && console.complaints.push(`${m.text()} ${m.location().url}`))
    console.page.on('pageerror', error => console.complaints.push(String(error)))
    console.page.on('request', request => { if (!request.url().startsWith(own)) console.complaints.push(`asked ${request.url()}`) })
    await console.page.goto(url)
    return console
  }

  async signIn({ uid, token }) {
    await this.page.getByLabel('Administrator', { exact: true }).fill(uid)
    await this.page.getByLabel('Token', { exact: true }).fill(token)
    await this.button('Sign in').click()
    await this.title('Overview')
    await this.page.locator('.state', { hasText: 'Live' }).waitFor()
    return this
  }

  /** Waits for a view. */
  title(text) { return this.page.getByRole('heading', { level: 1, name: text, exact: true }).waitFor() }
  button(name, within = this.page) { return within.getByRole('button', { name, exact: true }) }
  link(name, within = this.page) { return within.getByRole('link', { name, exact: true }) }
  /** Goes to a section by its link. */
  async go(name, title = name) {
    await this.link(name, this.page.getByRole('navigation', { name: 'Sections' })).click()
    await this.title(title)
  }
  /** Opens a room or a user by its whole name. */
  async visit(kind, name) {
    // The view is there when the page has heard of the change, which it does before this.
    await this.page.evaluate(hash => new Promise(done => {
      addEventListener('hashchange', () => done(), { once: true })
      location.hash = hash
    }), `#/${kind}/${encodeURIComponent(name)}`)
  }
  /** The row of a table that has this text. */
  row(text) { return this.page.getByRole('row').filter({ hasText: text }) }
  dialog() { return this.page.getByRole('dialog') }
  /** Waits for the line at the bottom. */
  says(text) { return this.page.locator('#toast.shown', { hasText: text }).waitFor() }
  /** Waits until the fact of this name is this. */
  fact(name, value) {
    return this.page.locator('.facts > div').filter({ has: this.page.locator('dt', { hasText: name }) }).locator('dd', { hasText: value }).first().waitFor()
  }

  /** Does what a button leads to, after reading that the dialog names all of these. */
  async confirm(button, names, go) {
    await this.agree(button, names, go)
    await this.dialog().waitFor({ state: 'detached' })
  }

  /** The same where another dialog follows. */
  async agree(button, names, go) {
    await button.click()
    const text = await this.dialog().innerText()
    for (const name of names) assert(text.includes(name), `${name} is named in: ${text}`)
    await this.button(go, this.dialog()).click()
  }

  /** What axe-core finds that is serious or worse. */
  async findings() {
    this.network ??= await this.context.newCDPSession(this.page)
    // Not as a script of the page, which its policy would refuse.
    await this.network.send('Runtime.evaluate', { expression: `if (!globalThis.axe) { ${AXE} }` })
    const { result, exceptionDetails } = await this.network.send('Runtime.evaluate', {
      expression: 'axe.run(document, { resultTypes: ["violations"] }).then(r => JSON.stringify(r.violations))', awaitPromise: true, returnByValue: true,
    })
    assert(!exceptionDetails, JSON.stringify(exceptionDetails))
    return JSON.parse(result.value).filter(({ impact }) => ['serious', 'critical'].includes(impact))
      .map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(n => `${n.html.slice(0, 160)} ${n.failureSummary}`).join(' | ')}`)
  }

  /** How far the page can be moved sideways, in pixels. */
  overhang() { return this.page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)) }

  /** What the page asks at that moment may be on its way through a test: that fails then, and nobody minds. */
  async close() {
    await this.page.unrouteAll({ behavior: 'ignoreErrors' })
    await this.context.close()
  }
}

/** A client of rooms, by the library that people use. */
export class Client {
  static async join(server, uid, ...rooms) {
    const client = new Client()
    client.uid = uid
    const { uid: admin, token: secret } = await server.admin()
    const authorization = `Bearer ${admin}:${secret}`
    const made = await fetch(`${server.at.api}/v1/token/create`, { method: 'POST', body: JSON.stringify({ uid }), headers: { authorization, 'content-type': 'application/json' } })
    const { token } = await made.json()
    client.socket = io(server.at.websocket, { transports: ['websocket'], reconnection: false, forceNew: true })
    client.messages = []
    client.socket.on('msg', message => client.messages.push(message))
    client.gone = once(client.socket, 'disconnect')
    await once(client.socket, 'connect')
    await client.#asks('authenticate', { uid, token })
    for (const room of rooms) await client.#asks('join', { roomId: room })
    return client
  }

  async #asks(name, body) {
    const answered = once(this.socket, name)
    this.socket.emit(name, body)
    const [{ status, data }] = await answered
    assert(status === undefined || status === 0, `${name}: ${data}`)
  }

  /** Sends, and waits until it is stored. */
  send(message) { return new Promise(done => this.socket.emit('msg', message, done)) }

  /** Waits for a message of which this is true. */
  async hears(test) {
    for (const end = Date.now() + 30_000; !this.messages.some(test); await pause(20)) assert(Date.now() < end, `not heard: ${JSON.stringify(this.messages)}`)
  }

  close() { this.socket.close() }
}
