'use strict';

const fs = require('node:fs');
const path = require('node:path');

const NEWLINE = 10;

/**
 * The state on disk: one file of JSON lines, each a change that was answered.
 *
 * A line is handed to the operating system before the client hears of the change, so killing the
 * process loses nothing. It is not forced to the disk: a power cut may lose the last moments.
 * Starting rewrites the file with what is still alive, and so does growing beyond `compactAt` bytes.
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

  /** Every change of the file in order. A torn last line is the write nobody was told about. */
  *read() {
    if (!fs.existsSync(this.file)) return;
    const content = fs.readFileSync(this.file);
    for (let start = 0, number = 1; start < content.length; number += 1) {
      const newline = content.indexOf(NEWLINE, start);
      const end = newline < 0 ? content.length : newline;
      let change;
      try {
        change = JSON.parse(content.toString('utf8', start, end));
      } catch (error) {
        if (end + 1 < content.length) {
          throw new Error(`${this.file} is damaged at line ${number}: ${error.message}. Delete it to start empty.`);
        }
        process.stderr.write(`${this.file}: line ${number} was cut short by a crash and is left out.\n`);
        return;
      }
      yield change;
      start = end + 1;
    }
  }

  /** Replace the file by what is alive and stay open for more. */
  compact() {
    const fresh = new Journal(path.dirname(this.file), this.compactAt);
    const name = `${this.file}.new`;
    const { O_APPEND, O_CREAT, O_TRUNC, O_WRONLY } = fs.constants;
    fresh.fd = fs.openSync(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600);
    try {
      for (const change of this.alive()) fresh.append(change);
      fs.fsyncSync(fresh.fd);
      fs.renameSync(name, this.file);
    } catch (error) {
      fs.closeSync(fresh.fd);
      throw error;
    }
    if (this.fd !== null) fs.closeSync(this.fd);
    this.fd = fresh.fd;
    this.size = fresh.size;
    // In proportion to what is alive, so that compacting stays a small part of the work.
    this.limit = Math.max(this.compactAt, 4 * this.size);
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
