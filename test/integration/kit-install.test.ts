import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import type pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  ALL_ORDERS,
  call,
  connect,
  install,
  installScript,
  kitWorld,
  onServer,
  problems,
  refusal,
  ROWS,
  serverUrl,
  uninstall,
} from "../support/kit-world.ts";

const cleanUp: string[] = [];
/** The kit's roles outlive a database that was dropped with it; these tests want a server without. */
beforeEach(async () => {
  await onServer("drop role if exists behalf_owner, behalf_agents, behalf_keysync");
});
afterEach(async () => {
  for (const statement of cleanUp.splice(0).toReversed()) await onServer(statement);
});

/** An empty database and roles, gone after the test. */
async function database(): Promise<string> {
  const name = `kit_${randomBytes(5).toString("hex")}`;
  await onServer(`create database ${name}`);
  cleanUp.push(`drop database if exists ${name} with (force)`);
  return name;
}
async function role(options: string): Promise<string> {
  const name = `role_${randomBytes(5).toString("hex")}`;
  await onServer(`create role ${name} ${options}`);
  cleanUp.push(`drop role if exists ${name}`);
  return name;
}

/** All that an installation could leave behind, without the numbers that the server gives. */
async function catalogue(client: pg.Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ line: string }>(`
    select 'role ' || r.rolname || ' ' || (to_jsonb(r) - 'oid')::text || coalesce(shobj_description(r.oid, 'pg_authid'), '') as line from pg_roles r
    union all select 'member ' || m.roleid::regrole || ' ' || m.member::regrole || ' ' || m.grantor::regrole || (to_jsonb(m) - 'oid')::text from pg_auth_members m
    union all select 'schema ' || nspname || nspowner::regrole || coalesce(nspacl::text, '') from pg_namespace where nspname !~ '^pg_(temp|toast_temp)'
    union all select 'function ' || oid::regprocedure || proowner::regrole || coalesce(proacl::text, '') || md5(prosrc) from pg_proc
    union all select 'relation ' || oid::regclass || relkind::text || relowner::regrole || coalesce(relacl::text, '') || relrowsecurity::text || relforcerowsecurity::text
      from pg_class where relnamespace::regnamespace::text !~ '^pg_(temp|toast)'
    union all select 'column ' || attrelid::regclass || attname::text || attacl::text from pg_attribute where attacl is not null
    union all select 'type ' || oid::regtype || coalesce(typacl::text, '') from pg_type where typnamespace::regnamespace::text !~ '^pg_(temp|toast)'
    union all select 'policy ' || polname || polrelid::regclass || polroles::regrole[]::text || coalesce(pg_get_expr(polqual, polrelid), '') from pg_policy
    union all select 'trigger ' || tgname || tgrelid::regclass from pg_trigger where not tgisinternal
    union all select 'event trigger ' || evtname from pg_event_trigger
    union all select 'default ' || defaclrole::regrole || defaclnamespace::text || defaclobjtype::text || defaclacl::text from pg_default_acl
    union all select 'setting ' || coalesce(setrole::regrole::text, '') || setconfig::text from pg_db_role_setting
    union all select 'comment ' || pg_describe_object(classoid, objoid, objsubid) || description from pg_description where objoid >= 16384
    union all select 'dependency ' || pg_describe_object(classid, objid, objsubid) || ' ' || refobjid::regrole || deptype::text
      from pg_shdepend where refclassid = 'pg_authid'::regclass and dbid in (0, (select oid from pg_database where datname = current_database()))
      and classid not in ('pg_database'::regclass)
    order by 1`);
  return rows.map((row) => row.line);
}

describe("installing", () => {
  it("keeps keys, settings, roles, grants and revocations when it is done again", async () => {
    await using world = await kitWorld();
    const ticket = await world.ticket();
    await world.admin.query("select behalf.revoke('https://login.example.test', 'zoe')");
    const before = await catalogue(world.admin);
    const tables = async () => {
      const lines: string[] = [];
      for (const table of [
        "settings",
        "issuers",
        "issuer_keys",
        "role_map",
        "agent_roles",
        "companion_roles",
        "gateways",
        "exposed",
        "revocations",
        "secrets",
      ]) {
        const { rows } = await world.admin.query(
          `select t::text as line from behalf.${table} t order by 1`,
        );
        lines.push(...rows.map((row: { line: string }) => row.line));
      }
      return lines;
    };
    const content = await tables();
    await install(world.admin);
    await install(world.admin);
    expect(await catalogue(world.admin)).toEqual(before);
    expect(await tables()).toEqual(content);
    const gateway = await world.connect();
    expect(await call(gateway, ticket, ALL_ORDERS)).toEqual(ROWS.alice);
    expect(await problems(gateway)).toEqual([]);
  });

  it("brings back functions, their grants and the sandbox of an older version", async () => {
    await using world = await kitWorld();
    await world.admin.query(`
      drop function behalf.fetch(integer, bigint, bigint);
      drop function behalf.start(text, text, text, text, integer, jsonb);
      drop function behalf_sandbox.${world.names.agent}_open(text)`);
    await install(world.admin);
    const gateway = await world.connect();
    expect(await call(gateway, world.token(), ALL_ORDERS)).toEqual(ROWS.alice);
    expect(await problems(gateway)).toEqual([]);
  });

  it("leaves no role, membership, setting or object with who installs", async () => {
    const name = await database();
    await using client = await connect({ database: name });
    await client.query("create role kit_dba superuser; set role kit_dba");
    cleanUp.push("drop role kit_dba");
    await install(client);
    const { rows } = await client.query(`
      select current_user::text as still, current_setting('search_path') as path,
        (select count(*)::int from pg_auth_members where member = 'kit_dba'::regrole) as memberships,
        (select count(*)::int from pg_shdepend where refobjid = 'kit_dba'::regrole) as objects`);
    expect(rows).toEqual([
      { still: "kit_dba", path: '"$user", public', memberships: 0, objects: 0 },
    ]);
    await uninstall(client);
  });

  it("works for two databases of one server at once", async () => {
    const names = [await database(), await database(), await database()];
    await using one = await connect({ database: names[0] as string });
    await using two = await connect({ database: names[1] as string });
    await using three = await connect({ database: names[2] as string });
    const clients = [one, two, three];
    for (let time = 0; time < 2; time += 1) {
      const results = await Promise.allSettled(clients.map((client) => install(client)));
      expect(results.filter((result) => result.status === "rejected")).toEqual([]);
    }
    for (const client of clients) {
      expect((await client.query("select behalf.version() as v")).rows).toEqual([{ v: 3 }]);
      await uninstall(client);
    }
    expect(
      (await onServerQuery("select 1 from pg_roles where rolname ~ '^behalf_'")).rowCount,
    ).toBe(0);
  });

  it("can be done without a superuser, who then only keeps the right to administer the roles", async () => {
    const dba = await role("login createrole password 'x'");
    const agent = await role("nologin");
    await onServer(`grant ${agent} to ${dba} with admin option`);
    const name = await database();
    await onServer(`alter database ${name} owner to ${dba}`);
    await using client = await connect({ database: name, user: dba, password: "x" });
    await install(client);
    await install(client);
    const { rows } = await client.query(
      "select pg_has_role('behalf_owner', 'usage') as usage, has_schema_privilege('behalf', 'usage') as schema",
    );
    expect(rows).toEqual([{ usage: false, schema: false }]);
    // He may lend himself the owner's rights: said plainly in the documentation.
    await client.query("grant behalf_owner to current_user");
    await client.query("select behalf.set_audience('urn:x')");
    await client.query("select behalf.add_agent_role($1)", [agent]);
    await client.query("revoke behalf_owner from current_user");
    await install(client);
    await using admin = await connect({ database: name });
    await uninstall(admin);
  });

  it.each([
    [
      "a schema of that name belongs to somebody else",
      "create schema behalf",
      "belongs to somebody else",
    ],
    ["a role of that name could do more", "create role behalf_owner superuser", "can do more"],
    ["a role of that name can log in", "create role behalf_keysync login", "can do more"],
  ])("changes nothing when %s", async (_, text, said) => {
    const name = await database();
    await using client = await connect({ database: name });
    await client.query(text);
    const before = await catalogue(client);
    expect((await refusal(install(client))).message).toContain(said);
    expect(await catalogue(client)).toEqual(before);
    await client.query("drop role if exists behalf_owner; drop role if exists behalf_keysync");
  });

  const psql = hasPsql();
  it.skipIf(!psql)(
    `works from psql too${psql ? "" : " (skipped: there is no psql here)"}`,
    async () => {
      const name = await database();
      const url = serverUrl({ database: name });
      for (let time = 0; time < 2; time += 1) {
        await promisify(execFile)("psql", [
          "-X",
          "-q",
          "-d",
          url,
          "-f",
          fileURLToPath(installScript),
        ]);
      }
      await using client = await connect({ database: name });
      const viaPsql = await catalogue(client);
      await install(client);
      expect(await catalogue(client)).toEqual(viaPsql);
      await uninstall(client);
    },
  );
});

describe("what is there afterwards", () => {
  it("gives nothing to everybody, and to agents five functions", async () => {
    await using world = await kitWorld();
    const { rows } = await world.admin.query<{
      function: string;
      agents: boolean;
      everybody: boolean;
      path: boolean;
    }>(`
      select p.oid::regprocedure::text as function,
        has_function_privilege('behalf_agents', p.oid, 'execute') as agents,
        exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) where grantee = 0) as everybody,
        p.proconfig::text ~ 'search_path=' as path
      from pg_proc p where p.pronamespace::regnamespace::text in ('behalf', 'behalf_sandbox')`);
    expect(rows.length).toBeGreaterThan(30);
    expect(rows.filter((row) => row.everybody)).toEqual([]);
    expect(
      rows
        .filter((row) => row.agents)
        .map((row) => row.function)
        .toSorted(),
    ).toEqual([
      "behalf.allows(regclass,text,name)",
      "behalf.claim(text)",
      "behalf.claims()",
      "behalf.statement()",
      "behalf.whoami()",
    ]);
    // version() is one SQL-standard expression, which was resolved when it was made.
    expect(rows.filter((row) => !row.path).map((row) => row.function)).toEqual([
      "behalf.version()",
    ]);
    const tables = await world.admin.query(`
      select c.relname from pg_class c, aclexplode(c.relacl) a
      where c.relnamespace = 'behalf'::regnamespace and a.grantee <> c.relowner`);
    expect(tables.rows).toEqual([]);
  });

  it("gives nothing to everybody that is made later either", async () => {
    await using world = await kitWorld();
    await world.admin.query(
      "set role behalf_owner; create function behalf.later() returns int language sql as 'select 1'; reset role",
    );
    const gateway = await world.connect();
    expect((await refusal(gateway.query("select behalf.later()"))).code).toBe("42501");
  });

  it("keeps the keys from pg_read_all_data; without row level security it would not", async () => {
    await using world = await kitWorld();
    const reader = await role("login password 'x' in role pg_read_all_data, pg_write_all_data");
    await using client = await connect({
      database: world.names.database,
      user: reader,
      password: "x",
    });
    const keys = async () => (await client.query("select * from behalf.secrets")).rowCount;
    expect(await keys()).toBe(0);
    expect(
      (await client.query("update behalf.secrets set inner_block = outer_block")).rowCount,
    ).toBe(0);
    expect((await client.query("select * from behalf.settings")).rowCount).toBe(1);
    await world.admin.query("alter table behalf.secrets disable row level security");
    expect(await keys()).toBe(2);
  });
});

describe("uninstalling", () => {
  it("leaves the catalogue as it was", async () => {
    const gateway = await role("login noinherit password 'x'");
    const agent = await role("nologin");
    const reader = await role("nologin");
    await using client = await connect({ database: await database() });
    await client.query(`
      create table things (id int); alter table things enable row level security;
      create policy mine on things to ${reader} using (id > 0);
      grant select on things to ${reader}`);
    const before = await catalogue(client);
    await install(client);
    await client.query(`
      select behalf.set_audience('x'); select behalf.add_issuer('https://i');
      select behalf.add_agent_role('${agent}'); select behalf.add_gateway('${gateway}');
      select behalf.map_role('https://i', 'a', 'b', '${agent}');
      select behalf.guard('things');
      grant select on things to behalf_agents; grant behalf_keysync to ${reader}`);
    const during = await catalogue(client);
    expect(during.length).toBeGreaterThan(before.length + 50);
    await uninstall(client);
    expect(await catalogue(client)).toEqual(before);
    // It may be run where there is nothing.
    await uninstall(client);
    expect(await catalogue(client)).toEqual(before);
  });

  it("leaves the roles to another database that has the kit", async () => {
    await using world = await kitWorld();
    const name = await database();
    await using client = await connect({ database: name });
    await install(client);
    await uninstall(client);
    const gateway = await world.connect();
    expect(await call(gateway, world.token(), ALL_ORDERS)).toEqual(ROWS.alice);
    expect(await problems(gateway)).toEqual([]);
  });

  it.each([
    [
      "a policy calls the kit",
      "create policy mine on things using (owner = (select behalf.claim('sub')))",
      "policy mine on table public.things",
    ],
    [
      "a policy is written for agents",
      "create policy mine on things to behalf_agents using (true)",
      "policy mine on public.things",
    ],
    ["a view calls the kit", "create view mine as select behalf.claim('sub')", "mine"],
    [
      "a default calls the kit",
      "alter table things alter owner set default behalf.claim('sub')",
      "default value for column owner",
    ],
    [
      "a function calls the kit",
      "create function mine() returns text language sql return behalf.claim('sub')",
      "function public.mine()",
    ],
    [
      "a function calls the kit in its text",
      "create function mine() returns text language sql as $$ select behalf.claim('sub') $$",
      "mine()",
    ],
    [
      "a column has a type of the kit",
      "create table mine (s behalf.settings)",
      "column s of table public.mine",
    ],
    [
      "somebody keeps a table in the kit's schema",
      "create table behalf.mine (x int)",
      "table behalf.mine",
    ],
    [
      "somebody keeps a function there",
      "create function behalf_sandbox.mine() returns int language sql as 'select 1'",
      "behalf_sandbox.mine()",
    ],
    [
      "a table belongs to a role of the kit",
      "alter table things owner to behalf_agents",
      "table public.things",
    ],
  ])("refuses and changes nothing while %s", async (_, text, said) => {
    const name = await database();
    await using client = await connect({ database: name });
    await install(client);
    await client.query(
      "create table things (id int, owner text); alter table things enable row level security",
    );
    await client.query("select behalf.guard('things')");
    await client.query(text);
    const before = await catalogue(client);
    expect((await refusal(uninstall(client))).message).toContain(said);
    expect(await catalogue(client)).toEqual(before);
  });
});

async function onServerQuery(text: string): Promise<pg.QueryResult> {
  await using client = await connect();
  return await client.query(text);
}

function hasPsql(): boolean {
  try {
    execFileSync("psql", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
