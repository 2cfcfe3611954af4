import {
  type CallFacts,
  type NoteOutcome,
  type Principal,
  type RecordSink,
  type SqlResult,
  type SqlSession,
} from "@behalf/core";

import { type Connection, ended } from "./postgres-connection.ts";
import { type Limits, checkText, limitsOf, notAText } from "./postgres-options.ts";
import { checkedCall } from "./postgres-records.ts";
import {
  type SandboxCall,
  type Started,
  readPage,
  sandboxSteps,
  startCall,
} from "./postgres-sandbox.ts";
import { arm, closeCursor, reset, rollback } from "./postgres-steps.ts";

/** Asks inside the sandbox, so that the role is the one that an agent's statement runs as. */
const WHO_AM_I = "select role, login, issuer, subject, actors, pid from behalf.whoami()";

/** One transaction of one human: n statements cost n + 1 round trips. */
export interface PostgresSession extends SqlSession {
  /** Ends the transaction. The session refuses every further use. */
  end(): Promise<void>;
  /** The backend's evidence, once the human was proved to it. */
  readonly native: Started["native"] | null;
  readonly totals: { rows: number; bytes: number };
}

export function postgresSession(
  connection: Connection,
  call: SandboxCall,
  limits: Limits,
  records: RecordSink,
  factsOf: (action: "query" | "whoAmI", statement?: string) => CallFacts,
): PostgresSession {
  let native: Started["native"] | null = null;
  let over = false;
  let queue: Promise<unknown> = Promise.resolve();
  const totals = { rows: 0, bytes: 0 };

  // One connection runs one statement at a time, whatever the caller awaits.
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (over) {
      return Promise.reject(ended());
    }
    const turn = queue.then(work);
    queue = turn.catch(() => {});
    return turn;
  }

  async function read(statement: string, page: Limits, note: NoteOutcome): Promise<SqlResult> {
    const steps = [...sandboxSteps(statement, page), closeCursor];
    const timeout = arm(Math.min(call.clock.serverMs(), page.deadlineMs));
    let results;
    if (native === null) {
      const started = await startCall(connection, call, [timeout, ...steps]);
      native = started.native;
      results = started.rest;
    } else {
      // Armed again each time: a statement may have changed the timeout for the next one.
      results = await connection.send([timeout, ...steps]);
    }
    const { bytes, ...result } = readPage(results.slice(1), connection.client, page);
    totals.rows += result.rows.length;
    totals.bytes += bytes;
    note({ rows: result.rows.length, bytes, truncated: result.truncated });
    return result;
  }

  return {
    totals,
    get native() {
      return native;
    },
    query(input, options = {}) {
      const text = typeof input === "string" ? input : "";
      const check = () => {
        if (typeof input !== "string") throw notAText(input);
        checkText(text);
        return limitsOf(options, limits);
      };
      const facts = factsOf("query", typeof input === "string" ? text : undefined);
      return inTurn(() =>
        checkedCall(records, facts, check, (page, note) => read(text, page, note)),
      );
    },
    whoAmI() {
      const check = () => ({ ...limits, maxRows: 1 });
      return inTurn(async () =>
        principal(
          await checkedCall(records, factsOf("whoAmI"), check, (page, note) =>
            read(WHO_AM_I, page, note),
          ),
        ),
      );
    },
    async end() {
      over = true;
      await queue;
      if (native === null) return;
      await connection.send([rollback, reset()]);
      connection.cleaned();
    },
  };
}

function principal(result: SqlResult): Principal {
  const [role, login, issuer, subject, actors, pid] = result.rows[0] ?? [];
  return {
    name: String(role),
    subject: typeof issuer === "string" && typeof subject === "string" ? { issuer, subject } : null,
    actors: listOf(actors).map(String),
    native: { login: String(login), pid: Number(pid) },
  };
}

/** jsonb comes parsed, or as text where the pool's own type parsers leave it so. */
function listOf(value: unknown): readonly unknown[] {
  const parsed: unknown = typeof value === "string" ? JSON.parse(value) : value;
  return Array.isArray(parsed) ? parsed : [];
}
