// Each document that tells its reader to do something is followed, word by word, on a machine that has nothing of ours.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { part } from './blocks.mjs'
import { leaveBehind } from './original.mjs'
import { leaveChatServiceBehind } from './original-chat-service.mjs'
import { follow, ROOT } from './reader.mjs'

const text = name => readFile(join(ROOT, name), 'utf8')

test('docs/getting-started.md', async () => follow(await text('docs/getting-started.md')))

test('docs/http-api.md', async () => follow(await text('docs/http-api.md')))

test('docs/api.md', async () => follow(await text('docs/api.md')))

test('docs/gotapi.md', async () => follow(await text('docs/gotapi.md')))

test('docs/chat-service.md', async () => follow(await text('docs/chat-service.md')))

test('docs/react-wechat.md', async () => follow(await text('docs/react-wechat.md'), { allowed: ['sh'] }))

test('docs/tinode.md', async () => follow(await text('docs/tinode.md'), { allowed: ['sh', 'toml', 'json'] }))

test('docs/migration-tinode.md', async () => follow(await text('docs/migration-tinode.md'), { allowed: ['sh'] }))

test('docs/hooks.md', async () => follow(await text('docs/hooks.md'), { allowed: ['json'] }))

test('docs/migration.md', async () => follow(await text('docs/migration.md'), { prepare: leaveBehind }))

test('docs/migration-chat-service.md', async () => follow(await text('docs/migration-chat-service.md'), { prepare: leaveChatServiceBehind }))

test('docs/from-socket-io.md', async () => follow(await text('docs/from-socket-io.md')))

test('docs/clients.md', async () => follow(await text('docs/clients.md'), { allowed: ['swift'] }))

test('README.md, from its first command to its first client', async () => {
  await follow(part(await text('README.md'), '## Two commands', '## Events at a glance'), { allowed: ['sh'] })
})
