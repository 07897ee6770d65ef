'use strict';

const { badRequest } = require('./errors.cjs');
const { segments } = require('./container.cjs');
const { parseQuery } = require('./sql-parser.cjs');
const { Compiler, compileSelect } = require('./sql-compiler.cjs');

const CACHED_QUERIES = 500;
const DEFAULT_PAGE = 1000;
const TYPE_ORDER = ['undefined', 'null', 'boolean', 'number', 'string', 'array', 'object'];

function typeRank(value) {
  if (value === null) return 1;
  return TYPE_ORDER.indexOf(Array.isArray(value) ? 'array' : typeof value);
}

/** The order in which ORDER BY puts two values: by type first, as Cosmos DB does. */
function compareValues(a, b) {
  const rank = typeRank(a) - typeRank(b);
  if (rank !== 0 || a === b) return rank;
  if (a !== null && typeof a === 'object') return 0;
  return a < b ? -1 : 1;
}

// Parsed and compiled queries by their text; a Map iterates oldest first.
const cache = new Map();

function prepare(sql) {
  let query = cache.get(sql);
  if (query) return query;
  const tree = parseQuery(sql);
  // The first source of FROM names the container's items, whatever it is called.
  let root = tree.from[0]?.from;
  while (root?.type === 'member') root = root.object;
  const rootName = root?.type === 'identifier' ? root.name : null;
  const select = compileSelect(tree, new Set(rootName === null ? [] : [rootName]));
  if (select.grouped && tree.orderBy.length > 0) {
    throw badRequest('ORDER BY cannot be combined with GROUP BY or aggregates.');
  }
  const compiler = new Compiler(select.names);
  query = { tree, rootName, ...select, sortKeys: tree.orderBy.map((key) => compiler.compile(key.value)) };
  for (const name of ['top', 'offset', 'limit']) query[name] = tree[name] && compiler.compile(tree[name]);
  if (cache.size >= CACHED_QUERIES) cache.delete(cache.keys().next().value);
  cache.set(sql, query);
  return query;
}

/** Whether an item passes a filter predicate such as `FROM c WHERE c.revision = 1`. */
function matches(condition, item) {
  if (typeof condition !== 'string' || !/^\s*from\s/i.test(condition)) {
    throw badRequest("The condition of a PATCH must read 'FROM c WHERE …'.");
  }
  const query = prepare(`SELECT VALUE 1 ${condition}`);
  return !query.rows({ [query.rootName]: item }, new Map()).next().done;
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

const pathOf = (node) => (node.type === 'member' ? [...pathOf(node.object), node.key.value] : []);

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
function checkOrder(orderBy, policy) {
  const keys = orderBy.map(({ value, descending }) => ({ path: pathOf(value), descending }));
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

// Partitions

/** Whether every way through the condition fixes the property at this path by an equality. */
function fixes(node, path) {
  if (node === null || node.type !== 'binary') return false;
  if (node.operator === 'AND') return fixes(node.left, path) || fixes(node.right, path);
  if (node.operator === 'OR') return fixes(node.left, path) && fixes(node.right, path);
  if (node.operator !== '=') return false;
  return [node.left, node.right].some((side) => JSON.stringify(pathOf(side)) === JSON.stringify(path));
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
  const numbers = [token?.skipped ?? 0, token?.taken, ...(token?.after ? [token.after.sequence, token.after.row] : [])];
  if (!numbers.every(Number.isSafeInteger) || (keys !== undefined && !keys.every?.(Array.isArray))) {
    throw badRequest('The continuation token is not one that this emulator issued.');
  }
  return token;
}

// Execution

function* rowsOf(query, entries, parameters) {
  if (query.rootName === null) {
    for (const scope of query.rows({}, parameters)) yield { scope, sequence: 0, row: 0, keys: [] };
    return;
  }
  for (const { item, sequence } of entries) {
    let row = 0;
    for (const scope of query.rows({ [query.rootName]: item }, parameters)) {
      const keys = query.sortKeys.map((key) => key(scope, parameters));
      yield { scope, sequence, row, keys };
      row += 1;
    }
  }
}

function rowOrder(orderBy) {
  return (a, b) => {
    for (const [index, { descending }] of orderBy.entries()) {
      const order = compareValues(a.keys[index], b.keys[index]);
      if (order !== 0) return descending ? -order : order;
    }
    return a.sequence - b.sequence || a.row - b.row;
  };
}

const canonical = (value) =>
  JSON.stringify(value, (_, part) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );

/** Selected values in order, each with the token's position behind it. */
function* results(query, entries, parameters, policy, token) {
  const { tree } = query;
  const rows = rowsOf(query, entries, parameters);
  if (query.grouped || tree.distinct) {
    // A position in such a result is a count: its rows are no items.
    const seen = new Set();
    let skipped = 0;
    const ordered = tree.orderBy.length > 0 ? sorted(query, rows, policy) : rows;
    for (const value of query.project([...ordered].map(({ scope }) => scope), parameters)) {
      const identity = tree.distinct ? canonical(value) : null;
      if (tree.distinct && seen.has(identity)) continue;
      seen.add(identity);
      skipped += 1;
      if (skipped > (token?.skipped ?? 0)) yield { value, position: { skipped } };
    }
    return;
  }
  const after = token?.after && { ...token.after, keys: token.after.keys.map(([value]) => value) };
  const order = rowOrder(tree.orderBy);
  for (const row of tree.orderBy.length > 0 ? sorted(query, rows, policy) : rows) {
    if (after && order(row, after) <= 0) continue;
    const [value] = query.project([row.scope], parameters);
    if (value === undefined) continue;
    yield { value, position: { after: { keys: row.keys.map(boxed), sequence: row.sequence, row: row.row } } };
  }
}

function sorted(query, rows, policy) {
  const withUndefined = checkOrder(query.tree.orderBy, policy);
  const kept = [...rows].filter(({ keys }) => withUndefined || keys[0] !== undefined);
  return kept.sort(rowOrder(query.tree.orderBy));
}

function countOf(count, parameters, otherwise) {
  if (count === null) return otherwise;
  const value = count({}, parameters);
  if (!Number.isSafeInteger(value) || value < 0) throw badRequest('TOP, OFFSET and LIMIT take whole numbers from 0.');
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

/**
 * One page of a query: {items, continuation} where the continuation is null at the end.
 *
 * `partition` limits it to one partition; without it `crossPartition` must say that all are meant.
 * A token names the last row of its page by its sort values, so items added meanwhile neither
 * repeat nor hide others.
 */
function page(container, request) {
  const { query: sql, parameters: given, partition, crossPartition, pageSize, continuation } = request;
  const query = prepare(sql);
  const parameters = parameterMap(given);
  if (partition === undefined && !crossPartition) {
    const fixed = container.partitionPaths.every((path) => fixes(query.tree.where, path));
    if (!fixed) {
      throw badRequest('Cross partition query is required but disabled: name the partition key or enable it.');
    }
  }
  const token = continuation === undefined ? null : decodeToken(continuation);
  const policy = container.definition.indexingPolicy ?? {};
  const limit = Math.min(countOf(query.top, parameters, Infinity), countOf(query.limit, parameters, Infinity));
  let toSkip = token ? 0 : countOf(query.offset, parameters, 0);
  let taken = token?.taken ?? 0;
  const size = pageSize > 0 ? pageSize : DEFAULT_PAGE;
  const items = [];
  let last = null;
  if (taken >= limit) return { items, continuation: null };
  for (const { value, position } of results(query, container.scan(partition), parameters, policy, token)) {
    if (toSkip > 0) {
      toSkip -= 1;
      continue;
    }
    if (items.length === size) return { items, continuation: encodeToken({ ...last, taken }) };
    items.push(value);
    last = position;
    taken += 1;
    if (taken >= limit) break;
  }
  return { items, continuation: null };
}

module.exports = { matches, page };
