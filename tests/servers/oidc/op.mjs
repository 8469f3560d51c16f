// npm oidc-provider as an OpenID provider, plain or in the shape of Entra ID: node op.mjs PACKAGE_FOLDER CONFIG_JSON
// Prints {"url": ...} when it listens. Each line on its standard input is a command; each is answered with a line.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

console.info = console.warn = console.error; // standard output is for our own lines

const [folder, given] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${folder}/lib/index.js`).href);
const config = JSON.parse(given);
const prefix = config.tenant ? `/${config.tenant}/v2.0` : "";

let op, users, discovery, ahead = 0;
const now = Date.now;
Date.now = () => now() + ahead * 1000;

const commands = {
  reset() {
    users = structuredClone(config.users);
    [discovery, ahead] = [{}, 0];
    commands.rotate();
  },
  rotate() {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const key = { ...privateKey.export({ format: "jwk" }), kid: randomBytes(4).toString("hex"), use: "sig", alg: "RS256" };
    op = provider([key]);
  },
  remove: ({ user }) => delete users[user],
  change: ({ user, claims }) => Object.assign(users[user], claims),
  clock: ({ seconds }) => (ahead = seconds),
  discover: ({ document }) => (discovery = document),
};

function provider(keys) {
  const made = new Provider(issuer, {
    jwks: { keys },
    cookies: { keys: ["lab"] },
    clients: config.clients,
    rotateRefreshToken: true,
    conformIdTokenClaims: Boolean(config.conform),
    scopes: ["openid", "offline_access", "profile", "email", "groups", ...(config.graph_scopes ?? [])],
    claims: {
      openid: config.tenant ? ["sub", "groups", "oid", "tid", "ver", "sid", "_claim_names", "_claim_sources"] : ["sub"],
      groups: ["groups"],
      profile: ["name", "preferred_username"],
      email: ["email", "email_verified"],
    },
    ttl: { AccessToken: 3600, IdToken: 3600, Session: 86400, Grant: 86400, Interaction: 86400, RefreshToken: 86400 },
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt"],
    enabledJWA: { clientAuthSigningAlgValues: ["RS256", "PS256", "ES256"] },
    fetch: (url, options) => {
      delete options.dispatcher; // its guard refuses loopback, where our back channel is
      return globalThis.fetch(url, options);
    },
    features: {
      devInteractions: { enabled: true },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: { enabled: false },
    },
    findAccount: (_, id) => users[id] && { accountId: id, claims: () => ({ sub: id, ...users[id] }) },
  });
  made.on("server_error", (_, error) => console.error(error));
  return made;
}

async function graph(request, response, url) {
  const say = (status, body) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  };
  const token = (request.headers.authorization ?? "").replace("Bearer ", "");
  const [app, person] = [await op.ClientCredentials.find(token), await op.AccessToken.find(token)];
  if (!app && !person) return say(401, { error: {} });
  if (url.pathname === "/v1.0/groups") return say(200, { value: [] });
  const asked = url.pathname.split("/")[3];
  const user = person ? users[person.accountId] : Object.values(users).find((one) => one.oid === asked);
  if (!user) return say(404, { error: {} });
  const start = Number(url.searchParams.get("$skiptoken") ?? 0);
  const page = { value: user.graph_groups.slice(start, start + 100).map((id) => ({ id })) };
  if (start + 100 < user.graph_groups.length) {
    page["@odata.nextLink"] = `${origin}${url.pathname}?$skiptoken=${start + 100}`;
  }
  return say(200, page);
}

function answer(request, response) {
  const url = new URL(request.url, origin);
  response.setHeader("date", new Date(Date.now()).toUTCString());
  if (url.pathname.startsWith("/v1.0/")) return graph(request, response, url);
  if (url.pathname.endsWith("/.well-known/openid-configuration") && Object.keys(discovery).length) {
    response.setHeader("content-type", "application/json");
    return response.end(JSON.stringify(discovery));
  }
  request.originalUrl = request.url;
  request.url = request.url.slice(prefix.length) || "/";
  return op.callback()(request, response);
}

const server = config.tls
  ? https.createServer({ cert: readFileSync(config.tls.certificate), key: readFileSync(config.tls.key) }, answer)
  : http.createServer(answer);
let origin, issuer;
server.listen(config.port ?? 0, "127.0.0.1", () => {
  origin = `${config.tls ? "https://localhost" : "http://127.0.0.1"}:${server.address().port}`;
  issuer = origin + prefix;
  config.graph_scopes = (config.graph_scopes ?? []).map((scope) => scope.replace("ORIGIN", origin));
  commands.reset();
  console.log(JSON.stringify({ url: origin }));
});
createInterface({ input: process.stdin }).on("line", (line) => {
  const { command, ...rest } = JSON.parse(line);
  commands[command](rest);
  console.log(JSON.stringify({ done: command }));
});
