'use strict';

const { badRequest } = require('./errors.cjs');

const MAX_OPERATIONS = 10;
const SYSTEM_PROPERTIES = new Set(['_rid', '_self', '_etag', '_attachments', '_ts']);
const ARRAY_INDEX = /^(0|[1-9]\d*)$/;

/** The keys of a JSON Pointer; raises 400 for a path that PATCH may not touch. */
function keysOf(path, what) {
  if (typeof path !== 'string' || !path.startsWith('/') || path === '/') {
    throw badRequest(`the ${what} must be a string such as "/flows/name", not ${JSON.stringify(path)}`);
  }
  const keys = path.slice(1).split('/').map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  if (SYSTEM_PROPERTIES.has(keys[0])) throw badRequest(`the system property ${keys[0]} cannot be patched`);
  if (keys.length === 1 && keys[0] === 'id') throw badRequest('the id of an item cannot be patched');
  return keys;
}

/** One property or array element of a document: where an operation applies. */
class Place {
  constructor(document, path, what) {
    const keys = keysOf(path, what);
    this.path = path;
    this.key = keys.pop();
    this.parent = document;
    for (const key of keys) {
      this.parent = Object.hasOwn(this.parent, key) ? this.parent[key] : undefined;
      if (this.parent === null || typeof this.parent !== 'object') {
        throw badRequest(`the parent of ${path} is not there: PATCH does not create it`);
      }
    }
    this.isArray = Array.isArray(this.parent);
    if (this.isArray && !(ARRAY_INDEX.test(this.key) || this.key === '-')) {
      throw badRequest(`${path} is not an index of the array`);
    }
  }

  get exists() {
    if (this.isArray && !ARRAY_INDEX.test(this.key)) return false;
    return Object.hasOwn(this.parent, this.key);
  }

  get value() {
    return this.parent[this.key];
  }

  mustExist() {
    if (!this.exists) throw badRequest(`${this.path} is not there`);
  }

  /** Assign a property or an existing element; defineProperty, since a key may be `__proto__`. */
  assign(value) {
    if (this.isArray) this.mustExist();
    Object.defineProperty(this.parent, this.key, { value, writable: true, enumerable: true, configurable: true });
  }

  /** Assign a property, or insert an element: the index may be the array's length, or `-`. */
  insert(value) {
    if (!this.isArray) {
      this.assign(value);
      return;
    }
    const index = this.key === '-' ? this.parent.length : Number(this.key);
    if (index > this.parent.length) throw badRequest(`${this.path} is beyond the end of the array`);
    this.parent.splice(index, 0, value);
  }

  remove() {
    this.mustExist();
    if (this.isArray) this.parent.splice(Number(this.key), 1);
    else delete this.parent[this.key];
  }
}

const OPERATIONS = {
  add: (place, { value }) => place.insert(value),
  set: (place, { value }) => (place.key === '-' ? place.insert(value) : place.assign(value)),
  replace(place, { value }) {
    place.mustExist();
    place.assign(value);
  },
  remove: (place) => place.remove(),
  incr(place, { value }) {
    if (typeof value !== 'number') throw badRequest('the value to add must be a number');
    const before = place.exists ? place.value : 0;
    if (typeof before !== 'number') throw badRequest(`${place.path} is not a number`);
    place.assign(before + value);
  },
};

function move(document, { path, from }) {
  const source = new Place(document, from, "'from'");
  source.mustExist();
  if (path === from || `${path}/`.startsWith(`${from}/`)) throw badRequest('a value cannot be moved into itself');
  const { value } = source;
  source.remove();
  new Place(document, path, 'path').insert(value);
}

function applyOne(document, operation) {
  if (operation === null || typeof operation !== 'object') throw badRequest('it is not an object');
  const { op, path } = operation;
  if (op === 'move') {
    move(document, operation);
    return;
  }
  if (!Object.hasOwn(OPERATIONS, op)) throw badRequest(`'${op}' is none of add, set, replace, remove, incr, move`);
  if (op !== 'remove' && operation.value === undefined) throw badRequest('the value is missing');
  OPERATIONS[op](new Place(document, path, 'path'), operation);
}

/** A copy of the document with the operations applied in order; raises 400 naming the first that cannot be. */
function patched(document, operations) {
  if (!Array.isArray(operations) || operations.length === 0) {
    throw badRequest("PATCH needs a body with a non-empty list 'operations'.");
  }
  if (operations.length > MAX_OPERATIONS) {
    throw badRequest(`PATCH takes at most ${MAX_OPERATIONS} operations, not ${operations.length}.`);
  }
  const copy = structuredClone(document);
  for (const [index, operation] of operations.entries()) {
    try {
      applyOne(copy, operation);
    } catch (error) {
      error.message = `For Operation(${index + 1}): ${error.message}.`;
      throw error;
    }
  }
  return copy;
}

module.exports = { patched };
