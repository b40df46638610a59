// What an administrator can do with users of react-wechat. Their clients keep a token for good, so whoever is sent away loses it.
import { showSecret, watch } from './actions.js'
import { ask, toast } from './dialog.js'
import { h } from './dom.js'
import { quoted, some } from './format.js'

/** @typedef {import('./actions.js').Context} Context */

/** The user, by phone and nickname. @param {string} phone; @param {any} user as it was seen last */
const who = (phone, user) => user ? [quoted(user.nick), ', ', quoted(phone), ','] : [quoted(phone)]

/** @param {Context} context; @param {string} phone; @param {any} user */
export const signOut = ({ api, changed }, phone, user) => ask({
  title: 'Sign the user out?',
  says: [
    h('p', {}, ...who(phone, user), ' will be signed out on all devices: the connection ends, and tokens that were issued until now count no more.'),
    h('p', {}, 'Nothing is lost. The user can log in again with the password.'),
  ],
  button: 'Sign out', danger: true,
  async act() {
    const { connections } = (await api.call('wechat/signOut', { phone })).result
    toast(quoted(phone), ' is signed out; ', connections > 0 ? 'the connection has ended.' : 'it was not connected.')
    changed()
  },
})

/** @param {Context} context; @param {string} phone; @param {string} contact */
export const removeContact = ({ api, changed }, phone, contact) => ask({
  title: 'Take the contact out?',
  says: [
    h('p', {}, quoted(contact), ' and ', quoted(phone), ' will be taken out of each other’s contacts, and can’t write to each other or call any more.'),
    h('p', {}, 'Each of them can add the other again.'),
  ],
  button: 'Take out', danger: true,
  async act() {
    const { removed } = (await api.call('wechat/removeContact', { phone, contact })).result
    if (removed) toast(quoted(contact), ' and ', quoted(phone), ' are no contacts any more.')
    else toast(quoted(contact), ' and ', quoted(phone), ' were no contacts.')
    changed()
  },
})

/** @param {Context} context; @param {string} phone; @param {any} user */
export async function resetPassword({ api, changed }, phone, user) {
  let password = ''
  const done = await ask({
    title: 'Give a new password?',
    says: [h('p', {}, ...who(phone, user), ' gets a random password, which is shown once. The old one is dead at once, and so are all tokens.')],
    button: 'New password', danger: true,
    async act() { ({ password } = (await api.call('wechat/resetPassword', { phone })).result) },
  })
  if (!done) return
  await showSecret('Password', phone, password)
  changed()
}

/** @param {Context} context; @param {string} phone */
export const eraseMessages = ({ api, changed }, phone) => ask({
  title: 'Erase what the user wrote?',
  says: [
    h('p', {}, 'Messages of ', quoted(phone), ' that wait for others will be overwritten, with every copy that the store has.'),
    h('p', {}, 'What has arrived is in the clients, and stays there. This can’t be undone.'),
  ],
  button: 'Erase', danger: true,
  async act() {
    const { job } = (await api.call('wechat/eraseMessages', { phone })).result
    toast('Erasing the messages of ', quoted(phone), '…')
    changed()
    watch(api, job, phone)
  },
})

/** @param {Context} context; @param {string} phone; @param {any} user */
export const remove = ({ api, changed }, phone, user) => ask({
  title: 'Delete the user?',
  says: [
    h('p', {}, ...who(phone, user), ' will be deleted', user && user.waiting > 0 ? `, with the ${some(user.waiting, 'message')} that ${user.waiting === 1 ? 'waits' : 'wait'} there` : '', '. Tokens count no more, and the connection ends.'),
    h('p', {}, 'Contacts have it no more. Whoever registers the phone later is somebody else to this server. This can’t be undone.'),
  ],
  button: 'Delete', danger: true,
  async act() {
    const { removed } = (await api.call('wechat/deleteUser', { phone })).result
    toast('Deleted ', quoted(phone), ' and ', some(removed, 'waiting message'), '.')
    changed()
  },
})
