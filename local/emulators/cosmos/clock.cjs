'use strict';

const fs = require('node:fs');

const BYTES = 8;

let file;
const ahead = Buffer.alloc(BYTES);

/** Be ahead of this machine's clock by as many seconds as the file says (local/clock.py). */
function follow(path) {
  file = fs.openSync(path, 'a+', 0o600);
}

/** The time in milliseconds since 1970. */
function now() {
  if (file === undefined || fs.readSync(file, ahead, 0, BYTES, 0) < BYTES) return Date.now();
  return Date.now() + 1000 * Number(ahead.readBigUInt64LE());
}

module.exports = { follow, now };
