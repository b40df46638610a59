// Shows a call, over all else: one at a time.
import { Call } from './call.js'
import { $, notice, portrait } from './elements.js'
import { text } from './texts.js'

const RELAY = new URLSearchParams(location.search).has('relay')
const STATES = { connecting: 'call connecting' }
const ENDS = { ringing: 'refuse', inviting: 'cancel' }
const DEVICES = [['call-microphone', 'audio'], ['call-camera', 'video']]

/** The call that is going on, if there is one. */
export let call
let card, tell

/** `look`: the card of a phone; `show` shows all of the page, and with it the call. */
export function openCallPane(look, show) {
  card = look
  tell = () => show()
}

/** Calls somebody, or (`incoming`) shows that somebody calls. */
export function startCall(client, peer, incoming = false) {
  call = new Call(client, peer, { incoming, policy: RELAY ? 'relay' : 'all' })
  for (const [id] of DEVICES) $(id).ariaPressed = 'true'
  $('remote').srcObject = call.remote
  const clock = setInterval(showTime, 1_000)
  call.addEventListener('change', tell)
  call.addEventListener('end', ({ detail }) => {
    clearInterval(clock)
    call = undefined
    $('remote').srcObject = $('local').srcObject = null
    $('call').close()
    notice(text(detail))
    tell()
  })
  appear()
  tell()
  if (incoming && navigator.userActivation?.hasBeenActive) navigator.vibrate?.([400, 200, 400])
}

/** A frame of a call has come. */
export function heard(client, signal) {
  const { type, payload: { from } } = signal
  if (call?.peer === from) return call.heard(signal)
  // One at a time.
  if (type === 'invite-offer' && call) client.signal('invite-refuse', from)
  else if (type === 'invite-offer') startCall(client, from, true)
  // Of a call that this page knows nothing of, any more.
  else if (type === 'video-offer') client.signal('hang-up', from)
}

function appear() {
  $('call').showModal()
  showCall()
  $(call.phase === 'ringing' ? 'call-accept' : 'call-end').focus()
}

$('call-accept').addEventListener('click', () => call.accept())
$('call-end').addEventListener('click', () => call?.hangUp())
for (const [id, kind] of DEVICES) $(id).addEventListener('click', ({ currentTarget }) => {
  const isOn = call?.toggle(kind)
  if (isOn !== undefined) currentTarget.ariaPressed = isOn
})
addEventListener('pagehide', () => call?.hangUp())

// A call ends by its button, and by nothing else. Browsers let Escape pass once; what they close in
// spite of all, such as by the gesture for "back" on a phone, comes back.
$('call').addEventListener('keydown', event => {
  if (event.key === 'Escape') event.preventDefault()
})
$('call').addEventListener('cancel', event => event.preventDefault())
$('call').addEventListener('close', () => { if (call && !$('call').open) appear() })

const has = (stream, kind) => stream.getTracks().some(track => track.kind === kind)

/** What of one's own devices is missing, as a key of the texts. */
function missing({ local }) {
  if (!local) return undefined
  const [hasSound, hasPicture] = ['audio', 'video'].map(kind => has(local, kind))
  if (hasSound && hasPicture) return undefined
  return hasSound ? 'no camera' : hasPicture ? 'no microphone' : 'no devices'
}

export function showCall() {
  if (!call) return
  const person = card(call.peer), { phase, local, remote } = call
  $('call').dataset.phase = phase
  const isSeen = has(remote, 'video') && ['talking', 'recovering'].includes(phase)
  $('call').classList.toggle('seen', isSeen)
  $('call-face').replaceChildren(portrait(person))
  $('call-name').textContent = person.nick
  $('call-state').textContent = text(STATES[phase] ?? phase)
  const lack = missing(call)
  $('call-note').textContent = lack ? text(lack) : ''
  const isOn = !['ringing', 'inviting'].includes(phase)
  for (const id of ['call-microphone', 'call-camera']) $(id).hidden = !isOn
  $('local').hidden = !isOn || !local || !has(local, 'video')
  $('call-accept').hidden = phase !== 'ringing'
  $('call-end').ariaLabel = text(ENDS[phase] ?? 'hang up')
  for (const [id, kind] of DEVICES) $(id).disabled = !local || !has(local, kind)
  if ($('local').srcObject !== local) $('local').srcObject = local ?? null
  if (isOn && !$('call').contains(document.activeElement)) $('call-end').focus()
  showTime()
}

function showTime() {
  if (!call?.since) return void ($('call-time').textContent = '')
  const seconds = Math.floor((Date.now() - call.since) / 1_000)
  const [minutes, rest] = [Math.floor(seconds / 60), seconds % 60]
  $('call-time').textContent = `${minutes}:${String(rest).padStart(2, '0')}`
}
