// Endpoints with steps, on the npm SDK: each answers by itself unless it meets something that takes time.
import { stream } from "inngest/experimental/durable-endpoints";
import { fetchWithStream } from "inngest/experimental/durable-endpoints/client";
import { NonRetriableError, step } from "inngest";
import { createEndpointServer, endpointAdapter } from "inngest/node";
import { Inngest, count, options } from "./sdk.mjs";

const client = new Inngest({ ...options, endpointAdapter });

const endpoints = {
  async "/none"() {
    return { steps: 0 };
  },

  async "/at-once"(request) {
    const name = new URL(request.url).searchParams.get("name");
    const first = await step.run("first", () => 1);
    const second = await step.run("second", () => ({ hello: name }));
    return { first, second };
  },

  async "/response"() {
    await step.run("only", () => 1);
    return new Response("teapot", { status: 418, headers: { "X-Made-Of": "china" } });
  },

  async "/sleeps"(request) {
    const key = new URL(request.url).searchParams.get("key");
    const before = await step.run("before", () => count(key, "before"));
    await step.sleep("a while", "2h");
    const after = await step.run("after", () => "awake");
    return { before, after };
  },

  async "/parallel"() {
    return Promise.all([step.run("a", () => "a"), step.run("b", () => "b"), step.sleep("c", "1h").then(() => "c")]);
  },

  async "/waits"(request) {
    const key = new URL(request.url).searchParams.get("key");
    const event = await step.waitForEvent("answer", {
      event: "test/endpoint-answer",
      timeout: "1d",
      if: `async.data.key == "${key}"`,
    });
    return { answer: event && event.data.answer };
  },

  async "/recovers"(request) {
    const key = new URL(request.url).searchParams.get("key");
    return step.run("flaky", () => {
      const tried = count(key, "flaky");
      if (tried < 3) throw new Error(`try ${tried}`);
      return { tried };
    });
  },

  async "/throws"() {
    await step.run("before", () => 1);
    throw new Error("thrown");
  },

  async "/hopeless"() {
    await step.run("before", () => 1);
    throw new NonRetriableError("hopeless");
  },

  async "/streams"(request) {
    stream.push("at first");
    await step.run("tell", () => stream.push("in a step"));
    if (new URL(request.url).searchParams.get("sleeps")) {
      await step.sleep("a while", "1h");
      await step.run("tell more", () => stream.push("after the sleep"));
    }
    return { told: true };
  },
};

const handlers = Object.fromEntries(
  Object.entries(endpoints).map(([path, handler]) => [path, client.endpoint(handler)]),
);

// Has the SDK's own client follow a stream, wherever it goes on, and tells what came.
const follow = async (request) => {
  const chunks = [];
  const runs = [];
  const response = await fetchWithStream(await request.text(), {
    onData: ({ data }) => chunks.push(data),
    onMetadata: ({ runId }) => runs.push(runId),
  });
  return Response.json({ chunks, runs, status: response.status, body: await response.text() });
};

// The requests that have come to endpoints, as the SDK leaves nothing of a body to read.
let asked = [];

const note = async (request) => {
  const { pathname, search } = new URL(request.url);
  const { method, headers } = request;
  asked.push({ method, path: pathname, query: search, type: headers.get("content-type"), body: await request.text() });
};

const takeAsked = async () => {
  const taken = asked;
  asked = [];
  return Response.json(taken);
};

const helpers = { "/follow": follow, "/asked": takeAsked };

const server = createEndpointServer(async (request) => {
  const { pathname } = new URL(request.url);
  if (helpers[pathname]) return helpers[pathname](request);
  await note(request.clone());
  return handlers[pathname](request);
});
server.listen(0, "127.0.0.1", () => console.log(`serving on port ${server.address().port}`));
