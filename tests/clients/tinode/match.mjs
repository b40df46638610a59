// Whether what came is what was recorded (../../transcripts/tinode/README.md): placeholders are names that stand for one thing in the whole of a recording.
// `{ts}` is a time in RFC 3339 with milliseconds at most, the order within `meta.sub` is free, and what the README calls a quirk is not compared.
const TS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/
/** Whole texts that are learnt where they are first seen, and what they look like. */
const LEARNT = [
  [/^\{usr:\w+\}$/, /^usr[\w-]{11}$/], [/^\{grp:\w+\}$/, /^grp[\w-]{11}$/], [/^\{chn:\w+\}$/, /^chn[\w-]{11}$/],
]
/** Those that stand for anything of that kind. */
const ANY = { '{ts}': TS, '{expires}': TS, '{token}': /^[\w+/]{67}=$/, '{sid}': /./, '{build}': /./ }

/** What placeholders stand for. A channel's reader has the name of the group, but for its beginning. */
export class Names {
  #known = new Map()

  constructor(known = []) { this.#known = new Map(known) }

  copy() { return new Names(this.#known) }
  adopt(other) { this.#known = other.#known }
  get(name) { return this.#known.get(name) ?? this.#reader(name) }
  set(name, value) { this.#known.set(name, value) }

  #reader(name) {
    const [, kind, rest] = /^\{(chn|grp)(:\w+\})$/.exec(name) ?? []
    const other = kind && this.#known.get(`{${kind === 'chn' ? 'grp' : 'chn'}${rest}`)
    return other && kind + other.slice(3)
  }

  /** A text with all that is known filled in, from the innermost placeholder outwards. */
  filled(text) {
    for (;;) {
      const next = text.replace(/\{([^{}]*)\}/g, (all, inner) => {
        if (inner.startsWith('b64:')) return Buffer.from(inner.slice(4)).toString('base64')
        const many = /^(\d+) (\w)$/.exec(inner)
        return many ? many[2].repeat(Number(many[1])) : this.get(all) ?? `\u0001${inner}\u0002`
      })
      if (next === text) return text.replaceAll('\u0001', '{').replaceAll('\u0002', '}')
      text = next
    }
  }
}

/** `value` with each text and key in it, however deep, as `change` makes it. */
export function mapped(value, change) {
  if (typeof value === 'string') return change(value)
  if (Array.isArray(value)) return value.map(item => mapped(item, change))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [change(key), mapped(item, change)]))
}

/** A frame without what is not compared. */
export function comparable(frame) {
  if (!isObject(frame)) return frame
  const copy = structuredClone(frame)
  if (copy.ctrl && !copy.ctrl.params) delete copy.ctrl.params
  for (const part of [copy.meta?.desc, ...copy.meta?.sub ?? []]) if (part) delete part.subcnt
  if (copy.meta?.topic === 'fnd') delete copy.meta.desc?.public
  return copy
}

/** @returns undefined where `actual` is as `expected`, else where and how it differs. `names` learns, also where something differs. */
export function difference(expected, actual, names, place = '') {
  const differs = () => `${place || 'it'} is ${JSON.stringify(actual)}, expected ${JSON.stringify(expected)}`
  if (typeof expected === 'string') return isText(expected, actual, names) ? undefined : differs()
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return differs()
    if (place.endsWith('meta.sub')) return unordered(expected, actual, names, place)
    return first(expected.keys(), i => difference(expected[i], actual[i], names, `${place}[${i}]`))
  }
  if (!isObject(expected)) return Object.is(expected, actual) ? undefined : differs()
  if (!isObject(actual)) return differs()
  const wanted = mapped(Object.fromEntries(Object.keys(expected).map(key => [key, 0])), key => names.filled(key))
  const missing = Object.keys(wanted).find(key => !Object.hasOwn(actual, key)), more = Object.keys(actual).find(key => !Object.hasOwn(wanted, key))
  if (missing !== undefined || more !== undefined) return `${place || 'it'} ${missing === undefined ? `has ${more}` : `lacks ${missing}`}: ${differs()}`
  return first(Object.keys(expected), key => difference(expected[key], actual[names.filled(key)], names, place ? `${place}.${key}` : key))
}

/** Each item of one list has one of the other. */
function unordered(expected, actual, names, place) {
  const left = [...actual]
  return first(expected, item => {
    for (const [i, candidate] of left.entries()) {
      const tried = names.copy()
      if (difference(item, candidate, tried, `${place}[]`) !== undefined) continue
      names.adopt(tried)
      left.splice(i, 1)
      return
    }
    return `${place} has none that is ${JSON.stringify(item)}: ${JSON.stringify(actual)}`
  })
}

function isText(expected, actual, names) {
  if (typeof actual !== 'string') return false
  if (Object.hasOwn(ANY, expected)) return ANY[expected].test(actual)
  const [, form] = LEARNT.find(([name]) => name.test(expected)) ?? []
  if (form && names.get(expected) === undefined) {
    if (!form.test(actual)) return false
    names.set(expected, actual)
    return true
  }
  return names.filled(expected) === actual
}

const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value)

function first(items, find) {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
}
