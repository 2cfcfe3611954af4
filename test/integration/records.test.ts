import type { AuditRecord, RecordSink } from "@behalf/core";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { failure, until } from "../support/failure.ts";
import { watch } from "../support/watched-pool.ts";
import { makeWorld, type World } from "../support/world.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** A sink that holds back every record of one kind until it is let go. */
function holding(kind: AuditRecord["kind"]): RecordSink & { held: AuditRecord[]; go: () => void } {
  const held: AuditRecord[] = [];
  const gate = Promise.withResolvers<void>();
  return {
    held,
    go: gate.resolve,
    async write(record) {
      if (record.kind !== kind) return;
      held.push(record);
      await gate.promise;
    },
    close: async () => {},
  };
}

it("does not run a call whose decision is not durable, and ends it at its deadline", async () => {
  const records = holding("decision");
  const pool = world.pool();
  const seen = watch(pool);
  const shop = world.adapter({ pool, records });
  const error = await failure(
    shop.query(await world.delegate("alice"), "select 1", { deadlineMs: 200 }),
  );
  expect(error).toMatchObject({ code: "records.unavailable", effect: "none" });
  expect(seen.batches).toBe(0);

  const stop = new AbortController();
  const cancelled = failure(
    shop.query(await world.delegate("alice"), "select 1", { signal: stop.signal }),
  );
  await until(() => records.held.length === 2);
  stop.abort();
  expect((await cancelled).code).toBe("cancelled");
  await shop.close();
});

it(
  "withholds the rows of a call whose outcome cannot be made durable",
  { timeout: 20_000 },
  async () => {
    const shop = world.adapter({ records: holding("outcome") });
    const error = await failure(shop.query(await world.delegate("alice"), "select * from orders"));
    expect(error).toMatchObject({ code: "records.unavailable", effect: "none" });
    await shop.close();
  },
);

it("finds a call that still waits for its record when the human's access is withdrawn", async () => {
  const records = holding("decision");
  const pool = world.pool();
  const seen = watch(pool);
  const shop = world.adapter({ pool, records });
  const call = failure(shop.query(await world.delegate("alice"), "select 1"));
  await until(() => records.held.length === 1);
  await shop.invalidate({ issuer: world.idp.issuer, subject: "alice" });
  records.go();
  expect((await call).code).toBe("identity.revoked");
  expect(seen.batches).toBe(0);
});

it("refuses a credential source that gives nothing and a signal that is none, with the right code", async () => {
  const nothing = world.adapter({
    credentials: { credential: async () => undefined as never, invalidate: () => {} },
  });
  expect(await failure(nothing.query(await world.delegate("alice"), "select 1"))).toMatchObject({
    code: "identity.unavailable",
    reason: "unexpected",
  });
  const shop = world.adapter();
  const signal = {} as AbortSignal;
  expect(
    await failure(shop.query(await world.delegate("alice"), "select 1", { signal })),
  ).toMatchObject({ code: "configuration", reason: "signal" });
});
