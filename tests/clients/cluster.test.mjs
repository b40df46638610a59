// What only a cluster can get wrong: each test says which of its people are on which node.
import assert from 'node:assert/strict'
import { after, before, describe } from 'node:test'
import { Line } from './cut.mjs'
import { eventually } from './http.mjs'
import { by, inserts, sendAll, sync } from './messages.mjs'
import { JOINED, STORED, SUCCESS, WRONG, scenes } from './party.mjs'
import { SITES } from './sites.mjs'
import { wire } from './wires.mjs'

const KICKED = ['kickout', 0]
const NO_MORE = ['authenticate', { status: 1, data: 'reach rate limit' }]
const comes = client => ['remote_join', { uid: client.uid }]
const goes = client => ['remote_disconnect', { uid: client.uid }]
const uids = clients => clients.map(({ uid }) => uid)
const who = clients => uids(clients).sort()

for (const site of SITES.filter(({ clustered }) => clustered)) describe(site.name, () => {
  /** A cluster for the tests of one `describe`, and a way to declare them. */
  const stand = options => {
    const stage = { wire: wire(4, 'websocket only') }
    before(async () => { stage.server = await site.start(options) })
    after(() => stage.server?.stop())
    return { stage, scene: scenes(stage) }
  }

  /** New people in a room, one after another: `[name, place of the node]` each. */
  async function seat(party, room, ...seats) {
    const present = []
    for (const [name, place] of seats) {
      const client = await party.user(name, { node: party.server.nodes[place] })
      await party.enter(client, room, { present })
      present.push(client)
    }
    return present
  }

  const stat = async node => (await node.ask('GET', '/admin/monitor/stat')).data
  const users = async (node, room) => (await node.ask('GET', '/admin/monitor/room_users', { query: { roomId: room } })).data.users.map(({ uid }) => uid)
  const says = (msg, body) => assert.equal(body.meta.msg, msg)

  describe('kickout from another node', () => {
    const { scene } = stand({ title: 'kickout across nodes' })

    for (const [from, to] of [[0, 1], [1, 0]]) {
      scene(`node ${from} to ${to}: takes its room over, and nobody notices`, async party => {
        const room = party.fresh('room')
        const [a, b, c] = await seat(party, room, ['a', to], ['b', from], ['c', from])
        const b2 = await party.again(b, 'b2', { node: party.server.nodes[to] })
        await b.isRefused(KICKED)
        for (const node of party.server.nodes) assert.deepEqual((await users(node, room)).sort(), who([a, b, c]))
        await party.enter(b2, room, { present: [a, c], witnesses: [] })
        const [sent] = await sendAll(b2, [{ s: 0, 1: 'from the new place' }])
        for (const other of [a, c]) await other.sees(['msg', sent])
        await party.barrier(a, b2, c)
        const d = await party.user('d', { node: party.server.nodes[from] })
        await party.enter(d, room, { present: [a, b2, c] })
        b2.close()
        for (const other of [a, c, d]) await other.sees(goes(b))
        for (const node of party.server.nodes) assert.deepEqual((await users(node, room)).sort(), who([a, c, d]))
      })

      scene(`node ${from} to ${to}: of the held rooms, those it does not join are told`, async party => {
        const [first, second, third] = ['first', 'second', 'third'].map(name => party.fresh(name))
        const [a, b] = await seat(party, first, ['a', to], ['b', from])
        const [c] = await seat(party, second, ['c', from])
        const [e] = await seat(party, third, ['e', to])
        await party.enter(b, second, { present: [c] })
        await party.enter(b, third, { present: [e] })
        const b2 = await party.again(b, 'b2', { node: party.server.nodes[to] })
        await b.isRefused(KICKED)
        for (const room of [first, second, third]) assert.ok((await users(party.server.nodes[from], room)).includes(b.uid), 'the room is held')
        await party.enter(b2, second, { present: [c], witnesses: [] })
        await a.sees(goes(b))
        await e.sees(goes(b))
        await party.barrier(b2, c)
      })

      scene(`node ${from} to ${to}: ends without joining, and all held rooms are told`, async party => {
        const [first, second] = [party.fresh('first'), party.fresh('second')]
        const [a, b] = await seat(party, first, ['a', from], ['b', from])
        const [c] = await seat(party, second, ['c', to])
        await party.enter(b, second, { present: [c] })
        const b2 = await party.again(b, 'b2', { node: party.server.nodes[to] })
        await b.isRefused(KICKED)
        b2.close()
        await a.sees(goes(b))
        await c.sees(goes(b))
      })
    }

    scene('back and forth: the last one inherits what is held', async party => {
      const room = party.fresh('room')
      const [a, b] = await seat(party, room, ['a', 0], ['b', 1])
      let last = b
      for (let i = 0; i < 6; i++) {
        const next = await party.again(b, `b${i + 2}`, { node: party.server.nodes[i % 2] })
        await last.isRefused(KICKED)
        last = next
      }
      await party.enter(last, room, { present: [a], witnesses: [] })
      await party.barrier(last, a)
    })

    scene('at the same moment on both: exactly one survives, and the room sees one', async party => {
      const room = party.fresh('room')
      const [a] = await seat(party, room, ['a', 0])
      for (let round = 0; round < 12; round++) {
        const one = await party.guest(`one${round}`, { node: party.server.nodes[0] })
        const two = await party.guest(`two${round}`, { uid: one.uid, token: one.token, node: party.server.nodes[1] })
        for (const client of [one, two]) {
          client.tell('authenticate', { uid: client.uid, token: client.token })
          client.tell('join', { roomId: room })
        }
        const out = client => client.log.some(([event]) => event === 'disconnect')
        const joined = client => client.log.some(([event]) => event === 'join')
        await Promise.race([one, two].map(client => client.until('its end', () => out(client))))
        const [loser, survivor] = out(one) ? [one, two] : [two, one]
        await survivor.until('its join', () => joined(survivor) || out(survivor))
        assert.ok(!out(survivor), 'one of the two stays')
        assert.deepEqual(loser.log.slice(-2), [KICKED, ['disconnect', 'io server disconnect']], `${loser.name} hears nothing behind kickout`)
        await a.sees(comes(survivor))
        for (const node of party.server.nodes) {
          assert.deepEqual((await users(node, room)).sort(), who([a, survivor]))
          assert.equal((await stat(node)).online_users.filter(({ uid }) => uid === survivor.uid).length, 1)
        }
        survivor.close()
        await a.sees(goes(survivor))
      }
    })
  })

  describe('one order', () => {
    const { scene } = stand({ title: 'one order' })

    /** The whole log, page by page: `{inserts, updates}`. */
    async function read(client) {
      const log = []
      for (let offset = 0, next = 1; next;) {
        const page = await sync(client, { offset: `${offset || ''}`, resume: true })
        log.push(...page.data)
        offset = page.log
        next = page.next
      }
      return { inserts: log.filter(({ s }) => s === 0), updates: log.filter(({ s }) => s === 1) }
    }

    scene('of the messages of senders on both nodes: for everybody, and in the log', async party => {
      const EACH = 250
      const room = party.fresh('room')
      const people = await seat(party, room, ['a', 0], ['b', 1], ['c', 0], ['d', 1], ['e', 0], ['f', 1])
      const [senders, listeners] = [people.slice(0, 4), people.slice(4)]
      const messages = Array.from({ length: EACH }, (_, i) => ({ s: [0, 0, 1, 2, 0][i % 5], 1: `m${i}`, data: i }))
      const sent = await Promise.all(senders.map((sender, k) => sendAll(sender, messages.map(message => ({ ...message, 1: `${message[1]} of ${k}` })))))
      const heard = await Promise.all(listeners.map(listener => listener.gathers('msg', EACH * senders.length)))
      assert.deepEqual(heard[0], heard[1], 'listeners on both nodes hear one order')
      for (const [k, sender] of senders.entries()) {
        const others = await sender.gathers('msg', EACH * (senders.length - 1))
        assert.deepEqual(others, heard[0].filter(message => message[2] !== sender.uid), `${sender.name} hears the others in that order`)
        assert.deepEqual(heard[0].filter(message => message[2] === sender.uid), sent[k], `${sender.name}'s own come as they were sent`)
      }
      const order = type => heard[0].filter(({ s }) => s === type)
      for (const listener of people) {
        const log = await read(listener)
        assert.deepEqual(log.inserts, order(0), 'the log has that order')
        assert.deepEqual(log.updates, order(1), 'and so have the updates')
      }
      await party.barrier(senders[0], ...people.slice(1))
    })

    scene('of an update\'s versions: the one that was heard last is the one that is kept', async party => {
      const room = party.fresh('room')
      const [a, b, c, d] = await seat(party, room, ['a', 0], ['b', 1], ['c', 0], ['d', 1])
      const versions = Array.from({ length: 100 }, (_, i) => ({ s: 1, 1: `shape ${i % 3}`, data: i }))
      await Promise.all([a, b].map(sender => sendAll(sender, versions)))
      const [atC, atD] = await Promise.all([c, d].map(client => client.gathers('msg', 200)))
      assert.deepEqual(atC, atD)
      for (const sender of [a, b]) await sender.gathers('msg', 100)
      const last = [0, 1, 2].map(i => atC.findLast(message => message[1] === `shape ${i}`))
      const inOrder = atC.filter(message => last.includes(message))
      for (const client of [a, b, c, d]) assert.deepEqual((await sync(client, {})).data, inOrder)
    })

    scene('of those who join: the roster has it on both nodes', async party => {
      const room = party.fresh('room')
      const [a, b, c, d, e] = await seat(party, room, ['a', 0], ['b', 0], ['c', 1], ['d', 0], ['e', 1])
      c.close()
      for (const other of [a, b, d, e]) await other.sees(goes(c))
      const f = await party.user('f', { node: party.server.nodes[1] })
      await party.enter(f, room, { present: [a, b, d, e] })
      const c2 = await party.again(c, 'c2', { node: party.server.nodes[0] })
      await party.enter(c2, room, { present: [a, b, d, e, f] })
      for (const node of party.server.nodes) assert.deepEqual((await users(node, room)).sort(), who([a, b, d, e, f, c2]))
    })

    scene('of those who join at the same moment on both nodes: each sees all others once, before it or behind it', async party => {
      const room = party.fresh('room')
      const people = []
      for (let i = 0; i < 12; i++) people.push(await party.user(`p${i}`, { node: party.server.nodes[i % 2] }))
      for (const person of people) person.tell('join', { roomId: room })
      for (const person of people) await person.sees(JOINED)
      const late = await party.user('late')
      late.tell('join', { roomId: room })
      await late.sees(JOINED)
      const order = (await late.gathers('remote_join', people.length)).map(({ uid }) => uid)
      assert.deepEqual([...order].sort(), who(people))
      for (const person of people) {
        const seen = (await person.gathers('remote_join', people.length)).map(({ uid }) => uid)
        assert.deepEqual(seen, [...order.filter(uid => uid !== person.uid), late.uid], `${person.name} sees all others, in join order`)
      }
      await party.barrier(late, ...people)
    })

    scene('of what somebody sends and its going: nothing comes behind the news', async party => {
      const [a, b, c] = await seat(party, party.fresh('room'), ['a', 0], ['b', 1], ['c', 1])
      const sent = inserts(0, 300)
      for (const message of sent) b.tell('msg', message)
      b.tell('leave')
      await b.isRefused()
      for (const other of [a, c]) await other.sees(...by(b, sent).map(message => ['msg', message]), ['remote_leave', { uid: b.uid }], goes(b))
      assert.equal((await sync(a, { offset: 200 })).offset, 300)
    })
  })

  describe('administration of all through one', () => {
    const { stage, scene } = stand({ title: 'administration across nodes' })

    scene('push through the node that has no member of the room', async party => {
      for (const [at, through] of [[0, 1], [1, 0]]) {
        const room = party.fresh('room')
        const [a, b] = await seat(party, room, ['a', at], ['b', at])
        const push = json => party.server.nodes[through].ask('POST', '/admin/system/push', { json })
        says('success', await push({ roomId: room, content: { to: 'all', é: '日🎉' } }))
        for (const member of [a, b]) await member.sees(['system', { to: 'all', é: '日🎉' }])
        a.close()
        await b.sees(goes(a))
        b.close()
        await eventually('the room is empty', () => users(party.server.nodes[through], room), list => list.length === 0)
        says('room not exists', await push({ roomId: room, content: 'nobody hears' }))
      }
    })

    scene('clear through one node: on both no kept page outlives it', async party => {
      const room = party.fresh('room')
      const [a, b] = await seat(party, room, ['a', 0], ['b', 1])
      for (const [place, node] of party.server.nodes.entries()) {
        const [here, there] = place ? [b, a] : [a, b]
        const log = await sendAll(here, inserts(place * 1000, place * 1000 + 410))
        await there.gathers('msg', 410)
        for (const client of [a, b, a, b]) assert.deepEqual(await sync(client, {}), { data: log.slice(0, 200), offset: 200, next: 1 })
        says('success', await node.ask('POST', '/admin/system/clear_room_msgs', { json: { roomId: room } }))
        assert.deepEqual(await sync(here, {}), { data: [], offset: 0, next: 0 })
        // The other node hears of it a moment later, but before anything that was sent since.
        const [first] = await sendAll(here, [{ s: 0, 1: 'the first after it' }])
        await there.sees(['msg', first])
        for (const client of [a, b]) assert.deepEqual(await sync(client, {}), { data: [first], offset: 1, next: 0 })
        says('success', await node.ask('POST', '/admin/system/clear_room_msgs', { json: { roomId: room } }))
      }
    })

    scene('forceUserAuth is switched on one node, and acts on the other', async party => {
      const [one, two] = party.server.nodes
      for (const [here, there] of [[one, two], [two, one]]) {
        const config = on => here.ask('POST', '/admin/system/config', { json: { forceUserAuth: on } })
        try {
          says('success', await config(false))
          await eventually('user authentication is off', () => stat(there), ({ force_user_auth: on }) => !on)
          const anybody = await party.guest('anybody', { token: 'any', node: there })
          anybody.tell('authenticate', { uid: anybody.uid, token: 'any' })
          await anybody.sees(SUCCESS)
        } finally {
          says('success', await config(true))
        }
        await eventually('user authentication is on', () => stat(there), ({ force_user_auth: on }) => on)
        const nobody = await party.guest('nobody', { token: 'any', node: there })
        nobody.tell('authenticate', { uid: nobody.uid, token: 'any' })
        await nobody.isRefused(WRONG)
      }
    })

    scene('a token that is refreshed at one node is dead at the other at once', async party => {
      const [one, two] = party.server.nodes
      const a = await party.guest('a', { node: two })
      const { data } = await one.user('refresh_token', { json: { uid: a.uid } })
      a.tell('authenticate', { uid: a.uid, token: a.token })
      await a.isRefused(WRONG)
      await party.user('a2', { uid: a.uid, token: data.token, node: two })
    })

    for (const place of [0, 1]) {
      scene(`token revoke refuses the live socket on node ${place}`, async party => {
        const [a, b, c] = await seat(party, party.fresh('room'), ['a', 0], ['b', place], ['c', 1])
        await party.server.command('token', 'revoke', b.uid)
        await b.isRefused()
        for (const other of [a, c]) await other.sees(goes(b))
        for (const node of party.server.nodes) {
          const back = await party.guest('back', { uid: b.uid, token: b.token, node })
          back.tell('authenticate', { uid: b.uid, token: b.token })
          await back.isRefused(WRONG)
        }
      })
    }

    scene('the rate limit counts on both nodes together', async party => {
      const a = await party.user('a', { node: stage.server.nodes[0] })
      let last = a
      for (let i = 2; i <= 30; i++) {
        const again = await party.again(a, `a${i}`, { node: stage.server.nodes[i % 2] })
        await last.isRefused(KICKED)
        last = again
      }
      for (const node of stage.server.nodes) {
        const beyond = await party.guest('beyond', { uid: a.uid, token: a.token, node })
        beyond.tell('authenticate', { uid: a.uid, token: a.token })
        await beyond.isRefused(NO_MORE)
      }
      await party.enter(last, party.fresh('room')) // still there
    })
  })

  describe('stat', () => {
    const { scene } = stand({ title: 'stat', env: { AO_STORE__LEASE: '3s' } })

    scene('counts all nodes, and tells of each', async party => {
      const room = party.fresh('room')
      const people = await seat(party, room, ['a', 0], ['b', 0], ['c', 0], ['d', 1])
      await party.guest('guest', { node: party.server.nodes[1] })
      const ids = new Set()
      for (const [place, node] of party.server.nodes.entries()) {
        const now = await eventually('all five sockets are counted', () => stat(node), ({ online_socket_count: count }) => count === 5)
        assert.equal(now.online_user_count, 4)
        assert.deepEqual(now.online_users.map(({ uid }) => uid).sort(), who(people))
        assert.deepEqual([now.online_room_count, now.online_rooms], [1, [room]])
        assert.ok(Array.isArray(now.nodes), `a list of nodes: ${JSON.stringify(now.nodes)}`)
        const connections = [3, 2]
        const [here] = now.nodes.filter(each => each.this)
        const [there] = now.nodes.filter(each => !each.this)
        assert.equal(now.nodes.length, 2)
        assert.deepEqual([here.connections, there.connections], [connections[place], connections[1 - place]])
        for (const each of [here, there]) { assert.equal(typeof each.id, 'string'); ids.add(each.id) }
        assert.deepEqual(Object.keys(here).sort(), ['connections', 'id', 'this'])
      }
      assert.equal(ids.size, 2, 'both call each other by the same names')
    })
  })

  describe('a node that dies', () => {
    const { scene } = stand({ title: 'mortal nodes', env: { AO_STORE__LEASE: '3s' } })
    const RETURNING = [wire(4, 'websocket only'), wire(2, 'polling only'), wire(3, 'polling with upgrade'), wire(1, 'websocket only')]

    scene('killed: who comes back elsewhere in time takes its place in silence, of all others the rooms are told', async party => {
      const [stays, dies] = party.server.nodes
      const lines = []
      try {
        const [room, side] = [party.fresh('room'), party.fresh('side')]
        const [a, lost] = await seat(party, room, ['a', 0], ['lost', 1])
        const [witness] = await seat(party, side, ['witness', 0])
        const present = [a, lost]
        const returning = []
        for (const way of RETURNING) {
          const line = await Line.to(dies.url)
          lines.push(line)
          const client = await party.user(`r${way.generation}`, { url: line.url, wire: way, uid: `r${way.generation}-${party.fresh('').replace(/[^\w-]/g, '')}` })
          await party.enter(client, room, { present })
          present.push(client)
          returning.push(client)
        }
        const dummy = await party.user('dummy', { node: dies })
        await party.enter(dummy, room, { dummy: true, present })
        const [both] = returning
        await party.enter(both, side, { present: [witness] })
        const [sent] = await sendAll(both, [{ s: 0, 1: 'in the side room' }])
        await witness.sees(['msg', sent])
        await sendAll(a, inserts(0, 3))

        await dies.kill()
        for (const line of lines) line.mend(stays.url)
        const others = client => present.filter(other => other !== client)
        for (const client of returning) {
          await client.upTo('disconnect')
          await client.sees(['reconnect'])
          await party.signIn(client)
          await party.enter(client, room, { present: others(client), witnesses: [] })
          assert.equal((await sync(client, {})).data.length, 3)
        }
        await witness.sees(goes(both)) // it was held, and joined another room first
        for (const client of [a, ...returning]) {
          client.patience = 60_000
          await client.sees(goes(lost))
        }
        await eventually('the room has no ghost', () => users(stays, room), list => list.length === present.length - 1)
        assert.deepEqual((await users(stays, room)).sort(), who(others(lost)))
        await party.barrier(a, ...returning)
        await party.barrier(both, ...present.filter(other => ![both, lost].includes(other)))

        await dies.start()
        const late = await party.user('late', { node: dies })
        await party.enter(late, room, { present: others(lost) })
        await party.barrier(late, a, ...returning)
        for (const node of party.server.nodes) {
          await eventually('two nodes are left', () => stat(node), ({ nodes }) => nodes?.length === 2)
        }
      } finally {
        for (const line of lines) line.close()
        if (dies.gone) await dies.start()
      }
    })

    scene('all killed at once: after their return the rooms lose their ghosts', async party => {
      const room = party.fresh('room')
      const [ghost, other] = await seat(party, room, ['ghost', 0], ['other', 1])
      await sendAll(ghost, inserts(0, 5))
      await other.gathers('msg', 5)
      await Promise.all(party.server.nodes.map(node => node.kill()))
      for (const client of [ghost, other]) client.close()
      await Promise.all(party.server.nodes.map(node => node.start()))
      const late = await party.user('late', { node: party.server.nodes[0] })
      await party.enter(late, room, { present: [ghost, other], witnesses: [] })
      late.patience = 60_000
      assert.deepEqual((await late.gathers('remote_disconnect', 2)).map(({ uid }) => uid).sort(), who([ghost, other]))
      assert.deepEqual(await users(party.server.nodes[1], room), [late.uid])
      assert.equal((await sync(late, {})).data.length, 5)
      assert.equal(late.log.filter(([event]) => event === 'remote_disconnect').length, 2)
    })

    scene('paused for longer than its lease: its clients are gone for the others, and come back by themselves', async party => {
      const room = party.fresh('room')
      const [a, b] = await seat(party, room, ['a', 0], ['b', 1])
      const sleepy = party.server.nodes[1]
      sleepy.pause()
      try {
        a.patience = 60_000
        await a.sees(goes(b))
        assert.deepEqual(await users(party.server.nodes[0], room), [a.uid])
      } finally {
        sleepy.resume()
      }
      await b.isDropped()
      await b.sees(['reconnect'])
      await party.signIn(b)
      await party.enter(b, room, { present: [a] })
      assert.deepEqual(await a.ask('msg', { s: 2, 1: 'x' }), STORED)
      await b.sees(['msg', { s: 2, 1: 'x', 2: a.uid }])
    })

    scene('paused for longer than its lease: what its clients sent meanwhile does not come behind the news that they are gone', async party => {
      const room = party.fresh('room')
      const [a, ...gone] = await seat(party, room, ['a', 0], ...Array.from({ length: 6 }, (_, i) => [`b${i}`, 1]))
      const sleepy = party.server.nodes[1]
      sleepy.pause()
      try {
        for (const b of gone) b.tell('msg', { s: 0, 1: 'from the gone' })
        a.patience = 60_000
        assert.deepEqual((await a.gathers('remote_disconnect', gone.length)).map(({ uid }) => uid).sort(), who(gone))
      } finally {
        sleepy.resume()
      }
      for (const b of gone) {
        await b.upTo('disconnect')
        await b.sees(['reconnect'])
      }
      const [b] = gone
      await party.signIn(b)
      await party.enter(b, room, { present: [a] })
      await party.barrier(b, a)
      assert.deepEqual((await sync(a, {})).data, [], 'and it is not stored')
    })

    scene('paused while its sessions are taken over: what those sent meanwhile has no effect', async party => {
      const [awake, sleepy] = party.server.nodes
      for (let round = 0; round < 5; round++) {
        const room = party.fresh('room')
        const [a, b] = await seat(party, room, ['a', 0], ['b', 1])
        sleepy.pause()
        let b2
        try {
          b.tell('msg', { s: 0, 1: 'from the kicked' })
          b2 = await party.again(b, 'b2', { node: awake })
          await party.enter(b2, room, { present: [a], witnesses: [] })
        } finally {
          sleepy.resume()
        }
        await b.isRefused(KICKED)
        await party.barrier(b2, a)
        assert.deepEqual((await sync(a, {})).data, [], 'and it is not stored')
      }
    })
  })
})
