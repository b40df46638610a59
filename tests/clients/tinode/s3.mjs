// A server that speaks as much of S3 as is asked of one here: PUT, GET with a range, and DELETE, of one bucket by its path, for who has signed the URL.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import http from 'node:http'

const REGION = 'us-east-1', BUCKET = 'tinode', KEY = 'AKIATESTS', SECRET = 'only for tests'
const SIGNATURE = 'X-Amz-Signature'
const hmac = (key, text) => createHmac('sha256', key).update(text).digest()
const encoded = text => encodeURIComponent(text).replace(/[!'()*]/g, letter => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`)
/** In the order of their bytes. */
const ordered = (a, b) => a < b ? -1 : Number(a > b)

/** Signature version 4, in the query: the answer's code where something is wrong with it. */
function refusal({ method, headers: { host } }, { pathname, searchParams: query }) {
  const [date, lifetime] = [query.get('X-Amz-Date') ?? '', Number(query.get('X-Amz-Expires'))]
  const scope = [date.slice(0, 8), REGION, 's3', 'aws4_request']
  const asked = [query.get('X-Amz-Algorithm'), query.get('X-Amz-Credential'), query.get('X-Amz-SignedHeaders')]
  if (`${asked}` !== `${['AWS4-HMAC-SHA256', [KEY, ...scope].join('/'), 'host']}`) return 'InvalidAccessKeyId'
  const since = Date.now() - Date.parse(date.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'))
  if (!(lifetime > 0 && lifetime <= 604_800 && since > -900_000 && since <= lifetime * 1000)) return 'AccessDenied'
  const fields = [...query].filter(([name]) => name !== SIGNATURE).map(pair => pair.map(encoded).join('=')).sort(ordered)
  const request = [method, pathname, fields.join('&'), `host:${host}`, '', 'host', 'UNSIGNED-PAYLOAD'].join('\n')
  const text = ['AWS4-HMAC-SHA256', date, scope.join('/'), createHash('sha256').update(request).digest('hex')].join('\n')
  const [expected, given] = [hmac(scope.reduce(hmac, `AWS4${SECRET}`), text), Buffer.from(query.get(SIGNATURE) ?? '', 'hex')]
  return given.length === expected.length && timingSafeEqual(given, expected) ? undefined : 'SignatureDoesNotMatch'
}

/** What a range leaves: `[status, headers, bytes]`. */
function ranged(bytes, range) {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? []
  if (from === undefined) return [200, {}, bytes]
  if (Number(from) >= bytes.length) return [416, { 'content-range': `bytes */${bytes.length}` }, '']
  const last = Math.min(to ? Number(to) : Infinity, bytes.length - 1)
  return [206, { 'content-range': `bytes ${from}-${last}/${bytes.length}` }, bytes.subarray(Number(from), last + 1)]
}

/** @returns {Promise<{settings, files, refused}>} files: the bucket, by path; refused: codes of requests that were. It ends with this process. */
export async function startS3() {
  const files = new Map(), refused = []
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, `http://${request.headers.host}`)
    const parts = []
    for await (const part of request) parts.push(part)
    const answer = (status, headers = {}, body = '') => response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers }).end(body)
    const refuse = (status, code) => answer(status, { 'content-type': 'application/xml' }, `<Error><Code>${code}</Code></Error>`)
    const wrong = refusal(request, url) ?? (url.pathname.startsWith(`/${BUCKET}/`) ? undefined : 'NoSuchBucket')
    if (wrong) {
      refused.push(wrong)
      return refuse(wrong === 'NoSuchBucket' ? 404 : 403, wrong)
    }
    switch (request.method) {
      case 'PUT':
        files.set(url.pathname, { bytes: Buffer.concat(parts), type: request.headers['content-type'] })
        return answer(200)
      case 'GET': {
        const file = files.get(url.pathname)
        if (!file) return refuse(404, 'NoSuchKey')
        const [status, headers, bytes] = ranged(file.bytes, request.headers.range)
        return answer(status, { 'content-type': file.type, ...headers }, bytes)
      }
      case 'DELETE':
        files.delete(url.pathname)
        return answer(204)
      default:
        return refuse(405, 'MethodNotAllowed')
    }
  })
  await new Promise((listening, failed) => server.on('error', failed).listen(0, '127.0.0.1', listening))
  server.unref()
  const endpoint = `http://127.0.0.1:${server.address().port}`
  return { settings: { S3_ENDPOINT: endpoint, S3_REGION: REGION, S3_BUCKET: BUCKET, S3_KEY: KEY, S3_SECRET: SECRET }, files, refused }
}
