// One topic of Tinode: what it is, who is in it, and that it can be deleted. Its messages are told to nobody here.
import { h, table } from './dom.js'
import { count, given, moment, name, several, soft, tinodeLink } from './format.js'
import { facts, growing, one } from './one.js'
import * as actions from './tinode-actions.js'

/** @param {import('./main.js').App} app; @param {AbortSignal} signal; @param {string} topic */
export const tinodeTopic = (app, signal, topic) => one(app, signal, {
  title: topic,
  back: ['Topics', '#/tinode-list/topics'],
  state: async () => (await app.api.call('tinode/topicState', { topic }, signal)).result,
  codes: ['noTopic', 'badField'],
  gone: ['There is no such topic.'],
  parts: context => [
    facts({
      Name: now => given(now.name, 'whole'),
      Kind: now => now.kind,
      Owner: now => now.owner === null ? soft('nobody') : tinodeLink(now.owner),
      'Users here': now => count(now.here),
      Members: now => count(now.members),
      Readers: now => now.kind === 'channel' ? `about ${count(now.readers)}` : soft('none'),
      Messages: now => now.seq === 0 ? 'none yet' : `up to #${now.seq}`,
      'Last message': now => moment(now.lastMessage),
      Deletions: now => count(now.deletions),
      'Access of users': now => h('code', {}, now.auth),
      'Access of anonymous users': now => h('code', {}, now.anon),
      Made: now => moment(now.created),
      Tags: now => now.tags.length ? several(now.tags.map((/** @type {string} */ tag) => name(tag, 'whole'))) : soft('none'),
    }),
    growing(context, {
      title: 'Members', method: 'tinode/listMembers', of: { topic }, what: 'members', key: ({ user }) => user, none: ['The topic has no members.'],
      table: table('Members of the topic', [
        { name: 'User', cell: ({ user }) => tinodeLink(user) },
        { name: 'Name', cell: member => given(member.name) },
        { name: 'Wants', class: 'slim', cell: ({ want }) => h('code', {}, want) },
        { name: 'Is given', class: 'slim', cell: member => h('code', {}, member.given) },
        { name: 'Read', class: 'number slim', cell: ({ read }) => count(read) },
        { name: 'Received', class: 'number slim', cell: ({ recv }) => count(recv) },
      ]),
    }),
  ],
  deeds: [{ method: 'tinode/deleteTopic', text: 'Delete…', act: actions.removeTopic }],
})
