import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { callsOf, readRecords } from "@behalf/core";
import { agentOf } from "./agent.ts";
import { ideas } from "./ideas.ts";
import { inCopyOf, judge, othersValues } from "./judge.ts";
import { alice, bob } from "./people.ts";
import { cut, grouped, rowCount, show, tableOrList, wrap, type Printer } from "./printing.ts";
import type { Shop } from "./shop.ts";
import type { ToolAnswer } from "./tool-answer.ts";

const SHOWN_ROWS = 20;
/** The most that the gateway's tool gives. */
const MAX_ROWS = 1_000;
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
  const { judges } = shop;
  if (judges === undefined) throw new Error("the prompt needs a shop with `judges: true`");
  const agents = {
    alice: agentOf(shop, alice),
    bob: agentOf(shop, bob),
  };
  // With the same token: what an answer says about it is the same everywhere.
  const alicesAgain = agents.alice.at(judges.again.url);
  const alicesInCopy = agents.alice.at(judges.copy.url);
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
          await typed(statement.trim());
          statement = "";
        }
      }
      lines.setPrompt(statement === "" ? "alice> " : "    -> ");
      ask();
    }
    // `echo "select 1" | npm run try` ends without a semicolon.
    if (statement.trim() !== "" && !stopped.signal.aborted) await typed(statement.trim());
  } finally {
    lines.close();
  }
  out.line();
  return leaks;

  /** A statement that Ctrl-C cuts off has no answer. */
  async function typed(text: string): Promise<void> {
    try {
      await run(text);
    } catch (error) {
      if (!stopped.signal.aborted) throw error;
    }
  }

  async function run(text: string): Promise<void> {
    if (input.terminal === undefined) out.line(`alice> ${text}`);
    // A semicolon at the end is an end of input for people, and not part of the statement.
    const sql = text.replace(/;\s*$/, "");
    const options = { signal: stopped.signal, maxRows: MAX_ROWS };
    const sides = {
      asked: () => alicesAgain.query(sql, options),
      inCopy: () => inCopyOf(sql, (its) => alicesInCopy.query(its, options)),
    };
    const [answer, inCopy] = await Promise.all([agents.alice.query(sql, options), sides.inCopy()]);
    print(answer);
    const verdict = await judge(sql, answer, others, inCopy, sides);
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

  function print(answer: ToolAnswer): void {
    if (answer.kind === "refused") {
      out.line(`refused: ${answer.code} ${answer.message}`);
      for (const line of wrap(`advice: ${answer.advice}`, out.width)) out.line(out.dim(line));
      return;
    }
    const { columns, rows, truncated } = answer;
    const cells = rows.slice(0, SHOWN_ROWS).map((row) => row.map(show));
    for (const line of tableOrList(columns, cells, out.width)) out.line(line);
    const more = rows.length > SHOWN_ROWS ? `, the first ${SHOWN_ROWS} shown` : "";
    const cutOff =
      truncated === undefined ? "" : ` (there are more: cut by the limit of ${truncated})`;
    out.line(`${rowCount(rows.length)}${cutOff}${more}`);
  }

  async function command(text: string): Promise<void> {
    if (text === "\\help") {
      for (const idea of ideas) out.line(`  ${idea};`);
    } else if (text === "\\who") {
      const { human, actors, role } = await agents.alice.whoAmI();
      out.line(
        `The database says: ${human?.subject ?? "nobody"} of ${human?.issuer ?? "no issuer"},`,
      );
      out.line(`through ${actors.join(" < ")}, as ${role}.`);
    } else if (text === "\\bob") {
      out.line("Bob's newest orders, as Bob's own agent sees them:");
      print(await agents.bob.query(BOBS));
    } else if (text === "\\log") {
      // The file is made by the first record.
      const records = existsSync(shop.recordsFile) ? readRecords(shop.recordsFile) : [];
      const calls = await callsOf(records, { subject: alice.subject });
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
