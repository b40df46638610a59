// examples/README.md names every example, with the command of its header.
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { command, ROOT, source } from './stage.mjs'

test('the table has all examples, and their commands', () => {
  const rows = [...source('examples/README.md').matchAll(/^\| \[(.+?)\]\(\1\) \| .* \| (?:`(.+)`|.+) \|$/gm)]
  const files = readdirSync(join(ROOT, 'examples'), { recursive: true, withFileTypes: true }).filter(entry => entry.isFile() && entry.name !== 'README.md')
    // What somebody has installed who has followed a header.
    .filter(({ parentPath }) => !parentPath.includes('node_modules'))
  assert.deepEqual(rows.map(([, file]) => file).sort(), files.map(({ parentPath, name }) => relative(join(ROOT, 'examples'), join(parentPath, name))).sort())
  for (const [, file, line] of rows) if (line) assert.equal(command(file, line), line)
})
