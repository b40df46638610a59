// Clients that poll, that upgrade and that are WebSockets from the beginning, through the proxy of scripts/cluster before two nodes.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { generate, spread, thenEnd } from './stage.mjs'

const CLUSTER = fileURLToPath(new URL('../../scripts/cluster', import.meta.url))

export async function polling(report, { quick, seconds: given }) {
  const duration = given ?? (quick ? 5 : 30)
  const folder = await mkdtemp(join(tmpdir(), 'always-online-polling-'))
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('AO_'))
  try {
    for (const proxy of ['haproxy', 'nginx']) {
      const env = {
        ...Object.fromEntries(inherited), AO_CLUSTER_DIR: join(folder, proxy), AO_CLUSTER_PORT: '0', AO_CLUSTER_PROXY: proxy,
        AO_BIN: process.env.STRESS_SERVER, AO_AUTH__IGNORE: 'true', AO_AUTH__RATE_LIMIT: 'off',
      }
      const cluster = action => promisify(execFile)(CLUSTER, [action], { env, maxBuffer: 1 << 24 })
      await thenEnd(() => cluster('stop'), async () => {
        const url = /^websocket (http:\S+)/m.exec((await cluster('start')).stdout)?.[1]
        await through(report, proxy, url, duration)
        for (const node of ['one', 'two']) {
          const log = await readFile(join(folder, proxy, node, 'log'), 'utf8')
          // A new database of accounts has no administrator, and this check needs none.
          const trouble = log.split('\n').filter(line => /\b(WARN|ERROR)\b/.test(line) && !line.includes('there is no administrator'))
          report.must(`${proxy}: node ${node} logs no trouble`, trouble.length === 0, trouble.slice(0, 3).join('; '))
        }
      })
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function through(report, proxy, url, duration) {
  const crowd = async (way, rooms) => {
    const args = [
      '--run-id', way, '--way', way, '--conn-rate', '100', 'fanout', '--rooms', rooms, '--members', 20, '--senders', 2, '--rate', 10 * rooms, '--store', 0, '--warmup', 0,
      '--duration', duration,
    ].map(String)
    return { way, members: rooms * 20, ...await generate(url, args, duration + 90).report }
  }
  const crowds = await Promise.all([crowd('polling', 3), crowd('upgrade', 3), crowd('websocket', 3)])
  for (const { way, members, result, ...said } of crowds) {
    report.faultless(`${proxy}, ${members} clients by ${way}: nothing lost, no session unknown`, said)
    const { counts } = result
    report.must(`${proxy}, ${way}: all delivered`, counts.expected > 0 && counts.delivered === counts.expected, `${counts.delivered} of ${counts.expected}; ${spread(result.latency_ms)}`)
  }
}
