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

import { boundedSink } from "./postgres-bounded-sink.ts";
import { postgresCapabilities } from "./postgres-capabilities.ts";
import { type CallClock, callClock, orStopped } from "./postgres-clock.ts";
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

/** A call from its check to its end. What it was handed may be no delegation. */
interface Running {
  readonly subject: SubjectRef | undefined;
  readonly stop: (error: BehalfError) => void;
}

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
  const running = new Set<Running>();
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
    let clock: CallClock | undefined;
    let entry: Running | undefined;
    const checkAll = () => {
      if (closed) throw new BehalfError("closed", "[postgres] the adapter is closed");
      if (runOptions.access === "write") throw readsOnly();
      const callLimits = check();
      clock = callClock(callLimits.deadlineMs, runOptions.signal);
      // Before the decision is written: invalidate() must find a call that waits for its record.
      entry = { subject: delegation?.identity, stop: clock.stop };
      running.add(entry);
      return { callLimits, callsClock: clock };
    };
    const sink = boundedSink(records, () => clock);
    try {
      return await checkedCall(sink, facts, checkAll, (checked, note, callId) =>
        serve(checked.callLimits, checked.callsClock, note, callId),
      );
    } catch (error) {
      const stopped = clock?.stopped;
      // Who gave up while the decision was being written gave up; a sink that hangs is the sink's fault.
      if (
        stopped !== undefined &&
        stopped.code !== "timeout" &&
        BehalfError.isInstance(error) &&
        error.code === "records.unavailable" &&
        error.cause === stopped
      ) {
        throw stopped.forCall(error.callId ?? delegation.callId, BACKEND);
      }
      throw error;
    } finally {
      clock?.[Symbol.dispose]();
      if (entry) running.delete(entry);
    }

    async function serve(
      callLimits: Limits,
      callsClock: CallClock,
      note: NoteOutcome,
      callId: string,
    ): Promise<T> {
      callsClock.check();
      const credential = await orStopped(
        credentials.credential(delegation, { signal: callsClock.signal }),
        callsClock,
      ).catch((error: unknown) => {
        throw BehalfError.isInstance(error) ? error : noCredential(error);
      });
      if (typeof credential?.token?.reveal !== "function") throw noCredential(credential);
      await orStopped((ready ??= checkOnce()), callsClock).catch((error: unknown) => {
        throw BehalfError.isInstance(error) && error.code === "timeout" ? noConnection() : error;
      });
      const sandbox = { delegation, callId, credential, tickets, clock: callsClock };
      return lender.use(callsClock, (connection) => {
        // Also a call that fails says where it ran.
        note({ native: whereabouts(connection) });
        return work(connection, sandbox, callLimits, note);
      });
    }
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
          // Only what the callback itself threw passes untouched.
          const callback = async () => {
            try {
              return await work(session);
            } catch (error) {
              throw new CallerFailure(error);
            }
          };
          try {
            const value = await orStopped(callback(), sandbox.clock);
            await session.end();
            return value;
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
      for (const { subject: who, stop } of running) {
        if (who?.issuer === subject.issuer && who.subject === subject.subject) {
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

/** A defect in a credential source. What it threw may quote the token. */
function noCredential(error: unknown): BehalfError {
  return new BehalfError(
    "identity.unavailable",
    "[postgres] the credential source failed in an unexpected way",
    {
      backend: BACKEND,
      reason: "unexpected",
      ...(error instanceof Error ? { nativeCode: error.name } : {}),
    },
  );
}

function readsOnly(): BehalfError {
  return new BehalfError("configuration", "[postgres] this adapter reads only; leave access out", {
    backend: BACKEND,
    reason: "access",
  });
}
