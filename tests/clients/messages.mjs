// Messages in bulk, and pages of them.
import assert from 'node:assert/strict'
import { gunzipSync } from 'node:zlib'
import { STORED } from './party.mjs'

/** Inserts numbered `from` to `to - 1`. */
export const inserts = (from, to) => Array.from({ length: to - from }, (_, i) => ({ s: 0, 1: `m${from + i}`, data: from + i }))

/** As the others and the log see them: with the sender's uid. */
export const by = (sender, messages) => messages.map(message => ({ ...message, 2: sender.uid }))

/** Emits all in one go; resolves when the last is stored. @returns them as others see them */
export async function sendAll(sender, messages) {
  for (const message of messages.slice(0, -1)) sender.tell('msg', message)
  assert.deepEqual(await sender.ask('msg', messages.at(-1)), STORED)
  return by(sender, messages)
}

/** One page, as the event gives it. A gzip page's data is unpacked. */
export async function sync(client, request) {
  client.tell('sync', request)
  const page = await client.next('sync')
  return page.encoding === 'gzip' ? { ...page, data: unpacked(page.data) } : page
}

/** A page for a client that resumes, with where the log begins; its name is another one for each log. */
export async function resumed(client, request) {
  const { epoch, ...page } = await sync(client, { ...request, resume: true })
  assert.ok(Number.isSafeInteger(epoch), `epoch ${epoch}`)
  return page
}

export const unpacked = data => JSON.parse(gunzipSync(Buffer.from(data, 'base64')).toString())
