import { readFileSync } from "node:fs";
import { dirname } from "node:path";

import { sql } from "@behalf/core";
import type { LocalPostgres } from "@behalf/local";
import { afterAll, beforeAll, expect, it } from "vitest";

import { embeddedPostgres } from "../support/embedded-postgres.ts";
import { makeWorld, type World } from "../support/world.ts";

// A server of its own, which logs all that it can.
let server: LocalPostgres;
let world: World;
beforeAll(async () => {
  server = await embeddedPostgres({
    settings: {
      log_statement: "all",
      log_min_duration_statement: "0",
      log_duration: "on",
      log_connections: "on",
      log_disconnections: "on",
      log_error_verbosity: "verbose",
      log_line_prefix: "%m [%p] %q%u@%d %a ",
      shared_preload_libraries: "auto_explain",
      "auto_explain.log_min_duration": "0",
      "auto_explain.log_nested_statements": "on",
      "auto_explain.log_analyze": "on",
    },
  });
  world = await makeWorld({ url: server.url });
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  await server?.stop();
});

const majorOf = () => Number(server.version.split(".")[0]);
const logins = () => [world.names.gateway, world.names.statementGateway];
/** The SQL of "Logs" in docs/postgres.md, to the letter. */
const page = readFileSync(new URL("../../docs/postgres.md", import.meta.url), "utf8");
const advice = (/^## Logs\n.*?```sql\n(.*?)```/ms.exec(page)?.[1] ?? "").trim().split("\n");
const onLogins = async (line: string) => {
  for (const login of logins()) await world.admin.query(line.replace("shop_gateway", login));
};

/** What the log gains while calls of every kind run: granted, refused, failing, and hostile. */
async function logged(): Promise<{ readonly log: string; readonly ids: readonly string[] }> {
  const file = `${dirname(server.dataDirectory)}.log`;
  const before = readFileSync(file).length;
  // Connections of their own, so that what is set for their logins holds.
  const thief = world.pool({ max: 1 });
  // No adapter listens to this one, and pg ends a pool before its sockets: the server may be first.
  thief.on("error", () => {}).on("connect", (client) => client.on("error", () => {}));
  const shop = world.adapter();
  const ids: string[] = [];
  const delegation = async () => {
    const made = await world.delegate("alice");
    ids.push(made.callId);
    return made;
  };
  // The first sends the token, those behind it the ticket.
  for (const text of [
    "select count(*) from orders",
    "select nonsense",
    "select current_setting('behalf.seal')::int",
    "select set_config('log_parameter_max_length_on_error', '-1', false), 1 / 0",
    "select raise_nothing()",
    "rollback; select 1",
  ]) {
    await shop.query(await delegation(), text).catch(() => {});
    await shop.query(await delegation(), text, { access: "write" }).catch(() => {});
  }
  await shop.query(await delegation(), sql`select ${"a value"}::text from orders limit 1`);
  await shop.query(await delegation(), sql`select 1 / ${0}::int`).catch(() => {});
  for await (const _ of shop.stream(await delegation(), "select id from orders")) break;
  await shop.run(await delegation(), (session) => session.query("select 1"));
  // What the database itself refuses: a ticket that is none, a token that is none.
  for (const proof of [
    `bt1.${"0".repeat(64)}.{"key": 1}`,
    `${await world.databaseToken("bob")}x`,
  ]) {
    await thief
      .query("select behalf.start($1, $2, $3)", [proof, world.idp.issuer, "bob"])
      .catch(() => {});
  }
  await shop.close();
  await thief.end();
  return { log: readFileSync(file).subarray(before).toString("utf8"), ids };
}

/** Lines that hold a token, or a ticket with its MAC. */
const proofsIn = (log: string) =>
  log.split("\n").filter((line) => /eyJ[\w-]{20,}|bt1\.[0-9a-f]{64}/.test(line));

it("holds tokens and tickets where nobody keeps parameters out of it", async () => {
  const { log } = await logged();
  expect(/DETAIL: .*\$1 = 'eyJ/.test(log)).toBe(true);
  expect(/DETAIL: .*\$1 = 'bt1\./.test(log)).toBe(true);
});

it("holds none with what docs/postgres.md says, and names the calls", async () => {
  // Before 16 auto_explain logs no parameters.
  const settings = advice.filter(
    (line) => majorOf() >= 16 || !line.includes("log_parameter_max_length = 0;  --"),
  );
  expect(settings.length).toBeGreaterThan(2);
  for (const line of settings.filter((text) => !/verbos/.test(text))) await onLogins(line);
  const { log, ids } = await logged();
  expect(proofsIn(log)).toEqual([]);
  expect(log.includes("a value")).toBe(false);
  // What does stand there.
  expect(ids.filter((id) => !log.includes(` behalf/${id} `))).toEqual([]);
  for (const line of [
    /execute behalf_read: select \* from behalf\.read\(\$1/,
    /connection authorized: user=/,
    // An agent's own text: where it fails, and where nested statements are explained. A read's is not: its
    // cursor ends with the transaction, unfinished.
    /QUERY: .*select nonsense/,
    /Query Text: with behalf_w as \(select count\(\*\) from orders/,
  ]) {
    expect(line.test(log), String(line)).toBe(true);
  }
});

it("holds them again where auto_explain is verbose, because a plan shows arguments as constants", async () => {
  await world.admin.query("alter system set auto_explain.log_verbose = on");
  await world.admin.query("select pg_reload_conf()");
  expect(proofsIn((await logged()).log).length).toBeGreaterThan(0);
  await onLogins(advice.find((line) => line.includes("log_verbose")) ?? "");
  expect(proofsIn((await logged()).log)).toEqual([]);
});

it("holds agents' failing texts no more with terse errors", async () => {
  const texts = (log: string) => log.split("\n").filter((line) => /QUERY: |CONTEXT: /.test(line));
  expect(texts((await logged()).log).length).toBeGreaterThan(0);
  await onLogins(advice.find((line) => line.includes("log_error_verbosity")) ?? "");
  const { log } = await logged();
  expect(texts(log)).toEqual([]);
  expect(log.includes('column "nonsense" does not exist')).toBe(true);
});
