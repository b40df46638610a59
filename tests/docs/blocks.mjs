// What a document asks its reader to do, in order. GitHub shows the first word behind the backticks as the language and hides the rest:
//
//   ```sh                    commands for the reader's first terminal; they end, and well
//   ```sh server             a command for the terminal "server", where it goes on running
//   ```text   or   ```json   what the commands above printed; JSON is compared by value
//   ```text server           what the terminal (or page) "server" prints next
//   ```js client.mjs         a file to write: any name with a dot, in any language
//   ```java from FILE        lines of a file of this repository, which has a test of its own
//   ```swift shown           nothing to do; only where the test says that there may be one
//   <!-- ctrl-c server -->   what a reader does without a block: end what runs there
//   <!-- open FILE page -->  and open a file in a browser, as "page"
//
// In what is compared `…` stands for anything within a line, and on a line of its own for any lines.
const PROGRAMS = new Set(['sh'])
const OUTPUT = new Set(['text', 'json'])

/** @returns {{line: number, kind: string, language?: string, name?: string, file?: string, text?: string}[]} */
export function blocks(markdown) {
  const found = []
  const lines = markdown.split('\n')
  for (let at = 0; at < lines.length; at++) {
    const comment = /^<!-- (ctrl-c|open) (.*?) -->$/.exec(lines[at])
    if (comment) found.push({ line: at + 1, ...directive(comment[1], comment[2].split(' ')) })
    const fence = /^( *)```(.*)$/.exec(lines[at])
    if (!fence) continue
    const line = at + 1
    const body = []
    while (++at < lines.length && lines[at].trim() !== '```') body.push(lines[at].slice(fence[1].length))
    if (at === lines.length) throw new Error(`line ${line}: the block has no end`)
    found.push({ line, ...kind(line, ...fence[2].split(' ')), text: body.join('\n') + '\n' })
  }
  return found
}

function directive(what, [first, second]) {
  return what === 'open' ? { kind: 'open', file: first, name: second } : { kind: 'ctrl-c', name: first }
}

function kind(line, language, word, file, ...rest) {
  if (rest.length || !language) throw new Error(`line ${line}: a block without a kind: see tests/docs/blocks.mjs`)
  if (word === 'from' && file) return { kind: 'excerpt', language, file }
  if (file) throw new Error(`line ${line}: ${word} ${file} is no kind of block`)
  if (word === 'shown') return { kind: 'shown', language }
  if (word?.includes('.')) return { kind: 'file', language, file: word }
  if (PROGRAMS.has(language)) return { kind: word ? 'program' : 'commands', language, name: word }
  if (OUTPUT.has(language)) return { kind: 'output', language, name: word }
  throw new Error(`line ${line}: a block of ${language} without a kind: see tests/docs/blocks.mjs`)
}

/** The part of a document from one heading up to another one. */
export function part(markdown, from, to) {
  const [begin, end] = [markdown.indexOf(`\n${from}\n`), markdown.indexOf(`\n${to}\n`)]
  if (begin < 0 || end < begin) throw new Error(`there is no "${from}" with "${to}" behind it`)
  return markdown.slice(0, begin).replace(/[^\n]/g, '') + markdown.slice(begin, end)
}
