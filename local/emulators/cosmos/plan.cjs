'use strict';

const { badRequest } = require('./errors.cjs');

// The client puts its own condition here: where to go on, or `true`.
const FILTER = '{documentdb-formattableorderbyquery-filter}';

// What each range answers for an aggregate, and what the client does with it.
const AGGREGATES = {
  AVG: ['Average', (of) => `{"item": {"sum": SUM(${of}), "count": COUNT(${of})}}`],
  COUNT: ['Count', (of) => `{"item": COUNT(${of})}`],
  MAX: ['Max', (of) => `{"item": MAX(${of}), "item2": {"max": MAX(${of}), "count": COUNT(${of})}}`],
  MIN: ['Min', (of) => `{"item": MIN(${of}), "item2": {"min": MIN(${of}), "count": COUNT(${of})}}`],
  SUM: ['Sum', (of) => `{"item": SUM(${of})}`],
};

/** The query for each range, empty where it is the one that the client has. */
function rewritten({ tree, rootName, grouped }, { top, offset, limit }) {
  const { select, selectText, fromText, whereText, orderBy, distinct } = tree;
  const where = whereText === undefined ? [] : [`(${whereText})`];
  const clauses = (conditions) => [fromText, ...(conditions.length > 0 ? [`WHERE ${conditions.join(' AND ')}`] : [])];
  if (grouped) {
    const { name, text } = select.value;
    return [`SELECT VALUE [${AGGREGATES[name][1](text)}]`, ...clauses(where)].join('\n');
  }
  const page = limit === undefined ? [] : [`OFFSET 0 LIMIT ${offset + limit}`];
  if (orderBy.length === 0) {
    if (page.length === 0 && !(distinct && top !== undefined)) return '';
    return [`SELECT ${distinct ? 'DISTINCT ' : ''}${selectText}`, ...clauses(where), ...page].join('\n');
  }
  const pairs = select.properties?.map(({ name, text }) => `${JSON.stringify(name)}: ${text}`).join(', ');
  const payload = select.all ? tree.from[0].alias : (select.text ?? `{${pairs}}`);
  const conditions = [...where, `(${FILTER})`, ...(select.value ? [`IS_DEFINED(${select.text})`] : [])];
  const first = top === undefined || distinct ? '' : `TOP ${top} `;
  const keys = orderBy.map(({ text }) => `{"item": ${text}}`).join(', ');
  return [
    `SELECT ${first}${rootName}._rid, [${keys}] AS orderByItems, ${payload} AS payload`,
    ...clauses(conditions),
    `ORDER BY ${orderBy.map(({ text, descending }) => `${text} ${descending ? 'DESC' : 'ASC'}`).join(', ')}`,
    ...page,
  ].join('\n');
}

function distinctType({ distinct, select, orderBy }) {
  if (!distinct) return 'None';
  return orderBy.length === 1 && select.text === orderBy[0].text ? 'Ordered' : 'Unordered';
}

/** The plan that the gateway answers for a query of `prepare` across `queryRanges`. */
function planOf(query, counts, queryRanges) {
  const { tree, grouped } = query;
  if (grouped && !tree.select.value) {
    throw badRequest('Across partitions, this emulator serves an aggregate as SELECT VALUE only.');
  }
  // One partition is within one range, which serves any query.
  const single = queryRanges.length === 1 && queryRanges[0].min === queryRanges[0].max;
  const orderBy = single ? [] : tree.orderBy;
  return {
    partitionedQueryExecutionInfoVersion: 2,
    queryInfo: {
      distinctType: single ? 'None' : distinctType(tree),
      ...(single ? {} : counts),
      orderBy: orderBy.map(({ descending }) => (descending ? 'Descending' : 'Ascending')),
      orderByExpressions: orderBy.map(({ text }) => text),
      groupByExpressions: [],
      groupByAliases: [],
      aggregates: grouped && !single ? [AGGREGATES[tree.select.value.name][0]] : [],
      groupByAliasToAggregateType: {},
      rewrittenQuery: single ? '' : rewritten(query, counts),
      hasSelectValue: tree.select.value !== undefined,
      hasNonStreamingOrderBy: false,
    },
    queryRanges,
  };
}

module.exports = { planOf };
