// Takes the pictures of the console for the documents, docs/images/console.png and console-room.png. Run with AO_BIN like the tests, on a quiet
// machine: npm run console-picture. It lets some people talk for two minutes, so that the charts have something to show.
import { stat } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { launch, PHONE } from './board.mjs'
import { Client, Console } from './console.mjs'
import { Server } from './server.mjs'

const SECONDS = Number(process.env.TALK ?? 130)
const PEOPLE = ['alice', 'bruno', 'chen', 'dalia', 'emeka', 'fatima', 'goran', 'hana', 'ivan', 'jonas', 'kofi', 'leila', 'mina', 'noor', 'oskar', 'priya', 'quentin', 'rosa', 'sami', 'tove']
const ROOMS = ['class:7b', 'class:8a', 'board:roof plan', 'standup', 'support:4711']
const LINES = [
  'Can everybody see the second slide?', 'Yes', 'Let’s start with the open questions from Tuesday', 'I moved the window to the north wall', 'The delivery is due at ten',
  'Could you share the numbers once more?', 'Done, see the board', 'Thank you!', 'Who takes notes today?', 'I do',
]

const server = new Server({ AO_RETENTION__RULES: 'class:*=30d,10000; *=365d' })
await server.start()
const browser = await launch()
try {
  const admin = await server.admin()
  const url = `${server.at.api}/console/`
  const laptop = await Console.open(browser, url, { viewport: { width: 1280, height: 800 } })
  await laptop.signIn(admin)
  const clients = []
  const begun = Date.now()
  let said = 0
  while (Date.now() - begun < SECONDS * 1000) {
    if (clients.length < PEOPLE.length * 2) {
      const at = clients.length
      clients.push(await Client.join(server, at < PEOPLE.length ? PEOPLE[at] : `${PEOPLE[at % PEOPLE.length]}.tablet`, ROOMS[(at * at) % ROOMS.length]))
    }
    // Busier and quieter by turns.
    const talk = 6 + Math.round(5 * Math.sin((Date.now() - begun) / 9000))
    for (let i = 0; i < talk; i++) clients[(said * 7) % clients.length].send({ s: 0, text: LINES[said++ % LINES.length] })
    await pause(400 + 300 * Math.random())
  }
  await laptop.page.screenshot({ path: '../../docs/images/console.png' })
  const phone = await Console.open(browser, url, { viewport: PHONE, colorScheme: 'dark', deviceScaleFactor: 1.5 })
  await phone.signIn(admin)
  await phone.visit('room', 'class:7b')
  await phone.row('alice').first().waitFor()
  await phone.page.screenshot({ path: '../../docs/images/console-room.png' })
  for (const client of clients) client.close()
  for (const name of ['console', 'console-room']) console.log(name, (await stat(`../../docs/images/${name}.png`)).size)
} finally {
  await browser.close()
  await server.remove()
}
