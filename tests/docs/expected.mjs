// What a document says that comes, against what came.
/** 24 letters and digits, of each kind one: what a document shows has them, what comes may lack one. */
const TOKEN = /(?<![A-Za-z0-9])(?=[A-Za-z]*\d)(?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{24}(?![A-Za-z0-9])/g
const MARK = /…|\b1[5-9]\d{8}\b/g

/** The tokens in a text. */
export const tokens = text => text.match(TOKEN) ?? []

/**
 * A pattern for whole lines. `…` is anything, a time in unix seconds any such time. A token that is `known` is the one that it stands for, another
 * one is any, in the group of its number.
 */
export function pattern(text, known) {
  const groups = []
  const inLine = line => escape(line)
    .replace(MARK, mark => mark === '…' ? '.*?' : '\\d{10}')
    .replace(TOKEN, shown => {
      if (known.has(shown)) return known.get(shown)
      if (!groups.includes(shown)) return groups.push(shown), `(?<t${groups.length}>[A-Za-z0-9]{24})`
      return `\\k<t${groups.indexOf(shown) + 1}>`
    })
  const lines = text.replace(/\n$/, '').split('\n').map(line => line === '…' ? '(?:.*\\n)*?' : inLine(line) + '\\n')
  return { regexp: new RegExp('^' + lines.join('')), groups }
}

const escape = text => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/**
 * Where two JSON values differ, or undefined. A value "…" is anything; the key "…" in an object, and "…" as the last of an array, stand for any
 * more. `learn` hears of each token.
 */
export function difference(shown, came, learn, place = '') {
  if (shown === '…') return
  if (typeof shown === 'string' && tokens(shown)[0] === shown && typeof came === 'string' && came.length === 24) return learn(shown, came)
  if (Array.isArray(shown) && Array.isArray(came)) {
    const open = shown.at(-1) === '…'
    const fixed = open ? shown.slice(0, -1) : shown
    if (open ? came.length < fixed.length : came.length !== fixed.length) return `${place}: ${fixed.length} entries expected, not ${came.length}`
    return first(fixed.map((value, i) => () => difference(value, came[i], learn, `${place}[${i}]`)))
  }
  if (isObject(shown) && isObject(came)) {
    const { '…': more, ...fixed } = shown
    const strange = Object.keys(came).find(key => !(key in fixed))
    if (more === undefined && strange) return `${place}.${strange} was not expected`
    return first(Object.entries(fixed).map(([key, value]) => () => difference(value, came[key], learn, `${place}.${key}`)))
  }
  const isTime = value => Number.isInteger(value) && value > 1.5e9 && value < 2e9
  if (shown === came || isTime(shown) && isTime(came)) return
  return `${place}: ${JSON.stringify(shown)} expected, not ${JSON.stringify(came)}`
}

const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value)

function first(checks) {
  for (const check of checks) {
    const found = check()
    if (found) return found
  }
}
