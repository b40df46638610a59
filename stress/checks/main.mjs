// The checks of stress/operate, which says how they are called.
import { appendFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { consoleCheck } from './console.mjs'
import { drops, full, memory, storm } from './load.mjs'
import { polling } from './polling.mjs'
import { revoked } from './revoked.mjs'
import { soak } from './soak.mjs'
import { endAll, Report } from './stage.mjs'

/** In the order in which they run. */
const CHECKS = {
  storm: { run: storm, about: 'all clients are cut off at once and come back at once, by resets and by the death of the server' },
  full: { run: full, about: 'the limit of connections is reached, and freed' },
  drops: { run: drops, about: 'the network fails for two seconds again and again' },
  memory: { run: memory, about: 'the memory is at its limit' },
  polling: { run: polling, about: 'a third of the clients poll, through a proxy before two nodes' },
  console: { run: consoleCheck, about: 'what the console asks, with as many sockets as there may be' },
  revoked: { run: revoked, about: 'sockets of revoked tokens, on two nodes', services: true },
  soak: { run: soak, about: 'half an hour of everything: memory, logs, counters' },
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    list: { type: 'boolean' }, quick: { type: 'boolean', default: false }, sockets: { type: 'string' }, seconds: { type: 'string' },
    minutes: { type: 'string' }, json: { type: 'string' }, 'needs-services': { type: 'boolean' },
  },
})

/** A whole number above zero, or undefined where none was given. */
function number(name) {
  const given = values[name]
  if (given === undefined) return undefined
  if (!/^[1-9]\d{0,6}$/.test(given)) throw new Error(`--${name} ${given}: a whole number above zero`)
  return Number(given)
}

const unknown = positionals.filter(name => !CHECKS[name])
if (unknown.length > 0) {
  console.error(`stress/operate: there is no check ${unknown.join(', ')}; --list names them`)
  process.exit(2)
}
const names = Object.keys(CHECKS).filter(name => positionals.length === 0 || positionals.includes(name))
if (values['needs-services']) process.exit(!values.list && names.some(name => CHECKS[name].services) ? 0 : 1)
if (values.list) {
  for (const [name, { about }] of Object.entries(CHECKS)) console.log(`${name.padEnd(8)} ${about}`)
  process.exit(0)
}

const files = Number(process.env.STRESS_FILES) || 1024
const options = {
  quick: values.quick,
  // 95 of 100 files may be connections; a few are left to those who look.
  sockets: number('sockets') ?? (values.quick ? 500 : Math.min(18_900, Math.floor(files * 0.95) - 100)),
  seconds: number('seconds'),
  minutes: number('minutes'),
}

let ending = false
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    ending = true
    await endAll()
    process.exit(130)
  })
}

let missed = 0
for (const name of names) {
  const report = new Report(name, CHECKS[name].about, values.quick)
  try {
    await CHECKS[name].run(report, options)
  } catch (error) {
    report.must('it came to its end', false, error.stack ?? String(error))
  }
  await endAll()
  // Whoever ends all exits, too: no other check begins.
  if (ending) await new Promise(() => {})
  missed += report.missed
  if (values.json) appendFileSync(values.json, `${JSON.stringify(report)}\n`)
}
console.log(missed === 0 ? '\nall as it must be' : `\n${missed} missed`)
process.exit(missed === 0 ? 0 : 1)
