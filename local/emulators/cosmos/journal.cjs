'use strict';

const fs = require('node:fs');
const path = require('node:path');

const NEWLINE = 10;
const CHUNK = 1024 * 1024;

/** The lines of a file of any size, as {text, behind: the offset behind it}, and what follows the last newline. */
function* lines(file) {
  const fd = fs.openSync(file, 'r');
  try {
    const buffer = Buffer.allocUnsafe(CHUNK);
    let [parts, behind] = [[], 0];
    for (let size; (size = fs.readSync(fd, buffer)) > 0; ) {
      const chunk = buffer.subarray(0, size);
      let start = 0;
      for (let end; (end = chunk.indexOf(NEWLINE, start)) >= 0; start = end + 1) {
        yield { text: Buffer.concat([...parts, chunk.subarray(start, end)]).toString(), behind: behind + end + 1 };
        parts = [];
      }
      parts.push(Buffer.from(chunk.subarray(start)));
      behind += size;
    }
    yield { text: Buffer.concat(parts).toString() };
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * The state on disk: one file of JSON lines, each a change that was answered.
 *
 * A line is handed to the operating system before the client hears of the change, so killing the
 * process loses nothing. It is not forced to the disk: a power cut may lose the last moments.
 * Starting rewrites the file with what is still alive, and so does growing to twice that, from
 * `compactAt` bytes on. Where the disk is full, the change is refused and the state stays as it was.
 */
class Journal {
  constructor(directory, compactAt) {
    fs.mkdirSync(directory, { recursive: true });
    this.file = path.join(directory, 'journal.jsonl');
    this.compactAt = compactAt;
    this.fd = null;
    this.size = 0;
    this.limit = Infinity;
    this.alive = () => []; // the store says here what is alive
  }

  /** Every change of the file in order. A torn last line is a write that was never answered. */
  *read() {
    if (!fs.existsSync(this.file)) return;
    let damage;
    let number = 0;
    for (const { text, behind } of lines(this.file)) {
      number += 1;
      if (text === '') continue;
      if (damage) throw new Error(`${damage}. Delete the file to start empty.`);
      let change;
      try {
        if (behind === undefined) throw new Error('it has no end');
        change = JSON.parse(text);
      } catch (error) {
        damage = `${this.file} is damaged at line ${number}: ${error.message}`;
        continue;
      }
      yield change;
      this.size = behind;
    }
    if (damage) process.stderr.write(`${damage}. It was cut short by a crash, and its change is left out.\n`);
  }

  /** Go on behind what `read` gave, in a file of what is alive where the disk has room for one. */
  open() {
    this.fd = fs.openSync(this.file, 'a', 0o600);
    fs.ftruncateSync(this.fd, this.size);
    this.compact();
  }

  /** Replace the file by what is alive, or go on with the one there is when that fails. */
  compact() {
    const fresh = new Journal(path.dirname(this.file), this.compactAt);
    const name = `${this.file}.new`;
    try {
      fs.rmSync(name, { force: true });
      fresh.fd = fs.openSync(name, 'a', 0o600);
      for (const change of this.alive()) fresh.append(change);
      fs.fsyncSync(fresh.fd);
      fs.renameSync(name, this.file);
      fs.closeSync(this.fd);
      [this.fd, this.size] = [fresh.fd, fresh.size];
    } catch (error) {
      process.stderr.write(`${this.file} could not be compacted: ${error.message}.\n`);
      if (fresh.fd !== null) fs.closeSync(fresh.fd);
      fs.rmSync(name, { force: true });
    }
    // In proportion to what is alive, so that compacting stays a small part of the work.
    this.limit = Math.max(this.compactAt, 2 * this.size);
  }

  compactIfLarge() {
    if (this.size > this.limit) this.compact();
  }

  append(change) {
    const line = Buffer.from(`${JSON.stringify(change)}\n`);
    try {
      fs.appendFileSync(this.fd, line);
    } catch (error) {
      // Half a line in the middle of the file would make all of it unreadable.
      fs.ftruncateSync(this.fd, this.size);
      throw error;
    }
    this.size += line.length;
  }
}

module.exports = { Journal };
