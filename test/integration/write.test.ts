import type { QueryOptions } from "@behalf/core";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";

import { failure } from "../support/failure.ts";
import { makeWorld, type World } from "../support/world.ts";

const WRITE = { access: "write" } as const;

let world: World;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl"), orders: 5 });
  await world.admin.query(`
    create table changes (who text, note text);
    grant insert on changes to ${world.names.writer}, ${world.names.statements};
    alter table changes enable row level security;
    create policy agents_create on changes for insert to behalf_agents with check (true);
    select behalf.guard('changes');
    create sequence numbers;
    grant usage on sequence numbers to ${world.names.writer}, ${world.names.statements};
  `);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await world.admin.query(`
    delete from orders where id % 1000000 > 5;
    update orders set note = null;
    delete from changes;
  `);
});

const truth = async (condition: string) =>
  (
    await world.admin.query(
      `select id::int, org_id, note from orders where ${condition} order by id`,
    )
  ).rows;

describe("an agent's text that writes", () => {
  it.each([
    [
      "INSERT",
      "insert into orders values (1000100, 'acme', 1, 'new', now()), (1000101, 'acme', 2, null, now()) returning id, note",
      [
        ["1000100", "new"],
        ["1000101", null],
      ],
      "id in (1000100, 1000101)",
      2,
    ],
    [
      "INSERT from WITH, with a semicolon and a comment",
      "with v as (select 1000102 as id) insert into orders select id, 'acme', 3, 'with', now() from v -- one row\n returning note, note ;\n",
      [["with", "with"]],
      "note = 'with'",
      1,
    ],
    [
      "UPDATE of all that the human may see",
      "update orders set note = 'seen' returning org_id",
      Array.from({ length: 5 }, () => ["acme"]),
      "note = 'seen'",
      5,
    ],
    ["UPDATE without RETURNING", "update orders set note = 'quiet'", 5, "note = 'quiet'", 5],
    ["DELETE of nothing", "delete from orders where org_id = 'globex';", 0, "true", 20],
    ["a SELECT", "select count(*) from orders", [["5"]], "true", 20],
  ])("%s", async (_name, text, answer, condition, left) => {
    const shop = world.adapter();
    const { rows, affectedRows } = await shop.query(await world.delegate("alice"), text, WRITE);
    // Rows where it returned some, and how many it changed where it did not.
    expect(affectedRows ?? rows).toEqual(answer);
    expect(await truth(condition)).toHaveLength(left);
  });

  it("MERGE, from PostgreSQL 17 on; before, the grammar refuses it", async () => {
    const shop = world.adapter();
    const { rows: settings } = await world.admin.query<{ version: number }>(
      "select current_setting('server_version_num')::int as version",
    );
    const expected = [
      ["UPDATE", "1000001"],
      ["INSERT", "1000103"],
    ];
    const merge = `merge into orders o using (values (1000001), (1000103)) as s (id) on o.id = s.id
       when matched then update set note = 'merged'
       when not matched then insert values (s.id, 'acme', 1, 'merged', now())
       returning merge_action(), o.id`;
    const answer = await shop
      .query(await world.delegate("alice"), merge, WRITE)
      .catch((error: unknown) => error);
    const merged = (await truth("note = 'merged'")).length;
    const wanted =
      (settings[0]?.version ?? 0) >= 170_000
        ? { answer: { rows: expected }, merged: 2 }
        : { answer: { code: "statement.refused", effect: "none" }, merged: 0 };
    expect({ answer, merged }).toMatchObject(wanted);
  });

  it("changes no other human's rows, whoever it names", async () => {
    const shop = world.adapter();
    const others = () => truth("org_id <> 'acme'");
    const before = await others();
    const attempt = async (text: string) => shop.query(await world.delegate("alice"), text, WRITE);
    expect(await attempt("update orders set note = 'x' where org_id = 'globex'")).toMatchObject({
      affectedRows: 0,
      rows: [],
    });
    const moved = await failure(attempt("update orders set org_id = 'globex'"));
    expect(moved).toMatchObject({ code: "backend.denied", nativeCode: "42501", effect: "none" });
    const planted = await failure(
      attempt("insert into orders values (2000100, 'globex', 1, 'planted', now())"),
    );
    expect(planted).toMatchObject({ code: "backend.denied", nativeCode: "42501" });
    expect(await others()).toEqual(before);
  });

  it("leaves no large object behind, which every human's agents could read", async () => {
    const keep = "select lo_from_bytea(0, 'from Alice')";
    const seen: unknown[] = [];
    await world.admin.query(`begin; set local role ${world.names.writer}`);
    const { rows } = await world.admin.query(keep);
    await world.admin.query("commit");
    const shop = world.adapter();
    const [{ lo_from_bytea: oid }] = rows as [{ lo_from_bytea: number }];
    // The other side: where there is one, anybody's text that writes reads it.
    const text = `select convert_from(lo_get(${oid}), 'UTF8')`;
    const bob = world.adapter();
    const read = await failure(bob.query(await world.delegate("bob"), text, WRITE));
    expect(read.reason).toBe("large_object");
    const inRun = await failure(
      bob.run(
        await world.delegate("bob"),
        async (session) => {
          seen.push(...(await session.query(text)).rows);
        },
        WRITE,
      ),
    );
    expect([inRun.reason, seen]).toEqual(["large_object", [["from Alice"]]]);
    await world.admin.query("select lo_unlink(oid) from pg_largeobject_metadata");
    const refused = await failure(shop.query(await world.delegate("alice"), keep, WRITE));
    expect(refused).toMatchObject({
      code: "backend.denied",
      reason: "large_object",
      effect: "none",
    });
    const run = await failure(
      shop.run(await world.delegate("alice"), (session) => session.query(keep), WRITE),
    );
    expect(run).toMatchObject({ code: "backend.denied", reason: "large_object" });
    expect((await world.admin.query("select from pg_largeobject_metadata")).rows).toHaveLength(0);
    // Who unlinks it again leaves none.
    const gone = "select lo_unlink(lo) from (select lo_create(0) as lo) made";
    expect((await shop.query(await world.delegate("alice"), gone, WRITE)).rows).toEqual([[1]]);
  });

  it("keeps nothing of a text that fails, and says how it failed", async () => {
    const shop = world.adapter();
    const error = await failure(
      shop.query(
        await world.delegate("alice"),
        "insert into orders select v, 'acme', 1, 'half', now() from (values (1000200), (1000001)) t (v)",
        WRITE,
      ),
    );
    expect(error).toMatchObject({ code: "backend.failed", nativeCode: "23505", effect: "none" });
    // DETAIL would name the value.
    expect(error.message).not.toContain("1000001");
    expect(await truth("note = 'half'")).toEqual([]);
  });

  it("commits what it did although the answer was capped", async () => {
    const shop = world.adapter();
    const text = "update orders set note = 'capped' returning id";
    const none = await shop.query(await world.delegate("alice"), text, { ...WRITE, maxRows: 0 });
    expect(none).toMatchObject({ rows: [], truncated: "rows" });
    expect(await truth("note = 'capped'")).toHaveLength(5);
    const bytes = await shop.query(
      await world.delegate("bob"),
      "update orders set note = repeat('b', 100) returning note",
      { ...WRITE, maxBytes: 250 },
    );
    expect(bytes).toMatchObject({ truncated: "bytes" });
    expect(bytes.rows).toHaveLength(2);
    expect(await truth("note like 'bb%'")).toHaveLength(5);
  });

  it("runs a SELECT that writes to its end, however little of it is returned", async () => {
    await world.admin.query(`
      create function log_it(id bigint) returns bigint language sql volatile security definer set search_path = public
        as $$ insert into changes values (id::text, 'logged'); select id $$`);
    const shop = world.adapter();
    const { rows, truncated } = await shop.query(
      await world.delegate("alice"),
      "select log_it(id) from orders",
      { ...WRITE, maxRows: 2 },
    );
    expect([rows.length, truncated]).toEqual([2, "rows"]);
    const { rows: logged } = await world.admin.query("select from changes where note = 'logged'");
    expect(logged).toHaveLength(5);
  });

  it.each([
    ["EXPLAIN ANALYZE, whose counts show hidden rows", "explain analyze select * from orders"],
    ["SHOW", "show all"],
    ["CALL", "call nothing()"],
    ["DDL", "create table loot (x int)"],
    ["COPY", "copy orders to stdout"],
    ["SET", "set role none"],
    ["a second statement", "select 1; delete from orders"],
    [
      "a second statement behind the end of the wrapping",
      "select 1) select * from behalf_w; with behalf_w as (select 2",
    ],
    ["COMMIT behind it", "select 1) select * from behalf_w; commit; with behalf_w as (select 2"],
    ["nothing", "   ;; "],
    ["a role change", "select set_config('role', 'none', true)"],
    ["a role change in DML", "update orders set note = set_config('role', 'none', true)"],
    ["LISTEN", "listen x"],
    ["LOCK", "lock table orders"],
    ["DO", "do $$ begin end $$"],
  ])("may not be %s", async (_name, text) => {
    const shop = world.adapter();
    const before = await truth("true");
    const error = await failure(shop.query(await world.delegate("alice"), text, WRITE));
    expect(["statement.refused", "backend.denied"]).toContain(error.code);
    expect(await truth("true")).toEqual(before);
  });

  it("is READ ONLY unless it was asked for", async () => {
    const shop = world.adapter();
    for (const text of [
      "insert into orders values (1000300, 'acme', 1, 'x', now()) returning 1",
      "select nextval('numbers')",
    ]) {
      await failure(shop.query(await world.delegate("alice"), text));
    }
    expect(await truth("note = 'x'")).toEqual([]);
  });

  it("takes a human whose agents may only read no further than that", async () => {
    const shop = world.adapter();
    const text = "update orders set note = 'no'";
    await world.admin.query("update behalf.gateways set writes = false");
    const gateway = await failure(shop.query(await world.delegate("alice"), text, WRITE));
    expect(gateway).toMatchObject({ code: "backend.denied", reason: "gateway_reads" });
    await world.admin.query("update behalf.gateways set writes = true where kind = 'sandbox'");
    await world.admin.query("delete from behalf.companion_roles where mode = 'write'");
    const fresh = world.adapter();
    const role = await failure(fresh.query(await world.delegate("alice"), text, WRITE));
    expect(role).toMatchObject({ code: "backend.denied", reason: "no_write_role" });
    await world.admin.query(
      `select behalf.add_write_role('${world.names.agent}', '${world.names.writer}')`,
    );
    expect(await truth("note = 'no'")).toEqual([]);
    const again = await world.adapter().query(await world.delegate("alice"), text, WRITE);
    expect(again.affectedRows).toBe(5);
  });
});

describe("deferred constraints and triggers", () => {
  beforeAll(async () => {
    await world.admin.query(`
      create table pairs (id int primary key, other int not null,
        foreign key (other) references pairs deferrable initially deferred);
      grant select, insert on pairs to ${world.names.writer}, ${world.names.statements};
      alter table pairs enable row level security;
      create policy agents_all on pairs to behalf_agents using (true) with check (true);
      select behalf.guard('pairs');
      create function log_change() returns trigger language plpgsql as
        $$ begin insert into changes values (current_user, 'deferred'); return null; end $$;
      create constraint trigger late after insert on pairs deferrable initially deferred
        for each row execute function log_change();
    `);
  });

  it.each([
    [
      "an agent's text",
      (a: number, b: number) => `insert into pairs values (${a}, ${b}), (${b}, ${a})`,
    ],
  ])("are forced before the end of %s, as the write role", async (_name, text) => {
    const shop = world.adapter();
    await shop.query(await world.delegate("alice"), text(1, 2), WRITE);
    const { rows } = await world.admin.query("select distinct who, note from changes");
    expect(rows).toEqual([{ who: world.names.writer, note: "deferred" }]);
    const dangling = await failure(
      shop.query(await world.delegate("alice"), "insert into pairs values (3, 4)", WRITE),
    );
    expect(dangling).toMatchObject({ code: "backend.failed", nativeCode: "23503", effect: "none" });
    const left = await world.admin.query("select id from pairs order by id");
    expect(left.rows).toEqual([{ id: 1 }, { id: 2 }]);
  });

  it("wait for the end of a run", async () => {
    const shop = world.adapter();
    const write = (texts: readonly string[]) => async () =>
      shop.run(
        await world.delegate("alice"),
        async (session) => {
          for (const text of texts) await session.query(text);
        },
        WRITE,
      );
    await write(["insert into pairs values (11, 12)", "insert into pairs values (12, 11)"])();
    expect((await failure(write(["insert into pairs values (13, 14)"])())).nativeCode).toBe(
      "23503",
    );
    const left = await world.admin.query("select id from pairs where id > 10 order by id");
    expect(left.rows).toEqual([{ id: 11 }, { id: 12 }]);
  });
});

describe("what a write leaves on the connection", () => {
  const residue = `select current_setting('work_mem') as memory, current_setting('app.mark', true) as mark,
    (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks`;
  const leave = [
    "select set_config('work_mem', '77MB', false), set_config('app.mark', 'alice', false)",
    "select pg_advisory_lock(4711)",
    "select nextval('numbers')",
    "insert into orders values (1000400, 'acme', 1, 'setseed', now()) returning setseed(0.5)",
  ];

  it("is nothing: settings, locks and sequences do not reach the next human", async () => {
    const pool = world.pool({ max: 1 });
    const shop = world.adapter({ pool });
    for (const text of leave) {
      await shop.query(await world.delegate("alice"), text, WRITE);
      const { rows } = await shop.query(await world.delegate("bob"), residue);
      expect(rows).toEqual([["4MB", expect.toBeOneOf([null, ""]), 0]]);
      const last = await failure(
        shop.query(await world.delegate("bob"), "select lastval()", WRITE),
      );
      expect(last.nativeCode).toBe("55000");
    }
    // It was the same connection all along: otherwise the test would show nothing.
    expect(pool.totalCount).toBe(1);
  });

  it("is nothing either when a run of writes is given up", async () => {
    const pool = world.pool({ max: 1 });
    const shop = world.adapter({ pool });
    await expect(
      shop.run(
        await world.delegate("alice"),
        async (session) => {
          for (const text of leave) await session.query(text);
          throw new Error("changed my mind");
        },
        WRITE,
      ),
    ).rejects.toThrow("changed my mind");
    const last = await failure(shop.query(await world.delegate("bob"), "select lastval()", WRITE));
    expect(last.nativeCode).toBe("55000");
    expect((await shop.query(await world.delegate("bob"), residue)).rows[0]?.[2]).toBe(0);
    expect(await truth("note = 'setseed'")).toEqual([]);
    expect(pool.totalCount).toBe(1);
  });

  it("would stay without the reset: the same statements, committed and not reset", async () => {
    const login = new pg.Client({ connectionString: world.url() });
    await login.connect();
    try {
      const write = async (human: string, text: string) => {
        await login.query("begin");
        await login.query("select from behalf.start($1, $2, $3)", [
          await world.databaseToken(human),
          world.idp.issuer,
          human,
        ]);
        const { rows } = await login.query("select * from behalf.write($1, 10, 1000)", [text]);
        await login.query("commit");
        return rows;
      };
      for (const text of leave.slice(0, 3)) await write("alice", text);
      expect(await write("bob", residue)).toEqual([{ line: "(77MB,alice,1)", affected: null }]);
      expect(await write("bob", "select lastval()")).toEqual([
        { line: expect.stringMatching(/^\(\d+\)$/), affected: null },
      ]);
    } finally {
      await login.end();
    }
  });
});

describe("an outcome that nobody knows", () => {
  it("is unknown when the call is given up while the server may be committing", async () => {
    const shop = world.adapter();
    const error = await failure(
      shop.query(
        await world.delegate("alice"),
        "update orders set note = 'slow' where (select pg_sleep(5)) is not null",
        { ...WRITE, signal: AbortSignal.timeout(300) },
      ),
    );
    expect(error).toMatchObject({ code: "cancelled", effect: "unknown" });
    const outcome = world.records.records.findLast(({ kind }) => kind === "outcome");
    expect(outcome).toMatchObject({ status: "error", effect: "unknown" });
  });

  it.each<readonly [string, string, Pick<QueryOptions, "typeParser">]>([
    [
      "in an encoding of the agent's own",
      "insert into orders values (1000500, 'acme', 1, 'unread', now()) returning set_config('client_encoding', 'SJIS', true), 'a 表'",
      {},
    ],
    [
      "that the caller's own parser refuses",
      "insert into orders values (1000500, 'acme', 1, 'unread', now()) returning id",
      {
        typeParser: () => () => {
          throw new Error("no");
        },
      },
    ],
  ])(
    "is unknown when the change was made and the answer cannot be read: one %s",
    async (_name, text, options) => {
      const shop = world.adapter();
      const error = await failure(
        shop.query(await world.delegate("alice"), text, { ...WRITE, ...options }),
      );
      expect(error.effect).toBe("unknown");
      expect(error.message).toContain("the change was made");
      expect(error.message).not.toContain("nothing was changed");
      expect(await truth("note = 'unread'")).toHaveLength(1);
      const outcome = world.records.records.findLast(({ kind }) => kind === "outcome");
      expect(outcome).toMatchObject({ status: "error", effect: "unknown" });
    },
  );

  it("is none for a run that its own callback gave up", async () => {
    const shop = world.adapter();
    const given = shop.run(
      await world.delegate("alice"),
      async (session) => {
        await session.query("update orders set note = 'given up'");
        throw new Error("no");
      },
      WRITE,
    );
    await expect(given).rejects.toThrow("no");
    const outcome = world.records.records.findLast(({ kind }) => kind === "outcome");
    expect(outcome).toMatchObject({ status: "error", effect: "none" });
    expect(await truth("note = 'given up'")).toEqual([]);
  });

  it("is none when the server itself refused before the COMMIT", async () => {
    const shop = world.adapter();
    const error = await failure(
      shop.query(await world.delegate("alice"), "update orders set total = 1 / 0", WRITE),
    );
    expect(error).toMatchObject({ nativeCode: "22012", effect: "none" });
  });
});
