// One user of react-wechat: who it is, where it is, what waits for it, whom it knows, and what can be done.
import { button } from './actions.js'
import { table } from './dom.js'
import { count, given, moment, name, phoneLink, soft, state } from './format.js'
import { facts, growing, one } from './one.js'
import * as actions from './phone-actions.js'

/** @param {import('./main.js').App} app; @param {AbortSignal} signal; @param {string} phone */
export const phone = (app, signal, phone) => one(app, signal, {
  title: phone,
  back: ['Messenger', '#/phones'],
  state: async () => (await app.api.call('wechat/userState', { phone }, signal)).result,
  codes: ['noUser'],
  gone: ['Nobody has this phone.', 'The user appears here when somebody registers it.'],
  parts: context => [
    facts({
      Nickname: now => given(now.nick, 'whole'),
      'User name': now => given(now.userName, 'whole'),
      'E-mail': now => given(now.email, 'whole'),
      Region: now => given(now.region, 'whole'),
      State: now => now.nodes.length ? state(true, `connected to ${now.nodes.join(', ')}`) : 'away',
      'Messages that wait': now => count(now.waiting),
      'Oldest of them': now => moment(now.waitingSince),
      'Tokens count from': now => now.tokensFrom === null ? 'all count' : moment(now.tokensFrom * 1000),
    }),
    growing(context, {
      title: 'Contacts', method: 'wechat/listContacts', of: { phone }, what: 'contacts', key: contact => contact.phone,
      none: ['The user has no contacts.'],
      size: now => now.contacts,
      mark: now => now.contacts,
      table: table('Contacts of the user', [
        { name: 'Phone', cell: contact => phoneLink(contact.phone) },
        { name: 'Nickname', cell: ({ nick }) => nick === null ? soft('unknown') : name(nick) },
        { name: 'Mutual', class: 'short', cell: ({ mutual }) => mutual === null ? '–' : mutual ? 'yes' : 'no' },
        ...app.api.may('wechat/removeContact') ? [{ name: 'Actions', class: 'act', hidden: true, cell: takeOut(context, phone) }] : [],
      ]),
    }),
  ],
  deeds: [
    { method: 'wechat/signOut', text: 'Sign out…', about: 'Ends the connection; tokens count no more.', act: actions.signOut },
    { method: 'wechat/resetPassword', text: 'New password…', about: 'A random one, shown once.', act: actions.resetPassword },
    { method: 'wechat/eraseMessages', text: 'Erase messages…', about: 'What the user wrote and waits for others.', act: actions.eraseMessages, when: () => true },
    { method: 'wechat/deleteUser', text: 'Delete…', about: 'The account, and what waits for it.', act: actions.remove },
  ],
})

/** @param {import('./one.js').Context} context; @param {string} phone */
const takeOut = (context, phone) => (/** @type {any} */ { phone: contact }) =>
  button(context.api, 'wechat/removeContact', 'Take out…', () => actions.removeContact(context, phone, contact), { small: true, danger: true, label: `Take ${contact} out` })
