import type { RecordSink } from "./audit-record.ts";
import { assertFresh, callCredential } from "./call-credential.ts";
import type { CallClock } from "./call-clock.ts";
import { checkedCall, type MapError } from "./checked-call.ts";
import type { Credential, CredentialSource } from "./credential.ts";
import type { CallFacts } from "./decision-record.ts";
import type { Delegation } from "./delegation.ts";
import { BehalfError } from "./errors.ts";
import type { NoteOutcome } from "./recorded-call.ts";

/** A call whose decision is on record, so that it may use its backend now. */
export interface OpenCall<L = { readonly deadlineMs: number }> {
  /** The id of this call in the records, for the backend's own log. */
  readonly callId: string;
  readonly delegation: Delegation;
  readonly access: "read" | "write";
  /** Every wait for the backend ends with it: {@link orStopped}, or its signal. */
  readonly clock: CallClock;
  /** What the check of the options gave. */
  readonly limits: L;
  /** Adds facts to the outcome. Never a credential. */
  readonly note: NoteOutcome;
  /**
   * The human's credential. The source is asked once per call, however often this is, and waited for no
   * longer than the clock.
   *
   * @throws BehalfError what the source throws; `identity.unavailable` (reason `unexpected`) where the source
   *   throws something else or gives no credential; `identity.expired` (reason `credential`) where its time
   *   is over; why the call has to end, if it has to
   */
  credential(): Promise<Credential>;
  /**
   * A part of this call with two records of its own, for example one statement of a session. Its decision
   * names the delegation's call id as `partOf`, as a further call of the same delegation does. What `check` throws leaves a denied decision, as does a call that is over.
   *
   * @throws BehalfError what `check` or `work` throws, mapped; `records.unavailable`
   */
  part<C, T>(
    facts: PartFacts,
    check: () => C,
    work: (checked: C, note: NoteOutcome, callId: string) => Promise<T>,
  ): Promise<T>;
}

/** What a part of a call is, for its records. */
export type PartFacts = Pick<CallFacts, "action" | "statement" | "recordStatement">;

/** What an open call is made of. */
export interface OpenCallParts<L> {
  readonly facts: CallFacts;
  readonly callId: string;
  readonly clock: CallClock;
  readonly limits: L;
  readonly note: NoteOutcome;
  readonly credentials: CredentialSource;
  /** Bounded by the clock. */
  readonly sink: RecordSink;
  readonly mapError: MapError;
}

export function openCall<L>(parts: OpenCallParts<L>): OpenCall<L> {
  const { facts, callId, clock, limits, note, credentials, sink, mapError } = parts;
  const { delegation, backend, access } = facts;
  let credential: Promise<Credential> | undefined;
  return {
    callId,
    delegation,
    access,
    clock,
    limits,
    note,
    credential() {
      // Also one that was asked for before: a kept session gets nothing.
      if (clock.stopped) return Promise.reject(clock.stopped);
      credential ??= callCredential(credentials, delegation, clock, backend);
      // Each time: a call may take longer than what it was given.
      return credential.then((given) => assertFresh(given, backend));
    },
    async part(partFacts, check, work) {
      let hasBegun = false;
      const checkAll = () => {
        clock.check();
        return check();
      };
      try {
        const whole = { ...partFacts, delegation, backend, access };
        return await checkedCall(sink, whole, mapError, checkAll, (checked, noted, id) => {
          hasBegun = true;
          return work(checked, noted, id);
        });
      } catch (error) {
        throw hasBegun ? error : givenUp(error, clock, backend);
      }
    },
  };
}

/** Who gave up while the decision was being written gave up; a sink that hangs is the sink's fault. */
export function givenUp(error: unknown, clock: CallClock | undefined, backend: string): unknown {
  const stopped = clock?.stopped;
  const isGivenUp =
    stopped !== undefined &&
    stopped.code !== "timeout" &&
    BehalfError.isInstance(error) &&
    error.code === "records.unavailable" &&
    error.cause === stopped;
  return isGivenUp && error.callId !== undefined ? stopped.forCall(error.callId, backend) : error;
}
