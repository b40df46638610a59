// What an administrator can do with users of react-wechat. Their clients keep a token for good, so whoever is sent away loses it.
import { confirm, eraseMessages as erase, makeSecret } from './actions.js'
import { h } from './dom.js'
import { quoted, some } from './format.js'

/** @typedef {import('./actions.js').Context} Context */

/** The user, by phone and nickname. @param {string} phone; @param {any} user as it was seen last */
const who = (phone, user) => user ? [quoted(user.nick), ', ', quoted(phone), ','] : [quoted(phone)]

/** @param {Context} context; @param {string} phone; @param {any} user */
export const signOut = (context, phone, user) => confirm(context, {
  title: 'Sign the user out?',
  says: [
    [...who(phone, user), ' will be signed out on all devices: the connection ends, and tokens that were issued until now count no more.'],
    'Nothing is lost. The user can log in again with the password.',
  ],
  button: 'Sign out', method: 'wechat/signOut', body: { phone },
  done: ({ connections }) => [quoted(phone), ' is signed out; ', connections > 0 ? 'the connection has ended.' : 'it was not connected.'],
})

/** @param {Context} context; @param {string} phone; @param {string} contact */
export const removeContact = (context, phone, contact) => confirm(context, {
  title: 'Take the contact out?',
  says: [
    [quoted(contact), ' and ', quoted(phone), ' will be taken out of each other’s contacts, and can’t write to each other or call any more.'],
    'Each of them can add the other again.',
  ],
  button: 'Take out', method: 'wechat/removeContact', body: { phone, contact },
  done: ({ removed }) => [quoted(contact), ' and ', quoted(phone), removed ? ' are no contacts any more.' : ' were no contacts.'],
})

/** @param {Context} context; @param {string} phone; @param {any} user */
export const resetPassword = (context, phone, user) => makeSecret(context, {
  title: 'Give a new password?',
  says: [h('p', {}, ...who(phone, user), ' gets a random password, which is shown once. The old one is dead at once, and so are all tokens.')],
  button: 'New password', danger: true, what: 'Password',
  make: async () => [phone, (await context.api.call('wechat/resetPassword', { phone })).result.password],
})

/** @param {Context} context; @param {string} phone */
export const eraseMessages = (context, phone) => erase(context, 'wechat/eraseMessages', { phone }, phone, 'that wait for others')

/** @param {Context} context; @param {string} phone; @param {any} user */
export const remove = (context, phone, user) => confirm(context, {
  title: 'Delete the user?',
  says: [
    [...who(phone, user), ' will be deleted', user && user.waiting > 0 ? `, with the ${some(user.waiting, 'message')} that ${user.waiting === 1 ? 'waits' : 'wait'} there` : '', '. Tokens count no more, and the connection ends.'],
    'Contacts have it no more. Whoever registers the phone later is somebody else to this server. This can’t be undone.',
  ],
  button: 'Delete', method: 'wechat/deleteUser', body: { phone },
  done: ({ removed }) => ['Deleted ', quoted(phone), ' and ', some(removed, 'waiting message'), '.'],
})
