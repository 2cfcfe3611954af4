import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, rmSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { agentOf } from "./agent.ts";
import { alice } from "./people.ts";
import { printer, type Printer } from "./printing.ts";
import { prompt } from "./prompt.ts";
import { startShop, type ShopOptions } from "./shop.ts";
import { rowsOf } from "./tool-answer.ts";
import { conclude, tour, type TourResult } from "./tour.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

interface Run {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
  /** What is still in the folder for temporary files. */
  readonly leftovers: readonly string[];
}

interface RunOptions {
  readonly input?: string;
  /** Sends SIGINT once this was printed. */
  readonly interruptAt?: string;
  /** Sends SIGINT once its folder for temporary files holds something whose name begins so. */
  readonly interruptAtFile?: string;
  /** Closes the end of the pipe that is read, as `head` does, once this was printed. */
  readonly closeAt?: string;
  readonly arguments?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
}

/** Runs a program of the tour as people do, with a folder for temporary files of its own. */
async function run(program: "main.ts" | "try.ts", options: RunOptions = {}): Promise<Run> {
  const temporary = mkdtempSync(join(tmpdir(), "behalf-tour-test-"));
  folders.push(temporary);
  // As root the server runs under another account, which must reach its data.
  chmodSync(temporary, 0o755);
  const file = fileURLToPath(new URL(program, import.meta.url));
  const child = spawn(process.execPath, [file, ...(options.arguments ?? [])], {
    env: { ...process.env, TMPDIR: temporary, ...options.environment },
  });
  let output = "";
  let errors = "";
  const { interruptAt, interruptAtFile, closeAt } = options;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    if (interruptAt !== undefined && output.includes(interruptAt)) child.kill("SIGINT");
    if (closeAt !== undefined && output.includes(closeAt)) child.stdout.destroy();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  if (interruptAtFile !== undefined) {
    const watcher = watch(temporary, (_, name) => {
      if (name?.startsWith(interruptAtFile) !== true) return;
      watcher.close();
      child.kill("SIGINT");
    });
    child.once("close", () => watcher.close());
  }
  if (options.input !== undefined) child.stdin.end(options.input);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject).on("close", resolve);
  });
  // The guardian of the server removes its folder when the program is gone.
  const deadline = Date.now() + 10_000;
  while (readdirSync(temporary).length > 0 && Date.now() < deadline) await sleep(25);
  return { code, output, errors, leftovers: readdirSync(temporary) };
}

/** A printer into memory. */
function memory(): { out: Printer; text: () => string } {
  let written = "";
  return { out: printer({ write: (text) => (written += text) }, {}), text: () => written };
}

describe("npm start", () => {
  test("runs through, checks what it prints and leaves nothing", async () => {
    const { code, output, errors, leftovers } = await run("main.ts");
    expect(errors).toBe("");
    expect(output).toMatch(
      /^Behalf: 4 humans of 3 companies; 100,000 orders of 4, one PostgreSQL 18\./,
    );
    expect(output).toContain("1. One agent, one question, two humans");
    expect(output).toContain("query, describe_tables, whoami, write, orders_by_status");
    expect(output).toContain("2. It writes as Alice, and uses a tool of the gateway's author");
    expect(output).toMatch(
      /A superuser finds 1,\d{3} rows of Acme Tools changed, and 0 of others\./,
    );
    expect(output).toMatch(/where org_id = 'globex'\n +Alice: 0 rows changed/);
    expect(output).toContain("Bob: refused, ZB005 ");
    expect(output).toContain("3. Now Alice's agent turns hostile");
    for (const number of [1, 2, 3, 4, 5, 6, 7, 8])
      expect(output).toMatch(RegExp(`^ ${number} `, "m"));
    expect(output).not.toContain("LEAKED");
    expect(output).toContain("the agent is told: Send one statement at a time");
    expect(output).toContain("went to the tool write as well, and gained nothing.");
    expect(output).toContain("4. What did Alice's agent do? (from the records alone)");
    for (const tool of ["query", "whoami", "write", "orders_by_status"]) {
      expect(output).toMatch(RegExp(`^ +\\d\\d:\\d\\d:\\d\\d  ${tool} `, "m"));
    }
    expect(output).toContain("(audience): nobody, says it is alice");
    expect(output).toContain("Known by: independent engine: PostgreSQL 18.");
    expect(output).toMatch(/^160 claims checked, 0 failed, \d+\.\d s\.$/m);
    expect(output.split("\n").every((line) => Array.from(line).length <= 80)).toBe(true);
    expect(output).not.toContain("eyJ");
    expect(output).not.toContain("\u{1b}");
    expect(leftovers).toEqual([]);
    expect(code).toBe(0);
  });

  test.each([
    ["while it writes", { interruptAt: "2. It writes as Alice" }],
    ["in the middle", { interruptAt: "3. Now Alice's agent turns hostile" }],
    ["as soon as there is something to clean up", { interruptAtFile: "behalf-tour-" }],
    ["while the server starts", { interruptAtFile: "behalf-postgres-" }],
  ])("Ctrl-C %s cleans up and exits with 130", async (_, when) => {
    const { code, output, errors, leftovers } = await run("main.ts", when);
    expect(errors).toBe("");
    expect(output).not.toContain("claims checked");
    expect(leftovers).toEqual([]);
    expect(code).toBe(130);
  });
});

describe.each(["main.ts", "try.ts"] as const)("%s", (program) => {
  test("ends quietly where nobody reads on", async () => {
    const closed = await run(program, {
      closeAt: program === "main.ts" ? "One agent, one question" : "You are the agent",
      input: "select 1;\nselect 2;\n",
    });
    expect(closed).toMatchObject({ code: 0, errors: "", leftovers: [] });
  });

  test("says in a line why it cannot start", async () => {
    const { code, output, errors, leftovers } = await run(program, {
      environment: { TMPDIR: "/nonexistent" },
    });
    expect(errors).toMatch(/^The set-up failed: ENOENT.*\/nonexistent.*\n$/);
    expect({ code, output, leftovers }).toEqual({ code: 1, output: "", leftovers: [] });
  });

  test("refuses arguments that it does not know", async () => {
    for (const argument of ["--nonsense", "nonsense"]) {
      const { code, output, errors } = await run(program, { arguments: [argument] });
      expect(errors).toMatch(/^Un(known|expected) .*nonsense'\nusage: npm (start|run try)/);
      expect({ code, output }).toEqual({ code: 2, output: "" });
    }
  });
});

describe("a claim that does not hold", () => {
  async function sabotaged(sql: string): Promise<TourResult & { exitCode: 0 | 1; output: string }> {
    await using shop = await startShop();
    await shop.admin.query(sql);
    const { out, text } = memory();
    const result = await tour(shop, out);
    const exitCode = conclude(out, result, 1);
    for (const secret of shop.secrets) expect(text()).not.toContain(secret);
    expect(text()).not.toContain("eyJ");
    return { ...result, exitCode, output: text() };
  }

  test("policies and guards that let through: in the table, in the attacks and in the exit code", async () => {
    // Without the REVOKE the adapter would refuse to work at all: agents may write, and nothing guards.
    const { failed, exitCode, output } = await sabotaged(`
      create policy oops on orders for select to behalf_agents using (true);
      revoke update (status) on orders from manager_writer;
      select behalf.unguard('orders');
      select behalf.expose('orders', 'sabotage')`);
    expect(failed).toContain("Alice: exactly the own orders are seen");
    expect(failed).toContain(
      "Behalf: an agent that writes itself another human's claims, in one SELECT gains nothing",
    );
    expect(output).toContain("LEAKED: 60,000 orders");
    expect(output).toContain("DOES NOT HOLD: Alice: exactly the own orders are seen");
    expect(output).toMatch(/^160 claims checked, [1-9]\d* failed/m);
    expect(exitCode).toBe(1);
  });

  test("policies and roles that let agents write too much: in the scene in which they write", async () => {
    const { failed, exitCode, output } = await sabotaged(`
      create policy oops on orders for all to manager_writer using (true);
      select behalf.add_write_role('agent_sales', 'sales_writer');
      grant select, update (status) on orders to sales_writer`);
    expect(failed).toContain("Alice's agent changed no order of any other company");
    expect(failed).toContain("Alice's agent cancels no order of Globex Foods");
    expect(failed).toContain("Bob's agent, whose job only reads, is refused by the database");
    expect(output).toMatch(/^160 claims checked, [1-9]\d* failed/m);
    expect(exitCode).toBe(1);
  });

  test("a narrowing policy that is gone, a column too many, a recipe that leaks less: each is missed or found", async () => {
    const { failed, exitCode } = await sabotaged(`
      drop policy sales_own_customers on orders;
      grant select on orders to agent_support;
      revoke temporary on database shop from public;
      revoke app_service from recipe_login`);
    expect(failed).toContain("Bob: exactly the own orders are seen");
    expect(failed).toContain(
      "the author's tool: Bob's answer is what a superuser finds in Bob's own rows",
    );
    expect(failed).toContain("Carol is refused the prices");
    expect(failed).not.toContain("Alice: exactly the own orders are seen");
    expect(failed.filter((claim) => claim.startsWith("the recipe: "))).toHaveLength(4);
    expect(exitCode).toBe(1);
  });
});

describe("npm run try", () => {
  test("takes statements from a pipe, also the last one without a semicolon", async () => {
    const { code, output, errors, leftovers } = await run("try.ts", {
      input:
        "\\log\n\\who\n\\help\n\\bob\nselect count(*)\n  from orders;\nselect set_config('role', 'postgres', true)\n\n\\log\nselect 6 * 7 as answer",
    });
    expect(errors).toBe("");
    expect(output).toContain("alice> \\log\nNo calls yet.");
    expect(output).toContain("The database says: alice of http://127.0.0.1:");
    expect(output).toContain("agent_manager");
    expect(output).toMatch(/count\n40000\n1 row\nNothing of anybody else in it/);
    expect(output).toContain(
      'refused: 42501 cannot set parameter "role" within security-definer function',
    );
    expect(output).toMatch(/ok +1 row +select count\(\*\) from orders/);
    expect(output).toMatch(/answer\n42\n1 row/);
    expect(output).not.toContain("eyJ");
    expect(leftovers).toEqual([]);
    expect(code).toBe(0);
  });

  test("\\q and Ctrl-C end it with 0", async () => {
    const quit = await run("try.ts", { input: "\\q\nselect 1;" });
    expect(quit).toMatchObject({ code: 0, errors: "", leftovers: [] });
    expect(quit.output).not.toContain("1 row");
    const stopped = await run("try.ts", { interruptAt: "You are the agent of Alice" });
    expect(stopped).toMatchObject({ code: 0, errors: "", leftovers: [] });
  });

  async function typed(
    lines: string,
    options: ShopOptions & { sabotage?: string } = {},
  ): Promise<{ leaks: number; output: string }> {
    await using shop = await startShop({ ...options, judges: true });
    await shop.admin.query(options.sabotage ?? "select");
    const { out, text } = memory();
    const { signal } = new AbortController();
    const leaks = await prompt(
      shop,
      { stream: Readable.from([lines]), terminal: undefined, signal },
      out,
    );
    return { leaks, output: text() };
  }

  test("says loudly when somebody else's data is in an answer, counts included", async () => {
    const { leaks, output } = await typed(
      "select name from customers where id = 10001;\nselect count(*) from orders;\nselect reference from orders where org_id = 'globex' limit 1;\n",
      { sabotage: "create policy oops on orders for select to behalf_agents using (true)" },
    );
    expect(leaks).toBe(2);
    expect(output.match(/SOMEBODY ELSE'S DATA/g)).toHaveLength(2);
  });

  test("is not talked out of it by what else the statement says", async () => {
    const statements = [
      "select count(*)/*oid*/ from orders",
      "select count(*), 'pg_class' as kind from orders",
      "select count(*), pg_backend_pid() from orders",
      "select pg_backend_pid(), query_to_xml('select count(*) from orders', true, false, '')::text",
      "select count(*), random() from orders",
      "select count(*) from shop.public.orders",
      'select sum(total) from "shop"."public"."orders"',
    ];
    const { leaks } = await typed(statements.map((statement) => `${statement};\n`).join(""), {
      sabotage: "create policy oops on orders for select to behalf_agents using (true)",
    });
    expect(leaks).toBe(statements.length);
  });

  test("accuses nobody of what differs between two databases, two connections or two moments", async () => {
    const own = [
      "select behalf.claims()",
      "select count(*) from shop.public.orders",
      "select count(*)/*oid*/ from orders",
    ];
    const changing = [
      ...Array<string>(6).fill("select random() < 0.5"),
      "select extract(milliseconds from clock_timestamp())::int % 2, clock_timestamp()",
      "select random(), count(*) from orders",
      "select query_to_xml('select pg_backend_pid()', true, false, '')::text",
    ];
    const server = [
      "select pg_backend_pid(), count(*) from orders",
      "select pid from behalf.whoami()",
      "select oid from pg_class where relname = 'orders'",
      "select pg_relation_filepath('orders')",
    ];
    const { leaks, output } = await typed(
      [...own, ...changing, ...server, "\\log"].map((line) => `${line}\n\n`).join(""),
    );
    expect(leaks).toBe(0);
    // By chance `random() < 0.5` is the same in the copy, or the same all along.
    expect(output.match(/Nothing of anybody else in it/g)?.length).toBeGreaterThanOrEqual(
      own.length,
    );
    for (const statement of own) {
      const answer = output.slice(output.indexOf(`alice> ${statement}`));
      expect(answer.slice(0, answer.indexOf("\n\n"))).toContain("Nothing of anybody else in it");
    }
    expect(output.match(/This is about the server itself/g)).toHaveLength(server.length);
    // The judge's own calls are not Alice's.
    const log = output.slice(output.indexOf("alice> \\log"));
    expect(log.match(/^\d\d:\d\d:\d\d /gm)).toHaveLength(
      own.length + changing.length + server.length,
    );
  });

  test("raises no alarm for what the statement itself holds, for time, chance and the server's own facts", async () => {
    const { leaks, output } = await typed(
      "select 'globex', 'glo' || 'bex';\nselect clock_timestamp()::text;\nselect random();\nselect pg_backend_pid();\nselect * from orders limit 5;\nselect oid from pg_database where datname = current_database();\n",
    );
    expect(leaks).toBe(0);
    expect(output.match(/Nothing of anybody else in it/g)).toHaveLength(2);
    expect(output.match(/names and references of others instead: none is in it/g)).toHaveLength(4);
  });

  test("signs in again when the token has expired", async () => {
    await using shop = await startShop({ accessTokenTtlSeconds: 2 });
    const agent = agentOf(shop, alice);
    await agent.query("select 1");
    await sleep(2_500);
    expect(rowsOf(await agent.query("select count(*)::integer from orders"))).toEqual([[40_000]]);
    expect(shop.idp.requests()["/token"]).toBe(4);
  });

  test("ends where the input ends, in the middle of nothing", async () => {
    await using shop = await startShop({ judges: true });
    const { out, text } = memory();
    const stream = new PassThrough();
    const stopper = new AbortController();
    const ended = prompt(shop, { stream, terminal: undefined, signal: stopper.signal }, out);
    stream.write("select pg_sleep(20);\n");
    await sleep(500);
    stopper.abort();
    expect(await ended).toBe(0);
    expect(text()).not.toContain("1 row");
  });
});
