import {
  BehalfError,
  type CallFacts,
  type CredentialSource,
  type NoteOutcome,
  type RecordSink,
  type RunOptions,
  type SubjectRef,
} from "@behalf/core";

import { boundedSink } from "./postgres-bounded-sink.ts";
import { type CallClock, callClock, orStopped } from "./postgres-clock.ts";
import { type Connection, type Connections, noConnection } from "./postgres-connection.ts";
import type { Limits } from "./postgres-options.ts";
import { preflight } from "./postgres-preflight.ts";
import { checkedCall } from "./postgres-records.ts";
import type { SandboxCall } from "./postgres-sandbox.ts";
import type { Tickets } from "./postgres-tickets.ts";

/** What a call does with its clean connection. */
export type CallWork<T> = (
  connection: Connection,
  sandbox: SandboxCall,
  limits: Limits,
  note: NoteOutcome,
) => Promise<T>;

/** Every call of one adapter goes through here. */
export interface Calls {
  /** Between its two records, within its deadline, with the human's credential, on a clean connection. */
  call<T>(
    facts: CallFacts,
    options: RunOptions,
    check: () => Limits,
    work: CallWork<T>,
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
  readonly lender: Connections;
  readonly credentials: CredentialSource;
  readonly records: RecordSink;
  readonly tickets: Tickets;
  /** Of the adapter: they bound its own question whether the database is ready. */
  readonly limits: Limits;
}): Calls {
  const { lender, credentials, records, tickets, limits } = parts;
  const running = new Set<Running>();
  const unfinished = new Set<Promise<unknown>>();
  let ready: Promise<void> | null = null;
  let closed = false;

  async function call<T>(
    facts: CallFacts,
    runOptions: RunOptions,
    check: () => Limits,
    work: CallWork<T>,
  ): Promise<T> {
    const { delegation } = facts;
    let clock: CallClock | undefined;
    let entry: Running | undefined;
    const checkAll = () => {
      if (closed) throw new BehalfError("closed", "[postgres] the adapter is closed");
      if (runOptions.access === "write") throw readsOnly();
      const callLimits = check();
      clock = callClock(callLimits.deadlineMs, runOptions.signal);
      // Before the decision is written: invalidate() must find a call that waits for its record.
      entry = { subject: delegation?.identity, stop: clock.stop };
      running.add(entry);
      return { callLimits, callsClock: clock };
    };
    const sink = boundedSink(records, () => clock);
    try {
      return await checkedCall(sink, facts, checkAll, (checked, note, callId) =>
        serve(checked.callLimits, checked.callsClock, note, callId),
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
      callLimits: Limits,
      callsClock: CallClock,
      note: NoteOutcome,
      callId: string,
    ): Promise<T> {
      callsClock.check();
      const credential = await orStopped(
        credentials.credential(delegation, { signal: callsClock.signal }),
        callsClock,
      ).catch((error: unknown) => {
        throw BehalfError.isInstance(error) ? error : noCredential(error);
      });
      if (typeof credential?.token?.reveal !== "function") throw noCredential(credential);
      await orStopped((ready ??= checkOnce()), callsClock).catch((error: unknown) => {
        throw BehalfError.isInstance(error) && error.code === "timeout" ? noConnection() : error;
      });
      const sandbox = { delegation, callId, credential, tickets, clock: callsClock };
      return lender.use(callsClock, (connection) => {
        // Also a call that fails says where it ran.
        note({ native: whereabouts(connection) });
        return work(connection, sandbox, callLimits, note);
      });
    }
  }

  // On a clock of its own: the caller who happens to come first may give up, and others wait, too.
  async function checkOnce(): Promise<void> {
    using clock = callClock(limits.deadlineMs, undefined);
    const check = lender.use(clock, preflight);
    // A database that was down, or was not ready, is asked again by the next call.
    check.catch(() => {
      ready = null;
    });
    await check;
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
      await lender.settled();
    },
  };
}

/** Which backend serves the connection. Behind a PgBouncer only the backend itself can say: nothing then. */
function whereabouts({ client, state }: Connection): { [name: string]: string | number } {
  if (state.prepared === null || typeof client.processID !== "number") return {};
  const { backendStart } = state;
  return { pid: client.processID, ...(backendStart === null ? {} : { backendStart }) };
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

function readsOnly(): BehalfError {
  return new BehalfError("configuration", "[postgres] this adapter reads only; leave access out", {
    backend: "postgres",
    reason: "access",
  });
}
