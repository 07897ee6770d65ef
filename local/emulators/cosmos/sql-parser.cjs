'use strict';

const { badRequest } = require('./errors.cjs');

const MAX_LENGTH = 512 * 1024;
const MAX_DEPTH = 200;

// Cosmos DB reserves these: as a property they are written c["value"].
const RESERVED = new Set(
  ('AND AS ASC BETWEEN BY DESC DISTINCT ESCAPE EXISTS FALSE FROM GROUP IN JOIN LIKE LIMIT NOT NULL ' +
    'OFFSET OR ORDER SELECT TOP TRUE UDF UNDEFINED VALUE WHERE').split(' '),
);

const TOKEN = new RegExp(
  [
    /\s+|--[^\n]*/,
    /(?<number>0x[0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/,
    /(?<string>'(?:[^'\\]|\\[^])*'|"(?:[^"\\]|\\[^])*")/,
    /(?<param>@[A-Za-z_]\w*)/,
    /(?<name>[A-Za-z_]\w*)/,
    /(?<op>>>>|<<|>>|<=|>=|<>|!=|\?\?|\|\||[-+*/%&|^~=<>()[\]{},.:?])/,
  ]
    .map((part) => part.source)
    .join('|'),
  'y',
);

const ESCAPES = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

function unquote(text) {
  return text.slice(1, -1).replace(/\\(u[0-9a-fA-F]{4}|[^])/g, (_, escape) =>
    escape.length > 1 ? String.fromCharCode(parseInt(escape.slice(1), 16)) : (ESCAPES[escape] ?? escape),
  );
}

function tokens(sql) {
  const found = [];
  TOKEN.lastIndex = 0;
  for (let at = 0; at < sql.length; at = TOKEN.lastIndex) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(sql);
    if (!match) throw badRequest(`Syntax error in the query near ${JSON.stringify(sql.slice(at, at + 20))}.`);
    for (const [type, text] of Object.entries(match.groups)) {
      if (text !== undefined) found.push({ type, text, at, word: type === 'name' ? text.toUpperCase() : null });
    }
  }
  found.push({ type: 'end', text: 'the end', at: sql.length, word: null });
  return found;
}

// Operators from loose to tight; all of a level group from the left.
const BINARY_LEVELS = [['|'], ['^'], ['&'], ['<<', '>>', '>>>'], ['+', '-', '||'], ['*', '/', '%']];
const COMPARISONS = new Set(['=', '!=', '<>', '<', '<=', '>', '>=']);

/**
 * Reads Cosmos DB's SQL into a tree of plain objects.
 *
 * The package's own parser takes time exponential in the depth of parentheses (seconds at five
 * levels) and knows no DISTINCT, GROUP BY, OFFSET, NOT IN or LIKE, so it is not used.
 */
class Parser {
  constructor(sql) {
    if (typeof sql !== 'string' || sql.trim() === '') throw badRequest('The query must be a non-empty string.');
    if (sql.length > MAX_LENGTH) throw badRequest(`The query is longer than ${MAX_LENGTH} characters.`);
    this.tokens = tokens(sql);
    this.index = 0;
    this.depth = 0;
  }

  get token() {
    return this.tokens[this.index];
  }

  fail(expected) {
    const { text, at } = this.token;
    throw badRequest(`Syntax error in the query: expected ${expected} but found '${text}' at ${at}.`);
  }

  take(text) {
    if ((this.token.type !== 'op' || this.token.text !== text) && this.token.word !== text) return false;
    this.index += 1;
    return true;
  }

  expect(text) {
    if (!this.take(text)) this.fail(`'${text}'`);
  }

  nextIs(text) {
    const next = this.tokens[this.index + 1];
    return next !== undefined && (next.text === text || next.word === text);
  }

  name(what) {
    const { type, text, word } = this.token;
    if (type !== 'name' || RESERVED.has(word)) this.fail(what);
    this.index += 1;
    return text;
  }

  list(read, end) {
    const items = [];
    if (end && this.take(end)) return items;
    do items.push(read()); while (this.take(','));
    if (end) this.expect(end);
    return items;
  }

  nested(read) {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw badRequest(`The query nests deeper than ${MAX_DEPTH} levels.`);
    const result = read();
    this.depth -= 1;
    return result;
  }

  // Clauses

  query() {
    const query = this.select(true);
    if (this.token.type !== 'end') this.fail('the end of the query');
    return query;
  }

  select(outermost = false) {
    this.expect('SELECT');
    const query = { distinct: this.take('DISTINCT'), top: null, groupBy: [], orderBy: [], offset: null, limit: null };
    if (this.take('TOP')) query.top = this.count();
    query.select = this.selection();
    query.from = this.take('FROM') ? this.sources() : [];
    query.where = this.take('WHERE') ? this.expression() : null;
    if (!outermost) return query;
    if (this.take('GROUP')) {
      this.expect('BY');
      query.groupBy = this.list(() => this.expression());
    }
    if (this.take('ORDER')) {
      this.expect('BY');
      query.orderBy = this.list(() => this.sortKey());
    }
    if (this.take('OFFSET')) {
      query.offset = this.count();
      this.expect('LIMIT');
      query.limit = this.count();
    }
    return query;
  }

  count() {
    const { type, text } = this.token;
    if (type !== 'number' && type !== 'param') this.fail('a number or a parameter');
    this.index += 1;
    return type === 'param' ? { type: 'param', name: text } : { type: 'constant', value: Number(text) };
  }

  selection() {
    if (this.take('*')) return { all: true };
    if (this.take('VALUE')) return { value: this.expression() };
    let unnamed = 0;
    const properties = this.list(() => {
      const value = this.expression();
      let name;
      if (this.take('AS')) name = this.name('an alias');
      else if (this.token.type === 'name' && !RESERVED.has(this.token.word)) name = this.name('an alias');
      else if (value.type === 'identifier') name = value.name;
      else if (value.type === 'member' && value.key.type === 'constant') name = String(value.key.value);
      else name = `$${(unnamed += 1)}`;
      return { name, value };
    });
    return { properties };
  }

  sources() {
    const sources = [this.source()];
    while (this.take('JOIN')) sources.push(this.source());
    return sources;
  }

  source() {
    if (this.token.type === 'name' && this.nextIs('IN')) {
      const alias = this.name('an alias');
      this.expect('IN');
      return { alias, iterate: true, from: this.collection() };
    }
    const from = this.collection();
    const named = this.take('AS') || (this.token.type === 'name' && !RESERVED.has(this.token.word));
    let alias = null;
    if (named) alias = this.name('an alias');
    else if (from.type === 'identifier') alias = from.name;
    else if (from.type === 'member') alias = String(from.key.value);
    return { alias, iterate: false, from };
  }

  collection() {
    if (this.take('(')) return this.subquery('rows');
    return this.members({ type: 'identifier', name: this.name('a source') });
  }

  subquery(kind) {
    const query = this.nested(() => this.select());
    this.expect(')');
    return { type: 'subquery', kind, query };
  }

  sortKey() {
    const value = this.members({ type: 'identifier', name: this.name('a property') });
    if (value.type !== 'member') this.fail('a property such as c.name');
    const descending = this.take('DESC');
    if (!descending) this.take('ASC');
    return { value, descending };
  }

  // Expressions

  expression() {
    return this.nested(() => {
      const test = this.coalesce();
      if (!this.take('?')) return test;
      const yes = this.expression();
      this.expect(':');
      return { type: 'conditional', test, yes, no: this.expression() };
    });
  }

  coalesce() {
    let left = this.or();
    while (this.take('??')) left = { type: 'binary', operator: '??', left, right: this.or() };
    return left;
  }

  or() {
    let left = this.and();
    while (this.take('OR')) left = { type: 'binary', operator: 'OR', left, right: this.and() };
    return left;
  }

  and() {
    let left = this.not();
    while (this.take('AND')) left = { type: 'binary', operator: 'AND', left, right: this.not() };
    return left;
  }

  not() {
    return this.take('NOT')
      ? { type: 'unary', operator: 'NOT', argument: this.nested(() => this.not()) }
      : this.comparison();
  }

  comparison() {
    let left = this.binary(0);
    for (;;) {
      const { type, text } = this.token;
      if (type === 'op' && COMPARISONS.has(text)) {
        this.index += 1;
        left = { type: 'binary', operator: text === '<>' ? '!=' : text, left, right: this.binary(0) };
        continue;
      }
      const negated = this.token.word === 'NOT' && this.take('NOT');
      const test = this.membership(left);
      if (!test) return negated ? this.fail("'IN', 'BETWEEN' or 'LIKE'") : left;
      left = negated ? { type: 'unary', operator: 'NOT', argument: test } : test;
    }
  }

  membership(value) {
    if (this.take('IN')) {
      this.expect('(');
      return { type: 'in', value, list: this.list(() => this.expression(), ')') };
    }
    if (this.take('BETWEEN')) {
      const low = this.binary(0);
      this.expect('AND');
      return { type: 'between', value, low, high: this.binary(0) };
    }
    if (this.take('LIKE')) return { type: 'like', value, pattern: this.binary(0) };
    return null;
  }

  binary(level) {
    if (level === BINARY_LEVELS.length) return this.unary();
    let left = this.binary(level + 1);
    while (this.token.type === 'op' && BINARY_LEVELS[level].includes(this.token.text)) {
      const operator = this.token.text;
      this.index += 1;
      left = { type: 'binary', operator, left, right: this.binary(level + 1) };
    }
    return left;
  }

  unary() {
    for (const operator of ['-', '+', '~']) {
      if (this.take(operator)) return { type: 'unary', operator, argument: this.nested(() => this.unary()) };
    }
    return this.members(this.primary());
  }

  members(object) {
    let value = object;
    for (;;) {
      if (this.take('.')) {
        value = { type: 'member', object: value, key: { type: 'constant', value: this.name('a property') } };
      } else if (this.take('[')) {
        value = { type: 'member', object: value, key: this.expression() };
        this.expect(']');
      } else {
        return value;
      }
    }
  }

  primary() {
    const { type, text, word } = this.token;
    if (type === 'op') return this.bracketed();
    this.index += 1;
    if (type === 'number') return { type: 'constant', value: Number(text) };
    if (type === 'string') return { type: 'constant', value: unquote(text) };
    if (type === 'param') return { type: 'param', name: text };
    if (word === 'TRUE' || word === 'FALSE') return { type: 'constant', value: word === 'TRUE' };
    if (word === 'NULL') return { type: 'constant', value: null };
    if (word === 'UNDEFINED') return { type: 'constant', value: undefined };
    if ((word === 'EXISTS' || word === 'ARRAY') && this.take('(')) return this.subquery(word.toLowerCase());
    if (type === 'name' && !RESERVED.has(word)) {
      if (!this.take('(')) return { type: 'identifier', name: text };
      return { type: 'call', name: word, arguments: this.list(() => this.expression(), ')') };
    }
    this.index -= 1;
    return this.fail('an expression');
  }

  bracketed() {
    if (this.take('[')) return { type: 'array', elements: this.list(() => this.expression(), ']') };
    if (this.take('{')) return { type: 'object', properties: this.list(() => this.property(), '}') };
    if (!this.take('(')) this.fail('an expression');
    if (this.token.word === 'SELECT') return this.subquery('scalar');
    const value = this.expression();
    this.expect(')');
    return value;
  }

  property() {
    const { type, text } = this.token;
    if (type !== 'string' && type !== 'name') this.fail('a property name');
    this.index += 1;
    this.expect(':');
    return { name: type === 'string' ? unquote(text) : text, value: this.expression() };
  }
}

/** The tree of a whole query; raises 400 with the place of a syntax error. */
const parseQuery = (sql) => new Parser(sql).query();

module.exports = { parseQuery };
