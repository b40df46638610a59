// Numbers, times and names as people read them.
import { h } from './dom.js'

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 })

/** @param {number} n; a whole number */
export const count = n => whole.format(n)

/** `1 room`, `2 rooms`. @param {number} n; @param {string} one; @param {string} [many] */
export const some = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`

/** A rate: one digit behind the point where it is small. @param {number | null | undefined} n */
export const rate = n => n === null || n === undefined ? '–' : n > 0 && n < 100 ? tenths.format(n) : whole.format(n)

/** @param {number | null | undefined} n bytes */
export function bytes(n) {
  if (n === null || n === undefined) return '–'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let at = 0
  while (n >= 1024 && at < units.length - 1) { n /= 1024; at++ }
  return `${at > 0 && n < 100 ? tenths.format(n) : whole.format(n)} ${units[at]}`
}

/** @param {number | null | undefined} ms */
export const milliseconds = ms => ms === null || ms === undefined ? '–' : `${ms > 0 && ms < 100 ? tenths.format(ms) : whole.format(ms)} ms`

/** @param {number | null | undefined} share of a processor */
export const percent = share => share === null || share === undefined ? '–' : `${whole.format(share * 100)} %`

/** `3 d 4 h`: the two largest units. @param {number} seconds */
export function duration(seconds) {
  const units = /** @type {[string, number][]} */ ([['d', 86_400], ['h', 3600], ['min', 60], ['s', 1]])
  let left = Math.max(0, Math.floor(seconds))
  const parts = []
  for (const [unit, length] of units) {
    const n = Math.floor(left / length)
    left -= n * length
    if (n > 0 || (unit === 's' && parts.length === 0)) parts.push(`${n} ${unit}`)
    if (parts.length === 2) break
  }
  return parts.join(' ')
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const minutes = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })

/** @param {number} ms since 1970 */
export const clockTime = ms => clock.format(ms)
/** @param {number} ms since 1970 */
export const minuteTime = ms => minutes.format(ms)

/** A moment: its time, and its day if that is not today. @param {number | null} ms since 1970 */
export function moment(ms) {
  if (ms === null) return soft('–')
  const date = new Date(ms)
  if (Number.isNaN(date.getTime())) return h('span', {}, '–')
  const today = date.toDateString() === new Date().toDateString()
  return h('time', { datetime: date.toISOString(), title: date.toISOString() }, today ? clockTime(ms) : `${day.format(ms)}, ${clockTime(ms)}`)
}

/** What has no shape of its own, or turns the text around it: controls, marks of direction, what has no width. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

/** A name with what can't be seen shown by its code, so that two names that look alike do not. @param {string | number} name */
export const visible = name => String(name).replace(UNSEEN, c => `⟨${/** @type {number} */ (c.codePointAt(0)).toString(16).toUpperCase().padStart(4, '0')}⟩`)

/** A name of a user or a room, kept apart from the text around it. @param {string | number} text; @param {string} [kind] */
export const name = (text, kind = '') => h('bdi', { class: `name ${kind}`, title: visible(text) }, visible(text))

/** What is no name, but says that there is none. @param {string} text */
export const soft = text => h('span', { class: 'soft' }, text)
/** A name that somebody has given, if somebody has. @param {string | null} text; @param {string} [kind] */
export const given = (text, kind) => text === null || text === '' ? soft('none') : name(text, kind)
/** Several, with commas between them. @param {any[]} all */
export const several = all => all.flatMap((one, at) => at === 0 ? [one] : [', ', one])
/** What is well, or is not. @param {boolean} well; @param {string} text */
export const state = (well, text) => h('span', { class: well ? 'good' : 'bad' }, text)
/** The same as a badge. @param {string} text; @param {string} [kind] */
export const badge = (text, kind = '') => h('span', { class: `badge ${kind}` }, text)
/** A number of a list, less to be seen where it is none. @param {number} n */
export const figure = n => h('span', { class: n === 0 && 'none' }, count(n))
/** Where somebody is connected to. @param {string[]} nodes */
export const onNodes = nodes => h('span', { class: 'several' }, nodes.length ? nodes.map(node => name(node)) : soft('away'))

/** @param {string | number} id */
export const roomLink = id => h('a', { href: `#/room/${encodeURIComponent(id)}`, class: 'to' }, name(id))
/** @param {string | number} uid */
export const userLink = uid => h('a', { href: `#/user/${encodeURIComponent(uid)}`, class: 'to' }, name(uid))

/** @param {string} room of chat-service */
export const chatLink = room => h('a', { href: `#/chat/${encodeURIComponent(room)}`, class: 'to' }, name(room))

/** @param {string} phone of a user of react-wechat */
export const phoneLink = phone => h('a', { href: `#/phone/${encodeURIComponent(phone)}`, class: 'to' }, name(phone))

/** @param {string} user of Tinode */
export const tinodeLink = user => h('a', { href: `#/tinode-user/${encodeURIComponent(user)}`, class: 'to' }, name(user))
/** @param {string} topic of Tinode */
export const topicLink = topic => h('a', { href: `#/tinode-topic/${encodeURIComponent(topic)}`, class: 'to' }, name(topic))

/** Dialects with users of their own: what the server's names for these begin with, as no other uid can, what has to be allowed, and a link. @type {[string, string, (name: string) => any][]} */
const OWN = [['wechat\u0080', 'wechat/userState', phoneLink], ['tinode\u0080', 'tinode/userState', tinodeLink]]

/** A user who is online: of such a dialect, where this administrator can look at it, by its own name. @param {import('./api.js').Api} api; @param {string | number} uid */
export function onlineLink(api, uid) {
  const own = OWN.find(([before, method]) => String(uid).startsWith(before) && api.has(method))
  return own ? own[2](String(uid).slice(own[0].length)) : userLink(uid)
}

/** A name within a sentence. @param {string | number} text */
export const quoted = text => h('strong', {}, name(text, 'whole'))
