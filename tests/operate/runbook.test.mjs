// What docs/OPERATIONS.md sends somebody to at night has to be there: an entry for each alert, and only metrics, settings and methods that exist.
import { strict as assert } from 'node:assert'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { DEPLOY } from './prometheus.mjs'

const DOCUMENT = 'docs/OPERATIONS.md'
const text = name => readFile(join(DEPLOY, '..', name), 'utf8')
const all = (text, pattern) => [...new Set([...text.matchAll(pattern)].map(([, found]) => found))]
/** Those of `named` that are not among `known`. */
const strangers = (named, known) => named.filter(name => !known.has(name))

let operations
before(async () => { operations = await text(DOCUMENT) })

test('each alert leads to its entry, and each entry is of an alert', async () => {
  const rules = (await text('deploy/prometheus/alerts.yml')).split(/^ +- alert: /m).slice(1)
  const alerts = rules.map(rule => /^\w+/.exec(rule)[0])
  assert(alerts.length > 15, `${alerts.length} alerts`)
  const entries = all(operations, /^### (AlwaysOnline\w+)$/gm)
  assert.deepEqual(entries, alerts, 'the entries are in the order of the rules')
  for (const [at, rule] of rules.entries()) {
    const [, leads] = /^ +runbook_url: (.+)$/m.exec(rule) ?? []
    assert.equal(leads, `${DOCUMENT}#${alerts[at].toLowerCase()}`, alerts[at])
  }
})

test('an entry that begins with an expression has that of its rule, with its bound or without', async () => {
  const plain = expression => expression.replace(/\s+/g, ' ').trim()
  const rules = new Map((await text('deploy/prometheus/alerts.yml')).split(/^ +- alert: /m).slice(1).map(rule => {
    // On the line, or folded below it.
    const [, expression] = /^ +expr: (?:>-\n)?([^]*?)\n +(?:for|labels):/m.exec(rule)
    return [/^\w+/.exec(rule)[0], plain(expression)]
  }))
  const quoting = [...operations.matchAll(/^### (AlwaysOnline\w+)\n\n`([^`]+)`/gm)]
  assert(quoting.length > 10, `${quoting.length} expressions`)
  for (const [, alert, quoted] of quoting) {
    const rule = rules.get(alert)
    assert([rule, rule.replace(/ [<>]=? [\d.]+$/, '')].includes(plain(quoted)), `${alert}: ${quoted} instead of ${rule}`)
  }
})

test('each metric that it names is in the reference', async () => {
  const declared = [...(await text('docs/METRICS.md')).matchAll(/^\| `(\w+)` \| (\w+) \|/gm)]
  const known = new Set(declared.flatMap(([, name, type]) =>
    type === 'histogram' ? [name, ...['bucket', 'sum', 'count'].map(series => `${name}_${series}`)] : [name]))
  const named = all(operations, /\b((?:always_online|process)_[a-z_]+)\b/g)
  assert(named.length > 40, `${named.length} metrics`)
  assert.deepEqual(strangers(named, known), [])
})

test('each value of a label that it asks for can be there', async () => {
  const labels = new Map([...(await text('docs/METRICS.md')).matchAll(/^\| `(\w+)` \| \w+ \| (.*?) \|/gm)].map(([, name, labels]) => [name, labels]))
  const asked = [...operations.matchAll(/\b(always_online_\w+)\{(\w+)=~?"([^"]+)"/g)]
    .map(([, series, label, values]) => ({ name: series.replace(/_(bucket|sum|count)$/, ''), label, values: values.split('|') }))
  assert(asked.length > 5, `${asked.length} values`)
  for (const { name, label, values } of asked) {
    const [, known] = labels.get(name).split('; ').map(one => /^`(\w+)`: (.*)$/.exec(one)).find(one => one?.[1] === label)?.slice(1) ?? []
    assert(known, `${name} has no label ${label}`)
    assert.deepEqual(strangers(values, new Set(all(known, /`([^`]+)`/g))), [], `${name}{${label}}`)
  }
})

test('each setting that it names is in the reference', async () => {
  const known = new Set(all(await text('docs/CONFIGURATION.md'), /`(AO_[A-Z_]+)`/g))
  const named = all(operations, /\b(AO_[A-Z_]+)\b/g)
  assert(named.length > 15, `${named.length} settings`)
  assert.deepEqual(strangers(named, known), [])
})

test('each method that it asks is one of the API', async () => {
  const known = new Set(all(await text('docs/api.md'), /^### (?:POST|GET) \/v1\/([\w/]+)/gm))
  const named = all(operations, /\bask ([a-z]+(?:\/[a-z]+)*) '/g)
  assert(named.length > 8, `${named.length} methods`)
  assert.deepEqual(strangers(named, known), [])
})
