'use strict';

const { Readable } = require('node:stream');
const Account = require('@vercel/cosmosdb-server/lib/account').default;
const routes = require('@vercel/cosmosdb-server/lib/routes').default;
const { CosmosError, badRequest, notFound } = require('./errors.cjs');
const { Container, checkId } = require('./container.cjs');

const OWNER_NOT_FOUND = 1003;

/**
 * All databases, containers and items, in memory and in the journal.
 *
 * Databases and containers are the package's own resources, served by its own handlers. Items are
 * ours: the package looks through all of them at every query, cannot undo half a batch, and keeps
 * nothing on disk.
 */
class Store {
  /** Read back what the journal holds and compact it; without a journal nothing is kept. */
  constructor(address, journal, rangeCount, lag) {
    this.account = new Account(address.address, address.port);
    const endpoint = `http://${address.address}:${address.port}/`;
    for (const location of [...this.account.read().writableLocations, ...this.account.read().readableLocations]) {
      location.databaseAccountEndpoint = endpoint; // the package says https, which nobody serves here
    }
    this.containers = new Map(); // resource id -> Container
    Object.assign(this, { rangeCount, lag });
    this.journal = journal;
    if (!journal) return;
    for (const change of journal.read()) this.#restore(change);
    journal.alive = () => this.#changes();
    journal.open();
  }

  /** The container of these names; raises 404 as Cosmos DB does for an absent owner of an item. */
  container(database, name) {
    const resource = this.account.database(database).collection(name);
    const definition = resource.read();
    if (!definition) throw notFound(`The container '${name}' of database '${database}'`, OWNER_NOT_FOUND);
    return this.containers.get(definition._rid);
  }

  /** Serve a request about databases or containers by the package's handler for it. */
  async resource(req, body) {
    // The handlers read the body from a request, and this one was read already.
    const replay = Object.assign(Readable.from([body]), { method: req.method, url: req.url, headers: req.headers });
    const found = routes(replay);
    if (!found) throw new CosmosError(405, 'This emulator does not serve that resource or method.');
    const [params, handler] = found;
    this.#checkResource(req.method, body, params);
    const headers = {};
    const response = { statusCode: 200, setHeader: (name, value) => (headers[name] = value) };
    let answer;
    try {
      answer = await handler(this.account, replay, response, params);
    } catch (error) {
      if (error.badRequest || error.name === 'SyntaxError') throw badRequest(error.message);
      throw error;
    }
    const status = response.statusCode;
    if (status >= 400) throw new CosmosError(status, answer?.message || 'The database or container does not exist.');
    if (req.method !== 'GET') this.#resourceChanged(req.method, params, answer, status);
    return { status, headers, body: answer };
  }

  #checkResource(method, body, { collId }) {
    if (method !== 'POST' && method !== 'PUT') return;
    const resource = JSON.parse(body);
    if (resource === null || typeof resource !== 'object') throw badRequest('The body must be a JSON object.');
    if (resource.query !== undefined) return;
    checkId(resource.id);
    const paths = resource.partitionKey?.paths;
    if (paths !== undefined && !(Array.isArray(paths) && paths.length === 1 && /^\/[^/]/.test(paths[0]))) {
      throw badRequest('The partition key needs one path such as "/id"; hierarchical keys are not served here.');
    }
    if (collId !== undefined && resource.id !== collId) throw badRequest('The id of a container cannot be changed.');
  }

  #resourceChanged(method, { dbId, collId }, answer, status) {
    if (method === 'DELETE') {
      this.journal?.append({ kind: 'deleted', database: dbId, container: collId });
      this.#forgetItems();
    } else if (status === 201 || method === 'PUT') {
      const change = this.#describe(dbId ?? answer.id, dbId && answer.id);
      this.journal?.append(change);
      this.#openContainer(change);
    }
  }

  /** Drop the items of containers that are gone. */
  #forgetItems() {
    for (const [rid, container] of this.containers) {
      const parent = this.account.database(container.database);
      if (parent.collection(container.name).read()?._rid !== rid) this.containers.delete(rid);
    }
  }

  #describe(database, container) {
    const parent = container === undefined ? this.account.databases : this.account.database(database).collections;
    const data = parent._item('/id', container ?? database, container ?? database).read();
    // The count is what makes the next resource id, so a deleted one is not given out again.
    const writes = this.containers.get(data._rid)?.writes;
    return { kind: 'resource', database, container, data, count: parent._ridCount, writes };
  }

  #openContainer({ database, container: name }) {
    if (name === undefined) return;
    const resource = this.account.database(database).collection(name);
    const known = this.containers.get(resource.read()._rid);
    if (known) {
      known.resource = resource;
      return;
    }
    const container = new Container(resource, this.rangeCount, this.lag);
    Object.assign(container, { database, name });
    this.containers.set(container.rid, container);
  }

  #restore(change) {
    if (change.kind === 'resource') {
      const { database, container, data, count } = change;
      const parent = container === undefined ? this.account.databases : this.account.database(database).collections;
      parent._set(data);
      parent._ridCount = count;
      this.#openContainer(change);
      // Where items follow, they count anew: a session token may be older than the state, but not newer.
      if (change.writes !== undefined) this.containers.get(data._rid).writes = change.writes;
    } else if (change.kind === 'deleted') {
      const { database, container } = change;
      if (container === undefined) this.account.databases.delete(database, database);
      else this.account.database(database).collections.delete(container, container);
      this.#forgetItems();
    } else {
      this.#restoreItems(change);
    }
  }

  #restoreItems({ container: rid, changes }) {
    const container = this.containers.get(rid);
    container.writes += 1;
    for (const { sequence, item, removed } of changes) {
      if (item) container.set({ sequence, item, partition: container.partitionOf(item) });
      else container.remove(container.numbered(removed));
    }
  }

  /** What is alive now, as the shortest list of changes that restores it. */
  *#changes() {
    for (const { _data: database } of this.account.databases._data.values()) {
      yield this.#describe(database.id);
      for (const { _data: container } of this.account.database(database.id).collections._data.values()) {
        yield this.#describe(database.id, container.id);
        for (const { entries } of this.containers.get(container._rid).ranges) {
          for (const { sequence, item } of entries.values()) {
            yield { kind: 'items', container: container._rid, changes: [{ sequence, item }] };
          }
        }
      }
    }
  }
}

module.exports = { Store };
