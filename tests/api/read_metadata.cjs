// Reads a CSDL document from standard input with two readers and prints what each found.
"use strict";

const { xml2json } = require("odata-csdl");
const { parse } = require("@sap-ux/edmx-parser");

const text = require("node:fs").readFileSync(0, "utf-8");

const messages = [];
const json = xml2json(text, { messages, strict: true });
const kinds = { EntityType: [], ComplexType: [], EnumType: [] };
for (const [namespace, schema] of Object.entries(json)) {
  for (const [name, element] of Object.entries(schema)) {
    kinds[element.$Kind]?.push(`${namespace}.${name}`);
  }
}

const { schema } = parse(text);
const names = (elements) => elements.map(({ fullyQualifiedName }) => fullyQualifiedName);
process.stdout.write(
  JSON.stringify({
    messages,
    container: json.$EntityContainer,
    one: kinds,
    other: {
      EntityType: names(schema.entityTypes),
      ComplexType: names(schema.complexTypes),
      EnumType: names(schema.enumTypes),
    },
    calls: names(schema.actions).map((name) => name.replace(/\(.*/, "")),
  }),
);
