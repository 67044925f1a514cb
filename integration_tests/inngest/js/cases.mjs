// The functions that every version and every mode of the SDK has to run alike.
import { NonRetriableError, RetryAfterError, add, count, counts } from "./sdk.mjs";

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
    await fetch(`${process.env.DEV_SERVER}/v1/runs/${runId}`, {
      method: "DELETE",
      headers: { Authorization: process.env.AUTHORIZATION },
    });
  });
  await step.run("after", () => count("cancelled-between", event.data.key));
});

add("ran-after-cancel", async ({ event }) => counts.get(`cancelled-between/${event.data.key}`) ?? 0);

for (const id of ["fan-one", "fan-two"]) {
  add(id, async ({ event, step }) => step.run("take", () => `${id}: ${event.data.number}`), {
    triggers: [{ event: "test/fan" }],
  });
}

add("cancellable", async ({ step }) => {
  await step.sleep("for long", "30d");
  return "slept";
}, { cancelOn: [{ event: "test/cancel", if: "async.data.key == event.data.key" }] });

add("waits-for-signal", async ({ step, event }) =>
  step.waitForSignal("signal", {
    signal: event.data.signal,
    timeout: "1d",
    onConflict: event.data.onConflict ?? "fail",
  }),
);

add("sends-signal", async ({ step, event }) => step.sendSignal("send", { signal: event.data.signal, data: { n: 7 } }));

add("batched", async ({ events }) => events.map(({ data }) => data.number), {
  batchEvents: { maxSize: 4, timeout: "60s" },
});

add("large", async ({ step }) => {
  const sizes = [];
  for (const number of [1, 2, 3, 4, 5]) {
    const text = await step.run(`part ${number}`, () => String(number).repeat(1_000_000));
    sizes.push(text.length, text[0]);
  }
  return sizes;
});

add("large-batch", async ({ events, step }) => {
  const sizes = await step.run("measure", () => events.map(({ data }) => data.text.length));
  await step.sleep("pause", "1h");
  return { sizes, again: events.length };
}, { batchEvents: { maxSize: 8, timeout: "60s" } });

add("fetches", async ({ step, event }) => {
  const response = await step.fetch(event.data.url, {
    method: event.data.method,
    headers: { "X-Asked-By": "a step" },
    body: event.data.body,
  });
  return { status: response.status, body: await response.text() };
}, { retries: 1 });

add("infers", async ({ step, event }) => {
  const model = step.ai.models.openai({ model: "small", apiKey: "a-key", baseUrl: event.data.url });
  const answer = await step.ai.infer("ask", { model, body: { messages: [{ role: "user", content: "snow ☃?" }] } });
  return answer.choices[0].message.content;
}, { retries: 1 });

add("infers-in-vain", async ({ step, event }) => {
  const model = step.ai.models.openai({ model: "small", apiKey: "a-key", baseUrl: event.data.url });
  try {
    await step.ai.infer("ask", { model, body: { messages: [] } });
  } catch (error) {
    return { name: error.name, message: error.message };
  }
}, { retries: 1 });
