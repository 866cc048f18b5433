// A stranger on the socket, the client of graphql-ws: SOCKET_URL=ws://…/graphql SOCKET_API_KEY=… SOCKET_SUBSCRIPTION=… node socket.mjs
// Says "listening" when it is about to subscribe and exits 0 after three events.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const { SOCKET_URL: url, SOCKET_API_KEY: key, SOCKET_SUBSCRIPTION: subscription } = process.env;
const open = token =>
  createClient({
    url,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    lazyCloseTimeout: 0,
    connectionParams: { Authorization: `Bearer ${token}` },
  });
const first = async (client, payload) => {
  for await (const result of client.iterate(payload)) return result;
};
const check = (what, holds) => {
  if (!holds) throw new Error(what);
};

const refused = await first(open('bad'), { query: '{ __typename }' }).catch(event => event);
check('a bad token closes 4403', refused?.code === 4403);

const client = open(key);
const answer = await first(client, { query: '{ __typename }' });
check('a query is answered', answer?.data?.__typename === 'Query');
const invalid = await first(client, { query: '{ invented }' }).catch(errors => errors);
check('an invalid document is an error', invalid?.[0]?.extensions?.code === 'VALIDATION_FAILED');

console.log('listening');
let events = 0;
for await (const result of client.iterate({ query: subscription })) {
  check('an event has data', result.data && !result.errors);
  if (++events === 3) break;
}
await client.dispose();
console.log('done');
