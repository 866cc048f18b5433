// Follows every Item of an application: node subscribe.mjs [CURSOR]
// PONTE is the server's address, API_KEY an API key.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const address = process.env.PONTE ?? 'http://127.0.0.1:4000';
const client = createClient({
  url: `${address.replace(/^http/, 'ws')}/graphql`,
  webSocketImpl: WebSocket,
  lazy: false,
  connectionParams: { Authorization: `Bearer ${process.env.API_KEY}` },
  on: { connected: () => console.log('connected') },
});

const updates = client.iterate({
  query: `subscription($after: String) {
    itemUpdated(after: $after) { cursor event { name payload } item { id status executionStatus } }
  }`,
  variables: { after: process.argv[2] ?? null },
});
for await (const { data, errors } of updates) {
  if (errors) throw new Error(JSON.stringify(errors));
  const { event, item } = data.itemUpdated;
  const state = event.payload.data?.executionStatus ?? '';
  console.log(event.payload.createdAt, event.payload.itemId, event.name, state, item ? '' : '(deleted)');
}
