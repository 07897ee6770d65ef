'use strict';

const { createRequire } = require('node:module');
const { badRequest } = require('./errors.cjs');

// The functions and the three-valued comparisons are those of the package's query engine.
const packageRequire = createRequire(require.resolve('@vercel/cosmosdb-server'));
const engine = packageRequire.resolve('@zeit/cosmosdb-query').replace(/index\.js$/, '');
const packageFunctions = require(`${engine}builtin-functions`);
const { AVG, COUNT, MAX, MIN, SUM } = require(`${engine}aggregate-functions`);
const operators = require(`${engine}helpers`);

const AGGREGATES = {
  COUNT,
  MAX,
  MIN,
  SUM,
  AVG: (values) => {
    const average = AVG(values);
    return Number.isNaN(average) ? undefined : average;
  },
};

/** A test of two strings; a third argument true makes it ignore case, which the package does not know. */
const textTest = (test) => (text, part, ignoreCase) => {
  if (typeof text !== 'string' || typeof part !== 'string') return undefined;
  return ignoreCase === true ? test(text.toLowerCase(), part.toLowerCase()) : test(text, part);
};

// A time as Cosmos DB wants it, and the names of its parts in the order they stand there.
const TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.\d{7}Z$/;
const TIME_PARTS = ['year yyyy yy', 'month mm m', 'day dd d', 'hour hh', 'minute mi n', 'second ss s'];

function dateTimePart(part, time) {
  if (typeof part !== 'string' || typeof time !== 'string') return undefined;
  const at = TIME_PARTS.findIndex((names) => names.split(' ').includes(part.toLowerCase()));
  const parts = TIME.exec(time);
  return at < 0 || parts === null || Number.isNaN(Date.parse(time)) ? undefined : Number(parts[at + 1]);
}

const FUNCTIONS = {
  ...packageFunctions,
  DATETIMEPART: dateTimePart,
  TRUNC: (number) => (typeof number === 'number' ? Math.trunc(number) : undefined),
  CONTAINS: textTest((text, part) => text.includes(part)),
  STARTSWITH: textTest((text, part) => text.startsWith(part)),
  ENDSWITH: textTest((text, part) => text.endsWith(part)),
};

// What is served, by the least and the most arguments; the package would check them when a function runs.
const ARGUMENTS = Object.fromEntries(
  [
    [1, 1, 'ABS ARRAY_LENGTH CEILING FLOOR IS_ARRAY IS_BOOL IS_DEFINED IS_NULL IS_NUMBER IS_OBJECT IS_PRIMITIVE'],
    [1, 1, 'IS_STRING LENGTH LOWER LTRIM REVERSE ROUND RTRIM TOSTRING TRIM TRUNC UPPER'],
    [2, 2, 'DATETIMEPART INDEX_OF LEFT RIGHT'],
    [2, 3, 'ARRAY_CONTAINS ARRAY_SLICE CONTAINS ENDSWITH REGEXMATCH STARTSWITH SUBSTRING'],
    [2, Infinity, 'ARRAY_CONCAT CONCAT'],
  ].flatMap(([least, most, names]) => names.split(' ').map((name) => [name, [least, most]])),
);

const isAggregate = (node) => node.type === 'call' && Object.hasOwn(AGGREGATES, node.name);

/** An own property or array element; what objects and arrays inherit in JavaScript is not data. */
function member(object, key) {
  if (object === null || typeof object !== 'object') return undefined;
  if (Array.isArray(object)) return Number.isInteger(key) ? object[key] : undefined;
  return typeof key === 'string' && Object.hasOwn(object, key) ? object[key] : undefined;
}

function likePattern(pattern) {
  const source = pattern.replace(/%|_|\[\^?[^\]]*\]|[^]/g, (part) => {
    if (part === '%') return '[^]*';
    if (part === '_') return '[^]';
    return part.length > 1 ? part : part.replace(/[.*+?^${}()|[\]\\\/]/, '\\$&');
  });
  return new RegExp(`^${source}$`);
}

const BINARY = {
  '=': operators.equal,
  '!=': operators.notEqual,
  AND: operators.and,
  OR: operators.or,
  '||': operators.concat,
  '??': (a, b) => (a === undefined ? b : a),
};

function binary(operator) {
  if (Object.hasOwn(BINARY, operator)) return BINARY[operator];
  if (/^[<>]=?$/.test(operator)) return (a, b) => operators.compare(operator, a, b);
  return (a, b) => {
    const result = operators.calculate(operator, a, b);
    return Number.isFinite(result) ? result : undefined;
  };
}

/**
 * Turns trees of the parser into functions of (scope, parameters), where a scope maps each alias
 * to its value. Undefined is Cosmos DB's undefined.
 */
class Compiler {
  /** `names` are the aliases in scope; `aggregates` collects what a grouped SELECT computes per group. */
  constructor(names, aggregates = null) {
    this.names = names;
    this.aggregates = aggregates;
  }

  compile(node) {
    return this[node.type](node);
  }

  constant({ value }) {
    return () => value;
  }

  param({ name }) {
    return (scope, parameters) => {
      if (!parameters.has(name)) throw badRequest(`The query names the parameter ${name}, which was not given.`);
      return parameters.get(name);
    };
  }

  identifier({ name }) {
    if (!this.names.has(name)) throw badRequest(`The name '${name}' could not be resolved: FROM does not define it.`);
    return (scope) => scope[name];
  }

  member({ object, key }) {
    const [of, at] = [this.compile(object), this.compile(key)];
    return (scope, parameters) => member(of(scope, parameters), at(scope, parameters));
  }

  array({ elements }) {
    const all = elements.map((element) => this.compile(element));
    return (scope, parameters) => all.map((element) => element(scope, parameters)).filter((v) => v !== undefined);
  }

  object({ properties }) {
    const all = properties.map(({ name, value }) => [name, this.compile(value)]);
    return (scope, parameters) => {
      const entries = all.map(([name, value]) => [name, value(scope, parameters)]);
      return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
    };
  }

  unary({ operator, argument }) {
    const value = this.compile(argument);
    if (operator === 'NOT') return (scope, parameters) => operators.not(value(scope, parameters));
    return (scope, parameters) => operators.calculateUnary(operator, value(scope, parameters));
  }

  binary(node) {
    // A chain of ANDs can be long: unrolled, it costs no depth of the stack.
    const chain = [];
    let first = node;
    for (; first.type === 'binary'; first = first.left) chain.push([binary(first.operator), this.compile(first.right)]);
    chain.reverse();
    const start = this.compile(first);
    return (scope, parameters) =>
      chain.reduce((left, [apply, right]) => apply(left, right(scope, parameters)), start(scope, parameters));
  }

  conditional({ test, yes, no }) {
    const [when, then, otherwise] = [test, yes, no].map((part) => this.compile(part));
    return (scope, parameters) => (when(scope, parameters) === true ? then : otherwise)(scope, parameters);
  }

  in({ value, list }) {
    const item = this.compile(value);
    const choices = list.map((choice) => this.compile(choice));
    return (scope, parameters) => {
      const sought = item(scope, parameters);
      if (sought === undefined) return undefined;
      return choices.some((choice) => operators.equal(sought, choice(scope, parameters)) === true);
    };
  }

  between({ value, low, high }) {
    const [item, from, to] = [value, low, high].map((part) => this.compile(part));
    return (scope, parameters) => {
      const sought = item(scope, parameters);
      return operators.and(
        operators.compare('>=', sought, from(scope, parameters)),
        operators.compare('<=', sought, to(scope, parameters)),
      );
    };
  }

  like({ value, pattern }) {
    const [text, like] = [this.compile(value), this.compile(pattern)];
    return (scope, parameters) => {
      const [subject, wanted] = [text(scope, parameters), like(scope, parameters)];
      if (typeof subject !== 'string' || typeof wanted !== 'string') return undefined;
      return likePattern(wanted).test(subject);
    };
  }

  call(node) {
    if (isAggregate(node)) return this.aggregate(node);
    if (!Object.hasOwn(ARGUMENTS, node.name)) throw badRequest(`'${node.name}' is not a function this emulator knows.`);
    const [least, most] = ARGUMENTS[node.name];
    if (node.arguments.length < least || node.arguments.length > most) {
      throw badRequest(`The function ${node.name} takes ${least} to ${most} arguments.`);
    }
    const call = FUNCTIONS[node.name];
    const values = node.arguments.map((argument) => this.compile(argument));
    return (scope, parameters) => {
      const given = values.map((value) => value(scope, parameters));
      try {
        return call(...given);
      } catch (error) {
        // The package checks patterns when the function runs.
        throw badRequest(`The function ${node.name} failed: ${error.message}.`);
      }
    };
  }

  aggregate({ name, arguments: given }) {
    if (this.aggregates === null) throw badRequest(`${name} belongs in the SELECT clause, and not inside another.`);
    if (given.length !== 1) throw badRequest(`${name} takes one argument.`);
    const slot = this.aggregates.length;
    this.aggregates.push({ apply: AGGREGATES[name], value: new Compiler(this.names).compile(given[0]) });
    return (scope) => scope.$aggregates[slot];
  }

  subquery({ kind, query }) {
    const { rows, project, grouped } = compileSelect(query, this.names);
    if (kind === 'scalar' && !grouped && query.from.some(({ iterate }) => iterate)) {
      throw badRequest('A scalar subquery cannot have more than one result: use ARRAY, EXISTS or an aggregate.');
    }
    const all = (scope, parameters) => project([...rows(scope, parameters)], parameters);
    if (kind === 'exists') return (scope, parameters) => all(scope, parameters).length > 0;
    if (kind === 'scalar') return (scope, parameters) => all(scope, parameters)[0];
    return all;
  }
}

/** The values one FROM source gives in a scope. */
function compileSource({ iterate, from }, names) {
  const value = new Compiler(names).compile(from);
  return (scope, parameters) => {
    const found = value(scope, parameters);
    if (iterate) return Array.isArray(found) ? found : [];
    return found === undefined ? [] : [found];
  };
}

function compileRows(query, outerNames, root) {
  const names = new Set(outerNames);
  const sources = [];
  for (const [index, source] of query.from.entries()) {
    const { alias, iterate, from } = source;
    const values = compileSource(source, index === 0 && root !== null ? new Set([...names, root]) : names);
    // `FROM c` gives c, which is in the scope.
    if (iterate || from.name !== alias) {
      if (names.has(alias)) throw badRequest(`The alias '${alias}' is specified more than once in FROM.`);
      sources.push({ alias, values });
    }
    if (alias !== null) names.add(alias);
  }
  const where = query.where && new Compiler(names).compile(query.where);
  const passes = (scope, parameters) => !where || where(scope, parameters) === true;
  function* expand(scope, parameters, depth) {
    if (depth === sources.length) {
      if (passes(scope, parameters)) yield scope;
      return;
    }
    const { alias, values } = sources[depth];
    for (const value of values(scope, parameters)) {
      yield* expand(alias === null ? scope : { ...scope, [alias]: value }, parameters, depth + 1);
    }
  }
  const rows = (scope, parameters) => {
    if (sources.length > 0) return expand(scope, parameters, 0);
    return passes(scope, parameters) ? [scope] : [];
  };
  return { names, rows };
}

/** Raise 400 for a property of an aggregating SELECT that differs among its rows. */
function checkGrouped(node) {
  if (isAggregate(node)) return;
  if (node.type === 'member' || node.type === 'identifier') {
    throw badRequest('A property in SELECT must be inside COUNT, SUM, MIN, MAX or AVG; GROUP BY is not served.');
  }
  for (const child of Object.values(node).flat()) {
    if (child !== null && typeof child === 'object') checkGrouped(child);
  }
}

const hasAggregate = (node) =>
  node !== null &&
  typeof node === 'object' &&
  node.type !== 'subquery' &&
  (isAggregate(node) || Object.values(node).flat().some(hasAggregate));

function compileSelection(select, names, query, aggregates) {
  const compiler = new Compiler(names, aggregates);
  if (select.all) {
    if (query.from.length !== 1) throw badRequest("'SELECT *' needs exactly one source in FROM.");
    return compiler.identifier({ name: query.from[0].alias });
  }
  if (select.value) return compiler.compile(select.value);
  return compiler.object(select);
}

/** Whether an aggregate is a part of another expression, which Cosmos DB takes in subqueries only. */
const composesAggregates = ({ value, properties }) =>
  (properties ?? [{ value }]).some((each) => hasAggregate(each.value) && !isAggregate(each.value));

/**
 * A SELECT as two functions: `rows(scope, parameters)` iterates the scopes that pass FROM and WHERE,
 * `project(rows, parameters)` makes the list of selected values. `grouped` says whether the second needs
 * all rows at once. `root` is the name that the first source, and it alone, may use for the item.
 */
function compileSelect(query, outerNames, root = null) {
  const { names, rows } = compileRows(query, outerNames, root);
  const grouped = hasAggregate(query.select);
  const aggregates = grouped ? [] : null;
  const selected = compileSelection(query.select, names, query, aggregates);
  if (grouped) checkGrouped(query.select);
  const project = (all, parameters) => {
    const found = grouped
      ? [selected({ $aggregates: aggregates.map(({ apply, value }) => apply(all.map((s) => value(s, parameters)))) })]
      : all.map((scope) => selected(scope, parameters));
    return found.filter((value) => value !== undefined);
  };
  return { names, rows, grouped, project };
}

module.exports = { Compiler, compileSelect, composesAggregates, isAggregate, member };
