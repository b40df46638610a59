// What runs for a reader: a first terminal with commands that end, terminals in which something goes on, pages in a browser.
import { spawn } from 'node:child_process'
import { once } from 'node:events'

export const PATIENCE = 60_000
const COMMANDS_MS = 120_000 // npm may have to load something
const END = '---- that was it:'

/** Those that run. An aborted test leaves none behind. */
const running = new Set()
process.on('exit', () => { for (const group of running) group.signal('SIGKILL') })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1))

/** A bash in a process group of its own, so that Ctrl-C reaches all of it, as in a terminal. */
class Group {
  out = ''
  err = ''
  /** How far what it printed has been compared. */
  read = 0

  constructor(words, options) {
    // Without --norc bash takes a pipe of Node's for a network, and reads .bashrc.
    this.process = spawn('bash', ['--norc', ...words], { ...options, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
    running.add(this)
    this.process.stdout.setEncoding('utf8').on('data', text => { this.out += text; this.changed?.() })
    this.process.stderr.setEncoding('utf8').on('data', text => { this.err += text })
    this.process.stdin.on('error', () => {})
    this.ended = once(this.process, 'close').then(([code, signal]) => {
      this.end = signal ?? code
      running.delete(this)
      this.changed?.()
    })
  }

  /** Waits until what it printed fits; null if that takes too long or it ends before. */
  async until(fits, patience) {
    let timer
    try {
      return await new Promise(resolve => {
        timer = setTimeout(() => resolve(null), patience)
        this.changed = () => {
          const found = fits(this.out)
          if (found || this.end !== undefined) resolve(found)
        }
        this.changed()
      })
    } finally {
      clearTimeout(timer)
      this.changed = undefined
    }
  }

  state() {
    return this.end === undefined ? 'goes on' : `ended (${this.end})`
  }

  signal(name) {
    try {
      if (this.end === undefined) process.kill(-this.process.pid, name)
    } catch (error) {
      if (error.code !== 'ESRCH') throw error // it has just ended by itself
    }
  }
}

/** The reader's first terminal: one bash for the whole document, so what is set in one block is there in the next. */
export class Shell extends Group {
  constructor(options) {
    super(['-euo', 'pipefail'], options)
    this.cwd = options.cwd
  }

  /** @returns what the commands printed on standard output */
  async run(commands) {
    const errors = this.err.length
    this.process.stdin.write(`{\n${commands}} </dev/null\nprintf '\\n%s %s\\n' '${END}' "$PWD"\n`)
    const found = await this.until(out => new RegExp(`\\n${END} (.*)\\n$`).exec(out), COMMANDS_MS)
    if (!found) throw new Error(`the block ${this.state()}:\n${this.out}${this.err.slice(errors)}`)
    const printed = this.out.slice(0, found.index)
    this.out = ''
    this.cwd = found[1]
    return printed
  }
}

/** A command that goes on, in a terminal of its own. */
export class Program extends Group {
  constructor(command, options) {
    super(['-c', command], options)
    this.process.stdin.end()
  }

  /** Waits until what it prints next is this. */
  async prints(regexp, translate) {
    const found = await this.until(out => regexp.exec(translate(out.slice(this.read))), PATIENCE)
    if (!found) throw new Error(`it ${this.state()}; came: ${translate(this.out.slice(this.read))}\n${this.err.slice(-4000)}`)
    // As many lines of the output as of the translation.
    for (let lines = found[0].split('\n').length - 1; lines > 0; lines--) this.read = this.out.indexOf('\n', this.read) + 1
    return found
  }

  async stop() {
    this.signal('SIGINT')
    const timer = setTimeout(() => this.signal('SIGKILL'), PATIENCE)
    await this.ended
    clearTimeout(timer)
    if (this.end === 'SIGKILL') throw new Error('Ctrl-C did not end it')
  }
}

/** A page in a browser; what it prints is the text that can be read on it. */
export class Page {
  static async open(browser, file) {
    const page = new Page()
    page.tab = await browser.newPage()
    await page.tab.goto(`file://${file}`)
    return page
  }

  async prints(regexp, translate) {
    const end = Date.now() + PATIENCE
    for (;;) {
      const text = translate((await this.tab.innerText('body')) + '\n')
      const found = regexp.exec(text)
      if (found) return found
      if (Date.now() > end) throw new Error(`the page shows: ${text}`)
      await new Promise(again => setTimeout(again, 50))
    }
  }

  async stop() {
    await this.tab.close()
  }
}
