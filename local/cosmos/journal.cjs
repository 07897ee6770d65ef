'use strict';

const fs = require('node:fs');
const path = require('node:path');

const NEWLINE = 10;

/**
 * The state on disk: one file of JSON lines, each a change that was answered.
 *
 * A line is handed to the operating system before the client hears of the change, so killing the
 * process loses nothing. It is not forced to the disk: a power cut may lose the last moments.
 * Starting rewrites the file with what is still alive.
 */
class Journal {
  constructor(directory) {
    fs.mkdirSync(directory, { recursive: true });
    this.file = path.join(directory, 'journal.jsonl');
    this.fd = null;
    this.size = 0;
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
        if (newline < 0) throw new SyntaxError('the line has no end');
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

  /** Replace the file by these changes and stay open for more. */
  rewrite(changes) {
    const fresh = `${this.file}.new`;
    const { O_APPEND, O_CREAT, O_TRUNC, O_WRONLY } = fs.constants;
    this.fd = fs.openSync(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600);
    for (const change of changes) this.append(change);
    fs.fsyncSync(this.fd);
    fs.renameSync(fresh, this.file);
  }

  /** Add one change, given as an object or as its JSON text. */
  append(change) {
    const line = Buffer.from(`${typeof change === 'string' ? change : JSON.stringify(change)}\n`);
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
