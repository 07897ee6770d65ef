'use strict';

// Request units by the figures that Cosmos DB publishes: between those for 1 and for 100 KB, a line.
const line = (one, hundred) => (bytes) => one + ((hundred - one) * Math.max(0, bytes / 1024 - 1)) / 99;

const read = line(1, 10);
const write = line(5, 50);
const INSERTS = { create: 1, upsert: 1, patch: 2, replace: 2, delete: 1 };

/** The charge of an operation on one item: replacing costs twice what inserting does. */
function itemCharge(operation, bytes) {
  return operation === 'read' ? read(bytes) : INSERTS[operation] * write(bytes);
}

/** The charge of a page for which so many documents were read; an estimate after published examples. */
const pageCharge = (documents, bytes) => 2.3 + 0.03 * documents + (0.3 * bytes) / 10240;

module.exports = { itemCharge, pageCharge };
