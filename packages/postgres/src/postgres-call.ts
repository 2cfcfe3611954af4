import {
  BehalfError,
  type CallFacts,
  type Credential,
  type CredentialSource,
  type NoteOutcome,
  type RecordSink,
  type RunOptions,
  type SubjectRef,
} from "@behalf/core";

import { boundedSink } from "./postgres-bounded-sink.ts";
import { type CallClock, callClock, orStopped } from "./postgres-clock.ts";
import type { Connection } from "./postgres-connection.ts";
import type { Logins } from "./postgres-login.ts";
import type { Mode } from "./postgres-mode.ts";
import { type Limits, noLogin } from "./postgres-options.ts";
import { checkedCall } from "./postgres-records.ts";
import type { HumanCall } from "./postgres-start.ts";

/** A call that may use the database now, in one of the two modes. */
export interface OpenCall {
  readonly clock: CallClock;
  readonly limits: Limits;
  readonly note: NoteOutcome;
  /** For what is neither an agent's text nor an author's statement. */
  readonly defaultMode: Mode;
  /**
   * Lends a clean connection of the mode's login to `work`, with everything that proves the human on it.
   *
   * @throws BehalfError `configuration` where this adapter has no such login
   */
  lend<T>(mode: Mode, work: (connection: Connection, human: HumanCall) => Promise<T>): Promise<T>;
}

/** Every call of one adapter goes through here. */
export interface Calls {
  /** Between its two records, within its deadline, with the human's credential. */
  call<T>(
    facts: CallFacts,
    options: RunOptions,
    check: () => Limits,
    work: (open: OpenCall) => Promise<T>,
  ): Promise<T>;
  /** Stops what runs, or is about to run, for this human. */
  stop(subject: SubjectRef, error: BehalfError): void;
  /** Refuses further calls and waits for those that are under way. */
  close(): Promise<void>;
}

/** A call from its check to its end. What it was handed may be no delegation. */
interface Running {
  readonly subject: SubjectRef | undefined;
  readonly stop: (error: BehalfError) => void;
}

export function calls(parts: {
  readonly logins: Logins;
  readonly credentials: CredentialSource;
  readonly records: RecordSink;
}): Calls {
  const { logins, credentials, records } = parts;
  const running = new Set<Running>();
  const unfinished = new Set<Promise<unknown>>();
  let closed = false;

  async function call<T>(
    facts: CallFacts,
    runOptions: RunOptions,
    check: () => Limits,
    work: (open: OpenCall) => Promise<T>,
  ): Promise<T> {
    const { delegation } = facts;
    let clock: CallClock | undefined;
    let entry: Running | undefined;
    const checkAll = () => {
      if (closed) throw new BehalfError("closed", "[postgres] the adapter is closed");
      const limits = check();
      clock = callClock(limits.deadlineMs, runOptions.signal);
      // Before the decision is written: invalidate() must find a call that waits for its record.
      entry = { subject: delegation?.identity, stop: clock.stop };
      running.add(entry);
      return { limits, clock };
    };
    const sink = boundedSink(records, () => clock);
    try {
      return await checkedCall(sink, facts, checkAll, (checked, note, callId) =>
        serve(checked.limits, checked.clock, note, callId),
      );
    } catch (error) {
      const stopped = clock?.stopped;
      // Who gave up while the decision was being written gave up; a sink that hangs is the sink's fault.
      if (
        stopped !== undefined &&
        stopped.code !== "timeout" &&
        BehalfError.isInstance(error) &&
        error.code === "records.unavailable" &&
        error.cause === stopped
      ) {
        throw stopped.forCall(error.callId ?? delegation.callId, "postgres");
      }
      throw error;
    } finally {
      clock?.[Symbol.dispose]();
      if (entry) running.delete(entry);
    }

    async function serve(
      limits: Limits,
      callsClock: CallClock,
      note: NoteOutcome,
      callId: string,
    ): Promise<T> {
      callsClock.check();
      let proved: Promise<Credential> | undefined;
      const { access } = facts;
      return work({
        clock: callsClock,
        limits,
        note,
        defaultMode: logins.sandbox === null ? "statement" : "sandbox",
        async lend(mode, workOn) {
          const login = logins[mode];
          if (login === null) throw noLogin(mode);
          const credential = await (proved ??= credentialOf(callsClock));
          await login.ready(callsClock);
          const { tickets } = login;
          const human = {
            delegation,
            callId,
            credential,
            tickets,
            clock: callsClock,
            mode,
            access,
          };
          const loan = { subject: delegation.identity, clock: callsClock, access };
          return login.connections.use(loan, (connection) => {
            // Also a call that fails says where it ran.
            note({ native: whereabouts(connection) });
            return workOn(connection, human);
          });
        },
      });
    }

    async function credentialOf(callsClock: CallClock): Promise<Credential> {
      let credential;
      try {
        credential = await orStopped(
          credentials.credential(delegation, { signal: callsClock.signal }),
          callsClock,
        );
      } catch (error) {
        throw BehalfError.isInstance(error) ? error : noCredential(error);
      }
      if (typeof credential?.token?.reveal !== "function") throw noCredential(credential);
      return credential;
    }
  }

  function track<T>(work: Promise<T>): Promise<T> {
    unfinished.add(work);
    const forget = () => unfinished.delete(work);
    work.then(forget, forget);
    return work;
  }

  return {
    call: (facts, options, checkOf, work) => track(call(facts, options, checkOf, work)),
    stop(subject, error) {
      for (const { subject: who, stop } of running) {
        if (who?.issuer === subject.issuer && who.subject === subject.subject) stop(error);
      }
    },
    async close() {
      closed = true;
      await Promise.allSettled(unfinished);
      await Promise.all([logins.sandbox?.close(), logins.statement?.close()]);
    },
  };
}

/**
 * Which backend serves the connection. Behind a PgBouncer the id that the driver was told is the pooler's, and
 * only the backend itself can say: nothing then.
 */
function whereabouts({ client, state }: Connection): { [name: string]: string | number } {
  const { backend, prepared } = state;
  const { processID: pid } = client;
  if (prepared === null || typeof pid !== "number" || state.isPooled) return {};
  return { pid, ...(backend === null ? {} : { backendStart: backend.since }) };
}

/** A defect in a credential source. What it threw may quote the token. */
function noCredential(error: unknown): BehalfError {
  return new BehalfError(
    "identity.unavailable",
    "[postgres] the credential source failed in an unexpected way",
    {
      backend: "postgres",
      reason: "unexpected",
      ...(error instanceof Error ? { nativeCode: error.name } : {}),
    },
  );
}
