// What the page says, in English and in Chinese. In an element the key is in `data-text`, or for an attribute in `data-label` and `data-placeholder`.
const TEXTS = {
  title: ['Messages', '消息'],
  language: ['中文', 'English'],
  'log in': ['Log in', '登录'],
  register: ['Register', '注册'],
  'new here': ['New here? Make an account', '还没有账号？注册'],
  'known here': ['I have an account', '已有账号，去登录'],
  server: ['Server', '服务器'],
  phone: ['Phone', '手机号码'],
  'phone hint': ['3 to 20 digits, + or _', '3 到 20 位数字、+ 或 _'],
  password: ['Password', '密码'],
  nick: ['Nickname', '昵称'],
  userName: ['User name', '用户名'],
  email: ['E-mail', '邮箱'],
  region: ['Region (may be empty)', '地区（可不填）'],
  picture: ['Picture (may be missing)', '头像（可不选）'],
  'no picture': ['This file is no picture that a browser can read.', '无法读取此图片。'],
  stay: ['Stay logged in on this device', '在此设备上保持登录'],
  'somebody stays': [
    'Another account stays logged in in this browser. Log out there first, or log in without staying.',
    '另一个账号已在此浏览器中保持登录。请先退出该账号，或不勾选保持登录。',
  ],
  'log out': ['Log out', '退出登录'],
  'log out?': ['Messages that have arrived are only in this browser. Log out, and delete them here?', '已收到的消息只保存在此浏览器中。退出并删除？'],
  lists: ['Chats and contacts', '聊天和通讯录'],
  chat: ['Chat', '聊天'],
  chats: ['Chats', '聊天'],
  contacts: ['Contacts', '通讯录'],
  find: ['Find people', '找人'],
  keyword: ['Part of a phone number', '手机号码的一部分'],
  search: ['Search', '搜索'],
  add: ['Add', '添加'],
  added: ['Added', '已添加'],
  'no chats': ['Nobody has written yet. Choose somebody of your contacts.', '还没有消息。请在通讯录中选择联系人。'],
  'no contacts': ['No contacts yet. Find somebody by phone number.', '还没有联系人。请按手机号码查找。'],
  nobody: ['Nobody found.', '没有找到。'],
  'choose chat': ['Choose somebody to write to.', '请选择聊天。'],
  message: ['Message', '消息'],
  send: ['Send', '发送'],
  back: ['Back to the list', '返回列表'],
  'call somebody': ['Call', '视频通话'],
  'not sent': ['not sent yet', '尚未发送'],
  doubtful: ['may not have arrived', '可能尚未送达'],
  'too long': ['Too long to be sent.', '消息过长，无法发送。'],
  image: ['Picture', '图片'],
  unread: ['unread', '条未读'],
  connecting: ['Connecting', '正在连接'],
  online: ['Online', '在线'],
  waiting: ['Connection lost, coming back', '连接已断开，正在重连'],
  replaced: ['Logged in elsewhere', '已在别处登录'],
  'use here': ['Use it here', '在此使用'],
  'try now': ['Try now', '立即重试'],
  'logged out elsewhere': ['You have logged out in another window.', '已在另一个窗口退出登录。'],
  'token wrong': ['Please log in again.', '请重新登录。'],
  unreachable: ['The server does not answer.', '服务器没有响应。'],
  busy: ['The server is busy. Please try again soon.', '服务器繁忙，请稍后再试。'],
  'too often': ['Too often. Please wait a little.', '过于频繁，请稍候。'],
  ringing: ['calls you', '邀请你视频通话'],
  inviting: ['is being called', '正在呼叫'],
  'call connecting': ['is being connected', '正在接通'],
  talking: ['in a call', '通话中'],
  recovering: ['connection lost, looking for another way', '通话中断，正在恢复'],
  accept: ['Accept', '接听'],
  refuse: ['Refuse', '拒绝'],
  cancel: ['Cancel', '取消'],
  'hang up': ['Hang up', '挂断'],
  'no camera': ['No camera: you can be heard, not seen.', '没有摄像头：对方只能听到你。'],
  'no microphone': ['No microphone: you can be seen, not heard.', '没有麦克风：对方只能看到你。'],
  'no devices': [
    'Neither camera nor microphone: you can only watch and listen.',
    '没有摄像头和麦克风：你只能观看和收听。',
  ],
  microphone: ['Microphone', '麦克风'],
  camera: ['Camera', '摄像头'],
  'hung up': ['The call has ended.', '通话已结束。'],
  refused: ['The call was refused.', '对方已拒绝。'],
  cancelled: ['The call was cancelled.', '通话已取消。'],
  'no answer': ['Nobody answered.', '无人接听。'],
  lost: ['The call was lost.', '通话已中断。'],
  failed: ['The call failed.', '通话失败。'],
}
// The server's own words are Chinese: here is what they mean to others.
const CODES = {
  100001: 'Nobody has this phone number.',
  100002: 'The password is wrong.',
  100003: 'Something is missing, or the phone number is none.',
  100004: 'This phone number is taken.',
}

export let language = localStorage.getItem('language') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en')

/** The text of a key. */
export const text = key => TEXTS[key][language === 'zh' ? 1 : 0]

/** What the server says when it refuses, in words for this user. */
export function refusal({ code, message }) {
  if (language === 'en' && CODES[code]) return CODES[code]
  return code === 429 ? text('too often') : code === 503 ? text('busy') : message
}

/** The other language, from now on. */
export function switchLanguage() {
  language = language === 'zh' ? 'en' : 'zh'
  localStorage.setItem('language', language)
}

/** Puts the texts into a part of the page. */
export function translate(root = document) {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
  for (const element of root.querySelectorAll('[data-text]')) element.textContent = text(element.dataset.text)
  for (const element of root.querySelectorAll('[data-label]')) element.setAttribute('aria-label', text(element.dataset.label))
  for (const element of root.querySelectorAll('[data-placeholder]')) element.placeholder = text(element.dataset.placeholder)
}
