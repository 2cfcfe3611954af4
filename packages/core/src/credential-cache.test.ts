import { createSecretKey } from "node:crypto";
import fc from "fast-check";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { sampleDelegation } from "../test-support/sample-delegation.ts";
import { everythingOf, refused } from "../test-support/refused.ts";
import { credentialCache, credentialKey, credentialKeys } from "./credential-cache.ts";
import type { Credential } from "./credential.ts";
import type { Delegation, Task } from "./delegation.ts";
import { BehalfError } from "./errors.ts";
import { passthrough } from "./passthrough.ts";
import { Secret } from "./secret.ts";
import type { TokenExchange, TokenExchangeFacts } from "./token-exchange.ts";

// Frozen as tokenExchange() does it: keys are kept for nothing else.
const facts: TokenExchangeFacts = Object.freeze({
  issuer: "https://a.test",
  clientId: "gateway",
  audience: "db",
});

let nowMs: number;
let exchanges: { subject: string; signal: AbortSignal | undefined }[];
let give: (subject: string, count: number) => Promise<Credential>;
beforeEach(() => {
  nowMs = 1_800_000_000_000;
  exchanges = [];
  give = async (subject, count) => credential(`${subject}-${count}`);
});

const credential = (token: string, seconds = 300): Credential => ({
  token: new Secret(token),
  expiresAtMs: nowMs + seconds * 1000,
  audience: "db",
});

const exchange: TokenExchange = {
  facts,
  exchange: ({ subject }, { signal } = {}) => {
    exchanges.push({ subject, signal });
    return give(subject, exchanges.length);
  },
};

const cache = (more = {}) => credentialCache({ exchange, now: () => nowMs, ...more });
const delegate = (subject = "alice", more = {}) =>
  sampleDelegation({ subject, expiresAtMs: nowMs + 3_600_000, ...more });

describe("a credential", () => {
  it("is exchanged once for 1,000 calls of 10 humans at once", async () => {
    const source = cache();
    const humans = Array.from({ length: 1000 }, (_, n) => `human-${n % 10}`);
    const all = await Promise.all(humans.map((human) => source.credential(delegate(human))));
    expect(exchanges).toHaveLength(10);
    for (const [n, { token }] of all.entries()) {
      expect(token.reveal().startsWith(`${humans[n]}-`)).toBe(true);
    }
  });

  it.each([
    ["itself", 300, {}, 270],
    ["the human's token", 9000, { expiresAtMs: 1_800_000_100_000 }, 70],
    ["the task", 9000, { task: { expiresAtMs: 1_800_000_050_000 } }, 20],
  ])("ends with %s, less the skew", async (_name, seconds, more, usableSeconds) => {
    give = async () => credential("t", seconds);
    const source = cache();
    const call = delegate("alice", more);
    await source.credential(call);
    nowMs += usableSeconds * 1000 - 1;
    await source.credential(call);
    expect(exchanges).toHaveLength(1);
    nowMs += 1;
    await source.credential(call);
    expect(exchanges).toHaveLength(2);
  });

  it("that ends within the skew is given once and not kept", async () => {
    give = async () => credential("t", 20);
    const source = cache();
    await source.credential(delegate());
    await source.credential(delegate());
    expect(exchanges).toHaveLength(2);
  });

  it("is never given for a stale delegation", async () => {
    const source = cache();
    const call = delegate();
    await source.credential(call);
    nowMs += 3_600_000;
    expect((await refused(source.credential(call))).code).toBe("identity.expired");
  });

  it("that failed is not remembered, and its waiters fail together", async () => {
    give = async () => {
      throw new BehalfError("identity.unavailable", "down");
    };
    const source = cache();
    const waiters = Array.from({ length: 50 }, () => refused(source.credential(delegate())));
    expect(new Set((await Promise.all(waiters)).map(({ code }) => code)).size).toBe(1);
    expect(exchanges).toHaveLength(1);
    give = async () => credential("good");
    expect((await source.credential(delegate())).token.reveal()).toBe("good");
  });

  it("is not lost to the others when one waiter leaves", async () => {
    const { promise, resolve } = Promise.withResolvers<Credential>();
    give = () => promise;
    const source = cache();
    const stop = new AbortController();
    const leaver = refused(source.credential(delegate(), { signal: stop.signal }));
    const stayer = source.credential(delegate());
    stop.abort();
    expect((await leaver).code).toBe("cancelled");
    expect(exchanges[0]?.signal?.aborted).toBe(false);
    resolve(credential("kept"));
    expect((await stayer).token.reveal()).toBe("kept");
    const gone = { signal: AbortSignal.abort() };
    expect((await refused(source.credential(delegate("bob"), gone))).code).toBe("cancelled");
    expect(exchanges).toHaveLength(1);
  });

  it("is bounded in number, and what is under way is not what goes", async () => {
    const source = cache({ maxEntries: 2 });
    const { promise, resolve } = Promise.withResolvers<Credential>();
    give = (subject, count) =>
      subject === "slow" ? promise : Promise.resolve(credential(`${count}`));
    const slow = source.credential(delegate("slow"));
    for (const human of ["a", "b", "c"]) await source.credential(delegate(human));
    resolve(credential("slow"));
    expect((await slow).token.reveal()).toBe("slow");
    await source.credential(delegate("a"));
    expect(exchanges.filter(({ subject }) => subject === "a")).toHaveLength(2);
  });
});

describe("invalidate", () => {
  it("drops this human's credentials and nobody else's", async () => {
    const source = cache();
    for (const human of ["alice", "bob"]) await source.credential(delegate(human));
    source.invalidate({ issuer: "https://a.test", subject: "alice" });
    for (const human of ["alice", "bob"]) await source.credential(delegate(human));
    expect(exchanges.map(({ subject }) => subject)).toEqual(["alice", "bob", "alice"]);
  });

  it("stops an exchange under way, refuses its waiters, and keeps nothing of it", async () => {
    const first = Promise.withResolvers<Credential>();
    give = (_subject, count) => (count === 1 ? first.promise : Promise.resolve(credential("new")));
    const source = cache();
    const waiters = [1, 2, 3].map(() => refused(source.credential(delegate())));
    source.invalidate({ issuer: "https://a.test", subject: "alice" });
    const errors = await Promise.all(waiters);
    for (const { code, reason } of errors) {
      expect([code, reason]).toEqual(["identity.revoked", "invalidated"]);
    }
    expect(exchanges[0]?.signal?.aborted).toBe(true);
    const next = await source.credential(delegate());
    first.resolve(credential("old"));
    await first.promise;
    expect(next.token.reveal()).toBe("new");
    expect((await source.credential(delegate())).token.reveal()).toBe("new");
  });

  it("does not stop the exchanges of others, nor of a namesake at another issuer", async () => {
    const { promise, resolve } = Promise.withResolvers<Credential>();
    give = () => promise;
    const source = cache();
    const bob = source.credential(delegate("bob"));
    const namesake = source.credential(delegate("alice", { issuer: "https://b.test" }));
    source.invalidate({ issuer: "https://a.test", subject: "alice" });
    resolve(credential("kept"));
    expect((await bob).token.reveal()).toBe("kept");
    expect((await namesake).token.reveal()).toBe("kept");
  });

  it("does not hand what it stopped to a call that comes in the same moment", async () => {
    const never = new Promise<Credential>(() => undefined);
    give = (_subject, count) => (count === 1 ? never : Promise.resolve(credential("new")));
    const source = cache();
    const first = refused(source.credential(delegate()));
    source.invalidate({ issuer: "https://a.test", subject: "alice" });
    expect((await source.credential(delegate())).token.reveal()).toBe("new");
    expect((await first).code).toBe("identity.revoked");
  });

  it("keeps nothing of an exchange that ends in the same moment", async () => {
    for (let turns = 0; turns < 12; turns++) {
      exchanges = [];
      const first = Promise.withResolvers<Credential>();
      give = (_subject, count) =>
        count === 1 ? first.promise : Promise.resolve(credential("new"));
      const source = cache();
      const waiter = source.credential(delegate()).catch(() => undefined);
      first.resolve(credential("old"));
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      source.invalidate({ issuer: "https://a.test", subject: "alice" });
      await waiter;
      expect((await source.credential(delegate())).token.reveal()).toBe("new");
    }
  });

  it("still finds a credential that replaced a stale one", async () => {
    const source = cache();
    await source.credential(delegate());
    nowMs += 280_000;
    await source.credential(delegate());
    source.invalidate({ issuer: "https://a.test", subject: "alice" });
    await source.credential(delegate());
    expect(exchanges).toHaveLength(3);
  });
});

describe("the key of a credential", () => {
  const text = fc.constantFrom("a", "b", "a,b", '"', "");
  const request = fc.record({
    issuer: text,
    clientId: text,
    audience: text,
    resource: fc.option(text, { nil: undefined }),
    scope: fc.option(fc.uniqueArray(text, { maxLength: 3 }), { nil: undefined }),
    subjectIssuer: text,
    subject: text,
    token: text,
    actors: fc.array(fc.record({ subject: text, issuer: text }), { maxLength: 2 }),
    task: fc.option(
      fc.record({
        id: text,
        expiresAtMs: fc.constantFrom(1, 2),
        objects: fc.array(text, { maxLength: 2 }),
      }),
      { nil: undefined },
    ),
  });
  type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;
  const pepperOf = (byte: number) => createSecretKey(new Uint8Array(32).fill(byte));
  const pepper = pepperOf(0);

  const keyOf = (r: Request, by = pepper): string => credentialKey(by, ...partsOf(r));

  function partsOf(r: Request): [TokenExchangeFacts, Pick<Delegation, "identity" | "task">] {
    const { identity } = sampleDelegation();
    const task = r.task && {
      id: r.task.id,
      expiresAtMs: r.task.expiresAtMs,
      authorizationDetails: [{ type: "t", actions: ["read" as const], objects: r.task.objects }],
    };
    return [
      {
        issuer: r.issuer,
        clientId: r.clientId,
        audience: r.audience,
        ...(r.resource === undefined ? {} : { resource: r.resource }),
        ...(r.scope === undefined ? {} : { scope: r.scope }),
      },
      {
        identity: {
          ...identity,
          issuer: r.subjectIssuer,
          subject: r.subject,
          token: new Secret(r.token),
          actors: r.actors,
        },
        ...(task === undefined ? {} : { task }),
      },
    ];
  }

  const spelt = (r: Request) => JSON.stringify({ ...r, scope: r.scope?.toSorted() ?? null });

  it("differs whenever any field of the request does, and only then", () => {
    fc.assert(
      fc.property(
        request,
        request,
        (one, other) => (keyOf(one) === keyOf(other)) === (spelt(one) === spelt(other)),
      ),
      { numRuns: 500 },
    );
    expect.assertions(0);
  });

  it("differs when one single field does", () => {
    fc.assert(
      fc.property(request, request, (one, other) =>
        Object.keys(one).every((name) => {
          const changed = { ...one, [name]: other[name as keyof Request] };
          return (keyOf(changed) === keyOf(one)) === (spelt(changed) === spelt(one));
        }),
      ),
      { numRuns: 500 },
    );
    expect.assertions(0);
  });

  it("does not depend on the order of scopes, and says nothing without the pepper", () => {
    fc.assert(
      fc.property(request, (one) => {
        const turned = { ...one, scope: one.scope?.toReversed() };
        expect(keyOf(turned)).toBe(keyOf(one));
        expect(keyOf(one, pepperOf(1))).not.toBe(keyOf(one));
      }),
    );
  });
});

describe("the key that is kept with an identity", () => {
  const frozen = <T>(value: T): T => {
    if (typeof value === "object" && value !== null) Object.values(value).forEach(frozen);
    return Object.freeze(value);
  };
  const task = (object: string): Task => ({
    id: "one id",
    expiresAtMs: nowMs,
    authorizationDetails: [{ type: "t", actions: ["read"], objects: [object] }],
  });

  it("is made once where everything is frozen, and once for each task and exchange", () => {
    const keyOf = credentialKeys();
    const { identity } = frozen(delegate());
    const secret = vi.spyOn(Secret.prototype, "reveal");
    const requests = [
      [facts, {}],
      [frozen({ ...facts, audience: "other" }), {}],
      [facts, { task: frozen(task("a")) }],
      [facts, { task: frozen(task("b")) }],
    ] as const;
    const keys = requests.map(([asked, more]) => {
      const made = keyOf(asked, { identity, ...more });
      const reveals = secret.mock.calls.length;
      expect(keyOf(asked, { identity, ...more })).toBe(made);
      expect(secret.mock.calls).toHaveLength(reveals);
      return made;
    });
    expect(new Set(keys).size).toBe(4);
    expect(keyOf(facts, { identity })).toBe(keys[0]);
    secret.mockRestore();
  });

  it.each([
    ["token", { token: new Secret("another") }],
    ["subject", { subject: "bob" }],
    ["actors", { actors: [] }],
  ])("is of no use for an identity whose %s somebody changes", async (_name, change) => {
    const source = cache();
    const call = delegate();
    await source.credential(call);
    await source.credential(call);
    expect(exchanges).toHaveLength(1);
    Object.assign(call.identity, change);
    await source.credential(call);
    expect(exchanges).toHaveLength(2);
  });

  it("is of no use for a part that somebody changes within a frozen identity", () => {
    const keyOf = credentialKeys();
    const actors = [{ subject: "agent-7" }];
    const identity = Object.freeze({ ...delegate().identity, actors });
    const before = keyOf(facts, { identity });
    actors.unshift({ subject: "agent-8" });
    expect(keyOf(facts, { identity })).not.toBe(before);
    const inTask = task("a");
    const whole = frozen(delegate()).identity;
    const narrow = keyOf(facts, { identity: whole, task: inTask });
    Object.assign(inTask, task("b"));
    expect(keyOf(facts, { identity: whole, task: inTask })).not.toBe(narrow);
  });

  it("leads to nothing after invalidate", async () => {
    const source = cache();
    const call = frozen(delegate());
    await source.credential(call);
    source.invalidate(call.identity);
    expect((await source.credential(call)).token.reveal()).toBe("alice-2");
    nowMs += 300_000;
    expect((await source.credential(call)).token.reveal()).toBe("alice-3");
  });
});

describe("passthrough", () => {
  it("gives the human's own token to the backend that it is for", async () => {
    const call = sampleDelegation({ audience: ["x", "db"] });
    const { token, expiresAtMs, audience } = await passthrough("db").credential(call);
    expect([token, expiresAtMs, audience]).toEqual([
      call.identity.token,
      call.identity.expiresAtMs,
      "db",
    ]);
  });

  it.each([[["gateway"]], [["db.evil"]], [["DB"]], [[]]])(
    "refuses one for %j",
    async (audience) => {
      const call = sampleDelegation({ audience });
      const error = await refused(passthrough("db").credential(call));
      expect([error.code, error.reason]).toEqual(["identity.rejected", "audience"]);
      expect(everythingOf(error)).not.toContain(call.identity.token.reveal());
    },
  );

  it("refuses a stale one, and an audience of nothing", async () => {
    const call = sampleDelegation({ audience: ["db"], expiresAtMs: Date.now() - 1 });
    expect((await refused(passthrough("db").credential(call))).code).toBe("identity.expired");
    expect(() => passthrough("")).toThrow(expect.objectContaining({ code: "configuration" }));
  });
});
