// One user of Tinode: who it is, where it is, its topics, and what can be done.
import { h, table } from './dom.js'
import { badge, bytes, count, given, moment, name, several, soft, some, state, topicLink } from './format.js'
import { facts, growing, one } from './one.js'
import * as actions from './tinode-actions.js'

/** Milliseconds that topics may be of: they are asked for with some looks only. */
const TOPICS_EVERY = 30_000

/** @param {import('./main.js').App} app; @param {AbortSignal} signal; @param {string} user */
export const tinodeUser = (app, signal, user) => one(app, signal, {
  title: user,
  back: ['Tinode', '#/tinode'],
  state: async () => (await app.api.call('tinode/userState', { user }, signal)).result,
  codes: ['noUser', 'badField'],
  gone: ['There is no user with this id.'],
  parts: context => [
    facts({
      Name: now => given(now.name, 'whole'),
      Login: now => given(now.login, 'whole'),
      State: now => now.state === 'ok' ? 'may sign in' : state(false, now.state),
      Level: now => now.level,
      Sessions: now => now.sessions > 0 ? state(true, `${some(now.sessions, 'session')} on ${now.nodes.join(', ')}`) : 'away',
      'Seen last': now => now.sessions > 0 ? 'now' : [moment(now.lastSeen), now.lastSeen !== null && now.userAgent && [' ', name(now.userAgent, 'whole')]].flat(),
      Credentials: now => now.credentials.length ? several(now.credentials.map(credential)) : soft('none'),
      Made: now => moment(now.created),
      Files: now => now.files > 0 ? `${some(now.files, 'file')}, ${bytes(now.bytes)}` : 'none',
      'Devices with push': now => count(now.devices),
      Tags: now => now.tags.length ? several(now.tags.map((/** @type {string} */ tag) => name(tag, 'whole'))) : soft('none'),
    }),
    growing(context, {
      title: 'Topics', method: 'tinode/listUserTopics', of: { user }, what: 'topics', key: ({ topic }) => topic, none: ['The user is in no topic.'],
      mark: () => Math.floor(performance.now() / TOPICS_EVERY),
      table: table('Topics of the user', [
        { name: 'Topic', cell: ({ topic }) => topicLink(topic) },
        { name: 'Kind', class: 'slim', cell: ({ kind }) => badge(kind) },
        { name: 'Name', cell: topic => given(topic.name) },
        { name: 'Wants', class: 'slim', cell: ({ want }) => h('code', {}, want) },
        { name: 'Is given', class: 'slim', cell: topic => h('code', {}, topic.given) },
      ]),
    }),
  ],
  deeds: [
    { method: 'tinode/signOut', text: 'Sign out…', about: 'Sessions end; tokens count no more.', act: actions.signOut },
    { method: 'tinode/suspendUser', text: 'Suspend…', about: 'No signing in until that is taken back.', act: actions.suspend, when: now => now !== undefined && now.state !== 'suspended' },
    { method: 'tinode/resumeUser', text: 'Resume…', about: 'The user may sign in again.', act: actions.resume, isSafe: true, when: now => now?.state === 'suspended' },
    { method: 'tinode/eraseMessages', text: 'Erase messages…', about: 'What the user wrote, in all topics.', act: actions.eraseMessages, when: () => true },
    { method: 'tinode/deleteUser', text: 'Delete…', about: 'The account, its groups, and its topics of two.', act: actions.remove },
  ],
})

/** An address that a user can be reached by. @param {any} credential */
const credential = ({ value, confirmed }) => h('span', {}, name(value, 'whole'), !confirmed && ' (not confirmed)')
