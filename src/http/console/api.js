// The HTTP API v1, as this page asks it. The credentials are in this tab alone, and go as a header with each request.

/** Where the tab keeps them: gone with the tab, and out of reach of others. */
const KEPT = 'console'
/** Milliseconds that an answer may take. */
const PATIENCE = 15_000
const ROOT = new URL('../v1/', document.baseURI)

/** An answer that is none. */
export class Problem extends Error {
  /**
   * @param {number} status of HTTP; 0: there was no answer
   * @param {string} word that names its kind
   * @param {string} detail for people
   * @param {string} [code] of an error of a dialect
   */
  constructor(status, word, detail, code) {
    super(detail)
    this.status = status
    this.word = word
    this.code = code
  }
}

/** @param {Response} answer */
async function problemOf(answer) {
  const { type = '', title = answer.statusText, detail = '', code } = await answer.json().catch(() => ({}))
  // What a dialect refuses says itself what it is.
  const text = code ? detail.replace(/^ChatServiceError: /, '') : detail && detail !== title ? `${title}: ${detail}` : title
  return new Problem(answer.status, String(type).split('#').at(-1) ?? '', text || `status ${answer.status}`, code)
}

/** @param {string} text */
const base64 = text => btoa(Array.from(new TextEncoder().encode(text), byte => String.fromCharCode(byte)).join(''))

export class Api {
  #authorization
  /** What the server can do: names of methods, with their descriptions. @type {Map<string, any>} */
  methods = new Map()
  /** `admin` or `reader`. */
  role = 'reader'
  /** Called when the credentials do not count any more. */
  onrefused = () => {}
  /** Aborted when the administrator has signed out. */
  over = new AbortController().signal

  /**
   * @param {string} uid
   * @param {string} token
   */
  constructor(uid, token) {
    this.uid = uid
    this.#authorization = `Basic ${base64(`${uid}:${token}`)}`
  }

  /** Signs in. Throws a `Problem` where that fails. @param {string} uid; @param {string} token */
  static async open(uid, token) {
    const api = new Api(uid, token)
    const [{ role }, { paths }] = await Promise.all([api.call('whoami'), api.get('openapi.json')])
    api.role = role
    for (const path of Object.keys(paths)) api.methods.set(path.replace('/v1/', ''), paths[path])
    sessionStorage.setItem(KEPT, JSON.stringify({ uid, token }))
    return api
  }

  /** The credentials of this tab. @returns {{uid: string, token: string} | null} */
  static kept() {
    try {
      return JSON.parse(sessionStorage.getItem(KEPT) ?? 'null')
    } catch {
      return null
    }
  }

  static forget() {
    sessionStorage.removeItem(KEPT)
  }

  /** Whether the server has this method. @param {string} method */
  has(method) {
    return this.methods.has(method)
  }

  /** Whether this administrator may use it. @param {string} method */
  may(method) {
    return this.role === 'admin' && this.has(method)
  }

  /**
   * @param {string} method
   * @param {Record<string, unknown>} [body]
   * @param {AbortSignal} [signal]
   */
  call(method, body = {}, signal) {
    return this.#ask(method, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }, signal)
  }

  /** @param {string} path below /v1/; @param {AbortSignal} [signal] */
  get(path, signal) {
    return this.#ask(path, { method: 'GET', headers: {} }, signal)
  }

  /**
   * @param {string} path
   * @param {{method: string, headers: Record<string, string>, body?: string}} request
   * @param {AbortSignal} [signal]
   */
  async #ask(path, request, signal) {
    const late = AbortSignal.timeout(PATIENCE)
    let answer
    try {
      answer = await fetch(new URL(path, ROOT), {
        ...request,
        headers: { ...request.headers, authorization: this.#authorization },
        cache: 'no-store', credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer',
        signal: signal ? AbortSignal.any([signal, late]) : late,
      })
    } catch (error) {
      if (signal?.aborted) throw error
      throw new Problem(0, 'no-answer', late.aborted ? 'The server does not answer in time.' : 'The server does not answer.')
    }
    if (answer.ok) return answer.json()
    const problem = await problemOf(answer)
    if (answer.status === 401) this.onrefused()
    throw problem
  }
}
