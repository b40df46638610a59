// What the console asks of the API, with as many sockets as there may be.
import http from 'node:http'
import { JWT, emptied, eventually, generate, metric, seconds, server, v1 } from './stage.mjs'

const BOUND_MS = 100
const TIMES = 200

/** The requests of the console's pages (src/http/console). The names are those that the generator gives with `--run-id console`. */
async function requests(one, agent) {
  const { next: rooms } = await v1(one, 'rooms', { limit: 50 }, agent)
  const { next: users } = await v1(one, 'users', { limit: 50 }, agent)
  return {
    'overview (stat)': ['stat'],
    'rooms': ['rooms', { limit: 50 }],
    'rooms, next page': ['rooms', { limit: 50, ...(rooms && { cursor: rooms }) }],
    'rooms, search': ['rooms', { limit: 50, prefix: 'rconsolex1' }],
    'rooms, search for nothing': ['rooms', { limit: 50, prefix: 'none' }],
    'users': ['users', { limit: 50 }],
    'users, next page': ['users', { limit: 50, ...(users && { cursor: users }) }],
    'users, search': ['users', { limit: 50, prefix: 'uconsolec1' }],
    'users, search for nothing': ['users', { limit: 50, prefix: 'none' }],
    'members of a room': ['members', { roomId: 'rconsolex3', limit: 100 }],
    'messages of a room': ['history', { roomId: 'rconsolex3', limit: 50, reverse: true }],
    'retention of a room': ['retention', { roomId: 'rconsolex3' }],
    'whereabouts of a user': ['whereabouts', { uid: 'uconsolec61' }],
    'audit': ['audit', { limit: 50 }],
    'who asks (whoami)': ['whoami', {}],
  }
}

export async function consoleCheck(report, { sockets, quick }) {
  const one = await server()
  const limit = 600
  const { child, report: crowd } = generate(one, [
    ...JWT, '--run-id', 'console', '--conn-rate', '2000', '--conn-concurrency', '64', '--timeout', '60', '--sources', '16',
    'connect', '--n', String(sockets), '--room-size', '20', '--hold', String(limit),
  ], limit)
  let early
  crowd.catch(error => { early = error })
  const there = () => metric(one, 'always_online_members')
  await eventually(async () => early || await there() >= sockets, 120)
  if (early) throw early
  report.must('all are there, signed in and in rooms', await there() === sockets, `${await there()} of ${sockets}`)

  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const asked = await requests(one, agent)
  const took = Object.fromEntries(Object.keys(asked).map(name => [name, []]))
  for (let i = 0; i < (quick ? 20 : TIMES); i++) {
    for (const [name, [method, body]] of Object.entries(asked)) {
      const begin = performance.now()
      await v1(one, method, body, agent)
      took[name].push(performance.now() - begin)
    }
  }
  agent.destroy()
  for (const [name, all] of Object.entries(took)) {
    all.sort((a, b) => a - b)
    const at = share => seconds(all[Math.min(all.length - 1, Math.floor(all.length * share))])
    report.within(`${name} within ${BOUND_MS} ms`, all.at(-1) < BOUND_MS, `p50 ${at(0.5)}, p99 ${at(0.99)}, at most ${at(1)} of ${all.length}`)
  }
  report.must('nobody was lost meanwhile', await there() === sockets, `${await there()} of ${sockets}`)
  child.kill('SIGTERM')
  await crowd.catch(() => {}) // it was told to end
  await emptied(report, one)
  await one.stop()
}
