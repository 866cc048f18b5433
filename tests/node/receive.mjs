// Receives webhooks with the function that README.md shows: node receive.mjs PATH_OF_ITS_MODULE.
// Prints its port, then the id of each event that is verified; answers 400 to what is not.
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const { verified } = await import(pathToFileURL(process.argv[2]));

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    try {
      const event = verified(Buffer.concat(chunks).toString(), request.headers);
      console.log(event.eventId);
      response.writeHead(204).end();
    } catch (error) {
      response.writeHead(400).end(String(error));
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
