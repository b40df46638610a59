// What react-wechat is tested on: servers with each kind of stores, its HTTP routes, and tokens that only who knows the secret can make.
import { createHmac, randomBytes } from 'node:crypto'
import http from 'node:http'
import { startCluster } from '../cluster.mjs'
import { startServer } from '../server.mjs'

// Generous: a debug build takes its time for argon2, and some tests have many wait for it at once.
const BOUND_MS = 120_000

/** One node on files, two on Redis and MongoDB; or those whose name contains AO_SITES ("two nodes"). `clustered`: several nodes that are one. */
export const SITES = [
  { name: 'one node', start: startServer, clustered: false },
  { name: 'two nodes', start: startCluster, clustered: true },
].filter(({ name }) => name.includes(process.env.AO_SITES ?? ''))

/** What tokens are signed with at each server that is not told something else. */
export const SECRET = randomBytes(32).toString('base64url')

/** As environment variables: keys are those of `[wechat]`, in capitals. Nobody is slowed down unless a test wants it. */
export const settings = values => Object.fromEntries(Object.entries({
  LISTEN: '127.0.0.1:0', JWT_SECRET: SECRET, RATE_LIMIT: 'off', ...values,
}).map(([key, value]) => [`AO_WECHAT__${key}`, `${value}`]))

const part = value => Buffer.from(JSON.stringify(value)).toString('base64url')
const now = () => Math.floor(Date.now() / 1000)
const HASHES = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }

/** A token as the server makes it; `more` is put into its payload, or replaces what is there. An `alg` of `none` is not signed. */
export function token(person, { secret = SECRET, alg = 'HS256', more = {} } = {}) {
  const signed = `${part({ alg, typ: 'JWT' })}.${part({ phone: person.phone, nick: person.nick, iat: now(), ...more })}`
  const signature = HASHES[alg] ? createHmac(HASHES[alg], secret).update(signed).digest('base64url') : ''
  return `${signed}.${signature}`
}

/** What is in a token, if it is signed with `secret` by HS256. */
export function opened(token, secret = SECRET) {
  const [header, payload, signature, ...rest] = token.split('.')
  const { alg } = JSON.parse(Buffer.from(header, 'base64url'))
  const wanted = createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url')
  if (alg !== 'HS256' || signature !== wanted || rest.length > 0) throw new Error(`a token that is not signed as it should be: ${token}`)
  return JSON.parse(Buffer.from(payload, 'base64url'))
}

/** Tokens that open nothing, by what is wrong with them. `person` is somebody who is registered. */
export const badTokens = person => ({
  'no token at all': 'x',
  'three parts of nothing': 'x.y.z',
  'signed with another secret': token(person, { secret: `${SECRET}x` }),
  'signed with nothing': token(person, { secret: '' }),
  'not signed': token(person, { alg: 'none' }),
  'signed by another algorithm': token(person, { alg: 'HS512' }),
  'cut off': token(person).slice(0, -1),
  'with something behind it': `${token(person)}.x`,
  'expired': token(person, { more: { exp: now() - 3600 } }),
  'with an end that is no number': token(person, { more: { exp: 'never' } }),
  'of an unknown phone': token({ phone: '00000000000', nick: 'nobody' }),
  'of no phone': token({ nick: person.nick }),
  'of a phone that is no string': token(person, { more: { phone: { $gt: '' } } }),
  'of several phones': token(person, { more: { phone: [person.phone] } }),
})

/** A body in each form that routes take: `[content type, bytes]`. */
export const FORMS = {
  json: fields => ['application/json', JSON.stringify(fields)],
  form: fields => ['application/x-www-form-urlencoded', new URLSearchParams(fields).toString()],
  multipart(fields) {
    const boundary = `----${randomBytes(12).toString('hex')}`
    const parts = Object.entries(fields).map(([name, value]) => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`)
    return [`multipart/form-data; boundary=${boundary}`, `${parts.join('')}--${boundary}--\r\n`]
  },
}

/**
 * A call of `/api/ROUTE` at a node, or of any `path` there. `fields` are its body, in one of `FORMS`; `raw` is a body that is none of them:
 * `[content type, bytes]`. `chunked`: its length is not said before.
 * @returns {Promise<{status, headers, text, body}>} body: the parsed JSON, undefined where the answer is none
 */
export function api(node, route, fields, {
  method = 'POST', path = `/api/${route}`, form = 'json', raw, token, cookie, query = {}, headers = {}, chunked = false,
} = {}) {
  const url = new URL(path, node.urls.wechat)
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value)
  const [type, payload] = raw ?? (fields ? FORMS[form](fields) : [])
  const all = { ...headers }
  if (type) all['content-type'] = type
  if (payload !== undefined && !chunked) all['content-length'] = Buffer.byteLength(payload)
  if (token) all.authorization = `Bearer ${token}`
  if (cookie) all.cookie = `jwt=${cookie}`
  return new Promise((resolve, reject) => {
    // One connection for each call: a server that was started again is never met through a kept one.
    const request = http.request(url, { method, headers: all, agent: false, timeout: BOUND_MS }, async response => {
      let text = ''
      try {
        for await (const chunk of response.setEncoding('utf8')) text += chunk
      } catch (error) { return reject(error) }
      resolve({ status: response.statusCode, headers: response.headers, text, body: parsed(text) })
    })
    request.on('timeout', () => request.destroy(new Error(`no answer to ${method} ${url.pathname} within ${BOUND_MS} ms`)))
    // Whose body is too large may be answered, and cut off, before all of it is sent.
    request.on('error', reject)
    request.end(payload)
  })
}

export function parsed(text) {
  try { return JSON.parse(text) } catch { return undefined }
}
