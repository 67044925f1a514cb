// An app on the npm SDK. The tests say which SDK, and how it is to serve, by SDK, MODE and the variables of sdk.mjs.
import express from "express";
import { client, connect, functions, isOld, serve } from "./sdk.mjs";
import "./cases.mjs";

const listeners = isOld ? {} : (await import("./cases4.mjs")).listeners;

const app = express();
app.use(express.json({ limit: "10mb" }));

// A server that steps make requests to.
let asked = [];
app.all("/upstream/:what/{*rest}", (request, response) => {
  const { method, headers, body, path } = request;
  asked.push({ method, path, askedBy: headers["x-asked-by"], authorization: headers.authorization, body });
  if (request.params.what === "fails") return response.status(500).json({ error: "no" });
  if (request.params.what === "recovers" && asked.length === 1) return response.destroy();
  if (request.params.what === "ai") {
    return response.json({ choices: [{ message: { content: `white, says ${body.model}` } }] });
  }
  return response.status(201).json({ path, body: body ?? null });
});
app.get("/asked", (_, response) => {
  response.json(asked);
  asked = [];
});

app.post("/realtime/:what", async (request, response) => {
  response.json(await listeners[request.params.what](request.body));
});

if (process.env.MODE !== "connect") {
  const streaming = process.env.STREAMING === "1" && (isOld ? "force" : true);
  app.use("/api/inngest", serve({ client, functions, streaming }));
}
const server = app.listen(0, "127.0.0.1", async () => {
  if (process.env.MODE === "connect") {
    // In a thread of its own, which is the default, the connection finds WebSockets from Node 22 on.
    const isolateExecution = Number(process.versions.node.split(".")[0]) >= 22;
    const connection = await connect({ apps: [{ client, functions }], instanceId: "node", isolateExecution });
    connection.closed.then(() => process.exit(0));
  }
  console.log(`serving on port ${server.address().port}`);
});
