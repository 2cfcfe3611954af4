import type { Group } from "@behalf/conformance";

import type { Change } from "../../packages/conformance/test-support/mutated-copy.ts";

/** A case, in one of the ways to call the adapter, that fails on a mutant, and what it says. */
export interface Catch {
  readonly case: string;
  readonly way: string;
  /** Part of what the case fails with. */
  readonly says: string;
}

/** One or two lines that a tired engineer could have written, and who notices. */
export interface PostgresMutant {
  readonly id: string;
  /** What it attacks. */
  readonly group: Group;
  /** What would come of it. */
  readonly why: string;
  readonly changes: readonly Change[];
  /** All of these must fail. */
  readonly caughtBy: readonly Catch[];
  /** Whether it is too slow for every run of the tests: a case waits for what never happens, or for a token's end. */
  readonly isSlow?: true;
}

const RUN = "run";
const RUN_STATEMENTS = "run with statements";
const TEXT = "query with a text";
const STATEMENT = "query with a statement";
const STREAM = "stream of a text";

/** Changes of the adapter's sources; those of the kit need a database of their own. */
export function isOfTheKit({ changes }: PostgresMutant): boolean {
  return changes.some(({ file }) => file.startsWith("sql/"));
}

export const POSTGRES_MUTANTS: readonly PostgresMutant[] = [
  {
    id: "whoami-from-memory",
    group: "delegation",
    why: "whoAmI would say what the gateway believes, which is what it is asked to check",
    changes: [
      {
        file: "src/postgres-session.ts",
        from: "      const check = () => ({ ...limits, maxRows: 1 });\n",
        to: `      const { subject: name, ...identity } = call.delegation.identity;
      const answer = { subject: { issuer: identity.issuer, subject: name }, actors: identity.actors.map((actor) => actor.subject) };
      return Promise.resolve({ name, ...answer, native: {} });
      const check = () => ({ ...limits, maxRows: 1 });\n`,
      },
    ],
    caughtBy: [{ case: "delegation.who-am-i", way: RUN, says: "whoAmI asks the backend" }],
  },
  {
    id: "ticket-of-any-human",
    group: "delegation",
    why: "a ticket that is kept without the human would be shown for everybody",
    changes: [
      {
        file: "src/postgres-tickets.ts",
        from: 'const keyOf = (token: Secret) => hash("sha256", token.reveal(), "base64");',
        to: 'const keyOf = (_token: Secret) => hash("sha256", "ticket", "base64");',
      },
    ],
    caughtBy: [{ case: "delegation.backend-sees-the-human", way: TEXT, says: "another human" }],
  },
  {
    id: "ticket-without-the-token",
    group: "delegation",
    why: "a ticket that is kept by the human alone would name another agent as the actor",
    changes: [
      {
        file: "src/postgres-tickets.ts",
        from: 'const keyOf = (token: Secret) => hash("sha256", token.reveal(), "base64");',
        to: 'const keyOf = (token: Secret) => String(JSON.parse(Buffer.from(token.reveal().split(".")[1] ?? "", "base64url").toString()).sub);',
      },
    ],
    caughtBy: [{ case: "delegation.actor", way: STATEMENT, says: "whom the backend saw acting" }],
  },
  {
    id: "human-not-compared",
    group: "delegation",
    why: "a mix-up of credentials in the gateway would show one human's rows to another",
    changes: [
      {
        file: "sql/06_start.sql",
        from: "      and payload -> 'claims' ->> 'iss' = for_issuer and payload -> 'claims' ->> 'sub' = for_subject\n",
        to: "",
      },
      {
        file: "sql/06_start.sql",
        from: "    if (payload -> 'claims' ->> 'iss' = for_issuer and payload -> 'claims' ->> 'sub' = for_subject) is not true then",
        to: "    if payload is null then",
      },
    ],
    caughtBy: [{ case: "delegation.another-humans-credential", way: TEXT, says: "no error" }],
  },
  {
    id: "denied-without-a-record",
    group: "fail closed",
    why: "who tries calls without an identity would leave no trace",
    changes: [
      {
        file: "src/postgres-adapter.ts",
        from: "    query(delegation, input, queryOptions = {}) {\n",
        to: `    query(delegation, input, queryOptions = {}) {
      if (!delegation) return Promise.reject(mapPostgresError(new TypeError("no delegation"), "call"));\n`,
      },
    ],
    caughtBy: [{ case: "fail-closed.null", way: TEXT, says: "how the call ends" }],
  },
  {
    id: "signature-not-looked-at",
    group: "fail closed",
    why: "whoever writes a token is whoever they say they are",
    changes: [
      {
        file: "sql/04_rs256.sql",
        from: "  return power = padding + behalf.os2ip(sha256(message));",
        to: "  return power is not null;",
      },
    ],
    caughtBy: [{ case: "fail-closed.tampered-credential", way: TEXT, says: "what is shown" }],
  },
  {
    id: "ticket-outlives-its-token",
    group: "fail closed",
    why: "a human who was let go would be let in for as long as the gateway keeps the ticket",
    changes: [
      {
        file: "sql/05_exchange.sql",
        from: "    'exp', least((claims ->> 'exp')::numeric, moment + (select ticket_seconds from behalf.settings)),",
        to: "    'exp', moment + (select ticket_seconds from behalf.settings),",
      },
    ],
    caughtBy: [
      { case: "fail-closed.ended-at-the-backend", way: RUN, says: "what is shown after the end" },
    ],
    isSlow: true,
  },
  {
    id: "error-path-without-reset",
    group: "isolation",
    why: "the next human would be served inside the last one's transaction",
    changes: [
      {
        file: "src/postgres-connection.ts",
        from: "        last = batch;\n        clean = false;\n",
        to: "        last = batch;\n",
      },
    ],
    caughtBy: [
      { case: "isolation.throw", way: RUN, says: "a transaction is open" },
      { case: "isolation.failure", way: TEXT, says: "current transaction is aborted" },
    ],
  },
  {
    id: "reset-without-rollback",
    group: "isolation",
    why: "a callback that throws would leave its transaction, and with it its human, to the next one",
    changes: [
      {
        file: "src/postgres-connection.ts",
        from: "    const steps = [rollback, ...reset(access, client)];",
        to: "    const steps = reset(access, client);",
      },
    ],
    caughtBy: [
      { case: "isolation.throw", way: RUN_STATEMENTS, says: "a transaction is open" },
      { case: "isolation.undone-by-throw", way: RUN, says: "what is left of it" },
    ],
  },
  {
    id: "busy-connection-released",
    group: "isolation",
    why: "after an abort the next human would wait behind, and in, the last one's statement",
    changes: [
      {
        file: "src/postgres-connection.ts",
        from: "          track(retire(client, running).finally(release));",
        to: "          client.release();\n          release();",
      },
    ],
    caughtBy: [{ case: "isolation.abort", way: TEXT, says: "the backend works on nothing" }],
    isSlow: true,
  },
  {
    id: "cancel-not-sent",
    group: "isolation",
    why: "what a human gave up would go on at the server, as often as they like",
    changes: [
      {
        file: "src/postgres-connection.ts",
        from: "        await cancelRunning(client, GRACE_MS);\n",
        to: "",
      },
    ],
    caughtBy: [
      { case: "isolation.stops-at-the-backend", way: TEXT, says: "the backend has stopped" },
    ],
    isSlow: true,
  },
  {
    id: "session-setting",
    group: "isolation",
    why: "an identity that is set for the session would outlive a COMMIT that nothing cleans up after",
    changes: [
      {
        file: "sql/06_start.sql",
        from: "|| body)), 'hex') || convert_from(body, 'UTF8'), true)",
        to: "|| body)), 'hex') || convert_from(body, 'UTF8'), false)",
      },
      {
        file: "src/postgres-steps.ts",
        from: 'return access === "read" ? [seed] : [resetRole,',
        to: "return true ? [seed] : [resetRole,",
      },
    ],
    caughtBy: [{ case: "isolation.success", way: RUN, says: "the setting behalf.seal is" }],
  },
  {
    id: "held-cursor",
    group: "isolation",
    why: "rows of the last human would wait in a cursor for whoever fetches from it",
    changes: [
      {
        file: "src/postgres-steps.ts",
        from: '  { name: "behalf_close_all", text: "close all" },\n',
        to: "",
      },
    ],
    caughtBy: [
      { case: "isolation.success", way: RUN_STATEMENTS, says: "the cursor left_behind is open" },
    ],
  },
  {
    id: "not-read-only",
    group: "isolation",
    why: "a call that asked for reading could change what it likes",
    changes: [
      {
        file: "src/postgres-steps.ts",
        from: 'text: "begin isolation level read committed read only"',
        to: 'text: "begin isolation level read committed read write"',
      },
      {
        file: "sql/07_sandbox.sql",
        from: "  if not current_setting('transaction_read_only')::boolean then",
        to: "  if false then",
      },
    ],
    caughtBy: [
      { case: "injection.hostile", way: STREAM, says: "whether a read changed something" },
      { case: "injection.hostile", way: TEXT, says: "whether a read changed something" },
    ],
  },
  {
    id: "read-begins-a-write",
    group: "isolation",
    why: "the same for an author's statements alone, which no sandbox keeps from writing",
    changes: [
      {
        file: "src/postgres-start.ts",
        from: "    begin(call.access),",
        to: '    begin(call.mode === "statement" ? "write" : call.access),',
      },
      {
        file: "src/postgres-mode.ts",
        from: '  if (access === "read") return [rollback, ...reset("read", client)];',
        to: '  if (access === "read" && mode === "sandbox") return [rollback, ...reset("read", client)];',
      },
    ],
    caughtBy: [{ case: "isolation.read-cannot-write", way: STATEMENT, says: "what is changed" }],
  },
  {
    id: "raw-fetch",
    group: "injection",
    why: "what a text computes would be computed as the login, outside the sandbox",
    changes: [
      {
        file: "src/postgres-steps.ts",
        from: '    text: "select * from behalf.fetch($1::pg_catalog.int4, $2::pg_catalog.int8, $3::pg_catalog.int8)",\n    values: [String(rows), String(maxBytes), String(pageBytes)],',
        to: "    text: `fetch forward ${String(rows)} from ${PORTAL}`,\n    rows,",
      },
      {
        file: "src/postgres-stream-pages.ts",
        from: "    reader: compositeReader,",
        to: "    reader: plainReader,",
      },
    ],
    caughtBy: [
      { case: "delegation.backend-sees-the-human", way: STREAM, says: "what alice is shown" },
    ],
  },
  {
    id: "one-place-for-the-proof",
    group: "concurrency",
    why: "two calls in one tick would show the database one human's proof",
    changes: [
      {
        file: "src/postgres-lend.ts",
        from: "export function lender(logins: Logins): Lender {\n",
        to: "export function lender(logins: Logins): Lender {\n  let credential: HumanCall['credential'];\n",
      },
      {
        file: "src/postgres-lend.ts",
        from: "      const credential = await call.credential();",
        to: "      credential = await call.credential();",
      },
    ],
    caughtBy: [{ case: "concurrency.cold-same-tick", way: RUN, says: "another human" }],
  },
  {
    id: "one-decision-for-a-tick",
    group: "concurrency",
    why: "who calls in the same tick as somebody else would be served as that one",
    changes: [
      {
        file: "src/postgres-adapter.ts",
        from: "    query(delegation, input, queryOptions = {}) {\n",
        to: "    query(given, input, queryOptions = {}) {\n      const delegation = (calling ??= given);\n      queueMicrotask(() => (calling = null));\n",
      },
      {
        file: "src/postgres-adapter.ts",
        from: "  const lent = lender(logins);\n",
        to: "  const lent = lender(logins);\n  let calling: Delegation | null = null;\n",
      },
    ],
    caughtBy: [{ case: "concurrency.cold-same-tick", way: RUN, says: "what they are shown" }],
  },
  {
    id: "values-in-the-text",
    group: "injection",
    why: "an author's values would be read as SQL",
    changes: [
      {
        file: "src/postgres-mode.ts",
        from: "    text,\n    values: values.map(valueText),",
        to: "    text: text.replace(/\\$(\\d+)/g, (_, n) => `'${values[Number(n) - 1]}'`),\n    values: [],",
      },
    ],
    caughtBy: [{ case: "injection.values", way: STATEMENT, says: "unterminated quoted string" }],
  },
  {
    id: "write-repeated",
    group: "errors",
    why: "a write whose answer was lost would be made twice",
    changes: [
      {
        file: "src/postgres-lend.ts",
        from: "      return login.connections.use(loan, (connection) => {",
        to: "      const use = (connection: Connection) => {",
      },
      {
        file: "src/postgres-lend.ts",
        from: "        return work(connection, human);\n      });",
        to: "        return work(connection, human);\n      };\n      return login.connections.use(loan, use).catch(() => login.connections.use(loan, use));",
      },
    ],
    caughtBy: [{ case: "errors.lost-answer", way: TEXT, says: "how it ends" }],
  },
  {
    id: "lost-commit-without-effect",
    group: "errors",
    why: "an agent would be told that nothing was changed, and do it again",
    changes: [
      {
        file: "src/postgres-errors.ts",
        from: '    effect: "unknown",\n    backend: "postgres",',
        to: '    effect: "none",\n    backend: "postgres",',
      },
    ],
    caughtBy: [{ case: "errors.lost-answer", way: RUN, says: "the effect" }],
  },
  {
    id: "native-code-lost",
    group: "errors",
    why: "who reads the error or its record could not tell what the database said",
    changes: [
      {
        file: "src/postgres-errors.ts",
        from: "    ...(nativeCode === undefined ? {} : { nativeCode }),\n    ...(cause === undefined ? {} : { cause }),\n  };",
        to: "    ...(cause === undefined ? {} : { cause }),\n  };",
      },
    ],
    caughtBy: [{ case: "errors.backend-fails", way: TEXT, says: "the backend's own code" }],
  },
  {
    id: "task-not-sent",
    group: "task scope",
    why: "what the human narrowed would be as wide as the human",
    changes: [
      {
        file: "src/postgres-start.ts",
        from: "    task === undefined\n      ? null",
        to: "    task !== null\n      ? null",
      },
    ],
    caughtBy: [
      { case: "task-scope.narrow", way: TEXT, says: "what is shown beyond the task" },
      { case: "task-scope.reading-only", way: STATEMENT, says: "how it is refused" },
    ],
  },
  {
    id: "task-not-compared",
    group: "task scope",
    why: "the guards would take every task for one that covers everything",
    changes: [
      {
        file: "sql/06_start.sql",
        from: "  if not payload ? 'task' then\n    return true;",
        to: "  if payload ? 'role' then\n    return true;",
      },
    ],
    caughtBy: [
      { case: "task-scope.other-task", way: TEXT, says: "what is shown" },
      { case: "task-scope.alternating", way: STATEMENT, says: "what is shown beyond the task" },
    ],
  },
  {
    id: "revocation-stays-here",
    group: "revocation",
    why: "what is cached beyond the adapter, and what runs, would go on for who was revoked",
    changes: [
      {
        file: "src/postgres-adapter.ts",
        from: "      await calls.invalidate(subject);\n",
        to: "",
      },
    ],
    caughtBy: [
      { case: "revocation.cached", way: TEXT, says: "for whom credentials are dropped" },
      { case: "revocation.waits-for-its-record", way: TEXT, says: "how it ends" },
    ],
  },
  {
    id: "drivers-error-as-cause",
    group: "secrets",
    why: "DETAIL and CONTEXT quote rows, and whoever logs the error logs them",
    changes: [
      {
        file: "src/postgres-cause.ts",
        from: "  const { name } = error;\n",
        to: "  if (isAnswer) return error;\n  const { name } = error;\n",
      },
    ],
    caughtBy: [{ case: "secrets.thrown", way: TEXT, says: "secrets that can be seen" }],
  },
  {
    id: "ticket-on-record",
    group: "secrets",
    why: "whoever reads the records could be every human in them",
    changes: [
      {
        file: "src/postgres-start.ts",
        from: "    pid,\n    ...(state.backend === null",
        to: "    pid,\n    proof: proof.secret.reveal(),\n    ...(state.backend === null",
      },
    ],
    caughtBy: [{ case: "secrets.recorded", way: TEXT, says: "secrets that can be seen" }],
  },
  {
    id: "close-does-not-wait",
    group: "lifecycle",
    why: "a process that ends after close would leave calls in the middle, and their outcomes unwritten",
    changes: [
      {
        file: "src/postgres-adapter.ts",
        from: "      await calls.close();",
        to: "      void calls.close();",
      },
    ],
    caughtBy: [
      { case: "lifecycle.close-waits", way: TEXT, says: "whether it is closed while a call runs" },
    ],
  },
  {
    id: "ends-the-callers-pool",
    group: "lifecycle",
    why: "the pool is its maker's, and a second close would fail",
    changes: [
      {
        file: "src/postgres-adapter.ts",
        from: "      await calls.close();",
        to: "      await calls.close();\n      await (pool as unknown as { end(): Promise<void> }).end();",
      },
    ],
    caughtBy: [{ case: "lifecycle.close-again", way: RUN, says: "end on pool more than once" }],
  },
  {
    id: "reset-on-a-trip-of-its-own",
    group: "cost",
    why: "each call would cost a round trip more, and hold its connection for it",
    changes: [
      { file: "src/postgres-adapter.ts", from: "            ...last,\n", to: "" },
      {
        file: "src/postgres-adapter.ts",
        from: "          connection.cleaned();\n          note({ native });",
        to: "          note({ native });",
      },
    ],
    caughtBy: [{ case: "cost.trips", way: STATEMENT, says: "trips to the backend" }],
  },
  {
    id: "asked-before-every-call",
    group: "cost",
    why: "each call would cost a round trip more",
    changes: [
      { file: "src/postgres-login.ts", from: "      if (isReady) return;\n", to: "" },
      {
        file: "src/postgres-login.ts",
        from: "(ready ??= checkOnce())",
        to: "(ready = checkOnce())",
      },
    ],
    caughtBy: [{ case: "cost.trips", way: TEXT, says: "trips to the backend" }],
  },
];
