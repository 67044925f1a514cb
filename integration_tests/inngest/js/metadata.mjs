// An app on the npm SDK whose runs are scored and annotated, from inside and from outside.
import express from "express";
import { experiment } from "inngest";
import { metadataMiddleware, scoreMiddleware } from "inngest/experimental";
import { Inngest, options, serve } from "./sdk.mjs";

const client = new Inngest({ ...options, middleware: [metadataMiddleware(), scoreMiddleware()] });
const functions = [];
const add = (id, body) => functions.push(client.createFunction({ id, triggers: [{ event: `test/${id}` }] }, body));

add("scored", async ({ step }) => {
  await step.run("judge", async () => {
    await client.score({ name: "accuracy", value: 0.5 });
    return "judged";
  });
  await step.score("by hand", { name: "speed", value: true });
  return "scored";
});

add("annotated", async ({ step, runId }) => {
  await step.run("work", () => "worked");
  await step.metadata("note").run(runId).set({ note: "seen" });
  return "annotated";
});

add("tried", async ({ group, step }) =>
  group.experiment("route", {
    variants: { old: () => step.run("old", () => "old"), new: () => step.run("new", () => "new") },
    select: experiment.fixed("new"),
  }),
);

const app = express();
app.use(express.json());
app.use("/api/inngest", serve({ client, functions }));
app.post("/score", async (request, response) => {
  try {
    await client.score(request.body);
    response.json({ ok: true });
  } catch (error) {
    response.json({ error: error.message });
  }
});
const server = app.listen(0, "127.0.0.1", () => console.log(`serving on port ${server.address().port}`));
