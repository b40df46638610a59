// socket.io-client 2 for the suite: who connects waits until the server of this port listens, and then finds it where that is.
const io = require('socket.io-client-2')
const ChatService = require('./instance.cjs')

exports.connect = (url, options) => {
  const socket = io.connect(url, { ...options, autoConnect: false })
  const { port, pathname } = new URL(url)
  let closed = false
  const close = socket.disconnect
  socket.disconnect = function () {
    closed = true
    return close.call(this)
  }
  ChatService.at(port).then(async server => {
    await ChatService.isCalm(port)
    if (closed) return
    socket.io.uri = `${server}${pathname}`
    socket.open()
  }, () => {})
  return socket
}
