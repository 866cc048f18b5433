// Receives webhooks and verifies them with the stock Standard Webhooks library: node receive.mjs whsec_… [PORT]
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.argv[2]);
const port = Number(process.argv[3] ?? 5000);

createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    try {
      const event = webhook.verify(Buffer.concat(chunks).toString(), request.headers);
      console.log('verified', event.event, event.itemId ?? '');
      response.writeHead(204).end();
    } catch (error) {
      console.log('refused', error.message);
      response.writeHead(400).end();
    }
  });
}).listen(port, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}`));
