// What npm's @azure/service-bus gets from the emulator: one line of JSON for each scenario.
// Usage: node service_bus_npm.mjs CONNECTION_STRING IDLE_MILLISECONDS
import { ServiceBusClient } from "@azure/service-bus";

const [connection, idle] = process.argv.slice(2);
const once = { retryOptions: { maxRetries: 0 } };
const client = new ServiceBusClient(connection, once);
const soon = (milliseconds) => new Date(Date.now() + milliseconds);
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function take(receiver, count = 1) {
  const found = [];
  while (found.length < count) {
    const more = await receiver.receiveMessages(count - found.length, { maxWaitTimeInMs: 10_000 });
    if (more.length === 0) throw new Error(`${found.length} of ${count} messages came`);
    found.push(...more);
  }
  return found;
}

async function refusal(action) {
  const began = Date.now();
  try {
    await action();
  } catch (error) {
    return { code: error.code, text: error.message, quick: Date.now() - began < 10_000 };
  }
  return "not refused";
}

const scenarios = {
  async complete(sender, receiver) {
    await sender.sendMessages({ body: { a: 1 }, subject: "s", applicationProperties: { n: 7 } });
    const [message] = await take(receiver);
    await receiver.completeMessage(message);
    return {
      body: message.body,
      subject: message.subject,
      properties: message.applicationProperties,
      messageId: message.messageId,
      deliveryCount: message.deliveryCount,
      left: (await receiver.peekMessages(9)).length,
    };
  },
  async abandon(sender, receiver) {
    await sender.sendMessages({ body: "a" });
    const [first] = await take(receiver);
    await receiver.abandonMessage(first, { why: "later" });
    const [again] = await take(receiver);
    await receiver.completeMessage(again);
    return [again.deliveryCount, again.applicationProperties];
  },
  async deadLetter(sender, receiver, queue) {
    await sender.sendMessages({ body: "a" });
    const [message] = await take(receiver);
    const why = { deadLetterReason: "R", deadLetterErrorDescription: "D", more: "m" };
    await receiver.deadLetterMessage(message, why);
    const dead = client.createReceiver(queue, { subQueueType: "deadLetter" });
    const [found] = await take(dead);
    await dead.completeMessage(found);
    return [found.deadLetterReason, found.deadLetterErrorDescription, found.applicationProperties];
  },
  async defer(sender, receiver) {
    await sender.sendMessages({ body: "a" });
    const [message] = await take(receiver);
    await receiver.deferMessage(message);
    const [kept] = await receiver.peekMessages(1);
    const [found] = await receiver.receiveDeferredMessages(message.sequenceNumber);
    await receiver.completeMessage(found);
    return [kept.state, found.body, (await receiver.peekMessages(1)).length];
  },
  async batch(sender, receiver) {
    const batch = await sender.createMessageBatch();
    for (const body of ["a", "b", "c"]) batch.tryAddMessage({ body });
    await sender.sendMessages(batch);
    const found = await take(receiver, 3);
    for (const message of found) await receiver.completeMessage(message);
    return [batch.maxSizeInBytes, found.map((message) => message.body)];
  },
  async schedule(sender, receiver) {
    const [kept] = await sender.scheduleMessages({ body: "kept" }, soon(500));
    const [gone] = await sender.scheduleMessages({ body: "cancelled" }, soon(60_000));
    await sender.cancelScheduledMessages(gone);
    const [message] = await take(receiver);
    await receiver.completeMessage(message);
    return [message.body, kept.compare(gone), (await receiver.peekMessages(9)).length];
  },
  async renew(sender, receiver) {
    await sender.sendMessages({ body: "a" });
    const [message] = await take(receiver);
    const before = message.lockedUntilUtc.getTime();
    await sleep(50);
    const after = (await receiver.renewMessageLock(message)).getTime();
    await receiver.completeMessage(message);
    return after > before;
  },
  async receiveAndDelete(sender, receiver, queue) {
    await sender.sendMessages({ body: "a" });
    const taking = client.createReceiver(queue, { receiveMode: "receiveAndDelete" });
    const [message] = await take(taking);
    return [message.body, (await receiver.peekMessages(1)).length];
  },
  async subscribe(sender, receiver, queue) {
    // With lock renewal on, which cannot be stopped for a message without an id.
    const found = [];
    const errors = [];
    let enough;
    const all = new Promise((done) => (enough = done));
    const watching = client.createReceiver(queue).subscribe({
      processMessage: async (message) => found.push(message.body) === 3 && enough(),
      processError: async (about) => errors.push(about.error.message),
    });
    await sender.sendMessages([{ body: "a" }, { body: "b" }]);
    await sleep(Number(idle) * 1.5); // its link is detached meanwhile, and opened again
    await sender.sendMessages({ body: "c" });
    await all;
    await watching.close();
    return [found, errors.filter((text) => !text.includes("IdleTimerExpired"))];
  },
  async idle(sender, receiver) {
    await sender.sendMessages({ body: "a" });
    const [held] = await take(receiver);
    await sleep(Number(idle) * 1.5);
    await sender.sendMessages({ body: "b" });
    await receiver.completeMessage(held);
    const [message] = await take(receiver);
    await receiver.completeMessage(message);
    return [held.body, message.body, (await receiver.peekMessages(9)).length];
  },
  tooLarge: (sender) => refusal(() => sender.sendMessages({ body: "x".repeat(300_000) })),
  tooLargeScheduled: (sender) =>
    refusal(() => sender.scheduleMessages({ body: "x".repeat(300_000) }, soon(60_000))),
  farTooLargeScheduled: (sender) =>
    refusal(() => sender.scheduleMessages({ body: "x".repeat(1_300_000) }, soon(60_000))),
  properties: (sender) =>
    refusal(() => sender.sendMessages({ body: "b", applicationProperties: { a: "x".repeat(66_000) } })),
  deadLetterQueue: (sender, receiver, queue) =>
    refusal(() => client.createSender(`${queue}/$DeadLetterQueue`).sendMessages({ body: "x" })),
  session: (sender, receiver, queue) => refusal(() => client.acceptNextSession(queue)),
  topic: () => refusal(() => take(client.createReceiver("topic", "subscription"))),
  async wrongKey(sender, receiver, queue) {
    const wrong = new ServiceBusClient(connection.replace("SAS_KEY_VALUE", "x"), once);
    return refusal(() => wrong.createSender(queue).sendMessages({ body: "x" }));
  },
};

for (const [name, run] of Object.entries(scenarios)) {
  const sender = client.createSender(name);
  const receiver = client.createReceiver(name);
  let result;
  try {
    result = await run(sender, receiver, name);
  } catch (error) {
    result = `failed: ${error.message}`;
  }
  console.log(JSON.stringify({ name, result }));
}
process.exit(0); // without waiting for every link to close
