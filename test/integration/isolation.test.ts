import { BehalfError } from "@behalf/core";
import { expect, inject, it } from "vitest";

import { OBSERVER, whoSawWhat } from "../support/observer.ts";
import { seededRandom } from "../../packages/conformance/src/seeded-random.ts";
import { type Human, HUMANS, makeWorld } from "../support/world.ts";

const CALLS = Number(process.env["BEHALF_ISOLATION_CALLS"] ?? 5_000);
const SEED = Number(process.env["BEHALF_SEED"] ?? 20_261_123);
const WORKERS = 8;

/** Four humans over two connections, in every way that a call can end. */
it(
  `shows nobody another human's row in ${CALLS} interleaved calls over 2 connections`,
  { timeout: 400_000 },
  async () => {
    await using world = await makeWorld({ url: inject("postgresUrl") });
    await world.admin.query(OBSERVER);
    await world.admin.query(`alter database ${world.names.database} set track_functions = 'all'`);
    const pool = world.pool({ max: 2 });
    const shop = world.adapter({ pool });
    const next = seededRandom(SEED);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
    const humans = Object.keys(HUMANS) as Human[];
    const endings = [
      "returns",
      "returns",
      "returns",
      "returns",
      "refused",
      "fails",
      "aborts",
      "timeout",
      "throws",
      "residue",
    ] as const;
    const ended: Record<string, number> = {};
    const foreign: string[] = [];
    let stray = 0;
    let left = CALLS;

    const tokens = Object.fromEntries(
      await Promise.all(humans.map(async (human) => [human, await world.token(human)] as const)),
    );

    async function one(): Promise<void> {
      const human = pick(humans);
      const ending = pick(endings);
      const org = HUMANS[human].org;
      const delegation = await world.front.delegate(tokens[human]);
      const look = `select org_id, current_setting('behalf.left', true), (select behalf.claim('sub')) from orders limit 3`;
      let outcome = "ok";
      const check = (rows: readonly (readonly unknown[])[]) => {
        if (rows.length === 0) stray += 1;
        for (const [seen, residue, subject] of rows) {
          if (seen !== org || subject !== human || (residue !== null && residue !== "")) {
            foreign.push(
              `${human} saw ${String(seen)} as ${String(subject)} with ${String(residue)}`,
            );
          }
        }
      };
      try {
        switch (ending) {
          case "returns":
            check((await shop.query(delegation, look)).rows);
            break;
          case "refused":
            await shop.query(delegation, "select set_config('role', 'postgres', true)");
            break;
          case "fails":
            await shop.query(
              delegation,
              "select set_config('behalf.left', org_id, false), 1 / (id - id) from orders",
            );
            break;
          case "aborts": {
            const stop = new AbortController();
            setTimeout(() => stop.abort(), next() * 4);
            const { rows } = await shop.query(
              delegation,
              "select org_id, null, behalf.claim('sub'), pg_sleep(0.002) from orders limit 2",
              { signal: stop.signal },
            );
            check(rows);
            break;
          }
          case "timeout":
            await shop.query(delegation, "select org_id, pg_sleep(0.02) from orders limit 2", {
              deadlineMs: 10 + Math.floor(next() * 20),
            });
            break;
          case "throws":
            await shop.run(delegation, async (session) => {
              check((await session.query(look)).rows);
              throw new Error("thrown by the caller");
            });
            break;
          case "residue":
            await shop.query(
              delegation,
              "select set_config('behalf.left', org_id, false), set_config('behalf.seal', 'x', false), pg_advisory_lock_shared(id) from orders limit 2",
            );
            break;
        }
      } catch (error) {
        outcome = BehalfError.isInstance(error) ? error.code : (error as Error).message;
      }
      const key = `${ending}: ${outcome}`;
      ended[key] = (ended[key] ?? 0) + 1;
    }

    await Promise.all(
      Array.from({ length: WORKERS }, async () => {
        while (left-- > 0) await one();
      }),
    );
    await shop.close();

    console.log(`seed ${SEED}, ${CALLS} calls: ${JSON.stringify(ended, null, 1)}`);
    expect(foreign).toEqual([]);
    expect(stray).toBe(0);
    // Every way to end did happen, and none ended in a way that it should not.
    const possible = [
      "returns: ok",
      "residue: ok",
      "refused: backend.denied",
      "fails: backend.failed",
      "throws: thrown by the caller",
      "aborts: cancelled",
      "timeout: timeout",
    ];
    // These depend on the moment: an abort that comes late, a deadline that passes before there is a connection.
    const perhaps = ["aborts: ok", "timeout: ok", "timeout: backend.unavailable"];
    for (const ending of possible) expect(ended[ending], ending).toBeGreaterThan(0);
    expect(Object.keys(ended).filter((key) => ![...possible, ...perhaps].includes(key))).toEqual(
      [],
    );

    // As the database saw it, asked on a connection of its own: sessions write their statistics when they end.
    await pool.end();
    expect(await whoSawWhat(world.admin)).toEqual([
      "alice saw acme",
      "bob saw globex",
      "carol saw initech",
      "dan saw umbrella",
    ]);
    const { rows } = await world.admin.query(
      "select count(*)::int as locks from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
    );
    expect(rows).toEqual([{ locks: 0 }]);
  },
);
