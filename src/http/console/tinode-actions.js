// What an administrator can do with users, topics and API keys of Tinode's clients.
import { confirm, eraseMessages as erase, makeSecret } from './actions.js'
import { h } from './dom.js'
import { quoted, some } from './format.js'

/** @typedef {import('./actions.js').Context} Context */

/** The user, by name and id. @param {string} user; @param {any} seen as it was seen last */
const who = (user, seen) => seen?.name ? [quoted(seen.name), ', ', quoted(user), ','] : [quoted(user)]

/** Says how many sessions have ended. @param {number} sessions */
const ended = sessions => sessions > 0 ? `; ${some(sessions, 'session')} ended.` : '; there was no session.'

/** @param {Context} context; @param {string} user; @param {any} seen */
export const signOut = (context, user, seen) => confirm(context, {
  title: 'Sign the user out?',
  says: [
    [...who(user, seen), ' will be signed out on all devices: sessions end, and tokens that were issued until now count no more.'],
    'Nothing is lost. The user can sign in again with the password.',
  ],
  button: 'Sign out', method: 'tinode/signOut', body: { user },
  done: ({ sessions }) => [quoted(user), ' is signed out', ended(sessions)],
})

/** @param {Context} context; @param {string} user; @param {any} seen */
export const suspend = (context, user, seen) => confirm(context, {
  title: 'Suspend the user?',
  says: [
    [...who(user, seen), ' will be signed out, is found by no search, and can’t sign in until that is taken back.'],
    'All that the user has stays, and others may write.',
  ],
  button: 'Suspend', method: 'tinode/suspendUser', body: { user },
  done: ({ sessions }) => [quoted(user), ' is suspended', ended(sessions)],
})

/** @param {Context} context; @param {string} user; @param {any} seen */
export const resume = (context, user, seen) => confirm(context, {
  title: 'Let the user sign in again?',
  says: [[...who(user, seen), ' may sign in with the password. Old tokens stay dead.']],
  button: 'Resume', isSafe: true, method: 'tinode/resumeUser', body: { user },
  done: ({ resumed }) => [quoted(user), resumed ? ' may sign in again.' : ' was not suspended.'],
})

/** @param {Context} context; @param {string} user */
export const eraseMessages = (context, user) => erase(context, 'tinode/eraseMessages', { user }, user, 'in all topics')

/** @param {Context} context; @param {string} user; @param {any} seen */
export const remove = (context, user, seen) => confirm(context, {
  title: 'Delete the user?',
  says: [
    [...who(user, seen), ' will be deleted, with all topics of two, and all groups that the user owns. Sessions end, and the login is free.'],
    'What the user wrote in groups of others stays there: erase it before. This can’t be undone.',
  ],
  button: 'Delete', method: 'tinode/deleteUser', body: { user },
  done: ({ sessions }) => ['Deleted ', quoted(user), ended(sessions)],
})

/** @param {Context} context; @param {string} topic; @param {any} seen as it was seen last */
export const removeTopic = (context, topic, seen) => confirm(context, {
  title: 'Delete the topic?',
  says: [[...who(topic, seen), ' will be deleted, with all messages', seen ? `, for ${some(seen.members, 'member')}` : '', '. This can’t be undone.']],
  button: 'Delete', method: 'tinode/deleteTopic', body: { topic },
  done: () => ['Deleted ', quoted(topic), '.'],
})

/** @param {Context} context */
export const createKey = context => makeSecret(context, {
  title: 'Make an API key',
  says: [h('p', {}, 'Clients present it when they connect. It is shown once.')],
  fields: [{ name: 'note', label: 'What it is for', hint: 'So that you know later which one to revoke.' }],
  button: 'Make', what: 'Key',
  async make({ note }) {
    const { name, key } = (await context.api.call('tinode/createKey', { note })).result
    return [name, key]
  },
})

/** @param {Context} context; @param {any} key as it is listed */
export const revokeKey = (context, key) => confirm(context, {
  title: 'Revoke the API key?',
  says: [
    [...who(key.name, { name: key.note }), ' will be good no more, on no node, for good.'],
    'Sessions that are there stay until they end. Every app that has this key in it stays out then.',
  ],
  button: 'Revoke', method: 'tinode/revokeKey', body: { key: key.name },
  done: () => [quoted(key.name), ' is revoked.'],
})
