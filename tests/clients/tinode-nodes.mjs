// What only several nodes of the tinode dialect can get wrong: who is there, order, marks and deletions between them, what two of them are asked at once, and
// nodes that end, die or stand still.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { failure } from './client.mjs'
import { startCluster } from './cluster.mjs'
import { eventually } from './http.mjs'
import { base64, data, info, infoOnMe, pres, WIRES } from './tinode/client.mjs'
import { GROUP, P2P, People, stand } from './tinode/people.mjs'
import { poll, PollSocket } from './tinode/poll.mjs'
import { api, ready, settings, SITES } from './tinode/stage.mjs'

const count = (n, from = 1) => Array.from({ length: n }, (_, i) => from + i)
const seqs = messages => messages?.map(({ seq }) => seq)
const STILL_MS = 180_000

/** A cluster of one test's own, for nodes that do not live through it. */
const own = (title, play, env = {}) => it(title, async t => {
  const server = await startCluster({ title, env: { ...settings({}), ...env } })
  const people = new People(server)
  await Promise.all(server.nodes.map(ready))
  t.after(async () => {
    people.close()
    await server.stop()
  })
  try {
    await play(people, server.nodes, server)
  } catch (error) {
    throw failure(error, people.report())
  }
})

/** Two who have met, one on each of these nodes. */
async function apartFrom(people, [one, other]) {
  const [ann, ben] = await people.users('ann', 'ben')
  const [a, b] = [await people.enters(ann, { node: one }), await people.enters(ben, { node: other })]
  await people.meet(a, b)
  return [a, b]
}

function together(scene) {
  scene('messages of writers on both nodes come in one order to all, and none is lost or twice', async (people, { server: { nodes } }) => {
    const [ann, ben, cleo, dora] = await people.users('ann', 'ben', 'cleo', 'dora')
    const all = await Promise.all([ann, ben, cleo, dora].map((person, i) => people.enters(person, { node: nodes[i % 2] })))
    const grp = await people.gather(all[0], all.slice(1))
    const each = 100
    for (const i of count(each)) for (const client of all) client.send({ pub: { id: `p${i}`, topic: grp, content: `${client.name} ${i}` } })
    const heard = client => client.told.flatMap(({ data }) => data?.topic === grp ? [data] : [])
    for (const client of all) await client.until('all messages', () => heard(client).length >= each * all.length || !client.isOpen)
    for (const client of all) {
      assert.deepEqual(seqs(heard(client)), count(each * all.length))
      assert.deepEqual(heard(client).map(({ content, ts }) => [content, ts]), heard(all[0]).map(({ content, ts }) => [content, ts]))
      assert.deepEqual(heard(client).filter(({ from }) => from === client.id).map(({ content }) => content), count(each).map(i => `${client.name} ${i}`))
    }
    const last = heard(all[0]).slice(-100).map(({ content }) => content)
    for (const client of all) assert.deepEqual((await client.gets(grp, 'data')).data.map(({ content }) => content), last)
  })

  scene('the first and the last session are those of all nodes', async (people, { server: { nodes } }) => {
    const [a, b] = await apartFrom(people, nodes)
    const again = await people.enters(b.person, { node: nodes[0] })
    await b.goes()
    await again.subs(a.id)
    await again.publishes(a.id, 'still here')
    await a.skipsTo(data(b.id, b.id, 1, 'still here'))
    assert.equal((await a.gets('me', 'sub')).sub[0].online, true)
    await again.goes()
    await a.sees(pres('me', b.id, 'off', { ua: 'Tests/1.0' }))
    await people.enters(b.person, { node: nodes[1] })
    await a.sees(pres('me', b.id, 'on', { ua: 'Tests/1.0' }))
  })

  scene('one who moves from node to node within four seconds was never away', async (people, { server: { nodes } }) => {
    const [a, b] = await apartFrom(people, nodes)
    let current = b
    for (const i of count(6)) {
      const next = await people.signs(b.person, { node: nodes[i % 2] })
      current.cut()
      await next.subs('me')
      current = next
    }
    await current.subs(a.id)
    await current.publishes(a.id, 'x')
    await a.sees(data(b.id, b.id, 1, 'x'))
    await a.isQuiet()
  })

  scene('users of a group are counted over all nodes', async (people, { server: { nodes } }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, b] = [await people.enters(ann, { node: nodes[0] }), await people.enters(ben, { node: nodes[1] })]
    const grp = await people.gather(a, [b])
    const second = await people.signs(ben, { node: nodes[0] })
    await second.subs(grp)
    await b.leaves(grp)
    await people.barrier(second, grp, a)
    await second.leaves(grp)
    await a.sees(pres(grp, b.id, 'off'))
  })

  scene('marks, notes and deletions of one node are those of the other', async (people, { server: { nodes } }) => {
    const [a, b] = await apartFrom(people, nodes)
    const [other, listening] = [await people.signs(b.person, { node: nodes[0] }), await people.enters(a.person, { node: nodes[1] })]
    await other.subs(a.id)
    for (const i of count(20)) await a.publishes(b.id, i)
    for (const session of [b, other]) await session.skipsTo(data(a.id, a.id, 20, 20))
    await listening.skipsTo(pres('me', b.id, 'msg', { seq: 20 }))
    b.note(a.id, 'read', 15)
    await a.sees(info(b.id, b.id, 'read', { seq: 15 }))
    await other.sees(info(a.id, b.id, 'read', { seq: 15 }))
    await listening.sees(infoOnMe(b.id, b.id, 'read', { seq: 15 }))
    await b.does('del', { topic: a.id, what: 'msg', delseq: [{ low: 3, hi: 6 }] }, 200, { del: 1 })
    await other.sees(pres(a.id, a.id, 'del', { clear: 1, delseq: [{ low: 3, hi: 6 }] }))
    await a.does('del', { topic: b.id, what: 'msg', delseq: [{ low: 10 }], hard: true }, 200, { del: 2 })
    for (const session of [b, other]) {
      await session.sees(pres(a.id, a.id, 'del', { clear: 2, delseq: [{ low: 10 }] }))
      const { desc, data: messages } = await session.gets(a.id, 'desc data')
      assert.deepEqual([desc.read, desc.recv, desc.clear], [15, 15, 2])
      assert.deepEqual(seqs(messages), count(20).filter(seq => ![3, 4, 5, 10].includes(seq)))
    }
    await listening.sees(pres('me', b.id, 'del', { clear: 2 }))
  })

  scene('access that is taken on one node is gone on the other', async (people, { server: { nodes } }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const [a, b] = [await people.enters(ann, { node: nodes[0] }), await people.enters(ben, { node: nodes[1] })]
    const grp = await people.gather(a, [b])
    for (const mode of ['N', GROUP, 'JRP']) {
      await a.does('set', { topic: grp, sub: { user: b.id, mode } })
      if (mode === 'N') {
        await b.skipsTo({ ctrl: { topic: grp, code: 205, text: 'evicted', ts: '{ts}', params: { unsub: false } } })
        await b.subs(grp, { code: 403 })
        await b.skipsTo(pres('me', grp, 'off'))
      } else if (mode === GROUP) {
        await b.skipsTo(pres('me', grp, 'on'))
        assert.equal((await b.subs(grp)).ctrl.params ?? undefined, undefined)
      } else {
        await b.sees(pres(grp, undefined, 'acs', { dacs: { given: '-WS' } }))
        await b.does('pub', { topic: grp, content: 'x' }, 403)
      }
    }
  })

  scene('what is made on one node is found on the other: accounts, tags, topics, passwords', async (people, { server: { nodes } }) => {
    for (const [one, other] of [nodes, [...nodes].reverse()]) {
      const { login, password, fields } = people.new('ann')
      const made = await people.greets('ann', { node: one })
      const { params } = await made.does('acc', { ...fields, login: true })
      const there = await people.greets('ann', { node: other })
      await there.logsIn(`${login}:${password}`)
      await made.subs('me')
      await made.does('set', { topic: 'me', tags: [`basic:${login}`, login] })
      const seeker = await people.signs(await people.user('ben'), { node: other })
      await seeker.subs('fnd')
      await seeker.does('set', { topic: 'fnd', desc: { public: login } })
      assert.deepEqual((await seeker.gets('fnd', 'sub')).sub.map(({ topic }) => topic), [params.user])
      await made.does('acc', { scheme: 'basic', secret: base64(':another secret') })
      await (await people.greets('ann', { node: other })).logsIn(`${login}:${password}`, 401)
      await (await people.greets('ann', { node: other })).logsIn(`${login}:another secret`)
    }
  })
}

function atOnce(scene) {
  scene('one login, asked for on both nodes: one account', async (people, { server: { nodes } }) => {
    for (const i of count(5)) {
      const { login } = people.new(`runner${i}`)
      const clients = await Promise.all(nodes.map((node, at) => people.greets(`${i} ${at}`, { node })))
      const acc = at => ({ user: 'new', scheme: 'basic', secret: base64(`${login}:secret of ${at}`), login: true })
      const answers = await Promise.all(clients.map((client, at) => client.ask('acc', acc(at))))
      assert.deepEqual(answers.map(({ code }) => code).sort(), [200, 409])
      const winner = answers.findIndex(({ code }) => code === 200)
      for (const node of nodes) {
        const again = await people.greets('again', { node })
        assert.equal((await again.logsIn(`${login}:secret of ${winner}`)).params.user, answers[winner].params.user)
      }
    }
  })

  scene('two begin to talk to each other on both nodes: one topic', async (people, { server: { nodes } }) => {
    for (const i of count(5)) {
      const [ann, ben] = await people.users(`ann${i}`, `ben${i}`)
      const [a, b] = [await people.signs(ann, { node: nodes[0] }), await people.signs(ben, { node: nodes[1] })]
      await Promise.all([a.subs(b.id), b.subs(a.id)])
      assert.equal(await a.publishes(b.id, 'one'), 1)
      await b.skipsTo(data(a.id, a.id, 1, 'one'))
      assert.equal(await b.publishes(a.id, 'two'), 2)
      for (const [client, topic] of [[a, b.id], [b, a.id]]) {
        const { sub, data: messages } = await client.gets(topic, 'sub data')
        assert.equal(sub.length, 2)
        for (const { acs: { mode } } of sub) assert.equal(mode, P2P)
        assert.deepEqual(messages.map(({ content }) => content), ['one', 'two'])
      }
    }
  })

  scene('deletions on both nodes: each has a number of its own', async (people, { server: { nodes } }) => {
    const [a, b] = await apartFrom(people, nodes)
    for (const i of count(40)) await a.publishes(b.id, i)
    await b.skipsTo(data(a.id, a.id, 40, 40))
    const numbers = await Promise.all(count(20).flatMap(i => [
      a.does('del', { topic: b.id, what: 'msg', delseq: [{ low: i }], hard: true }).then(({ params }) => params.del),
      b.does('del', { topic: a.id, what: 'msg', delseq: [{ low: i + 20 }] }).then(({ params }) => params.del),
    ]))
    assert.deepEqual(numbers.sort((one, other) => one - other), count(40))
    for (const node of nodes) {
      const late = await people.signs(b.person, { node })
      assert.deepEqual((await late.subs(a.id, { what: 'data' })).codes, [204])
      const other = await people.signs(a.person, { node })
      assert.deepEqual(seqs((await other.subs(b.id, { what: 'data' })).data), count(20, 21))
    }
  })

  scene('modes of one member set on both nodes at once: one of them is, for everybody', async (people, { server: { nodes } }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const owners = [await people.signs(ann, { node: nodes[0] }), await people.signs(ann, { node: nodes[1] })]
    const grp = await people.group(owners[0])
    await owners[1].subs(grp)
    const b = await people.signs(ben, { node: nodes[1] })
    b.onMe = false
    await people.invites(owners[0], grp, b)
    await b.subs(grp)
    for (const i of count(10)) {
      const modes = ['JRWP', 'JRP'].map(mode => i % 2 ? mode : `${mode}S`)
      await Promise.all(owners.map((owner, at) => owner.does('set', { topic: grp, sub: { user: b.id, mode: modes[at] } })))
      const seen = await Promise.all([...owners, b].map(async client => (await client.gets(grp, 'sub')).sub.find(({ user }) => user === b.id).acs.given))
      assert.ok(modes.includes(seen[0]), seen[0])
      assert.deepEqual(seen, seen.map(() => seen[0]))
    }
  })
}

function apart() {
  own('a node dies: its users are off, others go on, and who comes to the other node misses nothing', async (people, nodes) => {
    const [a, b] = await apartFrom(people, [nodes[1], nodes[0]])
    const grp = await people.gather(a, [b])
    await a.publishes(b.id, 'before')
    await b.sees(data(a.id, a.id, 1, 'before'))
    b.note(a.id, 'read', 1)
    await a.sees(info(b.id, b.id, 'read', { seq: 1 }))
    await nodes[0].kill()
    await b.ends()
    // What its client had said of itself was known to its node alone.
    const off = [await a.hears(), await a.hears()].map(({ pres: { topic, src, what } }) => [topic, src, what])
    assert.deepEqual(off.sort(), [['me', b.id, 'off'], [grp, b.id, 'off']].sort())
    await a.publishes(b.id, 'while away')
    const again = await people.signs(b.person, { node: nodes[1] })
    const { sub } = await again.subs('me', { what: 'sub' })
    assert.deepEqual([sub.find(({ topic }) => topic === a.id).seq, sub.find(({ topic }) => topic === a.id).read], [2, 1])
    assert.deepEqual((await again.subs(a.id, { what: 'data', data: { since: 2 } })).data.map(({ content }) => content), ['while away'])
    await again.subs(grp)
    assert.equal(await again.publishes(grp, 'back'), 1)
    await a.skipsTo(data(grp, b.id, 1, 'back'))
    await nodes[0].start()
    await ready(nodes[0])
    const moved = await people.signs(b.person, { node: nodes[0] })
    await moved.subs(a.id)
    assert.equal(await moved.publishes(a.id, 'from a new node'), 3)
    await a.skipsTo(data(b.id, b.id, 3, 'from a new node'))
  })

  own('a node drains: its sessions are closed, are not told off for good, and come to the other', async (people, nodes) => {
    const [a, b] = await apartFrom(people, nodes)
    await nodes[1].end()
    await b.ends()
    const again = await people.signs(b.person, { node: nodes[0] })
    await again.subs('me')
    await again.subs(a.id)
    assert.equal(await again.publishes(a.id, 'x'), 1)
    await a.skipsTo(data(b.id, b.id, 1, 'x'))
    await nodes[1].start()
    await ready(nodes[1])
    await (await people.signs(b.person, { node: nodes[1] })).subs(a.id)
  })

  own('a node stands still: what its sessions on me have not been told makes them come back', async (people, nodes) => {
    const [a, b] = await apartFrom(people, nodes)
    await b.leaves(a.id)
    nodes[1].pause()
    for (const i of count(50)) await a.publishes(b.id, i)
    await new Promise(again => setTimeout(again, 15_000)) // longer than a lease: the node is given up, and what was for it with it
    nodes[1].resume()
    // Either it was told all of it late, or its session is closed, and its client sees how it stands when it comes back.
    await b.until('the newest, or its end', () => !b.isOpen || b.told.some(({ pres }) => pres?.what === 'msg' && pres.seq === 50))
    const client = b.isOpen ? b : await people.enters(b.person, { node: nodes[1] })
    assert.equal((await client.gets('me', 'sub')).sub[0].seq, 50)
    await client.subs(a.id)
    assert.equal(await client.publishes(a.id, 'going on'), 51)
    await a.skipsTo(data(b.id, b.id, 51, 'going on'))
  })

  own('polls of a session whose node is gone are told so, by whichever node', async (people, nodes) => {
    const ann = await people.user('ann')
    const client = await people.opens('ann', { wire: () => new PollSocket([nodes[0]]) })
    await client.hi()
    await client.logsIn(ann.token)
    const { sid } = client.socket
    assert.equal((await poll(nodes[1], `${sid}x`)).status, 403)
    client.cut()
    await nodes[0].kill()
    const { status } = await eventually('it is known', () => poll(nodes[1], sid), ({ status }) => status === 403, STILL_MS)
    assert.equal(status, 403)
    const again = await people.greets('ann', { wire: WIRES.polling, node: nodes[1] })
    await again.logsIn(ann.token)
  })

  own('a key that is revoked opens no node', async (people, nodes) => {
    const { body: { result: { key } } } = await api(nodes[0], 'createKey', { note: 'an app' })
    for (const node of nodes) await eventually('the key is good', async () => {
      const client = people.connects('app', { node, key })
      await client.until('to be open or closed', () => client.opened || !client.isOpen)
      return client.isOpen
    }, open => open)
    await api(nodes[1], 'revokeKey', { key })
    for (const node of nodes) await eventually('the key is good no more', async () => {
      const client = people.connects('app', { node, key })
      await client.until('to be open or closed', () => client.opened || !client.isOpen)
      return client.status
    }, status => status === 403, STILL_MS)
  })

  own('secrets that nobody has set are made once, for all nodes', async (people, nodes, server) => {
    const printed = () => server.nodes.map(({ stderr }) => /\b(A[\w-]{31})\b/.exec(stderr)?.[1]).filter(Boolean)
    const made = await eventually('a key is printed', async () => printed(), keys => keys.length > 0)
    assert.equal(made.length, 1, 'by one of them')
    const client = await people.opens('ann', { node: nodes[0], key: made[0] })
    await client.hi()
    const { params } = await client.does('acc', { ...people.new('ann').fields, login: true })
    for (const node of nodes) {
      const other = await people.opens('ann', { node, key: made[0] })
      await other.hi()
      await other.logsIn(params.token)
    }
  }, Object.fromEntries(['AO_TINODE__API_KEY_SALT', 'AO_TINODE__TOKEN_KEY'].map(name => [name, ''])))
}

for (const site of SITES.filter(({ clustered }) => clustered)) describe(site.name, () => {
  for (const [title, stories] of Object.entries({ together, 'at once': atOnce })) {
    describe(title, () => stories(stand(site, { title: `nodes: ${title}` }).scene))
  }
  apart()
})
