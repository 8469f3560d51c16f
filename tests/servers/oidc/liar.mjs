// npm oauth2-mock-server, which lies on demand: node liar.mjs PACKAGE_FOLDER CONFIG_JSON
// Prints {"url": ...} when it listens. Each line on its standard input is a command; each is answered with a line.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder] = process.argv.slice(2);
const { OAuth2Server } = await import(pathToFileURL(`${folder}/dist/index.mjs`).href);

let lie;
const commands = {
  reset: () => (lie = {}),
  lie: (told) => (lie = told), // claims, header, status, body, userinfo
};
commands.reset();

const server = new OAuth2Server();
await server.issuer.keys.generate("RS256");
await server.start(0, "127.0.0.1");
server.issuer.url = `http://127.0.0.1:${server.address().port}`;
server.service.on("beforeTokenSigning", (token) => {
  Object.assign(token.payload, lie.claims);
  for (const name of lie.without ?? []) delete token.payload[name];
});
server.service.on("beforeResponse", (response) => {
  if (lie.status) response.statusCode = lie.status;
  if (lie.body !== undefined) response.body = lie.body;
  Object.assign(response.body ?? {}, lie.members);
});
server.service.on("beforeUserinfo", (response) => {
  if (lie.userinfo !== undefined) response.body = lie.userinfo;
  if (lie.userinfo_status) response.statusCode = lie.userinfo_status;
});
console.log(JSON.stringify({ url: server.issuer.url }));

createInterface({ input: process.stdin }).on("line", (line) => {
  const { command, ...rest } = JSON.parse(line);
  commands[command](rest);
  console.log(JSON.stringify({ done: command }));
});
