// The clients that people really use, over connections that break again and again, until each has heard of every event.
//
//   REALTIME_URL=http://… REALTIME_API_KEY=… REALTIME_CONNECT_TOKEN=… REALTIME_AFTER=CURSOR REALTIME_EVENTS=10000 node realtime.mjs
//
// Says "listening NAME" when a client has its first stream, and at the end, for each, what it received. Fails when one
// misses an event, hears of an Item's events out of order, or of one event under two cursors.
import { ApolloClient, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { EventSource } from 'eventsource';
import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createSocketClient } from 'graphql-ws';
import WebSocket from 'ws';

const { REALTIME_URL: url, REALTIME_API_KEY: key, REALTIME_CONNECT_TOKEN: token } = process.env;
const { REALTIME_AFTER: start } = process.env;
const expected = Number(process.env.REALTIME_EVENTS);
// A copy for each: some clients add to what they are given.
const headers = () => ({ Authorization: `Bearer ${key}` });
const query = 'subscription($after: String) { events(after: $after) { id cursor itemId itemSequence } }';
const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

const everybody = [];
setInterval(() => console.log(everybody.map(({ name, byCursor, connections }) => `${name} ${byCursor.size}/${connections}`).join('; ')), 5000).unref();

/** What one client has received. */
class Received {
  byCursor = new Map();
  order = new Map();
  duplicates = 0;
  connections = 0;
  last = start;

  constructor(name) {
    this.name = name;
    everybody.push(this);
  }

  take({ id, cursor, itemId, itemSequence }) {
    this.last = cursor;
    const known = this.byCursor.get(cursor);
    if (known) {
      if (known !== id) throw new Error(`${this.name}: one cursor, two events`);
      this.duplicates += 1;
      return;
    }
    this.byCursor.set(cursor, id);
    const before = this.order.get(itemId) ?? 0;
    if (itemSequence !== before + 1) {
      throw new Error(`${this.name}: ${itemId} jumps from ${before} to ${itemSequence}`);
    }
    this.order.set(itemId, itemSequence);
  }

  get complete() {
    return this.byCursor.size === expected;
  }

  connected() {
    if (this.connections++ === 0) console.log(`listening ${this.name}`);
  }
}

/** Subscribes anew behind the last cursor until everything is there. `open` answers an async iterator of results. */
async function follow(name, open) {
  const received = new Received(name);
  while (!received.complete) {
    try {
      for await (const result of open({ query, variables: { after: received.last } }, () => received.connected())) {
        if (result.errors) throw Object.assign(new Error(JSON.stringify(result.errors)), { fatal: true });
        received.take(result.data.events);
        if (received.complete) break;
      }
    } catch (error) {
      if (error.fatal || /jumps|two events/.test(error.message)) throw error;
    }
    await sleep(20);
  }
  return received;
}

async function* overSocket(payload, connected) {
  const client = createSocketClient({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    connectionParams: headers(),
    on: { connected },
  });
  try {
    yield* client.iterate(payload);
  } finally {
    client.dispose();
  }
}

const overEvents = singleConnection =>
  async function* (payload, connected) {
    const client = createSseClient({
      url: `${url}/graphql/stream`,
      singleConnection,
      retryAttempts: 0,
      headers: headers(),
      on: { connected: () => connected() },
    });
    try {
      if (!singleConnection) connected();
      yield* client.iterate(payload);
    } finally {
      client.dispose();
    }
  };

async function* overMultipart({ variables }, connected) {
  const client = new ApolloClient({
    link: new HttpLink({ uri: `${url}/graphql`, headers: headers() }),
    cache: new InMemoryCache(),
  });
  const queue = [];
  let wake = () => {};
  const push = one => {
    queue.push(one);
    wake();
  };
  const subscription = client
    .subscribe({ query: gql(query), variables, fetchPolicy: 'no-cache' })
    .subscribe({
      next: result => push(result.error ? { failed: result.error } : { result }),
      error: failed => push({ failed }),
      complete: () => push({ failed: new Error('complete') }),
    });
  connected();
  try {
    for (;;) {
      while (queue.length === 0) await new Promise(resolve => (wake = resolve));
      const { result, failed } = queue.shift();
      if (failed) throw failed;
      yield result;
    }
  } finally {
    subscription.unsubscribe();
    client.stop();
  }
}

/** Resumes by itself: that is what the ids of the events are for. */
function overEventSource() {
  const received = new Received('EventSource');
  const document = 'subscription($after: String) { itemUpdated(after: $after) { event { id cursor itemId itemSequence } } }';
  const address = `${url}/graphql?${new URLSearchParams({ query: document, variables: JSON.stringify({ after: start }), access_token: token })}`;
  return new Promise((resolve, reject) => {
    const source = new EventSource(address);
    source.onopen = () => received.connected();
    source.addEventListener('next', ({ data, lastEventId }) => {
      try {
        const { event } = JSON.parse(data).data.itemUpdated;
        if (event.cursor !== lastEventId) throw new Error('EventSource: the id is not the cursor');
        received.take(event);
        if (received.complete) {
          source.close();
          resolve(received);
        }
      } catch (error) {
        source.close();
        reject(error);
      }
    });
    source.onerror = error => {
      if (source.readyState === EventSource.CLOSED) reject(new Error(`EventSource gave up: ${error.code} ${error.message}`));
    };
  });
}

const all = await Promise.all([
  follow('graphql-ws', overSocket),
  follow('graphql-sse, distinct connections', overEvents(false)),
  follow('graphql-sse, single connection', overEvents(true)),
  follow('Apollo Client, multipart', overMultipart),
  overEventSource(),
]);
for (const { name, byCursor, connections, duplicates } of all) {
  if (new Set(byCursor.values()).size !== expected) throw new Error(`${name}: an event under two cursors`);
  console.log(`${name}: ${byCursor.size} events over ${connections} connections, ${duplicates} told again`);
}
process.exit(0);
