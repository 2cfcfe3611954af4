import { BehalfError, type Credential, type Delegation, newCallId, Secret } from "@behalf/core";

import { attempted, codeOf, errorOf, look, needed, readsBetween, refusal } from "../case-tools.ts";
import type { CaseContext, ConformanceCase } from "../conformance-case.ts";
import type { FullProbe } from "../full-probe.ts";
import type { Human, Observation } from "../harness.ts";

/** Delegations that are none. Typed as what they pretend to be: JavaScript callers send them. */
const NOT_DELEGATIONS: readonly {
  readonly name: string;
  readonly code: string;
  readonly of: (good: Delegation) => unknown;
}[] = [
  { name: "nothing", code: "identity.missing", of: () => undefined },
  { name: "null", code: "identity.missing", of: () => null },
  { name: "an empty object", code: "identity.rejected", of: () => ({}) },
  { name: "a text", code: "identity.rejected", of: (good) => good.identity.token.reveal() },
  { name: "a list", code: "identity.rejected", of: (good) => [good] },
  {
    name: "a copy through JSON",
    code: "identity.rejected",
    of: (good) => JSON.parse(JSON.stringify(good)) as unknown,
  },
  { name: "no identity", code: "identity.rejected", of: ({ callId }) => ({ callId }) },
  { name: "no call id", code: "identity.rejected", of: (good) => ({ ...good, callId: "" }) },
  {
    name: "a call id that is none",
    code: "identity.rejected",
    of: (good) => ({ ...good, callId: "1; drop table orders" }),
  },
  {
    name: "no issuer",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { issuer: "" }),
  },
  {
    name: "no subject",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { subject: "" }),
  },
  {
    name: "a subject that is no text",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { subject: 1 }),
  },
  {
    name: "a subject of 100,000 characters",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { subject: "x".repeat(100_000) }),
  },
  {
    name: "a subject with a NUL",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { subject: `${good.identity.subject}\0` }),
  },
  {
    name: "a subject with a line break",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { subject: `${good.identity.subject}\r\nx-admin: 1` }),
  },
  {
    name: "a subject that is not well-formed",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { subject: "\ud800" }),
  },
  {
    name: "actors that are no list",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { actors: "agent" }),
  },
  {
    name: "a token that is a plain text",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { token: good.identity.token.reveal() }),
  },
  {
    name: "no end",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { expiresAtMs: undefined }),
  },
  {
    name: "an end that is no number",
    code: "identity.rejected",
    of: (good) => withIdentity(good, { expiresAtMs: Number.NaN }),
  },
  {
    name: "an identity that has expired",
    code: "identity.expired",
    of: (good) => withIdentity(good, { expiresAtMs: Date.now() }),
  },
  {
    name: "a task that is over",
    code: "task.scope_exceeded",
    of: (good) => ({
      ...good,
      task: { id: "task", authorizationDetails: [], expiresAtMs: Date.now() },
    }),
  },
  { name: "a task that is none", code: "identity.rejected", of: (good) => ({ ...good, task: {} }) },
];

const BAD_OPTIONS: readonly {
  readonly name: string;
  readonly options: object;
  /** Default is each. */
  readonly ways?: ConformanceCase["ways"];
}[] = [
  // Other ways may have but one.
  { name: "an access that is none", options: { access: "admin" }, ways: "callbacks" },
  { name: "a deadline of 0", options: { deadlineMs: 0 } },
  { name: "a negative deadline", options: { deadlineMs: -1 } },
  { name: "a deadline that is no number", options: { deadlineMs: Number.NaN } },
  { name: "a deadline that setTimeout cannot hold", options: { deadlineMs: 2 ** 31 } },
  { name: "a signal that is none", options: { signal: {} } },
];

const ALICE = (alice: Human) => alice.subject.subject;
const CAPITALS = (_: Human, bob: Human) => bob.subject.subject.toUpperCase();

export const failClosedCases: readonly ConformanceCase[] = [
  ...NOT_DELEGATIONS.map(({ name, code, of }): ConformanceCase => ({
    id: `fail-closed.${name.replaceAll(" ", "-")}`,
    group: "fail closed",
    title: `${name}: refused before anything is sent, and on record`,
    capability: null,
    async run(context) {
      const bad = of(await context.delegate(context.alice)) as Delegation;
      await refusedUnsent(context, (opened) => opened.act(bad, look), code);
    },
  })),
  ...BAD_OPTIONS.map(({ name, options, ways = "each" }): ConformanceCase => ({
    id: `fail-closed.${name.replaceAll(" ", "-")}`,
    group: "fail closed",
    title: `${name}: refused before anything is sent, and on record`,
    capability: null,
    ways,
    async run(context) {
      const good = await context.delegate(context.alice);
      await refusedUnsent(context, (opened) => opened.act(good, look, options), "configuration");
    },
  })),
  ...(
    [
      ["subject-of-another", "another subject", { subject: ALICE }],
      ["subject-in-capitals", "its subject in capital letters", { subject: CAPITALS }],
      ["issuer-of-another", "another issuer", { issuer: () => "https://elsewhere.example" }],
    ] as const
  ).map(([id, title, changes]): ConformanceCase => ({
    id: `fail-closed.${id}`,
    group: "fail closed",
    title: `a delegation that names ${title} than its token does is refused, also after a right one`,
    capability: "identity",
    async run(context) {
      const { open, delegate, same, alice, bob } = context;
      for (const isWarm of [false, true]) {
        const opened = await open();
        const good = await delegate(bob);
        if (isWarm) same("what a right one is shown", await opened.act(good, look), [bob.owner]);
        const others = Object.entries(changes).map(([field, of]) => [field, of(alice, bob)]);
        const { callId } = await delegate(bob);
        const bad = withIdentity(
          { ...good, callId },
          Object.fromEntries(others) as object,
        ) as Delegation;
        const { error, shown, letThrough } = await attempted(context, opened, bad);
        same("how it is refused", codeOf(error), refusal(error));
        same("what is shown", shown, []);
        same("what the backend let through", letThrough, []);
      }
    },
  })),
  {
    id: "fail-closed.stranger",
    group: "fail closed",
    title: "a human whom the backend has never heard of is let through to nothing",
    capability: "identity",
    skipped: ({ stranger }) => (stranger === undefined ? "the harness has no `stranger`" : null),
    async run(context) {
      const { harness, open, same } = context;
      const opened = await open();
      const nobody = await harness.stranger?.();
      const { error, shown, letThrough } = await attempted(context, opened, nobody as Delegation);
      same(
        "whether an error is one of ours",
        error === null || BehalfError.isInstance(error),
        true,
      );
      same("what is shown", shown, []);
      same("what the backend let through", letThrough, []);
    },
  },
  {
    id: "fail-closed.no-credential",
    group: "fail closed",
    title: "where the exchange is refused nothing is sent, and its code arrives",
    capability: null,
    async run(context) {
      const good = await context.delegate(context.alice);
      const said = new BehalfError("identity.exchange_refused", "the issuer says no", {
        reason: "invalid_target",
      });
      await unsent(
        context,
        async (opened) => {
          opened.credentials.answer(() => Promise.reject(said));
          return opened.act(good, look);
        },
        "identity.exchange_refused",
      );
    },
  },
  ...(
    [
      ["nothing", undefined],
      ["a text", "a token"],
      ["an object without a token", { expiresAtMs: Infinity, audience: "anywhere" }],
    ] as const
  ).map(([name, credential]): ConformanceCase => ({
    id: `fail-closed.source-gives-${name.replaceAll(" ", "-")}`,
    group: "fail closed",
    title: `a credential source that gives ${name}: nothing is sent`,
    capability: null,
    async run(context) {
      const good = await context.delegate(context.alice);
      await unsent(
        context,
        async (opened) => {
          opened.credentials.answer(async () => credential as unknown as Credential);
          return opened.act(good, look);
        },
        "identity.unavailable",
      );
    },
  })),
  {
    id: "fail-closed.expired-credential",
    group: "fail closed",
    title: "a credential whose time is over is never sent",
    capability: null,
    async run(context) {
      const good = await context.delegate(context.alice);
      await unsent(
        context,
        async (opened) => {
          opened.credentials.answer(async (delegation, real) => ({
            ...(await real.credential(delegation)),
            expiresAtMs: Date.now() - 1,
          }));
          return opened.act(good, look);
        },
        "identity.expired",
      );
    },
  },
  {
    id: "fail-closed.past-the-tokens-end",
    group: "fail closed",
    title: "what was made of a token is not used past the token's end, whatever its own end is",
    capability: null,
    async run({ open, delegate, same, alice }) {
      const opened = await open();
      const first = await delegate(alice);
      const far = Date.now() + 1_000 * 60 * 60 * 24;
      opened.credentials.answer(async (delegation, real) => ({
        ...(await real.credential(delegation)),
        expiresAtMs: far,
      }));
      same("what is shown", await opened.act(first, look), [alice.owner]);
      const { asked } = opened.credentials;
      const [kept] = opened.credentials.given;
      opened.credentials.answer(async () => ({ ...(kept as Credential), expiresAtMs: far }));
      // A proof that is good for longer, as a refreshed token is; the clock passes the end of the first.
      const second = {
        ...first,
        callId: newCallId(),
        identity: { ...first.identity, expiresAtMs: far },
      };
      {
        using clock = clockAt(first.identity.expiresAtMs + 1);
        same("the clock was moved", clock.isMoved, true);
        await errorOf(opened.act(second, look));
      }
      same("credentials asked for after the end", opened.credentials.asked > asked, true);
    },
  },
  {
    id: "fail-closed.ended-at-the-backend",
    group: "fail closed",
    title:
      "the backend itself lets through nothing once the proof has ended, whatever this process takes for the time",
    capability: "identity",
    // It has to wait.
    ways: "once",
    skipped: ({ briefly }) => (briefly === undefined ? "the harness has no `briefly`" : null),
    async run(context) {
      const { until, harness, open, same, alice } = context;
      const opened = await open();
      const first = needed(await harness.briefly?.(alice), "briefly");
      const far = Date.now() + 1_000 * 60 * 60 * 24;
      same("what is shown before the end", await opened.act(first, look), [alice.owner]);
      const [kept] = opened.credentials.given;
      opened.credentials.answer(async () => ({ ...(kept as Credential), expiresAtMs: far }));
      await until("the proof has ended", () => Date.now() > first.identity.expiresAtMs + 100);
      const second = {
        ...first,
        callId: newCallId(),
        identity: { ...first.identity, expiresAtMs: far },
      };
      const { error, shown, letThrough } = await attempted(context, opened, second);
      same("what is shown after the end", shown, []);
      same("how it is refused", codeOf(error), refusal(error));
      same("what the backend let through", letThrough, []);
    },
  },
  {
    id: "fail-closed.ended-in-the-middle",
    group: "fail closed",
    title: "a call whose proof ends in the middle is let through to nothing more",
    capability: "identity",
    ways: "callbacks",
    skipped: ({ briefly }) => (briefly === undefined ? "the harness has no `briefly`" : null),
    async run({ until, harness, open, observe, same, alice }) {
      const opened = await open();
      const delegation = needed(await harness.briefly?.(alice), "briefly");
      let before: Observation | undefined;
      let later: readonly string[] | null = null;
      const error = await errorOf(
        opened.act(delegation, async (probe) => {
          same("what is shown before the end", await look(probe), [alice.owner]);
          await until(
            "the proof has ended",
            () => Date.now() > delegation.identity.expiresAtMs + 100,
          );
          before = await observe();
          later = await look(probe);
        }),
      );
      same("how it is refused", codeOf(error), refusal(error));
      await until("the callback has gone on", () => before !== undefined);
      same("what is shown after the end", later, null);
      same(
        "what the backend let through",
        readsBetween(needed(before, "before"), await observe()),
        [],
      );
    },
  },
  {
    id: "fail-closed.tampered-credential",
    group: "fail closed",
    title: "a credential that somebody changed on its way is refused by the backend",
    capability: "identity",
    skipped: ({ capabilities }) =>
      capabilities["identity"]?.grade === "native"
        ? null
        : "the backend does not look at the human's credential",
    async run(context) {
      const { open, delegate, same, alice } = context;
      const opened = await open();
      opened.credentials.answer(async (delegation, real) => {
        const credential = await real.credential(delegation);
        return { ...credential, token: new Secret(tampered(credential.token.reveal())) };
      });
      const { error, shown, letThrough } = await attempted(context, opened, await delegate(alice));
      same("what is shown", shown, []);
      same("how it is refused", codeOf(error), refusal(error));
      same("what the backend let through", letThrough, []);
    },
  },
  {
    id: "fail-closed.past-the-credentials-end",
    group: "fail closed",
    title: "what was made of a credential is not used past the credential's end",
    capability: null,
    async run({ open, delegate, same, alice }) {
      const opened = await open();
      const first = await delegate(alice);
      const endsAtMs = Date.now() + 60_000;
      opened.credentials.answer(async (delegation, real) => ({
        ...(await real.credential(delegation)),
        expiresAtMs: endsAtMs,
      }));
      same("what is shown", await opened.act(first, look), [alice.owner]);
      const { asked } = opened.credentials;
      const second = { ...first, callId: newCallId() };
      {
        using clock = clockAt(endsAtMs + 1);
        same("the clock was moved", clock.isMoved, true);
        await errorOf(opened.act(second, look));
      }
      same("credentials asked for after the end", opened.credentials.asked > asked, true);
    },
  },
  {
    id: "fail-closed.outcome-unrecorded",
    group: "fail closed",
    title: "a call whose outcome cannot be recorded fails, however it went",
    capability: null,
    async run({ open, delegate, same, alice }) {
      for (const work of [look, (probe: FullProbe) => probe.fail()]) {
        const opened = await open();
        opened.records.before(async ({ kind }) => {
          if (kind === "outcome") throw new Error("the disk is full");
        });
        const error = await errorOf(opened.act(await delegate(alice), work));
        same("how it ends", codeOf(error), "records.unavailable");
      }
    },
  },
  {
    id: "fail-closed.unrecorded",
    group: "fail closed",
    title: "a call whose decision cannot be recorded does not run",
    capability: null,
    async run(context) {
      const good = await context.delegate(context.alice);
      await unsent(
        context,
        async (opened) => {
          opened.records.before(async ({ kind }) => {
            if (kind === "decision") throw new Error("the disk is full");
          });
          return opened.act(good, look);
        },
        "records.unavailable",
      );
    },
  },
];

/** Nothing is sent, and the error has this code. */
async function unsent(
  context: CaseContext,
  call: (opened: Awaited<ReturnType<CaseContext["open"]>>) => Promise<unknown>,
  code: string,
): Promise<{ readonly opened: Awaited<ReturnType<CaseContext["open"]>>; readonly error: unknown }> {
  const { open, observe, same } = context;
  const opened = await open();
  const before = await observe();
  const error = await errorOf(call(opened));
  const after = await observe();
  same("how the call ends", codeOf(error), code);
  same("what is sent to the backend", after.trips.backend - before.trips.backend, 0);
  return { opened, error };
}

/** The same, before a credential is asked for, with a denied decision on record. */
async function refusedUnsent(
  context: CaseContext,
  call: (opened: Awaited<ReturnType<CaseContext["open"]>>) => Promise<unknown>,
  code: string,
): Promise<void> {
  const { opened, error } = await unsent(context, call, code);
  const { same } = context;
  same("credentials asked for", opened.credentials.asked, 0);
  const records = opened.records.records.map((record) =>
    record.kind === "decision" ? [record.decision, record.code] : [record.kind],
  );
  same("what is on record", records, [["deny", code]]);
  const callId = BehalfError.isInstance(error) ? error.callId : undefined;
  same("the record that the error names", callId, opened.records.records[0]?.id);
}

/** Another character in the middle of the last part, which is the signature where a token has one. */
function tampered(token: string): string {
  const start = token.lastIndexOf(".") + 1;
  const place = start + Math.floor((token.length - start) / 2);
  return token.slice(0, place) + (token[place] === "A" ? "B" : "A") + token.slice(place + 1);
}

function withIdentity(good: Delegation, changes: object): unknown {
  return { ...good, identity: { ...good.identity, ...changes } };
}

/** Moves this process's clock, until the end of the scope. The backend and the issuer keep theirs. */
function clockAt(ms: number): Disposable & { readonly isMoved: boolean } {
  const real = Date.now;
  const shift = ms - real();
  Date.now = () => real() + shift;
  return {
    isMoved: Date.now() >= ms,
    [Symbol.dispose]() {
      Date.now = real;
    },
  };
}
