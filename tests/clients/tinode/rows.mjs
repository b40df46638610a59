// What descriptions and rows look like, without what no test can know before.
import assert from 'node:assert/strict'

/** An object without its times, which are what times have to be. */
export function timeless(object) {
  const rest = { ...object }
  for (const name of ['created', 'updated', 'touched']) {
    if (!(name in rest)) continue
    assert.match(rest[name], /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/)
    delete rest[name]
  }
  return rest
}
/** And without the number of members, which the real server counts by one too many. */
export const shown = ({ subcnt, ...desc }) => {
  if (subcnt !== undefined) assert.ok(Number.isInteger(subcnt))
  return timeless(desc)
}
/** That of a topic or a user. */
export const row = (rows, topic) => {
  const found = rows?.find(row => row.topic === topic || row.user === topic)
  return found && shown(found)
}
