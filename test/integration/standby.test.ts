import { type BehalfError, sql, type SqlAdapter } from "@behalf/core";
import type { LocalPostgres } from "@behalf/local";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { embeddedPostgres } from "../support/embedded-postgres.ts";
import { failure, until } from "../support/failure.ts";
import { tcpProxy } from "../support/tcp-proxy.ts";
import { watch } from "../support/watched-pool.ts";
import { makeWorld, type World } from "../support/world.ts";

let primary: LocalPostgres;
let standby: LocalPostgres;
let world: World;
/** A superuser's connection to the world's database on the standby. */
let onStandby: pg.Client;
beforeAll(async () => {
  primary = await embeddedPostgres({ settings: { synchronous_commit: "on" } });
  world = await makeWorld({ url: primary.url });
  standby = await primary.startStandby();
  onStandby = new pg.Client({ connectionString: superuserUrl(standby) });
  onStandby.on("error", () => {});
  await onStandby.connect();
});
afterAll(async () => {
  await onStandby?.end();
  await standby?.stop();
  await primary?.startServer();
  // Else what takes the world down would wait for a standby.
  await superuser(async (client) => {
    await client.query("alter system reset synchronous_standby_names");
    await client.query("select pg_reload_conf()");
  });
  await world?.[Symbol.asyncDispose]();
  await primary?.stop();
});

async function superuser(work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: primary.url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

function superuserUrl(server: LocalPostgres): string {
  return server.urlFor({ ...server.superuser, database: world.names.database });
}

/** An adapter of which both logins lead to one address. */
function adapterAt(address: { readonly host: string; readonly port: number }): {
  shop: SqlAdapter;
  pool: pg.Pool;
} {
  const { statementGateway: user } = world.names;
  const { statementGateway: password } = world.passwords;
  const pool = world.pool({ connectionString: world.url(undefined, address), max: 4 });
  const statements = world.pool({ connectionString: world.url({ user, password }, address) });
  return { shop: world.adapter({ pool, statements: { pool: statements } }), pool };
}

/** Waits until the standby has everything that the primary has now. */
async function caughtUp(): Promise<void> {
  const { rows } = await world.admin.query<{ lsn: string }>("select pg_current_wal_lsn() as lsn");
  await until(async () => {
    const replayed = await onStandby.query("select pg_last_wal_replay_lsn() >= $1 as ok", [
      rows[0]?.lsn,
    ]);
    return (replayed.rows[0] as { ok: boolean }).ok;
  });
}

const ORGS = "select distinct org_id from orders";

describe("on a hot standby", () => {
  let shop: SqlAdapter;
  let pool: pg.Pool;
  beforeEach(async () => {
    await caughtUp();
    ({ shop, pool } = adapterAt(standby));
  });

  it("each human reads their own rows in every way, and it is the standby that answers", async () => {
    for (const [human, org] of [
      ["alice", "acme"],
      ["bob", "globex"],
    ] as const) {
      const text = "select distinct org_id, pg_is_in_recovery() from orders";
      const statement = sql`select distinct org_id, pg_is_in_recovery() from orders`;
      for (const input of [text, statement]) {
        const delegate = () => world.delegate(human);
        expect((await shop.query(await delegate(), input)).rows).toEqual([[org, true]]);
        const rows = await Array.fromAsync(shop.stream(await delegate(), input));
        expect(rows).toEqual([[org, true]]);
        const principal = await shop.run(await delegate(), async (session) => {
          expect((await session.query(input)).rows).toEqual([[org, true]]);
          return session.whoAmI();
        });
        expect(principal.subject).toEqual({ issuer: world.idp.issuer, subject: human });
      }
    }
  });

  it("a ticket of the primary is good, and one of the standby is good on the primary", async () => {
    const token = await world.databaseToken("alice");
    const servers = { primary, standby };
    const asked: string[] = [];
    for (const [from, to] of [
      ["primary", "standby"],
      ["standby", "primary"],
    ] as const) {
      const [one, other] = [servers[from], servers[to]].map(
        (server) => new pg.Client({ connectionString: world.url(undefined, server) }),
      ) as [pg.Client, pg.Client];
      await Promise.all([one.connect(), other.connect()]);
      try {
        const { rows } = await one.query<{ ticket: string }>(
          "select ticket from behalf.exchange($1)",
          [token],
        );
        await other.query("begin read only");
        await other.query("select behalf.start($1, $2, 'alice')", [
          rows[0]?.ticket,
          world.idp.issuer,
        ]);
        const seen = await other.query("select * from behalf.read($1, 10, 1000)", [ORGS]);
        asked.push((seen.rows[0] as { read: string }).read);
        await other.query("rollback");
      } finally {
        await Promise.all([one.end(), other.end()]);
      }
    }
    expect(asked).toEqual(["(acme)", "(acme)"]);
  });

  it("a revocation on the primary bites as soon as it is replicated", async () => {
    const dan = { issuer: world.idp.issuer, subject: "dan" };
    expect((await shop.query(await world.delegate("dan"), ORGS)).rows).toEqual([["umbrella"]]);
    await world.admin.query("select behalf.revoke($1, $2)", [dan.issuer, dan.subject]);
    await caughtUp();
    const error = await failure(shop.query(await world.delegate("dan"), ORGS));
    expect(error).toMatchObject({ code: "identity.revoked", nativeCode: "ZB004" });
    await world.admin.query("select behalf.reinstate($1, $2)", [dan.issuer, dan.subject]);
    await caughtUp();
    expect((await shop.query(await world.delegate("dan"), ORGS)).rows).toEqual([["umbrella"]]);
  });

  it("a write is refused as one for the primary, changes nothing, and costs no connection", async () => {
    let made = 0;
    pool.on("connect", () => (made += 1));
    await shop.query(await world.delegate("alice"), ORGS);
    const access = "write";
    const text = "update orders set note = 'from the standby'";
    const attempts: (() => Promise<unknown>)[] = [
      async () => shop.query(await world.delegate("alice"), text, { access }),
      async () =>
        shop.query(await world.delegate("alice"), sql`update orders set note = 'x'`, { access }),
      async () =>
        shop.run(await world.delegate("alice"), (session) => session.query(text), { access }),
    ];
    for (const attempt of attempts) {
      const error = await failure(attempt());
      expect(error).toMatchObject({
        code: "backend.unavailable",
        reason: "standby",
        nativeCode: "0A000",
        effect: "none",
      });
      expect(error.message).toContain("primary");
    }
    // The text's own mistakes keep the code that they have anywhere.
    expect(
      await failure(shop.query(await world.delegate("alice"), "explain select 1")),
    ).toMatchObject({ code: "statement.refused", nativeCode: "0A000" });
    expect((await shop.query(await world.delegate("bob"), ORGS)).rows).toEqual([["globex"]]);
    expect(made).toBe(1);
  });

  it("a statement in the way of the replay ends with what says that it may be tried again", async () => {
    await onStandby.query("alter system set max_standby_streaming_delay = 0");
    await onStandby.query("select pg_reload_conf()");
    try {
      const inTheWay = async () => {
        await until(async () => {
          const { rowCount } = await onStandby.query(
            "select from pg_locks where relation = 'orders'::regclass and pid <> pg_backend_pid()",
          );
          return rowCount !== 0;
        });
        await world.admin.query("begin; lock table orders in access exclusive mode; commit");
      };
      const busy = failure(
        shop.query(await world.delegate("alice"), "select pg_sleep(20) from orders"),
      );
      await inTheWay();
      expect(await busy).toMatchObject({
        code: "backend.failed",
        nativeCode: "40001",
        effect: "none",
      });
      expect((await busy).message).toContain("try again");
      // Idle between two statements, it has the connection taken from it.
      const idle = failure(
        shop.run(await world.delegate("alice"), async (session) => {
          await session.query(ORGS);
          await inTheWay();
          await until(async () => {
            const { rowCount } = await onStandby.query(
              "select from pg_stat_activity where usename = $1 and state = 'idle in transaction'",
              [world.names.gateway],
            );
            return rowCount === 0;
          });
          await session.query(ORGS);
        }),
      );
      expect(await idle).toMatchObject({
        code: "backend.failed",
        nativeCode: "40001",
        effect: "none",
      });
      expect((await shop.query(await world.delegate("bob"), ORGS)).rows).toEqual([["globex"]]);
    } finally {
      await onStandby.query("alter system reset max_standby_streaming_delay");
      await onStandby.query("select pg_reload_conf()");
    }
  });
});

describe("when the standby takes over", () => {
  it("calls in flight end with what may have happened, and the same adapter goes on", async () => {
    // Without it, an answer does not promise that the standby has the change.
    await world.admin.query("alter system set synchronous_standby_names = '*'");
    await world.admin.query("select pg_reload_conf()");
    await until(async () => {
      const { rows } = await world.admin.query("select sync_state from pg_stat_replication");
      return (rows[0] as { sync_state?: string } | undefined)?.sync_state === "sync";
    });
    await using proxy = await tcpProxy(primary);
    const { shop, pool } = adapterAt({ host: "127.0.0.1", port: proxy.port });
    const seen = watch(pool);
    const [alice, bob, carol] = await Promise.all(
      ["alice", "bob", "carol"].map((human) => world.token(human)),
    );
    const as = (bearer: string | undefined) => world.front.delegate(bearer);
    const access = "write";

    // Alice writes row after row until she is told that it did not work.
    const done: number[] = [];
    const lost: { id: number; error: BehalfError }[] = [];
    const writing = (async () => {
      for (let id = 900_000; lost.length === 0; id += 1) {
        const text = `insert into orders values (${id}, 'acme', 1, null, now())`;
        await shop.query(await as(alice), text, { access }).then(
          () => done.push(id),
          (error: BehalfError) => lost.push({ id, error }),
        );
      }
    })();
    const reading = failure(shop.query(await as(bob), "select pg_sleep(60)"));
    const inTransaction = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    const running = failure(
      shop.run(
        await as(carol),
        async (session) => {
          await session.query("update orders set note = 'never committed'");
          inTransaction.resolve();
          await over.promise;
          await session.query("select 1");
        },
        { access },
      ),
    );
    await inTransaction.promise;
    await until(() => done.length >= 20);
    await primary.stopServer("immediate");
    await writing;
    over.resolve();

    expect(await reading).toMatchObject({ code: "backend.unavailable", effect: "none" });
    expect(await running).toMatchObject({ code: "backend.unavailable", effect: "none" });
    expect(lost[0]?.error.code).toBe("backend.unavailable");
    const before = await failure(shop.query(await as(bob), ORGS, { deadlineMs: 1_000 }));
    expect(before.code).toBe("backend.unavailable");

    proxy.target(standby);
    // Not promoted yet: it reads, and sends writes elsewhere.
    expect((await shop.query(await as(bob), ORGS)).rows).toEqual([["globex"]]);
    const early = failure(shop.query(await as(alice), "delete from orders", { access }));
    expect(await early).toMatchObject({ reason: "standby", effect: "none" });
    await onStandby.query("select pg_promote()");

    seen.proofs.length = 0;
    const note = "update orders set note = 'after' where id = 900000 returning org_id";
    expect((await shop.query(await as(alice), note, { access })).rows).toEqual([["acme"]]);
    expect((await shop.query(await as(carol), ORGS)).rows).toEqual([["initech"]]);
    // The tickets of the old primary still prove them.
    expect(seen.proofs).toEqual(["bt1.", "bt1."]);

    const { rows } = await onStandby.query<{ id: number; note: string | null }>(
      "select id::int, note from orders where id >= 900000 and id < 1000000 order by id",
    );
    const there = new Set(rows.map(({ id }) => id));
    expect(done.filter((id) => !there.has(id))).toEqual([]);
    const none = lost.filter(({ error }) => error.effect === "none");
    expect(none.filter(({ id }) => there.has(id))).toEqual([]);
    const { rowCount } = await onStandby.query("select from orders where note = 'never committed'");
    expect(rowCount).toBe(0);
  });
});
