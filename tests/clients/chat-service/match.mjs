// Whether what came is what was expected, as the recordings of chat-service have it (../../transcripts/chat-service/README.md): the order of keys and of lists
// of names does not count, `{ts}` is any time of now, `{id:A}` a socket's id, `{"{bin}": hex}` binary.

/** Any time of now, in milliseconds. */
export const TS = '{ts}'
/** How far from now a time may be: a recording is played within it. */
const NOW_MS = 600_000
/** Lists that have an order although texts are in them: arguments and results. */
const ORDERED = /^$|(^|\.)(args|restArgs|results)$/
const PLACEHOLDER = /^\{(id:\w+|token)\}$/

/** `value` with `{id:A}` replaced by what `ids` has for A, in texts and in keys; those that it has not stay. */
export function resolved(value, ids) {
  const text = value => value.replace(/\{id:(\w+)\}/g, (all, name) => ids[name] ?? all)
  return mapped(value, text)
}

/** `value` with each text and key in it, however deep, as `change` makes it. */
export function mapped(value, change) {
  if (typeof value === 'string') return change(value)
  if (Array.isArray(value)) return value.map(item => mapped(item, change))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [change(key), mapped(item, change)]))
}

/** `{"{bin}": hex}` becomes bytes, as a client sends them. */
export function sendable(value) {
  if (Array.isArray(value)) return value.map(sendable)
  if (!isObject(value)) return value
  if (typeof value['{bin}'] === 'string') return Buffer.from(value['{bin}'], 'hex')
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, sendable(item)]))
}

/** Bytes become `{"{bin}": hex}`, whatever the client's library has for bytes. The rest is a copy. */
export function received(value) {
  if (value instanceof ArrayBuffer) return { '{bin}': Buffer.from(value).toString('hex') }
  if (ArrayBuffer.isView(value)) return { '{bin}': Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex') }
  if (Array.isArray(value)) return value.map(received)
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, received(item)]))
}

/** @returns undefined where `actual` is as `expected`, else where and how it differs */
export function difference(expected, actual, place = '') {
  const differs = () => `${place || 'it'} is ${JSON.stringify(actual)}, expected ${JSON.stringify(expected)}`
  if (expected === TS) return Number.isSafeInteger(actual) && Math.abs(Date.now() - actual) < NOW_MS ? undefined : differs()
  if (typeof expected === 'string' && PLACEHOLDER.test(expected)) return typeof actual === 'string' && actual ? undefined : differs()
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return differs()
    const [wanted, got] = !ORDERED.test(place) && isNames(expected) && isNames(actual) ? [[...expected].sort(), [...actual].sort()] : [expected, actual]
    return first(wanted.keys(), i => difference(wanted[i], got[i], `${place}[${i}]`))
  }
  if (isObject(expected)) {
    if (!isObject(actual)) return differs()
    const keys = Object.keys(expected)
    if (keys.length !== Object.keys(actual).length || !keys.every(key => Object.hasOwn(actual, key))) return differs()
    return first(keys, key => difference(expected[key], actual[key], place ? `${place}.${key}` : key))
  }
  return Object.is(expected, actual) ? undefined : differs()
}

/** A list of names or rooms. */
const isNames = list => list.length > 1 && list.every(item => typeof item === 'string' && item !== TS)
const isObject = value => typeof value === 'object' && value !== null

function first(items, find) {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
}
