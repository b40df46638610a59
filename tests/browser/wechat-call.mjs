// Two people in real browsers hold calls on examples/wechat: pictures and sound of both arrive, directly and through a real coturn; calls are refused, cancelled and
// lost; and they go on while the server is out of reach.
import { strict as assert } from 'node:assert'
import { describe, test } from 'node:test'
import { Coturn } from '../clients/wechat/coturn.mjs'
import { PHONE } from './board.mjs'
import { stage } from './wechat.mjs'

/** A call from one to the other, answered, in which both see and hear the other. */
async function talk(ann, ben) {
  await ann.calls(ben)
  await ann.phase('inviting')
  await ben.phase('ringing')
  await ben.button('Accept').click()
  for (const person of [ann, ben]) await person.phase('talking')
  for (const person of [ann, ben]) {
    await person.seesFrames(30)
    await person.receives()
  }
}

async function ended(...people) {
  for (const person of people) {
    await person.noCall()
    await person.hasLetGo()
  }
}

describe('calls', () => {
  const here = stage()

  for (const [who, i] of [['the caller', 0], ['the callee', 1]]) test(`two see and hear each other, and ${who} hangs up`, async () => {
    const both = await here.pair('Ann', 'Ben', [{}, { viewport: PHONE, hasTouch: true }])
    await talk(...both)
    for (const person of both) assert.deepEqual((await person.way()).includes('relay'), false)
    await both[i].button('Hang up').click()
    await ended(...both)
    for (const person of both) await person.notice('The call has ended.')
    // And once more, the other way round.
    await talk(both[1], both[0])
    await both[i].button('Hang up').click()
    await ended(...both)
  })

  test('a call is refused, one is cancelled, and one finds nobody', async () => {
    const [ann, ben] = await here.pair()
    await ann.calls(ben)
    await ben.phase('ringing')
    assert.match(await ben.page.title(), /^Ann calls you/)
    await ben.button('Refuse').click()
    await ended(ann, ben)
    await ann.notice('The call was refused.')
    await ann.page.locator('#call-peer').click()
    await ben.phase('ringing')
    await ann.button('Cancel').click()
    await ended(ann, ben)
    await ben.notice('The call was cancelled.')
    await ben.close()
    await ann.page.clock.install()
    await ann.page.locator('#call-peer').click()
    await ann.phase('inviting')
    await ann.page.clock.runFor(61_000)
    await ended(ann)
    await ann.notice('Nobody answered.')
  })

  test('who comes in while it rings is called as well; who is in a call is not', async () => {
    const [ann, ben] = await here.pair()
    const cleo = await here.user('Cleo')
    await cleo.adds(ben)
    await ben.page.reload({ waitUntil: 'commit' })
    await ann.calls(ben)
    await ben.phase('ringing')
    await cleo.calls(ben)
    await cleo.notice('The call was refused.')
    await ben.button('Accept').click()
    await ann.seesFrames(10)
    await cleo.page.locator('#call-peer').click()
    await cleo.notice('The call was refused.')
    await ben.seesFrames(10)
    await ann.button('Hang up').click()
    await ended(ann, ben, cleo)
  })

  test('both call each other at the same moment: one call comes of it', async () => {
    const [ann, ben] = await here.pair()
    for (const person of [ann, ben]) await person.holds()
    for (const [one, other] of [[ann, ben], [ben, ann]]) {
      await one.calls(other)
      await one.phase('inviting')
    }
    for (const person of [ann, ben]) await person.lets()
    for (const person of [ann, ben]) {
      await person.phase('talking')
      await person.seesFrames(10)
    }
    await ben.button('Hang up').click()
    await ended(ann, ben)
  })

  test('the microphone and the camera are switched off and on', async () => {
    const [ann, ben] = await here.pair()
    await talk(ann, ben)
    const tracks = () => ann.page.evaluate(() => document.getElementById('local').srcObject.getTracks().map(({ kind, enabled }) => [kind, enabled]))
    for (const [name, kind] of [['Microphone', 'audio'], ['Camera', 'video']]) for (const on of [false, true]) {
      await ann.button(name).click()
      assert.equal(await ann.button(name).getAttribute('aria-pressed'), String(on))
      assert.deepEqual(Object.fromEntries(await tracks())[kind], on)
    }
    await ben.seesFrames(10)
    await ann.button('Hang up').click()
    await ended(ann, ben)
  })

  test('without a camera and a microphone one still sees and hears', async () => {
    const [ann, ben] = await here.pair()
    await ben.page.evaluate(() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('none', 'NotFoundError') } })
    for (const [caller, callee] of [[ann, ben], [ben, ann]]) {
      await caller.calls(callee)
      await callee.phase('ringing')
      await callee.button('Accept').click()
      for (const person of [ann, ben]) await person.phase('talking')
      await ben.seesFrames(20)
      await ben.receives({ packets: 20, frames: 20 })
      await ben.page.getByText('Neither camera nor microphone').waitFor()
      assert.equal(await ann.page.textContent('#call-note'), '')
      assert.equal(await ben.button('Camera').isDisabled(), true)
      await ben.button('Hang up').click()
      await ended(ann, ben)
    }
  })

  test('with a microphone alone one is heard, and is told so', async () => {
    const [ann, ben] = await here.pair()
    await ben.page.evaluate(() => {
      const { mediaDevices } = navigator
      const ask = mediaDevices.getUserMedia.bind(mediaDevices)
      mediaDevices.getUserMedia = async wanted => {
        if (wanted.video) throw new DOMException('none', 'NotFoundError')
        return ask(wanted)
      }
    })
    await ann.calls(ben)
    await ben.button('Accept').click()
    await ben.page.getByText('No camera: you can be heard, not seen.').waitFor()
    for (const person of [ann, ben]) await person.phase('talking')
    assert.equal(await ben.button('Camera').isDisabled(), true)
    assert.equal(await ben.button('Microphone').isDisabled(), false)
    await ann.button('Hang up').click()
    await ended(ann, ben)
  })

  test('a call that rings goes to the newest window', async () => {
    const [ann, ben] = await here.pair()
    await ann.calls(ben)
    await ben.phase('ringing')
    const newest = await here.visitor('Ben again')
    Object.assign(newest, { phone: ben.phone, password: ben.password })
    await newest.logsIn()
    await ben.noCall()
    await newest.phase('ringing')
    await newest.button('Accept').click()
    for (const person of [ann, newest]) await person.phase('talking')
    await ann.seesFrames(10)
    await newest.button('Hang up').click()
    await ended(ann, newest)
  })

  test('a page that goes ends the call, and one that was loaded again knows nothing of it', async () => {
    const [ann, ben] = await here.pair()
    await talk(ann, ben)
    await ben.page.reload()
    await ended(ann)
    await ben.isOnline()
    await talk(ann, ben)
    await ben.close()
    await ended(ann)
  })

  test('a call outlives the connections to the server, and begins without one of them', async () => {
    const line = await here.line()
    const [ann, ben] = await here.pair('Ann', 'Ben', [{ line }, {}])
    await talk(ann, ben)
    line.cut()
    await ann.page.locator('#state[data-state=waiting]').waitFor({ state: 'attached' })
    for (const person of [ann, ben]) await person.seesFrames(60)
    // It hangs up while nobody can be told; the other is told later.
    await ann.button('Hang up').click()
    await ended(ann)
    line.mend()
    await ended(ben)
    await ann.isOnline()

    // The caller loses the server just when the call is accepted.
    await ann.page.locator('#call-peer').click()
    await ben.phase('ringing')
    line.cut()
    await ann.page.locator('#state[data-state=waiting]').waitFor({ state: 'attached' })
    await ben.button('Accept').click()
    await ben.phase('connecting')
    line.mend()
    for (const person of [ann, ben]) await person.phase('talking')
    for (const person of [ann, ben]) await person.seesFrames(30)
    await ben.button('Hang up').click()
    await ended(ann, ben)
  })
})

describe('through TURN', () => {
  const coturn = Coturn.forTests()
  const here = stage(() => ({ TURN_URLS: coturn.urls, TURN_SECRET: coturn.secret }))

  test('with relays only, two see and hear each other by a real coturn', async () => {
    const both = await here.pair('Ann', 'Ben', [{ path: '?relay' }, { path: '?relay' }])
    await talk(...both)
    for (const person of both) {
      assert.deepEqual(await person.way(), ['relay', 'relay'])
      assert.ok(coturn.allocationsOf(person.phone) > 0, `coturn has given ${person.name} no relay:\n${coturn.report()}`)
    }
    await both[0].button('Hang up').click()
    await ended(...both)
  })

  test('without that, coturn is only offered', async () => {
    const both = await here.pair()
    await talk(...both)
    assert.deepEqual(await both[0].page.evaluate(() => connections.at(-1).getConfiguration().iceServers.map(({ urls }) => urls)), [coturn.urls])
    await both[1].button('Hang up').click()
    await ended(...both)
  })
})

describe('without TURN', () => {
  const here = stage()
  test('with relays only there is no way: the call is given up', async () => {
    const [ann, ben] = await here.pair('Ann', 'Ben', [{ path: '?relay' }, {}])
    await ann.page.clock.install()
    await ann.calls(ben)
    await ben.phase('ringing')
    await ben.button('Accept').click()
    await ann.phase('connecting')
    await ann.page.clock.runFor(61_000)
    await ann.notice('The call was lost.')
    await ended(ann, ben)
  })
})
