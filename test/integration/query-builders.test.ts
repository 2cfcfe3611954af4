import { drizzleFor, drizzleRun } from "@behalf/postgres/drizzle";
import { kyselyFor, queryBuilder } from "@behalf/postgres/kysely";
import { eq, gt, sql as drizzleSql } from "drizzle-orm";
import { bigint, numeric, pgTable, QueryBuilder, text, timestamp } from "drizzle-orm/pg-core";
import { CompiledQuery, type Generated, sql as kyselySql } from "kysely";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { failure } from "../support/failure.ts";
import { makeWorld, type World } from "../support/world.ts";

interface Shop {
  orders: {
    id: string;
    org_id: string;
    total: string;
    note: string | null;
    placed_at: Generated<Date>;
  };
}

const orders = pgTable("orders", {
  id: bigint("id", { mode: "number" }).primaryKey(),
  org: text("org_id").notNull(),
  total: numeric("total").notNull(),
  note: text("note"),
  placedAt: timestamp("placed_at", { withTimezone: true }).notNull(),
});

const HOSTILE = "x'; reset role; select * from orders; --";

let world: World;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl"), orders: 1_500 });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const notesIn = async (org: string) =>
  (
    await world.admin.query<{ note: string }>(
      "select distinct note from orders where org_id = $1 and note not like 'note %' order by note",
      [org],
    )
  ).rows.map(({ note }) => note);

describe("Kysely", () => {
  it("gives two humans two answers to one query object", async () => {
    const shop = world.adapter();
    const query = queryBuilder<Shop>()
      .selectFrom("orders")
      .select(["org_id", ({ fn }) => fn.countAll<string>().as("orders")])
      .groupBy("org_id");
    for (const [human, org] of [
      ["alice", "acme"],
      ["bob", "globex"],
    ] as const) {
      const { rows } = await kyselyFor<Shop>(shop, await world.delegate(human)).executeQuery(query);
      expect(rows).toEqual([{ org_id: org, orders: "1500" }]);
    }
    // Built for nobody, it is answered with nothing.
    expect(await query.execute()).toEqual([]);
  });

  it("brings every row, or fails where a limit was set", async () => {
    const shop = world.adapter();
    const all = await kyselyFor<Shop>(shop, await world.delegate("alice"))
      .selectFrom("orders")
      .selectAll()
      .execute();
    expect(all).toHaveLength(1_500); // more than the adapter's own default of 1,000
    expect(all[0]?.placed_at).toBeInstanceOf(Date);
    const limited = kyselyFor<Shop>(shop, await world.delegate("alice"), { maxRows: 10 });
    expect(await failure(limited.selectFrom("orders").selectAll().execute())).toMatchObject({
      code: "backend.failed",
      reason: "truncated",
    });
  });

  it("takes values as values", async () => {
    const shop = world.adapter();
    const db = kyselyFor<Shop>(shop, await world.delegate("alice"));
    expect(
      await db.selectFrom("orders").select("id").where("note", "=", HOSTILE).execute(),
    ).toEqual([]);
    const { rows } = await kyselySql<{ v: string }>`select ${HOSTILE}::text as v`.execute(
      kyselyFor<Shop>(shop, await world.delegate("alice")),
    );
    expect(rows).toEqual([{ v: HOSTILE }]);
  });

  it("writes what the human may write, and counts it", async () => {
    const shop = world.adapter();
    const update = async (human: string, org: string) =>
      kyselyFor<Shop>(shop, await world.delegate(human))
        .updateTable("orders")
        .set({ note: `kysely ${human}` })
        .where("org_id", "=", org)
        .where("total", "<", "10")
        .executeTakeFirst();
    expect((await update("alice", "acme")).numUpdatedRows).toBe(7n);
    expect((await update("alice", "globex")).numUpdatedRows).toBe(0n);
    expect(await notesIn("globex")).toEqual([]);
    expect(await notesIn("acme")).toEqual(["kysely alice"]);
    // A text of the author's own reads, unless the transaction was begun for writing.
    const raw = CompiledQuery.raw("update orders set note = 'raw'");
    expect(
      await failure(kyselyFor<Shop>(shop, await world.delegate("alice")).executeQuery(raw)),
    ).toMatchObject({ nativeCode: "25006" });
  });

  it("writes what a WITH in front of a SELECT writes", async () => {
    const shop = world.adapter();
    const rows = await kyselyFor<Shop>(shop, await world.delegate("bob"))
      .with("changed", (db) =>
        db.updateTable("orders").set({ note: "with" }).where("total", "<", "2").returning("id"),
      )
      .selectFrom("changed")
      .select("id")
      .execute();
    expect(rows).toHaveLength(1);
    expect(await notesIn("globex")).toContain("with");
  });

  it("commits a transaction, and keeps nothing of one that fails", async () => {
    const shop = world.adapter();
    const within = async (human: string, note: string, fail: boolean) =>
      kyselyFor<Shop>(shop, await world.delegate(human))
        .transaction()
        .execute(async (tx) => {
          await tx.updateTable("orders").set({ note }).where("total", "<", "3").execute();
          const seen = await tx
            .selectFrom("orders")
            .select("note")
            .where("note", "=", note)
            .execute();
          if (fail) throw new Error(`after ${seen.length}`);
          return seen.length;
        });
    await expect(within("carol", "never", true)).rejects.toThrow("after 2");
    expect(await within("carol", "kept", false)).toBe(2);
    expect(await notesIn("initech")).toEqual(["kept"]);
    const readOnly = kyselyFor<Shop>(shop, await world.delegate("carol"))
      .transaction()
      .setAccessMode("read only")
      .execute((tx) => tx.deleteFrom("orders").execute());
    expect(await failure(readOnly)).toMatchObject({ nativeCode: "25006" });
    const serializable = kyselyFor<Shop>(shop, await world.delegate("carol"))
      .transaction()
      .setIsolationLevel("serializable")
      .execute(async () => 1);
    expect(await failure(serializable)).toMatchObject({ code: "configuration", reason: "kysely" });
  });

  it("streams", async () => {
    const shop = world.adapter();
    const db = kyselyFor<Shop>(shop, await world.delegate("bob"));
    const seen = new Set<string>();
    for await (const { id, org_id } of db
      .selectFrom("orders")
      .select(["id", "org_id"])
      .stream(100)) {
      expect(org_id).toBe("globex");
      seen.add(id);
    }
    expect(seen.size).toBe(1_500);
  });

  it("leaves no connection behind", async () => {
    const pool = world.statementPool({ max: 1 });
    const shop = world.adapter({ statements: { pool } });
    for (let n = 0; n < 3; n++) {
      const db = kyselyFor<Shop>(shop, await world.delegate("alice"));
      await db
        .transaction()
        .execute(async (tx) => tx.selectFrom("orders").select("id").limit(1).execute());
      for await (const row of db.selectFrom("orders").select("id").stream(10)) {
        if (row.id !== "") break;
      }
    }
    expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
  });
});

describe("Drizzle", () => {
  it("gives two humans two answers to one query object", async () => {
    const shop = world.adapter();
    const query = new QueryBuilder()
      .select({ org: orders.org, orders: drizzleSql`count(*)::int`.as("orders") })
      .from(orders)
      .groupBy(orders.org);
    for (const [human, org] of [
      ["alice", "acme"],
      ["bob", "globex"],
    ] as const) {
      const rows = await drizzleFor(shop, await world.delegate(human)).execute(query);
      expect(rows).toEqual([{ org_id: org, orders: 1_500 }]);
    }
  });

  it("maps columns as it does over pg: numbers, dates, names", async () => {
    const shop = world.adapter();
    const [first] = await drizzleFor(shop, await world.delegate("alice"))
      .select()
      .from(orders)
      .where(gt(orders.total, "1870"))
      .orderBy(orders.id)
      .limit(1);
    expect(first).toMatchObject({ id: 1_001_497, org: "acme", total: "1871.25" });
    expect(first?.placedAt).toEqual(new Date("2026-01-02T00:57:00Z"));
    const all = await drizzleFor(shop, await world.delegate("bob"))
      .select()
      .from(orders);
    expect(all).toHaveLength(1_500);
    expect(new Set(all.map(({ org }) => org))).toEqual(new Set(["globex"]));
  });

  it("takes values as values, and relational queries", async () => {
    const shop = world.adapter();
    const config = { schema: { orders } };
    const db = drizzleFor(shop, await world.delegate("alice"), { config });
    expect(await db.select().from(orders).where(eq(orders.note, HOSTILE))).toEqual([]);
    const found = await drizzleFor(shop, await world.delegate("bob"), {
      config,
    }).query.orders.findMany({ columns: { org: true }, limit: 2 });
    expect(found).toEqual([{ org: "globex" }, { org: "globex" }]);
  });

  it("writes where it was asked to", async () => {
    const shop = world.adapter();
    const update = async (access: "read" | "write") =>
      drizzleFor(shop, await world.delegate("dan"), { access })
        .update(orders)
        .set({ note: "drizzle" })
        .where(eq(orders.id, 4_000_001))
        .returning({ org: orders.org });
    await expect(update("read")).rejects.toMatchObject({ cause: { nativeCode: "25006" } });
    expect(await update("write")).toEqual([{ org: "umbrella" }]);
    expect(await notesIn("umbrella")).toEqual(["drizzle"]);
  });

  it("runs a transaction, and keeps nothing of one that fails", async () => {
    const shop = world.adapter();
    const within = async (note: string, fail: boolean) =>
      drizzleRun(
        shop,
        await world.delegate("dan"),
        async (tx) => {
          await tx.update(orders).set({ note }).where(eq(orders.id, 4_000_002));
          const seen = await tx.select().from(orders).where(eq(orders.note, note));
          if (fail) throw new Error(`after ${seen.length}`);
          return seen.length;
        },
        { access: "write" },
      );
    await expect(within("never", true)).rejects.toThrow("after 1");
    expect(await within("kept", false)).toBe(1);
    expect(await notesIn("umbrella")).toEqual(["drizzle", "kept"]);
  });
});
