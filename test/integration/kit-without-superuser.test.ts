import { sql } from "@behalf/core";
import { uninstallKit } from "@behalf/postgres";
import pg from "pg";
import { afterEach, beforeEach, expect, inject, it } from "vitest";

import { makeWorld } from "../support/world.ts";

const DBA = { user: "kit_dba", password: "x" };

async function onServer(...statements: readonly string[]): Promise<readonly unknown[][]> {
  const server = new pg.Client({ connectionString: inject("postgresUrl") });
  await server.connect();
  try {
    const found: unknown[][] = [];
    for (const statement of statements) found.push((await server.query(statement)).rows);
    return found;
  } finally {
    await server.end();
  }
}

/** Roles of the kit that a superuser made before are not the DBA's to administer. */
beforeEach(() =>
  onServer(
    "drop role if exists behalf_owner, behalf_agents, behalf_keysync",
    `create role ${DBA.user} login createrole password '${DBA.password}'`,
  ),
);
afterEach(() => onServer(`drop role if exists ${DBA.user}`));

it("is installed, used by the adapter and removed by a DBA who only owns the database and may create roles", async () => {
  await using world = await makeWorld({ url: inject("postgresUrl"), orders: 3, dba: DBA });
  const { rows } = await world.admin.query(
    "select current_user::text as name, rolsuper as super from pg_roles where rolname = current_user",
  );
  expect(rows).toEqual([{ name: DBA.user, super: false }]);

  const adapter = world.adapter();
  const alice = await world.delegate("alice");
  const read = await adapter.query(
    alice,
    "select distinct org_id, count(*)::int from orders group by 1",
  );
  expect(read.rows).toEqual([["acme", 3]]);
  const written = await adapter.query(alice, "update orders set note = 'seen'", {
    access: "write",
  });
  expect(written.affectedRows).toBe(3);
  const stated = await adapter.query(
    await world.delegate("bob"),
    sql`select count(*)::int from orders where note = ${"seen"}`,
  );
  expect(stated.rows).toEqual([[0]]);
  await adapter.close();

  // Who installs can be anybody, as docs/postgres.md says: with the owner's rights he reads the keys.
  await world.admin.query("grant behalf_owner to current_user");
  expect((await world.admin.query("select from behalf.secrets")).rowCount).toBe(2);
  await world.admin.query("revoke behalf_owner from current_user");
  await expect(world.admin.query("select from behalf.secrets")).rejects.toThrow(
    "permission denied",
  );

  // The same DBA adopts functions of his own, and the removal puts them back.
  await world.admin.query(`grant behalf_owner to current_user; create schema auth;
    create function auth.uid() returns text language sql stable as $$ select current_setting('request.jwt.claim.sub', true) $$`);
  const definition = async () =>
    (
      await world.admin.query(
        "select pg_get_functiondef('auth.uid()'::regprocedure) as text, proowner::regrole::text as owner from pg_proc where oid = 'auth.uid()'::regprocedure",
      )
    ).rows;
  const original = await definition();
  await world.admin.query("select behalf.adopt_auth()");
  expect(await definition()).not.toEqual(original);

  await world.admin.query(`drop policy agents_read on orders; drop policy agents_create on orders;
    drop policy agents_update on orders; drop policy agents_delete on orders;
    grant behalf_owner, behalf_agents, behalf_keysync to current_user`);
  await uninstallKit(world.admin);
  expect(await definition()).toEqual(original);
  expect(await onServer("select rolname from pg_roles where rolname ~ '^behalf_'")).toEqual([[]]);
});
