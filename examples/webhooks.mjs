// A receiver of webhooks: verifies who sent a request, drops what it has already, and prints the events.
//
//   npm install standardwebhooks
//   WEBHOOK_SECRET=whsec_… node webhooks.mjs
//
// PREVIOUS_SECRET is not needed while the secret is replaced: the server signs with both. Also read: PORT (8000).
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
// In a product a table with a unique key, written in the transaction of what you do with the events. Ids may be forgotten after some days.
const known = new Set();

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  // The bytes as they came: parsed and written again, they would have another signature.
  const body = Buffer.concat(chunks).toString('utf8');
  let batch;
  try {
    batch = webhook.verify(body, request.headers);
  } catch (error) {
    response.writeHead(401).end(`${error.message}\n`);
    return;
  }
  const id = request.headers['webhook-id'];
  if (!known.has(id)) {
    known.add(id);
    const { roomId, uid, events } = batch.data;
    for (const event of events) console.log(JSON.stringify({ room: roomId, user: uid, ...event }));
  }
  response.writeHead(204).end();
}).listen(Number(process.env.PORT ?? 8000), '127.0.0.1', function () {
  console.log(`listening on http://127.0.0.1:${this.address().port}`);
});
