import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { loadConfig, type Config } from "./config-load.ts";

const GOOD = `server:
  publicUrl: https://gateway.example.com/mcp
identity:
  issuers: [https://login.example.com]
  audience: urn:example:gateway
exchange:
  clientId: gateway
  clientSecret: { env: GATEWAY_SECRET }
  audience: urn:example:database
database:
  sandbox:
    url: postgres://shop_gateway:\${env:DB_PASSWORD}@db.example.com/shop
records:
  path: records.jsonl
`;
const RAW = "postgres://a:hunter2%zz@db.example.com/shop";
const ENV = {
  GATEWAY_SECRET: "hunter2-client",
  DB_PASSWORD: "hunter2/database@x",
  PORT: "9090",
  USR: "a:b",
  RAW,
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "behalf-config-"));
  writeFileSync(join(folder, "secret"), "hunter2-file\n");
  writeFileSync(join(folder, "empty"), "\n");
});
afterAll(() => rmSync(folder, { recursive: true }));

function load(text: string, env: Readonly<Record<string, string>> = ENV) {
  const path = join(folder, "behalf.yaml");
  writeFileSync(path, text);
  const loaded = loadConfig(path, env);
  return "failure" in loaded
    ? { failure: loaded.failure.replaceAll(`${path}:`, "").replaceAll(folder, "") }
    : loaded;
}

function config(text: string): Config {
  const loaded = load(text);
  if ("failure" in loaded) throw new Error(loaded.failure);
  return loaded.config;
}

/** The file with one line replaced, or with lines behind it. */
const change = (line: string, by: string) => GOOD.replace(line, by);

describe("a file that is right", () => {
  it("may name hosts, origins, scopes and a path of any kind", () => {
    const server = `server:
  allowedHosts: [A.example.com, "[::2]", 10.0.0.1]
  allowedOrigins: [https://chat.example.com, http://localhost:3000]`;
    expect(config(change("server:", server))).toBeDefined();
    expect(config(change("identity:", "identity:\n  scopes: [a:b, c]"))).toBeDefined();
    expect(config(change("example.com/mcp", "example.com/healthz/mcp"))).toBeDefined();
  });

  it("reads secrets from the environment, within a URL too, and from files", () => {
    const { clientSecret, sandbox, recordsPath } = config(GOOD);
    expect(clientSecret.reveal()).toBe("hunter2-client");
    expect(sandbox).toMatchObject({
      host: "db.example.com",
      port: 5432,
      user: "shop_gateway",
      database: "shop",
      ssl: true,
    });
    expect(sandbox.password.reveal()).toBe("hunter2/database@x");
    expect(recordsPath).toBe(join(folder, "records.jsonl"));
    const fromFile = config(change("{ env: GATEWAY_SECRET }", "{ file: secret }"));
    expect(fromFile.clientSecret.reveal()).toBe("hunter2-file");
  });

  it("takes the user from the environment, and an authority for the server from a file", () => {
    const login = (by: string) =>
      config(change("shop_gateway:${env:DB_PASSWORD}@db.example.com/shop", by)).sandbox;
    expect(login("${env:USR}:${env:DB_PASSWORD}@h.example.com/d").user).toBe("a:b");
    const { ssl } = login(
      "a:${env:DB_PASSWORD}@h.example.com/d?sslmode=verify-full&sslrootcert=secret",
    );
    expect(ssl).toEqual({ ca: "hunter2-file" });
    expect(login("a:${env:DB_PASSWORD}@127.0.0.1/d?sslrootcert=secret").ssl).toEqual(ssl);
    expect(login("a:${env:DB_PASSWORD}@127.evil.example.com/d").ssl).toBe(true);
    expect(login("a:${env:DB_PASSWORD}@127.0.0.1/d").ssl).toBe(false);
  });

  it("takes a login in parts, and verifies the server unless it is this machine", () => {
    const parts = (host: string, more = "") =>
      config(
        change(
          "url: postgres://shop_gateway:${env:DB_PASSWORD}@db.example.com/shop",
          `{ host: ${host}, user: a, database: b, password: "\${env:DB_PASSWORD}"${more} }`,
        ).replace("sandbox:\n    {", "sandbox: {"),
      ).sandbox;
    expect(parts("db.example.com")).toMatchObject({ user: "a", ssl: true });
    expect(parts("db.example.com", ", ssl: false")).toMatchObject({ ssl: false });
    expect(parts("127.0.0.1")).toMatchObject({ ssl: false });
  });

  it("may take other values from the environment, with their types", () => {
    const { file } = config(
      change("server:", "server:\n  port: ${env:PORT}\n  name: 'on ${env:PORT}'"),
    );
    expect(file.server).toMatchObject({ port: 9090, name: "on 9090" });
  });

  it("leaves statements as they are written", () => {
    const { file } = config(
      `${GOOD}statementTools:
  - name: odd
    description: odd
    statement: select '\${env:PORT}'
`.replace("records:", "  statements:\n    url: postgres://other:${env:DB_PASSWORD}@h/d\nrecords:"),
    );
    expect(file.statementTools?.[0]?.statement).toBe("select '${env:PORT}'");
  });
});

const TOOLS = `${GOOD.replace("records:", "  statements:\n    url: postgres://other:${env:DB_PASSWORD}@h/d\nrecords:")}statementTools:
  - name: orders_of
    description: Orders
    parameters:
      region: { type: string }
    statement: |
      select *
      from orders
      where region = :region`;

describe("says where and what to do about", () => {
  it.each<[string, string, string]>([
    ["an empty file", "", "1:1: the file is empty; see `behalf config schema`"],
    ["only comments", "# nothing\n", "1:1: the file is empty"],
    ["no YAML", change("server:", "server: ["), ": this is no YAML:"],
    ["a key twice", `${GOOD}server: {}\n`, "15:1: this key stands twice in one place; keep one"],
    ["a list", "- a", "1:1: the file must be a group of keys; known are server, identity"],
    [
      "a tag",
      change("urn:example:gateway", "!secret abc"),
      "5:13: ! begins a tag, and there is none",
    ],
    [
      "a tag of a language",
      change("urn:example:gateway", '!!js/function "x"'),
      "5:13: ! begins a tag",
    ],
    ["a tag around a group", change("server:", "server: !group"), "1:9: ! begins a tag"],
    [
      "a directive that there is not",
      `%FOO bar\n---\n${GOOD}`,
      "1:1: this is no YAML (BAD_DIRECTIVE)",
    ],
    ["a NUL", change("records.jsonl", '"records\\0"'), "14:9: this holds a NUL character"],
    ["a NUL as it is", change("records.jsonl", "records\0"), "14:9: this holds a NUL character"],
    [
      "a variable that every object has",
      change("urn:example:gateway", "${env:constructor}"),
      "5:13: constructor is not set",
    ],
    [
      "a secret that every object has",
      change("GATEWAY_SECRET", "constructor"),
      "8:17: exchange.clientSecret: constructor is not set",
    ],
    [
      "a parameter that is no key of an object",
      TOOLS.replace(/region/g, "__proto__"),
      "21:7: __proto__ may be no key",
    ],
    [
      "a parameter whose name every object has",
      TOOLS.replace(/region/g, "toString"),
      "21:7: orders_of: toString is a name that every object has; choose another",
    ],
    [
      "a placeholder whose name every object has",
      TOOLS.replace(":region", ":constructor"),
      "25:22: orders_of: :constructor is declared nowhere",
    ],
    ["two documents", `${GOOD}---\na: 1\n`, ": this is no YAML:"],
    [
      "an unknown section",
      change("records:", "record:"),
      "13:1: there is no record; did you mean records?",
    ],
    ["a missing section", change("records:", "record:"), "1:1: records is missing; add it"],
    [
      "an unknown key",
      change("publicUrl", "publicURI"),
      "2:3: there is no publicURI in server; did you mean publicUrl?",
    ],
    [
      "a key that resembles none",
      change("server:", "server:\n  tls: true"),
      "2:3: there is no tls in server; known are publicUrl, host, port",
    ],
    [
      "a missing key",
      change("  audience: urn:example:gateway\n", ""),
      "3:1: identity.audience is missing",
    ],
    [
      "a wrong type",
      change("server:", "server:\n  port: eighty"),
      "2:9: server.port must be a whole number from 0 to 65535; correct it",
    ],
    ...["healthz", "readyz", ".well-known/oauth-protected-resource", ".well-known"].map(
      (path): [string, string, string] => [
        `an endpoint at /${path}`,
        change("example.com/mcp", `example.com/${path}`),
        "2:14: server.publicUrl must have a path of its own",
      ],
    ),
    [
      "a public URL with a query",
      change("example.com/mcp", "example.com/mcp?a=b"),
      "2:14: server.publicUrl must have neither query, fragment",
    ],
    [
      "a public URL that is none, once",
      change("https://gateway.example.com/mcp", "http://"),
      "2:14: server.publicUrl must be an http or https URL; correct it",
    ],
    ...["*", "a.example.com:80", "https://a.example.com", "[::1", "a b"].map(
      (host): [string, string, string] => [
        `the host ${host}`,
        change("server:", `server:\n  allowedHosts: [ok.example.com, "${host}"]`),
        "2:34: server.allowedHosts[1] must be a host name without port",
      ],
    ),
    [
      "an origin with a path",
      change("server:", "server:\n  allowedOrigins: [https://a.example.com/]"),
      "2:20: server.allowedOrigins[0] must be an origin",
    ],
    [
      "two scopes in one",
      change("identity:", "identity:\n  scopes: [a, b c]"),
      "4:15: identity.scopes[1] must be one OAuth scope",
    ],
    [
      "two issuers",
      change("[https://login.example.com]", "[https://login.example.com, https://b.example.com]"),
      "4:40: identity.issuers names 2 issuers, and a gateway exchanges tokens of one; keep one",
    ],
    [
      "an exchange with another issuer",
      change("exchange:", "exchange:\n  issuer: https://login.example.com/"),
      "7:11: exchange.issuer is none of identity.issuers",
    ],
    [
      "a wrong URL",
      change("https://gateway.example.com/mcp", "gateway.example.com"),
      "2:14: server.publicUrl must be an http or https URL",
    ],
    ["no issuer", change("[https://login.example.com]", "[]"), "4:12: identity.issuers must name"],
    [
      "an inline secret",
      change("{ env: GATEWAY_SECRET }", "hunter2-inline"),
      "8:17: exchange.clientSecret is a secret and must not stand in the file; write ${env:NAME}",
    ],
    [
      "half an inline secret",
      change("{ env: GATEWAY_SECRET }", '"hunter2-inline${env:GATEWAY_SECRET}"'),
      "8:17: exchange.clientSecret is a secret",
    ],
    [
      "an inline password",
      change("${env:DB_PASSWORD}", "hunter2-inline"),
      "12:10: database.sandbox.url holds a secret",
    ],
    [
      "an inline password elsewhere in the URL",
      change("com/shop", "com/shop?password=hunter2-inline"),
      "12:10: database.sandbox.url holds a secret",
    ],
    [
      "a secret that YAML takes for an alias",
      change("{ env: GATEWAY_SECRET }", "*hunter2"),
      "8:17: this alias names no anchor; put the text in quotes if it is none",
    ],
    [
      "aliases that multiply",
      `a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
`,
      "1:1: aliases multiply without end",
    ],
    [
      "a secret that YAML takes for a key",
      change(
        "url: postgres://shop_gateway:${env:DB_PASSWORD}@db.example.com/shop",
        "url: {hunter2}",
      ),
      "12:10: database.sandbox.url holds a secret",
    ],
    [
      "a secret that YAML takes for a list",
      change("{ env: GATEWAY_SECRET }", "[hunter2]"),
      "8:17: exchange.clientSecret is a secret",
    ],
    [
      "a variable that is not set",
      change("GATEWAY_SECRET", "NOT_SET"),
      "8:17: exchange.clientSecret: NOT_SET is not set; set it in the environment",
    ],
    [
      "a variable of no secret that is not set",
      change("urn:example:gateway", "${env:NOT_SET}"),
      "5:13: NOT_SET is not set",
    ],
    [
      "a file that is not there",
      change("{ env: GATEWAY_SECRET }", "{ file: nowhere }"),
      "8:17: exchange.clientSecret: nowhere cannot be read (ENOENT)",
    ],
    [
      "a file that is empty",
      change("{ env: GATEWAY_SECRET }", "{ file: empty }"),
      "8:17: exchange.clientSecret: empty is empty",
    ],
    [
      "a login without a password",
      change(":${env:DB_PASSWORD}", ""),
      "12:10: database.sandbox has no password",
    ],
    [
      "a login that is named twice",
      change("sandbox:", "sandbox:\n    user: x"),
      "12:11: database.sandbox has both url and user",
    ],
    [
      "one login for both",
      change(
        "records:",
        "  statements:\n    url: postgres://shop_gateway:${env:DB_PASSWORD}@h/d\nrecords:",
      ),
      "13:3: database.statements is the same login as database.sandbox",
    ],
    [
      "a login whose source is a URL with a bare %",
      change(
        "url: postgres://shop_gateway:${env:DB_PASSWORD}@db.example.com/shop",
        "url: { env: RAW }",
      ),
      "12:10: database.sandbox holds a % that begins no code; write % as %25",
    ],
    ...["sslcert=a", "port=1", "user=x", "connect_timeout=1"].map(
      (parameter): [string, string, string] => [
        `the parameter ${parameter}`,
        change("com/shop", `com/shop?${parameter}`),
        `12:10: database.sandbox has the parameter ${parameter.split("=")[0]}, which is not read; remove it`,
      ],
    ),
    [
      "an sslmode that there is not",
      change("com/shop", "com/shop?sslmode=verify"),
      "12:10: database.sandbox has an sslmode that there is not; write one of disable",
    ],
    [
      "an authority that is not there",
      change("com/shop", "com/shop?sslrootcert=nowhere.pem"),
      "12:10: database.sandbox.url: nowhere.pem cannot be read (ENOENT); correct sslrootcert",
    ],
    [
      "a name of a file that is too long",
      change("records.jsonl", "x".repeat(300)),
      "cannot be written (ENAMETOOLONG); make it writable",
    ],
    [
      "a name of a folder that is too long",
      change("records.jsonl", `${"x".repeat(300)}/records.jsonl`),
      "cannot be written (ENAMETOOLONG); make it writable",
    ],
    [
      "a folder that is not there",
      change("records.jsonl", "nowhere/records.jsonl"),
      "14:9: records.path: there is no folder /nowhere; make it",
    ],
    [
      "a folder in place of a file",
      change("records.jsonl", "."),
      "14:9: records.path:  is a folder; make it writable",
    ],
    [
      "a host that is not loopback",
      change("server:", "server:\n  host: 0.0.0.0"),
      "2:9: server.host: 0.0.0.0 is not loopback; name the hosts",
    ],
    [
      "tools without a login of their own",
      TOOLS.replace(/ {2}statements:\n.*\n/, ""),
      "15:1: statementTools need database.statements",
    ],
    [
      "a placeholder that is declared nowhere",
      TOOLS.replace(":region", ":regoin"),
      "25:22: orders_of: :regoin is declared nowhere; add it under parameters",
    ],
    [
      "a placeholder in a block that begins with an empty line",
      TOOLS.replace(":region", ":regoin").replace("statement: |", "statement: |\n"),
      "26:22: orders_of: :regoin is declared nowhere",
    ],
    [
      "a placeholder in a block that says its indentation",
      TOOLS.replace(":region", ":regoin").replace("statement: |", "statement: |2"),
      "25:22: orders_of: :regoin is declared nowhere",
    ],
    [
      "a placeholder whose letters are also those of a cast",
      TOOLS.replace("select *", "select x::regoin").replace(":region", ":regoin"),
      "25:22: orders_of: :regoin is declared nowhere",
    ],
    [
      "a parameter that is used nowhere",
      TOOLS.replace(":region", "'x'"),
      "21:7: orders_of: region is used nowhere",
    ],
    [
      "a tool's name that is taken",
      TOOLS.replace("orders_of", "query"),
      "18:11: query is the name of a built-in tool; choose another",
    ],
    [
      "a type that there is not",
      TOOLS.replace("type: string", "type: text"),
      "21:23: statementTools[0].parameters.region.type must be one of string, integer",
    ],
  ])("%s", (_name, text, expected) => {
    const loaded = load(text);
    expect("failure" in loaded && loaded.failure).toContain(expected);
    expect(JSON.stringify(loaded)).not.toContain("hunter2");
  });

  it("everything at once, in the order of the file", () => {
    const loaded = load(
      change("server:", "server:\n  prot: 1\n  tls: 2").replace("records.jsonl", "''"),
    );
    const lines = "failure" in loaded ? loaded.failure.split("\n") : [];
    expect(lines.map((line) => line.split(": ")[0])).toEqual(["2:3", "3:3", "16:9"]);
  });

  it("bytes that are no UTF-8", () => {
    const path = join(folder, "latin1.yaml");
    writeFileSync(path, Buffer.from(change("urn:example:gateway", "urn:gär"), "latin1"));
    expect(loadConfig(path, ENV)).toEqual({
      failure: `${path}:5:18: the file is no UTF-8 from here on; save it as UTF-8`,
    });
  });

  it("a file that is not there, and one that is none", () => {
    expect(loadConfig(join(folder, "nowhere.yaml"), {})).toEqual({
      failure: `${folder}/nowhere.yaml: there is no such file; name it with --config FILE`,
    });
    expect(loadConfig(folder, {})).toMatchObject({ failure: expect.stringContaining("EISDIR") });
  });
});
