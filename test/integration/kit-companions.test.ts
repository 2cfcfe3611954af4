import { randomBytes } from "node:crypto";

import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  ALL_ORDERS,
  connect,
  type KitWorld,
  kitWorld,
  onServer,
  problems,
  refusal,
  ROWS,
  sandbox,
  start,
  uninstall,
} from "../support/kit-world.ts";

let world: KitWorld;
let names: Record<"AGENT" | "WRITER" | "STATEMENTS" | "GATEWAY" | "TRUSTED" | "REACH", string>;
/** The logins for agents' texts and for an author's statements. */
let gateway: pg.Client;
let trusted: pg.Client;
const password = randomBytes(12).toString("hex");

const named = (text: string) =>
  text.replaceAll(
    /AGENT|WRITER|STATEMENTS|GATEWAY|TRUSTED|REACH/g,
    (name) => names[name as keyof typeof names],
  );
const admin = (text: string) => world.admin.query(named(text));

beforeAll(async () => {
  world = await kitWorld();
  const id = randomBytes(4).toString("hex");
  names = {
    AGENT: world.names.agent,
    GATEWAY: world.names.gateway,
    WRITER: `writer_${id}`,
    STATEMENTS: `statements_${id}`,
    TRUSTED: `trusted_${id}`,
    REACH: `reach_${id}`,
  };
  await admin(`
    select behalf.add_write_role('AGENT', 'WRITER');
    select behalf.add_statement_role('AGENT', 'STATEMENTS');
    create role TRUSTED login noinherit password '${password}';
    select behalf.add_statement_gateway('TRUSTED');
    select behalf.add_gateway('GATEWAY', writes => true);
    grant select, update on orders to WRITER, STATEMENTS;
    create policy agents_update on orders for update to behalf_agents
      using (org_id = (select behalf.claim('org_id')));
    create table payroll (id int, note text);
    insert into payroll values (1, 'payroll-secret');
    alter table payroll enable row level security;
  `);
  gateway = await world.connect();
  trusted = await connect({ database: world.names.database, user: names.TRUSTED, password });
});
afterAll(async () => {
  await trusted?.end();
  await world[Symbol.asyncDispose]();
  for (const role of [names.TRUSTED, names.WRITER, names.STATEMENTS]) {
    await onServer(`drop role if exists ${role}`);
  }
});

/** Runs `work` in a transaction in which the human is proved, and undoes it. */
async function inCall<T>(
  client: pg.Client,
  work: () => Promise<T>,
  human = "alice",
  mode = "",
): Promise<T> {
  await client.query(`begin ${mode}`);
  try {
    await start(client, world.token(human), { subject: human });
    return await work();
  } finally {
    await client.query("rollback");
  }
}

const write = async (text: string, human?: string) =>
  inCall(
    gateway,
    async () =>
      (
        await gateway.query<{ line: string }>("select * from behalf.write($1, 100, 10000)", [text])
      ).rows.map((row) => row.line),
    human,
  );

it("finds nothing in a right set-up, for both logins", async () => {
  expect(await problems(gateway)).toEqual([]);
  expect(await problems(trusted)).toEqual([]);
});

it("writes as the write role, reads as the agent role, states as the statement role", async () => {
  expect(await write("select current_user, session_user")).toEqual([
    `(${names.WRITER},${names.GATEWAY})`,
  ]);
  expect(await write(ALL_ORDERS)).toEqual(ROWS.alice);
  expect(await write("update orders set note = id returning note", "bob")).toEqual([
    "(4)",
    "(5)",
    "(6)",
  ]);
  const read = await inCall(
    gateway,
    () => sandbox(gateway, "select current_user"),
    "alice",
    "read only",
  );
  expect(read).toEqual([`(${names.AGENT})`]);
  const rows = await inCall(trusted, async () => {
    await trusted.query("select set_config('role', s.role, true) from behalf.statement() s");
    return (await trusted.query("select current_user::text as me, note from orders order by id"))
      .rows;
  });
  expect(rows.map(({ note }: { note: string }) => note)).toEqual(["alice-1", "alice-2", "alice-3"]);
  expect(rows[0]).toMatchObject({ me: names.STATEMENTS });
});

describe("one sandbox cannot be reached from the other", () => {
  it.each([
    "select * from behalf.write('update orders set note = 1', 1, 1)",
    "select * from behalf_sandbox.WRITER_write('update orders set note = 1', 1, 1)",
    "select behalf_sandbox.WRITER_settle()",
    "select behalf.settle()",
  ])("from the read sandbox: %s", async (text) => {
    const error = await refusal(
      inCall(gateway, () => sandbox(gateway, named(text)), "alice", "read only"),
    );
    expect(error.code).toBe("42501");
  });

  it("could be, if one role owned both and the transaction were not READ ONLY", async () => {
    // What keeping the owners apart is for: with USAGE, an owner reaches its own function.
    await admin("grant usage on schema behalf_sandbox to WRITER");
    try {
      const reached = await write(
        named("select * from behalf_sandbox.WRITER_write('select current_user', 1, 1000)"),
      ).catch((error: pg.DatabaseError) => error.code);
      // It is entered: only its cursor's name, which the outer one holds, stands in the way.
      expect(reached).toBe("42P03");
    } finally {
      await admin("revoke usage on schema behalf_sandbox from WRITER");
    }
  });

  it.each([
    "select * from behalf.open('select 1')",
    "select * from behalf.fetch(1, 1)",
    "select * from behalf.write('select 1', 1, 1)",
    "select behalf.settle()",
    "select * from behalf_sandbox.WRITER_write('select 1', 1, 1)",
    "set role AGENT",
    "set role WRITER",
    "set role behalf_owner",
    "select * from orders",
    "select * from payroll",
  ])("from the login for statements: %s", async (text) => {
    const error = await refusal(inCall(trusted, () => trusted.query(named(text))));
    expect(error.code).toBe("42501");
  });

  it.each(["select * from behalf.statement()", "set role STATEMENTS"])(
    "nor statement mode from the login for texts: %s",
    async (text) => {
      const error = await refusal(inCall(gateway, () => gateway.query(named(text))));
      expect(error.code).toBe("42501");
    },
  );
});

describe("a thief of the login for statements", () => {
  it("sees no row and changes none without a human's proof", async () => {
    await trusted.query("begin");
    try {
      await trusted.query(named("set local role STATEMENTS"));
      expect((await trusted.query("select * from orders")).rows).toEqual([]);
      expect((await trusted.query("update orders set note = 'x'")).rowCount).toBe(0);
    } finally {
      await trusted.query("rollback");
    }
  });

  it.each([
    "alter function behalf_sandbox.AGENT_open(text) security invoker",
    "drop function behalf_sandbox.WRITER_settle()",
    "create or replace function behalf_sandbox.WRITER_settle() returns void language sql as ''",
    "grant STATEMENTS to GATEWAY",
    "select * from behalf.secrets",
    "create table public.mine (x int)",
    "create function public.mine() returns int language sql as 'select 1'",
  ])("can as the statement role not: %s", async (text) => {
    await trusted.query("begin");
    try {
      await trusted.query(named("set local role STATEMENTS"));
      expect((await refusal(trusted.query(named(text)))).code).toBe("42501");
    } finally {
      await trusted.query("rollback");
    }
  });

  it("cannot use a ticket that the other login was given", async () => {
    const ticket = await world.ticket();
    await trusted.query("begin");
    expect((await refusal(start(trusted, ticket))).code).toBe("ZB008");
    await trusted.query("rollback");
  });
});

describe("what the kit refuses to prepare", () => {
  it.each([
    ["a write role for no agent role", "select behalf.add_write_role('nobody', 'x')"],
    ["the agent role as its own write role", "select behalf.add_write_role('AGENT', 'AGENT')"],
    ["one role for both parts", "select behalf.add_statement_role('AGENT', 'WRITER')"],
    ["the same, the other way round", "select behalf.add_write_role('AGENT', 'STATEMENTS')"],
    ["a statement role that can log in", "select behalf.add_statement_role('AGENT', 'TRUSTED')"],
    ["a gateway of both kinds", "select behalf.add_gateway('TRUSTED')"],
    [
      "a gateway of both kinds, the other way round",
      "select behalf.add_statement_gateway('GATEWAY')",
    ],
    [
      "a name that leaves no room for the functions'",
      `select behalf.add_write_role('AGENT', '${"w".repeat(57)}')`,
    ],
  ])("%s", async (_name, text) => {
    expect((await refusal(admin(text))).code).toBe("ZB007");
  });

  it("a write role that is a member of the agent role, or the other way round", async () => {
    const id = `member_${randomBytes(4).toString("hex")}`;
    await admin(`create role ${id} nologin in role AGENT`);
    try {
      expect((await refusal(admin(`select behalf.add_write_role('AGENT', '${id}')`))).code).toBe(
        "ZB007",
      );
    } finally {
      await admin(`drop role ${id}`);
    }
  });
});

describe("preflight says", () => {
  it.each([
    [
      "that the write sandbox was altered",
      "alter function behalf_sandbox.WRITER_write(text, int4, int8) security invoker",
      "alter function behalf_sandbox.WRITER_write(text, int4, int8) security definer",
      "the sandbox of agent role WRITER is missing or was altered",
    ],
    [
      "that settle is gone",
      "drop function behalf_sandbox.WRITER_settle()",
      "select behalf.add_write_role('AGENT', 'WRITER')",
      "select behalf.add_write_role('AGENT', 'WRITER')",
    ],
    [
      "that everybody may call it",
      "grant execute on function behalf_sandbox.WRITER_settle() to public",
      "revoke execute on function behalf_sandbox.WRITER_settle() from public",
      "the sandbox of agent role WRITER",
    ],
    [
      "that the write role became a member of the agent role",
      "grant AGENT to WRITER",
      "revoke AGENT from WRITER",
      "agent role WRITER is a member of agent role AGENT",
    ],
    [
      "that the agent role became a member of the write role",
      "grant WRITER to AGENT",
      "revoke WRITER from AGENT",
      "agent role AGENT is a member of agent role WRITER",
    ],
    [
      "that the statement role owns something",
      "create table owned (); alter table owned owner to STATEMENTS",
      "drop table owned",
      "agent role STATEMENTS, which a login may become, owns table public.owned",
    ],
    [
      "that the write role may write a table without row level security",
      "alter table payroll disable row level security; grant insert on payroll to WRITER",
      "alter table payroll enable row level security; revoke insert on payroll from WRITER",
      "agent role WRITER may insert public.payroll, which has row level security off",
    ],
    [
      "that the statement role may write a table without a guard",
      "grant delete on payroll to STATEMENTS",
      "revoke delete on payroll from STATEMENTS",
      "agent role STATEMENTS may delete public.payroll, which has no guard",
    ],
    [
      "that the write role may update one column without a guard",
      "grant update (note) on payroll to WRITER",
      "revoke update (note) on payroll from WRITER",
      "agent role WRITER may update public.payroll",
    ],
    [
      "that it may truncate what no policy binds",
      "grant truncate on orders to WRITER",
      "revoke truncate on orders from WRITER",
      "agent role WRITER may truncate public.orders",
    ],
    [
      "that it may write through a view of its owner's",
      "create view v as select * from orders; grant insert on v to WRITER",
      "drop view v",
      "agent role WRITER may insert public.v, a view that writes as its owner",
    ],
    [
      "that one verb of a guard is missing",
      "drop policy behalf_guard_update on orders",
      "select behalf.guard('orders')",
      "agent role WRITER may update public.orders, which has no guard",
    ],
    [
      "that the statement role reaches past policies by way of another role",
      "create role REACH nologin bypassrls; grant REACH to STATEMENTS",
      "drop role REACH",
      "it can become REACH by way of its statement roles",
    ],
    [
      "the same where it does not inherit",
      "create role REACH nologin; grant REACH to STATEMENTS",
      "drop role REACH",
      "it can become REACH by way of its statement roles",
    ],
    [
      "that everybody may create where statements look for names",
      "grant create on schema public to public",
      "revoke create on schema public from public",
      "everybody may create in schema public, where agents' statements look for names: revoke create on schema public from public",
    ],
    [
      "that a login may create there",
      "grant create on schema public to GATEWAY",
      "revoke create on schema public from GATEWAY",
      "GATEWAY may create in schema public",
    ],
    [
      "that an agent role may create there",
      "grant create on schema public to STATEMENTS",
      "revoke create on schema public from STATEMENTS",
      "STATEMENTS may create in schema public",
    ],
    [
      "that a policy finds names by the search_path of who reads",
      "create function public.mine() returns text language sql stable as $$ select 'acme' $$; create policy by_function on orders for select to behalf_agents using (org_id = public.mine())",
      "drop policy by_function on orders; drop function public.mine()",
      "policy by_function on public.orders calls public.mine(), which finds names by the search_path of who reads",
    ],
    [
      "nothing against a policy whose function has a search_path of its own",
      "create function public.mine() returns text language sql stable set search_path = pg_catalog as $$ select 'acme' $$; create policy by_function on orders for select to behalf_agents using (org_id = public.mine())",
      "drop policy by_function on orders; drop function public.mine()",
      "",
    ],
    [
      "that an agent role is a member of a gateway's login",
      "grant GATEWAY to AGENT",
      "revoke GATEWAY from AGENT",
      "agent role AGENT is a member of the gateway's login GATEWAY",
    ],
    [
      "that a login may replace the issuer's keys",
      "grant execute on function behalf.put_keys(text, jsonb) to TRUSTED",
      "revoke execute on function behalf.put_keys(text, jsonb) from TRUSTED",
      "TRUSTED may execute behalf.put_keys(text,jsonb)",
    ],
    [
      "that the login has settings of its own, which a thief could have left",
      "alter role TRUSTED set transform_null_equals = on",
      "alter role TRUSTED reset all",
      "it has a setting of its own, transform_null_equals: alter role TRUSTED reset transform_null_equals",
    ],
    [
      "nothing against a setting that only makes calls end sooner",
      "alter role TRUSTED set statement_timeout = '5s'",
      "alter role TRUSTED reset all",
      "",
    ],
    [
      "that another gateway's login owns something",
      "create table owned (); alter table owned owner to GATEWAY",
      "drop table owned",
      "login GATEWAY owns table public.owned",
    ],
    [
      "that the agent role may do more than its sandbox, not",
      "grant insert on payroll to AGENT",
      "revoke insert on payroll from AGENT",
      "",
    ],
    [
      "that the login for statements has a role's rights",
      "grant STATEMENTS to TRUSTED with admin option",
      "revoke admin option for STATEMENTS from TRUSTED",
      "login TRUSTED: it is a member of STATEMENTS",
    ],
    [
      "that the login for statements is a member of something else",
      "grant AGENT to TRUSTED",
      "revoke AGENT from TRUSTED",
      "login TRUSTED: it is a member of AGENT",
    ],
  ])("%s", async (_name, make, undo, said) => {
    await admin(make);
    try {
      const found = await problems(trusted);
      expect(found.join("\n")).toContain(named(said));
      expect(found.length > 0).toBe(said !== "");
    } finally {
      await admin(undo);
    }
    expect(await problems(trusted)).toEqual([]);
    expect(await problems(gateway)).toEqual([]);
  });
});

it("takes a login's roles back with it", async () => {
  await admin("select behalf.remove_gateway('TRUSTED')");
  try {
    expect((await refusal(trusted.query(named("set role STATEMENTS")))).code).toBe("42501");
    expect((await refusal(trusted.query("select behalf.statement()"))).code).toBe("42501");
  } finally {
    await admin("select behalf.add_statement_gateway('TRUSTED')");
  }
  expect(await problems(trusted)).toEqual([]);
});

it("is removed without a trace", async () => {
  await using other = await kitWorld();
  const roles = [`w_${randomBytes(4).toString("hex")}`, `s_${randomBytes(4).toString("hex")}`];
  try {
    await other.admin.query(`
      select behalf.add_write_role('${other.names.agent}', '${roles[0]}');
      select behalf.add_statement_role('${other.names.agent}', '${roles[1]}');
      drop policy agents_read on orders`);
    await uninstall(other.admin);
    const { rows } = await other.admin.query(
      "select from pg_namespace where nspname in ('behalf', 'behalf_sandbox')",
    );
    expect(rows).toEqual([]);
  } finally {
    for (const role of roles) await onServer(`drop role if exists ${role}`);
  }
});
