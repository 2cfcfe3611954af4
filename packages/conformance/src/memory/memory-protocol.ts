import type { SubjectRef, Task } from "@behalf/core";

/** What a client may ask. Several travel as one text, and are answered as one: a round trip. */
export type MemoryRequest =
  /** Trades a token for a ticket, which names the human, who acts, and the task. */
  | { readonly op: "ticket"; readonly token: string; readonly task: Task | null }
  | { readonly op: "begin"; readonly access: "read" | "write" }
  /** Says who calls: until the transaction ends where it is `local`, else until somebody says otherwise. */
  | {
      readonly op: "start";
      readonly ticket: string;
      readonly local: boolean;
      readonly callId: string;
    }
  | { readonly op: "read"; readonly table: MemoryTable }
  | { readonly op: "insert"; readonly mark: string }
  | { readonly op: "sleep"; readonly ms: number }
  | { readonly op: "divide"; readonly by: number }
  | { readonly op: "echo"; readonly value: string }
  | { readonly op: "claim"; readonly name: string }
  | { readonly op: "whoami" }
  /** Settings last as long as the connection, unless they are discarded. */
  | { readonly op: "set"; readonly name: string; readonly value: string }
  | { readonly op: "settings" }
  | { readonly op: "commit" }
  | { readonly op: "rollback" }
  | { readonly op: "discard" };

export type MemoryTable = "notes" | "diary";

/** What the backend answers to one request: the fields that belong to its `op`. */
export interface MemoryResult {
  /** Of `ticket`. */
  readonly ticket?: string;
  /** Of `ticket`, `start` and `whoami`. */
  readonly subject?: SubjectRef;
  /** Of `ticket` and `whoami`. */
  readonly actors?: readonly string[];
  /** Of `whoami`: the connection. */
  readonly session?: string;
  /** Of `read`: whose each row is. */
  readonly owners?: readonly string[];
  /** Of `echo` and `claim`. */
  readonly value?: string | null;
  /** Of `settings`. */
  readonly names?: readonly string[];
}

/** What it answers to a text of requests: the results up to the first that failed. */
export interface MemoryAnswer {
  readonly results: readonly MemoryResult[];
  readonly error?: { readonly code: MemoryErrorCode; readonly message: string };
}

export type MemoryErrorCode =
  | "bad_token"
  | "bad_ticket"
  | "denied"
  | "division_by_zero"
  | "no_transaction"
  | "read_only"
  | "stopped"
  | "syntax"
  | "transaction_aborted";

/** An error of the backend, as its client library throws it. */
export class MemoryBackendError extends Error {
  override readonly name = "MemoryBackendError";
  readonly code: MemoryErrorCode | "connection_lost";

  constructor(code: MemoryErrorCode | "connection_lost", message: string) {
    super(message);
    this.code = code;
  }
}
