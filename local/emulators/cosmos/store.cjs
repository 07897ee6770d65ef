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
      location.databaseAccountEndpoint = endpoint; // the package says https, which is not served
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
    if (req.method !== 'GET' && req.method !== 'POST') {
      throw new CosmosError(405, 'This emulator neither changes nor deletes databases and containers: delete its state folder.');
    }
    // The handlers read the body from a request, and this one was read already.
    const replay = Object.assign(Readable.from([body]), { method: req.method, url: req.url, headers: req.headers });
    const found = routes(replay);
    if (!found) throw new CosmosError(405, 'This emulator does not serve that resource or method.');
    const [params, handler] = found;
    if (req.method === 'POST') this.#checkResource(body);
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
    if (status === 201) this.#created(params.dbId ?? answer.id, params.dbId && answer.id);
    return { status, headers, body: answer };
  }

  #checkResource(body) {
    const resource = JSON.parse(body);
    if (resource === null || typeof resource !== 'object') throw badRequest('The body must be a JSON object.');
    if (resource.query !== undefined) return;
    checkId(resource.id);
    const paths = resource.partitionKey?.paths;
    if (paths !== undefined && !(Array.isArray(paths) && paths.length === 1 && /^\/[^/]/.test(paths[0]))) {
      throw badRequest('The partition key needs one path such as "/id"; hierarchical keys are not served here.');
    }
  }

  #created(database, container) {
    const change = this.#describe(database, container);
    this.journal?.append(change);
    this.#openContainer(change);
  }

  #describe(database, container) {
    const parent = container === undefined ? this.account.databases : this.account.database(database).collections;
    const data = parent._item('/id', container ?? database, container ?? database).read();
    // The count is what makes the next resource id.
    const writes = this.containers.get(data._rid)?.writes;
    return { kind: 'resource', database, container, data, count: parent._ridCount, writes };
  }

  #openContainer({ database, container: name }) {
    if (name === undefined) return;
    const resource = this.account.database(database).collection(name);
    const container = new Container(resource.read(), this.rangeCount, this.lag);
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
