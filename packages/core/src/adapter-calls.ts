import type { RunOptions } from "./adapter.ts";
import { runSession, type SessionLifecycle, settledSoon } from "./adapter-run.ts";
import { assertDelegation } from "./assert-delegation.ts";
import type { RecordSink } from "./audit-record.ts";
import { boundedSink } from "./bounded-sink.ts";
import { type CallClock, callClock } from "./call-clock.ts";
import { checkedCall, type MapError } from "./checked-call.ts";
import type { CredentialSource } from "./credential.ts";
import type { CallFacts } from "./decision-record.ts";
import type { Delegation } from "./delegation.ts";
import { BehalfError } from "./errors.ts";
import type { SubjectRef } from "./identity.ts";
import { givenUp, openCall, type OpenCall } from "./open-call.ts";
import { textOption } from "./option-checks.ts";
import { unexpectedError } from "./unexpected-error.ts";

export interface AdapterCallsOptions {
  /** The adapter's name, for example `postgres`. It stands in records and before every message. */
  readonly backend: string;
  /** Where decisions and outcomes are recorded. */
  readonly records: RecordSink;
  /** Where the human's credential for this backend comes from. */
  readonly credentials: CredentialSource;
  /** Longest time for a {@link AdapterCalls.run}, in milliseconds. Default is `30000`. */
  readonly deadlineMs?: number;
  /**
   * What happens to a call that has a task. `refused` denies it with `task.scope_exceeded` before anything is
   * sent: right for every backend that cannot be told of a task, because without it the call would do more
   * than its human agreed to. `narrowed` promises that the adapter hands the task on. Default is `refused`.
   */
  readonly tasks?: "refused" | "narrowed";
  /**
   * Translates what the driver or the backend threw; it is never handed a BehalfError. Default makes
   * `backend.failed` (reason `unexpected`) of everything, with the error's name and its `code`, and without
   * its message, which may quote a token. So is everything for which it throws, or gives no BehalfError.
   */
  readonly mapError?: (error: unknown) => BehalfError;
}

/** Every call of one adapter goes through here. */
export interface AdapterCalls {
  /**
   * The general form, for adapters with limits and actions of their own: `work` runs between the call's two
   * records and within its deadline, but has to end by itself when its clock stops. What `check` throws
   * leaves a denied decision, and nothing is sent. Whether a write was sent before it failed, only `work`
   * knows: a BehalfError that does not say `unknown`, the clock's own among them, says that nothing was
   * changed.
   *
   * @throws BehalfError what `check` and `work` throw, mapped; `records.unavailable`; `closed`;
   *   `configuration` (reason `access` or `signal`); `task.scope_exceeded` (reason `task_unsupported`) where
   *   {@link AdapterCallsOptions.tasks} says so; what the delegation is refused with
   */
  call<T, L extends { readonly deadlineMs: number }>(
    facts: CallFacts,
    options: RunOptions,
    check: () => L,
    work: (open: OpenCall<L>) => Promise<T>,
  ): Promise<T>;
  /**
   * {@link Adapter.run} as a whole: checks the options, records, opens the session, runs the work, commits,
   * gives up. It ends at its deadline and when its signal fires, also where `work` never does. What `work`
   * itself throws passes as it is; a BehalfError gets the call id. Once the run is over its clock has stopped
   * with `closed`, so that a session that was kept can do nothing more.
   *
   * @throws BehalfError as {@link AdapterCalls.call}; `cancelled`, `timeout`; or what `work` throws
   */
  run<S, T>(
    delegation: Delegation,
    work: (session: S) => Promise<T>,
    options: RunOptions | undefined,
    lifecycle: SessionLifecycle<S>,
  ): Promise<T>;
  /**
   * Drops the human's credentials and stops their calls with `identity.revoked`, also one that still waits
   * for its record or its credential.
   */
  invalidate(subject: SubjectRef): Promise<void>;
  /**
   * Refuses further calls with `closed`, each with a denied record, and waits for those that run. Safe to
   * call twice; inside a call it would wait for that call.
   */
  close(): Promise<void>;
}

/** A call from its check to its end. What it was handed may be no delegation. */
interface Running {
  readonly subject: SubjectRef | undefined;
  readonly stop: (error: BehalfError) => void;
}

/**
 * What every adapter needs around its backend: records, deadlines, credentials, revocation and the end.
 *
 * @throws BehalfError `configuration` when an option is missing or wrong
 * @example
 * ```ts
 * const calls = adapterCalls({ backend: "demo", records, credentials });
 * const run = (delegation, work, options) =>
 *   calls.run(delegation, work, options, {
 *     open: async (call) => client.begin({ token: (await call.credential()).token, signal: call.clock.signal }),
 *     commit: (session) => session.commit(),
 *     giveUp: (session) => session.close(),
 *   });
 * ```
 */
export function adapterCalls(options: AdapterCallsOptions): AdapterCalls {
  const { backend, records, credentials } = checked(options);
  const { tasks = "refused" } = options;
  const deadlineMs = deadlineOption(options.deadlineMs ?? 30_000, backend);
  const mapError = mapping(options);
  const running = new Set<Running>();
  const unfinished = new Set<Promise<unknown>>();
  const left = new Set<Promise<unknown>>();
  const leave = (ending: Promise<unknown>) => void track(left, ending);
  let closed = false;

  async function call<T, L extends { readonly deadlineMs: number }>(
    asked: CallFacts,
    runOptions: RunOptions,
    check: () => L,
    work: (open: OpenCall<L>) => Promise<T>,
  ): Promise<T> {
    const isAccess = asked.access === "read" || asked.access === "write";
    // Records hold nothing that is none.
    const facts: CallFacts = isAccess ? asked : { ...asked, access: "read" };
    let clock: CallClock | undefined;
    let entry: Running | undefined;
    let hasBegun = false;
    const checkAll = () => {
      if (closed) throw new BehalfError("closed", `[${backend}] the adapter is closed`);
      if (!isAccess) throw noAccess(backend);
      if (tasks === "refused" && facts.delegation?.task !== undefined) {
        assertDelegation(facts.delegation);
        throw noTask(backend);
      }
      const limits = check();
      clock = callClock(limits.deadlineMs, runOptions.signal, backend);
      // Before the decision is written: invalidate() must find a call that waits for its record.
      entry = { subject: facts.delegation?.identity, stop: clock.stop };
      running.add(entry);
      // A signal that has fired already: denied, so that no decision to allow it stands alone.
      clock.check();
      return { limits, clock };
    };
    const sink = boundedSink(records, () => clock, leave);
    try {
      return await checkedCall(sink, facts, mapError, checkAll, (within, note, callId) => {
        hasBegun = true;
        within.clock.check();
        endWithProof(within.clock, facts.delegation, backend);
        return work(openCall({ ...within, facts, callId, note, credentials, sink, mapError }));
      });
    } catch (error) {
      throw hasBegun ? error : givenUp(error, clock, backend);
    } finally {
      clock?.[Symbol.dispose]();
      if (entry) running.delete(entry);
    }
  }

  return {
    call: (facts, callOptions, check, work) =>
      track(unfinished, call(facts, callOptions, check, work)),
    run(delegation, work, runOptions, lifecycle) {
      const asked = runOptions ?? {};
      const access = asked.access ?? "read";
      const check = () => ({
        deadlineMs: deadlineOption(asked.deadlineMs ?? deadlineMs, backend),
      });
      const facts: CallFacts = { delegation, backend, action: "run", access };
      const parts = { backend, mapError, leave };
      return track(
        unfinished,
        call(facts, asked, check, (open) => runSession(open, work, lifecycle, parts)),
      );
    },
    async invalidate(subject) {
      let dropped: unknown;
      try {
        dropped = credentials.invalidate(subject);
      } finally {
        const error = new BehalfError(
          "identity.revoked",
          `[${backend}] this human's access was withdrawn`,
        );
        for (const { subject: who, stop } of running) {
          if (who?.issuer === subject.issuer && who.subject === subject.subject) stop(error);
        }
      }
      // Some sources keep what they drop elsewhere, and are heard when they fail.
      await Promise.resolve(dropped);
    },
    async close() {
      closed = true;
      await Promise.allSettled(unfinished);
      await settledSoon(left);
    },
  };
}

/** The adapter's own mapping, where it does its work: one that throws must not become what the caller sees. */
function mapping({ backend, mapError }: AdapterCallsOptions): MapError {
  return (error) => {
    if (mapError === undefined || BehalfError.isInstance(error)) {
      return unexpectedError(error, backend);
    }
    try {
      const mapped: unknown = mapError(error);
      if (BehalfError.isInstance(mapped)) return mapped;
    } catch {
      // A defect in the mapping says nothing about the call.
    }
    return unexpectedError(error, backend);
  };
}

function track<T>(promises: Set<Promise<unknown>>, work: Promise<T>): Promise<T> {
  promises.add(work);
  const forget = () => promises.delete(work);
  work.then(forget, forget);
  return work;
}

function checked(options: AdapterCallsOptions): AdapterCallsOptions {
  const { backend, records, credentials } = options ?? {};
  textOption("backend", backend);
  if (typeof credentials?.credential !== "function") {
    throw configuration(
      backend,
      "`credentials` must be a credential source: credentialCache({ exchange: tokenExchange(...) }) or passthrough(...)",
    );
  }
  if (typeof records?.write !== "function") {
    throw configuration(
      backend,
      "`records` must be a record sink, for example jsonlSink({ path })",
    );
  }
  const { tasks = "refused" } = options;
  if (tasks !== "refused" && tasks !== "narrowed") {
    throw configuration(backend, '`tasks` must be "refused" or "narrowed"');
  }
  return options;
}

/** A call that outlives the human's proof, or its task, ends with it. */
function endWithProof(clock: CallClock, { identity, task }: Delegation, backend: string): void {
  const now = Date.now();
  clock.stopIn(
    identity.expiresAtMs - now,
    () =>
      new BehalfError(
        "identity.expired",
        `[${backend}] the human's token ended during the call; refresh it and delegate again`,
        { backend, reason: "expired" },
      ),
  );
  if (task === undefined) return;
  clock.stopIn(
    task.expiresAtMs - now,
    () =>
      new BehalfError(
        "task.scope_exceeded",
        `[${backend}] the task ended during the call; ask for a new one`,
        { backend, reason: "expired" },
      ),
  );
}

function noTask(backend: string): BehalfError {
  return new BehalfError(
    "task.scope_exceeded",
    `[${backend}] this backend cannot narrow a call to its task, so the call is refused; call without a task, or another backend`,
    { backend, reason: "task_unsupported" },
  );
}

function deadlineOption(value: number, backend: string): number {
  // setTimeout ends at 2^31 - 1 ms.
  if (Number.isInteger(value) && value >= 1 && value <= 2_147_483_647) return value;
  throw configuration(
    backend,
    `\`deadlineMs\` must be a whole number from 1 to 2147483647, not ${String(value)}`,
  );
}

function noAccess(backend: string): BehalfError {
  return configuration(backend, '`access` must be "read" or "write"', "access");
}

function configuration(backend: string, message: string, reason?: string): BehalfError {
  return new BehalfError("configuration", `[${backend}] ${message}`, {
    backend,
    ...(reason === undefined ? {} : { reason }),
  });
}
