// The binary under test, and programs that are run with what they are told.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TIME_MS = 60_000

export function binary() {
  const path = process.env.AO_BIN
  if (!path || !existsSync(path)) throw new Error('AO_BIN names no server: run scripts/test ship')
  return path
}

/** Runs a program, with this text as its standard input. @returns {Promise<{code: number, out: string, err: string}>} */
export function attempt(program, args, { input = '', env } = {}) {
  return new Promise(answer => {
    const child = execFile(program, args, { timeout: TIME_MS, maxBuffer: 64 << 20, ...env && { env } }, (error, out, err) => {
      answer({ code: error ? error.code ?? -1 : 0, out, err })
    })
    // It may have ended without reading it.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

/** As `attempt`, for a program that must end well. @returns its standard output */
export async function run(program, args, options) {
  const { code, out, err } = await attempt(program, args, options)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${code}\n${out}\n${err}`)
  return out
}

/** What YAML says. `versions`: of Kubernetes, whose schemas it must pass. */
export async function yaml(text, versions = []) {
  if (!process.env.SHIP_PYTHON) throw new Error('SHIP_PYTHON names no Python: run scripts/test ship')
  return JSON.parse(await run(process.env.SHIP_PYTHON, [`${ROOT}tests/ship/manifests.py`, ...versions], { input: text }))
}
