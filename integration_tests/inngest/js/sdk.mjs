// The npm SDK that the tests ask for, in one form for both of its major versions.
const name = process.env.SDK ?? "inngest";

export const isOld = name === "inngest3";
export const { Inngest, NonRetriableError, RetryAfterError } = await import(name);
export const { serve } = await import(`${name}/express`);
export const { connect } = await import(`${name}/connect`);

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

export const options = {
  id: process.env.APP_ID,
  checkpointing: process.env.CHECKPOINTING === "1",
  isDev: process.env.CLOUD !== "1",
  baseUrl: process.env.DEV_SERVER,
  logger: quiet,
};
export const client = new Inngest(options);

export const functions = [];

// Declares a function that the event `test/<id>` starts, unless it has triggers of its own.
export const add = (id, body, { triggers = [{ event: `test/${id}` }], ...options } = {}) => {
  const declared = isOld
    ? client.createFunction({ id, ...options }, triggers, body)
    : client.createFunction({ id, triggers, ...options }, body);
  functions.push(declared);
  return declared;
};

// How often each piece of code has run, by run: in memory, as nothing of it outlives a test.
export const counts = new Map();
export const count = (runId, what) => {
  const key = `${runId}/${what}`;
  counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts.get(key);
};
