// What npm's @azure/cosmos gets from the emulator: one line of JSON for each scenario.
// Usage: node cosmos_npm.mjs ENDPOINT KEY
import { CosmosClient } from "@azure/cosmos";

const [endpoint, key] = process.argv.slice(2);
// Without a level of its own the SDK sends no session tokens.
const options = {
  endpoint,
  key,
  consistencyLevel: "Session",
  connectionPolicy: { enableEndpointDiscovery: false },
};
const client = new CosmosClient(options);
const ITEMS = 12;
const MEBIBYTE = 1024 * 1024;

async function refusal(action) {
  try {
    return (await action()).statusCode;
  } catch (error) {
    return error.code;
  }
}

const scenarios = {
  patchOfOperationsAlone: async (container) => {
    const { resource } = await container.item("i1").patch([{ op: "set", path: "/x", value: 1 }]);
    return resource.x;
  },
  patchWithCondition: async (container) => {
    const operations = [{ op: "incr", path: "/n", value: 100 }];
    const patch = (n) => container.item("i2").patch({ condition: `FROM c WHERE c.n = ${n}`, operations });
    return [await refusal(() => patch(3)), await refusal(() => patch(2)), await refusal(() => patch(2))];
  },
  batch: async (container) => {
    const operations = [
      { operationType: "Create", resourceBody: { id: "b", n: 1 } },
      { operationType: "Patch", id: "b", resourceBody: { operations: [{ op: "incr", path: "/n", value: 2 }] } },
    ];
    return (await container.items.batch(operations, "b")).result.map(({ statusCode }) => statusCode);
  },
  refusals: async (container) => ({
    missing: await refusal(() => container.item("none").read()),
    twice: await refusal(() => container.items.create({ id: "i1" })),
    tooLarge: await refusal(() => container.items.create({ id: "large", text: "x".repeat(2 * MEBIBYTE) })),
    changed: await refusal(() =>
      container.item("i1").replace({ id: "i1" }, { accessCondition: { type: "IfMatch", condition: '"0"' } }),
    ),
  }),
  readsWhatItWrote: async (container) => {
    await fetch(`${endpoint}/_emulator/lag`, { method: "POST" });
    try {
      const { resource } = await container.item("i3").patch([{ op: "set", path: "/n", value: 300 }]);
      const other = new CosmosClient(options).database("d").container(container.id);
      const own = await container.item("i3").read();
      const lagging = await other.item("i3", "i3").read();
      return [resource.n, own.resource.n, lagging.resource.n];
    } finally {
      await fetch(`${endpoint}/_emulator/lag`, { method: "DELETE" });
    }
  },
};

// Across both ranges, so that the SDK has to request a plan.
const QUERIES = {
  ordered: "SELECT VALUE c.n FROM c WHERE c.n < 5 ORDER BY c.n DESC",
  top: "SELECT TOP 3 VALUE c.id FROM c ORDER BY c.n",
  offset: "SELECT VALUE c.id FROM c ORDER BY c.n OFFSET 2 LIMIT 3",
  count: "SELECT VALUE COUNT(1) FROM c",
  average: "SELECT VALUE AVG(c.n) FROM c",
  distinct: "SELECT DISTINCT VALUE c.kind FROM c",
  plain: "SELECT VALUE c.id FROM c WHERE c.kind = 'odd'",
};
for (const [name, query] of Object.entries(QUERIES)) {
  scenarios[name] = async (container) => {
    const { resources } = await container.items.query(query).fetchAll();
    return name === "distinct" || name === "plain" ? resources.sort() : resources;
  };
}
scenarios.pages = async (container) => {
  const rows = container.items.query("SELECT VALUE c.id FROM c ORDER BY c.n", { maxItemCount: 5 });
  const pages = [];
  while (rows.hasMoreResults()) pages.push((await rows.fetchNext()).resources.length);
  return pages;
};

const { database } = await client.databases.createIfNotExists({ id: "d" });
for (const [name, scenario] of Object.entries(scenarios)) {
  const { container } = await database.containers.create({ id: name, partitionKey: { paths: ["/id"] } });
  for (let n = 0; n < ITEMS; n += 1) {
    await container.items.create({ id: `i${n}`, n, kind: n % 2 ? "odd" : "even" });
  }
  let result;
  try {
    result = await scenario({
      id: container.id,
      items: container.items,
      item: (id) => container.item(id, id),
    });
  } catch (error) {
    result = `${error.stack}`;
  }
  process.stdout.write(`${JSON.stringify({ name, result })}\n`);
}
