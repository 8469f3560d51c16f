// The official TypeScript SDK client: node typescript.mjs PACKAGE_FOLDER URL TOKEN MODE
// MODE is legacy, auto or a revision. Prints one JSON object with what it saw.
import { pathToFileURL } from "node:url";

const [folder, url, token, mode] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } = await import(pathToFileURL(`${folder}/dist/index.mjs`).href);

const negotiation = ["legacy", "auto"].includes(mode) ? mode : { pin: mode };
const client = new Client(
  { name: "typescript-sdk", version: "1.0.0" },
  { capabilities: { elicitation: {} }, versionNegotiation: { mode: negotiation } },
);
const asked = [];
client.setRequestHandler("elicitation/create", async (request) => {
  asked.push(request.params.message);
  return { action: "accept", content: { confirm: true } };
});

const headers = { Authorization: `Bearer ${token}` };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));

const seen = { asked };
seen.tools = (await client.listTools()).tools.map((tool) => tool.name);
const added = await client.callTool({ name: "notes_add", arguments: { title: "From TypeScript" } });
seen.added = added.structuredContent;
const time = { time: "2026-11-21T15:30", source: "Europe/Vienna", target: "UTC" };
seen.converted = (await client.callTool({ name: "clock_convert", arguments: time })).structuredContent;
seen.deleted = await client.callTool({ name: "notes_delete", arguments: { note_id: added.structuredContent.id } });
seen.resource = (await client.readResource({ uri: "notes://note/n2" })).contents[0].text;
seen.prompt = (await client.getPrompt({ name: "notes_tidy" })).messages.length;
console.log(JSON.stringify(seen));
await client.close();
