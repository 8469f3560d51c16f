// npm oidc-provider as an OpenID provider, plain or in the shape of Entra ID: node op.mjs PACKAGE_FOLDER CONFIG_JSON
// Prints {"url": ...} when it listens. Each line on its standard input is a command; each is answered with a line.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

console.info = console.warn = console.error; // standard output is for our own lines

const [folder, given] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${folder}/lib/index.js`).href);
const jose = await import(pathToFileURL(createRequire(`${folder}/package.json`).resolve("jose")).href);
const config = JSON.parse(given);
const TYPE = "urn:ietf:params:oauth:token-type:";
const prefix = config.tenant ? `/${config.tenant}/v2.0` : "";

let op, signing, users, discovery, trusted, idTokenLife, ahead = 0;
const now = Date.now;
Date.now = () => now() + ahead * 1000;

const commands = {
  reset() {
    users = structuredClone(config.users);
    [discovery, ahead, trusted, idTokenLife] = [{}, 0, {}, 3600];
    commands.rotate();
  },
  rotate() {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const key = { ...privateKey.export({ format: "jwk" }), kid: randomBytes(4).toString("hex"), use: "sig", alg: "RS256" };
    signing = key;
    op = provider([key]);
  },
  remove: ({ user }) => delete users[user],
  change: ({ user, claims }) => Object.assign(users[user], claims),
  clock: ({ seconds }) => (ahead = seconds),
  discover: ({ document }) => (discovery = document),
  life: ({ seconds }) => (idTokenLife = seconds), // of ID tokens
  trust: ({ issuer: other, jwks }) => (trusted[other] = jwks), // whose word about people is taken in an exchange
};

async function read(token) {
  const said = jose.decodeJwt(token).iss;
  const ours = said === issuer ? { keys: [publicKey()] } : trusted[said];
  if (!ours) throw new Error("nobody's token");
  return (await jose.jwtVerify(token, jose.createLocalJWKSet(ours))).payload;
}

function publicKey() {
  const { kty, n, e, kid, use, alg } = signing;
  return { kty, n, e, kid, use, alg };
}

const refuse = (ctx, error) => ([ctx.status, ctx.body] = [400, { error, error_description: "call 555-EVIL" }]);

async function give(ctx, accountId, scope, gty) {
  const token = new op.AccessToken({ accountId, client: ctx.oidc.client, gty, scope });
  ctx.body = { access_token: await token.save(), token_type: "Bearer", expires_in: token.expiration, scope };
}

async function exchange(ctx) {
  const { subject_token, subject_token_type, actor_token, requested_token_type, audience, resource, scope } = ctx.oidc.params;
  let subject;
  try {
    if (![`${TYPE}id_token`, `${TYPE}jwt`].includes(subject_token_type)) throw new Error("of no type that is known");
    subject = await read(subject_token);
    if (actor_token) await read(actor_token);
  } catch {
    return refuse(ctx, "invalid_request");
  }
  if (requested_token_type === `${TYPE}id-jag`) {
    const claims = { client_id: ctx.oidc.client.clientId, resource, scope, jti: randomBytes(8).toString("hex") };
    const assertion = await new jose.SignJWT(claims)
      .setProtectedHeader({ alg: "RS256", kid: signing.kid, typ: "oauth-id-jag+jwt" })
      .setIssuer(issuer).setSubject(subject.sub).setAudience(audience).setIssuedAt().setExpirationTime("5m")
      .sign(await jose.importJWK(signing, "RS256"));
    return (ctx.body = { issued_token_type: `${TYPE}id-jag`, token_type: "N_A", access_token: assertion, expires_in: 300 });
  }
  await give(ctx, subject.sub, scope, "exchange");
  ctx.body.issued_token_type = `${TYPE}access_token`;
}

// Entra ID's on-behalf-of flow: a token that this app was given for itself, for one of another app
async function onBehalf(ctx) {
  const { assertion, requested_token_use, scope } = ctx.oidc.params;
  const client = ctx.oidc.client.clientId;
  const own = await op.AccessToken.find(assertion);
  const fits = own && own.clientId === client && own.scope?.split(" ").includes(`${client}/.default`);
  if (requested_token_use !== "on_behalf_of" || !fits || !users[own.accountId]) return refuse(ctx, "invalid_grant");
  await give(ctx, own.accountId, scope, "obo");
}

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
    ttl: { AccessToken: 3600, IdToken: () => idTokenLife, Session: 86400, Grant: 86400, Interaction: 86400, RefreshToken: 86400 },
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt", ...(config.public ? ["none"] : [])],
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
      introspection: { enabled: true },
      resourceIndicators: { enabled: false },
      dPoP: { enabled: true, ...(config.nonces && { nonceSecret: randomBytes(32), requireNonce: () => true }) },
    },
    findAccount: (_, id) => users[id] && { accountId: id, claims: () => ({ sub: id, ...users[id] }) },
  });
  made.on("server_error", (_, error) => console.error(error));
  const exchanges = ["subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type"];
  made.registerGrantType(
    "urn:ietf:params:oauth:grant-type:token-exchange", exchange, [...exchanges, "audience", "resource", "scope"], ["audience", "resource"],
  );
  made.registerGrantType(
    "urn:ietf:params:oauth:grant-type:jwt-bearer", onBehalf, ["assertion", "requested_token_use", "scope"],
  );
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
