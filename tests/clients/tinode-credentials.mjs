// Addresses of Tinode's clients that have to be confirmed, on one node and on two, by mail and by a hook.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe } from 'node:test'
import { Business, raw } from './chat-service/business.mjs'
import { base64, HI } from './tinode/client.mjs'
import { startMail } from './tinode/mail.mjs'
import { stand } from './tinode/people.mjs'
import { SITES } from './tinode/stage.mjs'

/** Settings of a server where addresses have to be confirmed, by mail. */
const mailed = mail => ({
  REQUIRED_CREDENTIALS: 'email', SMTP_HOST: '127.0.0.1', SMTP_PORT: mail.port, SMTP_TLS: 'off', SMTP_FROM: 'Chat <chat@example.org>', RATE_LIMIT: 'off',
})

const mail = await startMail()
const business = await Business.open({ names: ['hook'] })
business.server.unref() // also where no test is run
business.on('credential', undefined)
after(() => business.close())

const address = name => `${name}${randomBytes(4).toString('hex')}@example.org`

function confirmed(scene, codes) {
  scene('hi says what is required', async people => {
    const { params } = await (await people.opens('ann')).does('hi', HI, 201)
    assert.deepEqual(params.reqCred, { auth: ['email'] })
  })

  scene('an account needs an address, and a session the code that was sent there', async people => {
    const client = await people.greets('ann')
    const { login, password, fields } = people.new('ann')
    await client.does('acc', { ...fields, login: true }, 422, { creds: ['email'] })
    await client.does('acc', { ...fields, login: true, cred: [{ meth: 'tel', val: '+4912345' }] }, 422, { creds: ['email'] })
    const val = address('ann')
    const { params, text } = await client.does('acc', { ...fields, login: true, cred: [{ meth: 'email', val }] }, 300)
    assert.equal(text, 'validate credentials')
    assert.deepEqual(params.cred, ['email'])
    assert.match(params.token, /^[\w+/]{67}=$/)
    assert.match(params.user, /^usr/)
    await client.does('sub', { topic: 'me' }, 401)
    const code = await codes.code(val)
    const confirms = (resp, expected, scheme = 'basic') => client.does('login', {
      scheme, secret: scheme === 'basic' ? base64(`${login}:${password}`) : params.token, cred: [{ meth: 'email', resp }],
    }, expected)
    assert.deepEqual((await confirms('000000' === code ? '000001' : '000000', 300)).params.cred, ['email'])
    await client.logsIn(`${login}:${password}`, 300)
    await client.does('sub', { topic: 'me' }, 401)
    const reply = await confirms(code, 200, 'token')
    assert.equal(reply.params.user, params.user)
    await client.subs('me')
    const { cred, tags } = await client.gets('me', 'cred tags')
    assert.deepEqual(cred, [{ meth: 'email', val, done: true }])
    assert.ok(tags.includes(`email:${val}`) && tags.includes(`basic:${login}`))
    await (await people.greets('ann')).logsIn(`${login}:${password}`)
    await client.does('del', { topic: 'me', what: 'cred', cred: { meth: 'email', val } }, 422)
    const other = await people.greets('ben')
    await other.does('acc', { ...people.new('ben').fields, cred: [{ meth: 'email', val }] }, 409)
  })

  scene('a token that was given for confirming opens nothing else', async people => {
    const client = await people.greets('ann')
    const { params } = await client.does('acc', { ...people.new('ann').fields, cred: [{ meth: 'email', val: address('ann') }] }, 300)
    for (const session of [client, await people.greets('ann')]) await session.logsIn(params.token, 300)
    await client.does('get', { topic: 'me', what: 'desc' }, 401)
  })

  scene('ten wrong codes are enough', async people => {
    const client = await people.greets('ann')
    const val = address('ann')
    const { login, password, fields } = people.new('ann')
    await client.does('acc', { ...fields, cred: [{ meth: 'email', val }] }, 300)
    const code = await codes.code(val)
    const tries = resp => client.ask('login', { scheme: 'basic', secret: base64(`${login}:${password}`), cred: [{ meth: 'email', resp }] })
    for (let i = 0; i < 10; i++) assert.notEqual((await tries(code === '111111' ? '222222' : '111111')).code, 200)
    assert.notEqual((await tries(code)).code, 200, 'not even the right one counts any more')
  })

  scene('whoever gives an address up and names it again has no further tries', async people => {
    const client = await people.enters(await member(people, codes))
    const val = address('victim')
    const cred = more => client.ask('set', { topic: 'me', cred: { meth: 'email', val, ...more } })
    let tries = 0
    for (let round = 0; round < 6; round++) {
      if ((await cred()).code !== 200) break
      for (let i = 0; i < 3; i++) {
        await cred({ resp: 'wrong' })
        tries++
      }
      await client.does('del', { topic: 'me', what: 'cred', cred: { meth: 'email', val } }, 200)
    }
    assert.equal(tries, 12, 'it is refused where ten were wrong')
    await client.does('set', { topic: 'me', cred: { meth: 'email', val: address('other') } }, 422)
  })

  scene('one address is sent so many codes a day, whoever asks for them', async people => {
    const val = address('victim')
    const codeOf = async client => (await client.ask('set', { topic: 'me', cred: { meth: 'email', val } })).code
    for (const name of ['ann', 'ben', 'cat']) {
      const client = await people.enters(await member(people, codes, name))
      for (let i = 0; i < 10; i++) {
        assert.equal(await codeOf(client), 200)
        await client.does('del', { topic: 'me', what: 'cred', cred: { meth: 'email', val } }, 200)
      }
      assert.equal(await codeOf(client), 422, 'nor is one user')
    }
    assert.equal(await codeOf(await people.enters(await member(people, codes, 'dan'))), 422)
  })

  scene('another address is added, confirmed and taken away', async people => {
    const ann = await member(people, codes)
    const client = await people.enters(ann)
    const val = address('anna')
    await client.does('set', { topic: 'me', cred: { meth: 'email', val } }, 200)
    const pending = (await client.gets('me', 'cred')).cred
    assert.deepEqual(pending.filter(({ done }) => !done).map(({ val }) => val), [val])
    await client.does('set', { topic: 'me', cred: { meth: 'email', val, resp: '1' } }, 401)
    await client.does('set', { topic: 'me', cred: { meth: 'email', val, resp: await codes.code(val) } }, 200)
    assert.deepEqual((await client.gets('me', 'cred')).cred.map(({ val, done }) => [val, done]).sort(), [[ann.address, true], [val, true]].sort())
    await client.does('del', { topic: 'me', what: 'cred', cred: { meth: 'email', val: ann.address } }, 200)
    assert.deepEqual((await client.gets('me', 'cred')).cred, [{ meth: 'email', val, done: true }])
    assert.ok(!(await client.gets('me', 'tags')).tags.includes(`email:${ann.address}`))
    await client.does('del', { topic: 'me', what: 'cred', cred: { meth: 'email', val } }, 422)
    await client.does('del', { topic: 'me', what: 'cred', cred: { meth: 'email', val: ann.address } }, 304)
    for (const bad of ['', 'x', '@', 'a@', '@b', 'a b@c', `${'x'.repeat(400)}@example.org`, 'a@b\r\nBcc: c@d']) {
      const { code } = await client.ask('set', { topic: 'me', cred: { meth: 'email', val: bad } })
      assert.ok([400, 422].includes(code), `${bad}: ${code}`)
    }
    await client.does('set', { topic: 'me', cred: { meth: 'tel', val: '+4912345' } }, 400)
  })

  scene('an address that is confirmed finds its owner', async people => {
    const [ann, ben] = [await member(people, codes), await member(people, codes, 'ben')]
    const client = await people.signs(ben)
    await client.subs('fnd')
    await client.does('set', { topic: 'fnd', desc: { public: `email:${ann.address}` } }, 200)
    const { sub: [found] } = await client.gets('fnd', 'sub')
    assert.deepEqual([found.topic, found.private], [ann.id, [`email:${ann.address}`]])
  })
}

/** Somebody whose address is confirmed. */
async function member(people, codes, name = 'ann') {
  const person = people.new(name), val = address(name)
  const client = await people.greets(name)
  await client.does('acc', { ...person.fields, cred: [{ meth: 'email', val }] }, 300)
  const resp = await codes.code(val)
  const { params } = await client.logsIn(`${person.login}:${person.password}`, 200, { cred: [{ meth: 'email', resp }] })
  return Object.assign(person, { id: params.user, token: params.token, address: val })
}

for (const site of SITES) describe(site.name, () => {
  describe('addresses that are confirmed by mail', () => {
    const { scene } = stand(site, { title: 'accounts: mail', values: mailed(mail) })
    confirmed(scene, mail)
    scene('the mail says what it is, to nobody else', async people => {
      const ann = await member(people, mail)
      const [letter] = mail.letters.filter(({ to }) => to.includes(ann.address))
      assert.deepEqual(letter.to, [ann.address])
      assert.equal(letter.from, 'chat@example.org')
      assert.match(letter.text, /^From: .*chat@example\.org/m)
      assert.match(letter.text, /^Subject: ./m)
    })
  })

  describe('addresses that are confirmed by a hook', () => {
    const values = () => ({ REQUIRED_CREDENTIALS: 'email', ...business.settings(['credential']) })
    const { scene } = stand(site, { title: 'accounts: hook', values })
    const codes = {
      async code(val) {
        const body = (await business.called('credential', { fits: ({ to }) => to === val })).at(-1)
        assert.equal(body.method, 'email')
        assert.match(body.code, /^\d{6}$/)
        assert.equal(body.lang, HI.lang)
        return body.code
      },
    }
    confirmed(scene, codes)
    scene('signatures are right', async () => assert.deepEqual(business.problems, []))
    scene('where the hook fails the account is there, and a code is asked for again', async people => {
      const val = address('ann')
      const { login, password, fields } = people.new('ann')
      const client = await people.greets('ann')
      business.on('credential', raw(500))
      await client.does('acc', { ...fields, cred: [{ meth: 'email', val }] }, 300)
      business.on('credential', undefined)
      await client.does('login', { scheme: 'basic', secret: base64(`${login}:${password}`), cred: [{ meth: 'email', val }] }, 300)
      const all = await business.called('credential', { fits: ({ to }) => to === val, count: 2 })
      await client.does('login', { scheme: 'basic', secret: base64(`${login}:${password}`), cred: [{ meth: 'email', resp: all.at(-1).code }] }, 200)
    })
  })

  describe('where nothing can be sent', () => {
    const { scene } = stand(site, { title: 'accounts: no mail' })
    scene('an address that is offered is no hindrance, and set nowhere', async people => {
      const ann = await people.user('ann', { cred: [{ meth: 'email', val: address('ann') }] })
      const client = await people.enters(ann)
      assert.deepEqual((await client.gets('me', 'cred')).codes, [204])
      await client.does('set', { topic: 'me', cred: { meth: 'email', val: address('ann') } }, 405)
    })
  })
})
