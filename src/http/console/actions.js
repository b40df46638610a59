// What an administrator can do. Each button is one call of the HTTP API, and each that takes something away asks first, with the name of what goes.
import { ask, tell, toast } from './dialog.js'
import { h } from './dom.js'
import { count, quoted, some, visible } from './format.js'

/** @typedef {import('./api.js').Api} Api */
/** @typedef {{api: Api, changed: () => void}} Context `changed`: called when something was done, so that the view looks again */

/**
 * A button, where this administrator may use the method behind it.
 * @param {Api} api
 * @param {string} method
 * @param {string} text
 * @param {() => unknown} act
 * @param {{danger?: boolean, small?: boolean, label?: string}} [look] `label`: what it is for, where the text alone does not say
 */
export function button(api, method, text, act, { danger, small, label } = {}) {
  return api.may(method) && h('button', { type: 'button', class: [danger && 'danger', small && 'small'].filter(Boolean).join(' '), 'aria-label': label && visible(label), onclick: act }, text)
}

/** @param {string} text; @param {string} what */
export function wholeNumber(text, what) {
  if (!/^\d+$/.test(text.trim())) throw new Error(`${what} has to be a whole number.`)
  if (!Number.isSafeInteger(Number(text))) throw new Error(`${what} is too large.`)
  return Number(text)
}

/**
 * Asks before a method of a dialect does something, says what came of it, and has the view look again.
 * @param {Context} context
 * @param {{title: string, says: any[], button: string, isSafe?: boolean, method: string, body: Record<string, unknown>, done: (result: any) => any[]}} question
 * `says`: a paragraph each
 */
export const confirm = ({ api, changed }, { title, says, button, isSafe, method, body, done }) => ask({
  title, says: says.map(text => h('p', {}, text)), button, danger: !isSafe,
  async act() {
    const { result } = await api.call(method, body)
    toast(...done(result))
    changed()
  },
})

/**
 * Asks before something secret is made, and shows it once.
 * @param {Context} context
 * @param {Omit<Parameters<typeof ask>[0], 'act'> & {what: string, make: (values: Record<string, string>) => Promise<[string | number, string]>}} question
 * `what` it is, as `Token`; `make`: of whose it is, and it
 */
export async function makeSecret({ changed }, { what, make, ...question }) {
  /** @type {[string | number, string]} */
  let made = ['', '']
  if (!await ask({ ...question, async act(values) { made = await make(values) } })) return
  await showSecret(what, ...made)
  changed()
}

/** Erases what a user of a dialect has written. @param {Context} context; @param {string} method; @param {Record<string, string>} body; @param {string} user; @param {string} where */
export const eraseMessages = (context, method, body, user, where) => confirm(context, {
  title: 'Erase what the user wrote?',
  says: [
    ['Messages of ', quoted(user), ` ${where} will be overwritten, with every copy that the store has.`],
    'What has arrived is in the clients, and stays there. This can’t be undone.',
  ],
  button: 'Erase', method, body,
  done({ job }) {
    watch(context.api, job, user)
    return ['Erasing the messages of ', quoted(user), '…']
  },
})

/** @param {Context} context; @param {string} room */
export const publish = ({ api, changed }, room) => ask({
  title: 'Publish a message',
  says: [h('p', {}, 'Into ', quoted(room), '. Everybody in the room gets it.')],
  fields: [
    { name: 'message', label: 'Message, a JSON object', type: 'area', value: '{"text": ""}', required: true },
    {
      name: 'storage', label: 'What becomes of it', type: 'select', value: '2',
      options: [['2', 'delivered only, not stored'], ['0', 'stored in the log'], ['1', 'stored as an update: replaces that with the same msgId']],
    },
    { name: 'uid', label: 'Whose word it is', hint: 'Nothing: system.' },
  ],
  button: 'Publish',
  async act({ message, storage, uid }) {
    let object
    try { object = JSON.parse(message) } catch { throw new Error('The message is no JSON.') }
    if (typeof object !== 'object' || object === null || Array.isArray(object)) throw new Error('The message has to be an object, in braces.')
    const { members } = await api.call('publish', { roomId: room, message: { ...object, storage: Number(storage) }, ...(uid && { uid }) })
    toast('Published to ', some(members, 'user'), ' in ', quoted(room), '.')
    changed()
  },
})

/** @param {Context} context; @param {string} room; @param {number} messages */
export const clear = ({ api, changed }, room, messages) => ask({
  title: 'Clear the room?',
  says: [
    h('p', {}, messages > 0 ? `All ${some(messages, 'message')}` : 'All messages', ' and all updates of ', quoted(room), ' will be removed, for everybody.'),
    h('p', {}, 'Nobody leaves the room. This can’t be undone.'),
  ],
  button: 'Clear', danger: true,
  async act() {
    const { removed } = await api.call('clear', { roomId: room })
    toast('Removed ', some(removed, 'message'), ' of ', quoted(room), '.')
    changed()
  },
})

/** @param {Context} context; @param {string} room; @param {number} messages */
export const trim = ({ api, changed }, room, messages) => ask({
  title: 'Trim the room?',
  says: [h('p', {}, 'The oldest of the ', some(messages, 'message'), ' of ', quoted(room), ' will be removed, for everybody. This can’t be undone.')],
  fields: [
    { name: 'how', label: 'What goes', type: 'select', value: 'keep', options: [['keep', 'all but the newest so many'], ['olderThan', 'what is older than so many seconds'], ['before', 'what has a smaller index than']] },
    { name: 'number', label: 'Number', type: 'number', required: true },
  ],
  button: 'Trim', danger: true,
  async act({ how, number }) {
    const { removed } = await api.call('trim', { roomId: room, [how]: wholeNumber(number, 'It') })
    toast('Removed ', some(removed, 'message'), ' of ', quoted(room), '.')
    changed()
  },
})

/** @param {Context} context; @param {string} room; @param {string | number} uid */
export const kick = ({ api, changed }, room, uid) => ask({
  title: 'Kick out of the room?',
  says: [h('p', {}, quoted(uid), ' will be taken out of ', quoted(room), ' with all connections. Nothing keeps the user from joining again.')],
  button: 'Kick', danger: true,
  async act() {
    const { connections } = await api.call('kick', { roomId: room, uid })
    toast(connections > 0 ? `Took ${some(connections, 'connection')} of ` : 'Nobody was there: ', quoted(uid), connections > 0 ? ' out of the room.' : '')
    changed()
  },
})

/** @param {Context} context; @param {string | number} uid */
export const disconnect = ({ api, changed }, uid) => ask({
  title: 'Disconnect the user?',
  says: [h('p', {}, 'All sessions of ', quoted(uid), ' will end, on all nodes. The token stays good.')],
  fields: [{ name: 'how', label: 'Afterwards', type: 'select', value: 'refuse', options: [['refuse', 'the clients stay away'], ['drop', 'the clients come back by themselves']] }],
  button: 'Disconnect', danger: true,
  async act({ how }) {
    const { sessions } = await api.call('disconnect', { uid, reconnect: how === 'drop' })
    toast('Ended ', some(sessions, 'session'), ' of ', quoted(uid), '.')
    changed()
  },
})

/** @param {Context} context; @param {string | number} uid */
export const revoke = ({ api, changed }, uid) => ask({
  title: 'Revoke JSON Web Tokens?',
  says: [h('p', {}, 'All JSON Web Tokens of ', quoted(uid), ' that were issued until now will count no more, and sessions that signed in by them end at once. This can’t be undone.')],
  button: 'Revoke', danger: true,
  async act() {
    const { sessions } = await api.call('revoke', { uid })
    toast('Revoked; ended ', some(sessions, 'session'), ' of ', quoted(uid), '.')
    changed()
  },
})

/** Shows a secret, once. @param {string} what it is, as `Token`; @param {string | number} of whose it is; @param {string} secret */
function showSecret(what, of, secret) {
  const field = h('input', { type: 'text', readonly: true, value: secret, 'aria-label': what, class: 'secret', onfocus: (/** @type {any} */ e) => e.target.select() })
  const copied = h('span', { role: 'status' })
  const copy = h('button', {
    type: 'button', async onclick() {
      field.select()
      // Pages without TLS have no clipboard: then the text is selected, at least.
      const done = await navigator.clipboard?.writeText(secret).then(() => true, () => false)
      copied.textContent = done ? 'Copied' : 'Selected: copy it now'
    },
  }, 'Copy')
  return tell(`The ${what.toLowerCase()}`, h('p', {}, 'Of ', quoted(of), '. It is not shown again.'), h('div', { class: 'copy' }, field, copy), copied)
}

/** @param {Context} context; @param {string | number} uid */
export const createToken = (context, uid) => makeSecret(context, {
  title: 'Make a token?',
  says: [h('p', {}, 'For ', quoted(uid), ', who has none. It is shown once.')],
  button: 'Make a token', what: 'Token',
  make: async () => [uid, (await context.api.call('token/create', { uid })).token],
})

/** @param {Context} context; @param {string | number} uid */
export const refreshToken = (context, uid) => makeSecret(context, {
  title: 'Replace the token?',
  says: [h('p', {}, 'The token of ', quoted(uid), ' will be dead at once, and a new one is shown, once. An open connection goes on, and needs the new one when it comes back.')],
  button: 'Replace', danger: true, what: 'Token',
  make: async () => [uid, (await context.api.call('token/refresh', { uid })).token],
})

/** @param {Context} context; @param {string | number} uid */
export const revokeToken = ({ api, changed }, uid) => ask({
  title: 'Take the token away?',
  says: [h('p', {}, 'The token of ', quoted(uid), ' will be dead at once, and all sessions end. The user can’t sign in until there is a new one.')],
  button: 'Take away', danger: true,
  async act() {
    const { sessions } = await api.call('token/revoke', { uid })
    toast('The token is gone; ended ', some(sessions, 'session'), ' of ', quoted(uid), '.')
    changed()
  },
})

/** @param {Context} context; @param {string | number} uid */
export const erase = ({ api, changed }, uid) => ask({
  title: 'Erase the user’s messages?',
  says: [
    h('p', {}, 'All messages of ', quoted(uid), ' will be overwritten in all rooms, with every copy that the store has.'),
    h('p', {}, 'The token and the sessions stay. This can’t be undone.'),
  ],
  button: 'Erase', danger: true,
  async act() {
    const { job } = await api.call('erase', { uid })
    toast('Erasing the messages of ', quoted(uid), '…')
    changed()
    watch(api, job, uid)
  },
})

/** Tells how an erasing ended. @param {Api} api; @param {string} job; @param {string | number} uid whose messages, as the page calls it */
async function watch(api, job, uid) {
  for (;;) {
    await new Promise(done => setTimeout(done, 1000))
    if (api.over.aborted) return
    let state
    try { state = await api.get(`jobs/${encodeURIComponent(job)}`, api.over) } catch (error) {
      if (api.over.aborted) return
      const { status = 0, message } = /** @type {any} */ (error)
      // Who does not answer now does so later; the job goes on meanwhile.
      if (status === 0 || status === 429 || status >= 500) continue
      toast('How the erasing of the messages of ', quoted(uid), ' goes on can’t be told: ', message)
      return
    }
    if (state.state !== 'done') continue
    toast('Erased ', some(state.erased, 'message'), ' of ', quoted(uid), ' in ', some(state.rooms, 'room'), '.')
    return
  }
}

/** @param {Context} context; @param {boolean} on what it is to be */
export const forceUserAuth = ({ api, changed }, on) => ask({
  title: on ? 'Ask users for tokens?' : 'Let everybody in?',
  says: [h('p', {}, on ? 'From now on who signs in has to have a valid token, on all nodes.' : 'From now on who signs in is believed without a token, on all nodes: anybody can be anybody.')],
  button: on ? 'Ask for tokens' : 'Let everybody in', danger: !on,
  async act() {
    await api.call('config', { forceUserAuth: on })
    toast(on ? 'Users need tokens.' : 'Users need no tokens.')
    changed()
  },
})

/** @param {Context} context; @param {any} node that answers: no other one can be asked from here. Where another one answers by now, as behind a balancer, nothing is done */
export const drain = ({ api, changed }, node) => ask({
  title: 'Drain the node?',
  says: [h('p', {}, quoted(node.id), ` takes nobody new, and its ${some(node.connections, 'connection')} are sent away: the clients come back by themselves, to another node. Where there is no other one they can’t.`)],
  fields: [{ name: 'over', label: 'Within seconds', type: 'number', value: '30', required: true }],
  button: 'Drain', danger: true,
  async act({ over }) {
    const { connections } = await api.call('drain', { over: wholeNumber(over, 'It'), node: node.id })
    toast(`Sending ${some(connections, 'connection')} away from `, quoted(node.id), '.')
    changed()
  },
})

/** @param {Context} context; @param {any} node that answers, and drains */
export const endDrain = ({ api, changed }, node) => ask({
  title: 'End the drain?',
  says: [h('p', {}, quoted(node.id), ' lets newcomers in again. Clients that are still there stay.')],
  button: 'End the drain',
  async act() {
    await api.call('drain', { cancel: true, node: node.id })
    toast(quoted(node.id), ' lets newcomers in again.')
    changed()
  },
})

/** @param {Context} context */
export const reload = ({ api, changed }) => ask({
  title: 'Read the settings again?',
  says: [h('p', {}, 'The node that answers reads its configuration file again, and takes in what can be changed while it runs. Nobody is dropped; where anything is wrong with the file, nothing is changed.')],
  button: 'Reload',
  async act() {
    const done = await api.call('reload')
    toast(done.changed.length ? `Changed: ${done.changed.join(', ')}.` : 'Nothing has changed.', done.restart.length ? ` From the next start on: ${done.restart.join(', ')}.` : '')
    changed()
  },
})

/** @param {Context} context; @param {string} endpoint; @param {string[]} ids */
export const replay = ({ api, changed }, endpoint, ids) => ask({
  title: 'Send again?',
  says: [h('p', {}, ids.length === 1 ? h('span', {}, 'The batch ', quoted(ids[0])) : `${count(ids.length)} batches`, ' will be sent to the endpoint ', quoted(endpoint), ' again, before what waits of the same room.')],
  button: 'Send again',
  async act() {
    const { replayed } = await api.call('hooks/replay', { endpoint, ids })
    toast(`Sending ${some(replayed, 'batch', 'batches')} again.`)
    changed()
  },
})
