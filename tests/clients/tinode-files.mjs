// Files of Tinode's clients, on one node and on two, in a folder and on a server that speaks S3: upload, download, who may, bounds, and what nothing refers to.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { eventually } from './http.mjs'
import { pres } from './tinode/client.mjs'
import { stand } from './tinode/people.mjs'
import { startS3 } from './tinode/s3.mjs'
import { badKeys, badTokens, digest, download, KEY, request, SITES, upload } from './tinode/stage.mjs'

const URL_OF = /^\/v0\/file\/s\/[\w-]{22}(\.\w+)?$/
const KB = 1024
/** A node looks each quarter of a minute what is unused, where that is to go soon. */
const SWEPT_MS = 120_000
const s3 = await startS3()

/** Where files are kept. */
const PLACES = {
  'in a folder': {},
  'by S3': s3.settings,
}

/** Uploads. @returns the url */
async function uploads(node, person, bytes, options) {
  const { status, body, text } = await upload(node, person.token, bytes, options)
  assert.equal(status, 200, text)
  assert.deepEqual([body.ctrl.code, body.ctrl.text], [200, 'ok'])
  assert.match(body.ctrl.params.url, URL_OF)
  assert.ok(Date.parse(body.ctrl.params.expires) > Date.now(), 'when it goes if nothing refers to it')
  return body.ctrl.params.url
}

function story(scene) {
  scene('what was uploaded is downloaded, on each node, by whoever is signed in', async (people, { server }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    for (const [size, type, name] of [
      [1, 'text/plain', 'a.txt'], [100_000, 'image/png', 'é日 x.png'], [3 * KB * KB, 'application/pdf', '../../etc/passwd'], [0, 'text/plain', 'empty'],
    ]) {
      const bytes = randomBytes(size)
      const url = await uploads(server.nodeForCall(), ann, bytes, { type, name })
      for (const node of server.nodes) for (const person of [ann, ben]) {
        const file = await download(node, person.token, url)
        assert.equal(file.status, 200, file.text.slice(0, 300))
        assert.equal(digest(file.bytes), digest(bytes))
        assert.ok(file.headers['content-type'].startsWith(type), file.headers['content-type'])
        assert.equal(file.headers['x-content-type-options'], 'nosniff')
        assert.equal(file.headers['access-control-allow-origin'], '*')
      }
      const head = await download(server.nodeForCall(), ann.token, url, { method: 'HEAD' })
      assert.deepEqual([head.status, head.bytes.length, head.headers['content-length']], [200, 0, `${size}`])
    }
  })

  scene('the request\'s id is echoed', async (people, { server }) => {
    const { body } = await upload(server.nodeForCall(), (await people.user('ann')).token, 'x', { id: 'abc 1' })
    assert.equal(body.ctrl.id, 'abc 1')
  })

  scene('the same bytes twice are two files, with names nobody can guess', async (people, { server }) => {
    const ann = await people.user('ann')
    const urls = await Promise.all(Array.from({ length: 8 }, () => uploads(server.nodeForCall(), ann, 'same')))
    assert.equal(new Set(urls).size, 8)
  })

  scene('what a browser would run is only ever downloaded', async (people, { server }) => {
    const ann = await people.user('ann')
    for (const type of ['text/html', 'image/svg+xml', 'application/javascript', 'application/xhtml+xml']) {
      const url = await uploads(server.nodeForCall(), ann, '<script>alert(1)</script>', { type, name: 'x.html' })
      const { headers } = await download(server.nodeForCall(), ann.token, url)
      assert.match(headers['content-security-policy'], /sandbox/, type)
      if (type !== 'image/svg+xml') assert.match(headers['content-disposition'], /^attachment/, type)
    }
    const shown = await download(server.nodeForCall(), ann.token, await uploads(server.nodeForCall(), ann, 'x', { type: 'image/png' }))
    assert.doesNotMatch(shown.headers['content-disposition'] ?? 'inline', /^attachment/)
  })

  scene('who may: with a key and a token, in whatever place', async (people, { server }) => {
    const ann = await people.user('ann'), node = server.nodeForCall()
    const url = await uploads(node, ann, 'x')
    for (const [what, key] of Object.entries(badKeys())) {
      const { status, body } = await download(node, ann.token, url, { key })
      assert.deepEqual([status, body?.ctrl?.code], [403, 403], what)
      if (key) assert.equal((await upload(node, ann.token, 'x', { key })).status, 403, what)
    }
    assert.equal((await upload(node, ann.token, 'x', { key: '' })).status, 403, 'nor in the form')
    for (const token of [undefined, ...badTokens(ann.token).forged, 'x']) {
      assert.equal((await download(node, token, url)).status, 401)
      assert.equal((await upload(node, token, 'x')).status, 401)
    }
    const query = { auth: 'token', secret: ann.token }
    assert.equal((await download(node, undefined, url, { query })).text, 'x')
    assert.equal((await download(node, undefined, url, { key: '', query: { ...query, apikey: KEY } })).text, 'x')
    assert.equal((await download(node, undefined, url, { query: { ...query, secret: 'x' } })).status, 401)
    assert.equal((await download(node, undefined, url, { query: { ...query, auth: 'nosuch' } })).status, 401)
    assert.equal((await download(node, ann.token, url, { key: '', headers: { cookie: `apikey=${KEY}`, 'x-tinode-auth': `Token ${ann.token}` } })).text, 'x')
    assert.equal((await upload(node, undefined, 'x', { query })).status, 200)
    const basic = Buffer.from(`${ann.login}:${ann.password}`).toString('base64')
    assert.equal((await download(node, undefined, url, { headers: { 'x-tinode-auth': `Basic ${basic}` } })).status, 401, 'only tokens')
  })

  scene('a key in the form', async (people, { server }) => {
    const ann = await people.user('ann'), node = server.nodeForCall()
    const boundary = 'aaaaaaaaaaaaaaaa'
    const field = (name, value, more = '') => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`
    const headers = { 'content-type': `multipart/form-data; boundary=${boundary}`, 'x-tinode-auth': `Token ${ann.token}` }
    const posts = (...fields) => request(node, '/v0/file/u/', { method: 'POST', key: '', headers, body: `${fields.join('')}--${boundary}--\r\n` })
    const file = field('file', 'x', '; filename="a"')
    assert.equal((await posts(field('apikey', KEY), file)).status, 200)
    assert.equal((await posts(field('apikey', 'wrong'), file)).status, 403)
    assert.equal((await posts(file)).status, 403)
  })

  scene('what is no upload', async (people, { server }) => {
    const ann = await people.user('ann'), node = server.nodeForCall()
    const headers = type => ({ 'x-tinode-auth': `Token ${ann.token}`, ...(type && { 'content-type': type }) })
    const posts = (body, type) => request(node, '/v0/file/u/', { method: 'POST', headers: headers(type), body })
    for (const [body, type] of [
      ['x'], ['{}', 'application/json'], ['', 'multipart/form-data; boundary=x'], ['--x--\r\n', 'multipart/form-data; boundary=x'], ['nothing', 'multipart/form-data'],
      ['--x\r\nContent-Disposition: form-data; name="id"\r\n\r\n1\r\n--x--\r\n', 'multipart/form-data; boundary=x'],
      ['--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncut off', 'multipart/form-data; boundary=x'],
    ]) {
      const { status, body: answer } = await posts(body, type)
      assert.ok(status >= 400 && status < 500, `${status} for ${body}`)
      assert.equal(answer.ctrl.code, status)
    }
    for (const name of ['', 'nosuch', 'A'.repeat(22), '..%2f..%2fetc%2fpasswd', '../../etc/passwd', '%00', '%C3%A9']) {
      assert.equal((await download(node, ann.token, `/v0/file/s/${name}`)).status, 404, name)
    }
    const url = await uploads(node, ann, 'x')
    assert.equal((await download(node, ann.token, `${url}/x`)).status, 404)
    await (await people.signs(ann)).answers()
  })

  scene('a page of another origin may', async (people, { server }) => {
    const asks = { origin: 'https://chat.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-tinode-apikey, x-tinode-auth' }
    const asked = await request(server.nodeForCall(), '/v0/file/u/', { method: 'OPTIONS', key: '', headers: asks })
    assert.ok(asked.status < 300)
    assert.match(asked.headers['access-control-allow-headers'], /x-tinode-auth/i)
  })

  scene('a message with a file: what it says goes through, and the file stays', async (people, { server }) => {
    const [a, b] = await people.pair()
    const url = await uploads(server.nodeForCall(), a.person, 'picture', { type: 'image/png', name: 'p.png' })
    const content = { txt: ' ', fmt: [{ len: 1, key: 0 }], ent: [{ tp: 'IM', data: { mime: 'image/png', ref: url, name: 'p.png', size: 7 } }] }
    a.send({ pub: { id: 'x', topic: b.id, noecho: true, head: { mime: 'text/x-drafty' }, content }, extra: { attachments: [url] } })
    const [{ data }] = [await b.hears()]
    assert.deepEqual(data.content, content)
    assert.equal((await download(server.nodeForCall(), b.person.token, data.content.ent[0].data.ref)).text, 'picture')
  })
}

function bounded(scene) {
  scene('too large, of another type, more than one may have', async (people, { server }) => {
    const [ann, ben] = await people.users('ann', 'ben')
    const node = server.nodeForCall()
    const code = async (person, bytes, options) => {
      const { status, body } = await upload(node, person.token, bytes, options)
      if (status !== 200) assert.equal(body.ctrl.code, status)
      return status
    }
    assert.equal(await code(ann, randomBytes(64 * KB), { type: 'image/png' }), 200)
    assert.equal(await code(ann, randomBytes(64 * KB + 1), { type: 'image/png' }), 413)
    for (const type of ['text/html', 'application/octet-stream', 'image', 'imagex/png', '']) assert.equal(await code(ann, 'x', { type }), 415, type)
    for (const type of ['image/jpeg', 'IMAGE/PNG', 'application/pdf', 'image/png; charset=x']) assert.equal(await code(ann, 'x', { type }), 200, type)
    assert.equal(await code(ann, randomBytes(40 * KB), { type: 'image/png' }), 413, 'a quota for each')
    assert.equal(await code(ben, randomBytes(40 * KB), { type: 'image/png' }), 200)
    const { params } = await (await people.opens('hi')).does('hi', { ver: '0.25' }, 201)
    assert.equal(params.maxFileUploadSize, 64 * KB)
  })
}

function swept(scene, folder) {
  scene('what nothing refers to goes; what a message, a picture or notes refer to stays until they go', async (people, { server }) => {
    const [a, b] = await people.pair()
    const node = server.nodeForCall()
    const keeps = async use => {
      const url = await uploads(node, a.person, 'x', { type: 'image/png' })
      await use(url)
      return url
    }
    const unused = await keeps(() => {})
    const message = await keeps(url => a.publishes(b.id, { ref: url }))
    const attached = await keeps(async url => {
      a.send({ pub: { id: 'x', topic: b.id, noecho: true, content: 'see' }, extra: { attachments: [url] } })
      await a.answers()
    })
    const picture = await keeps(url => a.does('set', { topic: 'me', desc: { public: { photo: { ref: url } } } }))
    const noted = await keeps(url => a.does('set', { topic: b.id, desc: { private: { ref: url } } }))
    const there = async url => (await download(node, a.person.token, url)).status === 200
    await eventually('the unused one is gone', () => there(unused), is => !is, SWEPT_MS)
    for (const url of [message, attached, picture, noted]) assert.ok(await there(url), url)
    await a.does('del', { topic: b.id, what: 'msg', delseq: [{ low: 1 }], hard: true })
    await a.does('set', { topic: 'me', desc: { public: { photo: '␡' } } })
    await a.does('set', { topic: b.id, desc: { private: '␡' } })
    for (const url of [message, picture, noted]) await eventually('it is gone', () => there(url), is => !is, SWEPT_MS)
    assert.ok(await there(attached))
    const left = () => readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()).length
    await eventually('nothing else is in the folder', left, left => left === 1, SWEPT_MS)
    await b.skipsTo(pres('me', a.id, 'upd'))
  })
}

describe('files', { concurrency: true }, () => {
  // What is unused is looked for four times a minute: the others run meanwhile.
  for (const site of SITES) describe(`what nothing refers to, ${site.name}`, { concurrency: 1 }, () => {
    const kept = mkdtempSync(join(tmpdir(), 'always-online-tinode-kept-'))
    process.on('exit', () => rmSync(kept, { recursive: true, force: true }))
    swept(stand(site, { title: 'files: swept', values: { FILES: kept, FILE_UNUSED: '1s' } }).scene, kept)
  })

  describe('all else', { concurrency: 1 }, () => {
    for (const site of SITES) describe(site.name, () => {
      for (const [where, values] of Object.entries(PLACES)) describe(where, () => story(stand(site, { title: `files ${where}`, values }).scene))
      test('files were kept by S3, and all requests signed', () => {
        assert.ok(s3.files.size > 0)
        assert.deepEqual(s3.refused, [])
      })
      describe('bounds', () => {
        bounded(stand(site, { title: 'files: bounds', values: { MAX_FILE: '64 KiB', FILE_TYPES: 'image/*, application/pdf', FILE_QUOTA: '100 KiB' } }).scene)
      })
    })
  })
})
