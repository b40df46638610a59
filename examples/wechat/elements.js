// Parts of the page that several of its files need.
import { Refused } from './client.js'
import { refusal, text } from './texts.js'

const NOTICE = 4_000 // ms

export const $ = id => document.getElementById(id)

export function make(tag, fields = {}, ...children) {
  const element = Object.assign(document.createElement(tag), fields)
  element.append(...children)
  return element
}

/** Pictures come in the message itself: nothing is fetched because somebody says so. */
export const isPicture = content =>
  typeof content === 'string' && /^data:image\/(png|jpeg|gif|webp);base64,/.test(content)

/** A picture of somebody, or the first letter. */
export function portrait({ nick, phone, thumb }) {
  const hue = [...phone].reduce((sum, letter) => (sum * 31 + letter.charCodeAt()) % 360, 7)
  const shown = make('span', { className: 'face', ariaHidden: 'true' })
  shown.style.setProperty('--hue', hue)
  const letter = [...nick.trim()][0]?.toUpperCase() ?? ''
  shown.append(isPicture(thumb) ? make('img', { src: thumb, alt: '' }) : letter)
  return shown
}

let noticed

/** Says something at the bottom of the page for a moment. */
export function notice(what) {
  clearTimeout(noticed)
  $('notice').textContent = what
  noticed = setTimeout(() => { $('notice').textContent = '' }, NOTICE)
}

/** What went wrong, in words for the user. */
export function trouble(error) {
  if (error instanceof Refused) return refusal(error)
  console.warn(error)
  return text('unreachable')
}

/**
 * Calls `handle` with a form's fields, and says by `tell` what goes wrong. Until that is done the
 * form can't be sent: a second tap is none.
 */
export function onSubmit(id, tell, handle) {
  $(id).addEventListener('submit', async event => {
    event.preventDefault()
    const button = event.target.querySelector('button.main')
    button.disabled = true
    tell('')
    const fields = Object.fromEntries(new FormData(event.target))
    await handle(fields).catch(error => tell(trouble(error)))
    button.disabled = false
  })
}

/** A phone number as the server has it, whatever it was divided by. */
const bare = phone =>
  /^[\d+_\s().-]+$/.test(phone) ? phone.replaceAll(/[\s().-]/g, '') : phone.trim()

// Before it is checked: blanks around a name were never meant.
for (const field of document.querySelectorAll('[type=tel], #search input')) {
  field.addEventListener('change', () => { field.value = bare(field.value) })
}
for (const field of document.querySelectorAll('form input:not([type])')) {
  field.addEventListener('change', () => { field.value = field.value.trim() })
}
