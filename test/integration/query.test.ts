import { type Delegation, joinCalls, Secret, sql } from "@behalf/core";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

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

describe("query", () => {
  it("answers the same question of two humans with each one's own rows", async () => {
    const shop = world.adapter();
    const question = "select distinct org_id from orders";
    const alice = await shop.query(await world.delegate("alice"), question);
    const bob = await shop.query(await world.delegate("bob"), question);
    expect(alice.rows).toEqual([["acme"]]);
    expect(bob.rows).toEqual([["globex"]]);
  });

  it("shows the owner what it shows nobody else: without the claim there are no rows", async () => {
    // The other side: the same statement by a superuser sees all organisations.
    const { rows } = await world.admin.query("select count(distinct org_id)::int as n from orders");
    expect(rows).toEqual([{ n: 4 }]);
  });

  it("returns typed values, NULL, and two columns of one name", async () => {
    const shop = world.adapter();
    const { columns, rows, truncated } = await shop.query(
      await world.delegate("alice"),
      `select 1 as n, 2 as n, null as nothing, true as yes, '{"a":[1]}'::jsonb as doc,
        timestamptz '2026-01-02 03:04:05Z' as at, array[1,2] as list, 12345678901234567890::numeric as big,
        E'quote " back \\\\ comma , paren ) newline \\n' as text, '' as empty, '\\xdead'::bytea as bytes`,
    );
    expect(columns.map((column) => column.name)).toEqual([
      "n",
      "n",
      "nothing",
      "yes",
      "doc",
      "at",
      "list",
      "big",
      "text",
      "empty",
      "bytes",
    ]);
    expect(rows).toEqual([
      [
        1,
        2,
        null,
        true,
        { a: [1] },
        new Date("2026-01-02T03:04:05Z"),
        [1, 2],
        "12345678901234567890",
        'quote " back \\ comma , paren ) newline \n',
        "",
        Buffer.from("dead", "hex"),
      ],
    ]);
    expect(truncated).toBeNull();
  });

  it("knows no column, one NULL, and no row apart", async () => {
    const shop = world.adapter();
    const none = await shop.query(await world.delegate("alice"), "select from orders limit 2");
    expect(none).toMatchObject({ columns: [], rows: [[], []] });
    const one = await shop.query(await world.delegate("alice"), "select null as x");
    expect(one.rows).toEqual([[null]]);
    const empty = await shop.query(
      await world.delegate("alice"),
      "select id from orders where false",
    );
    expect(empty).toMatchObject({ columns: [{ name: "id", typeId: 20 }], rows: [] });
  });

  it("caps rows, and says so only when there were more", async () => {
    const shop = world.adapter();
    const text = "select id from orders order by id limit 5";
    const capped = await shop.query(await world.delegate("alice"), text, { maxRows: 3 });
    expect(capped.rows).toHaveLength(3);
    expect(capped.truncated).toBe("rows");
    const exact = await shop.query(await world.delegate("alice"), text, { maxRows: 5 });
    expect(exact.rows).toHaveLength(5);
    expect(exact.truncated).toBeNull();
    const zero = await shop.query(await world.delegate("alice"), text, { maxRows: 0 });
    expect(zero).toMatchObject({ rows: [], truncated: "rows" });
  });

  it("caps bytes before they leave the server", async () => {
    const shop = world.adapter();
    const text = "select repeat('x', 1000) from generate_series(1, 100)";
    const capped = await shop.query(await world.delegate("alice"), text, { maxBytes: 10_000 });
    expect(capped.truncated).toBe("bytes");
    expect(capped.rows.length).toBe(9); // 1002 bytes each, with the parentheses
    const huge = await shop.query(await world.delegate("alice"), "select repeat('x', 50000000)", {
      maxBytes: 10_000,
    });
    expect(huge).toMatchObject({ rows: [], truncated: "bytes" });
  });

  it("does not let a connection's settings change what rows say", async () => {
    const pool = world.pool({
      options:
        "-c TimeZone=Asia/Tokyo -c DateStyle=German -c search_path=pg_catalog -c extra_float_digits=-5",
    });
    const shop = world.adapter({ pool });
    const { rows } = await shop.query(
      await world.delegate("alice"),
      "select (timestamptz '2026-01-01 00:00:00Z')::text, 0.1::float8::text, (select count(*)::int from orders)",
    );
    expect(rows).toEqual([["2026-01-01 00:00:00+00", "0.1", 100]]);
  });

  it("keeps the server's message for the agent, and nothing that could hold somebody's data", async () => {
    const shop = world.adapter();
    const error = await failure(
      shop.query(await world.delegate("alice"), "select nope from orders"),
    );
    expect(error).toMatchObject({
      code: "statement.refused",
      nativeCode: "42703",
      backend: "postgres",
    });
    expect(error.message).toContain('column "nope" does not exist');
    const { cause } = error;
    expect(cause).toMatchObject({ message: 'column "nope" does not exist', code: "42703" });
    expect(Object.keys(cause ?? {}).toSorted()).toEqual(["code", "routine", "severity"]);
    expect(world.records.records.findLast(({ id }) => id === error.callId)).toMatchObject({
      kind: "outcome",
      status: "error",
      nativeCode: "42703",
      native: { pid: expect.any(Number) },
    });
    expect(error.callId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each([
    ["insert into orders values (1)", "statement.refused"],
    ["with gone as (delete from orders returning 1) select * from gone", "statement.refused"],
    ["select 1; select 2", "statement.refused"],
    ["explain analyze select * from orders", "statement.refused"],
    ["show all", "statement.refused"],
    ["set role postgres", "statement.refused"],
    ["commit", "statement.refused"],
    ["do $$begin end$$", "statement.refused"],
    ["copy orders to stdout", "statement.refused"],
    ["listen channel", "statement.refused"],
    ["select set_config('role', 'postgres', true)", "backend.denied"],
    ["select * from behalf.secrets", "backend.denied"],
    ["select behalf.start('x', 'y', 'z')", "backend.denied"],
    ["select * from pg_authid", "backend.denied"],
    ["select pg_read_file('/etc/passwd')", "backend.denied"],
    ["select set_config('transaction_read_only', 'off', true)", "statement.refused"],
    ["select 1/0", "backend.failed"],
    ["", "statement.refused"],
    ["  \n", "statement.refused"],
    ["select '\0'", "statement.refused"],
    ["select 'a\ud800b'", "statement.refused"],
    ["selec 1", "statement.refused"],
    ["x".repeat(1_048_577), "statement.refused"],
  ])("refuses %j", async (text, code) => {
    const shop = world.adapter();
    const error = await failure(shop.query(await world.delegate("alice"), text));
    expect(error.code).toBe(code);
    // The connection that was refused serves the next human.
    const { rows } = await shop.query(
      await world.delegate("bob"),
      "select distinct org_id from orders",
    );
    expect(rows).toEqual([["globex"]]);
  });

  it("refuses a statement where it has no login for it, an object that looks like one, and what is no text at all", async () => {
    const shop = world.adapter({ statements: null });
    const statement = await failure(shop.query(await world.delegate("alice"), sql`select 1`));
    expect(statement).toMatchObject({ code: "configuration", reason: "statement_mode" });
    for (const input of [{ text: "select 1", values: [] }, null, undefined, 7, ["select 1"]]) {
      const error = await failure(
        shop.query(await world.delegate("alice"), input as unknown as string),
      );
      expect(error).toMatchObject({ code: "configuration", reason: "input" });
    }
  });

  it("leaves a denied record for what it refuses before the database is asked", async () => {
    const shop = world.adapter();
    const delegation = await world.delegate("alice");
    await failure(shop.query(delegation, ""));
    expect(world.records.records.filter((record) => record.id === delegation.callId)).toMatchObject(
      [
        {
          kind: "decision",
          decision: "deny",
          code: "statement.refused",
          subject: { subject: "alice" },
        },
      ],
    );
  });

  it("refuses a proof of another human than the call's, before anything is read", async () => {
    const bobs = await world.databaseToken("bob");
    const shop = world.adapter({
      credentials: {
        credential: async () => ({
          token: new Secret(bobs),
          expiresAtMs: Date.now() + 60_000,
          audience: "urn:example:database",
        }),
        invalidate: () => {},
      },
    });
    const error = await failure(shop.query(await world.delegate("alice"), "select * from orders"));
    expect(error.code).toBe("backend.identity_mismatch");
  });

  it("refuses a credential whose time is over, and sends nothing of it, although there is a ticket", async () => {
    const token = new Secret(await world.databaseToken("alice"));
    let expiresAtMs = Date.now() + 60_000;
    const pool = world.pool();
    const seen = watch(pool);
    const shop = world.adapter({
      pool,
      credentials: {
        credential: async () => ({ token, expiresAtMs, audience: "urn:example:database" }),
        invalidate: () => {},
      },
    });
    const text = "select count(*)::int from orders";
    const call = {
      query: async () => shop.query(await world.delegate("alice"), text),
      run: async () =>
        shop.run(await world.delegate("alice"), async (session) => session.query(text)),
      stream: async () => Array.fromAsync(shop.stream(await world.delegate("alice"), text)),
    };
    // The database itself still takes this token: the control.
    for (const each of Object.values(call)) await each();
    expect(seen.proofs).toHaveLength(3);
    const { batches } = seen;
    expiresAtMs = Date.now();
    for (const each of Object.values(call)) {
      const error = await failure(each());
      expect(error).toMatchObject({ code: "identity.expired", reason: "credential" });
    }
    expect(seen.batches).toBe(batches);
    expiresAtMs = Date.now() + 60_000;
    await call.query();
    expect(seen.batches).toBe(batches + 1);
  });

  it("refuses an access that is neither read nor write, before anything is sent", async () => {
    const pool = world.pool();
    const shop = world.adapter({ pool });
    const access = "READ" as "read";
    const alice = await world.delegate("alice");
    const calls = [
      shop.query(alice, "select 1", { access }),
      shop.run(alice, async (session) => session.query("select 1"), { access }),
    ];
    for (const call of calls) {
      expect(await failure(call)).toMatchObject({ code: "configuration", reason: "access" });
    }
    expect(pool.totalCount).toBe(0);
  });
});

describe("time", () => {
  it("stops the server when the caller aborts", async () => {
    const shop = world.adapter();
    const stop = new AbortController();
    const call = failure(
      shop.query(await world.delegate("alice"), "select pg_sleep(30)", { signal: stop.signal }),
    );
    await until(async () => (await sleepers()) === 1);
    const before = performance.now();
    stop.abort();
    expect((await call).code).toBe("cancelled");
    expect(performance.now() - before).toBeLessThan(500);
    await until(async () => (await sleepers()) === 0);
  });

  it("refuses a signal that has fired already, without a connection", async () => {
    const pool = world.pool();
    const shop = world.adapter({ pool });
    const error = await failure(
      shop.query(await world.delegate("alice"), "select 1", { signal: AbortSignal.abort() }),
    );
    expect(error.code).toBe("cancelled");
    expect(pool.totalCount).toBe(0);
  });

  it("ends a call at its deadline, and the statement with it", async () => {
    const shop = world.adapter();
    await shop.query(await world.delegate("alice"), "select 1");
    const before = performance.now();
    const error = await failure(
      shop.query(await world.delegate("alice"), "select pg_sleep(30)", { deadlineMs: 600 }),
    );
    expect(error.code).toBe("timeout");
    expect(performance.now() - before).toBeLessThan(1_500);
    await until(async () => (await sleepers()) === 0);
  });

  it("waits for a busy pool no longer than the deadline, and gives the connection back", async () => {
    const pool = world.pool({ max: 1 });
    const shop = world.adapter({ pool });
    await shop.query(await world.delegate("alice"), "select 1");
    const slow = shop.query(await world.delegate("alice"), "select pg_sleep(0.6)");
    const error = await failure(
      shop.query(await world.delegate("bob"), "select 1", { deadlineMs: 100 }),
    );
    expect(error.code).toBe("timeout");
    await slow;
    const { rows } = await shop.query(await world.delegate("bob"), "select 1");
    expect(rows).toEqual([[1]]);
    expect(pool).toMatchObject({ totalCount: 1, idleCount: 1, waitingCount: 0 });
  });

  it("stops what runs for a human whose access is withdrawn, and for nobody else", async () => {
    const shop = world.adapter();
    const alice = failure(shop.query(await world.delegate("alice"), "select pg_sleep(20)"));
    const bob = shop.query(await world.delegate("bob"), "select pg_sleep(1)");
    await until(async () => (await sleepers()) === 2);
    await shop.invalidate({ issuer: world.idp.issuer, subject: "alice" });
    expect((await alice).code).toBe("identity.revoked");
    expect((await bob).rows).toHaveLength(1);
  });
});

describe("run", () => {
  it("runs several statements of one human in one snapshot of one transaction", async () => {
    const shop = world.adapter();
    const answer = await shop.run(await world.delegate("alice"), async (session) => {
      const first = await session.query("select count(*)::int from orders");
      const second = await session.query(
        "select pg_current_xact_id_if_assigned(), txid_current_snapshot()::text",
      );
      const who = await session.whoAmI();
      return { count: first.rows[0]?.[0], columns: second.columns.length, who };
    });
    expect(answer).toEqual({
      count: 100,
      columns: 2,
      who: {
        name: world.names.agent,
        subject: { issuer: world.idp.issuer, subject: "alice" },
        actors: ["gateway:shop", "agent:assistant"],
        native: { login: world.names.gateway, pid: expect.any(Number) },
      },
    });
  });

  it("leaves a decision and an outcome for the run and for each of its statements", async () => {
    const shop = world.adapter({ recordStatements: "text" });
    const delegation = await world.delegate("alice");
    await shop.run(delegation, async (session) => {
      await session.query("select 1");
      await session.query("").catch(() => {});
      await session.query("select 1 / 0").catch(() => {});
    });
    const calls = await joinCalls(world.records.records);
    const { callId } = delegation;
    expect(calls.find(({ id }) => id === callId)).toMatchObject({
      status: "ok",
      decision: { action: "run" },
      outcome: { rows: 1, native: { role: world.names.agent } },
    });
    expect(calls.filter(({ decision }) => decision.partOf === callId)).toMatchObject([
      { status: "ok", decision: { action: "query", statement: "select 1" }, outcome: { rows: 1 } },
      { status: "denied", decision: { code: "statement.refused" } },
      { status: "error", outcome: { code: "backend.failed", nativeCode: "22012" } },
    ]);
  });

  it("gives each call of one delegation an id of its own, at the database, too", async () => {
    const shop = world.adapter();
    const delegation = await world.delegate("alice");
    const name = "select current_setting('application_name')";
    const names = [await shop.query(delegation, name), await shop.query(delegation, name)].map(
      ({ rows }) => String(rows[0]?.[0]),
    );
    const ids = world.records.records
      .filter(
        (record) =>
          record.kind === "decision" &&
          (record.id === delegation.callId || record.partOf === delegation.callId),
      )
      .map(({ id }) => `behalf/${id}`);
    expect(names).toEqual(ids);
    expect(new Set(names).size).toBe(2);
  });

  it("passes on what the callback throws, and leaves nothing behind", async () => {
    const pool = world.pool({ max: 1 });
    const shop = world.adapter({ pool });
    const mine = new Error("mine");
    await expect(
      shop.run(await world.delegate("alice"), async (session) => {
        await session.query("select set_config('behalf.test', 'left', false), pg_advisory_lock(7)");
        throw mine;
      }),
    ).rejects.toBe(mine);
    const { rows } = await shop.query(
      await world.delegate("bob"),
      "select current_setting('behalf.test', true), (select count(*)::int from pg_locks where locktype = 'advisory')",
    );
    expect(rows).toEqual([[expect.toSatisfy((value) => value === "" || value === null), 0]]);
  });

  it("keeps a session from being used after its run", async () => {
    const shop = world.adapter();
    let kept: Parameters<Parameters<typeof shop.run>[1]>[0] | undefined;
    await shop.run(await world.delegate("alice"), async (session) => {
      kept = session;
      await session.query("select 1");
    });
    expect((await failure(kept?.query("select 1") as Promise<unknown>)).code).toBe("closed");
  });

  it("does not lend a connection on while a forgotten query of the run before still runs", async () => {
    const pool = world.pool({ max: 1 });
    const shop = world.adapter({ pool });
    const late: Promise<unknown>[] = [];
    await expect(
      shop.run(await world.delegate("alice"), async (session) => {
        late.push(session.query("select pg_sleep(0.3), org_id from orders limit 1"));
        late.push(session.query("select org_id from orders limit 1"));
        await session.query("select 1").catch(() => {});
        late.push(session.query("select pg_sleep(0.3), org_id from orders limit 1"));
        late.push(session.query("select org_id from orders limit 1"));
        throw new Error("gave up");
      }),
    ).rejects.toThrow("gave up");
    const { rows } = await shop.query(
      await world.delegate("bob"),
      "select distinct org_id from orders",
    );
    expect(rows).toEqual([["globex"]]);
    const settled = await Promise.allSettled(late);
    expect(settled.map((result) => result.status)).toEqual([
      "fulfilled",
      "fulfilled",
      "rejected",
      "rejected",
    ]);
  });

  it.each(["read committed", "repeatable read", "serializable"])(
    "ends at the next statement when access is withdrawn, although transactions are %s by default",
    async (level) => {
      await world.admin.query(
        `alter database ${world.names.database} set default_transaction_isolation = '${level}'`,
      );
      try {
        const shop = world.adapter();
        for (const input of ["select 1", sql`select 1`]) {
          const error = await failure(
            shop.run(await world.delegate("alice"), async (session) => {
              await session.query(input);
              await world.admin.query("select behalf.revoke($1, 'alice')", [world.idp.issuer]);
              await session.query(input);
            }),
          );
          expect(error.code).toBe("identity.revoked");
          await world.admin.query("select behalf.reinstate($1, 'alice')", [world.idp.issuer]);
        }
      } finally {
        await world.admin.query(`alter database ${world.names.database} reset all`);
      }
    },
  );

  it("says which statement failed", async () => {
    const shop = world.adapter();
    const codes: string[] = [];
    await shop.run(await world.delegate("alice"), async (session) => {
      codes.push((await failure(session.query(""))).code);
      codes.push((await failure(session.query("select nope"))).code);
      codes.push((await failure(session.query("select 1"))).nativeCode ?? "");
    });
    expect(codes).toEqual(["statement.refused", "statement.refused", "25P02"]);
  });

  it("ends with its deadline even when the callback never returns", async () => {
    const pool = world.pool({ max: 1 });
    const shop = world.adapter({ pool });
    const error = await failure(
      shop.run(
        await world.delegate("alice"),
        async (session) => {
          await session.query("select 1");
          await new Promise(() => {});
        },
        { deadlineMs: 500 },
      ),
    );
    expect(error.code).toBe("timeout");
    const { rows } = await shop.query(await world.delegate("bob"), "select 1");
    expect(rows).toEqual([[1]]);
  });
});

describe("lifecycle", () => {
  it("waits for running calls at close, and refuses later ones with a record", async () => {
    const shop = world.adapter();
    const running = shop.query(await world.delegate("alice"), "select pg_sleep(0.3)");
    await until(async () => (await sleepers()) === 1);
    await shop.close();
    expect((await running).rows).toHaveLength(1);
    await shop.close();
    const late = await world.delegate("alice");
    expect((await failure(shop.query(late, "select 1"))).code).toBe("closed");
    expect(world.records.records.filter((record) => record.id === late.callId)).toHaveLength(1);
  });

  it("plans without a secret", async () => {
    const shop = world.adapter();
    const delegation: Delegation = await world.delegate("alice");
    const plan = JSON.stringify(shop.plan(delegation));
    expect(plan).toContain("alice");
    expect(plan).toContain("[redacted]");
    expect(plan).not.toContain(delegation.identity.token.reveal());
  });
});

/** Statements that sleep for a human, asked on a connection of its own. */
async function sleepers(): Promise<number> {
  const { rows } = await world.admin.query<{ n: number }>(
    "select count(*)::int as n from pg_stat_activity where usename = $1 and wait_event = 'PgSleep'",
    [world.names.gateway],
  );
  return rows[0]?.n ?? 0;
}
