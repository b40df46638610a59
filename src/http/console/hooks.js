// Webhooks that an endpoint did not take.
import * as actions from './actions.js'
import { h, keep, repeat, table } from './dom.js'
import { count, moment, name } from './format.js'

/** Milliseconds between two looks. */
const EVERY = 5000
/** Batches of a page. */
const PAGE = 20

/** @param {import('./main.js').App} app; @param {AbortSignal} signal */
export function hooks(app, signal) {
  const { api } = app
  const { element, body, row } = table('Webhooks that were put aside', [{ name: 'Put aside', class: 'when' }, 'Room or user', { name: 'Attempts', class: 'number slim' }, 'Why', { name: 'Batch', class: 'wide' }, { name: 'Actions', class: 'act roomy', hidden: true }])
  const nothing = h('div', { class: 'empty', hidden: true }, h('p', {}, 'Nothing was put aside.'), h('p', {}, 'Batches that an endpoint did not take for three days are listed here, and can be sent again.'))
  const blank = h('div', { class: 'empty', hidden: true }, h('p', {}, 'Nothing on this page.'))
  let endpoint = 'main'
  /** @type {(string | undefined)[]} */
  let cursors = [undefined]
  /** @type {string | undefined} */
  let next
  /** @type {any[]} */
  let shown = []
  const field = h('input', { id: 'endpoint', type: 'text', value: endpoint, autocomplete: 'off', spellcheck: 'false' })
  const form = h('form', { class: 'search', onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); endpoint = field.value || 'main'; cursors = [undefined]; look() } },
    h('label', { for: 'endpoint' }, 'Endpoint'), field, h('button', { type: 'submit' }, 'Show'))
  const all = actions.button(api, 'hooks/replay', 'Send all of this page again…', () => actions.replay(context, endpoint, shown.map(({ id }) => id)))
  const back = h('button', { type: 'button', onclick: () => { cursors.pop(); look() } }, 'Previous')
  const on = h('button', { type: 'button', onclick: () => { cursors.push(next); look() } }, 'Next')
  const pager = h('nav', { class: 'pager', 'aria-label': 'Pages' }, back, on)

  const make = (/** @type {any} */ batch) => row(moment(Date.parse(batch.parkedAt)), name(batch.roomId), count(batch.attempts), name(batch.why, 'whole'),
    h('details', {}, h('summary', {}, name(batch.id)), h('pre', {}, JSON.stringify(batch.body, null, 1) ?? '')),
    actions.button(api, 'hooks/replay', 'Send again…', () => actions.replay(context, endpoint, [batch.id]), { small: true, label: `Send ${batch.id} again` }))

  async function look() {
    try {
      const cursor = cursors.at(-1)
      const page = await api.call('hooks/failed', { endpoint, limit: PAGE, ...(cursor !== undefined && { cursor }) }, signal)
      shown = page.batches
      next = page.next
      keep(body, shown, ({ id }) => id, make)
      element.hidden = shown.length === 0
      // A page may be empty, and others not.
      const isAll = next === undefined && cursors.length === 1
      nothing.hidden = shown.length > 0 || !isAll
      blank.hidden = shown.length > 0 || isAll
      back.disabled = cursors.length === 1
      on.disabled = next === undefined
      pager.hidden = back.disabled && on.disabled
      if (all) all.hidden = shown.length === 0
      app.worked()
    } catch (error) {
      if (!signal.aborted) app.failed(error)
    }
  }
  const context = { api, changed: look }
  repeat(EVERY, signal, look)
  return { title: 'Webhooks', actions: [all], content: [form, h('div', { class: 'card' }, element, nothing, blank), pager] }
}
