// What only several nodes of react-wechat can get wrong: one phone on two of them, messages and calls between them, contacts that are made on one, nodes that end,
// die or stand still, and what all nodes have to know.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startCluster } from './cluster.mjs'
import { eventually } from './http.mjs'
import { command } from './server.mjs'
import { card, frame, message, People, stand } from './wechat/people.mjs'
import { settings, SITES } from './wechat/stage.mjs'

const STAY_AWAY = 4000
const count = n => Array.from({ length: n }, (_, i) => i)

/** A cluster of one test's own, for nodes that do not live through it. */
const own = (title, play) => it(title, async t => {
  const server = await startCluster({ title, env: settings({}) })
  const people = new People(server)
  t.after(async () => {
    people.close()
    await server.stop()
  })
  await play(people, server.nodes, server)
})

function together(scene) {
  scene('the newest wins wherever it is, and gets what is said on all nodes', async (people, { server: { nodes } }) => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann, { node: nodes[0] })
    const sockets = [await people.enters(ben, { node: nodes[0] })]
    for (const i of count(8)) {
      sockets.push(await people.enters(ben, { node: nodes[(i + 1) % 2] }))
      await sockets.at(-2).isClosed(STAY_AWAY)
      const said = message(ann, ben, i)
      a.send(said)
      await sockets.at(-1).sees(said)
      await people.barrier(sockets.at(-1), a)
    }
  })

  scene('many at once on both nodes: one stays, and hears from both', async (people, { server: { nodes } }) => {
    const [ann, ben] = await people.pair()
    const cleo = await people.user('cleo')
    await people.befriend(cleo, ben)
    const [a, c] = [await people.enters(ann, { node: nodes[0] }), await people.enters(cleo, { node: nodes[1] })]
    const sockets = count(16).map(i => people.connects(ben, { node: nodes[i % 2] }))
    await eventually('one is left', () => sockets.filter(({ isOpen }) => isOpen).length, left => left === 1)
    const survivor = sockets.find(({ isOpen }) => isOpen)
    await survivor.opens()
    for (const other of sockets) if (other !== survivor) assert.equal(other.code, STAY_AWAY)
    await people.barrier(a, survivor)
    await people.barrier(c, survivor)
  })

  scene('what is said on one node waits for who comes to the other, and is erased for both', async (people, { server: { nodes } }) => {
    const [ann, ben] = await people.pair()
    const cleo = await people.user('cleo')
    await people.befriend(cleo, ben)
    const [a, c] = [await people.enters(ann, { node: nodes[0] }), await people.enters(cleo, { node: nodes[1] })]
    const said = count(20).flatMap(i => [message(ann, ben, i), message(cleo, ben, i)])
    for (const one of said) (one.payload.from === ann.phone ? a : c).send(one)
    await people.waits(ben, ...said)
    for (const node of nodes) {
      const dying = people.connects(ben, { node, dies: 'ping' })
      await dying.ends()
      assert.equal(dying.conversations[ann.phone].newCount, 20)
    }
    const b = await people.enters(ben, { node: nodes[1] })
    assert.equal(b.conversations[cleo.phone].newCount, 20)
    await people.barrier(a, b)
    await people.barrier(b, c)
    await b.leaves()
    await people.waits(ben)
    for (const node of nodes) assert.deepEqual((await people.enters(ben, { node })).conversations, {})
  })

  scene('messages of several senders on both nodes come in one order to whoever has the socket', async (people, { server: { nodes } }) => {
    const [ann, ben] = await people.pair()
    const cleo = await people.user('cleo')
    await people.befriend(cleo, ben)
    const [a, c] = [await people.enters(ann, { node: nodes[0] }), await people.enters(cleo, { node: nodes[1] })]
    const b = await people.enters(ben, { node: nodes[1] })
    for (const i of count(200)) {
      a.send(message(ann, ben, i))
      c.send(message(cleo, ben, i))
    }
    const came = (await b.next(400)).map(({ payload }) => payload)
    for (const { phone } of [ann, cleo]) assert.deepEqual(came.filter(({ from }) => from === phone).map(({ content }) => content), count(200))
  })

  scene('who changes nodes again and again while messages come misses none', async (people, { server: { nodes } }) => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann, { node: nodes[0] })
    const said = count(600).map(i => message(ann, ben, i, 1))
    const seen = new Set()
    const notes = socket => {
      const all = [...(socket.conversations[ann.phone]?.items ?? []), ...socket.log.map(text => JSON.parse(text).payload)].map(({ content }) => content)
      assert.deepEqual(all, [...new Set(all)].sort((one, other) => one - other), 'each socket sees them in order, and each one once')
      for (const one of all) seen.add(one)
    }
    const sockets = []
    for (let at = 0; at < said.length; at += 50) {
      a.send(...said.slice(at, at + 50))
      sockets.push(await people.enters(ben, { node: nodes[(at / 50) % 2] }))
    }
    const last = sockets.at(-1)
    await last.until('the last message', () => { notes(last); return seen.has(said.length - 1) })
    for (const socket of sockets) {
      if (socket !== last) assert.equal(await socket.ends(), STAY_AWAY)
      notes(socket)
    }
    assert.deepEqual([...seen].sort((one, other) => one - other), count(said.length))
  })

  scene('a call between two nodes', async (people, { server: { nodes } }) => {
    const [ann, ben] = await people.pair()
    const [a, b] = [await people.enters(ann, { node: nodes[0] }), await people.enters(ben, { node: nodes[1] })]
    const call = [[a, b, 'invite-offer'], [b, a, 'invite-accept'], [a, b, 'video-offer'], [b, a, 'video-answer']]
    for (const [one, other, type] of call) {
      const text = `${JSON.stringify(frame(type, one.person, other.person, { sdp: 'x'.repeat(5_000) }))} `
      one.send(text)
      await other.sees(text)
    }
    const candidates = (one, other) => count(100).map(i => JSON.stringify(frame('new-ice-candidate', one.person, other.person, { candidate: { i } })))
    a.send(...candidates(a, b))
    b.send(...candidates(b, a))
    await a.sees(...candidates(b, a))
    await b.sees(...candidates(a, b))
  })

  scene('a contact that is made on one node counts on both, at once', async (people, { server: { nodes } }) => {
    for (const node of nodes) {
      const [ann, ben] = await people.users('ann', 'ben')
      const [a, b] = [await people.enters(ann, { node: nodes[0] }), await people.enters(ben, { node: nodes[1] })]
      a.send(message(ann, ben, 'to a stranger'))
      b.send(frame('hang-up', ben, ann))
      assert.equal((await people.calls('contact/add', { phone: ben.phone }, { node, token: ann.token })).body.code, 0)
      for (const [socket, other] of [[a, ben], [b, ann]]) {
        await socket.until('its new contact', () => socket.contacts.length > 0)
        assert.deepEqual(socket.contacts, [card(other, socket.contacts[0]._id)])
      }
      await people.barrier(a, b)
      await people.barrier(b, a)
    }
  })

  scene('who is registered on one node signs in on the other at once, by a token of any', async (people, { server: { nodes } }) => {
    for (const [one, other] of [nodes, [...nodes].reverse()]) {
      const ann = people.new('ann'), { name: _, ...fields } = ann
      assert.equal((await people.calls('reg', fields, { node: one })).body.code, 0)
      const { token } = await people.gets('login', { phone: ann.phone, password: ann.password }, { node: other })
      await people.enters(ann, { node: one, token })
      await people.enters(ann, { node: other, token })
      assert.equal((await people.calls('reg', fields, { node: other })).body.code, 100004)
    }
  })

  scene('both nodes are asked to register one phone: exactly one does', async (people, { server: { nodes } }) => {
    for (const i of count(4)) {
      const phone = people.phone()
      const both = nodes.map((node, at) => ({ node, person: people.new(`runner ${i} ${at}`, { phone }) }))
      const answers = await Promise.all(both.map(({ node, person: { name: _, ...fields } }) => people.calls('reg', fields, { node })))
      assert.deepEqual(answers.map(({ body }) => body.code).sort(), [0, 100004])
      const winner = both[answers.findIndex(({ body }) => body.code === 0)].person
      for (const node of nodes) {
        const { info } = await people.gets('login', { phone, password: winner.password }, { node })
        assert.equal(info.nick, winner.nick)
      }
    }
  })
}

function apart() {
  own('a node dies: its clients come to the other, and miss nothing', async (people, nodes) => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann, { node: nodes[1] })
    const b = await people.enters(ben, { node: nodes[0] })
    const said = count(30).map(i => message(ann, ben, i))
    a.send(...said.slice(0, 10))
    await b.sees(...said.slice(0, 10))
    await nodes[0].kill()
    a.send(...said.slice(10, 20))
    assert.notEqual(await b.ends(), STAY_AWAY)
    const again = await people.enters(ben, { node: nodes[1] })
    a.send(...said.slice(20))
    const all = () => [...(again.conversations[ann.phone]?.items ?? []).map(({ content }) => content), ...again.log.map(text => JSON.parse(text).payload.content)]
    await again.until('the last message', () => all().at(-1) === said.length - 1)
    // The first ten may have been erased before the node died, all or the first of them.
    assert.deepEqual(all(), count(said.length).slice(all()[0]))
    assert.ok(all()[0] <= 10, `from ${all()[0]} on`)
    await nodes[0].start()
    const moved = await people.enters(ben, { node: nodes[0] })
    await again.ends()
    assert.equal(again.code, STAY_AWAY)
    await people.barrier(a, moved)
  })

  own('a node stands still: its client comes to the other, and what it still holds is closed when it goes on', async (people, nodes) => {
    const [ann, ben] = await people.pair()
    const a = await people.enters(ann, { node: nodes[1] })
    const b = await people.enters(ben, { node: nodes[0] })
    nodes[0].pause()
    const again = await people.enters(ben, { node: nodes[1] })
    const said = message(ann, ben, 'meanwhile')
    a.send(said)
    await again.sees(said)
    nodes[0].resume()
    await b.ends()
    await people.barrier(a, again)
    await people.barrier(again, a)
  })

  own('one node after the other is started anew, and nobody is told to stay away', async (people, nodes) => {
    const [ann, ben] = await people.pair()
    const { token } = await people.login(ann)
    let sent = 0
    for (const [i, node] of nodes.entries()) {
      const other = nodes[1 - i]
      const [a, b] = [await people.enters(ann, { node: other, token }), await people.enters(ben, { node })]
      await people.barrier(a, b)
      await node.end()
      assert.notEqual(await b.ends(), STAY_AWAY)
      const said = count(5).map(() => message(ann, ben, sent++))
      a.send(...said)
      const moved = await people.enters(ben, { node: other })
      const waited = moved.conversations[ann.phone]?.items.length ?? 0
      await moved.sees(...said.slice(waited))
      await node.start()
      await people.barrier(a, moved)
    }
  })

  it('without a secret that all know, no node starts', async () => {
    const { REDIS_URL, MONGODB_URL } = process.env
    const stores = { AO_STORE__MESSAGES: REDIS_URL, AO_STORE__TOKENS: MONGODB_URL }
    await assert.rejects(command([], { ...stores, AO_WECHAT__LISTEN: '127.0.0.1:0' }), error => {
      assert.equal(error.code, 2, error.stderr)
      assert.match(error.stderr, /AO_WECHAT__JWT_SECRET|wechat\.jwt_secret/)
      return true
    })
  })
}

for (const site of SITES.filter(({ clustered }) => clustered)) describe(site.name, () => {
  const { scene } = stand(site, { title: 'nodes' })
  together(scene)
  apart()
})
