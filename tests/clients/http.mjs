// HTTP calls to the server's own routes. One connection per call: a restarted server must never be met through a kept one.
import http from 'node:http'
import https from 'node:https'

const BOUND_MS = 30_000

/**
 * Sends one request. `json` or `form` is the body; `query` is appended to the address.
 * @returns {Promise<{code: number, text: string, body: any}>} body: the parsed JSON, undefined where the answer is none
 */
export function call(method, address, { query = {}, json, form } = {}) {
  const url = new URL(address)
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value)
  const [type, payload] =
    json !== undefined ? ['application/json', JSON.stringify(json)]
      : form !== undefined ? ['application/x-www-form-urlencoded', new URLSearchParams(form).toString()]
        : [undefined, '']
  const headers = type ? { 'content-type': type, 'content-length': Buffer.byteLength(payload) } : {}
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? https : http).request(url, { method, headers, agent: false, timeout: BOUND_MS }, async response => {
      let text = ''
      try {
        for await (const chunk of response.setEncoding('utf8')) text += chunk
      } catch (error) { return reject(error) }
      resolve({ code: response.statusCode, text, body: parsed(text) })
    })
    request.on('timeout', () => request.destroy(new Error(`no answer to ${method} ${url.pathname} within ${BOUND_MS} ms`)))
    request.on('error', reject)
    request.end(payload)
  })
}

/** Asks again until the answer `fits`, within `patience` ms. @returns that answer */
export async function eventually(what, ask, fits, patience = BOUND_MS) {
  const end = Date.now() + patience
  for (;;) {
    const answer = await ask()
    if (fits(answer)) return answer
    if (Date.now() > end) throw new Error(`${what}: not within ${patience} ms; the last answer was ${JSON.stringify(answer)}`)
    await new Promise(again => setTimeout(again, 50))
  }
}

function parsed(text) {
  try { return JSON.parse(text) } catch { return undefined }
}
