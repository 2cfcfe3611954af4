import {
  adapterCalls,
  type CallFacts,
  type Delegation,
  type PartFacts,
  type SqlAdapter,
} from "@behalf/core";

import { postgresCapabilities } from "./postgres-capabilities.ts";
import { mapPostgresError } from "./postgres-errors.ts";
import { lender } from "./postgres-lend.ts";
import { login, type LoginOptions } from "./postgres-login.ts";
import { ending, modeOf, readAnswer, sending } from "./postgres-mode.ts";
import {
  checkInput,
  checkOptions,
  type Limits,
  limitsOf,
  type PostgresOptions,
  wholeOption,
} from "./postgres-options.ts";
import { outcomeOf, typeParserOf } from "./postgres-page.ts";
import { postgresPlan } from "./postgres-plan.ts";
import { postgresSession, textOf } from "./postgres-session.ts";
import { startCall } from "./postgres-start.ts";
import { postgresStream } from "./postgres-stream.ts";

const BACKEND = "postgres";
const DEFAULTS: Limits = { deadlineMs: 30_000, maxRows: 1_000, maxBytes: 1_048_576 };

/**
 * An adapter that lets PostgreSQL see the human. Texts of agents run in the database's sandboxes, an
 * author's statements over a login of their own; both as roles that the database maps the human to, with
 * claims that the database verified itself. One `query` is one write and one round trip; nothing of the
 * human stays on the connection.
 *
 * The database needs the kit (`installKit`), the logins need `behalf.add_gateway` and
 * `behalf.add_statement_gateway`. Both are checked once, at the first call, on a trip of its own.
 *
 * @throws BehalfError `configuration` when an option is missing or wrong, or somebody else uses a pool
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
  const shared: Omit<LoginOptions, "pool" | "maxPreparedStatements"> = {
    preparedStatements: options.preparedStatements ?? true,
    maxTickets: wholeOption("maxTickets", options.maxTickets, 10_000),
    maxConnectionsPerHuman:
      options.maxConnectionsPerHuman === undefined
        ? undefined
        : wholeOption("maxConnectionsPerHuman", options.maxConnectionsPerHuman, 1),
    maxCallsPerHuman: wholeOption("maxCallsPerHuman", options.maxCallsPerHuman, 64),
    deadlineMs: limits.deadlineMs,
  };
  const { pool, statements } = options;
  const maxPreparedStatements = wholeOption(
    "maxPreparedStatements",
    statements?.maxPreparedStatements,
    256,
  );
  const logins = {
    sandbox: pool === undefined ? null : login({ ...shared, pool, maxPreparedStatements }),
    statement:
      statements === undefined
        ? null
        : login({ ...shared, pool: statements.pool, maxPreparedStatements }),
  };
  const { deadlineMs } = limits;
  const mapError = (error: unknown) => mapPostgresError(error, "call");
  const calls = adapterCalls({
    backend: BACKEND,
    records,
    credentials,
    deadlineMs,
    mapError,
    tasks: "narrowed",
  });
  const lent = lender(logins);
  const recordStatement = options.recordStatements === "text";

  function factsOf(delegation: Delegation, action: string, more: Partial<CallFacts>): CallFacts {
    return { delegation, backend: BACKEND, action, access: "read", recordStatement, ...more };
  }

  function statementFacts(input: unknown): Partial<CallFacts> {
    const statement = textOf(input);
    return statement === undefined ? {} : { statement };
  }

  return {
    specificationVersion: 1,
    backend: BACKEND,
    capabilities: postgresCapabilities,
    plan: postgresPlan,

    query(delegation, input, queryOptions = {}) {
      const access = queryOptions.access ?? "read";
      const facts = factsOf(delegation, "query", { access, ...statementFacts(input) });
      const check = () => {
        checkInput(input);
        return limitsOf(queryOptions, limits);
      };
      return calls.call(facts, queryOptions, check, (open) => {
        const { limits: page, note } = open;
        const mode = modeOf(input);
        return lent.lend(open, mode, async (connection, human) => {
          const sent = sending(input, access, page);
          const last = ending(mode, access, connection.client);
          const { native, rest } = await startCall(connection, human, (role) => [
            ...sent.steps(role),
            ...last,
          ]);
          connection.cleaned();
          note({ native });
          const typeParser = typeParserOf(queryOptions.typeParser, connection.client);
          const answer = readAnswer(sent, rest, typeParser, access);
          note(outcomeOf(answer));
          const { bytes: _, ...result } = answer;
          return result;
        });
      });
    },

    stream(delegation, input, streamOptions = {}) {
      const facts = factsOf(delegation, "stream", statementFacts(input));
      return postgresStream(calls, lent, facts, input, streamOptions, limits);
    },

    run: (delegation, work, runOptions) =>
      calls.run(delegation, work, runOptions, {
        open(call) {
          const factsOfPart = (action: string, statement?: string): PartFacts => ({
            action,
            recordStatement,
            ...(statement === undefined ? {} : { statement }),
          });
          return postgresSession(call, { ...limits, ...call.limits }, lent, factsOfPart);
        },
        commit: (session) => session.end(),
        giveUp: (session) => session.giveUp(),
      }),

    async invalidate(subject) {
      logins.sandbox?.invalidate(subject);
      logins.statement?.invalidate(subject);
      await calls.invalidate(subject);
    },

    async close() {
      await calls.close();
      await Promise.all([logins.sandbox?.close(), logins.statement?.close()]);
    },
  };
}
