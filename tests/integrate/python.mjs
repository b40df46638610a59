// Programs of PyPI that scripts/part has put into .tools/integrate.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const FOLDER = fileURLToPath(new URL('../../.tools/integrate/bin/', import.meta.url))

/** Runs one to its end, in the folder `cwd`. @returns {Promise<{code: number, text: string}>} its exit code, and all that it printed */
export function python(program, args, { cwd, timeout = 300_000 } = {}) {
  return new Promise(resolve => {
    const options = { cwd, timeout, maxBuffer: 64 << 20 }
    execFile(FOLDER + program, args, options, (error, out, err) => resolve({ code: error ? error.code ?? error.signal : 0, text: out + err }))
  })
}
