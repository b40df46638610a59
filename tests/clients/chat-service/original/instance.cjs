// What the suite of npm's chat-service calls, over a server of ours: `new ChatService(options, hooks)` starts one, functions that it is given as hooks are
// called by a business server, and its methods are calls of the server API. It is found by the port that the suite gives it (`client.cjs`).
const { createHmac } = require('node:crypto')
const { EventEmitter } = require('node:events')
const { readFileSync } = require('node:fs')
const http = require('node:http')
const ChatServiceError = require('chat-service/src/ChatServiceError')

/** The server under test and its calls are modules; they are there before the first instance. */
let stage
const ready = Promise.all([import('../../server.mjs'), import('../stage.mjs')]).then(modules => { stage = Object.assign({}, ...modules) })

const SECRET = `whsec_${Buffer.alloc(24, 7).toString('base64')}`
const EVENTS = ['storeConsistencyFailure', 'transportConsistencyFailure', 'lockTimeExceeded']
const METHODS = {
  addUser: ['userName', 'state'], deleteUser: ['userName'], hasUser: ['userName'], userHasInList: ['userName', 'listName', 'item'],
  hasDirectAccess: ['recipient', 'sender'], addRoom: ['roomName', 'state'], deleteRoom: ['roomName'], hasRoom: ['roomName'],
  roomHasInList: ['roomName', 'listName', 'item'], hasRoomAccess: ['roomName', 'userName'], changeRoomOwner: ['roomName', 'owner'],
  changeRoomHistoryMaxSize: ['roomName', 'size'], changeAccessListsUpdates: ['roomName', 'mode'], changeUserlistUpdates: ['roomName', 'mode'],
  userStateSync: ['userName'], roomStateSync: ['roomName'], instanceRecovery: ['id'], getInstanceHeartbeat: ['id'], getInstanceSockets: ['id'],
}
/** Options of the original, and what they are called here. */
const SETTINGS = {
  closeTimeout: 'CLOSE_TIMEOUT', heartbeatRate: 'HEARTBEAT_RATE', heartbeatTimeout: 'HEARTBEAT_TIMEOUT', busAckTimeout: 'BUS_ACK_TIMEOUT',
  directListSizeLimit: 'DIRECT_LIST_SIZE_LIMIT', roomListSizeLimit: 'ROOM_LIST_SIZE_LIMIT', enableAccessListsUpdates: 'ENABLE_ACCESS_LISTS_UPDATES',
  enableDirectMessages: 'ENABLE_DIRECT_MESSAGES', enableRoomsManagement: 'ENABLE_ROOMS_MANAGEMENT', enableUserlistUpdates: 'ENABLE_USERLIST_UPDATES',
  historyMaxGetMessages: 'HISTORY_MAX_GET_MESSAGES', historyMaxSize: 'HISTORY_MAX_SIZE', useRawErrorObjects: 'USE_RAW_ERROR_OBJECTS',
}
const TIMES = new Set(['closeTimeout', 'heartbeatRate', 'heartbeatTimeout', 'busAckTimeout'])

let instances = 0
/** The newest instance of each port. */
const byPort = new Map()

class ChatService extends EventEmitter {
  constructor(options = {}, hooks = {}) {
    super()
    for (const key of ['state', 'transport']) if (typeof options[key] === 'object') throw new Error(`Invalid ${key}: ${options[key]}`)
    Object.assign(this, { options, hooks, instanceUID: `instance-${process.pid}-${instances++}`, handshakes: new Map(), calls: new Set(), ChatServiceError })
    const unknown = { isConnected: false, query: {}, headers: {} }
    this.transport = { getHandshakeData: id => this.handshakes.get(id) ?? unknown }
    this.state = { getInstanceSockets: id => bluebird(this.call('getInstanceSockets', { id })) }
    this.validator = { checkArguments: (...args) => this.checkArguments(...args) }
    this.clusterBus = new EventEmitter()
    const heard = this.clusterBus.emit.bind(this.clusterBus)
    this.hear = heard
    this.clusterBus.emit = (event, ...args) => { this.call('clusterBusEmit', { event, args }).catch(() => {}) }
    // Errors are for those who wait.
    this.started = this.#start()
    this.started.catch(() => {})
  }

  async #start() {
    byPort.set(`${this.options.port}`, this)
    await ready
    this.business = http.createServer((request, response) => this.#asked(request, response))
    await new Promise(done => this.business.listen(0, '127.0.0.1', done))
    const named = Object.keys(this.hooks).filter(name => this.hooks[name])
    const middleware = this.options.transportOptions?.middleware ? ['middleware'] : []
    const settings = {
      INSTANCE_UID: this.instanceUID, HOOK_URL: `http://127.0.0.1:${this.business.address().port}/`, HOOK_SECRET: SECRET,
      HOOKS: [...named, ...middleware, ...EVENTS, 'clusterBus'].join(','),
    }
    for (const [option, setting] of Object.entries(SETTINGS)) {
      if (this.options[option] !== undefined) settings[setting] = TIMES.has(option) ? `${this.options[option]}ms` : this.options[option]
    }
    const { lockTTL } = this.options.stateOptions ?? {}
    if (lockTTL) settings.LOCK_TTL = `${lockTTL}ms`
    const stores = this.options.state === 'redis' ? { AO_STORE__MESSAGES: process.env.SUITE_REDIS_URL } : {}
    try {
      this.server = await stage.startServer({ title: 'the original’s suite', env: { ...stage.settings(settings), ...stores } })
    } catch (error) {
      // It has ended, as it does when onStart has failed.
      process.nextTick(() => this.emit('closed', error))
      throw error
    }
    this.emit('ready')
  }

  close(callback) {
    return bluebird(this.closing ??= this.#close()).asCallback(callback)
  }

  async #close() {
    try {
      await this.started.catch(() => {})
      const process = this.server?.process
      await this.server?.stop()
      if (process?.exitCode) throw new Error(`it ended with exit code ${process.exitCode}`)
      this.emit('closed', null)
    } finally {
      this.business?.closeAllConnections()
      this.business?.close()
    }
  }

  /** A call of the server API; it waits until there is one. onStart may call it before all else is ready. */
  call(name, body) {
    const call = this.#call(name, body)
    this.calls.add(call)
    const over = () => { this.calls.delete(call) }
    call.then(over, over)
    return call
  }

  async #call(name, body) {
    await ready
    while (!this.server?.api && !this.early) {
      await Promise.race([this.started, new Promise(again => setTimeout(again, 5))])
      if (this.server?.gone) throw new Error('it has ended')
    }
    const defined = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
    const answer = await stage.api(this.server ?? this.early, name, defined)
    if (answer.status === 200) return answer.body.result
    const { name: type, code, args = [], detail } = answer.body ?? {}
    throw type === 'ChatServiceError' ? new ChatServiceError(code, ...args) : new Error(detail ?? answer.text)
  }

  disconnectUserSockets(userName) {
    this.call('disconnectUserSockets', { userName }).catch(() => {})
  }

  checkArguments(command, ...args) {
    const callback = typeof args.at(-1) === 'function' ? args.pop() : undefined
    return bluebird(this.call('checkArguments', { command, args })).asCallback(callback)
  }

  execUserCommand(context, command, ...args) {
    const callback = typeof args.at(-1) === 'function' ? args.pop() : undefined
    const who = typeof context === 'object' ? context : typeof context === 'boolean' ? { bypassPermissions: context } : { userName: context }
    const results = this.call('execUserCommand', { command, args, ...who }).then(({ results }) => results.map(revived))
    return bluebird(results).asCallback(callback, { spread: true })
  }

  /** A hook is called: what its function says is the answer. */
  async #asked(request, response) {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = request.headers
    const key = Buffer.from(SECRET.slice('whsec_'.length), 'base64')
    const expected = `v1,${createHmac('sha256', key).update(`${id}.${at}.${text}`).digest('base64')}`
    const answer = signature === expected ? await this.#answer(JSON.parse(text)) : undefined
    response.writeHead(answer ? 200 : 401, { 'content-type': 'application/json' }).end(answer && JSON.stringify(answer))
  }

  async #answer({ hook, instance, ...body }) {
    if (body.handshake) this.handshakes.set(body.id, { isConnected: true, ...body.handshake })
    if (hook === 'clusterBus') return this.hear(body.event, ...body.args) && {} || {}
    if (EVENTS.includes(hook)) {
      this.emit(hook, new Error(body.error), body.info)
      return {}
    }
    try {
      switch (hook) {
        case 'middleware': {
          await called(this.options.transportOptions.middleware, { id: body.id, handshake: body.handshake })
          return {}
        }
        case 'onConnect': {
          const [userName, authData] = await called(this.hooks.onConnect, this, body.id)
          return { userName, authData }
        }
        case 'onStart': {
          await this.#apiIsUp()
          await called(this.hooks.onStart, this)
          return {}
        }
        case 'onClose': return await called(this.hooks.onClose, this, body.error) && {}
        case 'onJoin': case 'onLeave': case 'onDisconnect': return await called(this.hooks[hook], this, body) && {}
        case 'roomMessagesChecker': case 'directMessagesChecker': return await called(this.hooks[hook], body.message) && {}
        default: {
          const results = body.results?.map(revived) ?? body.results
          const error = body.error && new ChatServiceError(body.error.code, ...body.error.args)
          const info = { ...body, server: this, args: body.args.map(revived), results, error }
          const given = await called(this.hooks[hook], info)
          return { results: given, args: info.args, restArgs: info.restArgs, data: info.data }
        }
      }
    } catch (error) {
      return { error: error instanceof ChatServiceError ? { code: error.code, args: error.args } : hook === 'middleware' ? error.message : String(error) }
    }
  }

  /** While onStart is asked, the server is not ready; its addresses and its administrator are told before. */
  async #apiIsUp() {
    for (const server of stage.servers()) if (server.env.AO_CHAT_SERVICE__INSTANCE_UID === this.instanceUID) this.early = server
    while (!this.early?.api || !this.early.admin.token) await new Promise(again => setTimeout(again, 5))
  }
}

for (const [name, fields] of Object.entries(METHODS)) {
  ChatService.prototype[name] = function (...args) {
    const callback = typeof args.at(-1) === 'function' ? args.pop() : undefined
    const body = Object.fromEntries(fields.map((field, i) => [field, args[i] ?? (field === 'owner' ? null : undefined)]))
    return bluebird(this.call(name, body)).asCallback(callback)
  }
}
ChatService.ChatServiceError = ChatServiceError

/** Where the instance of this port listens, once it does. */
ChatService.at = async port => {
  const instance = byPort.get(port)
  await instance.started
  return instance.server.url
}

/**
 * What was called before a client connects has been answered, and whoever waited for that has gone on: in the original's own process that takes no time, and
 * its tests begin to listen to their clients in such an answer. Calls that wait for a client themselves are not waited for.
 */
ChatService.isCalm = async port => {
  const { calls } = byPort.get(port)
  const end = Date.now() + 3000
  while (calls.size > 0 && Date.now() < end) {
    await Promise.race([Promise.allSettled(calls), new Promise(again => setTimeout(again, 500))])
    await new Promise(again => setTimeout(again, 1))
  }
}

/** Calls a function that takes a callback, or returns a promise. @returns what it is given behind an error */
function called(fn, ...args) {
  return new Promise((resolve, reject) => {
    const promised = fn(...args, (error, ...results) => error ? reject(error) : resolve(results))
    promised?.then?.(result => resolve(result === undefined ? [] : Array.isArray(result) ? result : [result]), reject)
  })
}

/** Bytes as the API writes them are bytes. */
function revived(value) {
  if (Array.isArray(value)) return value.map(revived)
  if (value?.type === 'Buffer' && Array.isArray(value.data)) return Buffer.from(value.data)
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, revived(inner)]))
  return value
}

/** What the suite waits with. */
const Bluebird = require('bluebird')
const bluebird = promise => Bluebird.resolve(promise)

module.exports = ChatService
