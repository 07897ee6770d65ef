'use strict';

const { compareValues } = require('./order.cjs');

const AT_OR_BEHIND = new Set(['=', '>', '>=']);
const AT_OR_BEFORE = new Set(['=', '<', '<=']);
const MIRRORED = { '=': '=', '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

/** The keys that lead from an item to the property a node names; no property's for any other node. */
function pathOf(node) {
  if (node.type === 'member') return [...pathOf(node.object), node.key.value];
  return node.type === 'identifier' ? [] : [null];
}

const names = (node, path) => JSON.stringify(pathOf(node)) === JSON.stringify(path);

/** Whether every way through a condition fixes the property at this path by an equality. */
function fixes(node, path) {
  if (node === null || node.type !== 'binary') return false;
  if (node.operator === 'AND') return fixes(node.left, path) || fixes(node.right, path);
  if (node.operator === 'OR') return fixes(node.left, path) && fixes(node.right, path);
  if (node.operator !== '=') return false;
  return [node.left, node.right].some((side) => names(side, path));
}

function constant(node, parameters) {
  if (node.type === 'param') return parameters.get(node.name);
  return node.type === 'constant' ? node.value : undefined;
}

function comparedWith({ operator, left, right }, path, operators, parameters) {
  if (operators.has(operator) && names(left, path)) return constant(right, parameters);
  if (operators.has(MIRRORED[operator]) && names(right, path)) return constant(left, parameters);
  return undefined;
}

/** A value that the property is not before (in this direction) wherever the condition holds, or undefined. */
function start(node, path, descending, parameters) {
  if (node === null || node.type !== 'binary') return undefined;
  const { operator } = node;
  if (operator !== 'AND' && operator !== 'OR') {
    return comparedWith(node, path, descending ? AT_OR_BEFORE : AT_OR_BEHIND, parameters);
  }
  const parts = [];
  let first = node;
  // A chain can be long: unrolled, it costs no depth of the stack.
  for (; first.type === 'binary' && first.operator === operator; first = first.left) parts.push(first.right);
  const starts = [first, ...parts].map((part) => start(part, path, descending, parameters));
  const known = starts.filter((value) => value !== undefined).sort((a, b) => compareValues(a, b, descending));
  if (operator === 'AND') return known.at(-1);
  return known.length === starts.length ? known[0] : undefined;
}

/**
 * Between which values of a sort key all items lie that pass a condition: {start, end}, both included,
 * undefined where the condition does not tell.
 */
function rangeOf(condition, { path, descending }, parameters) {
  return {
    start: start(condition, path, descending, parameters),
    end: start(condition, path, !descending, parameters),
  };
}

module.exports = { fixes, pathOf, rangeOf };
