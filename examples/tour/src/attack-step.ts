import { attacks, type Attack } from "./attacks.ts";
import type { Agents } from "./agents.ts";
import type { Checks } from "./checks.ts";
import { alice, bob, type Person } from "./people.ts";
import { cut, wrap, type Printer } from "./printing.ts";
import { behalfScene, recipeScene, type Answer, type Scene } from "./scenes.ts";
import type { Shop } from "./shop.ts";
import { FINGERPRINT, same, truth } from "./truth.ts";

/** Step three: every attack on both sides of the same server, one after the other. */
export async function attackStep(
  shop: Shop,
  { check }: Checks,
  out: Printer,
  agents: Agents,
  signal?: AbortSignal,
): Promise<void> {
  const behalf = behalfScene(shop, agents);
  const throughWrite = behalfScene(shop, agents, "write");
  const side = Math.floor((out.width - 3 - 4) / 3);
  const widths = [side - 3, side, out.width - 7 - 2 * side + 3];

  out.heading("3. Now Alice's agent turns hostile");
  const print = (
    number: string,
    cells: readonly (readonly string[])[],
    paint = (text: string) => text,
  ) => {
    const height = Math.max(...cells.map((cell) => cell.length));
    for (let at = 0; at < height; at += 1) {
      const columns = cells.map((cell, index) => (cell[at] ?? "").padEnd(widths[index] ?? 0));
      out.line(paint(`${(at === 0 ? number : "").padStart(2)} ${columns.join("  ")}`.trimEnd()));
    }
  };
  print("", [["it sends"], ["the usual recipe leaks"], ["Behalf: PostgreSQL answers"]], out.bold);

  await honest("before the attacks");
  const opened = shop.connectionsOpened();
  let attempts = 0;
  let naming = 0;
  let gainedByWriting = 0;
  let undisturbed = 0;
  let advice = "";
  for (const [index, attack] of attacks.entries()) {
    signal?.throwIfAborted();
    const leaked = await onTheRecipe(attack);
    const answers = await onBehalf(attack);
    out.line();
    print(String(index + 1), [
      wrap(attack.title, widths[0] ?? 0),
      wrap(leaked, widths[1] ?? 0),
      answers.flatMap((answer) => wrap(answer, widths[2] ?? 0)),
    ]);
    out.line(out.dim(`   ${cut(attack.sql, out.width - 3)}`));
  }
  out.line();
  for (const line of wrap(`With 42P11 the agent is told: ${advice}`, out.width - 3)) {
    out.line(`   ${line}`);
  }
  await honest("after the attacks");
  // A text that can name settings costs its connection, because PostgreSQL keeps their names until it ends.
  const fresh = shop.connectionsOpened() - opened;
  check(
    "all of it ran on connections that were opened before the first attack, but for those that a text with set_config cost",
    opened > 0 && fresh > 0 && fresh <= naming,
  );
  out.line();
  const texts = attempts / 2;
  const writing = gainedByWriting === 0 ? "and gained nothing" : "AND GAINED SOMETHING";
  out.line(`   Each of the ${texts} texts went to the tool write as well, ${writing}.`);
  out.line(
    `   After each of ${attempts} attempts Bob's agent asked through the same pool, and saw`,
  );
  out.line(
    `   exactly Bob's rows ${undisturbed} times. ${fresh} connections were new: a text that can name`,
  );
  out.line("   settings costs its connection.");

  async function onTheRecipe(attack: Attack): Promise<string> {
    const pool = shop.recipePool();
    try {
      const scene = recipeScene(shop, pool);
      const { gained } = await attack.run(scene, attack.sql);
      check(`the recipe: an agent that ${attack.title} gains something`, gained > 0);
      return gained > 0 ? attack.gain(gained) : "nothing";
    } finally {
      await pool.end();
      await attack.undo?.({ ...behalf });
      await shop.restoreRecipeLogin();
    }
  }

  async function onBehalf(attack: Attack): Promise<string[]> {
    const lines: string[] = [];
    for (const sql of [attack.sql, attack.alone]) {
      if (sql === undefined) continue;
      const what = `an agent that ${attack.title}${sql === attack.alone ? " (one statement)" : ""}`;
      const { answer, gained } = await attempt(attack, behalf, sql, what);
      if (answer.kind === "refused" && answer.code === "42P11") advice = answer.advice ?? "";
      const text =
        gained > 0
          ? `LEAKED: ${attack.gain(gained)}`
          : answer.kind === "refused"
            ? `${answer.code} ${answer.message}`
            : "0 foreign rows";
      lines.push(sql === attack.alone ? `alone: ${text}` : text);
      const written = await attempt(attack, throughWrite, sql, `${what}, with the tool write,`);
      gainedByWriting += written.gained;
    }
    await attack.undo?.(behalf);
    return lines;
  }

  async function attempt(attack: Attack, scene: Scene, sql: string, what: string) {
    attempts += 1;
    if (sql.includes("set_config")) naming += 1;
    const { answer, gained } = await attack.run(scene, sql);
    check(`Behalf: ${what} gains nothing`, gained === 0);
    check(
      `Behalf: ${what} is refused by PostgreSQL or shown nothing foreign`,
      isFromServer(answer),
    );
    if (await seesOwnRows(behalf.asBob, bob, `Behalf: after ${what}`)) undisturbed += 1;
    return { answer, gained };
  }

  /** The comparison is fair: for an honest agent both sides are right. */
  async function honest(when: string): Promise<void> {
    const pool = shop.recipePool();
    try {
      for (const [name, scene] of [
        ["the recipe", recipeScene(shop, pool)],
        ["Behalf", behalf],
      ] as const) {
        await seesOwnRows(scene.asAlice, alice, `${name}, ${when}`);
        await seesOwnRows(scene.asBob, bob, `${name}, ${when}`);
      }
    } finally {
      await pool.end();
    }
  }

  async function seesOwnRows(ask: Scene["asBob"], person: Person, when: string): Promise<boolean> {
    const answer = await ask(FINGERPRINT);
    const rows = answer.kind === "rows" ? answer.rows.map((row) => Object.values(row)) : [];
    const holds = same(rows, await truth(shop.admin, person, FINGERPRINT));
    return check(`${when}: ${person.name} sees exactly ${person.name}'s rows`, holds);
  }
}

/** Five characters: the code came from the server, not from the adapter or the socket. */
function isFromServer(answer: Answer): boolean {
  return answer.kind === "rows" || /^[0-9A-Z]{5}$/.test(answer.code);
}
