import { BehalfError, sql, type SqlAdapter } from "@behalf/core";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { failure, until } from "../support/failure.ts";
import { OBSERVER, whoSawWhat } from "../support/observer.ts";
import { type Pgbouncer, pgbouncerPath, startPgbouncer } from "../support/pgbouncer.ts";
import { seededRandom } from "../../packages/conformance/src/seeded-random.ts";
import { type Human, HUMANS, makeWorld, type World } from "../support/world.ts";

const CALLS = Number(process.env["BEHALF_POOLER_CALLS"] ?? 1_500);
const SERVER_CONNECTIONS = 2;
const CLIENT_CONNECTIONS = 8;

if (pgbouncerPath === undefined) {
  console.log("SKIPPED: behind PgBouncer in transaction mode (needs the pgbouncer command)");
}

describe.skipIf(pgbouncerPath === undefined)(
  "behind PgBouncer in transaction mode (needs the pgbouncer command)",
  () => {
    let world: World;
    let pooler: Pgbouncer;
    let observer: pg.Pool;
    const access = "write";
    const ORGS = "select distinct org_id from orders";

    beforeAll(async () => {
      world = await makeWorld({ url: inject("postgresUrl") });
      await world.admin.query(OBSERVER);
      await world.admin.query(`alter database ${world.names.database} set track_functions = 'all'`);
      observer = world.pool({ connectionString: inject("postgresUrl") });
      const { hostname, port } = new URL(inject("postgresUrl"));
      const { gateway, statementGateway, database } = world.names;
      pooler = await startPgbouncer({
        server: { host: hostname, port: Number(port) },
        database,
        logins: [
          { user: gateway, password: world.passwords.gateway },
          { user: statementGateway, password: world.passwords.statementGateway },
        ],
        poolSize: SERVER_CONNECTIONS,
      });
    });
    afterAll(async () => {
      await pooler?.[Symbol.asyncDispose]();
      await world?.[Symbol.asyncDispose]();
    });

    function behindPooler(preparedStatements = false, max = CLIENT_CONNECTIONS): SqlAdapter {
      const { statementGateway: user } = world.names;
      const { statementGateway: password } = world.passwords;
      const config: pg.PoolConfig = { max, application_name: "behalf-test" };
      const pool = world.pool({ ...config, connectionString: world.url(undefined, pooler) });
      const statements = world.pool({
        ...config,
        connectionString: world.url({ user, password }, pooler),
      });
      return world.adapter({ pool, statements: { pool: statements }, preparedStatements });
    }

    /** What the server's sessions of our logins are, asked past the pooler. */
    async function sessions(): Promise<readonly { state: string; waits: string; login: string }[]> {
      const { rows } = await observer.query<{ state: string; waits: string; login: string }>(
        "select state, wait_event as waits, usename as login from pg_stat_activity where usename in ($1, $2)",
        [world.names.gateway, world.names.statementGateway],
      );
      return rows;
    }

    it("fails with what to do about it, where statements have names", async () => {
      const shop = behindPooler(true);
      const errors: BehalfError[] = [];
      const statement = sql`select pg_sleep(0.05)`;
      for (const input of ["select pg_sleep(0.05)", statement]) {
        // Four clients at once, over two connections that know what two of them prepared.
        const calls = Object.keys(HUMANS).map(async (human) =>
          shop.query(await world.delegate(human), input),
        );
        for (const result of await Promise.allSettled(calls)) {
          if (result.status === "rejected") errors.push(result.reason as BehalfError);
        }
      }
      for (const error of errors) {
        expect(error).toMatchObject({
          code: "configuration",
          reason: "prepared_statements",
          effect: "none",
        });
        expect(error.message).toContain("preparedStatements: false");
      }
      expect(errors.length).toBeGreaterThanOrEqual(4);
      await shop.close();
    });

    it(`shows nobody another human's row in ${CALLS} calls over ${SERVER_CONNECTIONS} connections of the server for each login`, async () => {
      const shop = behindPooler();
      const next = seededRandom(20_261_124);
      const humans = Object.keys(HUMANS) as Human[];
      const tokens = new Map<Human, string>();
      for (const human of humans) tokens.set(human, await world.token(human));
      const foreign: string[] = [];
      const ended: Record<string, number> = {};
      const served = new Map<number, Set<Human>>();
      let left = CALLS;
      const look = `select org_id, (select behalf.claim('sub')), current_setting('behalf.left', true), pg_backend_pid() from orders limit 2`;
      const statement = sql`select org_id, (select behalf.claim('sub')), current_setting('behalf.left', true), pg_backend_pid() from orders limit 2`;

      async function one(): Promise<void> {
        const human = humans[Math.floor(next() * humans.length)] as Human;
        const delegation = await world.front.delegate(tokens.get(human));
        const check = (rows: readonly (readonly unknown[])[]) => {
          if (rows.length === 0) foreign.push(`${human} saw nothing`);
          for (const [org, subject, residue, pid] of rows) {
            served.set(Number(pid), (served.get(Number(pid)) ?? new Set()).add(human));
            if (org === HUMANS[human].org && subject === human && (residue ?? "") === "") continue;
            foreign.push(`${human} saw ${String(org)} as ${String(subject)}, ${String(residue)}`);
          }
        };
        const ways: readonly (() => Promise<void>)[] = [
          async () => check((await shop.query(delegation, look)).rows),
          async () => check((await shop.query(delegation, statement)).rows),
          async () => check(await Array.fromAsync(shop.stream(delegation, look))),
          async () => check(await Array.fromAsync(shop.stream(delegation, statement))),
          () =>
            shop.run(delegation, async (session) => {
              check((await session.query(look)).rows);
              check((await session.query(look)).rows);
            }),
          async () => {
            const text =
              "update orders set note = org_id, total = total + 1 where id in (select id from orders order by id limit 1) returning org_id, behalf.claim('sub'), null, pg_backend_pid()";
            check((await shop.query(delegation, text, { access })).rows);
          },
          async () => {
            const text =
              "select set_config('behalf.left', org_id, false), 1 / (id - id) from orders";
            await shop.query(delegation, text);
          },
          async () => {
            const text =
              "select set_config('behalf.left', org_id, false), set_config('work_mem', '77MB', false), pg_advisory_lock_shared(id) from orders limit 2";
            await shop.query(delegation, text, { access });
          },
          async () => {
            const stop = new AbortController();
            setTimeout(() => stop.abort(), next() * 8);
            await shop.query(delegation, "select pg_sleep(0.003) from orders limit 2", {
              signal: stop.signal,
            });
          },
        ];
        // The first ways are what most calls are.
        const way = Math.floor(next() ** 1.3 * ways.length);
        const end = await (ways[way] as () => Promise<void>)().then(
          () => "ok",
          (error: unknown) => (BehalfError.isInstance(error) ? error.code : String(error)),
        );
        ended[end] = (ended[end] ?? 0) + 1;
      }
      await Promise.all(
        Array.from({ length: 12 }, async () => {
          while (left-- > 0) await one();
        }),
      );
      await shop.close();
      expect(foreign).toEqual([]);
      expect(Object.keys(ended).toSorted()).toEqual(["backend.failed", "cancelled", "ok"]);
      // Connections were shared. One whose call was given up may be closing while another takes its place.
      await until(async () => (await sessions()).length <= 2 * SERVER_CONNECTIONS);
      expect([...served.values()].some((whom) => whom.size === humans.length)).toBe(true);
      const { rows: locks } = await world.admin.query(
        "select from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'advisory' and a.usename in ($1, $2)",
        [world.names.gateway, world.names.statementGateway],
      );
      expect(locks).toHaveLength(0);
    });

    it("writes what a human may write, in both modes, and says what failed", async () => {
      const shop = behindPooler();
      const insert = (id: number, org: string) =>
        `insert into orders values (${id}, '${org}', 1, 'pooled', now())`;
      await shop.query(await world.delegate("alice"), insert(910_001, "acme"), { access });
      await shop.query(
        await world.delegate("alice"),
        sql`insert into orders values (910002, 'acme', 1, 'pooled', now())`,
        { access },
      );
      await shop.run(
        await world.delegate("alice"),
        async (session) => {
          await session.query(insert(910_003, "acme"));
          await session.query("update orders set total = 2 where id = 910003");
        },
        { access },
      );
      const refused = [
        [insert(910_004, "globex"), "42501"],
        [insert(910_001, "acme"), "23505"],
      ] as const;
      for (const [text, nativeCode] of refused) {
        expect(
          await failure(shop.query(await world.delegate("alice"), text, { access })),
        ).toMatchObject({ nativeCode, effect: "none" });
      }
      const { rows } = await world.admin.query(
        "select id::int, org_id, total::int from orders where note = 'pooled' order by id",
      );
      expect(rows).toEqual([
        { id: 910_001, org_id: "acme", total: 1 },
        { id: 910_002, org_id: "acme", total: 1 },
        { id: 910_003, org_id: "acme", total: 2 },
      ]);
    });

    it("stops at the server what is given up or overdue, and hits nobody else with it", async () => {
      const shop = behindPooler(false, 2);
      const asleep = async () =>
        (await sessions()).filter(({ waits }) => waits === "PgSleep").length;
      for (const input of ["select pg_sleep(60)", sql`select pg_sleep(60)`]) {
        const leaving = new AbortController();
        const given = failure(
          shop.query(await world.delegate("alice"), input, { signal: leaving.signal }),
        );
        await until(async () => (await asleep()) === 1);
        leaving.abort();
        expect(await given).toMatchObject({ code: "cancelled", effect: "none" });
        // The deadline of 30 s is later than this waits.
        await until(async () => (await asleep()) === 0);
        const overdue = shop.query(await world.delegate("alice"), input, { deadlineMs: 1_000 });
        expect(await failure(overdue)).toMatchObject({ code: "timeout", nativeCode: "57014" });
        for (const [human, { org }] of Object.entries(HUMANS)) {
          const { rows } = await shop.query(await world.delegate(human), ORGS);
          expect(rows).toEqual([[org]]);
        }
      }
    });

    it("each human saw their own rows and no others, by the server's own word", async () => {
      // Sessions write their statistics when they end.
      await pooler[Symbol.asyncDispose]();
      await until(async () => (await sessions()).length === 0);
      expect(await whoSawWhat(world.admin)).toEqual([
        "alice saw acme",
        "bob saw globex",
        "carol saw initech",
        "dan saw umbrella",
      ]);
    });
  },
);
