// What the tests of the examples' pages stand on: the page's files as any server of files hands them out.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import { extname } from 'node:path'

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' }

/** The files of a folder of examples, on a port of their own: another origin than the server's. `installed`: what its header installs, by the paths there. */
export async function serveExample(folder, installed = {}) {
  const place = new URL(`../../examples/${folder}/`, import.meta.url)
  const server = http.createServer(async ({ url }, response) => {
    const name = new URL(url, 'http://x').pathname.slice(1) || 'index.html'
    const from = installed[name] ?? (/^[\w-]+\.\w+$/.test(name) ? new URL(name, place) : undefined)
    const file = from && await readFile(from).catch(() => undefined)
    response.writeHead(file ? 200 : 404, { 'content-type': `${TYPES[extname(name)] ?? 'text/plain'}; charset=utf-8` }).end(file || 'not found')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}
