// What the tinode dialect is tested on: servers with each kind of stores, keys and tokens that only who knows the secrets can make, and its HTTP side.
import { createHmac, createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startCluster } from '../cluster.mjs'
import { eventually } from '../http.mjs'
import { startServer } from '../server.mjs'

const BOUND_MS = 120_000 // generous: a debug build takes its time for argon2

/** A node has its secrets, and so knows which keys and tokens are good. */
export const ready = node => eventually('its secrets', () => request(node, '/v0/file/s/x', { key: KEY }), ({ status }) => status !== 503)

/** Starts nodes, and waits for their secrets. */
const open = start => async options => {
  const server = await start(options)
  await Promise.all(server.nodes.map(ready))
  return server
}

/** One node on files, two on Redis and MongoDB; or those whose name contains AO_SITES ("two nodes"). `clustered`: several nodes that are one. */
export const SITES = [
  { name: 'one node', start: open(startServer), clustered: false },
  { name: 'two nodes', start: open(startCluster), clustered: true },
].filter(({ name }) => name.includes(process.env.AO_SITES ?? ''))

/** What API keys are signed with, and tokens, at each server that is not told something else. */
export const SALT = randomBytes(32)
export const TOKEN_KEY = randomBytes(32).toString('base64url')

/** Uploaded files, for all nodes: it goes with this process. */
export const FILES = mkdtempSync(join(tmpdir(), 'always-online-tinode-'))
process.on('exit', () => rmSync(FILES, { recursive: true, force: true }))

/** As environment variables: keys are those of `[tinode]`, in capitals. Nobody is slowed down unless a test wants it; `undefined` leaves a key out. */
export const settings = values => Object.fromEntries(Object.entries({
  LISTEN: '127.0.0.1:0', GRPC_LISTEN: '127.0.0.1:0', API_KEY_SALT: SALT.toString('base64'), TOKEN_KEY, FILES, RATE_LIMIT: 'off', ...values,
}).filter(([, value]) => value !== undefined).map(([key, value]) => [`AO_TINODE__${key}`, `${value}`]))

/** An API key as a Tinode server's own program makes it: 24 bytes in URL-base64. */
export function apiKey({ version = 1, app = 1, seq = 1, root = 0, salt = SALT } = {}) {
  const signed = Buffer.alloc(8)
  signed.writeUInt8(version, 0)
  signed.writeUInt32LE(app, 1)
  signed.writeUInt16LE(seq, 5)
  signed.writeUInt8(root, 7)
  return Buffer.concat([signed, createHmac('md5', salt).update(signed).digest()]).toString('base64url')
}

export const KEY = apiKey()

/** Keys that open nothing, by what is wrong with them. */
export const badKeys = () => ({
  'no key': '',
  'no base64': '!!!!',
  'signed with another salt': apiKey({ salt: randomBytes(32) }),
  'signed with nothing': apiKey({ salt: '' }),
  'of another version': apiKey({ version: 2 }),
  'cut off': apiKey().slice(0, -4),
  'with something behind it': `${apiKey()}AAAA`,
  'with another sequence than was signed': Buffer.concat([Buffer.from([1, 1, 0, 0, 0, 2, 0, 0]), Buffer.from(KEY, 'base64url').subarray(8)]).toString('base64url'),
  'only zeros': Buffer.alloc(24).toString('base64url'),
})

/** A token's bytes with one bit of each of its parts turned, and those of no token's length. `token` is base64. */
export const badTokens = token => {
  const bytes = Buffer.from(token, 'base64')
  const turned = at => {
    const copy = Buffer.from(bytes)
    copy[at] ^= 1
    return copy.toString('base64')
  }
  return {
    forged: [[0, 8, 12, 14, 16, 18, 49].map(turned), randomBytes(50).toString('base64'), Buffer.alloc(50).toString('base64')].flat(),
    malformed: ['', bytes.subarray(0, 49).toString('base64'), Buffer.concat([bytes, bytes]).toString('base64'), Buffer.from('x').toString('base64')],
  }
}

/** The digest that an uploaded file can be told by. */
export const digest = bytes => createHash('sha256').update(bytes).digest('hex')

const url = (node, path) => new URL(path, node.urls.tinode)

/** Where a WebSocket goes. */
export const socketAddress = (node, key = KEY) => `${url(node, '/v0/channels').href.replace(/^http/, 'ws')}${key && `?apikey=${encodeURIComponent(key)}`}`

/**
 * One request. `body`: text or bytes. Each has a connection of its own: a server that was started again is never met through a kept one.
 * @returns {Promise<{status, headers, bytes, text, body}>} body: the parsed JSON, undefined where the answer is none
 */
export function request(node, path, { method = 'GET', key = KEY, query = {}, headers = {}, body, signal } = {}) {
  const to = url(node, path)
  for (const [name, value] of Object.entries(query)) to.searchParams.set(name, value)
  const all = { ...headers, ...(key && { 'x-tinode-apikey': key }) }
  if (body !== undefined) all['content-length'] = Buffer.byteLength(body)
  return new Promise((resolve, reject) => {
    const asked = http.request(to, { method, headers: all, agent: false, timeout: BOUND_MS, signal }, async response => {
      const parts = []
      try {
        for await (const part of response) parts.push(part)
      } catch (error) { return reject(error) }
      const bytes = Buffer.concat(parts)
      resolve({ status: response.statusCode, headers: response.headers, bytes, text: bytes.toString(), body: parsed(bytes.toString()) })
    })
    asked.on('timeout', () => asked.destroy(new Error(`no answer to ${method} ${path} within ${BOUND_MS} ms`)))
    asked.on('upgrade', ({ statusCode, headers }, socket) => {
      socket.destroy()
      resolve({ status: statusCode, headers, bytes: Buffer.alloc(0), text: '', body: undefined })
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

/** An upload: multipart, with the fields that clients send. */
export function upload(node, token, bytes, { type = 'application/octet-stream', name = 'a file', id = 'x', ...more } = {}) {
  const boundary = `----${randomBytes(12).toString('hex')}`
  const body = Buffer.concat([
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="id"\r\n\r\n${id}\r\n`
      + `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: ${type}\r\n\r\n`),
    Buffer.from(bytes), Buffer.from(`\r\n--${boundary}--\r\n`),
  ])
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}`, ...(token && { 'x-tinode-auth': `Token ${token}` }) }
  return request(node, '/v0/file/u/', { method: 'POST', headers, body, ...more })
}

/** A file that was uploaded. */
export const download = (node, token, path, more = {}) => request(node, path, { headers: token ? { 'x-tinode-auth': `Token ${token}` } : {}, ...more })

/** A method of the HTTP API, with the administrator's credentials. */
export function api(node, method, fields = {}) {
  const { uid, token } = node.admin
  const headers = { 'content-type': 'application/json', authorization: `Basic ${Buffer.from(`${uid}:${token}`).toString('base64')}` }
  return request({ urls: { tinode: node.api } }, `/v1/tinode/${method}`, { method: 'POST', key: '', headers, body: JSON.stringify(fields) })
}

export function parsed(text) {
  try { return JSON.parse(text) } catch { return undefined }
}
