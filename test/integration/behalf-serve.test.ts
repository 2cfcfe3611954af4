import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { behalf, type BehalfRun } from "../support/behalf-command.ts";
import { worldConfig, worldSecrets } from "../support/behalf-config.ts";
import { until } from "../support/failure.ts";
import { toolAnswer } from "../support/gateway-world.ts";
import { GATEWAY_SECRET, makeWorld, type World } from "../support/world.ts";

let world: World;
let folder: string;
const started: BehalfRun[] = [];
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
  folder = mkdtempSync(join(tmpdir(), "behalf-serve-"));
});
afterAll(async () => {
  for (const { process } of started) process.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
  await world?.[Symbol.asyncDispose]();
});

let files = 0;
/** The world's configuration, with changes to its text. */
function configFile(change: (text: string) => string = (text) => text): string {
  const text = change(worldConfig(world));
  const path = join(folder, `behalf-${(files += 1)}.yaml`);
  writeFileSync(path, text);
  return path;
}

/** With the login for statements of their own. */
function withStatements(text: string, user = world.names.statementGateway): string {
  const { hostname, port } = new URL(world.url());
  return text.replace(
    "records:",
    `  statements:
    url: postgres://${user}:\${env:STATEMENTS_PASSWORD}@${hostname}:${port}/${world.names.database}?sslmode=disable
records:`,
  );
}

function start(command: readonly string[], more: Readonly<Record<string, string>> = {}): BehalfRun {
  const run = behalf(command, { ...worldSecrets(world), ...more });
  started.push(run);
  return run;
}

async function serving(path = configFile()) {
  const run = start(["serve", "--config", path]);
  const [, origin = ""] = await run.printed(/listening on (http:\S+)/);
  return { run, origin };
}

async function clientOf(origin: string, human: string): Promise<Client> {
  const client = new Client({ name: "tests", version: "1" });
  const authorization = `Bearer ${await world.token(human)}`;
  const options = { requestInit: { headers: { authorization } } };
  await client.connect(new StreamableHTTPClientTransport(new URL(`${origin}/mcp`), options));
  return client;
}

async function sleeping(): Promise<boolean> {
  const { rows } = await world.admin.query(
    "select from pg_stat_activity where usename = $1 and wait_event = 'PgSleep'",
    [world.names.gateway],
  );
  return rows.length > 0;
}

describe("behalf serve", () => {
  it("serves two humans their own rows, records both, and lets a call finish when it is told to stop", async () => {
    const { run, origin } = await serving();
    await run.printed(/MCP endpoint http:\/\/gateway.test\/mcp/);
    expect((await fetch(`${origin}/readyz`)).status).toBe(200);
    const sql =
      "select org_id, count(*)::int, min(placed_at)::date as day, 'infinity'::timestamptz from orders group by 1";
    for (const [human, org] of [
      ["alice", "acme"],
      ["bob", "globex"],
    ] as const) {
      const client = await clientOf(origin, human);
      const answer = await client.callTool({ name: "query", arguments: { sql } });
      // As PostgreSQL writes them, in no time zone of this machine.
      expect(toolAnswer(answer)["rows"]).toEqual([[org, 100, "2026-01-01", "infinity"]]);
      await client.close();
    }
    const records = readFileSync(join(folder, "records.jsonl"), "utf8");
    expect(records).toContain('"subject":"alice"');
    expect(records).toContain('"subject":"bob"');
    expect(records).not.toContain("placed_at");

    const client = await clientOf(origin, "alice");
    const call = client.callTool({ name: "query", arguments: { sql: "select pg_sleep(0.5), 7" } });
    await until(sleeping);
    run.process.kill("SIGTERM");
    expect(toolAnswer(await call)["rows"]).toEqual([["", 7]]);
    expect(await run.ended).toBe(0);
    expect(run.out()).toContain("stopped");
    expect(run.error()).toBe("");
  });

  it("serves tools that stand in the file, through a login of their own", async () => {
    const path = configFile(
      (text) => `${withStatements(text)}statementTools:
  - name: order
    description: One order
    parameters:
      id: { type: integer, description: Its number }
    statement: |
      select id, org_id, placed_at
      from orders where id = :id
`,
    );
    const { run, origin } = await serving(path);
    const ask = async (human: string) => {
      const client = await clientOf(origin, human);
      const answer = await client.callTool({ name: "order", arguments: { id: 1_000_001 } });
      await client.close();
      return toolAnswer(answer)["rows"];
    };
    expect(await ask("alice")).toEqual([["1000001", "acme", "2026-01-01 00:01:00+00"]]);
    expect(await ask("bob")).toEqual([]);
    run.process.kill("SIGTERM");
    expect(await run.ended).toBe(0);
  });

  it("stops at once when it is told twice", async () => {
    const { run, origin } = await serving();
    const client = await clientOf(origin, "alice");
    const call = client
      .callTool({ name: "query", arguments: { sql: "select pg_sleep(60)" } })
      .catch(() => "cut off");
    await until(sleeping);
    run.process.kill("SIGINT");
    await run.printed(/finishing what runs/);
    run.process.kill("SIGINT");
    expect(await run.ended).toBe(130);
    await client.close();
    await call;
    await world.admin.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1",
      [world.names.gateway],
    );
  });

  it("says that the port is taken, or that there is no such address", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const address = taken.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const second = start([
      "serve",
      "--config",
      configFile((t) => t.replace("port: 0", `port: ${port}`)),
    ]);
    expect(await second.ended).toBe(1);
    expect(second.error()).toContain(`cannot listen on 127.0.0.1:${port}: the port is taken`);
    taken.close();
    const nowhere = start([
      "serve",
      "--config",
      configFile((t) =>
        t.replace("port: 0", "port: 0\n  host: 203.0.113.7\n  allowedHosts: [x.test]"),
      ),
    ]);
    expect(await nowhere.ended).toBe(1);
    expect(nowhere.error()).toContain("no such address");
  });

  it("answers /readyz with 503 while the database refuses it", async () => {
    const { run, origin } = await serving();
    await world.admin.query(`alter role ${world.names.gateway} nologin`);
    try {
      await world.admin.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = $1",
        [world.names.gateway],
      );
      await until(async () => (await fetch(`${origin}/readyz`)).status === 503);
      expect((await fetch(`${origin}/healthz`)).status).toBe(200);
    } finally {
      await world.admin.query(`alter role ${world.names.gateway} login`);
    }
    await until(async () => (await fetch(`${origin}/readyz`)).status === 200);
    run.process.kill("SIGTERM");
    expect(await run.ended).toBe(0);
    expect(run.error()).not.toContain(world.names.gateway);
  });
});

describe("behalf config check", () => {
  async function check(path: string, more: readonly string[] = [], env = {}) {
    const run = start(["config", "check", "--config", path, ...more], env);
    const code = await run.ended;
    const text = run.out() + run.error();
    expect(text).not.toContain(world.passwords.gateway);
    expect(text).not.toContain(world.passwords.statementGateway);
    expect(text).not.toContain(GATEWAY_SECRET);
    return { code, text: text.replaceAll(path, "FILE") };
  }

  it("finds nothing wrong with what is right", async () => {
    expect(await check(configFile())).toEqual({
      code: 0,
      text: "FILE: the issuers and the database agree\n",
    });
  });

  it.each<[string, (text: string) => string, string]>([
    [
      "an issuer that nobody answers for",
      (text) => text.replace(/issuers:\n.*\n/, "issuers: [http://127.0.0.1:1]\n"),
      "FILE:6:13: the metadata of the issuer http://127.0.0.1:1 cannot be had",
    ],
    [
      "an issuer without TLS",
      (text) => text.replace(/issuers:\n.*\n/, "issuers: [http://login.example.com]\n"),
      "FILE:5:1: an issuer must begin with https://",
    ],
    [
      "a database that is not there",
      (text) => text.replace(/@[^/]+\//, "@127.0.0.1:1/"),
      "FILE:14:3: the database at 127.0.0.1:1 cannot be reached (ECONNREFUSED); check host",
    ],
    [
      "a database of another name",
      (text) => text.replace(/world_\w+/, "nowhere"),
      "FILE:14:3: there is no such database",
    ],
    [
      "a wrong password",
      (text) => text.replace("env:DB_PASSWORD", "env:GATEWAY_SECRET"),
      "FILE:14:3: the database at",
    ],
  ])("finds %s", async (_name, change, expected) => {
    const path = configFile(change);
    const { code, text } = await check(path);
    expect(text).toContain(expected);
    expect(code).toBe(1);
    const offline = await check(path, ["--offline"]);
    expect(offline.code).toBe(text.includes("must begin with https") ? 1 : 0);
  });

  it("finds logins that were made for one another's work", async () => {
    expect((await check(configFile(withStatements))).code).toBe(0);
    const swapped = configFile((text) =>
      withStatements(
        text.replace(`//${world.names.gateway}`, `//${world.names.statementGateway}`),
        world.names.gateway,
      ),
    );
    const { code, text } = await check(swapped, [], {
      DB_PASSWORD: world.passwords.statementGateway,
      STATEMENTS_PASSWORD: world.passwords.gateway,
    });
    expect(code).toBe(1);
    expect(text).toContain(
      "FILE:14:3: this login was made for the other kind of statements; name one that behalf.add_gateway made",
    );
    expect(text).toContain("FILE:16:3: this login was made for the other kind");
  });

  it("has the server parse statements, runs none, and blames the author for nothing else", async () => {
    const tool = (name: string, statement: string, parameters = "") => `  - name: ${name}
    description: One
${parameters}    statement: |

      ${statement}
`;
    const two = tool("two", "select 1; create table never (id int)");
    const path = configFile(
      (text) => `${withStatements(text)}statementTools:
${tool("syntax", "select 'ä', :a froom orders", "    parameters: { a: { type: string } }\n")}${two}${tool(
        "untyped",
        "select 1 where :a is null",
        "    parameters: { a: { type: string } }\n",
      )}${tool("elsewhere", "select x from only_the_agents_have_it")}${tool("end", "select (1")}`,
    );
    const { code, text } = await check(path);
    expect(text.split("\n").slice(0, -1)).toEqual([
      expect.stringMatching(/^FILE:26:28: syntax: syntax error at or near "orders" \(42601\);/),
      expect.stringMatching(/^FILE:31:7: two: cannot insert multiple commands .* \(42601\);/),
      expect.stringMatching(/^FILE:37:22: untyped: could not determine .* :a \(42P18\); give the/),
      expect.stringMatching(/^FILE:4\d:\d+: end: syntax error at end of input \(42601\);/),
    ]);
    expect(code).toBe(1);
    expect((await check(path, ["--offline"])).code).toBe(0);
  });

  it("finds a login that is no gateway's, and one that can do too much", async () => {
    const other = `plain_${world.names.gateway}`;
    await world.admin.query(`create role ${other} login password 'plain-password'`);
    try {
      const change = (text: string) => text.replace(`//${world.names.gateway}`, `//${other}`);
      const env = { DB_PASSWORD: "plain-password" };
      const plain = await check(configFile(change), [], env);
      expect(plain.text).toContain("FILE:14:3: the in-database kit is not installed here, or this");
      expect(plain.text).toContain("behalf.add_gateway");
      expect(plain.code).toBe(1);
    } finally {
      await world.admin.query(`drop role ${other}`);
    }
    await world.admin.query(`alter role ${world.names.gateway} createdb`);
    try {
      const strong = await check(configFile());
      expect(strong.text).toContain("CREATEDB");
      expect(strong.code).toBe(1);
    } finally {
      await world.admin.query(`alter role ${world.names.gateway} nocreatedb`);
    }
  });

  it.each([
    ["order-service", "order-service"],
    ["", "(no application_name)"],
  ])(
    "finds a login that an application uses, and takes its own sessions for no application: '%s'",
    async (name, said) => {
      const application = new pg.Client({
        connectionString: world.url(),
        application_name: name,
      });
      const ours = await serving();
      await application.connect();
      const { rows: sessions } = await application.query<{ pid: number }>(
        "select pg_backend_pid() as pid",
      );
      try {
        const shared = await check(configFile());
        expect(shared.text).toContain(
          `FILE:14:3: the login is used by somebody else, too: ${said}; give the gateway a login`,
        );
        expect(shared.code).toBe(1);
      } finally {
        await application.end();
      }
      await until(async () => {
        const { rows } = await world.admin.query("select from pg_stat_activity where pid = $1", [
          sessions[0]?.pid,
        ]);
        return rows.length === 0;
      });
      const client = await clientOf(ours.origin, "alice");
      await client.callTool({ name: "query", arguments: { sql: "select 1" } });
      expect((await check(configFile())).code).toBe(0);
      await client.close();
      ours.run.process.kill("SIGTERM");
      expect(await ours.run.ended).toBe(0);
    },
  );
});
