import {
  BehalfError,
  type CallFacts,
  type Delegation,
  type DelegationPlan,
  type NoteOutcome,
  type RunOptions,
  type SqlAdapter,
  type SqlSession,
  type SubjectRef,
} from "@behalf/core";

import { postgresCapabilities } from "./postgres-capabilities.ts";
import { callClock, orStopped } from "./postgres-clock.ts";
import { type Connection, connections, noConnection } from "./postgres-connection.ts";
import {
  type Limits,
  type PostgresOptions,
  checkOptions,
  checkText,
  limitsOf,
  notAText,
} from "./postgres-options.ts";
import { preflight } from "./postgres-preflight.ts";
import { CallerFailure, checkedCall } from "./postgres-records.ts";
import { type SandboxCall, readPage, sandboxSteps, startCall } from "./postgres-sandbox.ts";
import { postgresSession } from "./postgres-session.ts";
import { reset, rollback } from "./postgres-steps.ts";
import { tickets as makeTickets } from "./postgres-tickets.ts";

const BACKEND = "postgres";
const DEFAULTS: Limits = { deadlineMs: 30_000, maxRows: 1_000, maxBytes: 1_048_576 };

/**
 * An adapter that lets PostgreSQL see the human. Texts of agents run in the database's read sandbox, as
 * the role that the database maps the human to, with claims that the database verified itself. One
 * `query` is one write and one round trip; nothing of the human stays on the connection.
 *
 * The database needs the kit (`installKit`), the login needs `behalf.add_gateway`. Both are checked once,
 * at the first call, on a trip of its own.
 *
 * @throws BehalfError `configuration` when an option is missing or wrong
 * @example
 * ```ts
 * const shop = postgres({ pool: new pg.Pool({ connectionString }), credentials, records });
 * const { columns, rows } = await shop.query(delegation, "select * from orders");
 * ```
 */
export function postgres(options: PostgresOptions): SqlAdapter {
  checkOptions(options);
  const limits = limitsOf(options, DEFAULTS);
  const { credentials, records } = options;
  const lender = connections(options.pool, options.preparedStatements ?? true);
  const tickets = makeTickets(options.maxTickets ?? 10_000);
  const running = new Map<
    string,
    { readonly subject: SubjectRef; readonly stop: (error: BehalfError) => void }
  >();
  const unfinished = new Set<Promise<unknown>>();
  let ready: Promise<void> | null = null;
  let closed = false;

  function factsOf(delegation: Delegation, action: string, more: Partial<CallFacts>): CallFacts {
    const recordStatement = options.recordStatements === "text";
    return { delegation, backend: BACKEND, action, access: "read", recordStatement, ...more };
  }

  /** What every call shares: records, limits, the credential, a clean connection. */
  async function call<T>(
    facts: CallFacts,
    runOptions: RunOptions,
    check: () => Limits,
    work: (
      connection: Connection,
      sandbox: SandboxCall,
      limits: Limits,
      note: NoteOutcome,
    ) => Promise<T>,
  ): Promise<T> {
    const { delegation } = facts;
    const checkAll = () => {
      if (closed) throw new BehalfError("closed", "[postgres] the adapter is closed");
      if (runOptions.access === "write") throw readsOnly();
      return check();
    };
    return checkedCall(records, facts, checkAll, async (callLimits, note, callId) => {
      using clock = callClock(callLimits.deadlineMs, runOptions.signal);
      running.set(callId, { subject: delegation.identity, stop: clock.stop });
      try {
        clock.check();
        const credential = await orStopped(
          credentials.credential(delegation, { signal: clock.signal }),
          clock,
        );
        await orStopped((ready ??= checkOnce()), clock).catch((error: unknown) => {
          throw BehalfError.isInstance(error) && error.code === "timeout" ? noConnection() : error;
        });
        const sandbox = { delegation, callId, credential, tickets, clock };
        return await lender.use(clock, (connection) => {
          // Also a call that fails says where it ran.
          note({ native: whereabouts(connection) });
          return work(connection, sandbox, callLimits, note);
        });
      } finally {
        running.delete(callId);
      }
    });
  }

  // On a clock of its own: the caller who happens to come first may give up, and others wait, too.
  async function checkOnce(): Promise<void> {
    using clock = callClock(limits.deadlineMs, undefined);
    const check = lender.use(clock, preflight);
    // A database that was down, or was not ready, is asked again by the next call.
    check.catch(() => {
      ready = null;
    });
    await check;
  }

  function track<T>(work: Promise<T>): Promise<T> {
    unfinished.add(work);
    const forget = () => unfinished.delete(work);
    work.then(forget, forget);
    return work;
  }

  return {
    specificationVersion: 1,
    backend: BACKEND,
    capabilities: postgresCapabilities,
    plan,

    query(delegation, input, queryOptions = {}) {
      const text = typeof input === "string" ? input : "";
      const facts = factsOf(delegation, "query", {
        access: queryOptions.access ?? "read",
        ...(typeof input === "string" ? { statement: text } : {}),
      });
      const check = () => {
        if (typeof input !== "string") throw notAText(input);
        checkText(text);
        return limitsOf(queryOptions, limits);
      };
      return track(
        call(facts, queryOptions, check, async (connection, sandbox, page, note) => {
          const { native, rest } = await startCall(connection, sandbox, [
            ...sandboxSteps(text, page),
            rollback,
            reset(),
          ]);
          connection.cleaned();
          const { bytes, ...result } = readPage(rest, connection.client, page);
          note({ rows: result.rows.length, bytes, truncated: result.truncated, native });
          return result;
        }),
      );
    },

    run<T>(
      delegation: Delegation,
      work: (session: SqlSession) => Promise<T>,
      runOptions: RunOptions = {},
    ): Promise<T> {
      const facts = factsOf(delegation, "run", { access: runOptions.access ?? "read" });
      const check = () => limitsOf(runOptions, limits);
      return track(
        call(facts, runOptions, check, async (connection, sandbox, page, note) => {
          const session = postgresSession(connection, sandbox, page, records, (action, statement) =>
            factsOf(delegation, action, statement === undefined ? {} : { statement }),
          );
          try {
            const value = await orStopped(work(session), sandbox.clock);
            await session.end();
            return value;
          } catch (error) {
            throw sandbox.clock.stopped ? error : new CallerFailure(error);
          } finally {
            const { native, totals } = session;
            note({ ...totals, ...(native === null ? {} : { native }) });
          }
        }),
      );
    },

    async invalidate(subject) {
      tickets.invalidate(subject);
      credentials.invalidate(subject);
      for (const { subject: who, stop } of running.values()) {
        if (who.issuer === subject.issuer && who.subject === subject.subject) {
          stop(new BehalfError("identity.revoked", "[postgres] this human's access was withdrawn"));
        }
      }
    },

    async close() {
      closed = true;
      await Promise.allSettled(unfinished);
      await lender.settled();
      tickets.clear();
    },
  };
}

function plan(delegation: Delegation): DelegationPlan {
  const { identity, callId, task } = delegation;
  return {
    backend: BACKEND,
    subject: { issuer: identity.issuer, subject: identity.subject },
    steps: [
      { action: "begin read only" },
      {
        action: "behalf.start",
        parameters: {
          proof: "[redacted]",
          issuer: identity.issuer,
          subject: identity.subject,
          callId,
          task: task?.id ?? null,
        },
      },
      { action: "behalf.open, describe, behalf.fetch" },
      { action: "rollback" },
      { action: "pg_advisory_unlock_all, setseed" },
    ],
  };
}

/** Which backend serves the connection. Behind a PgBouncer only the backend itself can say: nothing then. */
function whereabouts({ client, state }: Connection): { [name: string]: string | number } {
  if (state.prepared === null || typeof client.processID !== "number") return {};
  const { backendStart } = state;
  return { pid: client.processID, ...(backendStart === null ? {} : { backendStart }) };
}

function readsOnly(): BehalfError {
  return new BehalfError("configuration", "[postgres] this adapter reads only; leave access out", {
    backend: BACKEND,
    reason: "access",
  });
}
