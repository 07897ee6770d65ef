'use strict';

const { CosmosError, badRequest, notFound } = require('./errors.cjs');
const { Transaction, checkId } = require('./container.cjs');
const { patched } = require('./patch.cjs');
const { matches } = require('./query.cjs');

const MAX_BATCH_OPERATIONS = 100;
const FAILED_DEPENDENCY = 424;

const preconditionFailed = (message) => new CosmosError(412, message);

/** Raise 412 when an If-Match or If-None-Match of a write does not hold for the stored item. */
function checkConditions({ item }, { ifMatch, ifNoneMatch }) {
  if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== item._etag) {
    throw preconditionFailed('The item was changed since its _etag was read: read it again.');
  }
  if (ifNoneMatch === '*' || (ifNoneMatch !== undefined && ifNoneMatch === item._etag)) {
    throw preconditionFailed('The item exists, which If-None-Match forbids.');
  }
}

function existing(transaction, id, entry = transaction.get(id)) {
  if (!entry) throw notFound(`The item '${id}' of this partition`);
  return entry;
}

function object(value, what) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw badRequest(`The ${what} must be a JSON object.`);
  }
  return value;
}

/**
 * What can be done to one item, alone or in a batch. Each takes the transaction and a request
 * {id, body, ifMatch, ifNoneMatch}, and answers {status, item, text}.
 */
const OPERATIONS = {
  create(transaction, { body }) {
    const item = object(body, 'item');
    checkId(item.id);
    if (transaction.get(item.id)) throw new CosmosError(409, `An item with the id '${item.id}' exists already.`);
    return { status: 201, ...transaction.put(item) };
  },

  read(transaction, { id, ifNoneMatch }) {
    const { item } = existing(transaction, id, transaction.read(id) ?? null);
    if (ifNoneMatch === '*' || ifNoneMatch === item._etag) return { status: 304, etag: item._etag };
    return { status: 200, item };
  },

  replace(transaction, request) {
    const item = object(request.body, 'item');
    const before = existing(transaction, request.id);
    checkConditions(before, request);
    if (item.id !== request.id) throw badRequest('The id of an item cannot be changed.');
    return { status: 200, ...transaction.put(item, before) };
  },

  upsert(transaction, request) {
    const item = object(request.body, 'item');
    checkId(item.id);
    const before = transaction.get(item.id);
    if (before) checkConditions(before, request);
    return { status: before ? 200 : 201, ...transaction.put(item, before) };
  },

  patch(transaction, request) {
    // The JavaScript SDK sends the operations alone where there is no condition.
    const { operations, condition } = Array.isArray(request.body)
      ? { operations: request.body }
      : object(request.body, 'patch');
    const before = existing(transaction, request.id);
    checkConditions(before, request);
    if (condition !== undefined && !matches(condition, before.item)) {
      throw preconditionFailed('The filter predicate does not hold for the item.');
    }
    return { status: 200, ...transaction.put(patched(before.item, operations), before) };
  },

  delete(transaction, request) {
    checkConditions(existing(transaction, request.id), request);
    transaction.delete(request.id);
    return { status: 204 };
  },
};

/** Do one operation and make it durable. */
function run(name, container, partition, request, journal) {
  const transaction = new Transaction(container, partition, request.seen);
  const result = OPERATIONS[name](transaction, request);
  transaction.commit(journal);
  return result;
}

function batchResult(status, { item, etag, message } = {}) {
  const result = { statusCode: status, requestCharge: 1 };
  if (item) result.resourceBody = item;
  if (item || etag) result.eTag = item ? item._etag : etag;
  if (message) result.message = message;
  return result;
}

/**
 * Do all of a list of operations or none, and answer {status, results}.
 *
 * As Cosmos DB answers it: 200 with a result for each, or 207 where the one that failed has its
 * own status and every other 424.
 */
function runBatch(container, partition, operations, journal) {
  if (!Array.isArray(operations) || operations.length === 0) {
    throw badRequest('A batch is a non-empty JSON list of operations.');
  }
  if (operations.length > MAX_BATCH_OPERATIONS) {
    throw badRequest(`A batch takes at most ${MAX_BATCH_OPERATIONS} operations, not ${operations.length}.`);
  }
  const transaction = new Transaction(container, partition);
  const results = [];
  for (const [index, operation] of operations.entries()) {
    const { operationType, id, resourceBody, ifMatch, ifNoneMatch } = object(operation, 'batch operation');
    const name = String(operationType).toLowerCase();
    if (!Object.hasOwn(OPERATIONS, name)) throw badRequest(`'${operationType}' is not an operation of a batch.`);
    try {
      const result = OPERATIONS[name](transaction, { id, body: resourceBody, ifMatch, ifNoneMatch });
      results.push(batchResult(result.status, result));
    } catch (error) {
      if (!(error instanceof CosmosError)) throw error;
      const failed = operations.map(() => batchResult(FAILED_DEPENDENCY));
      failed[index] = batchResult(error.status, { message: error.message });
      return { status: 207, results: failed };
    }
  }
  transaction.commit(journal);
  return { status: 200, results };
}

module.exports = { run, runBatch };
