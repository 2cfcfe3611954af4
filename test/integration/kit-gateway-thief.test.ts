import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import {
  ALL_ORDERS,
  call,
  connect,
  ISSUER,
  type KitWorld,
  kitWorld,
  refusal,
  ROWS,
  sandbox,
  start,
} from "../support/kit-world.ts";

// The thief has the gateway's login and password, and sends whatever he likes.
let world: KitWorld;
let thief: pg.Client;
beforeAll(async () => {
  world = await kitWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(async () => {
  thief = await world.connect();
});

const outcome = (work: Promise<pg.QueryResult>) =>
  work.then(
    (result) => JSON.stringify(result.rows),
    (error: unknown) => (error as pg.DatabaseError).code ?? "no code",
  );

describe("without a token or a ticket of a human", () => {
  it.each<readonly [string, string]>([
    ["select * from orders", "42501"],
    ["copy orders to stdout", "42501"],
    ["set role AGENT", "42501"],
    ["set role behalf_owner", "42501"],
    ["set session authorization AGENT", "42501"],
    ["grant AGENT to GATEWAY", "42501"],
    ["select set_config('role', 'AGENT', false)", "42501"],
    ["select * from behalf.secrets", "42501"],
    ["select * from behalf.issuer_keys", "42501"],
    ["insert into behalf.role_map values ('x', 'x', 'x', 'x')", "42501"],
    ["select behalf.put_keys('x', '{}')", "42501"],
    ["select behalf.new_secret('seal')", "42501"],
    ["select behalf.sealed()", "42501"],
    ["select behalf.hmac('', '', '')", "42501"],
    ["select behalf.make_ticket('x')", "42501"],
    ["select behalf.read_ticket('x')", "42501"],
    ["select behalf.claim('sub')", "42501"],
    ["select behalf.allows('orders', 'read', 'AGENT')", "42501"],
    ["select behalf.revoke('x', 'y')", "42501"],
    ["select behalf.rotate_secrets()", "42501"],
    ["select behalf.add_gateway('GATEWAY')", "42501"],
    ["select behalf_sandbox.AGENT_open('select * from orders')", "42501"],
    ["select behalf_sandbox.AGENT_fetch(1, 1, 1)", "42501"],
    ["create function behalf.sealed() returns jsonb language sql return '{}'::jsonb", "42501"],
    ["create or replace function behalf.open(text) returns void language sql as ''", "42501"],
    ["alter function behalf.open(text) owner to GATEWAY", "42501"],
    ["create schema mine", "42501"],
    ["create table public.mine (x int)", "42501"],
    ["create policy mine on orders using (true)", "42501"],
    ["alter table orders disable row level security", "42501"],
    ["drop policy behalf_guard_read on orders", "42501"],
    ["select behalf.open('select 1')", "ZB007"],
    ["select * from behalf.fetch(1, 1)", "ZB007"],
    ["begin read only; select behalf.open('select 1')", "ZB003"],
    ["begin read only; select * from behalf.fetch(1, 1)", "ZB003"],
    [
      "begin read only; declare behalf_cursor cursor for select 1; select * from behalf.fetch(1, 1)",
      "ZB003",
    ],
    ["begin read only; select behalf.start(null, null, null)", "ZB001"],
    ["select behalf.start('bt1.', null, null)", "ZB008"],
    ["select behalf.start('', 'x', 'y', null, -1, '[]')", "ZB001"],
  ])("%s", async (text, code) => {
    const { agent, gateway } = world.names;
    const sent = text.replaceAll("AGENT", agent).replaceAll("GATEWAY", gateway);
    expect(await outcome(thief.query(sent))).toBe(code);
    // The extended protocol takes one statement at a time.
    await thief.query("rollback");
    const statements = sent.split("; ");
    const last = statements.pop() as string;
    for (const statement of statements) await thief.query(statement);
    expect(await outcome(thief.query({ text: last, name: "extended" }))).toBe(code);
  });
});

/** Everything of pg_temp that a name inside the kit's functions could be taken for. */
const PLANTED = `
  create function pg_temp.steal(anyelement) returns boolean language plpgsql as
    $$ begin raise warning 'planted: % as %', $1, current_user; return true; end $$;
  create domain pg_temp.text as pg_catalog.text check (pg_temp.steal(value));
  create domain pg_temp.jsonb as pg_catalog.jsonb check (pg_temp.steal(value));
  create domain pg_temp.bytea as pg_catalog.bytea check (pg_temp.steal(value));
  create domain pg_temp.name as pg_catalog.name check (pg_temp.steal(value));
  create domain pg_temp.int4 as pg_catalog.int4 check (pg_temp.steal(value));
  create domain pg_temp.numeric as pg_catalog.numeric check (pg_temp.steal(value));
  create function pg_temp.sha256(pg_catalog.bytea) returns pg_catalog.bytea language plpgsql as
    $$ begin raise warning 'planted: sha256 as %', current_user; return ''; end $$;
  create function pg_temp.current_setting(pg_catalog.text, boolean) returns pg_catalog.text language plpgsql as
    $$ begin raise warning 'planted: current_setting as %', current_user; return ''; end $$;
  create function pg_temp.same(pg_catalog.bytea, pg_catalog.bytea) returns boolean language plpgsql as
    $$ begin raise warning 'planted: = as %', current_user; return true; end $$;
  create operator pg_temp.= (leftarg = pg_catalog.bytea, rightarg = pg_catalog.bytea, function = pg_temp.same);
  create temp table secrets (purpose pg_catalog.text, id pg_catalog.int4, inner_block pg_catalog.bytea, outer_block pg_catalog.bytea);
  create temp table pg_class (oid pg_catalog.oid);
  create temp table pg_roles (rolname pg_catalog.name);
`;

describe("objects in pg_temp", () => {
  const warnings = (client: pg.Client) => {
    const seen: string[] = [];
    client.on("notice", ({ message }) => seen.push(message ?? ""));
    return seen;
  };

  it("are never taken for what the kit's functions mean", async () => {
    const seen = warnings(thief);
    await thief.query(PLANTED);
    await thief.query("set search_path = pg_temp, pg_catalog");
    const forged = `bt1.${"0".repeat(64)}.${JSON.stringify({ key: 2 })}`;
    const forgedStart = thief.query("select behalf.start($1, 'x', 'y')", [forged]);
    expect((await refusal(forgedStart)).code).toBe("ZB008");
    await thief.query("begin read only");
    // No cast to a type without its schema: the thief would plant things under his own statement.
    await thief.query("select pg_catalog.count(*) from behalf.start($1, $2, $3)", [
      world.token(),
      ISSUER,
      "alice",
    ]);
    await thief.query("select behalf.open($1)", [ALL_ORDERS]);
    const { rows } = await thief.query<{ fetch: string }>("select * from behalf.fetch(10, 1000)");
    expect(rows.map((row) => row.fetch)).toEqual(ROWS.alice);
    await thief.query("rollback");
    await thief.query("select * from behalf.preflight(3)");
    expect(seen).toEqual([]);
  });

  it("would be in a function without a search_path of its own", async () => {
    await world.admin.query(`
      create function public.naive(proof pg_catalog.text) returns pg_catalog.bool
      language plpgsql security definer as $$
      declare given text := proof; begin return true; end $$`);
    const seen = warnings(thief);
    await thief.query(PLANTED);
    await thief.query("select public.naive('x')");
    const { rows } = await world.admin.query("select current_user as owner");
    expect(seen).toEqual([`planted: x as ${rows[0].owner}`]);
  });
});

describe("settings that anybody may set", () => {
  const bytes = (hex: string) =>
    [...Buffer.from(hex, "hex")].map((byte) => (byte << 24) >> 24).join(" ");
  /** All that the server tells a client who asked to see every plan. */
  const everythingSaid = async (client: pg.Client, work: () => Promise<unknown>) => {
    const seen: string[] = [];
    const listener = (notice: object) => seen.push(JSON.stringify(Object.entries(notice)));
    client.on("notice", listener);
    await client.query(`
      set debug_print_plan = on; set debug_print_parse = on; set debug_print_rewritten = on;
      set debug_pretty_print = off; set log_parameter_max_length_on_error = -1;
      set plan_cache_mode = force_custom_plan; set client_min_messages = debug5`);
    await work();
    await client.query("reset all");
    client.removeListener("notice", listener);
    // A constant is printed as its length and its bytes, each as a signed number, in lines of 78 characters.
    return seen.join(" ").replaceAll(/(\\n|\s)+/g, " ");
  };
  const forgedBody = () =>
    JSON.stringify({
      key: 2,
      login: world.names.gateway,
      role: world.names.agent,
      exp: 9_999_999_999,
      claims: { iss: ISSUER, sub: "alice", iat: 1, org_id: "acme" },
    });
  const wanted = async (message: string) => {
    const { rows } = await world.admin.query<{ inner: string; outer: string; mac: string }>(
      `select encode(inner_block, 'hex') as inner, encode(outer_block, 'hex') as outer,
         encode(behalf.hmac(inner_block, outer_block, convert_to($1, 'UTF8')), 'hex') as mac
       from behalf.secrets order by purpose, id`,
      [message],
    );
    return rows;
  };

  it("show no key and no MAC, although the server prints the plans of the kit's statements", async () => {
    await world.admin.query("update behalf.secrets set id = default");
    const { rows } = await world.admin.query<{ id: number }>(
      "select id from behalf.secrets where purpose = 'ticket'",
    );
    const forged = forgedBody().replace('"key":2', `"key":${rows[0]?.id}`);
    const said = await everythingSaid(thief, async () => {
      expect((await refusal(start(thief, `bt1.${"0".repeat(64)}.${forged}`))).code).toBe("ZB008");
      await thief.query("begin read only");
      await start(thief, world.token());
      expect(await sandbox(thief, ALL_ORDERS)).toEqual(ROWS.alice);
      await thief.query("rollback");
      await call(thief, await world.ticket(), ALL_ORDERS);
    });
    expect(said.length).toBeGreaterThan(100_000);
    expect(said).toContain("constvalue");
    for (const { inner, outer, mac } of await wanted(forged)) {
      for (const secret of [inner, outer, mac]) {
        expect(said).not.toContain(secret);
        expect(said).not.toContain(bytes(secret));
      }
    }
  });

  it("would show the MAC of a forged ticket if the HMAC were a statement", async () => {
    const original = await world.admin.query<{ text: string }>(
      "select pg_get_functiondef('behalf.hmac(bytea, bytea, bytea)'::regprocedure) as text",
    );
    await world.admin.query(`
      create or replace function behalf.hmac(inner_block bytea, outer_block bytea, message bytea) returns bytea
      language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp as
      $$ declare mac bytea; begin
        select sha256(outer_block || sha256(inner_block || message)) into mac from (values (1)) v offset 0;
        return mac;
      end $$`);
    try {
      const { rows } = await world.admin.query<{ id: number }>(
        "select id from behalf.secrets where purpose = 'ticket'",
      );
      const forged = forgedBody().replace('"key":2', `"key":${rows[0]?.id}`);
      const said = await everythingSaid(thief, () =>
        refusal(start(thief, `bt1.${"0".repeat(64)}.${forged}`)),
      );
      const macs = (await wanted(forged)).map(({ mac }) => said.includes(bytes(mac)));
      expect(macs).toContain(true);
    } finally {
      await world.admin.query(original.rows[0]?.text ?? "");
    }
  });

  it.each([
    "set row_security = off",
    "set transform_null_equals = on",
    "set standard_conforming_strings = off",
    "set bytea_output = escape",
    "set TimeZone = 'Asia/Tokyo'; set DateStyle = 'German'; set IntervalStyle = 'iso_8601'",
    "set extra_float_digits = -15",
    "set quote_all_identifiers = on",
    "set default_transaction_isolation = 'serializable'",
    "set array_nulls = off",
    "select set_config(name, 'on', false) from pg_settings where name in ('debug_parallel_query', 'force_parallel_mode')",
    "set plan_cache_mode = force_generic_plan",
    "set plpgsql.extra_errors = 'all'",
    "set client_encoding = 'SQL_ASCII'",
    "set check_function_bodies = off",
    "set jit_above_cost = 0",
  ])("let nobody in: %s", async (text) => {
    await thief.query(text);
    const forged = `bt1.${"0".repeat(64)}.${forgedBody()}`;
    // Refused, for the forgery or for the transaction's isolation.
    expect((await refusal(start(thief, forged))).code).toBeOneOf(["ZB008", "ZB007"]);
    await thief.query("begin read only");
    await thief.query("select set_config('behalf.seal', $1, true)", [
      `${"0".repeat(64)}${forgedBody()}`,
    ]);
    expect((await refusal(sandbox(thief, ALL_ORDERS))).code).toBe("ZB003");
    await thief.query("rollback");
    // And with a ticket they show no row of anybody else.
    const rows = await call(thief, await world.ticket(), ALL_ORDERS).catch(() => []);
    expect(JSON.stringify(rows)).not.toContain("bob-");
  });
});

describe("with Alice's live ticket", () => {
  it("reads exactly Alice's rows", async () => {
    expect(await call(thief, await world.ticket(), ALL_ORDERS)).toEqual(ROWS.alice);
  });

  describe("and a cursor of his own making under the kit's name", () => {
    const plant = `
      create function pg_temp.spy() returns setof text language plpgsql as $$
      declare line text; begin
        return next current_user;
        for line in select note from orders order by id loop return next line; end loop;
      end $$`;

    it("runs code as the agent role, which is Alice's right and no more", async () => {
      await thief.query(plant);
      await thief.query("begin read only");
      await thief.query("declare behalf_cursor cursor for select pg_temp.spy()");
      await start(thief, await world.ticket());
      const { rows } = await thief.query<{ fetch: string }>(
        "select * from behalf.fetch(100, 1000)",
      );
      expect(rows.map((row) => row.fetch)).toEqual([
        `(${world.names.agent})`,
        "(alice-1)",
        "(alice-2)",
        "(alice-3)",
      ]);
      await thief.query("rollback");
    });

    it.each([
      "alter function behalf_sandbox.AGENT_open(text) reset all",
      "alter role AGENT set search_path = evil",
      "grant execute on function behalf_sandbox.AGENT_open(text) to public",
      "insert into orders values (99, 'globex', 'written')",
      "set role none",
    ])("cannot leave anything by it: %s", async (text) => {
      await world.admin.query(`grant insert on orders to ${world.names.agent}`);
      const statement = text.replaceAll("AGENT", world.names.agent);
      await thief.query(
        `create function pg_temp.harm() returns int language plpgsql as $f$ begin ${statement}; return 1; end $f$`,
      );
      for (const begin of ["begin", "begin read only"]) {
        await thief.query(begin);
        await thief.query("declare behalf_cursor cursor for select pg_temp.harm()");
        await start(thief, await world.ticket());
        const error = await refusal(thief.query("select * from behalf.fetch(100, 1000)"));
        expect(error.code).toBeOneOf(begin === "begin" ? ["ZB007"] : ["25006", "42501"]);
        await thief.query("rollback");
      }
    });

    it("cannot keep reading past the end of the ticket inside one statement", async () => {
      await thief.query(`
        create function pg_temp.watch() returns setof text language plpgsql as $$
        begin
          for i in 1 .. 20 loop
            return next (select count(*) from orders)::text;
            perform pg_sleep(0.1);
          end loop;
        end $$`);
      await thief.query("begin read only");
      await thief.query("declare behalf_cursor cursor for select pg_temp.watch()");
      await start(thief, world.token("alice", { exp: Date.now() / 1000 + 0.6 }));
      const error = await refusal(thief.query("select * from behalf.fetch(100, 1000)"));
      expect(error.code).toBe("ZB002");
      await thief.query("rollback");
    });
  });

  it("cannot make a held cursor show rows after the transaction", async () => {
    await thief.query(`
      create function pg_temp.hold() returns int language plpgsql as $$
      begin execute 'declare kept cursor with hold for select note from orders'; return 1; end $$`);
    await thief.query("begin read only");
    await thief.query("declare behalf_cursor cursor for select pg_temp.hold()");
    await start(thief, await world.ticket());
    await outcome(thief.query("select * from behalf.fetch(100, 1000)"));
    await outcome(thief.query("commit"));
    expect(await outcome(thief.query("fetch all from kept"))).toBeOneOf(["[]", "34000"]);
  });
});

it("cannot spoil the login so that the next human sees the wrong rows", async () => {
  const { gateway, database } = world.names;
  await thief.query(`alter role ${gateway} set row_security = off`);
  await thief.query(`alter role ${gateway} set search_path = pg_temp`);
  await thief.query(`alter role ${gateway} set TimeZone = 'Asia/Tokyo'`);
  try {
    const next = await world.connect();
    const rows = await call(next, await world.ticket(), ALL_ORDERS).catch(
      (error: unknown) => (error as pg.DatabaseError).code,
    );
    // Refused, which is harm enough: who has a login can always keep others from using it.
    expect(rows).toBe("42501");
  } finally {
    await world.admin.query(`alter role ${gateway} reset all`);
  }
  await using admin = await connect({ database });
  expect((await admin.query("select count(*)::int as n from orders")).rows).toEqual([{ n: 6 }]);
});
