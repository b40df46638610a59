// A person with a session that a test takes step by step, and what such a person does in a room.
import assert from 'node:assert/strict'
import { sendAll, unpacked } from '../messages.mjs'
import { JOINED, STORED, SUCCESS } from '../party.mjs'
import { Session } from './session.mjs'

/** Surrogate pairs, what is escaped as `\/`, what is raw, what is a control character. */
const UNICODE = 'é😀 /a/é😀 日本語 👩‍👩‍👧 " \\ \u0001 \u2028'

/** A person of a party with a session of its own making, and somebody with another client in the same room. */
export class Member {
  constructor(party, session, { uid, token }) { Object.assign(this, { party, session, uid, token }) }

  static async of(party, session) {
    const uid = party.fresh('phone')
    const member = new Member(party, session, { uid, token: await party.server.token(uid) })
    member.room = party.fresh('room')
    member.witness = await party.user('witness')
    await party.enter(member.witness, member.room)
    return member
  }

  async signIn() {
    await this.session.tell('authenticate', { uid: this.uid, token: this.token })
    await this.session.sees(SUCCESS)
  }

  async enter() {
    await this.session.tell('join', { roomId: this.room })
    await this.session.sees(JOINED, ['remote_join', { uid: this.witness.uid }])
    await this.witness.sees(['remote_join', { uid: this.uid }])
  }

  /** Both say something with all kinds of letters, and hear each other. @returns both messages, as others see them */
  async talks(text = UNICODE) {
    const sent = { s: 0, 1: `phone ${text}`, data: { text, [text]: [1, null, true] } }
    assert.deepEqual(await this.session.ask('msg', sent), [STORED])
    const own = { ...sent, 2: this.uid }
    await this.witness.sees(['msg', own])
    const [theirs] = await sendAll(this.witness, [{ s: 0, 1: 'witness', data: { text, [text]: text } }])
    await this.session.sees(['msg', theirs])
    return [own, theirs]
  }

  /** The whole log, plain and packed. */
  async reads(log) {
    for (const encoding of [undefined, 'gzip']) {
      await this.session.tell('sync', { offset: 0, ...encoding && { encoding } })
      const packet = await this.session.next()
      assert.equal(packet.data?.[0], 'sync', packet.text)
      const page = packet.data[1]
      assert.equal(page.encoding, encoding)
      assert.deepEqual(encoding ? unpacked(page.data) : page.data, log)
      await this.witness.sees(['remote_sync', { uid: this.uid }])
    }
  }

  /** Says goodbye, and is told to go. */
  async leaves() {
    await this.session.tell('leave')
    assert.equal((await this.session.next()).text, '41')
    await this.witness.sees(['remote_leave', { uid: this.uid }])
    await this.isMissed()
  }

  isMissed() { return this.witness.sees(['remote_disconnect', { uid: this.uid }]) }
}

/** A member who talks, reads and leaves: all that there is. */
export async function story(party, session) {
  const member = await Member.of(party, session)
  await member.signIn()
  await member.enter()
  await member.reads(await member.talks())
  await member.leaves()
}

/** The ways in: each begins a session, with CONNECT where it needs one. */
export const WAYS = {
  polling: async app => {
    const session = await Session.begin(app)
    await session.connect()
    return session
  },
  'polling with upgrade': async app => {
    const session = await WAYS.polling(app)
    await session.upgrade()
    return session
  },
  websocket: async app => {
    const session = await Session.beginWebSocket(app)
    await session.connect()
    return session
  },
}
