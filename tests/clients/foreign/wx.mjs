// A mini-program on one person's phone: its own JavaScript world, in which the network is `wx` and nothing else.
// `wx` does what WeChat documents of wx.connectSocket and SocketTask: all answers come by callbacks and later, errors too; at most five
// sockets at a time; data is text or an ArrayBuffer. Before base library 1.7.0 there was one socket and no task: `tasks: false`.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import vm from 'node:vm'
import WebSocket from 'ws'

const require = createRequire(import.meta.url)

const MOST_SOCKETS = 5
/** Thrown by both versions of weapp.socket.io at each attempt to connect that fails, after they have arranged for the next. */
const KNOWN = 'WebSocket was closed before the connection was established'
const REFERER = 'https://servicewechat.com/wx0123456789abcdef/devtools/page-frame.html' // its form is fixed, a mini-program can't set it

/** What WeChat gives each file of a mini-program as parameters, and leaves undefined behind the first three. */
const WRAPPER = ['require', 'module', 'exports', 'window', 'document', 'frames', 'self', 'location', 'navigator', 'localStorage', 'history',
  'Caches', 'screen', 'alert', 'confirm', 'prompt', 'fetch', 'XMLHttpRequest', 'WebSocket', 'webkit', 'WeixinJSCore', 'Reporter', 'print',
  'WeixinJSBridge']

/**
 * Starts a mini-program. @returns `{io, bytes}`: what the file of `library`, a package on npm, exports there, and a function that makes an
 * ArrayBuffer there, which is not one of here
 */
export function miniProgram(library, options) {
  const file = require.resolve(library)
  const world = vm.createContext({ wx: weixin(options), console, setTimeout, clearTimeout, setInterval, clearInterval },
    { codeGeneration: { strings: false, wasm: false } })
  const module = { exports: {} }
  vm.compileFunction(readFileSync(file, 'utf8'), WRAPPER, { filename: file, parsingContext: world })(undefined, module, module.exports)
  const { Uint8Array: Bytes } = vm.runInContext('globalThis', world)
  return { io: module.exports, bytes: list => Bytes.from(list).buffer }
}

/** The `wx` of one mini-program. `tasks`: whether it knows SocketTask. */
function weixin({ tasks = true } = {}) {
  const open = new Set()
  /** For the functions that name no socket. */
  let latest
  const heard = { Open: () => {}, Message: () => {}, Error: () => {}, Close: () => {} }

  const wx = {
    connectSocket(options) {
      if (!tasks) latest?.close()
      const most = tasks && open.size >= MOST_SOCKETS
      const refused = most ? 'exceed max websocket connect count' : /^wss?:\/\//.test(options.url) ? undefined : 'invalid url'
      answer(options, 'connectSocket', refused)
      if (refused) return tasks ? deadTask(refused) : undefined
      const task = new SocketTask(options, () => open.delete(task))
      open.add(task)
      latest = task
      for (const kind of Object.keys(heard)) task[`on${kind}`](result => { if (task === latest) heard[kind](result) })
      return tasks ? task : undefined
    },
    sendSocketMessage: options => latest ? latest.send(options) : answer(options, 'sendSocketMessage', 'WebSocket is not connected'),
    closeSocket: options => latest ? latest.close(options) : answer(options, 'closeSocket', 'WebSocket is not connected'),
  }
  for (const kind of Object.keys(heard)) wx[`onSocket${kind}`] = callback => { heard[kind] = callback }
  return wx
}

/** `success` or `fail`, and `complete`, as all functions of wx have them: never before the call has returned. */
function answer({ success, fail, complete } = {}, api, trouble) {
  const result = { errMsg: trouble ? `${api}:fail ${trouble}` : `${api}:ok` }
  setTimeout(() => {
    if (trouble) fail?.(result)
    else success?.(result)
    complete?.(result)
  })
}

class SocketTask {
  #socket
  #listeners = { Open: [], Message: [], Error: [], Close: [] }
  CONNECTING = 0
  OPEN = 1
  CLOSING = 2
  CLOSED = 3

  constructor({ url, header, protocols = [], tcpNoDelay = false, perMessageDeflate = false, timeout = 60_000 }, gone) {
    const socket = new WebSocket(url, protocols, { headers: { ...header, referer: REFERER }, perMessageDeflate, handshakeTimeout: timeout })
    this.#socket = socket
    let answered = {}
    socket.on('upgrade', response => { answered = response.headers; response.socket.setNoDelay(tcpNoDelay) })
    socket.on('open', () => this.#tell('Open', { header: answered }))
    socket.on('message', (data, binary) => this.#tell('Message', { data: binary ? new Uint8Array(data).buffer : data.toString() }))
    socket.on('error', error => this.#tell('Error', { errMsg: error.message }))
    socket.on('close', (code, reason) => { gone(); this.#tell('Close', { code, reason: reason.toString() }) })
  }

  get readyState() { return this.#socket.readyState }

  onOpen(callback) { this.#listeners.Open.push(callback) }
  onMessage(callback) { this.#listeners.Message.push(callback) }
  onError(callback) { this.#listeners.Error.push(callback) }
  onClose(callback) { this.#listeners.Close.push(callback) }

  send({ data, ...callbacks }) {
    const binary = Object.prototype.toString.call(data) === '[object ArrayBuffer]' // of the mini-program's world
    const good = typeof data === 'string' || binary
    const trouble = !good ? 'data is neither text nor an ArrayBuffer' : this.readyState === this.OPEN ? undefined : 'WebSocket is not connected'
    if (!trouble) this.#socket.send(binary ? new Uint8Array(data) : data)
    answer(callbacks, 'sendSocketMessage', trouble)
  }

  close({ code = 1000, reason = '', ...callbacks } = {}) {
    const good = code === 1000 || (code >= 3000 && code <= 4999)
    const trouble = !good ? 'invalid code' : Buffer.byteLength(reason) > 123 ? 'reason is too long' : undefined
    if (!trouble) this.#socket.close(code, reason)
    answer(callbacks, 'closeSocket', trouble)
  }

  #tell(kind, result) {
    for (const callback of this.#listeners[kind]) {
      try {
        callback(result)
      } catch (error) {
        // WeChat logs what a program throws in a callback, and goes on. Any other error fails the test.
        if (error.message !== KNOWN) throw error
      }
    }
  }
}

/** The task of a socket that was refused: it never opens, and says why as all else does. */
function deadTask(trouble) {
  const fails = api => options => answer(options, api, trouble)
  return {
    readyState: 3, onOpen() {}, onMessage() {}, onClose() {},
    onError: callback => { setTimeout(() => callback({ errMsg: `connectSocket:fail ${trouble}` })) },
    send: fails('sendSocketMessage'), close: fails('closeSocket'),
  }
}
