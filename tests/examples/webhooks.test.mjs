// Both receivers of webhooks, each run as its header says. Answers of theirs are lost on the way, strangers knock, and they are killed: each event is
// printed once, in its order.
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '../clients/http.mjs'
import { Party, STORED } from '../clients/party.mjs'
import { startServer } from '../clients/server.mjs'
import { wire } from '../clients/wires.mjs'
import { atEnd, command, Example, filled, folderFor, ROOT } from './stage.mjs'

const SECRET = `whsec_${randomBytes(32).toString('base64')}`
const RECEIVERS = {
  Node: { file: 'webhooks.mjs', program: 'node webhooks.mjs', links: { node_modules: join(ROOT, 'tests/integrate/node_modules') }, path: '' },
  Python: { file: 'webhooks.py', program: 'python webhooks.py', links: {}, path: join(ROOT, '.tools/integrate/bin:') },
}

/** The way to a receiver. Of the next `lost` answers nothing arrives; `waits` says whether a request has no answer yet. */
class Plug {
  lost = 0
  waits = false
  #server

  static async to(port) {
    const plug = new Plug()
    plug.#server = net.createServer(near => {
      const far = net.connect(port, '127.0.0.1')
      near.pipe(far)
      near.on('data', () => { plug.waits = true })
      far.on('data', answer => {
        plug.waits = false
        if (plug.lost === 0) return near.write(answer)
        plug.lost--
        near.resetAndDestroy()
      })
      for (const [one, other] of [[near, far], [far, near]]) {
        one.on('error', () => {})
        one.on('close', () => other.destroy())
      }
    }).listen(0, '127.0.0.1')
    await once(plug.#server, 'listening')
    plug.url = `http://127.0.0.1:${plug.#server.address().port}/`
    return plug
  }

  close() { this.#server.close() }
}

for (const [language, { file, program, links, path }] of Object.entries(RECEIVERS)) {
  test(`${language}: who sent a request is verified, and what came before is dropped`, async t => {
    const line = filled(command(file, program), { 'whsec_…': SECRET })
    const folder = folderFor(t, file, links)
    const start = port => new Example(t, line, { cwd: folder, env: { PORT: port, PATH: path + process.env.PATH } })
    const receiver = start('0')
    const [, url, port] = await receiver.matches(/^listening on (http:\/\/127\.0\.0\.1:(\d+))$/)
    const plug = await Plug.to(port)
    atEnd(t, () => plug.close())
    const env = { AO_WEBHOOK__URL: plug.url, AO_WEBHOOK__SECRET: SECRET, AO_WEBHOOK__EVENTS: 'room.*,member.*,message.*' }
    const server = await startServer({ env })
    const party = new Party(server, wire(4, 'websocket only'))
    atEnd(t, async () => { party.close(); await server.stop() })
    const alice = await party.user('alice'), room = `the plans ${randomUUID()}`
    const next = async example => JSON.parse((await example.matches(/^(\{.*\})$/))[1])
    const says = async text => assert.deepEqual(await alice.ask('msg', { text }), STORED)
    const prints = async (example, text) => {
      const event = await next(example)
      assert.deepEqual([event.room, event.type, event.uid, event.message?.text], [room, 'message.inserted', alice.uid, text])
    }

    await party.enter(alice, room)
    for (const type of ['room.occupied', 'member.joined']) assert.equal((await next(receiver)).type, type)
    await says('one')
    await prints(receiver, 'one')
    plug.lost = 2
    await says('two')
    await says('three')
    await prints(receiver, 'two')
    await prints(receiver, 'three')
    // It came again and again, and was dropped.
    await eventually('lost answers', () => plug.lost, lost => lost === 0)

    const forged = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(Date.now() / 1000 | 0), 'webhook-signature': `v1,${randomBytes(32).toString('base64')}` }
    for (const headers of [forged, {}]) {
      const answer = await fetch(url, { method: 'POST', headers, body: '{"type":"room.events","data":{"roomId":"forged","events":[{"type":"room.cleared"}]}}' })
      assert.equal(answer.status, 401, await answer.text())
    }
    await says('four')
    await prints(receiver, 'four')
    // It prints before it answers, and what was not answered comes again.
    await eventually('the answer', () => plug.waits, waits => !waits)
    await receiver.kill()
    receiver.printedNothingElse()

    await says('five')
    const again = start(port)
    await again.matches(/^listening on /)
    await prints(again, 'five')
    await says('six')
    await prints(again, 'six')
    again.printedNothingElse()
  })
}
