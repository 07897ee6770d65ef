'use strict';

const fs = require('node:fs');
const path = require('node:path');

const MOST = 50_000;

const folder = process.env.COSMOS_EMULATOR_RECORD;
const seen = new Set();

/** Note a query that was accepted, once for each text, where COSMOS_EMULATOR_RECORD names a folder for that. */
function record(query, parameters = [], pk = '/id') {
  if (!folder || seen.has(query) || seen.size >= MOST) return;
  seen.add(query);
  fs.mkdirSync(folder, { recursive: true });
  const line = JSON.stringify({ query, parameters: parameters ?? [], pk });
  fs.appendFileSync(path.join(folder, `cosmos-${process.pid}.jsonl`), `${line}\n`);
}

module.exports = { record };
