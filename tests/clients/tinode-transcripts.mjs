// Plays each recording of a real Tinode server (../transcripts/tinode) and compares what each session is told: on one node and on two, by WebSockets and by
// long polling, and there with each request at another node than the last.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { WIRES } from './tinode/client.mjs'
import { comparable, Names } from './tinode/match.mjs'
import { endsMeanwhile } from './tinode/people.mjs'
import { PollSocket } from './tinode/poll.mjs'
import { compare, RECORDINGS, Replay } from './tinode/recording.mjs'
import { settings, SITES } from './tinode/stage.mjs'

assert.ok(RECORDINGS.length > 0, 'there are recordings')

const wires = ({ clustered }, stage) => ({
  'by WebSockets': WIRES.websocket,
  'by long polling': WIRES.polling,
  ...clustered && { 'by long polling, of all nodes in turn': (_, options) => new PollSocket(stage.server.nodes, options) },
})

describe('what is taken for as recorded', () => {
  const ctrl = (more = {}) => ({ ctrl: { id: '1', code: 200, text: 'ok', ts: '{ts}', ...more } })
  const at = (time = '2026-12-01T01:18:47.181Z') => ctrl({ ts: time })
  const pres = src => ({ pres: { topic: 'me', src, what: 'on' } })
  const sub = (...rows) => ({ meta: { topic: 'me', sub: rows } })
  const [ann, ben] = ['usrAAAAAAAAAAE', 'usrAAAAAAAAAAI']
  for (const [title, expected, got, is] of [
    ['the same', [ctrl()], [at()], true],
    ['a time without its zeros', [ctrl()], [at('2026-12-01T01:18:47.1Z')], true],
    ['a time without a fraction', [ctrl()], [at('2026-12-01T01:18:47Z')], true],
    ['a time with microseconds', [ctrl()], [at('2026-12-01T01:18:47.181234Z')], false],
    ['no time', [ctrl()], [{ ctrl: { id: '1', code: 200, text: 'ok' } }], false],
    ['another code', [ctrl()], [{ ctrl: { ...at().ctrl, code: 201 } }], false],
    ['a field more', [ctrl()], [{ ctrl: { ...at().ctrl, topic: 'me' } }], false],
    ['params that are null', [ctrl({ params: null })], [at()], true],
    ['presence before a reply', [ctrl(), pres(ann)], [pres(ann), at()], true],
    ['presence of somebody else', [ctrl(), pres(ann)], [at(), pres(ben)], false],
    ['presence twice', [ctrl(), pres(ann)], [pres(ann), pres(ann)], false],
    ['replies in another order', [ctrl(), sub({ a: 1 })], [sub({ a: 1 }), at()], false],
    ['a name for one user', [pres('{usr:a}'), pres('{usr:a}')], [pres(ann), pres(ann)], true],
    ['a name for two users', [pres('{usr:a}'), pres('{usr:a}')], [pres(ann), pres(ben)], false],
    ['a name for what is no user', [pres('{usr:a}')], [pres('grpAAAAAAAAAAA')], false],
    ['rows in another order', [sub({ user: '{usr:a}', seq: 1 }, { user: '{usr:b}', seq: 2 })], [sub({ user: ben, seq: 2 }, { user: ann, seq: 1 })], true],
    ['rows of others', [sub({ user: ann, seq: 1 }, { user: ben, seq: 2 })], [sub({ user: ben, seq: 1 }, { user: ann, seq: 2 })], false],
    ['another count of members', [sub({ subcnt: 2 })], [sub({ subcnt: 3 })], true],
  ]) it(title, () => {
    const differs = compare(expected.map(comparable), got.map(comparable), new Names())
    assert.equal(differs === undefined, is, differs)
  })
})

// All at once: a session that polls no more is missed after a minute, and each recording has accounts of its own.
describe('recordings', { concurrency: SITES.length }, () => {
  for (const site of SITES) describe(site.name, { concurrency: true }, () => {
    const stage = {}
    before(async () => { stage.server = await site.start({ title: 'recordings of Tinode', env: settings({}) }) })
    after(() => endsMeanwhile(stage.server))

    for (const [way, wire] of Object.entries(wires(site, stage))) describe(way, { concurrency: 1 }, () => {
      for (const recording of RECORDINGS) it(`${recording.name} is as recorded`, () => new Replay(recording, stage.server, wire).play())
    })
  })
})
