// Tokens that business servers sign with the libraries that they use: jose in Node, PyJWT in Python. On files, and on Redis with MongoDB and two nodes.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { exportJWK, exportPKCS8, exportSPKI, generateKeyPair, importPKCS8, SignJWT, UnsecuredJWT } from 'jose'
import { startCluster } from '../clients/cluster.mjs'
import { Party, WRONG } from '../clients/party.mjs'
import { startServer } from '../clients/server.mjs'
import { wire } from '../clients/wires.mjs'
import { python } from './python.mjs'

const SECRET = 'a secret of more than thirty-two bytes, for tests alone'
const ALGORITHMS = ['ES256', 'EdDSA', 'RS256', 'PS256']
const SITES = { 'on files': startServer, 'on two nodes': startCluster }
const PATIENCE = 60_000

const keys = new Map()
const secret = new TextEncoder().encode(SECRET)
const now = () => Date.now() / 1000 | 0
const signed = (claims, header, key) => new SignJWT(claims).setProtectedHeader(header).setIssuedAt().setExpirationTime('5m').sign(key)
let folder, set

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'always-online-jwt-'))
  set = []
  for (const alg of ALGORITHMS) {
    const pair = await generateKeyPair(alg, { extractable: true })
    keys.set(alg, pair)
    set.push(await published(pair, alg))
  }
})
after(() => rm(folder, { recursive: true, force: true }))

const published = async ({ publicKey }, alg, kid = alg) => ({ ...await exportJWK(publicKey), alg, kid, use: 'sig' })

for (const [site, start] of Object.entries(SITES)) {
  describe(site, () => {
    let server, party
    before(async () => {
      const file = join(folder, 'keys.json')
      await writeFile(file, JSON.stringify({ keys: set }))
      server = await start({ env: { AO_JWT__SECRET: SECRET, AO_JWT__KEYS: file } })
      party = new Party(server, wire(4, 'websocket only'))
    })
    after(async () => {
      party.close()
      await server.stop()
    })

    async function isRefused(uid, token, why = WRONG) {
      const guest = await party.guest(`a guest ${uid}`, { uid, token })
      guest.tell('authenticate', { uid, token })
      await guest.isRefused(why)
    }

    test('what jose signs is accepted, by a secret and by every kind of key', async () => {
      for (const alg of ['HS256', 'HS384', 'HS512']) {
        const uid = `jose ${alg}`
        await party.user(uid, { uid, token: await signed({ sub: uid }, { alg }, secret) })
      }
      for (const [alg, { privateKey }] of keys) {
        const uid = `jose ${alg}`
        await party.user(uid, { uid, token: await signed({ sub: uid }, { alg, kid: alg }, privateKey) })
      }
    })

    test('what PyJWT signs is accepted', async () => {
      const program = `
import json, sys, time, jwt
job = json.load(open(sys.argv[1]))
now = int(time.time())
for alg, key in job["keys"].items():
    claims = {"sub": "PyJWT " + alg, "iat": now, "exp": now + 300}
    print(alg, jwt.encode(claims, key, algorithm=alg, headers={"kid": alg} if alg != "HS256" else None))
`
      const all = { HS256: SECRET }
      for (const [alg, { privateKey }] of keys) all[alg] = await exportPKCS8(privateKey)
      const file = join(folder, 'job.json')
      await writeFile(file, JSON.stringify({ keys: all }))
      const { code, text } = await python('python', ['-c', program, file])
      assert.equal(code, 0, text)
      const lines = text.trim().split('\n')
      assert.equal(lines.length, ALGORITHMS.length + 1, text)
      for (const line of lines) {
        const [alg, token] = line.split(' ')
        const uid = `PyJWT ${alg}`
        await party.user(uid, { uid, token })
      }
    })

    test('what is signed by others, for others, or is over, is refused', async () => {
      const other = new TextEncoder().encode('another secret of more than thirty-two bytes')
      await isRefused('a', await signed({ sub: 'a' }, { alg: 'HS256' }, other))
      await isRefused('b', await signed({ sub: 'a' }, { alg: 'HS256' }, secret))
      const { privateKey } = await generateKeyPair('ES256')
      await isRefused('c', await signed({ sub: 'c' }, { alg: 'ES256', kid: 'ES256' }, privateKey))
      const past = new SignJWT({ sub: 'd' }).setProtectedHeader({ alg: 'HS256' }).setIssuedAt(now() - 7200)
      const expired = ['authenticate', { status: 1, data: 'token expired' }]
      await isRefused('d', await past.setExpirationTime(now() - 3600).sign(secret), expired)
    })

    test('a token does not choose how it is verified', async () => {
      await isRefused('none', new UnsecuredJWT({ sub: 'none' }).setIssuedAt().setExpirationTime('5m').encode())
      // A public key as the secret of an HMAC, in each of its forms.
      const { publicKey } = keys.get('RS256')
      const forms = [await exportSPKI(publicKey), (await exportSPKI(publicKey)).trim(), JSON.stringify(await exportJWK(publicKey)), (await exportJWK(publicKey)).n]
      for (const [number, form] of forms.entries()) {
        const uid = `form ${number}`
        await isRefused(uid, await signed({ sub: uid }, { alg: 'HS256', kid: 'RS256' }, new TextEncoder().encode(form)))
      }
      // A key that is there, for another algorithm than its own.
      await isRefused('PS256', await signed({ sub: 'PS256' }, { alg: 'PS256', kid: 'RS256' }, await asPss(keys.get('RS256').privateKey)))
    })

    test('an expiry is a whole number, and clocks may be a little apart', async () => {
      const withTimes = claims => new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(secret)
      await isRefused('e', await withTimes({ sub: 'e', iat: now() }))
      await isRefused('f', await withTimes({ sub: 'f', iat: now(), exp: now() + 300.5 }))
      await isRefused('g', await withTimes({ sub: 'g', iat: now() + 60, exp: now() + 300 }))
      await isRefused('h', await withTimes({ sub: 'h', nbf: now() + 60, exp: now() + 300 }))
      await isRefused('i', await withTimes({ sub: 'i', iat: now() - 300, exp: now() - 60 }), ['authenticate', { status: 1, data: 'token expired' }])
      for (const [uid, times] of [['j', { iat: now() + 20, exp: now() + 300 }], ['k', { iat: now() - 300, exp: now() - 15 }]]) {
        await party.user(uid, { uid, token: await withTimes({ sub: uid, ...times }) })
      }
    })
  })
}

/** The same RSA key, for RSA-PSS. */
async function asPss(key) { return importPKCS8(await exportPKCS8(key), 'PS256') }

test('a set of keys may be down at first, its keys may be replaced, and a flood of names fetches nothing', async t => {
  const [first, second] = [await generateKeyPair('ES256'), await generateKeyPair('ES256')]
  let answers = false, fetches = 0, shown = []
  const identity = createServer((_, response) => {
    fetches++
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: shown }))
  })
  identity.on('connection', socket => { if (!answers) socket.resetAndDestroy() })
  identity.listen(0, '127.0.0.1')
  await once(identity, 'listening')
  t.after(() => identity.close())
  const env = { AO_JWT__JWKS_URL: `http://127.0.0.1:${identity.address().port}/jwks`, AO_AUTH__RATE_LIMIT: 'off' }
  const sites = await Promise.all(Object.values(SITES).map(start => start({ env })))
  const parties = sites.map(site => new Party(site, wire(4, 'websocket only')))
  t.after(async () => {
    for (const party of parties) party.close()
    await Promise.all(sites.map(site => site.stop()))
  })
  const nodes = parties.flatMap(party => party.server.nodes.map(node => ({ party, node })))

  /** What a node answers to a new user with a token by this key. */
  async function answer({ party, node }, { privateKey }, kid) {
    const uid = randomUUID()
    const token = await signed({ sub: uid }, { alg: 'ES256', kid }, privateKey)
    const guest = await party.guest(uid, { uid, token, node })
    guest.tell('authenticate', { uid, token })
    const said = await guest.next('authenticate')
    guest.close()
    return said.status === 0 ? 'accepted' : said.data
  }
  const everywhere = async (expected, key, kid) => {
    const end = Date.now() + PATIENCE
    await Promise.all(nodes.map(async node => {
      for (let said; (said = await answer(node, key, kid)) !== expected;) {
        assert(Date.now() < end, `${said} instead of ${expected}`)
        await new Promise(again => setTimeout(again, 250))
      }
    }))
  }

  await everywhere('server error', first, 'first')
  shown = [await published(first, 'ES256', 'first')]
  answers = true
  await everywhere('accepted', first, 'first')
  shown = [await published(second, 'ES256', 'second')]
  await everywhere('accepted', second, 'second')
  await everywhere(WRONG[1].data, first, 'first')
  // Now it is out again: what is known goes on.
  answers = false
  identity.closeAllConnections()
  await everywhere('accepted', second, 'second')
  answers = true
  const before = fetches
  await Promise.all(nodes.flatMap(node => Array.from({ length: 30 }, () => answer(node, first, randomUUID()))))
  assert(fetches - before <= 2 * nodes.length, `${fetches - before} fetches for ${30 * nodes.length} unknown names`)
  await everywhere('accepted', second, 'second')
})
