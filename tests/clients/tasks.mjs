// The official TypeScript SDK client of 2025-11-25 and its tasks: node tasks.mjs SDK_FOLDER URL TOKEN TOOL ARGUMENTS
// Prints one JSON object with what it saw. What it is asked it accepts, with the first choice there is.
import { pathToFileURL } from "node:url";

const [folder, url, token, tool, given] = process.argv.slice(2);
const from = (path) => import(pathToFileURL(`${folder}/dist/esm/${path}`).href);
const { Client } = await from("client/index.js");
const { StreamableHTTPClientTransport } = await from("client/streamableHttp.js");
const { ElicitRequestSchema, CallToolResultSchema, TaskStatusNotificationSchema } = await from("types.js");

const client = new Client({ name: "typescript-sdk", version: "1.0.0" }, { capabilities: { elicitation: {} } });
const seen = { asked: [], statuses: [], told: [] };
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  seen.asked.push({ message: request.params.message, meta: request.params._meta });
  const content = {};
  for (const [name, schema] of Object.entries(request.params.requestedSchema.properties ?? {})) {
    content[name] = schema.oneOf ? schema.oneOf[0].const : schema.type === "boolean" ? true : "Alice";
  }
  return { action: "accept", content };
});
client.setNotificationHandler(TaskStatusNotificationSchema, (one) => void seen.told.push(one.params));

const headers = { Authorization: `Bearer ${token}` };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
seen.capability = client.getServerCapabilities().tasks;
const listed = (await client.listTools()).tools.find((one) => one.name === tool);
seen.support = listed.execution?.taskSupport;

const call = { name: tool, arguments: JSON.parse(given) };
const stream = client.experimental.tasks.callToolStream(call, CallToolResultSchema, { task: { ttl: 60000 } });
for await (const message of stream) {
  if (message.type === "taskCreated") seen.created = message.task;
  if (message.type === "taskStatus") seen.statuses.push(message.task.status);
  if (message.type === "result") seen.result = message.result;
  if (message.type === "error") seen.error = message.error.message;
}
seen.listed = (await client.experimental.tasks.listTasks()).tasks.map((task) => task.taskId);
seen.again = await client.experimental.tasks.getTaskResult(seen.created.taskId, CallToolResultSchema);

const other = client.experimental.tasks.callToolStream(call, CallToolResultSchema, { task: {} });
const { value: begun } = await other.next();
seen.cancelled = await client.experimental.tasks.cancelTask(begun.task.taskId).catch((error) => ({ error: error.code }));
console.log(JSON.stringify(seen));
await client.close();
