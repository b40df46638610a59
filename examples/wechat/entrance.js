// The entrance: forms to log in and to register.
import { login, Refused, register } from './client.js'
import { $, make, onSubmit } from './elements.js'
import { text } from './texts.js'

const FACE = 96 // pixels of a picture's sides
const serverField = $('server').querySelector('input')
// Where the page is behind the same proxy as the server, its own origin is the server's.
const usual = location.protocol === 'https:' ? location.origin : 'http://127.0.0.1:3002'
serverField.value = localStorage.getItem('server') ?? usual

export const complain = words => { $('trouble').textContent = words }

/** Calls `enter` with `{server, info, token, stay}` of whoever comes in; `mayStay` may refuse. */
export function openEntrance(mayStay, enter) {
  for (const id of ['login', 'registration']) onSubmit(id, complain, async fields => {
    if (!serverField.reportValidity()) return
    const server = new URL(serverField.value).origin
    const { picture, stay, ...account } = fields
    if (stay) mayStay(server, fields.phone)
    if (id === 'registration') {
      const thumb = picture.size > 0 ? await face(picture) : undefined
      await register(server, { ...account, thumb })
    }
    const answer = await login(server, fields.phone, fields.password)
    localStorage.setItem('server', server)
    enter({ server, stay, ...answer })
    for (const form of ['login', 'registration']) $(form).reset()
  })
  for (const button of document.querySelectorAll('.other')) button.addEventListener('click', () => {
    for (const id of ['login', 'registration']) $(id).hidden = !$(id).hidden
    complain('')
    document.querySelector('#entrance form:not([hidden]) input').focus()
  })
}

/** A picture as a small square, as a data URL. */
async function face(file) {
  const image = await createImageBitmap(file).catch(() => {
    throw new Refused(0, text('no picture'))
  })
  const side = Math.min(image.width, image.height)
  const [left, top] = [(image.width - side) / 2, (image.height - side) / 2]
  const canvas = make('canvas', { width: FACE, height: FACE })
  canvas.getContext('2d').drawImage(image, left, top, side, side, 0, 0, FACE, FACE)
  return canvas.toDataURL('image/jpeg', 0.85)
}
