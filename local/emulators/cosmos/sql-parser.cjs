'use strict';

const { badRequest } = require('./errors.cjs');

const MAX_LENGTH = 256 * 1024;
const MAX_DEPTH = 200;

// Cosmos DB reserves these: as a property they are written c["value"].
const RESERVED = new Set(
  ('AND ARRAY AS ASC BETWEEN BY CASE CAST CONVERT CROSS DESC DISTINCT ELSE END ESCAPE EXISTS FOR FROM GROUP HAVING IN ' +
    'INNER INSERT INTO IS JOIN LEFT LIKE LIMIT NOT OFFSET ON OR ORDER OUTER OVER RIGHT SELECT SET THEN TOP UDF UPDATE ' +
    'VALUE WHEN WHERE WITH').split(' '),
);
// In lower case only.
const CONSTANTS = new Map([['true', true], ['false', false], ['null', null], ['undefined', undefined]]);
const isReserved = ({ text, word }) => RESERVED.has(word) || CONSTANTS.has(text);

/** Whether a value may stand in c[ ]. */
const isKey = (value) => typeof value === 'string' || typeof value === 'number';

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
    this.sql = sql;
    this.tokens = tokens(sql);
    this.index = 0;
    this.depth = 0;
    this.keys = []; // parameters in [ ]
    this.openBetween = false; // whether what was read last ends with a BETWEEN outside parentheses
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

  get isName() {
    return this.token.type === 'name' && !isReserved(this.token);
  }

  name(what) {
    const { text } = this.token;
    if (!this.isName) this.fail(what);
    this.index += 1;
    return text;
  }

  /** What `read` reads, with its text. */
  withText(read) {
    const { at } = this.token;
    const value = read();
    const last = this.tokens[this.index - 1];
    return { value, text: this.sql.slice(at, last.at + last.text.length) };
  }

  /** Named values, of which each name may come once. */
  distinct(properties) {
    const seen = new Set();
    for (const { name } of properties) {
      if (seen.has(name)) throw badRequest(`The property name '${name}' is specified more than once.`);
      seen.add(name);
    }
    return properties;
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
    return { ...query, keys: this.keys };
  }

  select(outermost = false) {
    this.expect('SELECT');
    const query = { distinct: this.take('DISTINCT'), top: null, orderBy: [], offset: null, limit: null };
    if (this.take('TOP')) query.top = this.count();
    if (!outermost && (query.distinct || query.top)) throw badRequest('A subquery takes no DISTINCT and no TOP.');
    ({ value: query.select, text: query.selectText } = this.withText(() => this.selection()));
    ({ value: query.from, text: query.fromText } = this.withText(() => (this.take('FROM') ? this.sources() : [])));
    query.where = null;
    if (this.take('WHERE')) ({ value: query.where, text: query.whereText } = this.withText(() => this.expression()));
    if (!outermost) return query;
    if (this.take('ORDER')) {
      this.expect('BY');
      query.orderBy = this.list(() => this.sortKey());
    }
    if (this.take('OFFSET')) {
      if (query.top) throw badRequest('A TOP cannot be used with OFFSET and LIMIT.');
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
    if (this.take('VALUE')) return this.withText(() => this.expression());
    let unnamed = 0;
    const properties = this.list(() => {
      const { value, text } = this.withText(() => this.expression());
      let name;
      if (this.take('AS') || this.isName) name = this.name('an alias');
      else if (value.type === 'identifier') name = value.name;
      else if (value.type === 'member' && value.key.type === 'constant') name = String(value.key.value);
      else name = `$${(unnamed += 1)}`;
      return { name, value, text };
    });
    return { properties: this.distinct(properties) };
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
    const named = this.take('AS') || this.isName;
    let alias = null;
    if (named) alias = this.name('an alias');
    else if (from.type === 'identifier') alias = from.name;
    else if (from.type === 'member') alias = String(from.key.value);
    return { alias, iterate: false, from };
  }

  collection() {
    return this.members({ type: 'identifier', name: this.name('a source') });
  }

  subquery(kind) {
    const query = this.nested(() => this.select());
    this.expect(')');
    return { type: 'subquery', kind, query };
  }

  sortKey() {
    const key = this.withText(() => this.members({ type: 'identifier', name: this.name('a property') }));
    if (key.value.type !== 'member') this.fail('a property such as c.name');
    const descending = this.take('DESC');
    if (!descending) this.take('ASC');
    return { ...key, descending };
  }

  // Expressions

  expression() {
    const value = this.nested(() => this.conditional());
    this.openBetween = false;
    return value;
  }

  conditional() {
    let test = this.chain('OR');
    while (this.take('??')) test = { type: 'binary', operator: '??', left: test, right: this.chain('OR') };
    if (!this.take('?')) return test;
    const yes = this.expression();
    this.expect(':');
    return { type: 'conditional', test, yes, no: this.expression() };
  }

  /** A chain of OR, whose operands are chains of AND; Cosmos DB takes no BETWEEN in them without parentheses. */
  chain(operator) {
    const read = () => (operator === 'OR' ? this.chain('AND') : this.not());
    let left = read();
    while (this.token.word === operator && !this.openBetween) {
      this.index += 1;
      left = { type: 'binary', operator, left, right: read() };
      if (this.openBetween) throw badRequest(`Syntax error in the query: BETWEEN beside ${operator} needs parentheses.`);
    }
    return left;
  }

  not() {
    return this.take('NOT')
      ? { type: 'unary', operator: 'NOT', argument: this.nested(() => this.not()) }
      : this.comparison();
  }

  comparison() {
    let left = this.binary(0);
    while (this.token.type === 'op' && COMPARISONS.has(this.token.text)) {
      const { text } = this.token;
      this.index += 1;
      left = { type: 'binary', operator: text === '<>' ? '!=' : text, left, right: this.binary(0) };
    }
    const negated = this.take('NOT');
    const test = this.membership(left);
    if (!test) return negated ? this.fail("'IN', 'BETWEEN' or 'LIKE'") : left;
    return negated ? { type: 'unary', operator: 'NOT', argument: test } : test;
  }

  membership(value) {
    this.openBetween = false;
    if (this.take('IN')) {
      this.expect('(');
      const list = this.list(() => this.expression());
      this.expect(')');
      return { type: 'in', value, list };
    }
    if (this.take('BETWEEN')) {
      const low = this.binary(0);
      this.expect('AND');
      const high = this.binary(0);
      this.openBetween = true;
      return { type: 'between', value, low, high };
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
        value = { type: 'member', object: value, key: this.key() };
        this.expect(']');
      } else {
        return value;
      }
    }
  }

  key() {
    const key = this.expression();
    if (key.type === 'param') this.keys.push(key.name);
    else if (key.type !== 'constant' || !isKey(key.value)) this.fail('a string, a number or a parameter in [ ]');
    return key;
  }

  primary() {
    const { type, text, word } = this.token;
    if (type === 'op') return this.bracketed();
    this.index += 1;
    if (type === 'number') return { type: 'constant', value: Number(text) };
    if (type === 'string') return { type: 'constant', value: unquote(text) };
    if (type === 'param') return { type: 'param', name: text };
    if (type !== 'name') return this.unexpected();
    if (CONSTANTS.has(text)) return { type: 'constant', value: CONSTANTS.get(text) };
    if ((word === 'EXISTS' || word === 'ARRAY') && this.take('(')) return this.subquery(word.toLowerCase());
    const called = (!RESERVED.has(word) || word === 'LEFT' || word === 'RIGHT') && this.take('(');
    if (called) {
      const { value, text: inside } = this.withText(() => this.list(() => this.expression(), ')'));
      return { type: 'call', name: word, arguments: value, text: inside.slice(0, -1) };
    }
    return RESERVED.has(word) ? this.unexpected() : { type: 'identifier', name: text };
  }

  unexpected() {
    this.index -= 1;
    return this.fail('an expression');
  }

  bracketed() {
    if (this.take('[')) return { type: 'array', elements: this.list(() => this.expression(), ']') };
    if (this.take('{')) return { type: 'object', properties: this.distinct(this.list(() => this.property(), '}')) };
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

module.exports = { isKey, parseQuery };
