/**
 * Every stable error code of Behalf. Codes are part of the public contract: they may be added to,
 * never renamed.
 *
 * | code | meaning | what the caller can do |
 * | --- | --- | --- |
 * | `identity.missing` | no token came with the call | send the human's access token |
 * | `identity.rejected` | the token proves nobody (`reason` says why) | obtain a right token; do not retry this one |
 * | `identity.expired` | the token was right, and its time is over | refresh and retry |
 * | `identity.not_yet_valid` | `nbf` or `iat` lies in the future | check the clocks |
 * | `identity.unavailable` | the issuer's keys or its token endpoint cannot be reached | retry later |
 * | `identity.exchange_refused` | the issuer refused the token exchange | see `reason` |
 * | `identity.revoked` | the human's access was withdrawn | nothing; the human must be allowed again |
 * | `task.required` | the backend asks for a task, and the call has none | start a task |
 * | `task.scope_exceeded` | the call goes beyond its task | ask for a wider task |
 * | `task.budget_exhausted` | the task's calls or rows are used up | ask for a new task |
 * | `consent.required` | the human has not agreed yet | ask the human |
 * | `statement.refused` | the backend refused the statement's text | correct the statement |
 * | `backend.denied` | the backend knows the human and says no | do not retry |
 * | `backend.identity_mismatch` | the backend saw another human than the delegation's | report it: a defect |
 * | `backend.unavailable` | the backend cannot be reached or refuses the login | retry later |
 * | `backend.failed` | the statement was understood and failed while it ran | see `nativeCode` |
 * | `limit.exceeded` | this human has too many calls under way | wait for them, then retry |
 * | `cancelled` | the caller's AbortSignal fired | |
 * | `timeout` | the deadline passed | a longer deadline or a smaller question |
 * | `records.unavailable` | the audit record could not be written, so the call was refused | repair the sink |
 * | `configuration` | Behalf is set up wrongly | see the message |
 * | `closed` | the adapter was closed | |
 */
export type BehalfErrorCode =
  | "identity.missing"
  | "identity.rejected"
  | "identity.expired"
  | "identity.not_yet_valid"
  | "identity.unavailable"
  | "identity.exchange_refused"
  | "identity.revoked"
  | "task.required"
  | "task.scope_exceeded"
  | "task.budget_exhausted"
  | "consent.required"
  | "statement.refused"
  | "backend.denied"
  | "backend.identity_mismatch"
  | "backend.unavailable"
  | "backend.failed"
  | "limit.exceeded"
  | "cancelled"
  | "timeout"
  | "records.unavailable"
  | "configuration"
  | "closed";

/** Facts that a {@link BehalfError} may carry beside its code and message. */
export interface BehalfErrorFacts {
  /** A machine-readable refinement of the code, for example `audience` under `identity.rejected`. */
  readonly reason?: string;
  /** The backend's own code: a SQLSTATE, an HTTP status, an AWS error name. */
  readonly nativeCode?: string;
  /** The id of the call, as it stands in the decision and outcome records. */
  readonly callId?: string;
  /** The backend that answered, for example `postgres`. */
  readonly backend?: string;
  /**
   * Whether the call may have changed data. `none`: certainly not. `unknown`: the answer to the
   * COMMIT was lost. Default is `none`.
   */
  readonly effect?: "none" | "unknown";
  /** What went wrong beneath. Never holds a credential. */
  readonly cause?: unknown;
}

const marker: unique symbol = Symbol.for("behalf.error");

/**
 * The one error class of Behalf. Tell errors apart by `code`, never by message; recognise them with
 * {@link BehalfError.isInstance}, which also works across two installed copies of this package.
 *
 * @example
 * ```ts
 * try {
 *   await adapter.query(delegation, sql);
 * } catch (error) {
 *   if (BehalfError.isInstance(error) && error.code === "statement.refused") return error.message;
 *   throw error;
 * }
 * ```
 */
export class BehalfError extends Error {
  override readonly name: string = "BehalfError";
  readonly code: BehalfErrorCode;
  readonly reason: string | undefined;
  readonly nativeCode: string | undefined;
  readonly callId: string | undefined;
  readonly backend: string | undefined;
  readonly effect: "none" | "unknown";

  static {
    Object.defineProperty(this.prototype, marker, { value: true });
  }

  constructor(code: BehalfErrorCode, message: string, facts: BehalfErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.reason = facts.reason;
    this.nativeCode = facts.nativeCode;
    this.callId = facts.callId;
    this.backend = facts.backend;
    this.effect = facts.effect ?? "none";
  }

  /** Whether `value` is a BehalfError, also one of another copy or version of this package. */
  static isInstance(value: unknown): value is BehalfError {
    return typeof value === "object" && value !== null && marker in value;
  }

  /** The same error, keyed on the call it belongs to. Facts that are already there stay. */
  forCall(callId: string, backend?: string): BehalfError {
    const from = this.backend ?? backend;
    const error = new BehalfError(this.code, this.message, {
      effect: this.effect,
      callId: this.callId ?? callId,
      ...(from === undefined ? {} : { backend: from }),
      ...(this.reason === undefined ? {} : { reason: this.reason }),
      ...(this.nativeCode === undefined ? {} : { nativeCode: this.nativeCode }),
      ...(this.cause === undefined ? {} : { cause: this.cause }),
    });
    if (this.stack !== undefined) error.stack = this.stack;
    return error;
  }
}
