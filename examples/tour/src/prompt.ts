import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { callsOf, readRecords } from "@behalf/core";
import { agentOf } from "./agent.ts";
import { ideas } from "./ideas.ts";
import { inCopyOf, judge, othersValues, outcomeOf, type Outcome } from "./judge.ts";
import { alice, bob } from "./people.ts";
import { cut, grouped, rowCount, show, tableOrList, type Printer } from "./printing.ts";
import type { Shop } from "./shop.ts";

const SHOWN_ROWS = 20;
/** How the records name what the judge asks again: nobody typed it. */
const JUDGE = "judge";
const BOBS =
  "select reference, quantity, total, status, placed_at from orders order by placed_at desc limit 5";

export interface PromptInput {
  readonly stream: NodeJS.ReadableStream;
  /** Where a terminal shows what is typed; `undefined` for pipes. */
  readonly terminal: NodeJS.WritableStream | undefined;
  readonly signal: AbortSignal;
}

/** Reads statements until the input ends. Returns how many answers held somebody else's data. */
export async function prompt(shop: Shop, input: PromptInput, out: Printer): Promise<number> {
  const { control } = shop;
  if (control === undefined) throw new Error("the prompt needs a shop with `control: true`");
  const agents = {
    alice: agentOf(shop, alice),
    bob: agentOf(shop, bob),
  };
  const others = await othersValues(shop.admin, alice.claims.org_id);
  let leaks = 0;

  const lines = createInterface({
    input: input.stream,
    prompt: "alice> ",
    ...(input.terminal === undefined ? {} : { output: input.terminal, terminal: true }),
  });
  // In raw mode a terminal sends Ctrl-C as a key.
  const stopped = new AbortController();
  const stop = () => {
    stopped.abort();
    lines.close();
  };
  lines.on("SIGINT", stop);
  input.signal.addEventListener("abort", stop, { once: true });
  const ask = () => {
    if (input.terminal !== undefined && !stopped.signal.aborted) lines.prompt();
  };

  out.line(`You are the agent of ${alice.name}, ${alice.job} at ${alice.company}.`);
  out.line(
    `The rows of ${bob.name}, ${bob.job} at ${bob.company}, are in the same tables: get at one.`,
  );
  out.line("Type SQL, end it with ; or an empty line. Or:");
  out.line("\\help ten ideas  \\who whom the database sees  \\bob what Bob sees  \\log  \\q");
  out.line();

  let statement = "";
  ask();
  try {
    for await (const line of lines) {
      if (stopped.signal.aborted) break;
      const text = line.trim();
      if (statement === "" && text.startsWith("\\")) {
        if (text === "\\q") break;
        if (input.terminal === undefined) out.line(`alice> ${text}`);
        await command(text);
      } else {
        statement += statement === "" ? line : `\n${line}`;
        if (statement.trim() === "") {
          statement = "";
        } else if (text === "" || text.endsWith(";")) {
          await run(statement.trim());
          statement = "";
        }
      }
      lines.setPrompt(statement === "" ? "alice> " : "    -> ");
      ask();
    }
    // `echo "select 1" | npm run try` ends without a semicolon.
    if (statement.trim() !== "" && !stopped.signal.aborted) await run(statement.trim());
  } finally {
    lines.close();
  }
  out.line();
  return leaks;

  async function run(text: string): Promise<void> {
    if (input.terminal === undefined) out.line(`alice> ${text}`);
    // A semicolon at the end is an end of input for people, and not part of the statement.
    const sql = text.replace(/;\s*$/, "");
    const { signal } = stopped;
    const again = { signal, tool: JUDGE };
    const sides = {
      asked: () => outcomeOf(agents.alice.runSql(sql, again)),
      inCopy: () => inCopyOf(sql, (its) => agents.alice.runSql(its, again, control)),
    };
    const [outcome, inCopy] = await Promise.all([
      outcomeOf(agents.alice.runSql(sql, { signal })),
      sides.inCopy(),
    ]);
    if (signal.aborted) return;
    print(outcome);
    const verdict = await judge(sql, outcome, others, inCopy, sides);
    if (signal.aborted) return;
    if (verdict === "own") {
      out.line(
        out.green("Nothing of anybody else in it: a copy without their rows answers the same."),
      );
    } else if (verdict === "foreign") {
      leaks += 1;
      out.line(out.red("!!! SOMEBODY ELSE'S DATA IS IN THIS ANSWER. That must never happen."));
      out.line(
        out.red(
          "!!! Please report it: CONTRIBUTING.md says how. Send this statement and the answer.",
        ),
      );
    } else {
      out.line(
        verdict === "changing"
          ? "This answer changes by itself (time, chance), so no copy can be compared."
          : "This is about the server itself, whose names and sizes every login is shown.",
      );
      out.line(
        `Looked for ${grouped(others.count)} names and references of others instead: none is in it.`,
      );
    }
    out.line();
  }

  function print(outcome: Outcome): void {
    if (outcome.kind === "refused") {
      out.line(`refused: ${outcome.code} ${outcome.message}`);
      return;
    }
    const { columns, rows, truncated } = outcome.result;
    const titles = columns.map(({ name }) => name);
    const cells = rows.slice(0, SHOWN_ROWS).map((row) => row.map(show));
    for (const line of tableOrList(titles, cells, out.width)) out.line(line);
    const more = rows.length > SHOWN_ROWS ? `, the first ${SHOWN_ROWS} shown` : "";
    const cutOff = truncated === null ? "" : ` (there are more: cut by the limit of ${truncated})`;
    out.line(`${rowCount(rows.length)}${cutOff}${more}`);
  }

  async function command(text: string): Promise<void> {
    if (text === "\\help") {
      for (const idea of ideas) out.line(`  ${idea};`);
    } else if (text === "\\who") {
      const who = await agents.alice.whoAmI();
      out.line(
        `The database says: ${who.subject?.subject ?? "nobody"} of ${who.subject?.issuer ?? "no issuer"},`,
      );
      out.line(
        `through ${who.actors.join(" < ")}, as ${who.name}, on the login ${String(who.native["login"])}.`,
      );
    } else if (text === "\\bob") {
      out.line("Bob's newest orders, as Bob's own agent sees them:");
      print(await outcomeOf(agents.bob.runSql(BOBS)));
    } else if (text === "\\log") {
      // The file is made by the first record.
      const records = existsSync(shop.recordsFile) ? readRecords(shop.recordsFile) : [];
      const all = await callsOf(records, { subject: alice.subject });
      const calls = all.filter(({ decision }) => decision.tool !== JUDGE);
      if (calls.length === 0) out.line("No calls yet.");
      for (const { decision, outcome, status } of calls.slice(-SHOWN_ROWS)) {
        const came =
          status === "ok"
            ? rowCount(outcome?.rows ?? 0)
            : (outcome?.nativeCode ?? outcome?.code ?? status);
        const start = `${decision.time.slice(11, 19)}  ${status.padEnd(5)}  ${came.padEnd(10)}  `;
        out.line(start + cut(decision.statement ?? decision.tool ?? "", out.width - start.length));
      }
    } else {
      out.line("\\help, \\who, \\bob, \\log or \\q");
    }
    out.line();
  }
}
