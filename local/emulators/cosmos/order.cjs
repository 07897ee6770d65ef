'use strict';

const { member } = require('./sql-compiler.cjs');

const TYPE_ORDER = ['undefined', 'null', 'boolean', 'number', 'string', 'array', 'object'];

function typeRank(value) {
  if (value === null) return 1;
  return TYPE_ORDER.indexOf(Array.isArray(value) ? 'array' : typeof value);
}

/** The order in which ORDER BY puts two values: by type first, as Cosmos DB does. */
function compareValues(a, b, descending = false) {
  if (a === b) return 0;
  let order = typeRank(a) - typeRank(b);
  if (order === 0 && typeof a === 'object') return 0;
  if (order === 0) order = a < b ? -1 : 1;
  return descending ? -order : order;
}

/** How to compare rows {keys, sequence, row} by sort keys; rows that are alike stay in the order of creation. */
function rowOrder(sortKeys) {
  return (a, b) => {
    for (const [index, { descending }] of sortKeys.entries()) {
      const order = compareValues(a.keys[index], b.keys[index], descending);
      if (order !== 0) return order;
    }
    return a.sequence - b.sequence || a.row - b.row;
  };
}

/**
 * Entries in the order of some sort keys: an index, kept in step by every write of one of them.
 *
 * It holds sequence numbers only, four bytes an entry. Most writes leave the sort keys as they were and
 * cost it a comparison; others, and new entries, a search and the moving of all numbers behind the place.
 */
class Order {
  /** `entries` maps sequence numbers to entries, of which `some` are in here; `sortKeys` are {path, descending}. */
  constructor(entries, some, sortKeys) {
    this.entries = entries;
    this.sortKeys = sortKeys;
    const rows = Array.from(some, (entry) => this.row(entry)).sort(rowOrder(sortKeys));
    this.sequences = Uint32Array.from(rows, ({ sequence }) => sequence);
    this.length = rows.length;
  }

  /** What an entry is compared by. */
  row({ item, sequence }) {
    return { keys: this.sortKeys.map(({ path }) => path.reduce(member, item)), sequence, row: 0 };
  }

  /**
   * Follow a write that replaces the entry `before` by `after`; either may be undefined.
   * The map of entries must still be as it was before the write.
   */
  change(before, after) {
    if (before && after && this.#compare(before, this.row(after)) === 0) return;
    if (before) {
      const place = this.#placeOf(this.row(before));
      this.sequences.copyWithin(place, place + 1, this.length);
      this.length -= 1;
    }
    if (after) {
      const place = this.#placeOf(this.row(after));
      this.#makeRoom();
      this.sequences.copyWithin(place + 1, place, this.length);
      this.sequences[place] = after.sequence;
      this.length += 1;
    }
  }

  /** In order, the sequence numbers of entries behind the row `after` whose first sort key is from `start` to `end`. */
  places(after, { start, end }) {
    const [{ path, descending }] = this.sortKeys;
    const first = ({ item }, value) => compareValues(path.reduce(member, item), value, descending);
    const from = this.#find(
      (entry) =>
        (after === undefined || this.#compare(entry, after) > 0) && (start === undefined || first(entry, start) >= 0),
    );
    const to = end === undefined ? this.length : this.#find((entry) => first(entry, end) > 0);
    return this.sequences.subarray(from, to);
  }

  #compare({ item, sequence }, row) {
    for (let index = 0; index < this.sortKeys.length; index += 1) {
      const { path, descending } = this.sortKeys[index];
      const order = compareValues(path.reduce(member, item), row.keys[index], descending);
      if (order !== 0) return order;
    }
    return sequence - row.sequence;
  }

  #placeOf(row) {
    return this.#find((entry) => this.#compare(entry, row) >= 0);
  }

  /** The first place whose entry, and with it every one behind it, passes a test. */
  #find(test) {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (test(this.entries.get(this.sequences[middle]))) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #makeRoom() {
    if (this.length < this.sequences.length) return;
    const larger = new Uint32Array(2 * this.length + 16);
    larger.set(this.sequences);
    this.sequences = larger;
  }
}

module.exports = { Order, compareValues, rowOrder };
