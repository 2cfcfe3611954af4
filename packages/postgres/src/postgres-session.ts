import {
  BehalfError,
  isStatement,
  type NoteOutcome,
  type OpenCall,
  type PartFacts,
  type Principal,
  sql,
  type SqlResult,
  type SqlSession,
  type Statement,
  type TypeParser,
} from "@behalf/core";

import { type Connection, ended } from "./postgres-connection.ts";
import { mapPostgresError } from "./postgres-errors.ts";
import type { Lender } from "./postgres-lend.ts";
import { ending, type Mode, modeOf, readAnswer, sending } from "./postgres-mode.ts";
import { checkInput, type Limits, limitsOf } from "./postgres-options.ts";
import { outcomeOf, typeParserOf } from "./postgres-page.ts";
import { type HumanCall, startCall, type Started, type StepsOf } from "./postgres-start.ts";
import { arm, closeCursor } from "./postgres-steps.ts";

// Asked as the role that this session's statements run as.
const WHO_AM_I = {
  sandbox: "select role, login, issuer, subject, actors, pid from behalf.whoami()",
  statement: sql`select role, login, issuer, subject, actors, pid from behalf.whoami()`,
} as const;

/** One transaction of one human: n statements cost n + 1 round trips. */
export interface PostgresSession extends SqlSession {
  /**
   * Ends the transaction: a write is committed. The session refuses every further use.
   *
   * @throws BehalfError when the server refuses the COMMIT, or a deferred constraint does
   */
  end(): Promise<void>;
  /** Gives the connection back, with everything undone that was not committed, and notes what came of it. */
  giveUp(): Promise<void>;
}

/** The transaction, once the first statement said which login it needs. */
interface Open {
  readonly mode: Mode;
  readonly connection: Connection;
  readonly human: HumanCall;
}

export function postgresSession(
  call: OpenCall,
  limits: Limits,
  lender: Lender,
  factsOf: (action: "query" | "whoAmI", statement?: string) => PartFacts,
): PostgresSession {
  const { access } = call;
  let proved: Omit<Started, "rest"> | null = null;
  let open: Open | null = null;
  let over = false;
  let queue: Promise<unknown> = Promise.resolve();
  let loan: Promise<void> | null = null;
  const givenBack = Promise.withResolvers<void>();
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

  // The first statement decides the login, because the two share no transaction.
  function lent(mode: Mode): Promise<Open> {
    const { promise, resolve, reject } = Promise.withResolvers<Open>();
    loan = lender.lend(call, mode, (connection, human) => {
      resolve({ mode, connection, human });
      return givenBack.promise;
    });
    loan.catch(reject);
    return promise;
  }

  async function send(
    input: string | Statement,
    mode: Mode,
    page: Limits,
    note: NoteOutcome,
    typeParser?: TypeParser,
  ): Promise<SqlResult> {
    if (open !== null && open.mode !== mode) throw mixed(open.mode);
    open ??= await lent(mode);
    const { connection, human } = open;
    const sent = sending(input, access, page);
    // Armed each time: a statement may have changed the timeout for the next one.
    const timeout = arm(Math.min(call.clock.serverMs(), page.deadlineMs));
    const close = mode === "sandbox" ? [closeCursor] : [];
    const steps: StepsOf = (role) => [timeout, ...sent.steps(role), ...close];
    let results;
    if (proved === null) {
      ({ rest: results, ...proved } = await startCall(connection, human, steps));
    } else {
      const { again } = sent;
      results = await connection.send([...again, ...steps(proved.statementRole)]);
      results = results.slice(again.length);
    }
    const answer = readAnswer(
      sent,
      results.slice(1),
      typeParserOf(typeParser, connection.client),
      access,
    );
    const { bytes, ...result } = answer;
    totals.rows += result.rows.length;
    totals.bytes += bytes;
    note(outcomeOf(answer));
    return result;
  }

  return {
    query(input, options = {}) {
      const check = () => {
        checkInput(input);
        return limitsOf(options, limits);
      };
      const facts = factsOf("query", textOf(input));
      return inTurn(() =>
        call.part(facts, check, (page, note) =>
          send(input, modeOf(input), page, note, options.typeParser),
        ),
      );
    },
    whoAmI() {
      const check = () => ({ ...limits, maxRows: 1 });
      return inTurn(async () =>
        principal(
          await call.part(factsOf("whoAmI"), check, (page, note) => {
            const mode = open?.mode ?? lender.defaultMode;
            return send(WHO_AM_I[mode], mode, page, note);
          }),
        ),
      );
    },
    async end() {
      over = true;
      await queue;
      if (open === null || proved === null) return;
      const { mode, connection } = open;
      // A copy: it says that nothing was sent, where the clock's own error leaves that open.
      if (call.clock.stopped) throw call.clock.stopped.forCall(call.callId, "postgres");
      try {
        await connection.send(ending(mode, access, connection.client));
      } catch (error) {
        // The server's answer to a COMMIT: it was refused.
        throw mapPostgresError(error, "call");
      }
      connection.cleaned();
    },
    async giveUp() {
      over = true;
      givenBack.resolve();
      await loan?.catch(() => {});
      call.note({ ...totals, ...(proved === null ? {} : { native: proved.native }) });
    },
  };
}

/** The text for the records; what is neither text nor statement has none. */
export function textOf(input: unknown): string | undefined {
  if (typeof input === "string") return input;
  return isStatement(input) ? input.text : undefined;
}

function mixed(mode: Mode): BehalfError {
  return new BehalfError(
    "configuration",
    mode === "sandbox"
      ? "[postgres] this run began with an agent's text, and a statement needs the other login; use a run of its own"
      : "[postgres] this run began with a statement, and an agent's text needs the other login; use a run of its own",
    { backend: "postgres", reason: "mixed_modes" },
  );
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
