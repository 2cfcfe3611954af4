import { expect, inject, it } from "vitest";

import { tcpProxy } from "../support/tcp-proxy.ts";
import { makeWorld } from "../support/world.ts";

it("takes one write and one round trip per query, and n + 1 round trips per run", async () => {
  await using world = await makeWorld({ url: inject("postgresUrl") });
  const { hostname, port } = new URL(inject("postgresUrl"));
  await using proxy = await tcpProxy({ host: hostname, port: Number(port) });
  const pool = world.pool({
    connectionString: world.url(undefined, { host: "127.0.0.1", port: proxy.port }),
    max: 1,
  });
  const shop = world.adapter({ pool });
  const count = async (work: () => Promise<unknown>) => {
    proxy.reset();
    await work();
    return { writes: proxy.clientWrites, trips: proxy.roundTrips };
  };

  // The first call also connects and asks whether the database is ready.
  await shop.query(await world.delegate("carol"), "select 1");

  const first = await world.delegate("alice");
  expect(await count(() => shop.query(first, "select * from orders"))).toEqual({
    writes: 1,
    trips: 1,
  });
  for (const human of ["alice", "bob", "alice"]) {
    const delegation = await world.delegate(human);
    expect(await count(() => shop.query(delegation, "select * from orders limit 7"))).toEqual({
      writes: 1,
      trips: 1,
    });
  }

  const failing = await world.delegate("alice");
  expect((await count(() => shop.query(failing, "select nope").catch(() => {}))).trips).toBe(2);
  const after = await world.delegate("alice");
  expect(await count(() => shop.query(after, "select 1"))).toEqual({ writes: 1, trips: 1 });

  const run = await world.delegate("alice");
  const three = await count(() =>
    shop.run(run, async (session) => {
      for (let n = 0; n < 3; n++) await session.query("select 1");
    }),
  );
  expect(three).toEqual({ writes: 4, trips: 4 });
});
