import {
  BehalfError,
  type CallFacts,
  type Delegation,
  type DelegationPlan,
  type RunOptions,
  type SqlAdapter,
  type SqlSession,
} from "@behalf/core";

import { boundedSink } from "./postgres-bounded-sink.ts";
import { postgresCapabilities } from "./postgres-capabilities.ts";
import { calls } from "./postgres-call.ts";
import { orStopped } from "./postgres-clock.ts";
import { connections } from "./postgres-connection.ts";
import {
  type Limits,
  type PostgresOptions,
  checkOptions,
  checkText,
  limitsOf,
  notAText,
} from "./postgres-options.ts";
import { CallerFailure } from "./postgres-records.ts";
import { readPage, sandboxSteps, startCall } from "./postgres-sandbox.ts";
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
  const runner = calls({ lender, credentials, records, tickets, limits });

  function factsOf(delegation: Delegation, action: string, more: Partial<CallFacts>): CallFacts {
    const recordStatement = options.recordStatements === "text";
    return { delegation, backend: BACKEND, action, access: "read", recordStatement, ...more };
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
      return runner.call(facts, queryOptions, check, async (connection, sandbox, page, note) => {
        const { native, rest } = await startCall(connection, sandbox, [
          ...sandboxSteps(text, page),
          rollback,
          reset(),
        ]);
        connection.cleaned();
        const { bytes, ...result } = readPage(rest, connection.client, page);
        note({ rows: result.rows.length, bytes, truncated: result.truncated, native });
        return result;
      });
    },

    run<T>(
      delegation: Delegation,
      work: (session: SqlSession) => Promise<T>,
      runOptions: RunOptions = {},
    ): Promise<T> {
      const facts = factsOf(delegation, "run", { access: runOptions.access ?? "read" });
      const check = () => limitsOf(runOptions, limits);
      return runner.call(facts, runOptions, check, async (connection, sandbox, page, note) => {
        const sink = boundedSink(records, () => sandbox.clock);
        const session = postgresSession(connection, sandbox, page, sink, (action, statement) =>
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
      });
    },

    async invalidate(subject) {
      tickets.invalidate(subject);
      credentials.invalidate(subject);
      runner.stop(
        subject,
        new BehalfError("identity.revoked", "[postgres] this human's access was withdrawn"),
      );
    },

    async close() {
      await runner.close();
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
