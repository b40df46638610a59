// The demo's pages as a person uses them: windows, and on the whiteboard strokes and what can be seen where.
import { strict as assert } from 'node:assert'
import { accessSync, constants } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { chromium } from 'playwright-core'

export const LAPTOP = { width: 1280, height: 800 }
export const PHONE = { width: 390, height: 844 }
/** Defines `axe` in a page. */
export const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** @param {...string} more flags */
export function launch(...more) {
  const places = process.env.PATH.split(delimiter).map(folder => join(folder, 'chromium'))
  const executablePath = places.find(file => { try { accessSync(file, constants.X_OK); return true } catch { return false } })
  assert(executablePath, 'chromium is not on PATH')
  return chromium.launch({ executablePath, args: [...FLAGS, ...more] })
}

/** One window of one person: a browser context of its own, so nothing is shared but the server. */
export class Window {
  /** Messages of the console, uncaught errors, and what was asked of other hosts. A lost connection is logged by the browser itself. */
  complaints = []

  /** `identity`: of another window, as text; `name`: what the browser remembers; `wire`: a Wire for its connections; `until`: the status to wait for. */
  static async open(browser, url, { identity, name, wire, until = 'Online', ...options } = {}) {
    const window = new Window()
    window.context = await browser.newContext({ viewport: LAPTOP, ...options })
    if (identity) await window.context.addInitScript(text => sessionStorage.setItem('identity', text), identity)
    if (name) await window.context.addInitScript(text => localStorage.setItem('name', text), name)
    if (wire) await wire.attach(window.context)
    window.page = await window.context.newPage()
    window.page.on('console', m => m.type() === 'error' && window.complaints.push(m.text()))
    window.page.on('pageerror', error => window.complaints.push(String(error)))
    const elsewhere = address => {
      if (/^(http|ws)s?:/.test(address) && new URL(address).hostname !== new URL(url).hostname) window.complaints.push(`asked ${address}`)
    }
    window.page.on('request', request => elsewhere(request.url()))
    window.page.on('websocket', socket => elsewhere(socket.url()))
    await window.page.goto(url)
    await window.status(until)
    return window
  }

  /** Waits until the status says this. */
  status(text) {
    return this.page.waitForFunction(t => document.getElementById('status').textContent.startsWith(t), text)
  }

  identity() {
    return this.page.evaluate(() => sessionStorage.getItem('identity'))
  }

  /** Draws through these points, [x, y] of the screen, and lifts the pen unless told otherwise. */
  async draw(points, { lift = true } = {}) {
    const [[x, y], ...rest] = points
    await this.page.mouse.move(x, y)
    await this.page.mouse.down()
    for (const [x, y] of rest) await this.page.mouse.move(x, y, { steps: 6 })
    if (lift) await this.page.mouse.up()
  }

  /** Waits until there is ink at each of these places of the screen, or none at any. */
  sees(places, ink = true) {
    const look = ([places, ink]) => {
      const g = document.getElementById('board').getContext('2d')
      return places.every(([x, y]) => (g.getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data[3] > 128) === ink)
    }
    return this.page.waitForFunction(look, [places, ink])
  }

  /** The pixels of the whole board, as text to compare. */
  pixels() {
    return this.page.evaluate(() => document.getElementById('board').toDataURL())
  }

  /** Waits until the whole board looks as that of `other`, on which everything is. Each paints in its own time. */
  async looksAs(other) {
    for (const end = Date.now() + 30_000; await this.pixels() !== await other.pixels(); await pause(50)) assert(Date.now() < end, 'the boards look alike')
  }

  /** Waits until everything drawn here is stored. */
  stored() {
    return this.page.waitForFunction(() => document.getElementById('status').dataset.unsent === '0')
  }

  close() {
    return this.context.close()
  }
}

/** The connections of one window, in the test's hand: it can cut them, keep new ones away, and hold back what the server says. */
export class Wire {
  /** What the page sent and got, in order: {text, sent}. */
  frames = []
  /** While this is false no connection comes about. */
  open = true
  /** Decides about each frame of the server whether it passes. */
  passes = () => true
  #ends = new Set()

  attach(context) {
    return context.routeWebSocket(/socket\.io/, page => {
      if (!this.open) return page.close()
      const server = page.connectToServer()
      this.#ends.add(page)
      page.onMessage(text => { this.frames.push({ text, sent: true }); server.send(text) })
      server.onMessage(text => { if (this.passes(text)) { this.frames.push({ text, sent: false }); page.send(text) } })
    })
  }

  /** Cuts what is there. New connections come about again only after `mend`. */
  async cut() {
    this.open = false
    await Promise.all([...this.#ends].map(page => page.close()))
    this.#ends.clear()
  }

  mend() {
    this.open = true
    this.passes = () => true
  }

  /** The payloads of what the page sent under this name. */
  sent(name) {
    const events = this.frames.filter(f => f.sent && f.text.startsWith('42')).map(f => JSON.parse(f.text.replace(/^42\d*/, '')))
    return events.filter(([one]) => one === name).map(([, value]) => value)
  }
}
