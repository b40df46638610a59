// Tokens that business servers sign with the libraries that they use: jose in Node, PyJWT in Python.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { exportJWK, exportPKCS8, generateKeyPair, SignJWT } from 'jose'
import { Party, WRONG } from '../clients/party.mjs'
import { startServer } from '../clients/server.mjs'
import { wire } from '../clients/wires.mjs'
import { python } from './python.mjs'

const SECRET = 'a secret of more than thirty-two bytes, for tests alone'
const ALGORITHMS = ['ES256', 'EdDSA', 'RS256', 'PS256']

let server, party, folder
const keys = new Map()

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'always-online-jwt-'))
  const set = []
  for (const alg of ALGORITHMS) {
    const pair = await generateKeyPair(alg, { extractable: true })
    keys.set(alg, pair)
    set.push({ ...await exportJWK(pair.publicKey), alg, kid: alg, use: 'sig' })
  }
  const file = join(folder, 'keys.json')
  await writeFile(file, JSON.stringify({ keys: set }))
  server = await startServer({ env: { AO_JWT__SECRET: SECRET, AO_JWT__KEYS: file } })
  party = new Party(server, wire(4, 'websocket only'))
})
after(async () => {
  party.close()
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

const signed = (claims, header, key) => new SignJWT(claims).setProtectedHeader(header).setIssuedAt().setExpirationTime('5m').sign(key)
const secret = new TextEncoder().encode(SECRET)

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
  const past = new SignJWT({ sub: 'd' }).setProtectedHeader({ alg: 'HS256' }).setIssuedAt(Date.now() / 1000 - 7200 | 0)
  const expired = ['authenticate', { status: 1, data: 'token expired' }]
  await isRefused('d', await past.setExpirationTime(Date.now() / 1000 - 3600 | 0).sign(secret), expired)
  // A public key as the secret of an HMAC.
  const jwk = await exportJWK(keys.get('ES256').publicKey)
  await isRefused('e', await signed({ sub: 'e' }, { alg: 'HS256', kid: 'ES256' }, new TextEncoder().encode(JSON.stringify(jwk))))
})
