// A directory built on ldapjs that accepts every password and answers by the name that is asked for.
const fs = require("fs");
const ldap = require(process.argv[2]);
const [, , , certificate, key] = process.argv;

const BASE = "dc=lab,dc=test";
const server = ldap.createServer({ certificate: fs.readFileSync(certificate), key: fs.readFileSync(key) });

const person = (uid, more = {}) => ({
  dn: `uid=${uid},${BASE}`,
  attributes: { objectClass: ["person"], uid, cn: uid, entryuuid: "11111111-2222-3333-4444-555555555555", ...more },
});

const answers = {
  alice: () => [person("alice")],
  another: () => [person("admin")],
  twins: () => [person("twins"), { ...person("twins"), dn: `uid=twins,ou=other,${BASE}` }],
  many: () => Array.from({ length: 5000 }, (_, n) => ({ ...person("many"), dn: `uid=many,ou=o${n},${BASE}` })),
  elsewhere: () => [{ ...person("elsewhere"), dn: "uid=elsewhere,dc=evil,dc=test" }],
  odd: () => [person("odd", { cn: "Odd\0\u202enimda" + "x".repeat(100000) })],
};

server.bind("", (req, res, next) => { res.end(); return next(); });

server.search("", (req, res, next) => {
  res.attributes = []; // it compares names of attributes with their case, and would leave entryUUID out
  const asked = /\(uid=([a-z]+)\)/.exec(req.filter.toString());
  if (asked && asked[1] === "silent") return;
  if (asked && asked[1] === "broken") return next(new ldap.OperationsError("call 555-EVIL"));
  for (const entry of (asked && answers[asked[1]] ? answers[asked[1]]() : [])) res.send(entry, true);
  res.end();
  return next();
});

server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
