// A gRPC client of the tinode dialect, made from our own tinode.proto: one session, with a log of what it is told.
import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { brief } from '../client.mjs'

const BOUND_MS = 120_000
export const PROTO = fileURLToPath(new URL('../../../proto/tinode.proto', import.meta.url))
export const { pbx } = grpc.loadPackageDefinition(loadSync(PROTO, { keepCase: true, longs: Number, enums: String, defaults: false, oneofs: true }))
export { grpc }

/** Bytes as the protocol has them: JSON. And back. */
export const json = value => Buffer.from(JSON.stringify(value))
export const value = bytes => bytes?.length ? JSON.parse(bytes.toString()) : undefined
/** A map of such bytes. */
export const values = map => Object.fromEntries(Object.entries(map ?? {}).map(([name, bytes]) => [name, value(bytes)]))

/** Where a node listens for gRPC. */
export const address = node => new URL(node.urls.tinode_grpc).host

export class GrpcClient {
  log = []
  told = []
  cursor = 0
  /** How it ended: a status of gRPC. */
  status = undefined
  #ids = 0
  #waiting = new Set()

  constructor(node, name) {
    this.name = name
    this.stub = new pbx.Node(address(node), grpc.credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 })
    this.call = this.stub.MessageLoop()
    this.call.on('data', message => {
      this.log.push(message)
      if (!message.ctrl?.id && !message.meta?.id) this.told.push(message)
      this.#wake()
    })
    this.call.on('error', () => {}) // it is the status, too
    this.call.on('status', status => { this.status ??= status; this.#wake() })
  }

  get isOpen() { return this.status === undefined }

  send(message) { this.call.write(message) }

  /** @returns the first answer with the id of this request: `ctrl` or `meta` */
  async ask(verb, fields = {}, extra) {
    const id = `${++this.#ids}`
    this.send({ [verb]: { id, ...fields }, ...(extra && { extra }) })
    const answer = () => this.log.find(({ ctrl, meta }) => ctrl?.id === id || meta?.id === id)
    await this.until(`the answer to ${verb}`, () => answer() || !this.isOpen)
    assert.ok(answer(), `${this.name} has ended with ${this.status?.code} ${this.status?.details}`)
    return answer().ctrl ?? answer().meta
  }

  async does(verb, fields, code = 200, extra) {
    const ctrl = await this.ask(verb, fields, extra)
    assert.equal(ctrl.code, code, `${verb} ${brief(fields)}: ${ctrl.code} ${ctrl.text}`)
    return { ...ctrl, params: values(ctrl.params) }
  }

  /** Signs in by a token, and is told who it is. */
  async signs({ token, id }) {
    await this.does('hi', { user_agent: 'Tests/1.0', ver: '0.25.3', lang: 'en' }, 201)
    const { params } = await this.does('login', { scheme: 'token', secret: Buffer.from(token, 'base64') })
    assert.equal(params.user, id)
    this.id = id
    return this
  }

  /** The next that comes by itself. */
  async hears() {
    await this.until('something', () => this.told.length > this.cursor || !this.isOpen)
    assert.ok(this.told.length > this.cursor, `${this.name} has ended with ${this.status?.code} ${this.status?.details}`)
    return this.told[this.cursor++]
  }

  async ends() {
    await this.until('its end', () => !this.isOpen)
    return this.status
  }

  async until(what, ready) {
    if (ready()) return
    await new Promise((resolve, reject) => {
      const check = () => { if (ready()) { done(); resolve() } }
      const done = () => { clearTimeout(timer); this.#waiting.delete(check) }
      const timer = setTimeout(() => { done(); reject(new Error(`${this.name} waited ${BOUND_MS} ms for ${what}; it was told ${brief(this.log.at(-1))}`)) }, BOUND_MS)
      this.#waiting.add(check)
    })
  }

  cut() {
    this.call.cancel()
    this.stub.close()
  }

  report() { return [`${this.name} by gRPC (${this.isOpen ? 'open' : this.status.code}) saw:`, ...this.log.map(message => `  ${brief(message)}`)].join('\n') }

  #wake() { for (const check of [...this.#waiting]) check() }
}
