// What the documents name has to be there: the versions of clients that are tested, and what links lead to.
import { strict as assert } from 'node:assert'
import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'
import { ROOT } from './reader.mjs'

const text = name => readFile(join(ROOT, name), 'utf8')
const within = async (folder, ends) => (await readdir(join(ROOT, folder))).filter(name => ends.test(name)).map(name => join(folder, name))

/** What the tests of the clients use: `socket.io-client 4.8.4`. */
async function tested() {
  const found = []
  const { devDependencies } = JSON.parse(await text('tests/clients/package.json'))
  for (const version of Object.values(devDependencies)) {
    const [, name, number] = /^npm:(.+)@(.+)$/.exec(version) ?? []
    if (name) found.push(`${name} ${number}`)
  }
  const pom = await text('tests/clients/foreign/java/pom.xml')
  for (const [, number] of pom.matchAll(/<client\.version>(.+)<\/client\.version>/g)) found.push(`io.socket:socket.io-client ${number}`)
  for (const [, number] of (await pythonPins()).matchAll(/python-socketio(?:\[[^\]]*\])?==([\w.]+)/g)) found.push(`python-socketio ${number}`)
  const swift = await text('tests/clients/ios/swift.mjs')
  const phones = new Set([...swift.matchAll(/name: '[A-Z] \(v(\d+)/g)].map(([, number]) => number))
  found.push(`socket.io-client-swift ${[...phones].join(', ')}`)
  return [...new Set(found)].sort()
}

/** What npm is told elsewhere than for socket.io. */
const OTHERS = ['tinode-sdk', 'ws', 'xmlhttprequest', 'fake-indexeddb']

/** What pip is told for the clients: lists beside them, and what the scripts name themselves. */
async function pythonPins() {
  const lists = await within('tests/clients/foreign/python', /\.txt$/)
  return (await Promise.all([...lists, 'scripts/part', 'scripts/common.sh'].map(text))).join('\n')
}

/** Documents and examples that may tell to install something. */
async function telling() {
  const examples = [['examples', /\.(mjs|js|html|py|java|sh|rs)$/], ['examples/chat-service', /js$/], ['examples/wechat', /(js|html)$/], ['examples/tinode', /(js|html)$/]]
  return ['README.md', ...await within('docs', /\.md$/), ...(await Promise.all(examples.map(([folder, ends]) => within(folder, ends)))).flat()]
}

test('docs/clients.md names the versions that are tested, and no others', async () => {
  const table = /\| client \| version \|.*\n\|.*\n((?:\|.*\n)+)/.exec(await text('docs/clients.md'))[1]
  const named = table.trimEnd().split('\n').map(row => row.split('|').slice(1, 3).map(cell => cell.trim()).join(' '))
  assert.deepEqual(named.sort(), await tested())
})

test('what documents and examples tell to install was tested', async () => {
  const versions = await tested()
  const told = /(?<![\w.-])((?:io\.socket:|weapp\.)?socket\.io(?:-client)?|python-socketio)(?:\[[^\]]*\])?(?:@|==|:)(\d+\.\d+\.\d+)/g
  for (const file of await telling()) {
    for (const [, name, number] of (await text(file)).matchAll(told)) {
      if (name === 'socket.io') continue // the server of others
      assert(versions.includes(`${name} ${number}`), `${file} tells to install ${name} ${number}; tested are ${versions.join(', ')}`)
    }
  }
})

test('what is told to install for Tinode is what its tests use', async () => {
  const { devDependencies } = JSON.parse(await text('tests/clients/package.json'))
  const told = new RegExp(`(?<![\\w./-])(${OTHERS.join('|')})@(\\d+\\.\\d+\\.\\d+)`, 'g')
  const met = new Set()
  for (const file of await telling()) {
    for (const [, name, number] of (await text(file)).matchAll(told)) {
      met.add(name)
      assert.equal(number, devDependencies[name], `${file} tells to install ${name} ${number}`)
    }
  }
  assert.deepEqual([...met].sort(), [...OTHERS].sort())
  const [, named] = /`tinode-sdk` (\d+\.\d+\.\d+)/.exec(await text('docs/tinode.md'))
  assert.equal(named, devDependencies['tinode-sdk'])
})

test('links lead somewhere', async () => {
  const documents = (await Promise.all(['.', 'docs', 'docs/decisions'].map(folder => within(folder, /\.md$/)))).flat()
  const broken = []
  for (const document of documents) {
    const prose = (await text(document)).replace(/```[^]*?```/g, '')
    for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [path, anchor] = target.split('#')
      const file = path ? normalize(join(dirname(document), path)) : document
      if (!await stat(join(ROOT, file)).catch(() => false)) broken.push(`${document}: ${target}`)
      else if (anchor && !anchors(await text(file)).has(anchor)) broken.push(`${document}: ${target} (no such heading)`)
    }
  }
  assert.deepEqual(broken, [])
})

/** As GitHub makes them of headings; and those that are set by hand. */
function anchors(markdown) {
  const prose = markdown.replace(/```[^]*?```/g, '')
  const headings = [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading.replace(/[`*]/g, '').replace(/\]\([^)]*\)/g, '').toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/ /g, '-'))
  return new Set([...headings, ...[...prose.matchAll(/<a id="([^"]+)"/g)].map(([, id]) => id)])
}
