// What the tests of the pages stand on: a browser and a server for each file, rooms of their own, windows that are closed and asked for complaints.
// AO_TEST_DEMO_URL points the tests at a demo that runs already; then nothing is restarted, and nothing configured.
import { strict as assert } from 'node:assert'
import { mkdir } from 'node:fs/promises'
import { after, afterEach, before } from 'node:test'
import { launch, Window } from './board.mjs'
import { Server } from './server.mjs'

const OUT = new URL('out/', import.meta.url).pathname
/** For tests that end, start or configure the server. */
export const ours = { skip: process.env.AO_TEST_DEMO_URL && 'the server is not ours' }

/** @param {string} path of the page; @param {Record<string, string>} settings of the server */
export function stage(path, settings) {
  const windows = []
  const stage = {
    server: null,
    demo: process.env.AO_TEST_DEMO_URL,
    rooms: 0,
    newRoom: () => `sketch ${process.pid}.${++stage.rooms}`,
    async enter(room, { at = path, ...options } = {}) {
      const window = await Window.open(stage.browser, `${stage.demo}${at}#${encodeURIComponent(room)}`, options)
      windows.push(window)
      return window
    },
    picture: (name, window) => window.page.screenshot({ path: `${OUT}${name}.png` }),
  }
  before(async () => {
    await mkdir(OUT, { recursive: true })
    stage.browser = await launch()
    if (stage.demo) return
    stage.server = new Server(settings)
    await stage.server.start()
    stage.demo = stage.server.at.demo
  })
  after(async () => {
    await stage.browser?.close()
    await stage.server?.remove()
  })
  afterEach(async () => {
    const open = windows.splice(0)
    await Promise.all(open.map(w => w.close()))
    for (const w of open) assert.deepEqual(w.complaints.filter(c => !w.forgiven?.(c)), [], 'nothing was logged as an error, or asked of others')
  })
  return stage
}

/** Losing a connection is no complaint where the test means it; the browser may say so a moment later. */
export const forgive = (...windows) => { for (const w of windows) w.forgiven = c => c.startsWith('WebSocket connection to') }

/** Runs in `window`'s page: somebody else, who sends these messages to the room one after the other, and stays until the page goes. */
export const bot = (window, room, messages) => window.page.evaluate(async ({ room, messages }) => {
  const { AlwaysOnline } = await import('/always-online.js')
  const { uid, token, url } = await (await fetch('/token', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' })).json()
  const client = new AlwaysOnline(url, { uid, token, room })
  await new Promise(done => client.on('state', ({ state }) => state === 'online' && done()))
  await Promise.all(messages.map(message => client.send(message)))
  return uid
}, { room, messages })
