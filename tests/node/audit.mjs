// Runs the audits of GraphQL over HTTP against a server: AUDIT_URL=http://…/graphql AUDIT_API_KEY=… node audit.mjs
// Exits 0 only when every audit is ok. Without a key the audits run as an anonymous caller.
import { serverAudits } from 'graphql-http';

const url = process.env.AUDIT_URL;
const key = process.env.AUDIT_API_KEY;
if (!url) {
  console.error('AUDIT_URL is not set');
  process.exit(2);
}

const fetchFn = (target, init = {}) => {
  const headers = new Headers(init.headers);
  if (key) headers.set('x-api-key', key);
  return fetch(target, { ...init, headers });
};

let failed = 0;
const audits = serverAudits({ url, fetchFn });
for (const audit of audits) {
  const result = await audit.fn();
  if (result.status !== 'ok') {
    failed += 1;
    console.error(`${result.status} ${audit.id} ${audit.name}: ${result.reason}`);
  }
}
console.log(`${audits.length} tried, ${failed} failed`);
process.exit(failed === 0 && audits.length === 61 ? 0 : 1);
