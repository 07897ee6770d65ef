'use strict';

const { badRequest, CosmosError } = require('./errors.cjs');

const LOG_LENGTH = 10_000;
const OPERATIONS = new Set(['create', 'read', 'query', 'plan', 'patch', 'replace', 'upsert', 'delete', 'batch', 'other']);

const isCount = (value) => Number.isSafeInteger(value) && value >= 0;

/** The controls for tests under /_emulator: the requests so far, and faults of requests to come. */
class TestControls {
  constructor() {
    this.forget();
    this.clearFaults();
    this.lag = null; // where reads lag: container -> item -> what the last write replaced
  }

  /** Note an answered request; one that was dropped has the status 0. */
  record(method, path, operation, status, charge = 1) {
    this.total += 1;
    this.log.push({ method, path, operation, status, charge });
    if (this.log.length > LOG_LENGTH) this.log.shift();
  }

  forget() {
    this.total = 0;
    this.log = [];
  }

  clearFaults() {
    this.faults = [];
  }

  /** The fault that the next request of this operation meets, or undefined; it counts as met. */
  takeFault(operation) {
    if (operation === 'other') return undefined;
    const index = this.faults.findIndex((fault) => (fault.operation ?? operation) === operation);
    const fault = this.faults[index];
    if (fault && (fault.count -= 1) === 0) this.faults.splice(index, 1);
    return fault;
  }

  addFault(body) {
    const { operation, status, subStatus = 0, count = 1, retryAfterMs, delayMs = 0 } = body;
    const { drop = false, after = false } = body;
    if (operation !== undefined && (!OPERATIONS.has(operation) || operation === 'other')) {
      throw badRequest(`The fault's operation must be one of ${[...OPERATIONS].slice(0, -1).join(', ')}.`);
    }
    const numbers = [subStatus, count, retryAfterMs ?? 0, delayMs];
    if (!numbers.every(isCount) || count === 0 || (status !== undefined && !(status >= 400 && status < 600))) {
      throw badRequest('A fault takes numbers: status (400 to 599), count (from 1), retryAfterMs, delayMs, subStatus.');
    }
    if (status === undefined && !drop && delayMs === 0) {
      throw badRequest('A fault needs a status, a delayMs or "drop": true.');
    }
    this.faults.push({ operation, status, subStatus, count, retryAfterMs, delayMs, drop, after });
  }

  /** Answer a request to /_emulator; raises 404 for what is not there. */
  handle(method, path, body) {
    const actions = {
      'GET /_emulator/requests': () => ({ total: this.total, log: this.log }),
      'DELETE /_emulator/requests': () => this.forget(),
      'POST /_emulator/faults': () => this.addFault(body ?? {}),
      'DELETE /_emulator/faults': () => this.clearFaults(),
      'POST /_emulator/lag': () => void (this.lag = new Map()),
      'DELETE /_emulator/lag': () => void (this.lag = null),
    };
    const action = `${method} ${path}`;
    if (!Object.hasOwn(actions, action)) throw new CosmosError(404, `Try ${Object.keys(actions).join(', ')}.`);
    return actions[action]();
  }
}

module.exports = { TestControls };
