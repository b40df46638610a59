// examples/wechat in a real chromium with devices that are none: its files as any server of files hands them out, people on pages, and what they do there.
import { strict as assert } from 'node:assert'
import { after, afterEach, before } from 'node:test'
import { Line } from '../clients/cut.mjs'
import { startServer } from '../clients/server.mjs'
import { AXE, LAPTOP, launch } from './board.mjs'
import { serveExample } from './example.mjs'

const BOUND_MS = 60_000
// Pictures and sound of devices that chromium makes up, and no question whether it may. Two pages on one machine find each other by their addresses; without the
// last flag they are hidden behind names of multicast DNS, which nobody answers here.
const FLAGS = [
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
]

/**
 * A browser, the page's files and a server with these settings of `[wechat]`, for all tests of a file. Each person's window goes with the test it was opened in,
 * and may not have logged an error.
 */
export function stage(settings = () => ({})) {
  const people = [], lines = []
  const stage = {
    /** A line to the server that can be cut. */
    async line() {
      const line = await Line.to(stage.server.urls.wechat)
      lines.push(line)
      return line
    },
    /** Somebody new, on the page. `line`: how it gets to the server; `path`: behind the page's address. */
    async visitor(name, { line, path = '', browser = stage.browser, ...options } = {}) {
      const person = await Person.opens(browser, `http://127.0.0.1:${stage.files.address().port}/${path}`, name, { server: line?.url ?? stage.server.urls.wechat, ...options })
      people.push(person)
      return person
    },
    /** Somebody new, registered and online. */
    async user(name, { stay, ...options } = {}) {
      const person = await stage.visitor(name, options)
      await person.registers({ stay })
      return person
    },
    /** Two who are each other's contacts. */
    async pair(one = 'Ann', other = 'Ben', options = [{}, {}]) {
      const both = [await stage.user(one, options[0]), await stage.user(other, options[1])]
      await both[0].adds(both[1])
      await both[1].page.locator(`#contacts .person[data-phone="${both[0].phone}"]`).waitFor({ state: 'attached' })
      return both
    },
  }
  before(async () => {
    stage.browser = await launch(...FLAGS)
    stage.files = await serveExample('wechat')
    const values = { LISTEN: '127.0.0.1:0', RATE_LIMIT: 'off', ...await settings() }
    stage.server = await startServer({ title: 'a page', env: Object.fromEntries(Object.entries(values).map(([key, value]) => [`AO_WECHAT__${key}`, `${value}`])) })
  })
  after(async () => {
    await stage.browser?.close()
    stage.files?.closeAllConnections()
    stage.files?.close()
    await stage.server?.stop()
  })
  afterEach(async () => {
    const [open, cut] = [people.splice(0), lines.splice(0)]
    await Promise.all(open.map(person => person.close()))
    for (const line of cut) line.close()
    for (const { name, complaints } of open) assert.deepEqual(complaints, [], `what the page of ${name} has logged`)
  })
  return stage
}

let phones = 0

/** Runs in each page before its own scripts: notes what passes by, and can hold back what the server says. */
function observed() {
  Object.assign(globalThis, { connections: [], notices: [], held: undefined })
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...all) {
      super(...all)
      connections.push(this)
    }
  }
  globalThis.WebSocket = class extends WebSocket {
    addEventListener(type, listener) {
      super.addEventListener(type, event => type === 'message' && held ? held.push(() => listener(event)) : listener(event))
    }
  }
  addEventListener('DOMContentLoaded', () => {
    const notice = document.getElementById('notice')
    if (notice) new MutationObserver(() => { if (notice.textContent) notices.push(notice.textContent) }).observe(notice, { childList: true })
  })
}

export class Person {
  /** What the browser logged as an error, uncaught errors, and what was asked of other hosts. A lost connection is logged by the browser itself. */
  complaints = []

  static async opens(browser, url, name, { server, locale = 'en-GB', viewport = LAPTOP, ...options }) {
    const person = new Person()
    Object.assign(person, { name, server, phone: `1${process.pid}${Date.now()}${++phones}`.slice(-16), password: `secret of ${name}` })
    person.context = await browser.newContext({ viewport, locale, ...options })
    await person.context.addInitScript(observed)
    await person.#opensPage(url)
    return person
  }

  /** Another window of the same browser. */
  async window() {
    const other = Object.assign(new Person(), this)
    await other.#opensPage(this.page.url())
    return other
  }

  async #opensPage(url) {
    this.page = await this.context.newPage()
    this.page.setDefaultTimeout(BOUND_MS)
    const isLoss = text => /WebSocket connection to|net::ERR_|Failed to load resource: the server responded with a status of 4/.test(text)
    this.page.on('console', message => message.type() === 'error' && !isLoss(message.text()) && this.complaints.push(message.text()))
    this.page.on('pageerror', error => this.complaints.push(String(error)))
    this.page.on('request', request => { if (/^https?:/.test(request.url()) && new URL(request.url()).hostname !== '127.0.0.1') this.complaints.push(`asked ${request.url()}`) })
    await this.page.goto(url)
  }

  button(name, within = this.page) { return within.getByRole('button', { name, exact: true }) }
  tab(name) { return this.page.getByRole('tab', { name: new RegExp(`^${name}`) }).click() }
  dialog() { return this.page.getByRole('dialog') }
  /** This was said at the bottom of the page, since it was last waited for. */
  notice(text) {
    return this.page.waitForFunction(text => {
      const at = notices.indexOf(text)
      return at >= 0 && notices.splice(0, at + 1)
    }, text)
  }
  /** What the server says is held back, until it is let through. */
  holds() { return this.page.evaluate(() => { held = [] }) }
  lets() { return this.page.evaluate(() => { for (const event of held.splice(0)) event(); held = undefined }) }
  /** What stands over the lists and the chat, visible to the user; undefined: nothing does. */
  banner(text) {
    if (text === undefined) return this.page.locator('#banner').waitFor({ state: 'hidden' })
    return this.page.locator('#banner-text', { hasText: text }).waitFor()
  }
  state(text) { return this.page.locator('#state', { hasText: text }).waitFor() }
  trouble(text) { return this.page.locator('#trouble', { hasText: text }).waitFor() }

  async fill(form, fields) {
    await this.page.fill('#server input', this.server)
    for (const [name, value] of Object.entries(fields)) await this.page.fill(`#${form} [name=${name}]`, value)
    await this.page.press(`#${form} [name=${Object.keys(fields).at(-1)}]`, 'Enter')
  }

  /** `stay`: in all windows of this browser. */
  async registers({ stay = false, ...more } = {}) {
    await this.page.locator('#login .other').click()
    await this.page.setChecked('#registration [name=stay]', stay)
    const { name: nick, phone, password } = this
    await this.fill('registration', { phone, password, nick, userName: nick, email: 'somebody@example.org', ...more })
    await this.isOnline()
  }

  logsIn(password = this.password) { return this.fill('login', { phone: this.phone, password }) }
  isOnline() { return this.page.locator('#state[data-state=online]').waitFor({ state: 'attached' }) }

  async finds(keyword) {
    await this.page.locator('#tab-find').click()
    await this.page.fill('#search [name=keyword]', keyword)
    await this.page.press('#search [name=keyword]', 'Enter')
  }

  async adds(other) {
    await this.finds(other.phone)
    await this.page.locator('#found .person', { hasText: other.phone }).getByRole('button').click()
    await this.page.locator(`#contacts .person[data-phone="${other.phone}"]`).waitFor({ state: 'attached' })
  }

  /** Opens the chat with somebody. */
  async opensChat(other) {
    if (await this.page.locator('#back').isVisible()) await this.page.locator('#back').click()
    await this.page.locator('#tab-contacts').click()
    await this.page.locator(`#contacts .person[data-phone="${other.phone}"]`).click()
    await this.page.locator('#peer-phone', { hasText: other.phone }).waitFor()
  }

  async writes(...texts) {
    for (const text of texts) {
      await this.page.fill('#compose [name=content]', text)
      await this.page.press('#compose [name=content]', 'Enter')
    }
  }

  /** The open chat has exactly these texts, one's own behind a `>`. */
  reads(...expected) {
    return this.page.waitForFunction(expected => {
      const said = [...document.querySelectorAll('#messages li')].map(item => `${item.className === 'own' ? '> ' : ''}${item.querySelector('.said').textContent}`)
      return JSON.stringify(said) === JSON.stringify(expected)
    }, expected)
  }

  /** The number of unread messages beside somebody in the list of chats; 0: none is shown. */
  hasUnread(other, count) {
    return this.page.waitForFunction(([phone, count]) => {
      const badge = document.querySelector(`#chats .person[data-phone="${phone}"] .badge`)
      return badge && Number(badge.textContent) === count
    }, [other.phone, count])
  }

  // ---- Calls ----

  async calls(other) {
    await this.opensChat(other)
    await this.page.locator('#call-peer').click()
  }

  phase(name) { return this.page.locator(`#call[open][data-phase=${name}]`).waitFor({ state: 'attached' }) }
  noCall() { return this.page.locator('#call:not([open])').waitFor({ state: 'attached' }) }

  /** The other's picture moves: so many frames of it are shown, from now on. */
  seesFrames(count) {
    return this.page.evaluate(count => new Promise((resolve, reject) => {
      const video = document.getElementById('remote')
      const end = setTimeout(() => reject(new Error(`${count} frames were not shown; ${JSON.stringify([video.videoWidth, video.paused, video.readyState])}`)), 60_000)
      const next = () => {
        if (--count > 0) return video.requestVideoFrameCallback(next)
        clearTimeout(end)
        resolve()
      }
      video.requestVideoFrameCallback(next)
    }), count)
  }

  /** The other is heard: so many of its audio packets have come, and its frames were decoded; by what WebRTC itself counts. */
  async receives({ packets = 50, frames = 30 } = {}) {
    const wanted = { packets, frames }
    return this.page.waitForFunction(async ({ packets, frames }) => {
      const stats = [...(await connections.at(-1).getStats()).values()].filter(({ type }) => type === 'inbound-rtp')
      const of = kind => stats.find(one => one.kind === kind)
      return of('audio')?.packetsReceived >= packets && of('video')?.framesDecoded >= frames
    }, wanted, { polling: 200 })
  }

  /** The kinds of candidates between which the latest connection goes: `[ours, theirs]`. */
  way() {
    return this.page.evaluate(async () => {
      const stats = await connections.at(-1).getStats()
      const transport = [...stats.values()].find(({ type }) => type === 'transport')
      const { localCandidateId, remoteCandidateId } = stats.get(transport.selectedCandidatePairId)
      return [localCandidateId, remoteCandidateId].map(id => stats.get(id).candidateType)
    })
  }

  /** No connection is left, and no device is on. */
  async hasLetGo() {
    const left = await this.page.evaluate(() => [connections.every(({ connectionState }) => connectionState === 'closed'), document.getElementById('local').srcObject, document.getElementById('remote').srcObject])
    assert.deepEqual(left, [true, null, null], `what is left at ${this.name}`)
  }

  // ---- Opinions ----

  /** What axe-core finds wrong with what is shown. */
  async isAccessible(what) {
    await this.page.evaluate(AXE)
    const violations = await this.page.evaluate(() => axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }).then(({ violations }) =>
      violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html).join(' | ')}`)))
    assert.deepEqual(violations, [], what)
  }

  /** Nothing sticks out at the right. */
  async fits() { assert(await this.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing sticks out') }

  close() { return this.context.close() }
}
