import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  ALL_ORDERS,
  call,
  type KitWorld,
  kitWorld,
  problems,
  refusal,
  ROWS,
} from "../support/kit-world.ts";

let world: KitWorld;
let gateway: pg.Client;
beforeAll(async () => {
  world = await kitWorld();
  gateway = await world.connect();
  await world.admin.query(`
    create table facts (id int);
    alter table facts enable row level security;
    create policy everything on facts to behalf_agents using (true)`);
});
afterAll(() => world[Symbol.asyncDispose]());

it("finds nothing in a right set-up", async () => {
  expect(await problems(gateway)).toEqual([]);
  expect(await call(gateway, world.token(), ALL_ORDERS)).toEqual(ROWS.alice);
});

interface Case {
  /** What is wrong, the texts that bring it about and undo it, and what must be said, in this order. */
  readonly wrong: string;
  readonly make: string;
  readonly undo: string;
  readonly said: readonly string[];
}

const cases: readonly Case[] = [
  {
    wrong: "the login may pass by policies",
    make: "alter role GATEWAY bypassrls createdb",
    undo: "alter role GATEWAY nobypassrls nocreatedb",
    said: ["login GATEWAY", "BYPASSRLS, CREATEDB"],
  },
  {
    wrong: "a publication of all tables was made later",
    make: "create publication stream for all tables",
    undo: "drop publication stream",
    said: ["publication stream sends the kit's keys"],
  },
  {
    wrong: "a publication holds the table of the keys",
    make: "create publication stream for table behalf.secrets",
    undo: "drop publication stream",
    said: ["publication stream sends the kit's keys"],
  },
  {
    wrong: "a publication holds the kit's schema",
    make: "create publication stream for tables in schema behalf, public",
    undo: "drop publication stream",
    said: ["publication stream sends the kit's keys"],
  },
  {
    wrong: "the login inherits",
    make: "alter role GATEWAY inherit",
    undo: "alter role GATEWAY noinherit",
    said: ["alter role GATEWAY noinherit"],
  },
  {
    wrong: "the login is a member of something",
    make: "grant AGENT to GATEWAY",
    undo: "revoke AGENT from GATEWAY",
    said: ["login GATEWAY: it is a member of AGENT: revoke AGENT from GATEWAY"],
  },
  {
    wrong: "the login owns something",
    make: "create table owned (x int); alter table owned owner to GATEWAY",
    undo: "drop table owned",
    said: [
      "login GATEWAY: it owns table public.owned",
      "login GATEWAY may write to public.owned",
      "login GATEWAY may read public.owned",
    ],
  },
  {
    wrong: "the login may read a table",
    make: "grant select (id) on facts to GATEWAY",
    undo: "revoke select (id) on facts from GATEWAY",
    said: [
      "login GATEWAY may read public.facts: revoke that from it, or from public where public has it",
    ],
  },
  {
    wrong: "the login may write to a table by way of everybody",
    make: "grant insert on facts to public",
    undo: "revoke insert on facts from public",
    said: [
      "login GATEWAY may write to public.facts: revoke that from it, or from public where public has it",
    ],
  },
  {
    wrong: "nobody made the login a gateway",
    make: "delete from behalf.gateways",
    undo: "select behalf.add_gateway('GATEWAY')",
    said: ["login GATEWAY was not made a gateway: select behalf.add_gateway('GATEWAY')"],
  },
  {
    wrong: "somebody is a member of the keys' owner",
    make: "grant behalf_owner to APP",
    undo: "revoke behalf_owner from APP",
    said: ["role APP is a member of behalf_owner", "revoke behalf_owner from APP"],
  },
  {
    wrong: "there is no audience",
    make: "update behalf.settings set audience = null",
    undo: "select behalf.set_audience('urn:test:kit')",
    said: ["behalf.set_audience"],
  },
  {
    wrong: "there is no key",
    make: "create table kept as select * from behalf.issuer_keys; delete from behalf.issuer_keys",
    undo: "insert into behalf.issuer_keys select * from kept; drop table kept",
    said: ["behalf.put_keys()"],
  },
  {
    wrong: "nobody can get a role",
    make: "create table kept as select * from behalf.role_map; delete from behalf.role_map",
    undo: "insert into behalf.role_map select * from kept; drop table kept",
    said: ["behalf.map_role()"],
  },
  {
    wrong: "an agent role is missing",
    make: "insert into behalf.agent_roles values ('nobody_at_all', 'public')",
    undo: "delete from behalf.agent_roles where role = 'nobody_at_all'",
    said: ["agent role nobody_at_all is missing: select behalf.add_agent_role('nobody_at_all')"],
  },
  {
    wrong: "an agent role can log in",
    make: "alter role AGENT login bypassrls",
    undo: "alter role AGENT nologin nobypassrls",
    said: ["agent role AGENT has an attribute", "alter role AGENT nologin"],
  },
  {
    wrong: "an agent role is outside the group",
    make: "revoke behalf_agents from AGENT",
    undo: "select behalf.add_agent_role('AGENT')",
    said: ["agent role AGENT does not inherit behalf_agents", "behalf.add_agent_role('AGENT')"],
  },
  {
    wrong: "an agent role may read server files",
    make: "grant pg_read_server_files to AGENT",
    undo: "revoke pg_read_server_files from AGENT",
    said: ["revoke pg_read_server_files from AGENT"],
  },
  {
    wrong: "an agent role has an owner's rights",
    make: "grant APP to AGENT",
    undo: "revoke APP from AGENT",
    said: [
      "agent role AGENT has the rights of the owner of public.orders",
      "revoke APP from AGENT",
    ],
  },
  {
    wrong: "the sandbox was altered",
    make: "alter function behalf_sandbox.AGENT_open(text) security invoker",
    undo: "select behalf.add_agent_role('AGENT')",
    said: [
      "the sandbox of agent role AGENT is missing or was altered: select behalf.add_agent_role('AGENT')",
    ],
  },
  {
    wrong: "the sandbox lost its settings",
    make: "alter function behalf_sandbox.AGENT_fetch(int4, int8, int8) reset all",
    undo: "select behalf.add_agent_role('AGENT')",
    said: ["the sandbox of agent role AGENT"],
  },
  {
    wrong: "everybody may use the sandbox",
    make: "grant execute on function behalf_sandbox.AGENT_open(text) to public",
    undo: "revoke execute on function behalf_sandbox.AGENT_open(text) from public",
    said: ["the sandbox of agent role AGENT"],
  },
  {
    wrong: "a table has no guard",
    make: "grant select on facts to AGENT",
    undo: "revoke select on facts from AGENT",
    said: [
      "agent role AGENT may read public.facts",
      "behalf.guard('public.facts')",
      "behalf.expose('public.facts'",
    ],
  },
  {
    wrong: "a policy only has the guard's name",
    make: "create policy behalf_guard_read on facts as restrictive for select to behalf_agents using (true); grant select on facts to AGENT",
    undo: "drop policy behalf_guard_read on facts; revoke select on facts from AGENT",
    said: ["agent role AGENT may read public.facts"],
  },
  {
    wrong: "a permissive policy for the role itself goes past the guarded ones",
    make: `alter policy everything on facts using ((select behalf.allows('facts'::regclass, 'read', current_user)));
      create policy past on facts to AGENT using (true); grant select on facts to AGENT`,
    undo: "drop policy past on facts; alter policy everything on facts using (true); revoke select on facts from AGENT",
    said: ["agent role AGENT may read public.facts"],
  },
  {
    wrong: "row level security is off",
    make: "create table open_table (x int); grant select on open_table to AGENT",
    undo: "drop table open_table",
    said: [
      "agent role AGENT may read public.open_table",
      "alter table public.open_table enable row level security",
    ],
  },
  {
    wrong: "a view reads as its owner",
    make: "create view v as select * from facts; grant select on v to AGENT",
    undo: "drop view v",
    said: [
      "agent role AGENT may read public.v",
      "alter view public.v set (security_invoker = true)",
    ],
  },
  {
    wrong: "there is a materialized view",
    make: "create materialized view m as select * from facts; grant select on m to AGENT",
    undo: "drop materialized view m",
    said: ["agent role AGENT may read public.m, a materialized view"],
  },
  {
    wrong: "an agent role reads all data",
    make: "grant pg_read_all_data to AGENT; select behalf.guard('facts')",
    undo: "revoke pg_read_all_data from AGENT; select behalf.unguard('facts')",
    said: ["revoke pg_read_all_data from AGENT", "agent role AGENT may read behalf."],
  },
];

it.each(cases)("says that $wrong, and how to mend it", async ({ make, undo, said }) => {
  const named = (text: string) =>
    text
      .replaceAll("AGENT", world.names.agent)
      .replaceAll("GATEWAY", world.names.gateway)
      .replaceAll("APP", world.names.app);
  await world.admin.query(named(make));
  const found = (await problems(gateway)).join("\n");
  await world.admin.query(named(undo));
  for (const part of said) expect(found).toContain(named(part));
  expect(await problems(gateway)).toEqual([]);
});

describe("is content", () => {
  it.each([
    ["with a guarded table", "select behalf.guard('facts')", "select behalf.unguard('facts')"],
    [
      "with an exposed one",
      "select behalf.expose('facts', 'the same for everybody')",
      "delete from behalf.exposed",
    ],
    [
      "with policies that hold the guard themselves",
      "alter policy everything on facts using ((select behalf.allows('facts'::regclass, 'read', current_user)))",
      "alter policy everything on facts using (true)",
    ],
  ])("%s", async (_, make, undo) => {
    await world.admin.query(`grant select on facts to ${world.names.agent}; ${make}`);
    expect(await problems(gateway)).toEqual([]);
    await world.admin.query(`revoke select on facts from ${world.names.agent}; ${undo}`);
  });

  it.each(["true", "on", "1", "yes", "t", "TRUE"])(
    "with a view whose security_invoker is %s",
    async (on) => {
      await world.admin.query(
        `create view v with (security_invoker = '${on}') as select * from orders; grant select on v to ${world.names.agent}`,
      );
      expect(await problems(gateway)).toEqual([]);
      await world.admin.query("drop view v");
    },
  );
});

it("says which version it is and which the adapter needs", async () => {
  const { rows } = await gateway.query<{ problem: string }>("select * from behalf.preflight(4)");
  expect(rows.map((row) => row.problem).join()).toContain("has version 3, the adapter needs 4");
});

describe("what the kit refuses to prepare", () => {
  it.each([
    ["a gateway that does not exist", "select behalf.add_gateway('no_such_login')", "login"],
    ["a gateway that inherits", "select behalf.add_gateway('APP')", "login"],
    ["a superuser as gateway", "select behalf.add_gateway('postgres')", "login"],
    ["a login as agent role", "select behalf.add_agent_role('GATEWAY')", "role"],
    [
      "an agent role with too long a name",
      `select behalf.add_agent_role('${"a".repeat(58)}')`,
      "role",
    ],
    [
      "a map to a role that is none",
      "select behalf.map_role('https://login.example.test', 'a', 'b', 'APP')",
      "role",
    ],
  ])("%s", async (_, text, reason) => {
    const named = text
      .replaceAll("GATEWAY", world.names.gateway)
      .replaceAll("APP", world.names.app);
    const error = await refusal(world.admin.query(named));
    expect(error).toMatchObject({ code: "ZB007", detail: reason });
    expect(error.hint).toBeTruthy();
  });
});

it("takes settings of a login that end its calls sooner or say less of them, and no others", async () => {
  const { gateway: login } = world.names;
  const set = (setting: string) => world.admin.query(`alter role ${login} set ${setting}`);
  try {
    for (const setting of [
      "log_parameter_max_length = 0",
      "log_parameter_max_length_on_error = 0",
      "log_error_verbosity = terse",
      "temp_file_limit = '1GB'",
      "statement_timeout = '30s'",
      "auto_explain.log_parameter_max_length = 0",
      "auto_explain.log_verbose = off",
      "auto_explain.log_min_duration = -1",
      "pg_stat_statements.track = 'top'",
    ]) {
      await set(setting);
    }
    expect(await problems(gateway)).toEqual([]);
    await set("auto_explain.log_nested_statements = on");
    expect(await problems(gateway)).toEqual([
      `login ${login}: it has a setting of its own, auto_explain.log_nested_statements: alter role ${login} reset auto_explain.log_nested_statements`,
    ]);
  } finally {
    await world.admin.query(`alter role ${login} reset all`);
  }
});
