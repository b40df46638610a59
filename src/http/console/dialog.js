// Dialogs, and the line at the bottom that says what was done.
import { fill, h } from './dom.js'

/** @type {ReturnType<typeof setTimeout> | undefined} */
let fading

/** Says something for some seconds, to screen readers too. @param {...any} content */
export function toast(...content) {
  const line = /** @type {HTMLElement} */ (document.getElementById('toast'))
  fill(line, ...content)
  line.classList.add('shown')
  clearTimeout(fading)
  fading = setTimeout(() => line.classList.remove('shown'), 7000)
}

/**
 * A field of a dialog.
 * @typedef {{name: string, label: string, hint?: string, type?: 'text' | 'number' | 'area' | 'select', value?: string, required?: boolean, options?: [string, string][]}} Field
 */

/** @param {Field} field */
function control({ name, type = 'text', value = '', required, options = [], hint }) {
  const common = { name, id: `field-${name}`, required, 'aria-describedby': hint ? `hint-${name}` : undefined }
  switch (type) {
    case 'area': return h('textarea', { ...common, rows: 6, spellcheck: 'false', value })
    case 'select': return h('select', { ...common }, options.map(([key, text]) => h('option', { value: key, selected: key === value }, text)))
    case 'number': return h('input', { ...common, type: 'number', min: 0, step: 1, inputmode: 'numeric', value })
    default: return h('input', { ...common, type: 'text', autocomplete: 'off', spellcheck: 'false', value })
  }
}

/**
 * Asks before something is done, and does it while the dialog is open: what goes wrong is said in it, and can be tried again. Resolves when it is
 * done or given up.
 * @param {{title: string, says: any[], fields?: Field[], button: string, danger?: boolean, act: (values: Record<string, string>) => Promise<void>}} question
 * @returns {Promise<boolean>} whether it was done
 */
export function ask({ title, says, fields = [], button, danger = false, act }) {
  return new Promise(resolve => {
    const wrong = h('p', { class: 'wrong', role: 'alert' })
    const go = h('button', { class: danger ? 'danger' : 'main', type: 'submit' }, button)
    const away = h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel')
    const controls = fields.map(control)
    const form = h('form', { class: 'form' },
      h('h2', { id: 'dialog-title' }, title),
      h('div', { class: 'says', id: 'dialog-says' }, says),
      fields.map((field, at) => h('div', { class: 'field' }, h('label', { for: `field-${field.name}` }, field.label), controls[at],
        field.hint && h('small', { id: `hint-${field.name}` }, field.hint))),
      wrong, h('div', { class: 'buttons' }, away, go))
    const dialog = /** @type {HTMLDialogElement} */ (h('dialog', { 'aria-labelledby': 'dialog-title', 'aria-describedby': 'dialog-says' }, form))
    let done = false
    form.addEventListener('submit', async (/** @type {Event} */ event) => {
      event.preventDefault()
      if (go.disabled) return
      go.disabled = true
      fill(wrong)
      try {
        await act(Object.fromEntries(controls.map(c => [c.name, c.value])))
        done = true
        dialog.close()
      } catch (error) {
        fill(wrong, /** @type {Error} */ (error).message)
        go.disabled = false
      }
    })
    show(dialog, () => resolve(done))
    // What destroys is not what Enter does first.
    ;(controls[0] ?? (danger ? away : go)).focus()
  })
}

/** Shows something until it is closed. @param {string} title; @param {...any} content */
export function tell(title, ...content) {
  return new Promise(resolve => {
    const close = h('button', { class: 'main', type: 'button', onclick: () => dialog.close() }, 'Done')
    const dialog = /** @type {HTMLDialogElement} */ (h('dialog', { 'aria-labelledby': 'dialog-title' },
      h('h2', { id: 'dialog-title' }, title), h('div', { class: 'says' }, content), h('div', { class: 'buttons' }, close)))
    show(dialog, () => resolve(undefined))
    close.focus()
  })
}

/** @param {HTMLDialogElement} dialog; @param {() => void} closed */
function show(dialog, closed) {
  dialog.addEventListener('close', () => {
    dialog.remove()
    // Where it was opened may be gone with what was done.
    if (document.activeElement === document.body) document.getElementById('main')?.focus()
    closed()
  })
  document.body.append(dialog)
  dialog.showModal()
}

/** Closes what is open: the session is over. */
export function closeAll() {
  for (const dialog of document.querySelectorAll('dialog')) dialog.close()
}
