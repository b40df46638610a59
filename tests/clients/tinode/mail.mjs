// Who takes mail for the tests: a server of npm's smtp-server, and the codes in what it was given.
import { SMTPServer } from 'smtp-server'
import { eventually } from '../http.mjs'

/** @returns {Promise<{port, letters, code}>} letters: `{from, to, text}` as they came. It ends with this process. */
export async function startMail() {
  const letters = []
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    onData(stream, { envelope: { mailFrom, rcptTo } }, done) {
      let text = ''
      stream.setEncoding('utf8').on('data', part => { text += part }).on('end', () => {
        letters.push({ from: mailFrom.address, to: rcptTo.map(({ address }) => address), text })
        done()
      })
    },
  })
  await new Promise((listening, failed) => server.on('error', failed).listen(0, '127.0.0.1', listening))
  server.server.unref()
  const found = to => letters.filter(letter => letter.to.includes(to)).map(({ text }) => /\b(\d{6})\b/.exec(text.split(/\r?\n\r?\n/).slice(1).join('\n'))?.[1])
  return {
    port: server.server.address().port,
    letters,
    /** The code that was sent to an address last. */
    code: async to => (await eventually(`a code for ${to}`, () => found(to), codes => codes.length > 0)).at(-1),
  }
}
