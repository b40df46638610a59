// The contract of chat-service as the tests need it: what each command takes, and the words of each error.

/** Each command with the types of its arguments. */
export const COMMANDS = {
  directAddToList: ['text', 'names'],
  directGetAccessList: ['text'],
  directGetWhitelistMode: [],
  directMessage: ['text', 'message'],
  directRemoveFromList: ['text', 'names'],
  directSetWhitelistMode: ['bool'],
  listOwnSockets: [],
  roomAddToList: ['text', 'text', 'names'],
  roomCreate: ['text', 'bool'],
  roomDelete: ['text'],
  roomGetAccessList: ['text', 'text'],
  roomGetOwner: ['text'],
  roomGetWhitelistMode: ['text'],
  roomHistoryGet: ['text', 'id', 'limit'],
  roomHistoryInfo: ['text'],
  roomJoin: ['text'],
  roomLeave: ['text'],
  roomMessage: ['text', 'message'],
  roomNotificationsInfo: ['text'],
  roomRecentHistory: ['text'],
  roomRemoveFromList: ['text', 'text', 'names'],
  roomSetWhitelistMode: ['text', 'bool'],
  roomUserSeen: ['text', 'text'],
  systemMessage: ['any'],
}

/** Those that one may call who has joined, or owns or administers the room. */
export const ROOM_READS = ['roomGetAccessList', 'roomGetOwner', 'roomGetWhitelistMode', 'roomHistoryGet', 'roomHistoryInfo', 'roomNotificationsInfo',
  'roomRecentHistory', 'roomUserSeen']

/** A value of each type. */
export const GOOD = { text: 'none', names: ['x'], message: { textMessage: 'x' }, bool: false, id: 0, limit: 1, any: null }

const bytes = Buffer.from([1, 2, 255])
/** 100 objects in one another: deeper than anybody writes, and no deeper than readers of JSON allow. */
const deep = JSON.parse(`${'{"a":'.repeat(100)}1${'}'.repeat(100)}`)
const NO_TEXT = [null, true, 0, -1.5, 1e21, {}, { toString: 'x' }, [], ['r'], [['r']], bytes, deep]
const NO_NUMBER = [null, true, '0', '', {}, [], [0], bytes]

/** Values that are not of a type, as JSON has them: the keys of objects in no order of the alphabet. */
export const WRONG = {
  text: NO_TEXT,
  names: [null, false, 0, '', 'bob', {}, { 0: 'x', length: 1 }, [1], ['x', null], ['x', ['y']], [{}], ['x', bytes], bytes],
  bool: [null, 0, 1, '', 'true', 'false', {}, [], [true], bytes],
  id: [...NO_NUMBER, -1, -1e21, -0.5],
  limit: [...NO_NUMBER, 0, -1, -1e21],
  message: [
    null, true, 5, '', 'text', [], ['text'], [{ textMessage: 'x' }], bytes, {}, deep,
    { textMessage: null }, { textMessage: 5 }, { textMessage: ['x'] }, { textMessage: { textMessage: 'x' } }, { textMessage: bytes },
    { textmessage: 'x' }, { text: 'x' }, { z: 1, textMessage: 'x', a: 2 },
    { textMessage: 'x', id: 5 }, { textMessage: 'x', timestamp: 5 }, { textMessage: 'x', author: 'eve' }, { id: null, textMessage: 'x' },
    { textMessage: 'x', constructor: 1 }, JSON.parse('{"textMessage":"x","__proto__":{"y":1}}'),
    { textMessage: 'é😀\u2028"\\\n\u0001\u007f', 'é"': null },
  ],
  any: [],
}

/** Names that nobody and no room can have. */
export const FORBIDDEN = ['', ':', '{', '}', 'a:b', '{a', 'a}', '\0', 'a\0', '\t', 'a\nb', '\u001f', '\u007f', 'ü\u007f']
/** Names like others, although something may think otherwise. */
export const ALLOWED = [
  '__proto__', 'undefined', 'null', 'constructor', 'hasOwnProperty', 'toString', ' ', ' a ', '*', '[x]', '"', '\\', '%s', '/', '?', '#', '&', '=', '+', ',',
  '\u0080', 'ü😀', 'x'.repeat(100),
]

const TEXTS = {
  badArgument: (place, value) => `Bad argument at position ${place}, value ${JSON.stringify(value)}`,
  internalError: text => `${text}`,
  invalidName: name => `String ${name} contains invalid characters`,
  invalidSocket: id => `Socket ${id} is not connected`,
  listLimitExceeded: list => `Exceeded ${list} size limit`,
  messageTooLarge: most => `Message is larger than ${most} bytes`,
  noCommand: command => `No such command ${command}`,
  noList: list => `No such list ${list}`,
  noLogin: () => 'No login provided',
  noRoom: room => `No such room ${room}`,
  noSocket: command => `Command ${command} requires a valid socket`,
  noUser: user => `No such user ${user}`,
  noUserOnline: user => `No such user online ${user}`,
  notAllowed: () => 'Action is not allowed',
  notJoined: room => `Not joined to room ${room}`,
  roomExists: room => `Room ${room} already exists`,
  timeout: () => 'Server operation timeout',
  userExists: user => `User ${user} already exists`,
  userOnline: user => `User ${user} is online`,
  wrongArgumentsCount: (expected, got) => `Expected ${expected} arguments, got ${got}`,
}

/** What a client is told: the text. */
export const text = (code, ...args) => `ChatServiceError: ${TEXTS[code]?.(...args) ?? code}`
/** What it is told with use_raw_error_objects. */
export const object = (code, ...args) => ({ name: 'ChatServiceError', code, args })

/** The arguments of an acknowledgement. */
export const ok = (data = null) => [null, data]
export const no = (code, ...args) => [text(code, ...args), null]
export const noRaw = (code, ...args) => [object(code, ...args), null]

/** The HTTP status of each code; 400 are the others. */
const STATUS = {
  403: ['notAllowed', 'notJoined', 'noLogin'], 404: ['noRoom', 'noUser', 'noUserOnline'],
  409: ['roomExists', 'userExists', 'userOnline', 'listLimitExceeded'], 500: ['internalError'], 503: ['timeout'],
}
export const statusOf = code => Number(Object.keys(STATUS).find(status => STATUS[status].includes(code)) ?? 400)
