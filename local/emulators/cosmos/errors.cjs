'use strict';

const CODES = {
  400: 'BadRequest',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  410: 'Gone',
  412: 'PreconditionFailed',
  413: 'RequestEntityTooLarge',
};

/** A refusal that is answered: an HTTP status, Cosmos DB's code for it, a sub-status and what else the body has. */
class CosmosError extends Error {
  constructor(status, message, subStatus = 0, more = {}) {
    super(message);
    Object.assign(this, { status, subStatus, more });
  }

  get body() {
    return { code: CODES[this.status] ?? 'Error', message: this.message, ...this.more };
  }
}

const badRequest = (message, subStatus, more) => new CosmosError(400, message, subStatus, more);
const notFound = (what, subStatus) => new CosmosError(404, `${what} does not exist.`, subStatus);

module.exports = { CosmosError, badRequest, notFound };
