// The unmodified npm package tinode-sdk against one node and two, over WebSockets and over long polling: the whole story of its users, and coming back.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { Line } from './cut.mjs'
import { endsMeanwhile } from './tinode/people.mjs'
import { App, Drafty, TRANSPORTS } from './tinode/sdk.mjs'
import { download, settings, SITES, upload } from './tinode/stage.mjs'

const fresh = name => `${name.toLowerCase()}${randomBytes(5).toString('hex')}`
const PASSWORD = 'a secret of tests'
const SDKS = 200

for (const site of SITES) describe(site.name, () => {
  const stage = {}
  before(async () => { stage.server = await site.start({ title: 'tinode-sdk', env: settings({}) }) })
  after(() => endsMeanwhile(stage.server))

  for (const [way, transport] of Object.entries(TRANSPORTS)) describe(`over ${way}`, () => {
    const apps = [], lines = []
    /** A test with applications that end with it. */
    const scene = (title, play) => it(title, async () => {
      try {
        await play()
      } finally {
        for (const app of apps.splice(0)) app.close()
        for (const line of lines.splice(0)) line.close()
      }
    })
    const opens = (name, url = stage.server.nodeForClient().urls.tinode) => {
      const app = new App(url, name, transport)
      apps.push(app)
      return app
    }
    const registers = (name, { url, ...more } = {}) => opens(name, url).registers(fresh(name), PASSWORD, name, more)
    /** Two who are on `me`, and talk. */
    const talkers = async (options = {}) => {
      const [a, b] = [await registers('Ann', options), await registers('Ben')]
      for (const app of [a, b]) await app.subscribes(app.me)
      const there = await a.subscribes(a.sdk.getTopic(b.id))
      await b.until('a contact', () => b.me.getContact(a.id))
      const here = await b.subscribes(b.sdk.getTopic(a.id))
      return { a, b, there, here }
    }

    scene('an account, its description, tags and token', async () => {
      const a = await registers('Ann', { tags: ['garden'] })
      assert.match(a.id, /^usr[\w-]{11}$/)
      const me = await a.subscribes(a.me)
      await a.until('its description', () => me.public?.fn === 'Ann')
      await me.setMeta({ desc: { public: { fn: 'Anna', note: 'hi' }, private: { comment: 'x' } } })
      assert.deepEqual(me.public, { fn: 'Anna', note: 'hi' })
      await me.getMeta(me.startMetaQuery().withTags().build())
      await a.until('its tags', () => [`basic:${a.secret[0]}`, 'garden'].every(tag => me.tags()?.includes(tag)))
      const { token, expires } = a.sdk.getAuthToken()
      assert.ok(new Date(expires) > new Date())
      const again = opens('again')
      await again.connected()
      await again.sdk.loginToken(token)
      assert.equal(again.id, a.id)
      const wrong = opens('wrong')
      await wrong.connected()
      await assert.rejects(wrong.sdk.loginBasic(a.secret[0], 'not the password'), error => error.code === 401 || /401/.test(error.message))
      await wrong.sdk.loginBasic(...a.secret)
      await assert.rejects(opens('twice').registers(a.secret[0], PASSWORD, 'Twice'), /409/)
    })

    scene('somebody is found by his tag', async () => {
      const [a, b] = [await registers('Ann'), await registers('Ben')]
      const fnd = a.sdk.getFndTopic()
      await a.subscribes(fnd)
      await fnd.setMeta({ desc: { public: `basic:${b.secret[0]}` } })
      await fnd.getMeta(fnd.startMetaQuery().withSub().build())
      const found = []
      fnd.contacts(contact => found.push(contact.user ?? contact.topic))
      assert.deepEqual(found, [b.id])
    })

    scene('two talk: messages, formatted ones, what is read, and what is deleted', async () => {
      const { a, b, there, here } = await talkers()
      const { params } = await a.says(there, 'hello')
      assert.equal(params.seq, 1)
      await b.says(here, Drafty.parse('hi *Ann*'))
      for (const [app, topic] of [[a, there], [b, here]]) await app.until('both messages', () => app.messages(topic).length === 2)
      assert.deepEqual(a.messages(there), [[1, 'hello'], [2, Drafty.parse('hi *Ann*')]])
      assert.deepEqual(b.messages(here), a.messages(there))
      await b.until('it is received', () => here.msgRecvCount(2) === 1)
      there.noteRead(2)
      await b.until('it is read', () => here.msgReadCount(2) === 1)
      await a.says(there, 'a third')
      await b.until('the third', () => b.messages(here).length === 3)
      await there.delMessages([{ low: 1 }], false)
      await a.until('it is gone for one', () => a.messages(there).length === 2)
      assert.equal(b.messages(here).length, 3)
      await there.delMessages([{ low: 2, hi: 4 }], true)
      await b.until('the others are gone for both', () => b.messages(here).length === 1)
    })

    scene('who is away is told of by me, and catches up', async () => {
      const { a, b, there, here } = await talkers()
      await here.leave(false)
      for (let i = 1; i <= 60; i++) await a.says(there, `m${i}`)
      await b.until('how much is new', () => b.me.getContact(a.id)?.seq === 60)
      assert.equal(b.me.getContact(a.id).unread, 60)
      await b.subscribes(here)
      await b.until('the newest', () => here.maxMsgSeq() === 60)
      while (b.messages(here).length < 60) await here.getMeta(here.startMetaQuery().withEarlierData(24).build())
      assert.deepEqual(b.messages(here).map(([seq]) => seq), Array.from({ length: 60 }, (_, i) => i + 1))
    })

    scene('a group: made, joined, described, left, and ended', async () => {
      const [a, b] = [await registers('Ann'), await registers('Ben')]
      for (const app of [a, b]) await app.subscribes(app.me)
      const group = a.sdk.getTopic(a.sdk.newGroupTopicName(false))
      await group.subscribe(group.startMetaQuery().withDesc().withSub().build(), { desc: { public: { fn: 'Club' } }, tags: ['club'] })
      assert.match(group.name, /^grp[\w-]{11}$/)
      await group.invite(b.id, 'JRWPS')
      await b.until('the group', () => b.me.getContact(group.name))
      const joined = await b.subscribes(b.sdk.getTopic(group.name))
      await b.until('its description', () => joined.public?.fn === 'Club')
      await a.says(group, 'welcome')
      await b.until('the message', () => b.messages(joined).length === 1)
      await group.setMeta({ desc: { public: { fn: 'Roses' } } })
      await b.until('its new name', () => b.me.getContact(group.name)?.public?.fn === 'Roses' || joined.public?.fn === 'Roses')
      await joined.leave(true)
      await a.until('he has left', () => !group.subscriber(b.id) || group.subscriber(b.id).acs?.mode === 'N' || !group.subscriber(b.id).acs?.isJoiner?.())
      await group.delTopic(true)
      await assert.rejects(b.sdk.getTopic(group.name).subscribe(), error => error.code === 404 || /404/.test(error.message))
    })

    scene('a channel: its readers read', async () => {
      const [a, b] = [await registers('Ann'), await registers('Ben')]
      const channel = a.sdk.getTopic(a.sdk.newGroupTopicName(true))
      await channel.subscribe(channel.startMetaQuery().withDesc().build(), { desc: { public: { fn: 'News' } } })
      const reader = await b.subscribes(b.sdk.getTopic(`chn${channel.name.slice(3)}`))
      await a.says(channel, 'news')
      await b.until('the news', () => b.messages(reader).length === 1)
      await assert.rejects(b.sdk.publish(reader.name, 'mine', true), error => error.code === 403 || /403/.test(error.message))
    })

    scene('a file', async () => {
      const a = await registers('Ann')
      const bytes = randomBytes(50_000)
      // The SDK's helper needs a browser's FormData: what it would send is sent here, with its own token.
      const { body } = await upload(stage.server.nodeForCall(), a.sdk.getAuthToken().token, bytes, { type: 'image/png' })
      const { url } = body.ctrl.params
      const authorized = new URL(a.sdk.authorizeURL(url), stage.server.nodeForCall().urls.tinode)
      const file = await download(stage.server.nodeForCall(), undefined, authorized.pathname, { key: '', query: Object.fromEntries(authorized.searchParams) })
      assert.equal(file.status, 200)
      assert.deepEqual(file.bytes, bytes)
    })

    scene('it comes back by itself when its line was cut, and has missed nothing', async () => {
      const line = await Line.to(stage.server.nodeForClient().urls.tinode)
      lines.push(line)
      const { a, b, there, here } = await talkers({ url: line.url })
      const { token } = a.sdk.getAuthToken()
      a.returnsBy(() => token, [b.id])
      await b.says(here, 'before')
      await a.until('a message', () => a.messages(there).length === 1)
      for (let times = 1; times <= 3; times++) {
        const connects = a.connects
        line.cut()
        await b.says(here, `while away ${times}`)
        line.mend()
        await a.until('to be back', () => a.connects > connects)
        await a.until('what it has missed', () => a.messages(there).length === times + 1)
      }
      await a.says(there, 'back again')
      await b.until('its message', () => b.messages(here).length === 5)
    })
  })

  describe(`${SDKS} of them`, () => {
    it('come back at once when all lines are cut, and each is heard', async () => {
      const [first] = stage.server.nodes
      const owner = await new App(first.urls.tinode, 'owner').registers(fresh('owner'), PASSWORD, 'Owner')
      const channel = owner.sdk.getTopic(owner.sdk.newGroupTopicName(true))
      await channel.subscribe(undefined, { desc: { public: { fn: 'News' }, defacs: { anon: 'JR' } } })
      const name = `chn${channel.name.slice(3)}`
      const lines = await Promise.all(stage.server.nodes.map(node => Line.to(node.urls.tinode)))
      const apps = []
      try {
        for (let i = 0; i < SDKS; i++) {
          const app = new App(lines[i % lines.length].url, `reader ${i}`)
          apps.push(app)
          await app.connected()
          await app.sdk.createAccount('anonymous', '', true, { public: { fn: `Reader ${i}` } })
          const { token } = app.sdk.getAuthToken()
          app.returnsBy(() => token, [name])
          await app.subscribes(app.me)
          await app.subscribes(app.sdk.getTopic(name))
        }
        for (const line of lines) line.cut()
        await Promise.all(apps.map(app => app.until('to be cut off', () => !app.sdk.isConnected())))
        for (const line of lines) line.mend()
        await Promise.all(apps.map(app => app.until('to be back', () => app.connects > 1)))
        await owner.says(channel, 'to all')
        await Promise.all(apps.map(app => app.until('the message', () => app.messages(app.sdk.getTopic(name)).length === 1)))
      } finally {
        for (const app of [owner, ...apps]) app.close()
        for (const line of lines) line.close()
      }
    })
  })

  describe('a server that goes', () => {
    for (const [how, ends] of Object.entries({ 'is killed': node => node.kill(), 'drains': node => node.end() })) {
      it(`${how}: the SDK comes back to it when it is there again`, async () => {
        const server = await site.start({ title: `tinode-sdk: a server that ${how}`, env: settings({}) })
        const apps = []
        try {
          const [node] = server.nodes
          const line = await Line.to(node.urls.tinode)
          const [a, b] = [new App(line.url, 'Ann'), new App(line.url, 'Ben')]
          apps.push(a, b, { close: () => line.close() })
          for (const app of [a, b]) {
            await app.registers(fresh('user'), PASSWORD, app.name)
            const { token } = app.sdk.getAuthToken()
            app.returnsBy(() => token, [])
            await app.subscribes(app.me)
          }
          const there = await a.subscribes(a.sdk.getTopic(b.id))
          await a.says(there, 'kept')
          await b.until('the contact', () => b.me.getContact(a.id)?.seq === 1) // what the SDK still asks when its line ends, nobody catches
          const connects = apps.slice(0, 2).map(app => app.connects)
          await ends(node)
          await node.start()
          line.mend(node.urls.tinode)
          for (const [i, app] of [a, b].entries()) await app.until('to be back', () => app.connects > connects[i])
          const here = await b.subscribes(b.sdk.getTopic(a.id))
          await b.until('what was said before', () => b.messages(here).length === 1)
        } finally {
          for (const app of apps) app.close()
          endsMeanwhile(server)
        }
      })
    }
  })
})
