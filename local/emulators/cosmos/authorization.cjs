'use strict';

const { createHmac, timingSafeEqual } = require('node:crypto');
const { CosmosError } = require('./errors.cjs');

/** The published key of the official emulator. It guards nothing. */
const KEY = Buffer.from(
  'C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==',
  'base64',
);

/**
 * Raise 401 unless a request is signed with the key, as Cosmos DB does: a typing error in a key is found here.
 * What is signed: method, type and link of the resource, and the date.
 */
function authorize({ method, headers }, parts) {
  const date = headers['x-ms-date'] ?? headers.date ?? '';
  const given = new URLSearchParams(decoded(headers.authorization ?? '')).get('sig') ?? '';
  // A collection of resources is signed by its owner.
  const owner = parts.length % 2 === 1;
  const type = (owner ? parts.at(-1) : parts.at(-2)) ?? '';
  const link = (owner ? parts.slice(0, -1) : parts).join('/');
  const text = `${method.toLowerCase()}\n${type.toLowerCase()}\n${link}\n${date.toLowerCase()}\n\n`;
  const expected = createHmac('sha256', KEY).update(text).digest();
  // A "+" of base64 is a space in a query.
  const found = Buffer.from(given.replaceAll(' ', '+'), 'base64');
  if (found.length !== expected.length || !timingSafeEqual(found, expected)) {
    throw new CosmosError(401, 'The request is not signed with the key of this emulator; check COSMOS_KEY.');
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

module.exports = { authorize };
