import { callsOf, joinCalls, readRecords, statementHash, type CallRecord } from "@behalf/core";
import { Client, SdkHttpError, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { REVISION, type ToolCall } from "./agent.ts";
import { ordersByStatus } from "./author-tool.ts";
import type { Checks } from "./checks.ts";
import { alice } from "./people.ts";
import { cut, rowCount, table, type Printer } from "./printing.ts";
import { AGENT, GATEWAY_LOGIN, STATEMENT_LOGIN, type Shop } from "./shop.ts";

/** How many of the newest calls are shown, beside the first of each tool. */
const LAST = 5;

/** Step four: what happened, from the file of records and from nothing else. */
export async function recordsStep(
  shop: Shop,
  { check }: Checks,
  out: Printer,
  alicesCalls: readonly ToolCall[],
): Promise<void> {
  await knockWithBadTokens(shop, { check });

  out.heading("4. What did Alice's agent do? (from the records alone)");
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
  check("no line of the records is torn", reader.tornLines === 0);
  check(
    "each call has a decision and an outcome",
    all.every(({ outcome }) => outcome !== null),
  );
  check(
    "the records hold exactly the calls that Alice's agent made, by tool and in their order",
    calls.map(({ decision }) => decision.tool).join() ===
      alicesCalls.map(({ tool }) => tool).join(),
  );
  check(
    "the records hold exactly the statements that Alice's agent sent",
    alicesCalls.every(
      ({ sql }, at) =>
        sql === undefined || calls[at]?.decision.statementHash === statementHash(sql),
    ),
  );
  const chain = all.map(({ decision }) =>
    decision.actors.map(({ subject }) => subject).join(" < "),
  );
  check("each call names the agent", chain.length > 0 && chain.every((actors) => actors === AGENT));
  const backends = await shop.admin.query<{ pid: number; login: string }>(
    "select pid, usename as login from pg_stat_activity",
  );
  const loginOf = new Map(backends.rows.map(({ pid, login }) => [pid, login]));
  // Connections of texts that can name settings were closed.
  const still = calls.filter(({ outcome }) => loginOf.has(Number(outcome?.native?.["pid"])));
  check(
    "the process ids that are still there are backends of this server: the author's tool on its own login, all else on the other",
    still.length > 0 &&
      still.every(
        ({ decision, outcome }) =>
          loginOf.get(Number(outcome?.native?.["pid"])) ===
          (decision.tool === ordersByStatus.name ? STATEMENT_LOGIN : GATEWAY_LOGIN),
      ),
  );

  const columns = [
    { title: "UTC", width: 8 },
    { title: "tool", width: 16 },
    { title: "statement", width: out.width - 56 },
    { title: "came back", width: 14 },
    { title: "pid" },
  ] as const;
  const shown = calls.filter(
    (call, at) => at >= calls.length - LAST || calls.findIndex(sameTool(call)) === at,
  );
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
    const answer = await connectWith(token, shop.gateway.url);
    check(
      `a bad token is refused with 401 and ${code}`,
      answer.startsWith("401 ") && answer.includes(code),
    );
  }
}

/** Returns what the gateway says to this token. */
async function connectWith(token: string, url: URL): Promise<string> {
  const client = new Client(
    { name: "assistant", version: "1" },
    { versionNegotiation: { mode: { pin: REVISION } } },
  );
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  try {
    await client.connect(new StreamableHTTPClientTransport(url, { requestInit }));
    return "let in";
  } catch (error) {
    if (!(error instanceof SdkHttpError)) throw error;
    return `${error.status} ${String(error.data["text"])}`;
  } finally {
    await client.close();
  }
}

function sameTool({ decision }: CallRecord): (other: CallRecord) => boolean {
  return (other) => other.decision.tool === decision.tool;
}

function cells({ decision, outcome }: CallRecord): string[] {
  const pid = outcome?.native?.["pid"];
  return [
    decision.time.slice(11, 19),
    decision.tool ?? "",
    cut(decision.statement ?? decision.action ?? "", 60),
    outcome?.status === "ok"
      ? rowCount(outcome.rows ?? 0)
      : `refused, ${outcome?.nativeCode ?? outcome?.code ?? "unknown"}`,
    pid === undefined ? "-" : String(pid),
  ];
}
