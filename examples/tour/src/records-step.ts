import {
  BehalfError,
  callsOf,
  joinCalls,
  readRecords,
  statementHash,
  type CallRecord,
} from "@behalf/core";
import type { Checks } from "./checks.ts";
import { alice } from "./people.ts";
import { cut, rowCount, table, type Printer } from "./printing.ts";
import { AGENT, type Shop } from "./shop.ts";

const SHOWN = 9;

/** Step three: what happened, from the file of records and from nothing else. */
export async function recordsStep(
  shop: Shop,
  { check }: Checks,
  out: Printer,
  alicesStatements: readonly string[],
): Promise<void> {
  await knockWithBadTokens(shop, { check });

  out.heading("3. What did Alice's agent do? (from the records alone)");
  const reader = readRecords(shop.recordsFile);
  const all = await callsOf(reader, {
    issuer: shop.idp.issuer,
    subject: alice.subject,
    actor: AGENT,
  });
  // What a call did inside has records of its own, which name the call.
  const calls = all.filter(({ decision }) => decision.partOf === undefined);
  const ids = new Set(calls.map(({ id }) => id));
  check(
    "what happened inside of a call names a call of Alice's agent",
    all.every(({ decision }) => decision.partOf === undefined || ids.has(decision.partOf)),
  );
  const queries = calls.filter(({ decision }) => decision.tool === "run_sql");
  check("no line of the records is torn", reader.tornLines === 0);
  check(
    "each call has a decision and an outcome",
    all.every(({ outcome }) => outcome !== null),
  );
  check(
    "the records hold exactly the statements that Alice's agent sent, in their order",
    queries.map(({ decision }) => decision.statementHash).join() ===
      alicesStatements.map(statementHash).join(),
  );
  const chain = all.map(({ decision }) =>
    decision.actors.map(({ subject }) => subject).join(" < "),
  );
  check("each call names the agent", chain.length > 0 && chain.every((actors) => actors === AGENT));
  const pids = new Set(calls.flatMap(({ outcome }) => outcome?.native?.["pid"] ?? []));
  const backends = await shop.admin.query<{ pid: number }>("select pid from pg_stat_activity");
  check(
    "the process ids are backends of this server",
    pids.size > 0 && [...pids].every((pid) => backends.rows.some((row) => row.pid === pid)),
  );

  const columns = [
    { title: "UTC", width: 8 },
    { title: "tool", width: 8 },
    { title: "decision", width: 8 },
    { title: "statement", width: out.width - 58 },
    { title: "came back", width: 14 },
    { title: "pid" },
  ] as const;
  const shown = [...calls.slice(0, 4), ...calls.slice(-(SHOWN - 4))];
  for (const line of table(columns, shown.map(cells))) out.line(`   ${line}`);
  const refused = calls.filter(({ status }) => status === "error").length;
  out.line();
  out.line(
    `   ${calls.length} calls for ${alice.subject}, by ${[...new Set(chain)].join(", ")}, ${refused} of them refused by PostgreSQL.`,
  );

  const denied = (await joinCalls(readRecords(shop.recordsFile))).filter(
    ({ status }) => status === "denied",
  );
  check("both bad tokens are in the records as denied", denied.length === 2);
  check(
    "a refused token names nobody as verified",
    denied.every(({ decision }) => decision.subject === null),
  );
  check(
    "what a refused token says of itself is kept as unverified",
    denied.every(({ decision }) => decision.unverified?.["sub"] === alice.subject),
  );
  out.line("   Two calls never got that far. A refused token proves nobody:");
  for (const { decision } of denied) {
    const why = decision.reason === undefined ? "" : ` (${decision.reason})`;
    out.line(
      `   ${decision.time.slice(11, 19)}  denied, ${decision.code}${why}: ` +
        `${decision.subject?.subject ?? "nobody"}, says it is ${decision.unverified?.["sub"]}`,
    );
  }
}

/** A token that has expired, and one of Alice's for the database that was brought to the gateway. */
async function knockWithBadTokens(shop: Shop, { check }: Pick<Checks, "check">): Promise<void> {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    sub: alice.subject,
    client_id: "assistant",
    jti: "tour-bad-token",
    act: { sub: AGENT },
    iat: now - 600,
  };
  const expired = await shop.idp.forge({ ...claims, aud: "urn:shop:gateway", exp: now - 300 });
  const misdirected = await shop.idp.forge({ ...claims, aud: "urn:shop:database", exp: now + 300 });
  for (const [token, code] of [
    [expired, "identity.expired"],
    [misdirected, "identity.rejected"],
  ] as const) {
    const refusal = await shop.gateway.runSql(token, "select 1").then(
      () => undefined,
      (error: unknown) => error,
    );
    check(
      `a bad token is refused with ${code}`,
      BehalfError.isInstance(refusal) && refusal.code === code,
    );
  }
}

function cells({ decision, outcome }: CallRecord): string[] {
  const pid = outcome?.native?.["pid"];
  return [
    decision.time.slice(11, 19),
    decision.tool ?? "",
    decision.decision === "allow" ? "allowed" : "denied",
    cut(decision.statement ?? decision.action ?? "", 60),
    outcome?.status === "ok"
      ? rowCount(outcome.rows ?? 0)
      : `refused, ${outcome?.nativeCode ?? outcome?.code ?? "unknown"}`,
    pid === undefined ? "-" : String(pid),
  ];
}
