// The documents in the Debian package (AO_DEB, which scripts/part makes): they lead to each other where they are installed.
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { after, before, test } from 'node:test'
import { ROOT, run } from './binary.mjs'

/** Of use where the sources are, and not installed. */
const SOURCES = /^(CONTRIBUTING\.md|Dockerfile|LICENSE|deploy\/debian|deploy\/helm|stress|tests)(\/|$)/

let folder, documents

before(async () => {
  if (!process.env.AO_DEB) throw new Error('AO_DEB names no package: run scripts/test ship')
  folder = await mkdtemp(join(tmpdir(), 'always-online-documents-'))
  await run('dpkg-deb', ['--extract', process.env.AO_DEB, folder])
  documents = join(folder, 'usr/share/doc/always-online')
})
after(() => rm(folder, { recursive: true, force: true }))

test('all documents are there, and each link of theirs leads to a file that is there, or to the sources', async () => {
  const files = (await readdir(documents, { recursive: true })).filter(name => name.endsWith('.md'))
  const written = ['README.md', 'CHANGELOG.md', ...(await readdir(join(ROOT, 'docs'), { recursive: true })).map(name => join('docs', name))]
  for (const name of written.filter(name => name.endsWith('.md'))) assert(files.includes(name), name)
  for (const file of files) {
    // Code may look like a link.
    const text = (await readFile(join(documents, file), 'utf8')).replace(/^ *```[^]*?^ *```$/gm, '').replace(/`[^`\n]+`/g, '`')
    for (const [, link] of text.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
      const path = normalize(join(dirname(file), link))
      if (/^[a-z]+:/.test(link) || SOURCES.test(path)) continue
      assert(await stat(join(documents, path)).catch(() => false), `${file} leads to ${link}, which is not installed`)
    }
  }
})

test('the service and the settings name a document that is there', async () => {
  for (const name of ['lib/systemd/system/always-online.service', 'etc/always-online.toml']) {
    const text = await readFile(join(folder, name), 'utf8').catch(() => readFile(join(folder, 'usr', name), 'utf8'))
    const named = [...text.matchAll(/\/(usr\/share\/doc\/always-online\/\S+\.md)/g)].map(found => found[1])
    assert(named.length > 0, name)
    for (const path of named) assert(await stat(join(folder, path)).catch(() => false), `${name} names ${path}`)
  }
})
