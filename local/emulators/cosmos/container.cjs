'use strict';

const { randomUUID } = require('node:crypto');
const clock = require('./clock.cjs');
const { CosmosError, badRequest } = require('./errors.cjs');
const { Order } = require('./order.cjs');
const { boundsOf, effectiveKey } = require('./ranges.cjs');

const MAX_ITEM_BYTES = 2 * 1024 * 1024;
const MAX_ID_BYTES = 1023;
const NONE = [];
const ILLEGAL_IN_ID = /[/\\?#]/;

const segments = (path) => path.slice(1).split('/').map((part) => part.replace(/^"(.*)"$/, '$1'));

function valueAt(item, path) {
  let value = item;
  for (const key of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

/** Raise 400 unless the id is one that Cosmos DB stores. */
function checkId(id) {
  if (typeof id !== 'string' || id === '') throw badRequest("The item needs an 'id' that is a non-empty string.");
  if (Buffer.byteLength(id) > MAX_ID_BYTES) throw badRequest(`The id is longer than ${MAX_ID_BYTES} bytes.`);
  if (ILLEGAL_IN_ID.test(id)) throw badRequest(`The id '${id}' must not contain any of / \\ ? #.`);
}

/** The part of a container's items that one of Cosmos DB's physical partitions would hold. */
class Range {
  constructor(id, [min, max]) {
    Object.assign(this, { id, min, max });
    this.entries = new Map(); // sequence number -> entry, in the order of creation
    this.orders = new Map(); // sort keys -> Order
  }
}

/**
 * The items of one container, found by partition and id at a cost that does not grow with them.
 *
 * Items are never changed in place: a write stores a new object.
 */
class Container {
  /**
   * `rangeCount` is how many ranges it has, and `lag()` answers a map where tests let reads lag: of what
   * each write since then replaced.
   */
  constructor(definition, rangeCount, lag) {
    this.definition = definition;
    this.lag = lag;
    this.writes = 0; // how many there were: what a session token names
    this.rid = definition._rid;
    this.partitionPath = segments(definition.partitionKey?.paths[0] ?? '/id');
    this.uniqueKeys = (definition.uniqueKeyPolicy?.uniqueKeys ?? []).map((key) => key.paths.map(segments));
    this.ranges = boundsOf(rangeCount).map((bounds, index) => new Range(String(index), bounds));
    this.partitions = new Map(); // partition key -> {range, items: id -> entry, orders: sort keys -> Order}
    this.uniqueOwners = new Map(); // unique key -> id of the item that holds it
    this.lastSequence = 0;
  }

  /** The item's partition key, written as the SDK writes it in its header: `["a"]`, `[{}]` for none. */
  partitionOf(item) {
    const value = valueAt(item, this.partitionPath);
    return JSON.stringify([value === undefined ? {} : value]);
  }

  /** The header's partition key in the form of partitionOf; raises 400 when it does not fit. */
  partitionFromHeader(header) {
    let values;
    try {
      values = JSON.parse(header);
    } catch {
      values = null;
    }
    if (!Array.isArray(values)) throw badRequest(`The partition key header ${header} is not a JSON list.`);
    if (values.length !== 1) {
      throw badRequest(`The partition key has ${values.length} values; the container defines 1.`, 1001);
    }
    return JSON.stringify(values);
  }

  /** The range that a partition lies in. */
  rangeOf(partition) {
    const known = this.partitions.get(partition);
    if (known) return known.range;
    const key = effectiveKey(JSON.parse(partition)[0]);
    return this.ranges.findLast(({ min }) => min <= key);
  }

  /** The unique keys an item holds. Cosmos DB lets an absent value count as null. */
  uniqueKeysOf(item, partition) {
    return this.uniqueKeys.map((paths, index) =>
      JSON.stringify([partition, index, ...paths.map((path) => valueAt(item, path) ?? null)]),
    );
  }

  entry(partition, id) {
    return this.partitions.get(partition)?.items.get(id);
  }

  /** Entries in the order of creation: of one partition, or of a whole range. */
  scan(range, partition, seen) {
    const all = partition === undefined ? range.entries : (this.partitions.get(partition)?.items ?? new Map());
    const hidden = this.hidden(range, seen).filter((write) => (partition ?? write.partition) === write.partition);
    if (hidden.length === 0) return all.values();
    const ids = new Set(hidden.map((write) => `${write.partition} ${write.id}`));
    return [
      ...[...all.values()].filter((entry) => !ids.has(`${entry.partition} ${entry.item.id}`)),
      ...hidden.flatMap(({ before }) => before ?? []),
    ].sort((a, b) => a.sequence - b.sequence);
  }

  /** The same in the order of these {path, descending}, which is kept from its first use on. */
  order(range, partition, sortKeys) {
    const { orders, items } = partition === undefined ? range : (this.partitions.get(partition) ?? { orders: new Map() });
    const name = JSON.stringify(sortKeys.map(({ path, descending }) => [path, descending]));
    if (!orders.has(name)) {
      const some = partition === undefined ? range.entries : (items ?? new Map());
      orders.set(name, new Order(range.entries, some.values(), sortKeys));
    }
    return orders.get(name);
  }

  /** Of the last writes to each item of a range, those that a read lacks whose session has `seen` so many. */
  hidden(range, seen) {
    const lag = this.lag();
    if (lag === null) return NONE;
    return [...(lag.get(this.rid)?.values() ?? [])].filter((write) => write.number > seen && this.rangeOf(write.partition) === range);
  }

  /** Count a write of one partition; `changes` are [id, entry before]. */
  wrote(partition, changes) {
    this.writes += 1;
    const lag = this.lag();
    if (!lag) return;
    if (!lag.has(this.rid)) lag.set(this.rid, new Map());
    for (const [id, before] of changes) {
      lag.get(this.rid).set(`${partition} ${id}`, { number: this.writes, partition, id, before });
    }
  }

  /** Put an entry in place of the one with its partition and id. */
  set(entry) {
    const { partition, item, sequence } = entry;
    let before = this.entry(partition, item.id);
    if (before && before.sequence !== sequence) {
      this.remove(before);
      before = undefined;
    }
    if (before) this.#releaseUniqueKeys(before);
    if (!this.partitions.has(partition)) {
      this.partitions.set(partition, { range: this.rangeOf(partition), items: new Map(), orders: new Map() });
    }
    const { range, items, orders } = this.partitions.get(partition);
    for (const order of [...range.orders.values(), ...orders.values()]) order.change(before, entry);
    range.entries.set(sequence, entry);
    items.set(item.id, entry);
    for (const key of this.uniqueKeysOf(item, partition)) this.uniqueOwners.set(key, item.id);
    this.lastSequence = Math.max(this.lastSequence, sequence);
  }

  remove(entry) {
    const { partition, item, sequence } = entry;
    this.#releaseUniqueKeys(entry);
    const { range, items, orders } = this.partitions.get(partition);
    for (const order of [...range.orders.values(), ...orders.values()]) order.change(entry, undefined);
    range.entries.delete(sequence);
    items.delete(item.id);
    if (items.size === 0) this.partitions.delete(partition);
  }

  /** The entry with this sequence number. */
  numbered(sequence) {
    return this.ranges.find(({ entries }) => entries.has(sequence)).entries.get(sequence);
  }

  #releaseUniqueKeys({ item, partition }) {
    for (const key of this.uniqueKeysOf(item, partition)) {
      if (this.uniqueOwners.get(key) === item.id) this.uniqueOwners.delete(key);
    }
  }

  /** The resource id of the item with this sequence number: the container's followed by eight bytes. */
  ridOf(sequence) {
    const own = Buffer.alloc(8);
    own.writeUInt32LE(sequence);
    const parent = Buffer.from(this.rid.replaceAll('-', '/'), 'base64');
    return Buffer.concat([parent, own]).toString('base64').replaceAll('/', '-');
  }
}

/**
 * Changes to one partition that become visible together or not at all.
 *
 * Node runs one request at a time between two awaits and nothing here awaits, so what a
 * transaction reads cannot change before it commits.
 */
class Transaction {
  constructor(container, partition, seen = Infinity) {
    this.container = container;
    this.seen = seen; // how many writes a read must not lack, where reads lag
    this.partition = partition;
    this.changes = new Map(); // id -> entry, or null when deleted
    this.sequence = container.lastSequence;
  }

  /** The entry for a read, which may be the one before the last write. */
  read(id) {
    const key = `${this.partition} ${id}`;
    const write = this.container.lag()?.get(this.container.rid)?.get(key);
    return write && write.number > this.seen ? write.before : this.get(id);
  }

  get(id) {
    return this.changes.has(id) ? this.changes.get(id) : this.container.entry(this.partition, id);
  }

  /** Store an item, new or in place of `before`; answers the entry with its system properties. */
  put(item, before) {
    const { container, partition } = this;
    checkId(item.id);
    if (container.partitionOf(item) !== partition) {
      throw badRequest(
        before
          ? 'The partition key of an item cannot be changed: delete it and create another.'
          : 'The partition key in the header is not the one in the item.',
        1001,
      );
    }
    this.#checkUniqueKeys(item);
    const sequence = before ? before.sequence : (this.sequence += 1);
    const rid = before ? before.item._rid : container.ridOf(sequence);
    const stored = {
      ...item,
      _rid: rid,
      _self: `${container.definition._self}docs/${rid}/`.replace(/^\/+/, ''),
      _etag: `"${randomUUID()}"`,
      _attachments: 'attachments/',
      _ts: Math.floor(clock.now() / 1000),
    };
    const text = JSON.stringify(stored);
    if (Buffer.byteLength(text) > MAX_ITEM_BYTES) {
      throw new CosmosError(413, 'The item is larger than 2 MB: split it or store less.');
    }
    const entry = { sequence, partition, item: stored };
    this.changes.set(stored.id, entry);
    return { ...entry, text };
  }

  delete(id) {
    this.changes.set(id, null);
  }

  #checkUniqueKeys(item) {
    for (const key of this.container.uniqueKeysOf(item, this.partition)) {
      const others = [this.container.uniqueOwners.get(key), ...this.changes.keys()];
      for (const id of others) {
        const other = id === undefined || id === item.id ? null : this.get(id);
        if (other && this.container.uniqueKeysOf(other.item, this.partition).includes(key)) {
          throw new CosmosError(409, 'Unique index constraint violation: another item has these values.');
        }
      }
    }
  }

  /** Write the changes to the journal (if there is one), then make them visible. */
  commit(journal) {
    const before = new Map([...this.changes.keys()].map((id) => [id, this.container.entry(this.partition, id)]));
    const changes = [...this.changes].filter(([id, entry]) => entry !== (before.get(id) ?? null));
    if (changes.length === 0) return;
    journal?.compactIfLarge();
    journal?.append({
      kind: 'items',
      container: this.container.rid,
      changes: changes.map(([id, entry]) =>
        entry ? { sequence: entry.sequence, item: entry.item } : { removed: before.get(id).sequence },
      ),
    });
    this.container.wrote(this.partition, changes.map(([id]) => [id, before.get(id)]));
    for (const [id, entry] of changes) {
      if (entry) this.container.set(entry);
      else this.container.remove(before.get(id));
    }
  }
}

module.exports = { Container, Transaction, checkId, valueAt, segments };
