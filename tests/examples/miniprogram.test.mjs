// Bob and alice's phone, on which examples/miniprogram.js runs in a stand-in for WeChat.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import vm from 'node:vm'
import { miniProgram } from '../clients/foreign/wx.mjs'
import { eventually } from '../clients/http.mjs'
import { startServer } from '../clients/server.mjs'
import { atEnd, businessServer, command, frailServer, ROOT, scene, source } from './stage.mjs'

const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => `${from + i}`)

let server
before(async () => { server = await startServer() })
after(() => server.stop())

/** The page on a phone: the file as it is, but for the address in it. */
class Phone {
  constructor(library, business) {
    const phone = this
    const { io } = miniProgram(library)
    const world = vm.createContext({
      console, setTimeout, clearTimeout,
      wx: { request },
      Page(definition) {
        const setData = changes => { for (const [path, value] of Object.entries(changes)) phone.set(path, structuredClone(value)) }
        phone.page = { ...definition, data: structuredClone(definition.data), setData }
      },
    })
    const code = source('examples/miniprogram.js')
    assert(code.includes("const BUSINESS_URL = 'http://127.0.0.1:8080'"))
    vm.compileFunction(code.replace('http://127.0.0.1:8080', business), ['require'], { filename: 'room.js', parsingContext: world })(name => {
      assert.equal(name, 'weapp.socket.io')
      return io
    })
  }

  /** `a` or `a[0]`, which is all that the page needs. */
  set(path, value) {
    const [, name, index] = /^(\w+)(?:\[(\d+)\])?$/.exec(path)
    if (index === undefined) this.page.data[name] = value
    else this.page.data[name][index] = value
  }

  get texts() { return this.page.data.messages.map(({ sender, text }) => `${sender}: ${text}`) }

  async shows(...texts) { assert.deepEqual(await eventually('the messages', () => this.texts, list => list.length >= texts.length, 60_000), texts) }
  says(state) { return eventually(`the state ${state}`, () => this.page.data.state, text => text === state, 60_000) }
  logIn(user = 'alice', password = 'wonderland') { this.page.login({ detail: { value: { user, password } } }) }
  write(text) { this.page.send({ detail: { value: { text } } }) }
}

/** wx.request as far as the page uses it: JSON there and back, what is not JSON as text, all answers later and by callbacks. */
function request({ url, method = 'GET', data, success, fail, complete }) {
  fetch(url, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(data) })
    .then(async answer => ({ statusCode: answer.status, data: json(await answer.text()) }))
    .then(success, error => fail({ errMsg: `request:fail ${error.message}` }))
    .finally(complete)
}

function json(text) {
  try { return JSON.parse(text) } catch { return text }
}

for (const library of ['weapp.socket.io-2', 'weapp.socket.io-3']) {
  /** A scene, and alice's phone in it with the page open. It comes to the server through the cable. */
  async function meet(t) {
    const stage = await scene(t, server, { uid: 'alice' })
    const business = await businessServer(t, server, { EVENTS_URL: stage.cable.url })
    const phone = new Phone(library, business.url)
    atEnd(t, () => phone.page.onUnload())
    phone.page.onLoad({ room: stage.room })
    phone.page.onShow()
    return { ...stage, business, phone }
  }

  test(`${library}: history, by pages, then what is said now, both ways`, async t => {
    const { phone, bob, write, said, hears } = await meet(t)
    await write(...numbers(0, 450))
    bob.tell('msg', { storage: 1, msgId: 'topic', text: 'gardens' })
    phone.logIn()
    await phone.shows(...said(...numbers(0, 450)))
    await phone.says('online')
    phone.write('hello é日🎉')
    await hears('hello é日🎉')
    bob.tell('msg', { text: 'no id' })
    await write('bye')
    await phone.shows(...said(...numbers(0, 450)), 'alice: hello é日🎉', ...said('no id', 'bye'))
  })

  test(`${library}: the network fails, the server restarts, the user leaves and comes back`, async t => {
    const { phone, bob, cable, write, returns, said, hears } = await meet(t)
    bob.tell('msg', { storage: 1, msgId: 'topic', text: 'gardens' }) // it counts in the `offset` of pages, not in the position
    await write('first')
    phone.logIn()
    await phone.shows(...said('first'))
    await phone.says('online')
    cable.cut()
    await eventually('the loss', () => phone.page.data.state, text => /connection lost|no connection/.test(text))
    phone.write('without a network')
    await write('missed')
    cable.mend()
    await hears('without a network')
    await phone.shows(...said('first'), 'alice: without a network', ...said('missed'))

    await server.restart()
    await returns(bob)
    await write('after')
    await phone.shows(...said('first'), 'alice: without a network', ...said('missed', 'after'))

    phone.page.onHide()
    await bob.upTo('remote_disconnect', who => who.uid === 'alice')
    await write('in the background')
    phone.write('written there')
    phone.page.onShow()
    await hears('without a network', 'written there')
    await phone.shows(...said('first'), 'alice: without a network', ...said('missed', 'after'), 'alice: written there', ...said('in the background'))
  })

  test(`${library}: the room is cleared`, async t => {
    const { phone, room, write, said } = await meet(t)
    phone.logIn()
    await write('old', 'older')
    await phone.shows(...said('old', 'older'))
    phone.page.onHide()
    assert.equal((await server.ask('POST', '/admin/system/clear_room_msgs', { json: { roomId: room } })).meta.status, 0)
    await write('new')
    phone.page.onShow()
    await eventually('the new one only', () => phone.texts, texts => texts.join() === said('new').join())
  })

  test(`${library}: a second tap is none, and what a proxy says is told plainly`, async t => {
    const stage = await scene(t, server, { uid: 'alice' })
    let tickets = 0
    const proxy = http.createServer((request, response) => {
      if (request.url !== '/login') return
      tickets++
      if (tickets === 1) return response.writeHead(502, { 'content-type': 'text/html' }).end('<html>Bad Gateway')
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ url: stage.cable.url, uid: stage.uid, token: stage.token }))
    }).listen(0, '127.0.0.1')
    atEnd(t, () => proxy.close())
    await once(proxy, 'listening')
    const phone = new Phone(library, `http://127.0.0.1:${proxy.address().port}`)
    atEnd(t, () => phone.page.onUnload())
    phone.page.onLoad({ room: stage.room })
    phone.logIn()
    await phone.says('logging in does not work at the moment (HTTP 502)')
    phone.logIn()
    phone.logIn()
    await phone.says('online')
    phone.logIn()
    await stage.write('hello')
    await phone.shows(...stage.said('hello'))
    assert.equal(tickets, 2)
  })

  test(`${library}: a store that does not answer is waited for`, async t => {
    const { server, store } = await frailServer(t)
    const { cable, room, uid, token, write, said } = await scene(t, server, { uid: 'alice' })
    const phone = new Phone(library, 'http://127.0.0.1:1')
    atEnd(t, () => phone.page.onUnload())
    phone.page.onLoad({ room })
    store.cut()
    phone.page.enter({ url: cable.url, uid, token })
    await phone.says('server error, trying again')
    store.mend()
    await phone.says('online')
    await write('there it is')
    await phone.shows(...said('there it is'))
  })

  test(`${library}: who is not wanted stays away and says why`, async t => {
    const { phone, party, business } = await meet(t)
    phone.logIn('alice', 'wrong')
    await phone.says('user or password is wrong')
    phone.logIn()
    await phone.says('online')
    const token = (await server.user('refresh_token', { json: { uid: 'alice' } })).data.token
    await party.user('alice elsewhere', { uid: 'alice', token })
    await phone.says('signed in elsewhere')
    assert.equal(phone.page.data.inside, false)
    phone.page.onHide()
    phone.page.onShow()
    assert.equal(phone.page.data.state, 'signed in elsewhere', 'it does not throw the other one out')

    phone.page.enter({ url: server.url, uid: 'alice', token: 'wrong' })
    await phone.says('auth failed, uid or token is wrong')
    await business.kill()
    phone.logIn()
    await phone.says('the business server does not answer (request:fail fetch failed)')
  })
}

test('it is a version of the header', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'tests/clients/node_modules/weapp.socket.io-3/package.json')))
  assert.match(command('miniprogram.js', 'npm install'), new RegExp(`npm install weapp\\.socket\\.io@${version},`))
})
