import type { PgConnection, PgField, PgSubmittable } from "./pg-structure.ts";

/** One statement of a batch. The text is Behalf's own; what others wrote is only ever a value. */
export interface Step {
  /** The name of the prepared statement, unique per text. */
  readonly name: string;
  readonly text: string;
  readonly values?: readonly (string | null)[];
  /** A portal that is described once the statement has run. */
  readonly describePortal?: string;
}

/** What came back for one step. */
export interface StepResult {
  readonly rows: (readonly (string | null)[])[];
  /** Columns of the described portal. */
  fields: readonly PgField[];
}

/** Which named statements a connection holds. */
export interface PreparedNames {
  readonly names: Set<string>;
  /** After an error nobody knows how far the server got: statements are closed before they are parsed. */
  uncertain: boolean;
}

/**
 * Several statements in one write with one Sync, so that a call costs one round trip. An error makes the
 * server skip the rest up to the Sync; the promise settles only when nothing more can arrive for the batch.
 */
export class PostgresBatch implements PgSubmittable {
  readonly #steps: readonly Step[];
  readonly #prepared: PreparedNames | null;
  readonly #results: StepResult[];
  readonly #resolve: (results: readonly StepResult[]) => void;
  readonly #reject: (error: Error) => void;
  readonly done: Promise<readonly StepResult[]>;
  /** Set by `pg` where the pool has a query_timeout: it stops that timer, which holds this batch and its rows. */
  callback?: (error: Error | null) => void;
  #current = 0;

  /** @param prepared names of the connection, or `null` for unnamed statements (PgBouncer before 1.21) */
  constructor(steps: readonly Step[], prepared: PreparedNames | null) {
    this.#steps = steps;
    this.#prepared = prepared;
    this.#results = steps.map(() => ({ rows: [], fields: [] }));
    const { promise, resolve, reject } = Promise.withResolvers<readonly StepResult[]>();
    this.done = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: PgConnection): Error | null {
    const prepared = this.#prepared;
    connection.stream.cork();
    try {
      for (const step of this.#steps) {
        const name = prepared ? step.name : "";
        if (!prepared?.names.has(step.name)) {
          if (prepared?.uncertain) connection.close({ type: "S", name }, true);
          connection.parse({ name, text: step.text }, true);
          prepared?.names.add(step.name);
        }
        connection.bind({ statement: name, values: [...(step.values ?? [])] }, true);
        connection.execute({}, true);
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

  handleRowDescription(message: { readonly fields: readonly PgField[] }): void {
    // Only portals are described, and the answer comes after their step's CommandComplete.
    const result = this.#results[this.#current - 1];
    if (result) result.fields = message.fields;
  }

  handleDataRow(message: { readonly fields: readonly (string | null)[] }): void {
    this.#results[this.#current]?.rows.push(message.fields);
  }

  handleCommandComplete(): void {
    this.#current += 1;
  }

  handleEmptyQuery(): void {
    this.#current += 1;
  }

  handlePortalSuspended(): void {}

  handleCopyInResponse(): void {}

  handleCopyData(): void {}

  handleError(error: Error): void {
    if (this.#prepared) {
      this.#prepared.names.clear();
      this.#prepared.uncertain = true;
    }
    this.callback?.(error);
    this.#reject(error);
  }

  handleReadyForQuery(): void {
    this.callback?.(null);
    this.#resolve(this.#results);
  }
}
