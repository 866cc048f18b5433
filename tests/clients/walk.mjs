// Walks every persona of every sandbox connector as a frontend would, and holds what comes of each against the table
// below: the Item's status, its execution's, the error's code, what the user is asked, and the events.
//
// Usage: node walk.mjs ADDRESS CLIENT_ID CLIENT_SECRET
import { GraphQLClient, gql } from "graphql-request";

const [address, clientId, clientSecret] = process.argv.slice(2);
const endpoint = `${address}/graphql`;
const AT_ONCE = 12;
const PATIENCE_MS = 90_000;

const open = new GraphQLClient(endpoint);
const { createApiKey } = await open.request(
  gql`mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey } }`,
  { input: { clientId, clientSecret } },
);
const client = new GraphQLClient(endpoint, { headers: { authorization: `Bearer ${createApiKey.apiKey}` } });

const CREATE = gql`mutation ($input: CreateItemInput!) { createItem(input: $input) { item { id status executionStatus } } }`;
const UPDATE = gql`mutation ($input: UpdateItemInput!) { updateItem(input: $input) { item { id } } }`;
const ANSWER = gql`mutation ($input: SendItemMfaInput!) { sendItemMfa(input: $input) { item { id } } }`;
const ADVANCE = gql`mutation ($input: AdvanceSandboxClockInput!) { advanceSandboxClock(input: $input) { daysAhead } }`;
const DELETE = gql`mutation ($input: DeleteItemInput!) { deleteItem(input: $input) { deletedItemId } }`;
const ITEM = gql`query ($id: ID!) { item(id: $id) {
  status executionStatus error { code providerMessage attributes { name value } }
  parameter { name type data options { value } } userAction { type data expiresAt }
  statusDetail { product isUpdated warnings { code } }
  accounts { nodes { subtype transactions(first: 1) { totalCount } } } } }`;
const EVENTS = gql`query ($id: ID!) { events(first: 200, filter: { itemId: $id }) { nodes { name } } }`;
const CONNECTORS = gql`{ connectors(first: 100, filter: { isSandbox: true }) { nodes {
  id hasMfa oauth products credentials { name type mfa optional options { value } } } } }`;

const parameters = (values) => Object.entries(values).map(([name, value]) => ({ name, value }));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/// The Item once it neither runs nor is as it was.
async function settled(id, left = () => true) {
  const until = Date.now() + PATIENCE_MS;
  for (let pause = 20; Date.now() < until; pause = Math.min(pause * 1.5, 500)) {
    const { item } = await client.request(ITEM, { id });
    if (!["UPDATING", "MERGING"].includes(item.status) && left(item)) return item;
    await sleep(pause);
  }
  throw new Error(`Item ${id} does not settle`);
}

/// The Item's events, once the one that ends its run is published: that follows the change at a short distance.
async function eventsOf(id) {
  for (const until = Date.now() + PATIENCE_MS; ; await sleep(50)) {
    const { events } = await client.request(EVENTS, { id });
    const names = events.nodes.map((node) => node.name).filter((name) => name.startsWith("item/") && name !== "item/status_changed");
    if (["item/created", "item/updated", "item/error"].includes(names.at(-1)) || Date.now() > until) return names;
  }
}

let failed = 0;
let passed = 0;
function check(name, seen, expected) {
  for (const [key, value] of Object.entries(expected)) {
    if (JSON.stringify(seen[key]) === JSON.stringify(value)) continue;
    failed += 1;
    console.log(`FAILED ${name}: ${key} is ${JSON.stringify(seen[key])}, not ${JSON.stringify(value)}`);
    return;
  }
  passed += 1;
}

const ok = (more = {}) => ({ status: "UPDATED", execution: "SUCCESS", error: null, last: "item/created", ...more });
const refused = (code, status = "OUTDATED", more = {}) => ({ status, execution: code, error: code, last: "item/error", ...more });

// domain reference, 3.5: what each user name leads to once everything that is asked has been answered.
const PERSONAS = {
  "user-ok": ok(),
  "user-ok-two-checking-accounts": ok({ checking: 2 }),
  "user-ok-account-error": ok({ execution: "PARTIAL_SUCCESS", failedProducts: true }),
  "user-ok-account-warning": ok({ warnings: ["ACCT_003"] }),
  "user-ok-perf": ok({ rows: 1000 }),
  "user-ok-perf-2x": ok({ rows: 2000 }),
  "user-logged": refused("ALREADY_LOGGED_IN"),
  "user-locked": refused("ACCOUNT_LOCKED", "LOGIN_ERROR"),
  "user-error": refused("UNEXPECTED_ERROR"),
  "user-unavailable": refused("SITE_NOT_AVAILABLE"),
  "user-connection-error": refused("CONNECTION_ERROR"),
  "user-account-need-actions": refused("ACCOUNT_NEEDS_ACTION"),
  "user-account-need-actions-provider-message": refused("ACCOUNT_NEEDS_ACTION", "OUTDATED", { words: true }),
  "user-account-credentials-reset": refused("ACCOUNT_CREDENTIALS_RESET", "LOGIN_ERROR"),
  "user-not-supported": refused("USER_NOT_SUPPORTED"),
};
const UNKNOWN = { "user-unknown": refused("INVALID_CREDENTIALS", "LOGIN_ERROR") };
// Asked something else than a code; known only where a question is asked.
const ASKED = {
  "user-ok-img": [["token", "IMAGE", "123456"]],
  "user-ok-select": [["token", "SELECT", "sms"]],
  "user-ok-phone": [["phone", "SELECT", "phone-2"], ["token", "TEXT", "123456"]],
  "user-ok-multi-company": [["token", "TEXT", "123456"], ["company", "SELECT", "company-1"]],
};

async function upload() {
  const response = await fetch(`${address}/uploads`, {
    method: "POST",
    headers: { authorization: `Bearer ${createApiKey.apiKey}`, "content-type": "application/x-pkcs12" },
    body: "a certificate",
  });
  return (await response.json()).uploadId;
}

/// The form of a connector, filled in.
async function filled(connector, values) {
  const form = {};
  for (const field of connector.credentials) {
    if (field.name in values) form[field.name] = values[field.name];
    else if (field.optional) continue;
    else if (field.type === "FILE") form[field.name] = await upload();
    else if (field.type === "SELECT") form[field.name] = field.options[0].value;
    else throw new Error(`connector ${connector.id} asks for ${field.name}`);
  }
  return form;
}

/// Connects, answers what is asked, and says how it ended.
async function walk(connector, values, answers) {
  const input = { connectorId: connector.id, parameters: parameters(await filled(connector, values)), oauthRedirectUri: "https://app.example/back" };
  const { createItem } = await client.request(CREATE, { input });
  const id = createItem.item.id;
  if (createItem.item.executionStatus !== "CREATED") throw new Error("createItem answers a state of before");
  let item = await settled(id);
  const asked = [];
  for (const [name, , value] of answers) {
    if (item.status !== "WAITING_USER_INPUT") break;
    asked.push([item.parameter.name, item.parameter.type]);
    const before = item.parameter;
    await client.request(ANSWER, { input: { itemId: id, parameters: parameters({ [name]: value }) } });
    item = await settled(id, (now) => JSON.stringify(now.parameter) !== JSON.stringify(before));
  }
  return { id, item, asked };
}

function seen({ item, asked }, events) {
  const checking = item.accounts.nodes.filter((account) => account.subtype === "CHECKING_ACCOUNT");
  return {
    status: item.status,
    execution: item.executionStatus,
    error: item.error?.code ?? null,
    last: events.at(-1),
    waited: events.filter((name) => name === "item/waiting_user_input").length,
    loggedIn: events.includes("item/login_succeeded"),
    asked,
    checking: checking.length,
    rows: Math.max(0, ...checking.map((account) => account.transactions.totalCount)),
    failedProducts: item.statusDetail.some((detail) => !detail.isUpdated),
    warnings: item.statusDetail.flatMap((detail) => detail.warnings.map((warning) => warning.code)),
    words: Boolean(item.error?.providerMessage),
  };
}

const CODES = { 123456: "", "": ", a code that is asked for", 654321: ", a wrong code" };

async function persona(connector, user, expected, answers, password = "password-ok", token = "123456") {
  const name = `connector ${connector.id}, ${user}${password === "password-ok" ? "" : ", a wrong password"}${CODES[token]}`;
  const walked = await walk(connector, { user, password, token }, answers);
  const asked = answers.map(([field, type]) => [field, type]);
  const succeeded = expected.status === "UPDATED";
  check(name, seen(walked, await eventsOf(walked.id)), { ...expected, asked, waited: asked.length, loggedIn: succeeded });
  await client.request(DELETE, { input: { itemId: walked.id } });
}

/// Approves on the bank's own site, as a browser would.
async function approve(url, decision) {
  const page = await (await fetch(url)).text();
  const form = new URLSearchParams();
  for (const [, name, value] of page.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)) {
    form.append(name, value.replaceAll("&amp;", "&"));
  }
  form.append("user", "ralph.bragg@gmail.com");
  form.append("password", "P@ssword01");
  form.append("share", "checking");
  form.append("share", "card");
  form.append("decision", decision);
  const sent = await fetch(new URL("/sandbox/bank/authorize", url), { method: "POST", body: form, redirect: "manual" });
  const back = await fetch(sent.headers.get("location"), { redirect: "manual" });
  return back.headers.get("location");
}

async function onSite(connector, values, decision, expected, pending = false) {
  const name = `connector ${connector.id}, ${Object.values(values)[0] ?? "anybody"}, ${decision}`;
  const { createItem } = await client.request(CREATE, {
    input: { connectorId: connector.id, parameters: parameters(values), oauthRedirectUri: "https://app.example/back" },
  });
  const id = createItem.item.id;
  let item = await settled(id);
  const asked = [[item.parameter?.name, item.parameter?.type]];
  const before = item.parameter;
  const landed = await approve(before.data, decision);
  const agreed = decision === "approve";
  check(`${name}: where the browser goes`, { landed }, {
    landed: `https://app.example/back?itemId=${id}${agreed ? "" : "&error=USER_AUTHORIZATION_NOT_GRANTED"}`,
  });
  item = await settled(id, (now) => JSON.stringify(now.parameter) !== JSON.stringify(before));
  if (pending) {
    check(`${name}: pending`, { status: item.status, execution: item.executionStatus, action: item.userAction?.type, until: Boolean(item.userAction?.expiresAt) },
      { status: "WAITING_USER_ACTION", execution: "USER_AUTHORIZATION_PENDING", action: "authorize-access", until: true });
    await client.request(ADVANCE, { input: { itemId: id, days: 1 } });
    await client.request(UPDATE, { input: { itemId: id } });
    item = await settled(id, (now) => now.executionStatus !== "USER_AUTHORIZATION_PENDING");
  }
  check(name, seen({ item, asked }, await eventsOf(id)), { ...expected, asked: [["oauthCode", "OAUTH"]], waited: 1 });
  await client.request(DELETE, { input: { itemId: id } });
}

async function delayed(connector, answers) {
  const name = `connector ${connector.id}, user-ok-auth-pending`;
  const values = await filled(connector, { user: "user-ok-auth-pending", password: "password-ok" });
  const { createItem } = await client.request(CREATE, { input: { connectorId: connector.id, parameters: parameters(values) } });
  const id = createItem.item.id;
  const go = async (item) => {
    for (const [field, , value] of answers) {
      if (item.status !== "WAITING_USER_INPUT") return item;
      const before = item.parameter;
      await client.request(ANSWER, { input: { itemId: id, parameters: parameters({ [field]: value }) } });
      item = await settled(id, (now) => JSON.stringify(now.parameter) !== JSON.stringify(before));
    }
    return item;
  };
  let item = await go(await settled(id));
  check(`${name}: pending`, { status: item.status, execution: item.executionStatus, action: item.userAction?.type },
    { status: "WAITING_USER_ACTION", execution: "USER_AUTHORIZATION_PENDING", action: "authorize-access" });
  await client.request(UPDATE, { input: { itemId: id } });
  item = await go(await settled(id, (now) => now.executionStatus !== "USER_AUTHORIZATION_PENDING"));
  const left = Number(item.error?.attributes.find((one) => one.name === "remainingSeconds")?.value);
  check(`${name}: updated too early`, { status: item.status, error: item.error?.code, told: left > 0 && left <= 120 },
    { status: "LOGIN_ERROR", error: "USER_AUTHORIZATION_NOT_GRANTED", told: true });
  await client.request(ADVANCE, { input: { itemId: id, days: 1 } });
  await client.request(UPDATE, { input: { itemId: id, parameters: parameters({ user: "user-ok-auth-pending" }) } });
  item = await go(await settled(id, (now) => now.error === null || now.status !== "LOGIN_ERROR"));
  check(`${name}: afterwards`, { status: item.status, execution: item.executionStatus }, { status: "UPDATED", execution: "SUCCESS" });
  await client.request(DELETE, { input: { itemId: id } });
}

async function scanned(connector) {
  const walked = await walk(connector, {}, []);
  let item = walked.item;
  while (item.status === "WAITING_USER_ACTION") {
    check(`connector ${connector.id}: shown`, { type: item.userAction.type }, { type: "qr" });
    await sleep(20);
    item = await settled(walked.id);
  }
  const events = await eventsOf(walked.id);
  const waits = events.filter((name) => name === "item/waiting_user_action").length;
  check(`connector ${connector.id}: scanned`, { status: item.status, execution: item.executionStatus, waits, last: events.at(-1) },
    { status: "UPDATED", execution: "SUCCESS", waits: 3, last: "item/created" });
  await client.request(DELETE, { input: { itemId: walked.id } });
}

const { connectors } = await client.request(CONNECTORS);
const byId = Object.fromEntries(connectors.nodes.map((connector) => [connector.id, connector]));
check("the sandbox connectors", { ids: Object.keys(byId).map(Number).sort((a, b) => a - b) }, {
  ids: [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 16, 17, 18, 19, 20, 200, 600],
});

const code = [["token", "TEXT", "123456"]];
const steps = [];
for (const connector of connectors.nodes) {
  if (!connector.credentials.some((field) => field.name === "password")) continue;
  const inForm = connector.credentials.find((field) => field.name === "token");
  const ways = [["123456", connector.hasMfa && !inForm ? code : []]];
  // What is left out of the form is asked for.
  if (inForm?.optional) ways.push(["", code]);
  const wrong = refused("INVALID_CREDENTIALS_MFA");
  for (const [token, answers] of ways) {
    const as = (user, expected, given) => steps.push(() => persona(connector, user, expected, given, "password-ok", token));
    for (const [user, expected] of Object.entries(PERSONAS)) as(user, expected, answers);
    if (answers.length) as("user-ok", wrong, [["token", "TEXT", "654321"]]);
    for (const [user, asked] of Object.entries(ASKED)) {
      as(user, connector.hasMfa ? ok() : UNKNOWN["user-unknown"], answers.length ? asked : []);
    }
  }
  for (const [user, expected] of Object.entries(UNKNOWN)) steps.push(() => persona(connector, user, expected, []));
  steps.push(() => persona(connector, "user-ok", UNKNOWN["user-unknown"], [], "wrong"));
  // The one code that works is good for one run, so a connector that wants it with the form has no second one.
  if (!inForm || inForm.optional) steps.push(() => delayed(connector, connector.hasMfa ? code : []));
  if (inForm) steps.push(() => persona(connector, "user-ok", wrong, [], "password-ok", "654321"));
}
// The second holder of a joint account; the code with the form or asked for.
for (const [token, asked] of [["123456", []], ["", code]]) {
  for (const [second, expected] of [["000000", ok()], ["123456", refused("INVALID_CREDENTIALS_MFA")]]) {
    steps.push(async () => {
      const values = { accountType: "joint", user: "user-ok", password: "password-ok", ...(token && { token }) };
      const answers = [...asked, ["secondHolderToken", "TEXT", second]];
      const walked = await walk(byId[9], values, answers);
      const expectedAsked = answers.map(([field, type]) => [field, type]);
      check(`connector 9, joint, ${second}`, seen(walked, await eventsOf(walked.id)), { ...expected, asked: expectedAsked });
    });
  }
}
steps.push(() => scanned(byId[19]));
steps.push(() => onSite(byId[200], {}, "approve", ok()));
steps.push(() => onSite(byId[200], {}, "refuse", refused("USER_AUTHORIZATION_NOT_GRANTED", "LOGIN_ERROR")));
for (const [cpf, expected, pending] of [
  ["761.092.776-73", ok()],
  ["238.242.640-30", ok({ warnings: ["ACCT_002"] })],
  ["051.177.670-55", refused("USER_AUTHORIZATION_NOT_GRANTED", "LOGIN_ERROR")],
  ["002.502.737-99", ok(), true],
  ["163.511.711-99", refused("ERROR")],
]) {
  steps.push(() => onSite(byId[600], { cpf }, "approve", expected, pending));
}

const queue = steps.values();
await Promise.all(Array.from({ length: AT_ONCE }, async () => {
  for (const step of queue) {
    try {
      await step();
    } catch (error) {
      failed += 1;
      console.log(`FAILED: ${error.message}`);
    }
  }
}));
console.log(`walk: ${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
