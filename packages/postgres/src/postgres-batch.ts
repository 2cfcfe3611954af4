import type { PgConnection, PgField, PgSubmittable } from "./pg-structure.ts";
import type { PreparedStatements } from "./postgres-prepared.ts";

/** One statement of a batch. The text is Behalf's own or an author's; what others wrote is only ever a value. */
export interface TextStep {
  /** The name of the prepared statement, unique per text and role; empty for none. */
  readonly name: string;
  readonly text: string;
  readonly values?: readonly (string | null)[];
  /** A portal that is described once the statement has run. */
  readonly describePortal?: string;
  /** Describes the statement's own columns, and stops after so many rows. */
  readonly rows?: number;
  /** Keeps no further rows once they passed so many bytes: the one that passes them is the last. Needs `rows`. */
  readonly maxBytes?: number;
  /** Gives the statement's portal a name, so that a later batch can go on with it. Needs `rows`. */
  readonly portal?: string;
  /** Once this step has run, the transaction's changes stay, whatever happens to the rest of the batch. */
  readonly commits?: boolean;
  /** The text is an author's: it may do by mistake what makes the connection useless for the next human. */
  readonly authored?: boolean;
  /** An agent's text may leave names of settings on the connection, which no reset takes away. */
  readonly namesSettings?: boolean;
}

/** Goes on with a portal of an earlier batch of the same transaction. */
export interface ResumeStep {
  readonly portal: string;
  readonly rows: number;
  readonly text?: undefined;
  readonly name?: undefined;
}

export type Step = TextStep | ResumeStep;

/** What came back for one step. */
export interface StepResult {
  readonly rows: (readonly (string | null)[])[];
  /** Columns of the described portal or statement. */
  fields: readonly PgField[];
  /** The server's own word of what was done, for example `UPDATE 3`. */
  tag: string;
}

/**
 * What an author's statement must not do to a connection that others use: end the transaction under us, or
 * touch prepared statements, which no reset gives back.
 */
const SPOILS =
  /^(?:COMMIT|ROLLBACK|BEGIN|START TRANSACTION|SAVEPOINT|RELEASE|PREPARE|DEALLOCATE|DISCARD)\b/;

/** SQLSTATE of a named statement that is not there: somebody else deallocated it. */
const NO_SUCH_STATEMENT = "26000";

/**
 * SQLSTATE of a named statement that would return other columns than when it was parsed, because of a migration;
 * also of everything else that the server does not support, which one more Parse does no harm.
 */
const NOT_AS_IT_WAS = "0A000";

/**
 * Several statements in one write with one Sync, so that a call costs one round trip. An error makes the
 * server skip the rest up to the Sync; the promise settles only when nothing more can arrive for the batch.
 */
export class PostgresBatch implements PgSubmittable {
  readonly #steps: readonly Step[];
  readonly #prepared: PreparedStatements | null;
  readonly #results: StepResult[];
  /** Positions of the steps that were parsed under a name by this batch. */
  readonly #parsed = new Map<number, string>();
  readonly #resolve: (results: readonly StepResult[]) => void;
  readonly #reject: (error: Error) => void;
  readonly done: Promise<readonly StepResult[]>;
  /** Set by `pg` where the pool has a query_timeout: it stops that timer, which holds this batch and its rows. */
  callback?: (error: Error | null) => void;
  /** Whether a step after the commit failed: the changes stay, and the connection is not clean. */
  failedAfterCommit = false;
  /** Whether a statement was a COPY from or to the client, which speaks a protocol of its own. */
  copies: "in" | "out" | null = null;
  /** The step that the server refused. Nothing after it has run. */
  failedStep: Step | undefined;
  /** Whether a step did, or may do, what no reset undoes: the connection must be cut. */
  spoilsConnection = false;
  #current = 0;
  /** Bytes of the rows that the current step brought. */
  #bytes = 0;
  #committed = false;

  /** @param prepared names of the connection, or `null` for unnamed statements (PgBouncer before 1.21) */
  constructor(steps: readonly Step[], prepared: PreparedStatements | null) {
    this.#steps = steps;
    this.#prepared = prepared;
    this.#results = steps.map(() => ({ rows: [], fields: [], tag: "" }));
    this.spoilsConnection = steps.some(
      (step) => step.text !== undefined && step.namesSettings === true,
    );
    const { promise, resolve, reject } = Promise.withResolvers<readonly StepResult[]>();
    this.done = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: PgConnection): Error | null {
    connection.stream.cork();
    try {
      // At the head of the batch: behind a step that fails, the server would skip them.
      for (const name of this.#stale()) connection.close({ type: "S", name }, true);
      for (const [position, step] of this.#steps.entries()) {
        if (step.text === undefined) {
          connection.execute({ portal: step.portal, rows: String(step.rows) }, true);
          continue;
        }
        const name = this.#prepared === null ? "" : step.name;
        if (name === "" || this.#parsed.has(position)) {
          connection.parse({ name, text: step.text }, true);
        }
        const portal = step.portal ?? "";
        connection.bind({ portal, statement: name, values: [...(step.values ?? [])] }, true);
        if (step.rows === undefined) {
          connection.execute({}, true);
        } else {
          connection.describe({ type: "P", name: portal }, true);
          connection.execute({ portal, rows: String(step.rows) }, true);
        }
        if (step.describePortal !== undefined) {
          connection.describe({ type: "P", name: step.describePortal }, true);
        }
      }
      connection.sync();
    } finally {
      connection.stream.uncork();
    }
    return null;
  }

  /** Decides which steps are parsed under a name, and what has to be closed for that. */
  #stale(): readonly string[] {
    const prepared = this.#prepared;
    if (prepared === null) return [];
    const stale = [...prepared.takeDoubtful()];
    for (const [position, step] of this.#steps.entries()) {
      if (step.text === undefined || step.name === "") continue;
      if (prepared.has(step.name)) {
        prepared.touch(step.name);
        continue;
      }
      stale.push(...prepared.add(step.name));
      this.#parsed.set(position, step.name);
    }
    return stale;
  }

  handleRowDescription(message: { readonly fields: readonly PgField[] }): void {
    // A portal of another step is described after that step has run, a statement's own before it runs.
    const before = this.#steps[this.#current - 1];
    const isOfBefore = before?.text !== undefined && before.describePortal !== undefined;
    const result = this.#results[isOfBefore ? this.#current - 1 : this.#current];
    if (result) result.fields = message.fields;
  }

  handleDataRow(message: { readonly fields: readonly (string | null)[] }): void {
    const step = this.#steps[this.#current];
    if (step?.text !== undefined && step.maxBytes !== undefined) {
      // The rest of the result has to be read, and none of it is held.
      if (this.#bytes > step.maxBytes) return;
      for (const text of message.fields) if (text !== null) this.#bytes += Buffer.byteLength(text);
    }
    this.#results[this.#current]?.rows.push(message.fields);
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.#ran(message.text);
  }

  handleEmptyQuery(): void {
    this.#ran("EMPTY");
  }

  handlePortalSuspended(): void {
    this.#ran("");
  }

  #ran(tag: string): void {
    const step = this.#steps[this.#current];
    const result = this.#results[this.#current];
    if (result) result.tag = tag;
    if (step?.text !== undefined && step.commits === true) this.#committed = true;
    if (step?.text !== undefined && step.authored === true && SPOILS.test(tag)) {
      this.spoilsConnection = true;
    }
    this.#current += 1;
    this.#bytes = 0;
  }

  handleCopyInResponse(connection: PgConnection): void {
    this.copies = "in";
    // The server waits for rows, and has taken the batch's Sync for one of them.
    connection.sendCopyFail?.("no rows can be sent");
    connection.sync();
  }

  handleCopyData(): void {
    this.copies = "out";
  }

  handleError(error: Error): void {
    if ("code" in error && error.code === NO_SUCH_STATEMENT) this.#prepared?.forget();
    const failed = this.#steps[this.#current];
    if ("code" in error && error.code === NOT_AS_IT_WAS && failed?.text !== undefined) {
      if (failed.name !== "") this.#prepared?.doubt(failed.name);
    }
    for (const [position, name] of this.#parsed) {
      // What ran was parsed; the rest, the server may have skipped.
      if (position >= this.#current) this.#prepared?.doubt(name);
    }
    this.callback?.(error);
    this.failedStep = this.#steps[this.#current];
    this.failedAfterCommit = this.#committed;
    if (this.#committed) this.#resolve(this.#results);
    else this.#reject(error);
  }

  handleReadyForQuery(): void {
    this.callback?.(null);
    this.#resolve(this.#results);
  }
}
