// What TLS costs the server: memory of a joined connection, CPU of connecting, and CPU of a message to a room, each with and without it, in one run.
//
//   cargo build --profile ship && (cd tests/clients && npm ci) && node stress/tls.mjs [CONNECTIONS] [MEMBERS] [MESSAGES]
//
// Needs openssl for the certificate (on an elliptic curve). Everything is on the loopback, on free ports, and ends by itself within a few minutes.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const WebSocket = createRequire(new URL('../tests/clients/node_modules/engine.io-client/package.json', import.meta.url))('ws')
const BINARY = process.env.AO_BIN ?? fileURLToPath(new URL('../target/ship/always-online', import.meta.url))
const [connections, members, messages] = [2000, 100, 2000].map((usual, i) => Number(process.argv[2 + i] ?? usual))
const folder = mkdtempSync(join(tmpdir(), 'always-online-tls-'))
const [certificate, key] = ['certificate.pem', 'key.pem'].map(name => join(folder, name))
execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
  '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', certificate], { stdio: 'ignore' })
const ca = readFileSync(certificate)

async function serve(tls) {
  const files = tls ? { AO_WEBSOCKET__TLS_CERTIFICATE: certificate, AO_WEBSOCKET__TLS_KEY: key } : {}
  const any = '127.0.0.1:0'
  const child = spawn(BINARY, [], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: {
      PATH: process.env.PATH, AO_WEBSOCKET__LISTEN: any, AO_API__LISTEN: any, AO_DEMO__LISTEN: any, AO_STORE__PATH: join(folder, `${tls}`),
      AO_RUNTIME__WORKERS: '1', AO_AUTH__IGNORE: 'true', AO_AUTH__RATE_LIMIT: 'off', AO_AUTH__TIMEOUT: '60s', AO_AUTH__JOIN_TIMEOUT: '60s', ...files,
    },
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /^websocket https?:\/\/[^:]+:(\d+)/.exec(line)?.[1]
    if (port) return { process: child, url: `${tls ? 'wss' : 'ws'}://localhost:${port}/socket.io/?EIO=4&transport=websocket` }
  }
  throw new Error('the server did not start')
}

/** Of the process: resident KB, and CPU in ms. */
function spent(pid) {
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1])
  const [user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13).map(Number)
  return { rss, cpu: (user + system) * 10 }
}

/** A client that is in a room. `count()`: how many messages it got. */
function enter(url, uid, room) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { ca, perMessageDeflate: false, localAddress: `127.0.0.${1 + uid % 200}`, family: 4 })
    let got = 0
    socket.on('error', reject)
    socket.on('message', data => {
      const packet = data.toString()
      if (packet[0] === '0') socket.send('40')
      else if (packet === '2') socket.send('3')
      else if (packet.startsWith('40')) socket.send(`42["authenticate",{"uid":"u${uid}","token":"t"}]`)
      else if (packet.startsWith('42["authenticate"')) socket.send(`42["join",{"roomId":"${room}"}]`)
      else if (packet.startsWith('42["join"')) resolve({ socket, count: () => got })
      else if (packet.startsWith('42["msg"')) got++
    })
  })
}

async function measure(tls) {
  const server = await serve(tls)
  try {
    const { pid } = server.process
    const room = await Promise.all(Array.from({ length: members }, (_, i) => enter(server.url, i, 'busy')))
    const begun = spent(pid)
    for (let at = 0; at < connections; at += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, i) => enter(server.url, members + at + i, `quiet-${at}`)))
    }
    await new Promise(rest => setTimeout(rest, 2000))
    const joined = spent(pid)
    for (let i = 0; i < messages; i++) {
      room[0].socket.send(`42["msg",{"s":2,"1":${i},"data":"${'x'.repeat(160)}"}]`)
      const behind = () => room.slice(1).some(member => member.count() < i - 8)
      while (behind()) await new Promise(setImmediate)
    }
    while (room.slice(1).some(member => member.count() < messages)) await new Promise(setImmediate)
    const told = spent(pid)
    return {
      'KB per joined connection': (joined.rss - begun.rss) / connections,
      'ms of CPU to connect and join': (joined.cpu - begun.cpu) / connections,
      'µs of CPU per delivery': (told.cpu - joined.cpu) * 1000 / (messages * (members - 1)),
    }
  } finally {
    server.process.kill()
    await once(server.process, 'exit')
  }
}

try {
  const [plain, tls] = [await measure(false), await measure(true)]
  for (const what of Object.keys(plain)) {
    console.log(`${what}: plain ${plain[what].toFixed(2)}, TLS ${tls[what].toFixed(2)}, ratio ${(tls[what] / plain[what]).toFixed(2)}`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
