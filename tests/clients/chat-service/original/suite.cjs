// The suite of npm's chat-service as it is published, with a server of ours in the place of its own: for mocha, before the suite.
const Module = require('node:module')
const { dirname, join } = require('node:path')

const suite = join(dirname(require.resolve('chat-service/package.json')), 'test')
const resolve = Module._resolveFilename
const ours = { '../index.js': join(__dirname, 'instance.cjs'), './config': join(__dirname, 'config.cjs'), 'socket.io-client': join(__dirname, 'client.cjs') }
Module._resolveFilename = function (request, parent, ...rest) {
  const isSuite = parent?.filename && dirname(parent.filename) === suite
  return isSuite && ours[request] || resolve.call(this, request, parent, ...rest)
}

// Its times are of one process that has all to itself. Here servers start, on machines whose cores others keep busy.
const Runnable = require('mocha/lib/runnable.js')
const { timeout } = Runnable.prototype
Runnable.prototype.timeout = function (...ms) { return timeout.apply(this, ms.map(ms => Math.max(ms, 20_000))) }
