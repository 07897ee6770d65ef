// Parses KQL and binds it to tables, with Kusto's own language service.
// stdin: {"tables": {NAME: "(COLUMN: TYPE, ...)"}, "queries": [TEXT]}
// stdout: for each query {"faults": [TEXT], "members": [NAME], "columns": {NAME: TYPE}}, where members are
// what is read of the column `line`, and columns what the query returns.
"use strict";
require("@kusto/language-service-next/bridge.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.js");
const { readFileSync } = require("node:fs");

const { Syntax, Symbols, KustoCode, GlobalState } = globalThis.Kusto.Language;
const given = JSON.parse(readFileSync(0, "utf8"));

const tables = Object.entries(given.tables).map(
  ([name, schema]) => new Symbols.TableSymbol.$ctor7(name, schema, null),
);
const database = new Symbols.DatabaseSymbol.ctor("workspace", tables);
const globals = GlobalState.Default.WithDatabase(database);

function items(list) {
  return Array.from({ length: list.Count }, (_, index) => list.getItem(index));
}

// line.name, line["name"] and line['name'].
function member(node) {
  const isPath = node.Kind === Syntax.SyntaxKind.PathExpression;
  if (!isPath && node.Kind !== Syntax.SyntaxKind.ElementExpression) return null;
  if (node.Expression.ToString().trim() !== "line") return null;
  const selector = node.Selector.ToString().trim();
  return isPath ? selector : selector.replace(/^\[\s*['"]|['"]\s*\]$/g, "");
}

const answers = given.queries.map((query) => {
  const code = KustoCode.ParseAndAnalyze(query, globals);
  const members = new Set();
  Syntax.SyntaxElement.WalkNodes(code.Syntax, (node) => {
    const name = member(node);
    if (name !== null) members.add(name);
  });
  return {
    faults: items(code.GetDiagnostics()).map((fault) => `${fault.Message} (at ${fault.Start})`),
    members: [...members],
    columns: Object.fromEntries(
      items(code.ResultType?.Columns ?? { Count: 0 }).map((column) => [
        column.Name,
        column.Type.Name,
      ]),
    ),
  };
});
process.stdout.write(JSON.stringify(answers));
