// Bad input by the port of the clients, frame by frame, that no proper client sends: deep, huge, cut off, many at once. In every case those who are in a room
// beside it notice nothing, and the sender is answered, ignored, or loses its own connection.
import assert from 'node:assert/strict'
import { after, describe } from 'node:test'
import { Frames } from './chat-service/frames.mjs'
import { stand } from './chat-service/party.mjs'
import { ALL_ON, SITES } from './chat-service/stage.mjs'

const NS = '/chat-service'
const nested = depth => '['.repeat(depth) + ']'.repeat(depth)
const packet = (...elements) => `42${NS},7[${elements.join(',')}]`
const binary = (count, ...elements) => `45${count}-${NS},7[${elements.join(',')}]`
const placeholder = num => `{"_placeholder":true,"num":${num}}`
const keys = count => `{${Array.from({ length: count }, (_, i) => `"k${i}":${i}`).join(',')}}`
const twins = count => `{${Array(count).fill('"textMessage":"x"').join(',')}}`

/** Frames that one after another are sent by a client of its own, in a room `ROOM` that it has joined. */
const FRAMES = {
  'a message that is nested 100,000 deep': [packet('"roomMessage"', '"ROOM"', nested(100_000))],
  'a field that is nested 1,000 deep': [packet('"roomMessage"', '"ROOM"', `{"textMessage":${nested(1000)}}`)],
  'a system message that is nested 100,000 deep': [packet('"systemMessage"', nested(100_000))],
  'arguments beyond a command’s own, nested 100,000 deep': [packet('"roomLeave"', '"ROOM"', nested(100_000))],
  'a million arguments beyond a command’s own': [packet('"roomLeave"', '"ROOM"', '0' + ',0'.repeat(999_999))],
  'a message with 100,000 fields': [packet('"roomMessage"', '"ROOM"', keys(100_000))],
  'a message with one field 100,000 times': [packet('"roomMessage"', '"ROOM"', twins(100_000))],
  'a system message with 100,000 fields': [packet('"systemMessage"', keys(100_000))],
  'a message of 2.9 MB': [packet('"roomMessage"', '"ROOM"', `{"textMessage":"${'x'.repeat(2_900_000)}"}`)],
  'a name of 2.9 MB': [packet('"roomJoin"', `"${'x'.repeat(2_900_000)}"`)],
  '100,000 names': [packet('"roomAddToList"', '"ROOM"', '"whitelist"', `[${Array.from({ length: 100_000 }, (_, i) => `"n${i}"`).join(',')}]`)],
  'a list with names of every wrong type': [packet('"roomAddToList"', '"ROOM"', '"whitelist"', `["a",null,1,{},[],true,${nested(1000)}]`)],
  'half a surrogate': [packet('"roomMessage"', '"ROOM"', '{"textMessage":"\\ud800"}')],
  'numbers beyond all measure': [packet('"roomHistoryGet"', '"ROOM"', '1e400', '-0'), packet('"roomHistoryGet"', '"ROOM"', '9'.repeat(10_000), '1')],
  'no JSON': [`42${NS},7["roomMessage","ROOM"`, `42${NS},7{}`, `42${NS},7`, `42${NS},7[`, `42${NS},7[1,2]`, `42${NS},7[null]`],
  'a placeholder without bytes': [packet('"roomMessage"', '"ROOM"', `{"textMessage":${placeholder(0)}}`)],
  'placeholders that name none of the bytes': [binary(1, '"roomMessage"', '"ROOM"', `{"a":${placeholder(1)},"b":${placeholder(-1)},"c":${placeholder('"0"')},"d":${placeholder(1e9)}}`), Buffer.from('x')],
  'bytes in the place of a name': [binary(1, '"roomJoin"', placeholder(0)), Buffer.from('ROOM')],
  'bytes in the place of a command': [binary(1, placeholder(0), '"ROOM"'), Buffer.from('roomJoin')],
  'bytes that are not announced': [Buffer.from('x')],
  'bytes that never come': [binary(3, '"systemMessage"', placeholder(0)), Buffer.from('x'), packet('"roomLeave"', '"ROOM"')],
  'a thousand attachments and one': [binary(1001, '"systemMessage"', placeholder(0))],
  'an answer that nobody asked for': [`43${NS},7[]`, `461-${NS},7[${placeholder(0)}]`, Buffer.from('x')],
  'names of events that are the library’s own': ['disconnect', 'disconnecting', 'error', 'connection', 'connect', 'newListener', 'removeListener', '__proto__', 'constructor', 'toString'].map(name => packet(`"${name}"`, '{"a":1}')),
  'five thousand commands that are not waited for': Array(5000).fill(packet('"roomHistoryInfo"', '"ROOM"')),
  'five hundred logins, one behind the other': Array.from({ length: 500 }, (_, i) => [`41${NS},`, `40${NS}?user=again${i},`]).flat(),
  'a hundred rooms': Array.from({ length: 100 }, (_, i) => packet('"roomCreate"', `"made ${i}"`, 'false')),
  'namespaces that there are not': ['/', '/chat', '/chat-service/', '/CHAT-SERVICE', '/chat-service#x', `/${'x'.repeat(300)}`].map(name => `40${name}?user=x,`),
}

for (const site of SITES) describe(site.name, () => {
  const { stage, scene } = stand(site, { title: 'bad input', values: ALL_ON })
  const pids = []
  after(() => assert.deepEqual(stage.server.nodes.map(node => node.process.pid), pids, 'no server has ended'))

  for (const [title, frames] of Object.entries(FRAMES)) scene(title, async (party, { server }) => {
    pids.splice(0, pids.length, ...server.nodes.map(node => node.process.pid))
    const [a, b] = [await party.user('ann', { node: server.nodes.at(0) }), await party.user('bob', { node: server.nodes.at(-1) })]
    const room = await party.room()
    await party.enter(room, a, b)
    for (const eio of [3, 4]) {
      const hostile = await Frames.open(server.nodeForClient(), eio, { user: 'mallory' })
      try {
        await hostile.enter(`40${NS}${eio === 3 ? '?user=mallory' : ''},`, 'mallory')
        hostile.send(packet('"roomJoin"', `"${room}"`))
        hostile.send(...frames.map(frame => typeof frame === 'string' ? frame.replaceAll('ROOM', room) : frame))
        await heard(a, b, room)
        // Behind all of it a ping is answered, or the connection is gone.
        if (eio === 3) await hostile.pong().catch(() => assert.ok(hostile.closed, 'its own connection has ended'))
      } finally {
        hostile.close()
      }
    }
    await heard(b, a, room)
  })
})

/** One member says something, and the other hears it. */
async function heard(one, other, room) {
  const text = `still here ${Math.random()}`
  const [error] = await one.ask('roomMessage', room, { textMessage: text })
  assert.equal(error, null)
  await other.until(`to hear ${text}`, () => other.log.some(entry => entry.event === 'roomMessage' && entry.args[1].textMessage === text))
}
