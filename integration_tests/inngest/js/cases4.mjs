// What only the newer SDK has: messages to channels, and functions that a run defers.
import { createDefer } from "inngest/experimental";
import { channel, getSubscriptionToken, subscribe } from "inngest/realtime";
import { add, client, count, functions } from "./sdk.mjs";

const schema = { "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } };
const orders = channel({ name: (id) => `orders:${id}`, topics: { paid: { schema }, sent: { schema } } });

add("publishes", async ({ step, event, runId }) => {
  const told = await step.realtime.publish("tell", orders(event.data.id).paid, { amount: 5 });
  await client.realtime.publish(orders(event.data.id).sent, { runs: count(runId, "published") });
  return told;
});

const later = createDefer(client, { id: "later" }, async ({ event, parents, step }) =>
  step.run("work", () => ({ data: event.data, parent: parents[0].fnSlug })),
);
functions.push(later);

add("defers", async ({ defer, step, event }) => {
  defer("clean up", { function: later, data: { number: event.data.number } });
  const handle = defer("never", { function: later, data: { number: -1 } });
  await step.run("work", () => "worked");
  handle.abort();
  await step.sleep("pause", "1h");
  if (event.data.fails) throw new Error("after all");
  return "deferred";
}, { retries: 0 });

const heard = [];
let subscription;

// Lets a test have this SDK listen to a channel, and ask what it has heard.
export const listeners = {
  async listen({ channel, topics }) {
    heard.length = 0;
    const token = await getSubscriptionToken(client, { channel, topics });
    subscription = await subscribe({ ...token, app: client, onMessage: (message) => heard.push(message) });
    return {};
  },
  async heard() {
    return heard;
  },
  async unlisten() {
    await subscription.unsubscribe?.();
    subscription.close?.();
    return {};
  },
};
