'use strict';

// Where a partition key lies among a container's ranges: version 2 of Cosmos DB's hash, which SDKs compute too.

const WORD = 0xffffffffffffffffn;
const [C1, C2] = [0x87c37b91114253d5n, 0x4cf5ad432745937fn];

const rotate = (value, by) => ((value << by) | (value >> (64n - by))) & WORD;
const times = (a, b) => (a * b) & WORD;

function mix(value) {
  let mixed = times(value ^ (value >> 33n), 0xff51afd7ed558ccdn);
  mixed = times(mixed ^ (mixed >> 33n), 0xc4ceb9fe1a85ec53n);
  return mixed ^ (mixed >> 33n);
}

/** MurmurHash3, 128 bits for 64-bit machines, as [low, high]. */
function hash(bytes) {
  const padded = Buffer.alloc(Math.ceil(bytes.length / 16) * 16);
  bytes.copy(padded);
  let [h1, h2] = [0n, 0n];
  for (let at = 0; at < padded.length; at += 16) {
    const whole = at + 16 <= bytes.length; // the rest, padded with zeros, is only mixed in
    h1 ^= times(rotate(times(padded.readBigUInt64LE(at), C1), 31n), C2);
    if (whole) h1 = (times((rotate(h1, 27n) + h2) & WORD, 5n) + 0x52dce729n) & WORD;
    h2 ^= times(rotate(times(padded.readBigUInt64LE(at + 8), C2), 33n), C1);
    if (whole) h2 = (times((rotate(h2, 31n) + h1) & WORD, 5n) + 0x38495ab5n) & WORD;
  }
  h1 ^= BigInt(bytes.length);
  h2 ^= BigInt(bytes.length);
  h1 = (h1 + h2) & WORD;
  h2 = (h2 + h1) & WORD;
  [h1, h2] = [mix(h1), mix(h2)];
  h1 = (h1 + h2) & WORD;
  return [h1, (h2 + h1) & WORD];
}

function bytesOf(value) {
  if (typeof value === 'string') return Buffer.concat([Buffer.from([8]), Buffer.from(value), Buffer.from([0xff])]);
  if (typeof value === 'number') {
    const bytes = Buffer.from([5, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.writeDoubleLE(value, 1);
    return bytes;
  }
  if (typeof value === 'boolean') return Buffer.from([value ? 3 : 2]);
  return Buffer.from([value === null ? 1 : 0]);
}

/** The effective partition key of a value ({} for none): 32 hexadecimal digits, below "40". */
function effectiveKey(value) {
  const [low, high] = hash(bytesOf(value));
  return ((high & (WORD >> 2n)) * 2n ** 64n + low).toString(16).toUpperCase().padStart(32, '0');
}

/** The bounds of `count` ranges of the same width, as [first key in, first key behind]. */
function boundsOf(count) {
  const starts = Array.from({ length: count }, (_, index) =>
    index === 0 ? '' : Math.floor((64 * index) / count).toString(16).toUpperCase().padStart(2, '0'),
  );
  return starts.map((start, index) => [start, starts[index + 1] ?? 'FF']);
}

module.exports = { boundsOf, effectiveKey };
