// Sends an event as npm's @azure/service-bus does by mistake; prints the message ids as JSON.
// Usage: node service_bus_senders.mjs CONNECTION_STRING QUEUE EVENT_AS_JSON
import { randomUUID } from "node:crypto";
import { ServiceBusClient } from "@azure/service-bus";

const [connection, queue, text] = process.argv.slice(2);
const event = JSON.parse(text);
const bodies = {
  right: { body: event },
  stringified: { body: text }, // the SDK makes JSON of it once more
  value: { bodyType: "value", body: event },
  nothing: { bodyType: "value", body: null },
  sequence: { bodyType: "sequence", body: [event] },
};
const client = new ServiceBusClient(connection);
const sender = client.createSender(queue);
const ids = {};
for (const [name, message] of Object.entries(bodies)) {
  ids[name] = randomUUID();
  const annotated = { ...message, properties: { messageId: ids[name] } };
  const plain = { ...message, messageId: ids[name] };
  await sender.sendMessages(message.bodyType ? annotated : plain);
}
await client.close();
console.log(JSON.stringify(ids));
