// The five steps of "Replay" in ../shared/spec/ios.md, packet by packet.
import assert from 'node:assert/strict'
import { eventually } from '../http.mjs'
import { sendAll } from '../messages.mjs'
import { STORED } from '../party.mjs'
import { Member, WAYS, story } from './member.mjs'
import { Violation } from './packets.mjs'
import { Session, bounded } from './session.mjs'
import { App, CLIENTS, json } from './swift.mjs'
import { Refused, WebSocket } from './websocket.mjs'
import { DRESSES } from './wires.mjs'

const NEW = CLIENTS.filter(client => client.connects)
const OLD = CLIENTS.filter(client => !client.connects)

/** Declares the replay's tests. `scene` gets a party; `hasty` is the same on a server that gives people 2 s to connect and to sign in. */
export function replay(scene, hasty) {
  /** `play(party, app)`, for each dress. */
  const dressed = (declare, client, title, play) => {
    for (const [dress, configured] of Object.entries(DRESSES)) declare(`${client.name}, ${dress}: ${title}`, async party => {
      await play(party, more => new App(client, party.server.nodeForClient().url, { ...configured, ...more }))
    })
  }

  for (const client of OLD) dressed(scene, client, 'pings in a POST, is upgraded while it polls, and speaks without CONNECT', async (party, app) => {
    const session = await Session.begin(app())
    const member = await Member.of(party, session)
    await session.send('2')
    assert.deepEqual([await session.packet(), await session.packet()].map(({ text }) => text).sort(), ['3', '40'])
    await session.upgrade()
    await session.send('2')
    assert.equal((await session.packet()).text, '3')
    await member.signIn()
    await member.enter()
    await session.send('40/,') // connect() on an open engine
    await member.reads(await member.talks())
    await member.leaves()
    assert.equal(await session.ended(() => false), 1000)
  })

  for (const client of NEW) {
    for (const [when, before] of [['while it polls', true], ['only after the upgrade', false]]) {
      dressed(scene, client, `CONNECTs ${when}, answers pings, speaks`, async (party, app) => {
        const session = await Session.begin(app())
        const payload = { t: 'a/b' }
        assert.equal(json(payload), String.raw`{"t":"a\/b"}`)
        if (before) await session.connect(payload)
        await session.upgrade()
        if (!before) await session.connect(payload)
        let ping
        do ping = await session.packet(); while (ping.type !== 'ping') // one may have been on its way while it polled
        await session.send('3')
        await session.send('420["é😀"]') // an event that is none here: no answer
        const member = await Member.of(party, session)
        await member.signIn()
        await session.send(String.raw`421["msg","a\/b"]`)
        assert.deepEqual(await session.acked(1), [{ status: 1, data: 'not in a room' }])
        await member.enter()
        await session.send(String.raw`427["msg",{"1":"é😀","s":0,"data":"a\/b"}]`)
        assert.deepEqual(await session.acked(7), [STORED])
        await member.witness.sees(['msg', { 1: 'é😀', s: 0, data: 'a/b', 2: member.uid }])
        await member.leaves()
        assert.equal(await session.ended(() => false), 1000)
      })
    }
  }

  for (const client of CLIENTS) {
    dressed(scene, client, 'forceWebsockets: the open packet comes in the first frame', async (party, app) => {
      const session = await WAYS.websocket(app())
      if (client.protocol === 3) {
        await session.send('2')
        const heard = [await session.packet(), await session.packet()].map(({ text }) => text)
        assert.deepEqual(heard, ['40', '3'])
      } else {
        assert.equal((await session.packet()).type, 'ping')
        await session.send('3')
      }
      await story(party, session)
      assert.equal(await session.ended(() => false), 1000)
    })

    dressed(scene, client, 'forcePolling: never upgrades', async (party, app) => {
      const session = await WAYS.polling(app())
      await story(party, session)
      // Its last packets were fetched: the session is closed soon.
      await eventually('the end of the session', () => session.polling.ask('GET', session.sid), ({ code }) => code === 400)
    })

    dressed(scene, client, 'many packets in one POST and in one answer, with surrogate pairs at every end', async (party, app) => {
      const session = await WAYS.polling(app())
      const member = await Member.of(party, session)
      await member.signIn()
      await member.enter()
      const texts = ['😀', 'é😀', '😀/', '/a/é😀', '日', '\u{10ffff}', 'x'.repeat(70_000), '😀'.repeat(40_000)]
      const sent = texts.map((data, i) => ({ s: 0, 1: `${i}`, data }))
      const ping = client.protocol === 3 ? ['2'] : []
      await session.send(...ping, ...sent.map(message => `42${json(['msg', message])}`), ...ping)
      await member.witness.sees(...sent.map(message => ['msg', { ...message, 2: member.uid }]))
      const back = await sendAll(member.witness, sent)
      await session.sees(...back.map(message => ['msg', message]))
      await member.talks()
    })

    for (const [way, begin] of Object.entries(WAYS)) {
      dressed(scene, client, `${way}: binary is refused, with its acknowledgement`, async (party, app) => {
        const session = await begin(app())
        const member = await Member.of(party, session)
        await member.signIn()
        await member.enter()
        await session.send('451-40["msg",{"s":0,"data":{"num":0,"_placeholder":true}}]', Buffer.from([0, 1, 0xff, 0x1e]))
        assert.deepEqual(await session.acked(40), [{ status: 1, data: 'not an object' }])
        const two = '452-["msg",{"a":{"_placeholder":true,"num":0},"b":{"num":1,"_placeholder":true}}]'
        await session.send(two, Buffer.from([1]), Buffer.from('é😀'))
        await member.talks()
      })

      dressed(scene, client, `${way}: \`1\` and Close end it at once`, async (party, app) => {
        const session = await begin(app())
        const member = await Member.of(party, session)
        await member.signIn()
        await member.enter()
        const held = session.socket ? undefined : session.poll().catch(() => {})
        await session.disconnect()
        await member.isMissed()
        if (session.socket) assert.notEqual(await session.ended(() => false), null)
        else {
          await held // released, not kept until some timeout
          await eventually('the end of the session', () => session.polling.ask('GET', session.sid), ({ code }) => code === 400)
        }
        session.abandon()
        // And anew at once.
        await story(party, await begin(app()))
      })

      dressed(hasty, client, `${way}: \`41/,\`, then idle: it is gone for the others, and its transport is closed in the end`, async (party, app) => {
        const member = await Member.of(party)
        const session = member.session = await begin(app())
        await member.signIn()
        await member.enter()
        await session.send('41/,')
        await member.isMissed()
        await session.connectAgain() // within that time it may
        await member.signIn()
        await member.enter()
        await member.talks()
        await session.send('41/,')
        await member.isMissed()
        if (session.socket) assert.equal(await session.ended(() => false), 1008)
        else await eventually('the end of the session', () => session.polling.ask('GET', session.sid), ({ code }) => code === 400)
      })
    }

    for (const [what, leftovers] of Object.entries({
      'a noop': ['6'],
      'a packet': ['4241["msg",{}]'],
      'binary as text': ['451-42["msg",{"num":0,"_placeholder":true}]', `${client.base64}AQIe/w==`],
      'all of these': ['6', '4241["msg",{}]', '6', '451-42["msg",{"num":0,"_placeholder":true}]', `${client.base64}AQIe/w==`, '6'],
    })) dressed(scene, client, `what it could not POST any more comes behind \`5\`, as text: ${what}`, async (party, app) => {
      const session = await WAYS.polling(app())
      const member = await Member.of(party, session)
      await member.signIn()
      await member.enter()
      await session.upgrade(...leftovers)
      // What is refused need not wait for what has to be stored.
      const answers = { 41: [STORED], 42: [{ status: 1, data: 'not an object' }] }
      const asked = leftovers.flatMap(packet => /^4(?:2|51-)(4[12])\[/.exec(packet)?.[1] ?? [])
      const came = {}
      while (Object.keys(came).length < asked.length) {
        const { type, id, data, text } = await session.next()
        assert.equal(type, 'ack', text)
        came[id] = data
      }
      assert.deepEqual(came, Object.fromEntries(asked.map(id => [id, answers[id]])))
      if (leftovers.includes('4241["msg",{}]')) await member.witness.sees(['msg', { s: 0, 2: member.uid }])
      await member.talks()
      await member.leaves()
    })

    dressed(scene, client, 'an upgrade that breaks before `5` leaves no half of a session', async (party, app) => {
      const session = await WAYS.polling(app())
      const member = await Member.of(party, session)
      await member.signIn()
      await member.enter()
      const socket = await session.probe()
      socket.destroy()
      await member.isMissed()
      session.abandon()
      await story(party, await WAYS['polling with upgrade'](app()))
    })

    dressed(scene, client, 'a POST that is none ends the session; its polls are answered with packets, or an error', async (party, app) => {
      const session = await WAYS.polling(app())
      const member = await Member.of(party, session)
      await member.signIn()
      await member.enter()
      const polls = (async () => { for (;;) await session.poll() })().catch(error => error)
      assert.notEqual((await session.polling.ask('POST', session.sid, client.encode(['x']))).code, 200)
      const end = await polls
      if (end instanceof Violation) throw end
      await member.isMissed()
    })

    dressed(scene, client, 'another namespace is refused with JSON, and "/" goes on', async (party, app) => {
      for (const begin of Object.values(WAYS)) {
        const session = await begin(app())
        const member = await Member.of(party, session)
        await member.signIn()
        await session.send('40/admin,')
        const { type, namespace, data } = await session.next()
        assert.deepEqual([type, namespace, data.message ?? data], ['error', '/admin', 'Invalid namespace'])
        await member.enter()
        await member.talks()
        await member.leaves()
      }
    })

    dressed(scene, client, 'writes the port into Host, 80 and 443 too', async (party, app) => {
      for (const [host, origin] of [
        ['chat.example:80', 'ws://chat.example'], ['chat.example:443', 'wss://chat.example'], ['[::1]:8080', 'ws://[::1]:8080'],
      ]) {
        for (const begin of Object.values(WAYS)) await story(party, await begin(app({ host, origin })))
      }
    })
  }

  hasty('handshakes that are never polled are forgotten', async party => {
    const { url } = party.server.nodeForClient()
    const apps = CLIENTS.flatMap(client => Object.values(DRESSES).map(configured => new App(client, url, configured)))
    const abandoned = await Promise.all(apps.map(app => Session.begin(app)))
    const online = async () => (await party.server.ask('GET', '/admin/monitor/stat')).data.online_socket_count
    await eventually('nobody there', online, count => count === 0)
    for (const { polling, sid } of abandoned) await eventually('the end of the session', () => polling.ask('GET', sid), ({ code }) => code === 400)
  })
}

/** The letters EIO, where the client finds them or an app puts them. */
export function versions(scene) {
  const EIO = CLIENTS.filter(({ eio }) => eio)
  for (const client of EIO) scene(`${client.name}: EIO in a param's value costs it its own, and it is taken for version 3`, async party => {
    const app = () => new App(client, party.server.nodeForClient().url, { params: { token: 'xxEIOxx' } })
    assert.doesNotMatch(app().target('polling'), /EIO=/)
    if (client.protocol === 3) for (const begin of Object.values(WAYS)) await story(party, await begin(app()))
    else {
      // As with the original: it hears version 3, which it does not speak.
      const { code, body } = await new Session(app()).polling.ask('GET')
      assert.equal(code, 200)
      assert.match(body, /^\d+:0\{/)
      const socket = await WebSocket.open(app())
      assert.match(await socket.next(), /^0\{/)
      assert.equal(await socket.next(), '40')
      socket.destroy()
    }
  })

  const [a] = CLIENTS
  scene(`${a.name}: an app that carries EIO=3 among its params`, async party => {
    const app = () => new App(a, party.server.nodeForClient().url, { params: { token: 'x', EIO: 3, user: 'é😀' } })
    for (const begin of Object.values(WAYS)) await story(party, await begin(app()))
  })
}

/** On a server that lets pages of http://chat.example:8080 and https://chat.example in. */
export function origins(scene) {
  for (const client of CLIENTS) {
    const app = (party, host, origin) => new App(client, party.server.nodeForClient().url, { host, origin })
    for (const [host, origin] of [
      ['chat.example:8080', 'ws://chat.example:8080'], ['chat.example:443', 'wss://chat.example'], ['chat.example:443', 'wss://chat.example:443'],
      ['chat.example:443', 'https://chat.example'],
    ]) scene(`${client.name}: ${origin} is let in`, async party => {
      for (const begin of Object.values(WAYS)) await story(party, await begin(app(party, host, origin)))
    })

    for (const [host, origin] of [
      ['chat.example:443', 'ws://chat.example'], ['evil.example:443', 'wss://evil.example'], ['chat.example:8080', 'wss://chat.example:8080'],
    ]) {
      scene(`${client.name}: ${origin} is refused its upgrades, and their connections end; it stays on polling`, async party => {
        const refused = async sid => {
          const error = await WebSocket.open(app(party, host, origin), sid).then(() => assert.fail('no upgrade'), error => error)
          if (!(error instanceof Refused)) throw error
          assert.equal(error.code, 403)
          return error
        }
        const session = await WAYS.polling(app(party, host, origin))
        const errors = [await refused(), await refused(session.sid)]
        await story(party, session)
        // Version 16 does nothing more before this.
        for (const { closes, ended } of errors) {
          assert.ok(closes, 'the connection of a refused upgrade is closed')
          await bounded('the end of the connection', ended)
        }
      })
    }
  }
}
