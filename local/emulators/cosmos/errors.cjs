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

/** A refusal the client is told about: an HTTP status, Cosmos' code for it and a sub-status. */
class CosmosError extends Error {
  constructor(status, message, subStatus = 0) {
    super(message);
    this.status = status;
    this.subStatus = subStatus;
  }

  get body() {
    return { code: CODES[this.status] ?? 'Error', message: this.message };
  }
}

const badRequest = (message, subStatus) => new CosmosError(400, message, subStatus);
const notFound = (what, subStatus) => new CosmosError(404, `${what} does not exist.`, subStatus);

module.exports = { CosmosError, badRequest, notFound };
