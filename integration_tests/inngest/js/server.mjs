// An app on the npm SDK. The tests start it with APP_ID, CHECKPOINTING and INNGEST_DEV set.
import express from "express";
import { Inngest, NonRetriableError, RetryAfterError } from "inngest";
import { serve } from "inngest/express";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const client = new Inngest({
  id: process.env.APP_ID,
  checkpointing: process.env.CHECKPOINTING === "1",
  logger: quiet,
});

const functions = [];
const add = (id, body, options = {}) => {
  const declared = client.createFunction({ id, triggers: [{ event: `test/${id}` }], ...options }, body);
  functions.push(declared);
  return declared;
};

// How often each piece of code has run, by run: in memory, as nothing of it outlives a test.
const counts = new Map();
const count = (runId, what) => {
  const key = `${runId}/${what}`;
  counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts.get(key);
};

add("nothing", async () => {});

add("echo", async ({ event }) => event.data);

add("sequence", async ({ step, runId }) => {
  const first = await step.run("first", () => count(runId, "first"));
  const second = await step.run("second", () => first + count(runId, "second"));
  const third = await step.run("third", () => ({ list: [second, null, "ü ☃"] }));
  return { first, second, third };
});

add("null-step", async ({ step, runId }) => [await step.run("none", () => void count(runId, "none")), count(runId, "x") > 0]);

add("same-id", async ({ step }) => {
  const given = [];
  for (const number of [0, 1, 2]) given.push(await step.run("again", () => number));
  return given;
});

add("sleeps", async ({ step }) => {
  await step.sleep("a day", "1d");
  const between = await step.run("between", () => "awake");
  await step.sleep("an hour", 3_600_000);
  return between;
});

add("sleeps-until", async ({ step, event }) => {
  await step.sleepUntil("then", new Date(event.data.until));
  return "woken";
});

add("waits", async ({ step }) => {
  const found = await step.waitForEvent("answer", {
    event: "test/answer",
    timeout: "1d",
    if: "async.data.key == event.data.key",
  });
  return found && found.data;
});

add("parent", async ({ step, event }) =>
  step.invoke("call child", { function: child, data: { number: event.data.number } }),
);

const child = add("child", async ({ step, event }) => {
  if (event.data.number < 0) throw new NonRetriableError("negative");
  return step.run("double", () => event.data.number * 2);
});

add("parent-catches", async ({ step }) => {
  try {
    return await step.invoke("call child", { function: child, data: { number: -1 } });
  } catch (error) {
    return `caught: ${error.message}`;
  }
});

add("sends", async ({ step, event }) => {
  const { ids } = await step.sendEvent("tell", [
    { name: "test/told", data: { number: event.data.number } },
    { name: "test/nobody-listens" },
  ]);
  return ids.length;
});

add("told", async ({ event }) => event.data.number);

add("parallel", async ({ step, runId }) => {
  const before = await step.run("before", () => count(runId, "before"));
  const both = await Promise.all([
    step.run("a", () => count(runId, "a")),
    step.run("b", () => count(runId, "b")),
    step.sleep("c", "1h").then(() => "slept"),
  ]);
  const after = await step.run("after", () => count(runId, "after"));
  return [before, ...both, after];
});

add("branches", async ({ step }) => {
  const branch = async (name) => {
    const one = await step.run(`${name} 1`, () => `${name}1`);
    const two = await step.run(`${name} 2`, () => `${one}${name}2`);
    return two;
  };
  return Promise.all([branch("a"), branch("b")]);
});

add("race", async ({ step }) =>
  Promise.race([
    step.sleep("slow", "10d").then(() => "slow"),
    step.run("fast", () => "fast"),
  ]),
);

add("retried", async ({ step, runId }) => {
  const kept = await step.run("kept", () => count(runId, "kept"));
  const tries = await step.run("flaky", () => {
    const tried = count(runId, "flaky");
    if (tried < 3) throw new Error(`try ${tried}`);
    return tried;
  });
  return [kept, tries];
});

add("function-retried", async ({ attempt, maxAttempts }) => {
  if (attempt === 0) throw new Error("not yet");
  return [attempt, maxAttempts];
}, { retries: 1 });

add("retry-after", async ({ step, attempt }) =>
  step.run("late", () => {
    if (attempt === 0) throw new RetryAfterError("later", "1h");
    return attempt;
  }),
);

add("fatal", async ({ step }) =>
  step.run("never", () => {
    throw new NonRetriableError("hopeless");
  }),
);

add("step-error-caught", async ({ step }) => {
  try {
    await step.run("fails", () => {
      throw new TypeError("bad step");
    });
  } catch (error) {
    return step.run("cleanup", () => `after ${error.name}: ${error.message}`);
  }
}, { retries: 0 });

add("parallel-error", async ({ step }) => {
  const settled = await Promise.allSettled([
    step.run("good", () => 1),
    step.run("bad", () => {
      throw new Error("one of two");
    }),
  ]);
  return settled.map(({ status }) => status);
}, { retries: 1 });

add("mourned", async () => {
  throw new Error("lost");
}, {
  retries: 0,
  onFailure: async ({ error, event, step }) =>
    step.run("mourn", () => ({ error: error.message, of: event.data.function_id, data: event.data.event.data })),
});

add("unregistered-error", async () => {
  throw new Error("plain");
}, { retries: 0 });

add("cancelled-between", async ({ step, runId, event }) => {
  await step.run("before", () => 1);
  await step.run("cancels", async () => {
    await fetch(`${process.env.INNGEST_DEV}/v1/runs/${runId}`, { method: "DELETE" });
  });
  await step.run("after", () => count("cancelled-between", event.data.key));
});

add("ran-after-cancel", async ({ event }) => counts.get(`cancelled-between/${event.data.key}`) ?? 0);

const app = express();
app.use(express.json({ limit: "10mb" }));
app.use("/api/inngest", serve({ client, functions }));
const server = app.listen(0, "127.0.0.1", () => console.log(`serving on port ${server.address().port}`));
