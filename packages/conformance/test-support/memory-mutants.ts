import type { Group } from "../src/index.ts";
import type { Change } from "./mutated-copy.ts";

/** A mistake of one or two lines, and the cases that have to find it. */
export interface Mutant {
  readonly id: string;
  readonly group: Group;
  /** What is wrong, for people. */
  readonly title: string;
  readonly changes?: readonly Change[];
  readonly core?: readonly Change[];
  /** Whether cases fail because something never ends or never comes, which takes their whole time. */
  readonly hangs?: true;
  /** Ids of cases: each of them fails. */
  readonly caughtBy: readonly string[];
}

const adapter = (from: string, to: string): Change => ({
  file: "src/memory/memory-adapter.ts",
  from,
  to,
});
const pool = (from: string, to: string): Change => ({
  file: "src/memory/memory-pool.ts",
  from,
  to,
});
const tickets = (from: string, to: string): Change => ({
  file: "src/memory/memory-tickets.ts",
  from,
  to,
});
const errors = (from: string, to: string): Change => ({
  file: "src/memory/memory-errors.ts",
  from,
  to,
});
const core = (file: string, from: string, to: string): Change => ({
  file: `src/${file}`,
  from,
  to,
});

const CREDENTIAL = "const { token, expiresAtMs } = await call.credential();";

export const MEMORY_MUTANTS: readonly Mutant[] = [
  {
    id: "who-am-i-from-memory",
    group: "delegation",
    title: "whoAmI answers what the delegation says, and asks nobody",
    changes: [
      adapter(
        'const { session = "", subject = null, actors = [] } = await send({ op: "whoami" });',
        `const { issuer, subject: sub, actors: acts } = call.delegation.identity;
      const [session, subject, actors] = ["", { issuer, subject: sub }, acts.map((act) => act.subject)];`,
      ),
    ],
    caughtBy: ["delegation.who-am-i"],
  },
  {
    id: "key-without-actor",
    group: "delegation",
    title: "what proves the human is kept under a key without the actors",
    changes: [tickets("        actors: identity.actors,\n", "")],
    caughtBy: ["delegation.actor"],
  },
  {
    id: "mismatch-unchecked",
    group: "delegation",
    title: "nobody compares whom the backend knows with whom the delegation names",
    changes: [
      adapter(
        "    assertPrincipal({ subject }, call.delegation, BACKEND);\n",
        "    void subject;\n",
      ),
    ],
    caughtBy: ["delegation.another-humans-credential", "fail-closed.subject-of-another"],
  },
  {
    id: "decision-not-awaited",
    group: "delegation",
    title: "the call runs while its decision is still being written",
    core: [
      core(
        "recorded-call.ts",
        'await sink.write({ ...decision, decision: "allow" });',
        'void sink.write({ ...decision, decision: "allow" }).catch(() => {});',
      ),
    ],
    caughtBy: ["delegation.decision-first", "fail-closed.unrecorded"],
  },
  {
    id: "proved-once-per-credential",
    group: "delegation",
    title: "whose a credential is is compared at its first use, and never again",
    changes: [
      adapter(
        "  const tickets = memoryTickets();\n",
        "  const tickets = memoryTickets();\n  const known = new WeakSet<object>();\n",
      ),
      adapter(
        "const { token, expiresAtMs } = await call.credential();",
        "const credential = await call.credential();\n    const { token, expiresAtMs } = credential;",
      ),
      adapter(
        "    assertPrincipal({ subject }, call.delegation, BACKEND);\n",
        "    if (!known.has(credential)) assertPrincipal({ subject }, call.delegation, BACKEND);\n    known.add(credential);\n",
      ),
    ],
    caughtBy: ["delegation.last-humans-credential"],
  },
  {
    id: "key-with-one-actor",
    group: "delegation",
    title: "what proves the human is kept under a key with the current actor alone",
    changes: [tickets("actors: identity.actors,", "actors: identity.actors.slice(0, 1),")],
    caughtBy: ["delegation.actor-chain"],
  },
  {
    id: "no-outcome-after-an-abort",
    hangs: true,
    group: "delegation",
    title: "a call that was given up leaves no outcome",
    core: [
      core(
        "recorded-call.ts",
        "    const effect = error?.effect ??",
        '    if (error?.code === "cancelled") throw error.forCall(callId, call.backend);\n    const effect = error?.effect ??',
      ),
    ],
    caughtBy: ["delegation.each-end-on-record"],
  },
  {
    id: "expired-credential-served",
    group: "fail closed",
    title: "a credential whose time is over is sent",
    core: [
      core(
        "call-credential.ts",
        "if (credential.expiresAtMs > Date.now())",
        "if (credential.expiresAtMs > 0)",
      ),
    ],
    caughtBy: ["fail-closed.expired-credential"],
  },
  {
    id: "ttl-ignores-the-token",
    group: "fail closed",
    title:
      "what was made of a token is kept as long as the credential says, whatever the token says",
    changes: [tickets("        identity.expiresAtMs,\n", "")],
    caughtBy: ["fail-closed.past-the-tokens-end"],
  },
  {
    id: "denied-unrecorded",
    group: "fail closed",
    title: "a call that is denied leaves no record",
    core: [
      core("recorded-call.ts", "throw await recordDenied(sink, call, error);", "throw error;"),
    ],
    caughtBy: ["fail-closed.nothing", "fail-closed.an-identity-that-has-expired"],
  },
  {
    id: "delegation-unchecked",
    group: "fail closed",
    title: "a delegation is taken as it comes",
    core: [core("recorded-call.ts", "    assertDelegation(call.delegation);\n", "")],
    caughtBy: [
      "fail-closed.an-identity-that-has-expired",
      "fail-closed.a-subject-with-a-line-break",
      "fail-closed.a-task-that-is-over",
    ],
  },
  {
    id: "service-account",
    group: "fail closed",
    title: "where the exchange is refused, the gateway's own token goes instead",
    changes: [
      adapter(
        CREDENTIAL,
        `const { token, expiresAtMs } = await call.credential().catch(() => ({
      token: { reveal: () => "the-gateways-own-token" },
      expiresAtMs: Infinity,
    }));`,
      ),
    ],
    caughtBy: ["fail-closed.no-credential"],
  },
  {
    id: "key-without-issuer",
    group: "fail closed",
    title: "what proves the human is kept under a key without the issuer",
    changes: [tickets("        issuer: identity.issuer,\n", "")],
    caughtBy: ["fail-closed.issuer-of-another"],
  },
  {
    id: "key-in-small-letters",
    group: "fail closed",
    title: "names that differ in their letters' case alone are one human",
    changes: [
      tickets(
        "        subject: identity.subject,\n",
        "        subject: identity.subject.toLowerCase(),\n",
      ),
    ],
    caughtBy: ["fail-closed.subject-in-capitals"],
  },
  {
    id: "any-access",
    group: "fail closed",
    title: "an access that is none is taken for reading",
    core: [core("adapter-calls.ts", "if (!isAccess) throw noAccess(backend);", "")],
    caughtBy: ["fail-closed.an-access-that-is-none"],
  },
  {
    id: "denied-without-its-human",
    group: "fail closed",
    title: "who was refused because of a stale identity is not on record",
    core: [
      core("decision-record.ts", "assertDelegation(value, -Infinity);", "assertDelegation(value);"),
    ],
    caughtBy: ["fail-closed.an-identity-that-has-expired"],
  },
  {
    id: "ttl-ignores-the-credential",
    group: "fail closed",
    title: "what was made of a credential is kept as long as the token says",
    changes: [tickets("        credentialEndsAtMs,\n", "")],
    caughtBy: ["fail-closed.past-the-credentials-end"],
  },
  {
    id: "outcome-lost-quietly",
    group: "fail closed",
    title: "a call succeeds although its outcome could not be recorded",
    core: [
      core(
        "recorded-call.ts",
        '    throw unrecorded(call, callId, "it ran, but its outcome could not be recorded", {\n      cause,\n      effect: isWrite ? "unknown" : "none",\n    });',
        "    void cause;",
      ),
    ],
    caughtBy: ["fail-closed.outcome-unrecorded"],
  },
  {
    id: "session-level-identity",
    group: "isolation",
    title: "the human is set for the session in place of the transaction",
    changes: [
      adapter(
        'op: "start", ticket, local: true, callId: call.callId',
        'op: "start", ticket, local: false, callId: call.callId',
      ),
    ],
    caughtBy: ["isolation.success", "isolation.throw"],
  },
  {
    id: "release-without-rollback",
    group: "isolation",
    title: "a connection goes back in the middle of its transaction after an abort",
    changes: [adapter("else connection.destroy();", "else connection.release();")],
    caughtBy: ["isolation.undone-by-abort"],
  },
  {
    id: "error-path-skips-the-reset",
    group: "isolation",
    title: "what a failed call left on its connection is not discarded",
    changes: [
      adapter(
        'await connection.send(call.clock, { op: how }, { op: "discard" });',
        'await connection.send(call.clock, { op: how }, ...(how === "commit" ? [{ op: "discard" } as const] : []));',
      ),
    ],
    caughtBy: ["isolation.throw", "isolation.failure"],
  },
  {
    id: "no-reset",
    group: "isolation",
    title: "nobody discards what a call left on its connection",
    changes: [
      adapter(
        'await connection.send(call.clock, { op: how }, { op: "discard" });',
        "await connection.send(call.clock, { op: how });",
      ),
    ],
    caughtBy: ["isolation.success", "injection.hostile"],
  },
  {
    id: "no-read-only",
    group: "isolation",
    title: "a call that asked for reading runs in a transaction that writes",
    changes: [
      adapter('{ op: "begin", access: call.access },', '{ op: "begin", access: "write" },'),
    ],
    caughtBy: ["isolation.read-cannot-write", "injection.hostile"],
  },
  {
    id: "session-outlives-its-call",
    group: "isolation",
    title: "a session that a callback kept goes on working",
    core: [core("adapter-run.ts", "  clock.stop(ended(backend));\n", "")],
    caughtBy: ["isolation.kept-session"],
  },
  {
    id: "refused-opening-keeps-its-place",
    hangs: true,
    group: "isolation",
    title: "a call that is refused while it opens never gives its connection back",
    changes: [
      adapter(
        "      return connection;\n    } catch (error) {\n      connection.destroy();\n      throw error;",
        "      return connection;\n    } catch (error) {\n      throw error;",
      ),
    ],
    caughtBy: ["isolation.refused-opening"],
  },
  {
    id: "place-kept-by-who-gave-up",
    hangs: true,
    group: "isolation",
    title: "a call that gave up while it waited for a connection stays in the line, and is served",
    changes: [pool("      else waiting.splice(index, 1);\n", "")],
    caughtBy: ["isolation.gives-up-its-place"],
  },
  {
    id: "proof-ends-unnoticed",
    group: "fail closed",
    title: "a call goes on when the human's token ends in the middle",
    // Each of the three would notice.
    core: [
      core("recorded-call.ts", "    assertDelegation(call.delegation);\n", ""),
      core("adapter-calls.ts", "endWithProof(within.clock, facts.delegation, backend);", ""),
      core(
        "call-credential.ts",
        "clock.stopIn(expiresAtMs - Date.now(), () => expired(backend));",
        "",
      ),
    ],
    caughtBy: ["fail-closed.ended-in-the-middle"],
  },
  {
    id: "nul-taken-out",
    group: "injection",
    title: "a character that a library dislikes is left out of values",
    changes: [
      pool(
        "connection.send(JSON.stringify(requests))",
        'connection.send(JSON.stringify(requests).replaceAll("\\\\u0000", ""))',
      ),
    ],
    caughtBy: ["injection.hard-values"],
  },
  {
    id: "shared-client-header",
    group: "concurrency",
    title: "the human's credential waits on something that all calls share",
    changes: [
      adapter(
        "  const tickets = memoryTickets();\n",
        '  const tickets = memoryTickets();\n  let header: Awaited<ReturnType<OpenCall["credential"]>>;\n',
      ),
      adapter(
        CREDENTIAL,
        `header = await call.credential();
    await new Promise(setImmediate);
    const { token, expiresAtMs } = header;`,
      ),
      adapter(
        "    assertPrincipal({ subject }, call.delegation, BACKEND);\n",
        "    void subject;\n",
      ),
    ],
    caughtBy: ["concurrency.cold-same-tick"],
  },
  {
    id: "key-without-human",
    group: "concurrency",
    title: "what proves the human is kept under a key without the human",
    changes: [tickets("        subject: identity.subject,\n", "")],
    caughtBy: [
      "concurrency.cold-same-tick",
      "concurrency.interleaved",
      "delegation.backend-sees-the-human",
    ],
  },
  {
    id: "connection-lent-twice",
    group: "concurrency",
    title: "an idle connection is lent without being taken off the list",
    changes: [pool("idle.pop() ??", "idle.at(-1) ??")],
    caughtBy: ["concurrency.interleaved"],
  },
  {
    id: "line-ignores-the-clock",
    hangs: true,
    group: "concurrency",
    title: "who waits for a connection waits whatever happens",
    changes: [pool("await orStopped(turn.promise, clock);", "await turn.promise;")],
    caughtBy: ["concurrency.in-line"],
  },
  {
    id: "value-in-the-text",
    group: "injection",
    title: "a value is pasted into the request's text",
    changes: [
      pool(
        "connection.send(JSON.stringify(requests))",
        'connection.send(JSON.stringify(requests).replaceAll(/"value":"(.*?[^\\\\])"(?=})/g, (_, value: string) => `"value":"${value.replaceAll(\'\\\\"\', \'"\')}"`))',
      ),
    ],
    caughtBy: ["injection.values"],
  },
  {
    id: "claim-tidied-up",
    group: "injection",
    title: "a claim is trimmed and normalised on its way",
    changes: [
      adapter(
        '(await send({ op: "claim", name })).value ?? null',
        '(await send({ op: "claim", name })).value?.trim().normalize("NFKC") ?? null',
      ),
    ],
    caughtBy: ["injection.claims"],
  },
  {
    id: "key-without-claims",
    group: "injection",
    title: "what proves the human is kept under a key without the claims",
    changes: [tickets("        claims: identity.claims,\n", "")],
    caughtBy: ["injection.claims"],
  },
  {
    id: "no-cause",
    group: "errors",
    title: "the backend's own error is not kept as the cause",
    changes: [errors("      cause: error,\n", "")],
    caughtBy: ["errors.backend-fails"],
  },
  {
    id: "no-native-code",
    group: "errors",
    title: "the backend's own code is not kept",
    changes: [errors("      nativeCode,\n", "")],
    caughtBy: ["errors.backend-fails"],
  },
  {
    id: "own-error-wrapped",
    group: "errors",
    title: "what the caller's code throws arrives as something else",
    core: [core("adapter-run.ts", "throw new CallerFailure(error);", "throw error;")],
    caughtBy: ["errors.own", "isolation.throw"],
  },
  {
    id: "retry-repeats-a-write",
    group: "errors",
    title: "a call whose connection was lost is tried again, also where it wrote",
    changes: [
      adapter(
        `    run: (delegation, work, runOptions) =>
      calls.run(delegation, work, runOptions, {
        open: async (call) => memorySession(call, await begin(call)),
        commit: (session) => session.end("commit"),
        giveUp: (session) => session.giveUp(),
      }),`,
        `    async run(delegation, work, runOptions) {
      const once = () =>
        calls.run(delegation, work, runOptions, {
          open: async (call) => memorySession(call, await begin(call)),
          commit: (session) => session.end("commit"),
          giveUp: (session) => session.giveUp(),
        });
      return once().catch((error: BehalfError) => {
        if (error.code === "backend.unavailable" && error.effect === "unknown") return once();
        throw error;
      });
    },`,
      ),
    ],
    caughtBy: ["errors.lost-answer"],
  },
  {
    id: "lost-commit-changed-nothing",
    group: "errors",
    title: "a lost answer to a commit is said to have changed nothing",
    core: [
      core(
        "adapter-run.ts",
        'if (phase !== "work") return "unknown";',
        'if (phase !== "work") return "none";',
      ),
    ],
    caughtBy: ["errors.lost-answer"],
  },
  {
    id: "abort-in-the-commit-changed-nothing",
    group: "errors",
    title: "a commit that was given up is said to have changed nothing",
    core: [
      core(
        "adapter-run.ts",
        'if (phase === "commit" && isItsOwn) return error;',
        'if (phase === "commit" && BehalfError.isInstance(error)) return error;',
      ),
    ],
    caughtBy: ["errors.abort-at-the-commit"],
  },
  {
    id: "deadline-of-one-way-ignored",
    hangs: true,
    group: "errors",
    title: "one of the ways has a deadline of its own, whatever the caller says",
    changes: [adapter("    return { deadlineMs };\n", "    return { deadlineMs: 30_000 };\n")],
    caughtBy: ["errors.no-credential-comes"],
  },
  {
    id: "failed-end-keeps-its-place",
    hangs: true,
    group: "errors",
    title: "a rollback that fails keeps its connection from everybody",
    changes: [
      adapter('await this.end("rollback").catch(() => {});', 'await this.end("rollback");'),
    ],
    caughtBy: ["errors.lost-answer"],
  },
  {
    id: "key-without-task",
    group: "task scope",
    title: "what proves the human is kept under a key without the task",
    changes: [tickets("        task: task ?? null,\n", "")],
    caughtBy: ["task-scope.alternating", "task-scope.narrow"],
  },
  {
    id: "task-taken-all-the-same",
    group: "task scope",
    title: "an adapter that says that it refuses tasks takes them",
    changes: [
      adapter(
        '"native",\n    evidence: "emulated",\n    note: "A ticket carries its task',
        '"refused",\n    evidence: "emulated",\n    note: "A ticket carries its task',
      ),
    ],
    caughtBy: ["task-scope.refused"],
  },
  {
    id: "task-not-sent",
    group: "task scope",
    title: "the backend is not told of the task",
    changes: [adapter("task: call.delegation.task ?? null,", "task: null,")],
    caughtBy: ["task-scope.narrow", "task-scope.other-task", "task-scope.reading-only"],
  },
  {
    id: "key-with-the-tasks-id",
    group: "task scope",
    title: "what proves the human is kept under a key with the task's id alone",
    changes: [tickets("task: task ?? null,", "task: task?.id ?? null,")],
    caughtBy: ["task-scope.same-id"],
  },
  {
    id: "task-of-the-last-call",
    group: "task scope",
    title: "the task waits on something that all calls share",
    changes: [
      adapter(
        "  const tickets = memoryTickets();\n",
        '  const tickets = memoryTickets();\n  let task: Delegation["task"];\n',
      ),
      adapter(
        "const { token, expiresAtMs } = await call.credential();",
        "({ task } = call.delegation);\n    const { token, expiresAtMs } = await call.credential();",
      ),
      adapter("task: call.delegation.task ?? null,", "task: task ?? null,"),
    ],
    caughtBy: ["task-scope.same-tick"],
  },
  {
    id: "revocation-keeps-the-ticket",
    group: "revocation",
    title: "invalidate drops the credential and keeps what was made of it",
    changes: [adapter("      tickets.delete(subject);\n", "")],
    caughtBy: ["revocation.cached"],
  },
  {
    id: "revocation-hits-everybody",
    group: "revocation",
    title: "invalidate drops what is kept for everybody",
    changes: [
      tickets(
        "if (who.issuer === issuer && who.subject === subject) kept.delete(key);",
        "if (who.issuer === issuer || who.subject === subject) kept.delete(key);",
      ),
    ],
    caughtBy: ["revocation.cached"],
  },
  {
    id: "revocation-lets-it-run",
    hangs: true,
    group: "revocation",
    title: "invalidate leaves alone what is under way",
    core: [
      core(
        "adapter-calls.ts",
        "if (who?.issuer === subject.issuer && who.subject === subject.subject) stop(error);",
        "void [who, stop, error];",
      ),
    ],
    caughtBy: [
      "revocation.running",
      "revocation.in-flight",
      "revocation.waits-for-its-record",
      "revocation.in-the-callback",
    ],
  },
  {
    id: "revocation-by-name-alone",
    hangs: true,
    group: "revocation",
    title: "invalidate stops whoever has the same name at another issuer",
    core: [
      core(
        "adapter-calls.ts",
        "if (who?.issuer === subject.issuer && who.subject === subject.subject) stop(error);",
        "if (who?.subject === subject.subject) stop(error);",
      ),
    ],
    caughtBy: ["revocation.running"],
  },
  {
    id: "revocation-drops-one",
    group: "revocation",
    title: "invalidate drops the first ticket of the human that it finds",
    changes: [
      tickets(
        "if (who.issuer === issuer && who.subject === subject) kept.delete(key);",
        "if (who.issuer === issuer && who.subject === subject) return void kept.delete(key);",
      ),
    ],
    caughtBy: ["revocation.each-agent"],
  },
  {
    id: "late-ticket-kept",
    group: "revocation",
    title: "a ticket that arrives after invalidate is kept",
    changes: [
      adapter("    call.clock.check();\n    tickets.set", "    tickets.set"),
      pool(
        "const text = await orStopped(connection.send(JSON.stringify(requests)), clock);",
        "const text = await connection.send(JSON.stringify(requests));",
      ),
    ],
    caughtBy: ["revocation.any-instant"],
  },
  {
    id: "token-in-the-cause",
    group: "secrets",
    title: "what a credential source threw is kept as the cause",
    core: [
      core(
        "call-credential.ts",
        '      reason: "unexpected",\n',
        '      reason: "unexpected",\n      cause: error,\n',
      ),
    ],
    caughtBy: ["secrets.thrown"],
  },
  {
    id: "token-in-a-log-line",
    group: "secrets",
    title: "a line for debugging holds the token",
    changes: [
      adapter(CREDENTIAL, `${CREDENTIAL}\n    console.debug(\`a ticket for \${token.reveal()}\`);`),
    ],
    caughtBy: ["secrets.logged"],
  },
  {
    id: "token-in-a-span",
    group: "secrets",
    title: "a span holds the token",
    changes: [
      adapter(
        '{ "behalf.table": table }',
        '{ "behalf.table": table, "behalf.token": delegation.identity.token.reveal() }',
      ),
    ],
    caughtBy: ["secrets.traced"],
  },
  {
    id: "token-on-record",
    group: "secrets",
    title: "the outcome holds the token as the backend's own evidence",
    changes: [
      adapter(
        "open.note({ rows: owners.length });",
        "open.note({ rows: owners.length, native: { by: delegation.identity.token.reveal() } });",
      ),
    ],
    caughtBy: ["secrets.recorded"],
  },
  {
    id: "token-in-the-plan",
    group: "secrets",
    title: "plan shows the token that would be sent",
    changes: [
      adapter(
        'parameters: { token: "[redacted]",',
        "parameters: { token: identity.token.reveal(),",
      ),
    ],
    caughtBy: ["secrets.returned", "delegation.plan"],
  },
  {
    id: "ticket-on-record",
    group: "secrets",
    title: "the outcome holds the ticket as the backend's own evidence",
    changes: [
      adapter(
        "open.note({ rows: owners.length });",
        "open.note({ rows: owners.length, native: { ticket } });",
      ),
    ],
    caughtBy: ["secrets.recorded"],
  },
  {
    id: "tickets-on-the-adapter",
    group: "secrets",
    title: "who prints the adapter sees the tickets that it keeps",
    changes: [
      adapter(
        "  return {\n    specificationVersion: 1,",
        "  return {\n    ...{ tickets },\n    specificationVersion: 1,",
      ),
      tickets("  return {\n    get(", "  return {\n    ...{ kept },\n    get("),
    ],
    caughtBy: ["secrets.inspected"],
  },
  {
    id: "close-does-not-wait",
    hangs: true,
    group: "lifecycle",
    title: "close does not wait for what runs",
    core: [core("adapter-calls.ts", "      await Promise.allSettled(unfinished);\n", "")],
    caughtBy: ["lifecycle.close-waits"],
  },
  {
    id: "used-after-close",
    hangs: true,
    group: "lifecycle",
    title: "a closed adapter goes on taking calls",
    core: [
      core(
        "adapter-calls.ts",
        "if (closed) throw new BehalfError",
        "if (closed && !closed) throw new BehalfError",
      ),
    ],
    caughtBy: ["lifecycle.use-after-close", "lifecycle.close-waits"],
  },
  {
    id: "connections-stay-open",
    hangs: true,
    group: "lifecycle",
    title: "close keeps the connections",
    changes: [adapter("      pool.close();\n", "")],
    caughtBy: ["lifecycle.nothing-left"],
  },
  {
    id: "listener-stays",
    group: "lifecycle",
    title: "each call leaves a listener on its caller's signal",
    core: [core("call-clock.ts", '      outer?.removeEventListener("abort", onOuter);\n', "")],
    caughtBy: ["lifecycle.listeners"],
  },
  {
    id: "timer-stays",
    hangs: true,
    group: "lifecycle",
    title: "each call leaves the timer of its deadline",
    core: [core("call-clock.ts", "      for (const one of timers) clearTimeout(one);\n", "")],
    caughtBy: ["lifecycle.nothing-left"],
  },
  {
    id: "temporary-file",
    group: "lifecycle",
    title: "a file for temporary things is left behind",
    changes: [
      adapter(
        CREDENTIAL,
        `${CREDENTIAL}
    process
      .getBuiltinModule("node:fs")
      .writeFileSync(\`\${process.getBuiltinModule("node:os").tmpdir()}/memory-adapter\`, "");`,
      ),
    ],
    caughtBy: ["lifecycle.no-temporary-files"],
  },
  {
    id: "asked-ahead",
    group: "lifecycle",
    title: "a credential is asked for ahead, and nobody hears that it is refused",
    changes: [
      adapter(
        "    const connection = await pool.take(call.clock);\n    try {\n      const ticket = await ticketOf(call, connection);",
        "    const ahead = tickets.get(call.delegation) ? null : call.credential();\n    await new Promise(setImmediate);\n    void ahead;\n    const connection = await pool.take(call.clock);\n    try {\n      const ticket = await ticketOf(call, connection);",
      ),
    ],
    caughtBy: ["lifecycle.no-unhandled-rejection"],
  },
  {
    id: "process-listener-stays",
    group: "lifecycle",
    title: "each call leaves a listener on the process",
    changes: [
      adapter(
        "    const connection = await pool.take(call.clock);\n    try {\n      const ticket = await ticketOf(call, connection);",
        '    process.once("exit", () => {});\n    const connection = await pool.take(call.clock);\n    try {\n      const ticket = await ticketOf(call, connection);',
      ),
    ],
    caughtBy: ["lifecycle.listeners"],
  },
  {
    id: "nothing-kept",
    group: "cost",
    title: "the human is proved anew for every call",
    changes: [adapter("    if (kept !== undefined) return kept;\n", "")],
    caughtBy: ["cost.trips"],
  },
  {
    id: "one-trip-more",
    group: "cost",
    title: "what could go in one trip goes in two",
    changes: [
      adapter(
        '        { op: "begin", access: call.access },\n        { op: "start",',
        '        { op: "begin", access: call.access },\n      );\n      await connection.send(\n        call.clock,\n        { op: "start",',
      ),
    ],
    caughtBy: ["cost.trips"],
  },
  {
    id: "an-exchange-for-each-call",
    group: "cost",
    title: "credentials are dropped before each use",
    changes: [
      adapter(
        CREDENTIAL,
        `credentials.invalidate({ issuer: "", subject: "" });\n    credentials.invalidate(call.delegation.identity);\n    ${CREDENTIAL}`,
      ),
    ],
    caughtBy: ["cost.single-flight"],
  },
];
