'use strict';

const { compareValues } = require('./order.cjs');

const AT_OR_BEHIND = new Set(['=', '>', '>=']);
const AT_OR_BEFORE = new Set(['=', '<', '<=']);
const MIRRORED = { '=': '=', '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

/** The keys that lead from the item, which is called `root`, to what a node names; no property's for other nodes. */
function pathOf(node, root) {
  if (node.type === 'member') return [...pathOf(node.object, root), node.key.value];
  return node.type === 'identifier' && node.name === root ? [] : [null];
}

const names = (node, { root, path }) => JSON.stringify(pathOf(node, root)) === JSON.stringify(path);

/** The operands of a chain of one operator; a chain can be long: unrolled, it costs no depth of the stack. */
function operands(chain) {
  const { operator } = chain;
  const parts = [];
  let first = chain;
  for (; first.type === 'binary' && first.operator === operator; first = first.left) parts.push(first.right);
  return [first, ...parts];
}

function constant(node, parameters) {
  if (node.type === 'param') return parameters.get(node.name);
  return node.type === 'constant' ? node.value : undefined;
}

/** The values of which the property {root, path} has one wherever the condition holds, or null. */
function valuesOf(node, property, parameters) {
  if (node?.type === 'in' && names(node.value, property)) {
    const values = node.list.map((each) => constant(each, parameters));
    return values.includes(undefined) ? null : values;
  }
  if (node?.type !== 'binary') return null;
  if (node.operator === 'AND' || node.operator === 'OR') {
    const found = operands(node).map((part) => valuesOf(part, property, parameters));
    if (node.operator === 'OR') return found.includes(null) ? null : found.flat();
    const [first = null, ...others] = found.filter((values) => values !== null);
    return first && first.filter((value) => others.every((values) => values.includes(value)));
  }
  const value = comparedWith(node, property, new Set(['=']), parameters);
  return value === undefined ? null : [value];
}

function comparedWith({ operator, left, right }, property, operators, parameters) {
  if (operators.has(operator) && names(left, property)) return constant(right, parameters);
  if (operators.has(MIRRORED[operator]) && names(right, property)) return constant(left, parameters);
  return undefined;
}

/** A value that the property is not before (in this direction) wherever the condition holds, or undefined. */
function start(node, property, descending, parameters) {
  if (node === null || node.type !== 'binary') return undefined;
  const { operator } = node;
  if (operator !== 'AND' && operator !== 'OR') {
    return comparedWith(node, property, descending ? AT_OR_BEFORE : AT_OR_BEHIND, parameters);
  }
  const starts = operands(node).map((part) => start(part, property, descending, parameters));
  const known = starts.filter((value) => value !== undefined).sort((a, b) => compareValues(a, b, descending));
  if (operator === 'AND') return known.at(-1);
  return known.length === starts.length ? known[0] : undefined;
}

/**
 * Between which values of a sort key all items lie that pass a condition: {start, end}, both included,
 * undefined where the condition has no bound.
 */
function rangeOf(condition, key, parameters) {
  return {
    start: start(condition, key, key.descending, parameters),
    end: start(condition, key, !key.descending, parameters),
  };
}

module.exports = { pathOf, rangeOf, valuesOf };
