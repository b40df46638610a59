// What the console's tests stand on: a browser, and a server with an administrator and a reader; and what holds in each of its sections.
import { strict as assert } from 'node:assert'
import { mkdir } from 'node:fs/promises'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { LAPTOP, launch, PHONE } from './board.mjs'
import { Console } from './console.mjs'
import { Server } from './server.mjs'

const OUT = new URL('out/', import.meta.url).pathname
const BOUND_MS = 60_000
const DEVICES = { laptop: { viewport: LAPTOP }, phone: { viewport: PHONE, hasTouch: true } }
/** Names that somebody may have chosen to do harm. */
export const HOSTILE = ['<img src=x onerror="globalThis.hacked=1">', '\u202Egnp.exe\u202C\u200B', '%E0%A4%A', 'x'.repeat(1000), '__proto__', '../../v1/stat?a=b#c%00']
/** A complaint about what is there no more. */
export const isMissing = complaint => complaint.includes('404')

/** @param {Record<string, string>} settings of the server; @param {() => unknown} begins what else is to be done before the tests */
export function consoleStage(settings, begins = () => {}) {
  const stage = {
    consoles: [],
    /** What a test has opened, and closes when it has ended. */
    open: [],
    opens(thing) {
      stage.open.push(thing)
      return thing
    },
    async console({ at = stage.server, ...options } = {}) {
      const console = await Console.open(stage.browser, `${at.at.api}/console/`, options)
      stage.consoles.push(console)
      return console
    },
    signedIn: async (who = stage.admin, options) => (await stage.console(options)).signIn(who),
    /** A method of the HTTP API, as the first administrator. A server that has just started may read its secrets first. */
    async call(method, body) {
      const headers = { authorization: `Bearer ${stage.admin.uid}:${stage.admin.token}`, 'content-type': 'application/json' }
      for (const end = Date.now() + BOUND_MS; ; await pause(50)) {
        const answer = await fetch(`${stage.server.at.api}/v1/${method}`, { method: 'POST', body: JSON.stringify(body), headers })
        if (answer.ok) return answer.json()
        assert(answer.status === 503 && Date.now() < end, `${method}: ${answer.status} ${await answer.text()}`)
      }
    },
  }
  before(async () => {
    await mkdir(OUT, { recursive: true })
    stage.browser = await launch()
    stage.server = new Server(settings)
    await stage.server.start()
    stage.admin = await stage.server.admin()
    stage.reader = { uid: 'eve', token: await stage.server.command('admin', 'create', 'eve', '--role', 'reader') }
    await begins()
  })
  after(async () => {
    await stage.browser?.close()
    await stage.server?.remove()
  })
  afterEach(async () => {
    const consoles = stage.consoles.splice(0)
    await Promise.all([...stage.open.splice(0), ...consoles].map(thing => thing.close()))
    for (const { complaints, forgiven } of consoles) assert.deepEqual(complaints.filter(c => !forgiven?.(c)), [], 'nothing was logged as an error, or asked of others')
  })
  return stage
}

/** A section that is only there with its dialect. `one`: kind and name of something in it. */
export const isOfItsDialect = (stage, section, one) => test(`a server without that dialect has no section ${section}`, async () => {
  const plain = new Server()
  try {
    await plain.start()
    const console = await stage.signedIn(await plain.admin(), { at: plain })
    assert.equal(await console.page.getByRole('link', { name: section }).count(), 0)
    await console.visit(...one)
    await console.title('Overview')
  } finally {
    await plain.remove()
  }
})

/**
 * On a laptop and a phone, light and dark. `story` goes through what there is to see, and calls `look` with a name for each; `before` does so with the page that
 * asks who one is.
 */
export function looksWell(stage, pictures, story, before = async () => {}) {
  for (const colorScheme of ['light', 'dark']) for (const [device, options] of Object.entries(DEVICES)) {
    test(`${device}, ${colorScheme}: axe-core finds nothing serious, and nothing hangs over`, async () => {
      const console = await stage.console({ colorScheme, ...options })
      const look = async what => {
        await console.page.screenshot({ path: `${OUT}${pictures}-${device}-${colorScheme}-${what}.png` })
        assert.deepEqual(await console.findings(), [], what)
        assert.equal(await console.overhang(), 0, `${what} is as wide as the window`)
      }
      await before(look)
      await console.signIn(stage.admin)
      await story(console, look, `${device} ${colorScheme}`)
    })
  }
}

/** No name has become markup, and none is too wide. */
export async function isCalm(console, where) {
  const found = await console.page.evaluate(() => [globalThis.hacked, document.querySelectorAll('main img, main script, main b').length, document.querySelectorAll('script').length])
  assert.deepEqual(found, [undefined, 0, 1], where)
  assert.equal(await console.overhang(), 0, `${where} is as wide as the window`)
}

/** There is no button but those that change nothing: these and those of the lists. */
export async function hasOnly(console, ...harmless) {
  const buttons = await console.page.locator('button:visible').evaluateAll(all => all.map(b => b.getAttribute('aria-label') ?? b.textContent))
  assert.deepEqual(buttons.filter(text => !['Sign out', 'Open', 'Previous', 'Next', ...harmless].includes(text)), [])
}

/** The texts of a row. */
export const cells = async (console, text) => (await console.row(text).getByRole('cell').allInnerTexts()).map(cell => cell.trim())
/** What can be done about somebody. */
export const deeds = ({ page }) => page.getByRole('region', { name: 'What can be done' }).getByRole('button').allInnerTexts()
