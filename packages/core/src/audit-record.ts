import type { BehalfErrorCode } from "./errors.ts";
import type { Actor, SubjectRef } from "./identity.ts";

/** What the records say of a token. Never its bytes. */
export interface TokenFacts {
  readonly tokenId: string;
  readonly clientId: string;
  readonly expiresAtMs: number;
}

/**
 * Written durably BEFORE a call runs, or instead of it when it is refused. Denied calls are records
 * like any other.
 */
export interface DecisionRecord {
  readonly v: 1;
  readonly kind: "decision";
  /** The call id. The outcome has the same one. */
  readonly id: string;
  /** The call that this one is part of: a statement of a run, or a further use of one delegation. */
  readonly partOf?: string;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly decision: "allow" | "deny";
  /**
   * How many refusals this one stands for, where callers that proved nobody sent more than are recorded one
   * by one. Default is `1`.
   */
  readonly repeated?: number;
  /** Why it was denied. */
  readonly code?: BehalfErrorCode;
  /** Refines `code`. */
  readonly reason?: string;
  /** The verified human, or `null` when nobody was verified. */
  readonly subject: SubjectRef | null;
  /** Current actor first. */
  readonly actors: readonly Actor[];
  readonly token?: TokenFacts;
  /**
   * What a refused token claims of itself, cut to 200 characters each. NOT verified: good for finding
   * who sent it, never for saying who it was.
   */
  readonly unverified?: { readonly [claim: string]: string };
  readonly task?: string;
  readonly tool?: string;
  readonly backend?: string;
  /** What was asked for, for example `query` or `run`. */
  readonly action?: string;
  readonly access?: "read" | "write";
  /** SHA-256 of the statement's text, hexadecimal. */
  readonly statementHash?: string;
  /** The statement's text; only when the adapter was told to record it, because literals can be personal data. */
  readonly statement?: string;
}

/** Written after a call. A decision to allow that has no outcome reads as: unknown. */
export interface OutcomeRecord {
  readonly v: 1;
  readonly kind: "outcome";
  readonly id: string;
  readonly time: string;
  readonly status: "ok" | "error";
  readonly code?: BehalfErrorCode;
  /** The backend's own code, for example a SQLSTATE. */
  readonly nativeCode?: string;
  /** Whether data may have been changed by a call that failed. */
  readonly effect?: "none" | "unknown";
  /** Rows that were returned. */
  readonly rows?: number;
  /** Rows that were inserted, updated, deleted or merged, where the backend counted them. */
  readonly affectedRows?: number;
  readonly bytes?: number;
  readonly truncated?: "rows" | "bytes" | null;
  readonly durationMs: number;
  /** The backend's own evidence: process id, session start, role. */
  readonly native?: { readonly [name: string]: string | number };
}

export type AuditRecord = DecisionRecord | OutcomeRecord;

/** Where records go. */
export interface RecordSink {
  /**
   * Resolves when the record is durable.
   *
   * @throws whatever kept it from being durable; the call is then refused
   */
  write(record: AuditRecord): Promise<void>;
  /** Waits for what is under way. Safe to call twice. */
  close(): Promise<void>;
}
