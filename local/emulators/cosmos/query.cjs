'use strict';

const { CosmosError, badRequest } = require('./errors.cjs');
const { segments } = require('./container.cjs');
const { pathOf, rangeOf, valuesOf } = require('./conditions.cjs');
const { rowOrder } = require('./order.cjs');
const { planOf } = require('./plan.cjs');
const { effectiveKey } = require('./ranges.cjs');
const { record } = require('./record.cjs');
const { isKey, parseQuery } = require('./sql-parser.cjs');
const { Compiler, compileSelect, composesAggregates } = require('./sql-compiler.cjs');

const CACHED_QUERIES = 500;
const DEFAULT_PAGE = 1000;
const MAX_PAGE_BYTES = 4 * 1024 * 1024;
const MAX_COUNT = 2 ** 32 - 1;
const NOT_SERVABLE = 1004;
const RANGE_IS_GONE = 1002;
// How many items are looked at in order, and which part of all, before all are and what is found is sorted.
// In order they lie scattered in memory, which takes twice as long; but mostly a page is full soon.
const WALKED_ITEMS = 2000;
const WALKED_PART = 1 / 8;

// Parsed and compiled queries by their text; a Map iterates oldest first.
const cache = new Map();

/** The properties of the item that a condition names. */
function comparedPaths(condition, item) {
  const found = [];
  const waiting = [condition];
  while (waiting.length > 0) {
    const node = waiting.pop();
    if (node === null || typeof node !== 'object') continue;
    const path = node.type === 'member' ? pathOf(node, item) : [null];
    if (path.every((key) => typeof key === 'string')) found.push(path);
    else waiting.push(...Object.values(node).flat());
  }
  return found;
}

/**
 * A query by its text; `item` is what it calls the item itself, null where FROM gives parts of items.
 * One that a client `rewrote` by a plan may do two things more: compose aggregates, and use the name
 * of the item that FROM replaces by another.
 */
function prepare(sql, rewritten = false) {
  const known = `${rewritten} ${sql}`;
  let query = cache.get(known);
  if (query) return query;
  const tree = parseQuery(sql);
  // The first source of FROM names the container's items, whatever it is called.
  let root = tree.from[0]?.from;
  while (root?.type === 'member') root = root.object;
  const rootName = root?.type === 'identifier' ? root.name : null;
  const select = compileSelect(tree, new Set(rewritten && rootName !== null ? [rootName] : []), rootName);
  if (!rewritten && composesAggregates(tree.select)) {
    throw badRequest('Compositions of aggregates and other expressions are not allowed.');
  }
  if (select.grouped && tree.orderBy.length > 0) throw badRequest('ORDER BY cannot be combined with aggregates.');
  const compiler = new Compiler(select.names);
  const [source] = tree.from;
  const item = source && !source.iterate && source.from.type === 'identifier' ? source.alias : null;
  const sortKeys = tree.orderBy.map(({ value, descending }) => {
    return { root: item, path: pathOf(value, item), descending, read: compiler.compile(value) };
  });
  if (sortKeys.some(({ path }) => !path.every((key) => typeof key === 'string'))) {
    throw badRequest('ORDER BY takes properties of the item; over correlated collections it is not supported.');
  }
  query = { tree, rootName, item, ...select, sortKeys, compared: comparedPaths(tree.where, item) };
  for (const name of ['top', 'offset', 'limit']) query[name] = tree[name] && compiler.compile(tree[name]);
  if (cache.size >= CACHED_QUERIES) cache.delete(cache.keys().next().value);
  cache.set(known, query);
  return query;
}

/** Whether an item passes a filter predicate such as `FROM c WHERE c.revision = 1`. */
function matches(condition, item) {
  if (typeof condition !== 'string' || !/^\s*from\s/i.test(condition)) {
    throw badRequest("The condition of a PATCH must read 'FROM c WHERE …'.");
  }
  const query = prepare(`SELECT VALUE 1 ${condition}`);
  record(`SELECT * ${condition}`);
  return [...query.rows({ [query.rootName]: item }, new Map())].length > 0;
}

// Indexing policy

/** How a policy's path matches a property: the number of its keys (one more if exact), or -1. */
function pathMatch(policyPath, property) {
  const keys = segments(policyPath);
  const last = keys.pop();
  if (!keys.every((key, index) => key === property[index])) return -1;
  if (last === '*') return keys.length;
  return last === '?' && keys.length === property.length ? keys.length + 1 : -1;
}

const bestMatch = (paths, property) => Math.max(-1, ...paths.map(({ path }) => pathMatch(path, property)));

/** 'exact' when a policy names the property itself, 'wildcard' when by a `*` path, null when not indexed. */
function indexOf(policy, property) {
  if (property.length === 1 && (property[0] === 'id' || property[0] === '_ts')) return 'exact';
  const included = bestMatch(policy.includedPaths ?? [{ path: '/*' }], property);
  const excluded = bestMatch(policy.excludedPaths ?? [], property);
  if (included <= excluded) return null;
  return included > property.length ? 'exact' : 'wildcard';
}

function hasComposite(policy, keys) {
  return (policy.compositeIndexes ?? []).some((index) => {
    if (index.length !== keys.length) return false;
    const directions = index.map(({ path, order }, at) => {
      const same = JSON.stringify(segments(path)) === JSON.stringify(keys[at].path);
      return same ? keys[at].descending === (order === 'descending') : null;
    });
    // An index also serves the opposite of all its directions.
    return directions.every((value) => value === true) || directions.every((value) => value === false);
  });
}

/**
 * Raise 400 for an ORDER BY that the container's indexing policy cannot serve, as Cosmos DB does.
 * Answers whether items without the property are part of the result: only where the policy names it.
 */
function checkOrder(keys, policy) {
  if (keys.length > 1) {
    if (hasComposite(policy, keys)) return true;
    throw badRequest('The order by query does not have a corresponding composite index that it can be served from.');
  }
  const kind = indexOf(policy, keys[0].path);
  if (kind === null) {
    throw badRequest(`ORDER BY needs an index: the indexing policy excludes the path /${keys[0].path.join('/')}.`);
  }
  return kind === 'exact';
}

// Continuation tokens

const boxed = (value) => (value === undefined ? [] : [value]);

const encodeToken = (token) => Buffer.from(JSON.stringify(token)).toString('base64url');

function decodeToken(text) {
  let token = null;
  try {
    token = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    // Judged below with whatever else is not a token of ours.
  }
  const keys = token?.after?.keys;
  const { range = 0, skipped = 0, taken, after } = token ?? {};
  const numbers = [range, skipped, taken, ...(after ? [after.sequence, after.row] : [])];
  if (!numbers.every(Number.isSafeInteger) || (keys !== undefined && !keys.every?.(Array.isArray))) {
    throw badRequest('The continuation token is not one that this emulator issued.');
  }
  return token;
}

// Execution

function* rowsOf(query, entries, parameters, work) {
  if (query.rootName === null) {
    for (const scope of query.rows({}, parameters)) yield { scope, sequence: 0, row: 0, keys: [] };
    return;
  }
  for (const { item, sequence } of entries) {
    let row = 0;
    if (!work.indexed) work.documents += 1;
    for (const scope of query.rows({ [query.rootName]: item }, parameters)) {
      const keys = query.sortKeys.map(({ read }) => read(scope, parameters));
      if (work.indexed && row === 0) work.documents += 1;
      yield { scope, sequence, row, keys };
      row += 1;
    }
  }
}

const canonical = (value) =>
  JSON.stringify(value, (_, part) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );

/** Rows in the order of the query; of those up to the row `after`, if there is one, some may be omitted. */
function* rowsInOrder(query, container, { parameters, partition, range, after, seen, work }) {
  const { tree, sortKeys } = query;
  const rows = (entries) => rowsOf(query, entries, parameters, work);
  if (sortKeys.length === 0) {
    yield* rows(container.scan(range, partition, seen));
    return;
  }
  const named = checkOrder(sortKeys, container.definition.indexingPolicy ?? {});
  let behind = after;
  if (named && container.hidden(range, seen).length === 0 && query.item !== null && tree.from.length === 1) {
    const order = container.order(range, partition, sortKeys);
    const places = order.places(after, rangeOf(tree.where, sortKeys[0], parameters));
    const most = Math.max(WALKED_ITEMS, WALKED_PART * order.length);
    let entry;
    for (const sequence of places.subarray(0, most)) {
      entry = range.entries.get(sequence);
      yield* rows([entry]);
    }
    if (places.length <= most) return;
    behind = order.row(entry);
  }
  const compare = rowOrder(sortKeys);
  yield* [...rows(container.scan(range, partition, seen))]
    .filter((row) => (named || row.keys[0] !== undefined) && (behind === undefined || compare(row, behind) > 0))
    .sort(compare);
}

/** Selected values in order, each with the token's position behind it. */
function* results(query, container, request, token) {
  const { tree } = query;
  const { parameters } = request;
  if (query.grouped || tree.distinct) {
    // A position in such a result is a count: its rows are no items.
    const seen = new Set();
    let skipped = 0;
    const scopes = Array.from(rowsInOrder(query, container, request), ({ scope }) => scope);
    for (const value of query.project(scopes, parameters)) {
      const identity = tree.distinct ? canonical(value) : null;
      if (tree.distinct && seen.has(identity)) continue;
      seen.add(identity);
      skipped += 1;
      if (skipped > (token?.skipped ?? 0)) yield { value, position: { skipped } };
    }
    return;
  }
  const after = token?.after && { ...token.after, keys: token.after.keys.map(([value]) => value) };
  const order = rowOrder(query.sortKeys);
  for (const row of rowsInOrder(query, container, { ...request, after })) {
    if (after && order(row, after) <= 0) continue;
    const [value] = query.project([row.scope], parameters);
    if (value === undefined) continue;
    yield { value, position: { after: { keys: row.keys.map(boxed), sequence: row.sequence, row: row.row } } };
  }
}

function countOf(count, parameters) {
  if (count === null) return undefined;
  const value = count({}, parameters);
  if (!Number.isInteger(value) || value < 0 || value > MAX_COUNT) {
    throw badRequest(`TOP, OFFSET and LIMIT take whole numbers from 0 to ${MAX_COUNT}.`);
  }
  return value;
}

function parameterMap(parameters) {
  if (parameters === undefined || parameters === null) return new Map();
  if (!Array.isArray(parameters)) throw badRequest("The query's 'parameters' must be a list.");
  return new Map(
    parameters.map((parameter) => {
      if (typeof parameter?.name !== 'string') throw badRequest("Each of a query's parameters needs a 'name'.");
      return [parameter.name, parameter.value];
    }),
  );
}

/** A query's parameters by their names; raises 400 for one in c[ ] that is neither text nor a number. */
function parametersOf({ tree }, given) {
  const parameters = parameterMap(given);
  const other = tree.keys.find((name) => !isKey(parameters.get(name)));
  if (other !== undefined) throw badRequest(`The parameter ${other} in [ ] must be a string or a number.`);
  return parameters;
}

function countsOf(query, parameters) {
  const [top, offset, limit] = [query.top, query.offset, query.limit].map((count) => countOf(count, parameters));
  return { top, offset, limit };
}

/** The partition keys that a condition leaves, in the form of partitionOf; null when it leaves any. */
function partitionsOf({ tree, item }, container, parameters) {
  const values = valuesOf(tree.where, { root: item, path: container.partitionPath }, parameters);
  return values && [...new Set(values.map((value) => JSON.stringify([value])))];
}

function planFor(query, container, parameters) {
  const keys = partitionsOf(query, container, parameters)?.map((key) => effectiveKey(JSON.parse(key)[0]));
  const ranges = (keys ?? [null]).sort().map((key) => ({
    min: key ?? '',
    max: key ?? 'FF',
    isMinInclusive: true,
    isMaxInclusive: key !== null,
  }));
  return planOf(query, countsOf(query, parameters), ranges);
}

/** Which items a page is of: {range, partition}, where the partition may be undefined. */
function sourceOf(query, container, parameters, { partition, rangeId, crossPartition }, token) {
  const { ranges } = container;
  if (rangeId !== undefined) {
    const range = ranges.find(({ id }) => id === rangeId);
    if (range === undefined) throw new CosmosError(410, `There is no range ${rangeId}.`, RANGE_IS_GONE);
    return { range };
  }
  if (query.rootName === null) return { range: ranges[0] };
  const fixed = partitionsOf(query, container, parameters);
  const only = partition ?? (fixed?.length === 1 ? fixed[0] : undefined);
  if (only !== undefined) return { range: container.rangeOf(only), partition: only };
  if (!crossPartition) {
    const message = 'Cross partition query is required but disabled: name the partition key or enable it.';
    throw badRequest(message, NOT_SERVABLE);
  }
  const { tree, grouped } = query;
  if (ranges.length > 1 && (grouped || tree.distinct || tree.top || tree.limit || tree.orderBy.length > 0)) {
    // JavaScript's SDK goes on with a plan only where the body has one, although it then requests it again.
    const additionalErrorInfo = JSON.stringify(planFor(query, container, parameters));
    const message = 'The gateway cannot serve this query across partitions: request its plan.';
    throw badRequest(message, NOT_SERVABLE, { additionalErrorInfo });
  }
  const range = ranges[token?.range ?? 0];
  if (range === undefined) throw badRequest('The continuation token names no range.');
  return { range, next: ranges.indexOf(range) + 1 };
}

/**
 * One page of a query: {items, continuation, range} where the continuation is null at the end.
 *
 * It is of one partition (`partition`, or the one that the condition fixes) or of the range `rangeId`.
 * Without either, `crossPartition` must say that all are meant, and the pages are of one range after
 * the other, some of them maybe empty. A token names the last row of its page by its sort values, so
 * items added meanwhile neither repeat nor hide others.
 */
function page(container, request) {
  const { query: sql, parameters: given, rangeId, pageSize, continuation, seenBy } = request;
  const query = prepare(sql, rangeId !== undefined);
  const parameters = parametersOf(query, given);
  const token = continuation === undefined ? null : decodeToken(continuation);
  const { next, ...source } = sourceOf(query, container, parameters, request, token);
  const further = next < container.ranges.length ? encodeToken({ range: next, taken: 0 }) : null;
  const { top = Infinity, offset = 0, limit = Infinity } = countsOf(query, parameters);
  // A query to a range was derived from a plan, and is not what the product sends.
  if (rangeId === undefined) record(sql, given, `/${container.partitionPath.join('/')}`);
  const most = Math.min(top, limit);
  let toSkip = token ? 0 : offset;
  let taken = token?.taken ?? 0;
  const size = pageSize > 0 ? pageSize : DEFAULT_PAGE;
  const items = [];
  let bytes = 0;
  let last = null;
  // Where an index serves the condition, only documents that pass are read.
  const policy = container.definition.indexingPolicy ?? {};
  const work = { documents: 0, indexed: query.compared.every((path) => indexOf(policy, path) !== null) };
  if (taken >= most) return { items, continuation: null, ...source, documents: 0 };
  for (const { value, position } of results(query, container, { parameters, ...source, seen: seenBy(source.range), work }, token)) {
    if (toSkip > 0) {
      toSkip -= 1;
      continue;
    }
    if (items.length === size || bytes > MAX_PAGE_BYTES) {
      const { documents } = work;
      return { items, continuation: encodeToken({ range: token?.range, ...last, taken }), ...source, documents };
    }
    items.push(value);
    bytes += JSON.stringify(value).length;
    last = position;
    taken += 1;
    if (taken >= most) break;
  }
  return { items, continuation: further, ...source, documents: work.documents };
}

/** The plan by which a client queries each range of a container and combines the answers. */
function plan(container, { query: sql, parameters: given }) {
  const query = prepare(sql);
  const made = planFor(query, container, parametersOf(query, given));
  record(sql, given, `/${container.partitionPath.join('/')}`);
  return made;
}

module.exports = { matches, page, plan };
