// What webhooks tell of rooms of chat-service, and what they must not tell; and the erasing of a user's messages there. On files, and on Redis with MongoDB and
// two nodes.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { after, before, describe } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { stand } from '../clients/chat-service/party.mjs'
import { ALL_ON, SITES } from '../clients/chat-service/stage.mjs'
import { eventually } from '../clients/http.mjs'

const SECRET = `whsec_${randomBytes(32).toString('base64')}`

/** A method of the HTTP API that succeeds. */
async function v1(node, path, json) {
  const { uid, token } = node.admin
  const answer = await fetch(`${node.api}/v1/${path}`, {
    method: json ? 'POST' : 'GET',
    headers: { 'content-type': 'application/json', connection: 'close', authorization: `Basic ${Buffer.from(`${uid}:${token}`).toString('base64')}` },
    body: json && JSON.stringify(json),
  })
  const text = await answer.text()
  assert(answer.ok, `${path} answered ${answer.status} ${text}`)
  return JSON.parse(text)
}

for (const site of SITES) describe(site.name, () => {
  const received = []
  const env = { AO_WEBHOOK__SECRET: SECRET, AO_WEBHOOK__LEAVE_DELAY: '0s' }
  let endpoint

  before(async () => {
    endpoint = createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request.setEncoding('utf8')) body += chunk
      received.push({ body, ...new Webhook(SECRET).verify(body, request.headers) })
      response.end()
    })
    await new Promise(listening => endpoint.listen(0, '127.0.0.1', listening))
    env.AO_WEBHOOK__URL = `http://127.0.0.1:${endpoint.address().port}/`
  })
  const { scene } = stand(site, { values: ALL_ON, hooks: ['onConnect', 'roomMessagesChecker'], env })
  after(() => {
    endpoint.closeAllConnections()
    endpoint.close()
  })

  /** The events of rooms that are called so, by life, once those of the last life `fit`. */
  async function told(room, lives, fit) {
    const found = await eventually(`what is told of ${room}`, () => {
      const byLife = new Map()
      for (const { data } of received.filter(({ data }) => data.roomId === room)) {
        assert.equal(data.space, 'chat-service')
        byLife.set(data.life, [...byLife.get(data.life) ?? [], ...data.events])
      }
      return [...byLife.values()]
    }, found => found.length >= lives && fit(found))
    assert.equal(found.length, lives)
    return found
  }
  const types = events => events.map(({ type }) => type)
  const of = (events, wanted) => events.filter(({ type }) => type === wanted)

  scene('what happens in a room is told by its name, and what users are told for themselves is not', async party => {
    const [a, b] = [await party.user('ann'), await party.user('ben')]
    const other = await party.again(a)
    const room = await party.room({ owner: a.user })
    await party.enter(room, a, b, other)
    assert.deepEqual(await a.ask('roomMessage', room, { textMessage: 'one' }), [null, 1])
    assert.deepEqual(await b.ask('roomMessage', room, { picture: Buffer.from([1, 2, 255]) }), [null, 2])
    assert.deepEqual((await b.ask('directMessage', a.user, { textMessage: 'a secret of two' }))[0], null)
    assert.deepEqual(await a.ask('systemMessage', 'a secret of one'), [null, null])
    assert.deepEqual(await a.ask('roomAddToList', room, 'whitelist', ['somebody listed']), [null, null])
    await party.does('changeRoomHistoryMaxSize', { roomName: room, size: 100 })
    await party.does('emitToChannel', { channel: room, eventName: 'an event of ours', args: [1] })
    await party.does('deleteRoom', { roomName: room })
    await party.does('addRoom', { roomName: room })
    assert.deepEqual(await a.ask('roomJoin', room), [null, 1])
    assert.deepEqual(await a.ask('roomMessage', room, { textMessage: 'anew' }), [null, 1])

    const [first, second] = await told(room, 2, ([first, second]) =>
      of(second, 'message.inserted').length > 0 && types(first).includes('room.vacated') && types(first).includes('room.cleared'))
    const goes = ({ type }) => type === 'member.left' || type === 'room.vacated'
    assert.deepEqual(types(first.filter(event => !goes(event))),
      ['room.occupied', 'member.joined', 'member.joined', 'message.inserted', 'message.inserted', 'room.cleared'])
    assert.deepEqual(of(first, 'member.joined').map(({ uid }) => uid), [a.user, b.user], 'each user once')
    assert.deepEqual(of(first, 'member.left').map(({ uid, reason }) => `${uid} ${reason}`).sort(), [`${a.user} removed`, `${b.user} removed`].sort())
    const said = of(first, 'message.inserted').map(({ uid, index, message: { timestamp, ...message } }) => {
      assert.equal(typeof timestamp, 'number')
      return { uid, id: index + 1, message }
    })
    assert.deepEqual(said, [
      { uid: a.user, id: 1, message: { textMessage: 'one', author: a.user } },
      { uid: b.user, id: 2, message: { picture: { type: 'Buffer', data: [1, 2, 255] }, author: b.user } },
    ])
    assert.deepEqual(types(second), ['room.occupied', 'member.joined', 'message.inserted'])
    assert.equal(of(second, 'message.inserted')[0].index, 0)
    for (const { body, data } of received) {
      for (const secret of ['a secret', 'somebody listed', 'historyMaxSize', 'an event of ours', 'Echo']) assert(!body.includes(secret), body)
      assert(data.roomId === null || data.space === 'chat-service' && !data.roomId.includes(':'), body)
    }
  })

  scene('the messages of a user are erased, and their ids stay', async party => {
    const [a, b] = [await party.user('ann'), await party.user('ben')]
    const room = await party.room()
    await party.enter(room, a, b)
    for (const [i, who] of [a, b, a, a].entries()) {
      const message = { textMessage: `${i}`, ...who === a && i === 2 && { data: Buffer.from('abc') } }
      assert.deepEqual(await who.ask('roomMessage', room, message), [null, i + 1])
    }
    const node = party.server.nodeForCall()
    const { job } = await v1(node, 'erase', { uid: a.user })
    await eventually('the erasing', () => v1(node, `jobs/${job}`), ({ state }) => state === 'done')
    const ids = async (...args) => {
      const [error, messages] = await b.ask(...args)
      assert.equal(error, null)
      return messages.map(({ id, author }) => `${id} ${author}`)
    }
    const bens = [`2 ${b.user}`]
    assert.deepEqual(await ids('roomHistoryGet', room, 0, 10), bens)
    assert.deepEqual(await ids('roomRecentHistory', room), bens)
    assert.deepEqual(await ids('roomHistoryGet', room, 2, 10), [])
    assert.deepEqual(await b.ask('roomMessage', room, { textMessage: 'later' }), [null, 5])
    assert.deepEqual(await ids('roomHistoryGet', room, 2, 2), [`5 ${b.user}`], 'an answer without messages is the end')
    assert.equal((await b.ask('roomHistoryInfo', room))[1].lastMessageId, 5)
  })
})
