import type { ToolCall } from "./agent.ts";
import { agentsOf } from "./agents.ts";
import { attackStep } from "./attack-step.ts";
import { checks } from "./checks.ts";
import { people } from "./people.ts";
import { grouped, wrap, type Printer } from "./printing.ts";
import { questionStep } from "./question-step.ts";
import { recordsStep } from "./records-step.ts";
import type { Shop } from "./shop.ts";
import { writeStep } from "./write-step.ts";

export interface TourResult {
  readonly claims: number;
  /** The claims that did not hold. */
  readonly failed: readonly string[];
}

/** Walks through the shop and prints what happens. Each claim that is printed is checked on the way. */
export async function tour(shop: Shop, out: Printer, signal?: AbortSignal): Promise<TourResult> {
  const found = checks();
  const alicesCalls: ToolCall[] = [];
  const agents = agentsOf(shop, (call) => alicesCalls.push(call));

  const size = await shop.admin.query<{ companies: string; orders: string; version: string }>(
    "select (select count(*) from organisations) as companies, (select count(*) from orders) as orders, split_part(current_setting('server_version'), ' ', 1) as version",
  );
  const { companies, orders, version } = size.rows[0] ?? {
    companies: "0",
    orders: "0",
    version: "?",
  };
  out.line(
    `${out.bold("Behalf")}: ${people.length} humans of ${new Set(people.map(({ company }) => company)).size} companies; ${grouped(orders)} orders of ${companies}, one PostgreSQL ${version}.`,
  );

  signal?.throwIfAborted();
  await questionStep(shop, found, out, agents);
  signal?.throwIfAborted();
  await writeStep(shop, found, out, agents);
  signal?.throwIfAborted();
  await attackStep(shop, found, out, agents, signal);
  signal?.throwIfAborted();
  await recordsStep(shop, found, out, alicesCalls);

  out.heading("What was proved");
  const promises = ["identity", "rows", "readOnly"].map((name) => {
    const promise = shop.gateway.capabilities[name];
    if (promise === undefined) throw new Error(`the adapter says nothing about ${name}`);
    return promise;
  });
  for (const { note, grade } of promises) {
    const [first = "", ...more] = wrap(`${grade}: ${note}`, out.width - 5);
    out.line(`   ${first}`);
    for (const line of more) out.line(`     ${line}`);
  }
  const evidence = new Set(promises.map((promise) => promise.evidence));
  out.line(`   Known by: ${[...evidence].join(", ")}: PostgreSQL ${version}`);
  return { claims: found.total, failed: found.failed };
}

/** The last lines. Returns the exit code. */
export function conclude(out: Printer, { claims, failed }: TourResult, seconds: number): 0 | 1 {
  out.line();
  for (const claim of failed) out.line(out.red(`   DOES NOT HOLD: ${claim}`));
  const verdict = `${claims} claims checked, ${failed.length} failed, ${seconds.toFixed(1)} s.`;
  out.line(failed.length === 0 ? out.green(verdict) : out.red(verdict));
  if (failed.length > 0) return 1;
  out.line("Try to become Bob yourself:  npm run try");
  return 0;
}
