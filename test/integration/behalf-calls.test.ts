import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { jsonlSink, newCallId, sql, type SqlAdapter } from "@behalf/core";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { behalf } from "../support/behalf-command.ts";
import { worldConfig, worldSecrets } from "../support/behalf-config.ts";
import { failure, until } from "../support/failure.ts";
import { makeWorld, type World } from "../support/world.ts";

let world: World;
let folder: string;
let monitor: string;
/** One gateway records texts, the other their hashes; each has a file of its own. */
let texts: SqlAdapter;
let hashes: SqlAdapter;
let files: readonly string[];
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
  folder = mkdtempSync(join(tmpdir(), "behalf-calls-"));
  files = ["texts.jsonl", "hashes.jsonl"].map((name) => join(folder, name));
  const [first = "", second = ""] = files;
  texts = world.adapter({ records: jsonlSink({ path: first }), recordStatements: "text" });
  hashes = world.adapter({ records: jsonlSink({ path: second }) });
  monitor = `monitor_${world.names.database}`;
  await world.admin.query(`create role ${monitor} login password 'monitor' in role pg_monitor`);
});
afterAll(async () => {
  await world?.admin.query(`drop role if exists ${monitor}`);
  rmSync(folder, { recursive: true, force: true });
  await world?.[Symbol.asyncDispose]();
});

const monitorUrl = (user = monitor, password = "monitor") =>
  `${world.url({ user, password })}?sslmode=disable`;
const recordFlags = () => files.flatMap((path) => ["--records", path]);
async function calls(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const run = behalf(["calls", ...args], { BEHALF_MONITOR_URL: monitorUrl(), ...env });
  const code = await run.ended;
  return { code, out: run.out().trimEnd(), error: run.error().trimEnd() };
}
interface Shown {
  readonly pid: number;
  readonly backendStart: string;
  readonly callId: string;
  readonly login: string;
  readonly subject: string | null;
  readonly actors: readonly { readonly subject: string }[];
  readonly statement: string | null;
  readonly doubts: readonly string[];
}
const shown = async () => {
  const { code, out, error } = await calls(["--running", "--json", ...recordFlags()]);
  expect({ code, error }).toEqual({ code: 0, error: "" });
  return (JSON.parse(out) as { calls: readonly Shown[] }).calls;
};
/** Sessions of the gateways' logins that sleep, as a superuser sees them. */
const sleeping = async () => {
  const { rows } = await world.admin.query<{ pid: number; login: string; name: string }>(
    "select pid, usename as login, application_name as name from pg_stat_activity where datname = $1 and wait_event = 'PgSleep'",
    [world.names.database],
  );
  return rows;
};
const wake = async () => {
  await world.admin.query(
    "select pg_cancel_backend(pid) from pg_stat_activity where datname = $1 and wait_event = 'PgSleep'",
    [world.names.database],
  );
};

// First: the gateway wants its login for itself, and the adapters below have not connected yet.
it("shows a call through the gateway's own command, by its configuration and none of its secrets", async () => {
  const config = join(folder, "behalf.yaml");
  writeFileSync(
    config,
    worldConfig(world).replace("path: records.jsonl", "path: served.jsonl\n  statements: text"),
  );
  const gateway = behalf(["serve", "--config", config], worldSecrets(world));
  try {
    const [, origin = ""] = await gateway.printed(/listening on (http:\S+)/);
    const client = new Client({ name: "tests", version: "1" });
    const authorization = `Bearer ${await world.token("alice")}`;
    await client.connect(
      new StreamableHTTPClientTransport(new URL(`${origin}/mcp`), {
        requestInit: { headers: { authorization } },
      }),
    );
    const call = client.callTool({ name: "query", arguments: { sql: "select pg_sleep(60)" } });
    await until(async () => (await sleeping()).length === 1);
    const { code, out, error } = await calls(["--running", "--json", "--config", config]);
    expect({ code, error }).toEqual({ code: 0, error: "" });
    const [{ pid } = { pid: 0 }] = await sleeping();
    expect(JSON.parse(out)).toMatchObject({
      calls: [
        { pid, subject: "alice", tool: "query", statement: "select pg_sleep(60)", doubts: [] },
      ],
    });
    await wake();
    expect((await call).isError).toBe(true);
    await client.close();
  } finally {
    gateway.process.kill("SIGTERM");
    await gateway.ended;
  }
});

describe("behalf calls --running", () => {
  it("says what is missing where nothing has run yet", async () => {
    const message = "there is no such file; name the file that the gateway writes (records.path)";
    expect(await calls(["--running", ...recordFlags()])).toEqual({
      code: 0,
      out: `no call is running in ${world.names.database}`,
      error: files.map((path) => `behalf: ${path}: ${message}`).join("\n"),
    });
  });

  it("names human, agent and statement behind each backend, in every mode, and nobody afterwards", async () => {
    const alice = await world.delegate("alice");
    const bob = await world.delegate("bob");
    const carol = await world.delegate("carol");
    const running = [
      texts.query(alice, "select pg_sleep(60), 'alice''s own'").catch((error: unknown) => error),
      hashes
        .query(bob, sql`select pg_sleep(60), ${"bob's"}::text`)
        .catch((error: unknown) => error),
      hashes.query(carol, "select pg_sleep(60)").catch((error: unknown) => error),
    ];
    await until(async () => (await sleeping()).length === 3);
    const backends = await sleeping();
    const list = await shown();
    expect(new Set(list.map(({ pid }) => pid))).toEqual(new Set(backends.map(({ pid }) => pid)));
    expect(list).toHaveLength(3);
    for (const call of list) {
      const backend = backends.find(({ pid }) => pid === call.pid);
      expect(backend).toMatchObject({ login: call.login, name: `behalf/${call.callId}` });
      expect(call.doubts).toEqual([]);
      expect(call.actors.map(({ subject }) => subject)).toEqual(["agent:assistant"]);
    }
    const of = (subject: string) => list.find((call) => call.subject === subject);
    expect(of("alice")).toMatchObject({
      callId: alice.callId,
      issuer: world.idp.issuer,
      login: world.names.gateway,
      access: "read",
      action: "query",
      state: "active",
      waitsFor: "Timeout: PgSleep",
      statement: "select pg_sleep(60), 'alice''s own'",
    });
    // The server shows the statement itself, and no value of it.
    expect(of("bob")).toMatchObject({
      login: world.names.statementGateway,
      statement: "select pg_sleep(60), $1::text",
    });
    // The server shows the kit's function, the record a hash.
    expect(of("carol")).toMatchObject({
      statement: null,
      query: expect.stringContaining("behalf.read($1"),
      statementHash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });

    const { out, code, error } = await calls(["--running", ...recordFlags()]);
    expect({ code, error }).toEqual({ code: 0, error: "" });
    const lines = out.split("\n");
    expect(lines[0]).toMatch(/^PID +BACKEND START +RUNS +STATE +HUMAN +AGENT +LOGIN +CLIENT$/);
    const line = lines.find((text) => text.includes("  alice  "));
    expect(line).toMatch(
      new RegExp(
        `^${of("alice")?.pid} .* active \\(Timeout: PgSleep\\) +alice +agent:assistant +${world.names.gateway} `,
      ),
    );
    expect(out).toContain("  select pg_sleep(60), 'alice''s own'");
    expect(out).toContain("records.statements: text would record its text");

    // The line to end one is good as it stands.
    const end = lines.at(-1) ?? "";
    expect((await world.admin.query(end)).rowCount).toBe(1);
    await until(async () => (await sleeping()).length === 2);
    await wake();
    for (const ended of await Promise.all(running)) {
      expect(ended).toMatchObject({ code: "timeout", nativeCode: "57014" });
    }
    expect(await calls(["--running", ...recordFlags()])).toEqual({
      code: 0,
      out: `no call is running in ${world.names.database}`,
      error: "",
    });
  });

  it("tells the caller of a terminated backend that the database went away", async () => {
    const call = failure(texts.query(await world.delegate("alice"), "select pg_sleep(60)"));
    await until(async () => (await sleeping()).length === 1);
    const [{ pid, backendStart } = { pid: 0, backendStart: "" }] = await shown();
    const { rowCount } = await world.admin.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and backend_start = $2",
      [pid, backendStart],
    );
    expect(rowCount).toBe(1);
    expect(await call).toMatchObject({ code: "backend.unavailable", nativeCode: "57P01" });
  });

  it("shows the statement of a run that runs now", async () => {
    const run = texts
      .run(await world.delegate("dan"), async (session) => {
        await session.query("select 1");
        await session.query("select pg_sleep(60), 2");
      })
      .catch((error: unknown) => error);
    await until(async () => (await sleeping()).length === 1);
    expect(await shown()).toMatchObject([
      { subject: "dan", action: "run", statement: "select pg_sleep(60), 2", doubts: [] },
    ]);
    await wake();
    await run;
  });

  it("finds a call at the end of a file of 100 GB, of which it reads no more than it must", async () => {
    const large = join(folder, "large.jsonl");
    // A hole takes no room on the disk; to read it would take minutes.
    writeFileSync(large, "");
    truncateSync(large, 100_000_000_000);
    const old = readFileSync(files[0] ?? "", "utf8").split("\n")[0] ?? "";
    appendFileSync(large, `\n${`${old}\n`.repeat(5_000)}`);
    const adapter = world.adapter({ records: jsonlSink({ path: large }) });
    const call = adapter
      .query(await world.delegate("alice"), "select pg_sleep(60)")
      .catch(() => {});
    await until(async () => (await sleeping()).length === 1);
    const { out } = await calls(["--running", "--json", "--records", large]);
    expect(JSON.parse(out)).toMatchObject({ calls: [{ subject: "alice", doubts: [] }] });
    await wake();
    await call;
  });
});

describe("a session that is not what it says", () => {
  const sessionNamed = async (name: string, user: { user: string; password: string }) => {
    const client = new pg.Client({ connectionString: world.url(user), application_name: name });
    client.on("error", () => {});
    await client.connect();
    return client;
  };

  it("is no call where its login is no gateway's, and shown with a doubt where it is one", async () => {
    const name = `stranger_${world.names.database}`;
    await world.admin.query(`create role ${name} login password 'x'`);
    const user = { user: world.names.gateway, password: world.passwords.gateway };
    const unrecorded = newCallId();
    const clients = [
      await sessionNamed(`behalf/${newCallId()}`, { user: name, password: "x" }),
      await sessionNamed(`behalf/${unrecorded}`, user),
      await sessionNamed("behalf/x\u001b[31mred", user),
    ];
    try {
      const { code, out, error } = await calls(["--running", ...recordFlags()]);
      expect(code).toBe(0);
      expect(error).toMatch(
        /^behalf: pid \d+ calls itself behalf\/\.\.\. and is no gateway's login \(stranger_\w+\): anybody can set application_name$/,
      );
      expect(out).toContain(`  call ${unrecorded}\n  ! no record in these files`);
      expect(out).toContain("\n  ! this is no call id: no gateway of Behalf's gave it");
      expect(out).not.toContain("\u001b");
      expect(out).not.toContain("stranger");
    } finally {
      for (const client of clients) await client.end();
      await world.admin.query(`drop role ${name}`);
    }
  });

  it("cannot pass for another call: an agent that takes its id is seen beside it", async () => {
    const alice = await world.delegate("alice");
    const first = texts.query(alice, "select pg_sleep(60)").catch(() => {});
    await until(async () => (await sleeping()).length === 1);
    const second = texts
      .query(
        await world.delegate("bob"),
        `select set_config('application_name', 'behalf/${alice.callId}', true), pg_sleep(60)`,
      )
      .catch(() => {});
    await until(async () => (await sleeping()).length === 2);
    const list = await shown();
    expect(list.map(({ callId }) => callId)).toEqual([alice.callId, alice.callId]);
    for (const { pid, doubts } of list) {
      const other = list.find((call) => call.pid !== pid);
      expect(doubts).toEqual([`claimed by pid ${other?.pid}, too`]);
    }
    await wake();
    await Promise.all([first, second]);
    // Alone, it is seen by the outcome that stands in the records already.
    const third = texts
      .query(
        await world.delegate("bob"),
        `select set_config('application_name', 'behalf/${alice.callId}', true), pg_sleep(60)`,
      )
      .catch(() => {});
    await until(async () => (await sleeping()).length === 1);
    expect(await shown()).toMatchObject([{ doubts: ["its records say that it has ended"] }]);
    await wake();
    await third;
  });
});

describe("says what to do", () => {
  const message = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const { code, out, error } = await calls(["--running", ...args], env);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    return error.replaceAll(folder, "FOLDER");
  };
  const somewhere = () => ["--records", files[0] ?? ""];

  it("where the server refuses, or is another than the gateway's", async () => {
    expect(
      await message(somewhere(), { BEHALF_MONITOR_URL: monitorUrl(monitor, "wrong") }),
    ).toContain("refuses this login (28P01); check user, password and pg_hba.conf");
    const own = `${world.url()}?sslmode=disable`;
    expect(await message(somewhere(), { BEHALF_MONITOR_URL: own })).toContain(
      "this is a gateway's login, whose password is for the gateway alone",
    );
    const other = new URL(monitorUrl());
    other.pathname = "/postgres";
    expect(await message([...somewhere(), "--url", other.href])).toBe(
      "behalf: the kit is not installed in the database postgres; name the database that the gateway uses",
    );
  });

  it("takes the password from PGPASSWORD, as psql does", async () => {
    const url = new URL(monitorUrl());
    url.password = "";
    const env = { BEHALF_MONITOR_URL: url.href, PGPASSWORD: "monitor" };
    expect((await calls(["--running", ...somewhere()], env)).code).toBe(0);
  });

  it("to a login that may not see others' sessions, and shows what it may", async () => {
    const user = `blind_${world.names.database}`;
    await world.admin.query(`create role ${user} login password 'x'`);
    const call = texts.query(await world.delegate("alice"), "select pg_sleep(60)").catch(() => {});
    try {
      await until(async () => (await sleeping()).length === 1);
      const env = { BEHALF_MONITOR_URL: monitorUrl(user, "x") };
      const { code, out, error } = await calls(["--running", ...recordFlags()], env);
      expect(code).toBe(0);
      expect(error).toContain("have a superuser grant pg_read_all_stats (or pg_monitor) to it");
      const [{ pid } = { pid: 0 }] = await sleeping();
      expect(out).toMatch(new RegExp(`^${pid} +\\? +\\? +\\? +alice +agent:assistant`, "m"));
    } finally {
      await wake();
      await call;
      await world.admin.query(`drop role ${user}`);
    }
  });

  it("about files of records", async () => {
    const empty = join(folder, "empty.jsonl");
    const malformed = join(folder, "malformed.jsonl");
    writeFileSync(empty, "");
    writeFileSync(malformed, '\u0000\u0001 no JSON\n{}\n[]\n{"v":2}\n');
    const call = texts.query(await world.delegate("alice"), "select pg_sleep(60)").catch(() => {});
    try {
      await until(async () => (await sleeping()).length === 1);
      const none = join(folder, "none.jsonl");
      const paths = [none, empty, malformed, folder];
      const flags = paths.flatMap((path) => ["--records", path]);
      const { code, out, error } = await calls(["--running", ...flags]);
      expect(code).toBe(1);
      expect(out).toContain("! no record in these files");
      const said = new Set(error.split("\n"));
      const where = "name the file that the gateway writes (records.path)";
      expect(said).toEqual(
        new Set([
          `behalf: ${none}: there is no such file; ${where}`,
          `behalf: ${empty}: this file holds no record; ${where}`,
          `behalf: ${malformed}: this file holds no record; ${where}`,
          `behalf: ${folder}: this is a folder; name the file in it`,
        ]),
      );
    } finally {
      await wake();
      await call;
    }
  });
});
