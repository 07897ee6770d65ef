'use strict';

/**
 * A Cosmos DB emulator for one machine: `node local/emulators/cosmos/server.cjs --port 8081 --state DIR`.
 * Port 0 takes a free one; without a state folder nothing outlives the process.
 *
 * It is built on the npm package @vercel/cosmosdb-server; README.md lists what is served in its place.
 */

const { isUtf8 } = require('node:buffer');
const { randomUUID } = require('node:crypto');
const http = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');
const { parseArgs } = require('node:util');

const HOST = '127.0.0.1';
const SESSION_NOT_AVAILABLE = 1002;
const MAX_BODY_BYTES = 2 * 1024 * 1024;
// Longer than clients keep an idle connection, so that it is they who close it: a request sent into
// a connection that the server is closing fails.
const IDLE_CONNECTION_MS = 10 * 60 * 1000;

function stop(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(2);
}

function load() {
  try {
    require.resolve('@vercel/cosmosdb-server');
  } catch {
    stop('The Cosmos DB emulator needs its packages: run `npm ci --prefix local --no-audit --no-fund`.');
  }
  return {
    ...require('./authorization.cjs'),
    ...require('./charges.cjs'),
    ...require('./clock.cjs'),
    ...require('./errors.cjs'),
    ...require('./journal.cjs'),
    ...require('./store.cjs'),
    ...require('./operations.cjs'),
    ...require('./query.cjs'),
    ...require('./test-controls.cjs'),
  };
}

const { CosmosError, Journal, Store, TestControls, authorize, badRequest, follow, page, pageCharge, plan, run, runBatch } =
  load();

const OPTIONS = {
  port: { type: 'string', default: '8081' },
  state: { type: 'string' },
  clock: { type: 'string' },
  'compact-at': { type: 'string', default: String(256 * 1024 * 1024) },
  ranges: { type: 'string', default: '2' },
};

const USAGE =
  'Usage: node local/emulators/cosmos/server.cjs [--port 8081] [--state DIR] [--clock FILE] [--compact-at BYTES] [--ranges 1-64]';

function readArguments() {
  try {
    const { values } = parseArgs({ options: OPTIONS });
    const { port, state, clock, 'compact-at': compactAt, ranges } = values;
    if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) throw new Error(`'${port}' is not a port`);
    if (!/^\d+$/.test(compactAt)) throw new Error(`'${compactAt}' is not a number of bytes`);
    if (!/^\d\d?$/.test(ranges) || ranges < 1 || ranges > 64) throw new Error(`'${ranges}' is not a number of ranges`);
    return { port: Number(port), state, clock, compactAt: Number(compactAt), ranges: Number(ranges) };
  } catch (error) {
    return stop(`${error.message}. ${USAGE}`);
  }
}

// Reading a request

/** The whole body; raises 413 when it is larger than any request may be. */
async function readBody(req) {
  const chunks = [];
  let size = 0;
  try {
    for await (const chunk of req) {
      size += chunk.length;
      if (size <= MAX_BODY_BYTES) chunks.push(chunk);
    }
  } catch {
    throw badRequest('The client closed the connection in the middle of its request.');
  }
  if (size > MAX_BODY_BYTES) throw new CosmosError(413, `The request is larger than ${MAX_BODY_BYTES} bytes.`);
  return Buffer.concat(chunks);
}

function parseJson(body) {
  if (!isUtf8(body)) throw badRequest('The body is not UTF-8.');
  try {
    return JSON.parse(body.toString());
  } catch (error) {
    throw badRequest(`The body is not JSON: ${error.message}.`);
  }
}

/** The decoded parts of a path such as /dbs/a/colls/b/docs/c. */
function pathParts(url) {
  const [pathname] = url.split('?', 1);
  try {
    // The JavaScript SDK doubles the first slash and the Python SDK adds one at the end.
    return pathname.split('/').filter((part) => part !== '').map(decodeURIComponent);
  } catch {
    throw badRequest('The path is not correctly percent-encoded.');
  }
}

const isTrue = (header) => header?.toLowerCase() === 'true';

/** What a request does, in the words of the request log; only requests about items are not 'other'. */
function operationOf({ method, headers }, parts) {
  if (parts[0] !== 'dbs' || parts[2] !== 'colls' || parts[4] !== 'docs' || parts.length > 6) return 'other';
  if (parts.length === 6) return { GET: 'read', PUT: 'replace', PATCH: 'patch', DELETE: 'delete' }[method] ?? 'other';
  if (method === 'GET') return 'query';
  if (method !== 'POST') return 'other';
  if (isTrue(headers['x-ms-cosmos-is-query-plan-request'])) return 'plan';
  if (isTrue(headers['x-ms-documentdb-isquery']) || headers['content-type']?.startsWith('application/query+json')) {
    return 'query';
  }
  if (isTrue(headers['x-ms-cosmos-is-batch-request'])) return 'batch';
  return isTrue(headers['x-ms-documentdb-is-upsert']) ? 'upsert' : 'create';
}

// Answering

const itemAnswer = (headers, operation, { status, item, text, etag, charge }) => ({
  status,
  charge,
  headers: { etag: item?._etag ?? etag },
  // 'Prefer: return=minimal' is the SDK's no_response=True.
  body: headers.prefer === 'return=minimal' && operation !== 'read' ? undefined : item,
  text,
});

/**
 * How many writes the client's session has seen in a range, -1 for none; its token names them as `0:-1#25`.
 * Raises 404 with a sub-status for writes that there are not.
 */
function seenBy(header, container, range) {
  let seen = -1;
  for (const part of header?.split(',') ?? []) {
    const match = /^(\d{1,9}):-?\d{1,9}#(\d{1,15})(?:#|$)/.exec(part);
    if (!match) throw badRequest(`The session token ${JSON.stringify(part)} is none.`);
    if (match[1] === range.id) seen = Math.max(seen, Number(match[2]));
  }
  // The SDK repeats the request without its token, unless endpoint discovery is off, as it is with an emulator; and
  // azure-cosmos 4.17 mixes up the tokens of containers whose first answers had no body. So only where reads lag is it refused.
  if (seen <= container.writes || container.lag() === null) return seen;
  throw new CosmosError(404, 'The read session is not available for the input session token.', SESSION_NOT_AVAILABLE);
}

/** Headers that say which range answered, and how new its state is. */
function sessionHeaders(container, parts, range, seen) {
  const oldest = container.hidden(range, seen).map(({ number }) => number - 1);
  return {
    'x-ms-session-token': `${range.id}:-1#${Math.min(container.writes, ...oldest)}`,
    'x-ms-documentdb-partitionkeyrangeid': range.id,
    'x-ms-alt-content-path': encodeURI(`dbs/${parts[1]}/colls/${parts[3]}`),
    'x-ms-content-path': container.rid,
  };
}

function answerQuery(container, { method, headers }, body, parts) {
  const partition = headers['x-ms-documentdb-partitionkey'];
  const rangeId = headers['x-ms-documentdb-partitionkeyrangeid'];
  checkBounds(container, rangeId, headers);
  const { query, parameters } = method === 'GET' ? { query: 'SELECT * FROM c' } : (body ?? {});
  const { items, continuation, range, documents } = page(container, {
    query,
    parameters,
    partition: partition === undefined ? undefined : container.partitionFromHeader(partition),
    rangeId,
    crossPartition: method === 'GET' || isTrue(headers['x-ms-documentdb-query-enablecrosspartition']),
    pageSize: Number(headers['x-ms-max-item-count']),
    continuation: headers['x-ms-continuation'],
    seenBy: (range) => seenBy(headers['x-ms-session-token'], container, range),
  });
  const answered = { _rid: container.rid, Documents: items, _count: items.length };
  const text = JSON.stringify(answered);
  return {
    status: 200,
    charge: pageCharge(documents, Buffer.byteLength(text)),
    headers: {
      'x-ms-continuation': continuation ?? undefined,
      'x-ms-item-count': String(items.length),
      ...sessionHeaders(container, parts, range, seenBy(headers['x-ms-session-token'], container, range)),
    },
    body: answered,
    text,
  };
}

/** Raise 400 for a part of a range: only whole ones are served. */
function checkBounds(container, rangeId, { 'x-ms-start-epk': start, 'x-ms-end-epk': end }) {
  const range = container.ranges.find(({ id }) => id === rangeId);
  if (range && (start ?? range.min) === range.min && (end ?? range.max) === range.max) return;
  if (start ?? end) throw badRequest('This emulator serves whole ranges only.');
}

function answerItems(store, operation, parts, req, body) {
  const { headers } = req;
  if (headers['a-im'] !== undefined) throw badRequest('This emulator serves no change feed.');
  const container = store.container(parts[1], parts[3]);
  if (operation === 'query') return answerQuery(container, req, body, parts);
  if (operation === 'plan') return { status: 200, body: plan(container, body ?? {}) };
  const partitionHeader = headers['x-ms-documentdb-partitionkey'];
  let partition;
  if (partitionHeader !== undefined) partition = container.partitionFromHeader(partitionHeader);
  else if (operation === 'create' || operation === 'upsert') partition = container.partitionOf(body);
  else throw badRequest('The request needs the header x-ms-documentdb-partitionkey.');
  const range = container.rangeOf(partition);
  // Writes are always made to the newest state.
  const seen = operation === 'read' ? seenBy(headers['x-ms-session-token'], container, range) : Infinity;
  let reply;
  if (operation === 'batch') {
    const { status, results } = runBatch(container, partition, body, store.journal);
    const charge = results.reduce((sum, { requestCharge }) => sum + requestCharge, 0);
    reply = { status, headers: {}, body: results, charge };
  } else {
    const request = { id: parts[5], body, ifMatch: headers['if-match'], ifNoneMatch: headers['if-none-match'], seen };
    reply = itemAnswer(headers, operation, run(operation, container, partition, request, store.journal));
  }
  Object.assign(reply.headers, sessionHeaders(container, parts, range, seen));
  return reply;
}

/** The ranges of a container, in the form the SDK's routing reads. */
function answerRanges(store, parts, { headers }) {
  const { rid, ranges } = store.container(parts[1], parts[3]);
  const etag = `"${ranges.length}"`;
  if (headers['if-none-match'] === etag) return { status: 304, headers: { etag } };
  const found = ranges.map(({ id, min, max }) => {
    return { id, _rid: rid, minInclusive: min, maxExclusive: max, status: 'online', parents: [] };
  });
  return { status: 200, headers: { etag }, body: { _rid: rid, PartitionKeyRanges: found, _count: found.length } };
}

async function answer(store, operation, parts, req, body) {
  if (operation !== 'other') {
    return answerItems(store, operation, parts, req, body.length > 0 ? parseJson(body) : undefined);
  }
  if (parts.length === 5 && parts[4] === 'pkranges' && req.method === 'GET') return answerRanges(store, parts, req);
  const [databases = 'dbs', , containers = 'colls', , more] = parts;
  if (databases !== 'dbs' || containers !== 'colls' || more !== undefined) {
    throw new CosmosError(405, 'This emulator does not serve that resource or method.');
  }
  if (body.length > 0) parseJson(body);
  return store.resource(req, body.length > 0 ? body : Buffer.from('null'));
}

function send(res, { status, headers = {}, body, text, charge = 1 }) {
  const payload = status === 204 || status === 304 || body === undefined ? '' : (text ?? JSON.stringify(body));
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) res.setHeader(name, value);
  res.setHeader('content-type', 'application/json');
  res.setHeader('x-ms-activity-id', randomUUID());
  res.setHeader('x-ms-request-charge', charge.toFixed(2));
  if (status !== 204 && status !== 304) res.setHeader('content-length', Buffer.byteLength(payload));
  res.writeHead(status);
  res.end(payload);
}

function refusal(error) {
  if (error instanceof CosmosError) {
    return { status: error.status, headers: { 'x-ms-substatus': error.subStatus }, body: error.body };
  }
  if (error instanceof RangeError && /call stack/.test(error.message)) {
    return { status: 400, body: badRequest('The request nests too deep.').body };
  }
  process.stderr.write(`${error.stack}\n`);
  const message = `The emulator failed (${error.code ?? error.message}); see its stderr.`;
  return { status: 500, body: { code: 'InternalServerError', message } };
}

function faultAnswer({ status, subStatus, retryAfterMs }) {
  return {
    status,
    headers: { 'x-ms-substatus': subStatus, 'x-ms-retry-after-ms': retryAfterMs },
    body: { code: 'InjectedFault', message: 'This failure was injected by a test.' },
  };
}

async function handle(store, controls, req, res) {
  const [pathname] = req.url.split('?', 1);
  if (pathname.startsWith('/_emulator/')) {
    const body = await readBody(req);
    const result = controls.handle(req.method, pathname, body.length > 0 ? parseJson(body) : undefined);
    send(res, result === undefined ? { status: 204 } : { status: 200, body: result });
    return;
  }
  let operation = 'other';
  let reply;
  let drop = false;
  try {
    const parts = pathParts(req.url);
    operation = operationOf(req, parts);
    authorize(req, parts);
    const fault = controls.takeFault(operation);
    const body = await readBody(req);
    if (fault?.delayMs) await sleep(fault.delayMs);
    if (!fault || fault.after || (!fault.drop && fault.status === undefined)) {
      reply = await answer(store, operation, parts, req, body);
    }
    drop = fault?.drop ?? false;
    if (fault?.status !== undefined) reply = faultAnswer(fault);
  } catch (error) {
    reply = refusal(error);
  }
  controls.record(req.method, pathname, operation, drop ? 0 : reply.status, reply?.charge);
  if (drop) req.socket.resetAndDestroy();
  else send(res, reply);
}

function main() {
  const { port, state, clock, compactAt, ranges } = readArguments();
  if (clock !== undefined) follow(clock);
  // Where stderr cannot be written to, as on a full disk, the emulator goes on.
  process.stderr.on('error', () => {});
  const controls = new TestControls();
  let store;
  const server = http.createServer({ keepAliveTimeout: IDLE_CONNECTION_MS }, (req, res) => {
    handle(store, controls, req, res).catch((error) => send(res, refusal(error)));
  });
  server.on('error', (error) => {
    const reason = error.code === 'EADDRINUSE' ? 'the port is taken' : error.message;
    stop(`The Cosmos DB emulator cannot listen on ${HOST}:${port}: ${reason}. Choose another with --port.`);
  });
  server.listen(port, HOST, () => {
    // Only the process that has the port touches the state.
    try {
      store = new Store(server.address(), state === undefined ? null : new Journal(state, compactAt), ranges, () => controls.lag);
    } catch (error) {
      stop(`The Cosmos DB emulator cannot use its state in ${state}: ${error.message}`);
    }
    process.stdout.write(`Cosmos DB emulator listening on ${HOST}:${server.address().port}\n`);
  });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
}

main();
