// What was done while each transcript was recorded (tests/transcripts/README.md), step by step with real clients.
// Each step waits for the events it must cause, so the next one never overtakes it.

/** By the name of the transcript's file. Each gets the `Recording`. */
export const SCENARIOS = {
  async auth_ok(recording) {
    const a = await recording.guest('a')
    await recording.step(a, 'authenticate', a.credentials)
  },

  async auth_bad_token(recording) {
    const a = await recording.guest('a')
    await recording.step(a, 'authenticate', { ...a.credentials, token: 'wrong' })
    await a.has('disconnect')
  },

  async join_no_room(recording) {
    const a = await recording.user('a-nr')
    await recording.step(a, 'join', {})
    await recording.step(a, 'join', { roomId: '' })
  },

  async join_presence(recording) {
    await recording.gather('a-jp', 'b-jp', 'c-jp')
  },

  async join_dummy(recording) {
    const [a] = await recording.gather('a-jd')
    const d = await recording.member('d-jd', { dummy: true })
    const c = await recording.member('c-jd')
    d.tell('msg', { s: 0, 1: 'm', data: 'no' })
    a.tell('msg', { s: 0, 1: 'm', data: 'yes' })
    await Promise.all([c.has('msg'), d.has('msg')])
    await recording.step(d, 'sync', { offset: 0 })
    await recording.goes(d)
  },

  async kickout(recording) {
    const [, b] = await recording.gather('a-ko', 'b-ko')
    await recording.member('b2', { as: b })
    await b.has('disconnect')
  },

  async leave(recording) {
    const [a, b] = await recording.gather('a-lv', 'b-lv')
    b.tell('leave')
    await b.has('disconnect')
    await a.has('remote_disconnect')
  },

  async msg_short(recording) {
    const [a, b] = await recording.gather('a-ms', 'b-ms')
    a.tell('msg', { s: 0, 1: 'id1', data: { x: [1, 'é', null, true, 1.5] }, extra: 'kept' })
    await b.has('msg')
  },

  async storage_types(recording) {
    const [a, b] = await recording.gather('a-st', 'b-st')
    const sent = [['i1', 'ins1', 0], ['u1', 'upd1', 1], ['u1', 'upd1b', 1], ['g1', 'ign', 2], ['i2', 'ins2', 0], ['w', 'unknown-s', 7], ['n', 'no-s']]
    for (const [id, data, s] of sent) a.tell('msg', s === undefined ? { 1: id, data } : { 1: id, data, s })
    await b.has('msg', sent.length)
    await recording.step(b, 'sync', { offset: 0 })
    await a.has('remote_sync')
    await recording.step(b, 'sync', { offset: 2 })
  },

  async sync_gzip(recording) {
    const [a, b] = await recording.gather('a-sg', 'b-sg')
    for (let i = 0; i < 5; i++) a.tell('msg', { s: 0, 1: `m${i}`, data: `héllo${i}` })
    await b.has('msg', 5)
    await recording.step(b, 'sync', { offset: 0, encoding: 'gzip' })
    await a.has('remote_sync')
    await recording.step(b, 'sync', { offset: 0 })
    await a.has('remote_sync', 2)
  },
}

/** The HTTP transcript: `result` by step. `uid` is `hc-` and the salt. */
export async function httpCodes(server, uid) {
  const post = (...request) => server.user(...request)
  return {
    noauth: await post('create_token', { json: { uid } }, {}),
    badauth: await post('create_token', { json: { uid } }, { uid: server.admin.uid, token: 'wrong' }),
    created: await post('create_token', { json: { uid } }),
    again: await post('create_token', { json: { uid } }),
    nouid: await post('create_token', { json: {} }),
    refreshed: await post('refresh_token', { json: { uid } }),
    refresh_unknown: await post('refresh_token', { json: { uid: `${uid}x` } }),
    refresh_nouid: await post('refresh_token', { json: {} }),
    form: await post('create_token', { form: { uid: `${uid}form` } }),
  }
}
