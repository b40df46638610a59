// What administrators ask of react-wechat by the HTTP API, /v1/wechat/METHOD.
import assert from 'node:assert/strict'
import http from 'node:http'
import { eventually } from '../http.mjs'
import { parsed } from './stage.mjs'

const BOUND_MS = 60_000

/** A call of the API at a node, by default with the first administrator's credentials. `text` is a body that is not made of `body`. */
export function call(node, path, body = {}, { verb = 'POST', admin = node.admin, text = JSON.stringify(body) } = {}) {
  const credentials = admin && { authorization: `Basic ${Buffer.from(`${admin.uid}:${admin.token}`).toString('base64')}` }
  const payload = verb === 'GET' ? '' : text
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload), ...credentials }
  return new Promise((resolve, reject) => {
    const request = http.request(`${node.api}/v1/${path}`, { method: verb, headers, agent: false, timeout: BOUND_MS }, async response => {
      let answer = ''
      try {
        for await (const chunk of response.setEncoding('utf8')) answer += chunk
      } catch (error) { return reject(error) }
      resolve({ status: response.statusCode, type: response.headers['content-type'], text: answer, body: parsed(answer) })
    })
    request.on('timeout', () => request.destroy(new Error(`no answer to ${path} within ${BOUND_MS} ms`)))
    request.on('error', reject)
    request.end(payload)
  })
}

/** A method that succeeds, at any node. @returns its result */
export async function does(people, method, body, node = people.server.nodeForCall()) {
  const { status, text, body: answer } = await call(node, `wechat/${method}`, body)
  assert.equal(status, 200, `${method} ${JSON.stringify(body)} answered ${text}`)
  assert.deepEqual(Object.keys(answer), ['result'])
  return answer.result
}

/** A method that fails with this error. */
export async function fails(people, method, body, expected, code, ...args) {
  const { status, type, text, body: answer } = await call(people.server.nodeForCall(), `wechat/${method}`, body)
  assert.equal(status, expected, text)
  assert.match(type, /^application\/problem\+json\b/)
  assert.deepEqual([answer.name, answer.code, answer.args], ['WechatError', code, args], text)
}

/** Looks until a user's state has these fields. */
export const becomes = (people, { name, phone }, expected, patience) => eventually(
  `the state of ${name}`, () => does(people, 'userState', { phone }),
  state => Object.entries(expected).every(([field, value]) => typeof value === 'function' ? value(state[field]) : JSON.stringify(state[field]) === JSON.stringify(value)),
  patience)
