import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { callsOf, readRecords } from "@behalf/core";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { behalf, type BehalfRun } from "../support/behalf-command.ts";
import { worldConfig, worldSecrets } from "../support/behalf-config.ts";
import { until } from "../support/failure.ts";
import { currentRequest, toolAnswer } from "../support/gateway-world.ts";
import { HUMANS, makeWorld, type World } from "../support/world.ts";

// Three processes of the real command, with one file of records, before one database.
let world: World;
let folder: string;
const processes: { readonly run: BehalfRun; readonly url: string }[] = [];

beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl"), accessTokenTtlSeconds: 3_600 });
  folder = mkdtempSync(join(tmpdir(), "behalf-processes-"));
  const config = join(folder, "behalf.yaml");
  writeFileSync(config, `${worldConfig(world)}tools:\n  write: true\n`);
  for (let n = 0; n < 3; n++) {
    const run = behalf(["serve", "--config", config], worldSecrets(world));
    const [, origin = ""] = await run.printed(/listening on (http:\S+)/);
    processes.push({ run, url: `${origin}/mcp` });
  }
});
afterAll(async () => {
  for (const { run } of processes) {
    run.process.kill("SIGKILL");
    await run.ended;
  }
  rmSync(folder, { recursive: true, force: true });
  await world?.[Symbol.asyncDispose]();
});

async function ask(
  url: string,
  token: string,
  sql: string,
  options: { readonly tool?: string; readonly signal?: AbortSignal } = {},
): Promise<{ readonly isError: boolean; readonly answer: Record<string, unknown> }> {
  const { tool = "query", signal } = options;
  const { body, headers } = currentRequest("tools/call", { name: tool, arguments: { sql } });
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}`, ...headers },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
  const { result } = (await response.json()) as { result: { isError?: boolean } };
  return { isError: result.isError === true, answer: toolAnswer(result) };
}

const urlOf = (n: number) => processes[n % processes.length]?.url ?? "";

const busy = async (what: string) => {
  const { rows } = await world.admin.query(
    "select from pg_stat_activity where usename = $1 and wait_event = $2",
    [world.names.gateway, what],
  );
  return rows.length;
};

it("gives each human their own rows through whichever process, without a failure", async () => {
  const humans = Object.entries(HUMANS);
  const tokens = await Promise.all(humans.map(([human]) => world.token(human)));
  const wrong: unknown[] = [];
  await Promise.all(
    Array.from({ length: 12 }, async (_, worker) => {
      for (let call = 0; call < 40; call++) {
        const who = (worker + call) % humans.length;
        const { isError, answer } = await ask(
          urlOf(worker + call * 7),
          tokens[who] ?? "",
          "select distinct org_id from orders",
        );
        const right = JSON.stringify(answer["rows"]) === JSON.stringify([[humans[who]?.[1].org]]);
        if (isError || !right) wrong.push(answer);
      }
    }),
  );
  expect(wrong).toEqual([]);
});

it("stops a statement of one process without touching the same human's in another", async () => {
  const alice = await world.token("alice");
  const leaving = new AbortController();
  const given = ask(urlOf(0), alice, "select pg_sleep(20)", { signal: leaving.signal });
  const kept = ask(urlOf(1), alice, "select pg_sleep(0.5), 'kept' as word");
  await until(async () => (await busy("PgSleep")) === 2);
  leaving.abort();
  await expect(given).rejects.toThrow("aborted");
  expect((await kept).answer["rows"]).toEqual([["", "kept"]]);
  await until(async () => (await busy("PgSleep")) === 0);
});

it("refuses a human in every process from the next call on, once the database does", async () => {
  const dan = await world.token("dan");
  const all = async () =>
    Promise.all(processes.map(async ({ url }) => (await ask(url, dan, "select 1")).answer));
  expect((await all()).every((answer) => "rows" in answer)).toBe(true);
  await world.admin.query("select behalf.revoke($1, 'dan')", [world.idp.issuer]);
  expect(await all()).toMatchObject(processes.map(() => ({ error: { code: "identity.revoked" } })));
  await world.admin.query("select behalf.reinstate($1, 'dan')", [world.idp.issuer]);
});

it("survives the loss of connections, idle and busy, in every process", async () => {
  const bob = await world.token("bob");
  const end = () =>
    world.admin.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", [
      world.names.gateway,
    ]);
  const isWell = async (url: string) => !(await ask(url, bob, "select 1")).isError;
  for (const { url } of processes) expect(await isWell(url)).toBe(true);
  await end();
  // A call that meets a connection in the instant of its end may fail; the process notices and goes on.
  for (const { url } of processes) await until(() => isWell(url));
  const broken = processes.map(({ url }) => ask(url, bob, "select pg_sleep(20)"));
  await until(async () => (await busy("PgSleep")) === 3);
  await end();
  for (const { isError, answer } of await Promise.all(broken)) {
    expect(isError).toBe(true);
    expect(answer).toMatchObject({ error: { code: "backend.unavailable", retry: true } });
  }
  for (const { url, run } of processes) {
    await until(() => isWell(url));
    expect(run.process.exitCode).toBeNull();
  }
});

// Last, because one of the processes is gone afterwards.
it("leaves the others and the next human alone when one is killed, and its call reads as unknown", async () => {
  const [alice, bob] = [await world.token("alice"), await world.token("bob")];
  const dying = processes.shift();
  if (dying === undefined) throw new Error("no process");
  const lost = ask(
    dying.url,
    alice,
    "update orders set note = 'orphan' where (select pg_sleep(2)) is not null",
    { tool: "write" },
  );
  await until(async () => (await busy("PgSleep")) === 1);
  dying.run.process.kill("SIGKILL");
  await expect(lost).rejects.toThrow("fetch failed");
  for (const { url } of processes) {
    const { answer } = await ask(url, bob, "select distinct org_id from orders");
    expect(answer["rows"]).toEqual([["globex"]]);
  }
  // The COMMIT was on its way: what becomes of the write, the database alone decides.
  const activity = async () =>
    (
      await world.admin.query(
        "select from pg_stat_activity where usename = $1 and state like 'idle in%' or wait_event = 'PgSleep'",
        [world.names.gateway],
      )
    ).rowCount;
  await until(async () => (await activity()) === 0);
  const calls = await callsOf(readRecords(join(folder, "records.jsonl")), {
    issuer: world.idp.issuer,
    subject: "alice",
  });
  expect(calls.filter(({ status }) => status === "unknown")).toMatchObject([
    { decision: { tool: "write", access: "write" } },
  ]);
});
