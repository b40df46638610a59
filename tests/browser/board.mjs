// The whiteboard as a person uses it: windows, strokes, what can be seen where.
import { strict as assert } from 'node:assert'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium } from 'playwright-core'

export const LAPTOP = { width: 1280, height: 800 }
export const PHONE = { width: 390, height: 844 }

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

export function launch() {
  const places = process.env.PATH.split(delimiter).map(folder => join(folder, 'chromium'))
  const executablePath = places.find(file => { try { accessSync(file, constants.X_OK); return true } catch { return false } })
  assert(executablePath, 'chromium is not on PATH')
  return chromium.launch({ executablePath, args: FLAGS })
}

/** One window of one person: a browser context of its own, so nothing is shared but the server. */
export class Window {
  /** Messages of the console and uncaught errors. A lost connection is logged by the browser itself. */
  complaints = []

  static async open(browser, url, { identity, ...options } = {}) {
    const window = new Window()
    window.context = await browser.newContext({ viewport: LAPTOP, ...options })
    if (identity) await window.context.addInitScript(text => sessionStorage.setItem('identity', text), identity)
    window.page = await window.context.newPage()
    window.page.on('console', m => m.type() === 'error' && window.complaints.push(m.text()))
    window.page.on('pageerror', error => window.complaints.push(String(error)))
    await window.page.goto(url)
    await window.status('Online')
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

  /** Waits until everything drawn here is stored. */
  stored() {
    return this.page.waitForFunction(() => document.getElementById('status').dataset.unsent === '0')
  }

  close() {
    return this.context.close()
  }
}
