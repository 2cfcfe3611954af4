import type { RecordSink } from "./audit-record.ts";
import { assertDelegation } from "./assert-delegation.ts";
import { newCallId } from "./call-id.ts";
import type { OpenDecision } from "./decision-record.ts";
import type { Delegation, Task } from "./delegation.ts";
import { BehalfError } from "./errors.ts";
import type { SubjectRef } from "./identity.ts";
import {
  identityVerifier,
  type IdentityVerifier,
  type IdentityVerifierOptions,
} from "./identity-verifier.ts";
import { recordDenied, writeDenied } from "./recorded-call.ts";
import { refusalFlood } from "./refusal-flood.ts";
import { unverifiedFacts } from "./unverified-facts.ts";

export interface DelegatorOptions {
  /** A verifier, or what to make one of. */
  readonly verifier: IdentityVerifier | IdentityVerifierOptions;
  /** Where refusals are recorded. Adapters record what was allowed. */
  readonly records: RecordSink;
  /** Milliseconds since the epoch. Default is `Date.now`. */
  readonly now?: () => number;
}

export interface DelegateOptions {
  /** What the human consented to, where there is a task authority. */
  readonly task?: Task;
  /** The tool that the agent called, for the records. */
  readonly tool?: string;
}

/** The front door of a gateway: a token in, a delegation out, and every refusal on record. */
export interface Delegator {
  /**
   * Makes the delegation of ONE call. The next call of the same agent needs the next one, so that each
   * has its own id and its own records; a token that was verified before costs microseconds.
   *
   * @param token the access token alone, without `Bearer`
   * @throws BehalfError `identity.*`, `task.scope_exceeded` (the task is over), `closed`, each with the
   *   `callId` of the refusal's record; `records.unavailable`, with the refusal as its cause, when that
   *   record cannot be written
   */
  delegate(token: string | undefined | null, options?: DelegateOptions): Promise<Delegation>;
  /**
   * Records that a call of a proven human was refused before any adapter saw it, for example because the
   * agent named no tool that there is.
   *
   * @returns the error to answer with, keyed on the record: the given one, or `records.unavailable` with
   *   the given one as its cause
   */
  refuse(delegation: Delegation, error: BehalfError): Promise<BehalfError>;
  /** Drops this human's verified tokens. */
  invalidate(subject: SubjectRef): void;
  /** Closes the verifier, unless it was passed in. The sink is never closed. */
  close(): void;
}

/**
 * @throws BehalfError `configuration`
 * @example
 * ```ts
 * const front = delegator({ verifier: { issuers: [{ issuer }], audience }, records });
 * const delegation = await front.delegate(bearerToken, { tool: "find_orders" });
 * const rows = await database.query(delegation, statement);
 * ```
 */
export function delegator(options: DelegatorOptions): Delegator {
  const { records, now = Date.now } = options;
  const given = "verify" in options.verifier ? options.verifier : undefined;
  const verifier =
    "verify" in options.verifier ? options.verifier : identityVerifier(options.verifier);

  const flood = refusalFlood(records, now);

  return {
    async delegate(token, { task, tool } = {}) {
      const callId = newCallId();
      let subject: SubjectRef | null = null;
      try {
        const identity = await verifier.verify(token);
        subject = { issuer: identity.issuer, subject: identity.subject };
        const delegation: Delegation = Object.freeze({
          callId,
          identity,
          ...(task === undefined ? {} : { task }),
          ...(tool === undefined ? {} : { tool }),
        });
        assertDelegation(delegation, now());
        return delegation;
      } catch (error) {
        const refusal = BehalfError.isInstance(error) ? error : unexpected(error);
        const decision: OpenDecision = {
          v: 1,
          kind: "decision",
          id: callId,
          time: new Date().toISOString(),
          subject,
          actors: [],
          ...(subject === null ? { unverified: unverifiedFacts(token) } : {}),
          ...(task === undefined ? {} : { task: task.id }),
          ...(tool === undefined ? {} : { tool }),
          action: "delegate",
        };
        if (subject === null) throw await flood.record(decision, refusal);
        throw await writeDenied(records, decision, refusal);
      }
    },
    refuse(delegation, error) {
      const call = { delegation, backend: "gateway", action: "call", access: "read" } as const;
      return recordDenied(records, call, error);
    },
    invalidate: (subject) => verifier.invalidate(subject),
    close() {
      flood.close();
      if (given === undefined) verifier.close();
    },
  };
}

/** A defect in a verifier is a refusal with a record, too. What it threw may quote the token. */
function unexpected(error: unknown): BehalfError {
  return new BehalfError("identity.unavailable", "the verifier failed in an unexpected way", {
    reason: "unexpected",
    ...(error instanceof Error ? { nativeCode: error.name } : {}),
  });
}
