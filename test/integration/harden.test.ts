import { sql } from "@behalf/core";
import { installKit, uninstallKit } from "@behalf/postgres";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { hardenText, unhardenText } from "../attacks/attack-world.ts";
import { failure } from "../support/failure.ts";
import { makeWorld, type World } from "../support/world.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl"), orders: 5 });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** Who may execute what of the server's own functions, and what the logins are set to. */
async function rights(): Promise<unknown> {
  const { rows } = await world.admin.query(`
    select f.oid::regprocedure::text as function, coalesce(r.rolname, 'public') as grantee, a.is_grantable, null as setting
    from pg_proc f cross join aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
    left join pg_roles r on r.oid = a.grantee
    where f.pronamespace = 'pg_catalog'::regnamespace
    union all
    select '', r.rolname, null, s.setconfig::text from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
    where r.rolname in ('${world.names.gateway}', '${world.names.statementGateway}')
    order by 1, 2, 4`);
  return rows;
}

const HOSTILE = [
  "select set_config('work_mem', '1GB', true)",
  "select setseed(0.5)",
  "select pg_notify('app', 'x')",
  "select pg_advisory_lock(1)",
  "select pg_try_advisory_xact_lock_shared(1, 2)",
  "select lo_create(0)",
  "select pg_current_xact_id()",
  "select pg_export_snapshot()",
  "select query_to_xml('select 1', true, true, '')",
  "select * from ts_stat('select null::tsvector')",
  "select * from pg_stat_activity",
  "select * from pg_locks",
  "select * from pg_stat_user_tables",
  "select * from pg_settings",
];

describe("a hardened database", () => {
  it("refuses agents what reaches past their statement, and gives back exactly what was there", async () => {
    const { admin, names } = world;
    // What a DBA granted and revoked before stays.
    await admin.query(`
      grant execute on function pg_catalog.setseed(float8) to ${names.keysync} with grant option;
      revoke execute on function pg_catalog.pg_export_snapshot() from public;
      grant execute on function pg_catalog.pg_current_xact_id() to ${names.agent};
    `);
    const before = await rights();
    const shop = world.adapter();
    for (const access of ["read", "write"] as const) {
      const texts = HOSTILE.filter((text) => !/export_snapshot|lo_create/.test(text));
      for (const text of texts) {
        await shop.query(await world.delegate("bob"), text, { access });
      }
    }
    await admin.query(hardenText);
    const hardened = await rights();
    await admin.query(hardenText);
    expect(await rights()).toEqual(hardened);
    for (const access of ["read", "write"] as const) {
      for (const text of HOSTILE) {
        const error = await failure(shop.query(await world.delegate("bob"), text, { access }));
        expect([text, error.nativeCode]).toEqual([text, "42501"]);
      }
    }
    await admin.query(unhardenText);
    expect(await rights()).toEqual(before);
    await admin.query(unhardenText);
    expect(await rights()).toEqual(before);
    await shop.query(await world.delegate("bob"), "select set_config('work_mem', '1MB', true)");
    await admin.query(`
      revoke all on function pg_catalog.setseed(float8) from ${names.keysync};
      grant execute on function pg_catalog.pg_export_snapshot() to public;
      revoke execute on function pg_catalog.pg_current_xact_id() from ${names.agent};
    `);
  });

  it("is one that the adapter works with, in every mode", async () => {
    await world.admin.query(hardenText);
    try {
      const shop = world.adapter();
      const alice = async () => world.delegate("alice");
      const text = "select count(*)::int, min(org_id) from orders";
      const write = { access: "write" } as const;
      for (const input of [text, sql`select count(*)::int, min(org_id) from orders`]) {
        expect((await shop.query(await alice(), input)).rows).toEqual([[5, "acme"]]);
        expect((await shop.query(await alice(), input, write)).rows).toEqual([[5, "acme"]]);
        const run = await shop.run(await alice(), async (session) => {
          await session.query(input);
          return (await session.query(input)).rows;
        });
        expect(run).toEqual([[5, "acme"]]);
        const rows: unknown[] = [];
        for await (const row of shop.stream(await alice(), input)) rows.push(row);
        expect(rows).toEqual([[5, "acme"]]);
      }
      const change = "update orders set note = 'hardened'";
      expect(await shop.query(await alice(), change, write)).toMatchObject({ affectedRows: 5 });
      const twice = await shop.run(
        await alice(),
        async (session) => [await session.query(change), await session.query(text)],
        write,
      );
      expect(twice[1]?.rows).toEqual([[5, "acme"]]);
      const outcome = world.records.records.findLast(({ kind }) => kind === "outcome");
      expect(outcome).toMatchObject({ native: { backendStart: expect.any(String) } });
    } finally {
      await world.admin.query(unhardenText);
    }
  });

  it("is one that who was there before does not notice", async () => {
    const { admin, names } = world;
    const app = `app_${names.database}`;
    const password = "app";
    await admin.query(`create role ${app} login password '${password}'`);
    const later = `later_${names.database}`;
    await admin.query(hardenText);
    await admin.query(`create role ${later} login password '${password}'`);
    try {
      const calls =
        "select set_config('search_path', '', false), pg_try_advisory_lock(1), count(*) from pg_stat_activity";
      const as = async (user: string) => {
        const client = new pg.Client({ connectionString: world.url({ user, password }) });
        await client.connect();
        try {
          return await client.query(calls).then(
            () => "answered",
            (error: unknown) => (error as pg.DatabaseError).code,
          );
        } finally {
          await client.end();
        }
      };
      expect([await as(app), await as(later)]).toEqual(["answered", "42501"]);
      await admin.query(hardenText);
      expect(await as(later)).toBe("answered");
      // A role that becomes an agent's loses them.
      await admin.query(`alter role ${later} nologin; select behalf.add_agent_role('${later}')`);
      await admin.query(hardenText);
      const { rows } = await admin.query(
        "select has_function_privilege($1, 'pg_catalog.set_config(text, text, boolean)', 'execute') as may",
        [later],
      );
      expect(rows).toEqual([{ may: false }]);
    } finally {
      await admin.query(unhardenText);
      await admin.query(`delete from behalf.agent_roles where role = '${later}'`);
      for (const role of [app, later])
        await admin.query(`drop owned by ${role}; drop role ${role}`);
    }
  });

  it("keeps a login's own limit, gives one to who has none, and passes preflight", async () => {
    const { admin, names } = world;
    await admin.query(`alter role ${names.gateway} set temp_file_limit = '5MB'`);
    await admin.query("set behalf.temp_file_limit = '7MB'");
    await admin.query(hardenText);
    try {
      const limit = async (pool: pg.Pool) => (await pool.query("show temp_file_limit")).rows[0];
      expect(await limit(world.pool())).toEqual({ temp_file_limit: "5MB" });
      expect(await limit(world.statementPool())).toEqual({ temp_file_limit: "7MB" });
      expect((await world.adapter().query(await world.delegate("bob"), "select 1")).rows).toEqual([
        [1],
      ]);
    } finally {
      await admin.query(unhardenText);
      await admin.query(`alter role ${names.gateway} reset temp_file_limit`);
    }
  });

  it("has to be given back before the kit is removed, and needs a superuser", async () => {
    const { admin, names } = world;
    await admin.query(hardenText);
    await expect(uninstallKit(admin)).rejects.toMatchObject({
      message: "behalf: this database is hardened",
      hint: expect.stringContaining("unharden.sql"),
    });
    // A newer kit goes over a hardened database.
    await installKit(admin);
    await admin.query(unhardenText);
    await admin.query(`set role ${names.keysync}`);
    await expect(admin.query(hardenText)).rejects.toThrow("hardening needs a superuser");
    await admin.query("reset role");
  });
});
