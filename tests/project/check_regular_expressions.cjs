// Reads a JSON list of [source, flags] from standard input and prints what recheck finds in each.
"use strict";

const { checkSync } = require("recheck");

const expressions = JSON.parse(require("node:fs").readFileSync(0, "utf-8"));
// The seed is fixed and time never decides: the same expression has the same answer on any machine.
const parameters = { timeout: null, randomSeed: 1 };
const found = expressions.map(([source, flags]) => {
  const { status, complexity, attack, error } = checkSync(source, flags, parameters);
  return {
    status,
    summary: complexity?.summary ?? error?.kind ?? "",
    attack: attack?.pattern ?? "",
  };
});
process.stdout.write(JSON.stringify(found));
