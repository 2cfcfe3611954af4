import { sql, type SqlValue, type Statement } from "@behalf/core";
import { trustedStatement } from "@behalf/core/trusted-text";
import fc from "fast-check";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { failure } from "../support/failure.ts";
import { watch } from "../support/watched-pool.ts";
import { makeWorld, type World } from "../support/world.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl"), orders: 20 });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

describe("a statement", () => {
  it("answers two humans with their own rows, from one object", async () => {
    const shop = world.adapter();
    const statement = sql`select distinct org_id from orders where total > ${1}`;
    for (const [human, org] of [
      ["alice", "acme"],
      ["bob", "globex"],
      ["alice", "acme"],
    ] as const) {
      const { rows } = await shop.query(await world.delegate(human), statement);
      expect(rows).toEqual([[org]]);
    }
  });

  it("runs as a role of its own, over a login of its own", async () => {
    const shop = world.adapter();
    const { rows } = await shop.query(
      await world.delegate("alice"),
      sql`select current_user::text, session_user::text, current_setting('transaction_read_only')`,
    );
    expect(rows).toEqual([[world.names.statements, world.names.statementGateway, "on"]]);
    const outcome = world.records.records.findLast(({ kind }) => kind === "outcome");
    expect(outcome).toMatchObject({ status: "ok", native: { role: world.names.statements } });
    const agent = await shop.query(
      await world.delegate("alice"),
      "select current_user::text, session_user::text",
    );
    expect(agent.rows).toEqual([[world.names.agent, world.names.gateway]]);
  });

  it("writes where it was asked to, and nowhere else", async () => {
    const shop = world.adapter();
    const update = (note: string, org: string) =>
      sql`update orders set note = ${note} where org_id = ${org}`;
    const refused = await failure(
      shop.query(await world.delegate("alice"), update("read", "acme")),
    );
    expect(refused).toMatchObject({ code: "backend.denied", nativeCode: "25006" });
    const write = { access: "write" } as const;
    const own = await shop.query(await world.delegate("alice"), update("mine", "acme"), write);
    expect(own).toMatchObject({ affectedRows: 20, rows: [] });
    const foreign = await shop.query(
      await world.delegate("alice"),
      update("theirs", "globex"),
      write,
    );
    expect(foreign.affectedRows).toBe(0);
    const { rows } = await world.admin.query(
      "select distinct org_id from orders where note = 'mine'",
    );
    expect(rows).toEqual([{ org_id: "acme" }]);
    const returning = await shop.query(
      await world.delegate("bob"),
      sql`update orders set note = ${"bob's"} where org_id = ${"globex"} returning id`,
      { ...write, maxRows: 3 },
    );
    expect(returning).toMatchObject({ truncated: "rows" });
    const bobs = await world.admin.query("select from orders where note = 'bob''s'");
    expect(bobs.rowCount).toBe(20);
  });

  it("caps rows and bytes", async () => {
    const shop = world.adapter();
    const many = sql`select repeat('x', 100) from generate_series(1, ${50}::int)`;
    const rows = await shop.query(await world.delegate("alice"), many, { maxRows: 7 });
    expect(rows).toMatchObject({ truncated: "rows" });
    expect(rows.rows).toHaveLength(7);
    const bytes = await shop.query(await world.delegate("alice"), many, { maxBytes: 250 });
    expect(bytes).toMatchObject({ truncated: "bytes" });
    expect(bytes.rows).toHaveLength(2);
    const all = await shop.query(await world.delegate("alice"), many);
    expect(all).toMatchObject({ truncated: null });
    expect(all.rows).toHaveLength(50);
  });

  it("is pinned: what the connection or the database was set to does not change its meaning", async () => {
    await world.admin.query(
      ["timezone = 'Asia/Tokyo'", "datestyle = 'German'", "search_path = 'nowhere'"]
        .map((setting) => `alter database ${world.names.database} set ${setting}`)
        .join("; "),
    );
    try {
      const shop = world.adapter();
      const { rows } = await shop.query(
        await world.delegate("alice"),
        sql`select date '2026-01-02'::text, current_setting('TimeZone'), count(*)::int from orders`,
      );
      expect(rows).toEqual([["2026-01-02", "UTC", 20]]);
    } finally {
      await world.admin.query(`alter database ${world.names.database} reset all`);
    }
  });

  it("leaves nothing behind, although it may do what no agent may", async () => {
    const pool = world.statementPool({ max: 1 });
    const shop = world.adapter({ statements: { pool } });
    const write = { access: "write" } as const;
    for (const statement of [
      sql`select set_config('work_mem', '77MB', false), set_config('app.mark', 'alice', false)`,
      sql`select pg_advisory_lock(4712)`,
      sql`listen alice`,
      sql`set search_path to nowhere`,
    ]) {
      for (const access of ["read", "write"] as const) {
        await shop.query(await world.delegate("alice"), statement, { access }).catch(() => {});
      }
    }
    const { rows } = await shop.query(
      await world.delegate("bob"),
      sql`select current_setting('work_mem'), coalesce(current_setting('app.mark', true), ''), current_user::text,
        (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
        (select count(*)::int from pg_listening_channels())`,
      write,
    );
    expect(rows).toEqual([["4MB", "", world.names.statements, 0, 0]]);
    expect(pool.totalCount).toBe(1);
  });

  it("fails with the code of the server, without the values", async () => {
    const shop = world.adapter();
    const secret = "a value that must not be repeated";
    const error = await failure(
      shop.query(await world.delegate("alice"), sql`select ${secret}::int`),
    );
    expect(error).toMatchObject({ code: "backend.failed", nativeCode: "22P02" });
    const syntax = await failure(shop.query(await world.delegate("alice"), sql`selec 1`));
    expect(syntax).toMatchObject({ code: "statement.refused", nativeCode: "42601" });
    const value = await failure(
      shop.query(await world.delegate("alice"), sql`select ${{ a: secret } as never}`),
    );
    expect(value).toMatchObject({ code: "configuration", reason: "value" });
    expect(value.message).not.toContain(secret);
  });

  it("is a trip of its own: one write, whichever human", async () => {
    const pool = world.statementPool({ max: 1 });
    const seen = watch(pool);
    const shop = world.adapter({ statements: { pool } });
    const statement = sql`select 1`;
    await shop.query(await world.delegate("alice"), statement);
    seen.batches = 0;
    for (const human of ["bob", "alice", "carol"]) {
      await shop.query(await world.delegate(human), statement);
    }
    expect(seen.batches).toBe(3);
  });
});

describe("a hostile text", () => {
  // Each would do harm as a statement: it ends the transaction, takes the role off, or writes.
  const hostile = [
    "reset role; select session_user",
    "commit; select 1",
    "update orders set note = 'hostile'",
    "set role none",
    "') ; drop table orders; --",
    "$1",
  ];

  it.each(hostile)("never reaches statement mode as an input: %s", async (text) => {
    const pool = world.statementPool({ max: 1 });
    const seen = watch(pool);
    const shop = world.adapter({ statements: { pool } });
    const inputs: unknown[] = [
      text,
      new String(text),
      { text, values: [] },
      Object.assign(Object.create(null), sql`select 1`, { text }),
      Object.create(sql`select 1`, { text: { value: text } }),
      JSON.parse(JSON.stringify({ text, values: [] })),
      [text],
      { toString: () => text },
      new Proxy(sql`select 1`, { get: (_target, key) => (key === "text" ? text : []) }),
    ];
    for (const input of inputs) {
      await failure(
        shop.query(await world.delegate("alice"), input as string, { access: "write" }),
      ).catch((error: unknown) => {
        // The update is something that the agent may do: in the sandbox, as the human.
        if (typeof input !== "string") throw error;
      });
    }
    expect(seen.batches).toBe(0);
    // The other side: as a statement, the text does reach the login.
    await shop
      .query(await world.delegate("alice"), trustedStatement(text), { access: "write" })
      .catch(() => {});
    expect(seen.batches).toBeGreaterThan(0);
  });

  it("is only ever a value", async () => {
    const shop = world.adapter();
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.constantFrom(...hostile), fc.string({ unit: "binary" })),
        async (text) => {
          const value = text.replaceAll("\0", "").toWellFormed();
          const { rows } = await shop.query(
            await world.delegate("alice"),
            sql`select ${value}::text, ${[value, null]}::text[]`,
          );
          expect(rows).toEqual([[value, [value, null]]]);
        },
      ),
      { numRuns: 60 },
    );
    const { rows } = await world.admin.query("select from orders where note = 'hostile'");
    expect(rows).toHaveLength(20); // the agent's own UPDATE above, of Alice's rows
  });
});

describe("values", () => {
  it.each<readonly [string, SqlValue, string]>([
    ["a number", 1.5, "float8"],
    ["not a number", Number.NaN, "float8"],
    ["infinity", -Infinity, "float8"],
    ["a bigint", 9_007_199_254_740_993n, "int8"],
    ["a boolean", true, "bool"],
    ["null", null, "text"],
    ["an empty text", "", "text"],
    ["a Date", new Date("2026-02-03T04:05:06.789Z"), "timestamptz"],
    ["a Date before Christ", new Date("-000043-03-15T12:00:00.000Z"), "timestamptz"],
    ["a Date far away", new Date("+012026-02-03T00:00:00.000Z"), "timestamptz"],
    ["bytes", new Uint8Array([0, 255, 92, 39]), "bytea"],
    ["a list of texts", ['a"b', "c\\d", "{e,f}", "NULL", "", null], "text[]"],
    ["a list of lists", [["a"], ["b"]], "text[]"],
    ["a list of bytes", [new Uint8Array([1, 2])], "bytea[]"],
    ["an empty list", [], "int[]"],
  ])("arrive as pg itself sends them: %s", async (_name, value, type) => {
    const shop = world.adapter();
    const text = `select $1::${type} is not distinct from $2::${type}, $1::${type}::text`;
    const ours = await shop.query(
      await world.delegate("alice"),
      trustedStatement(text, [value, value]),
    );
    const client = new pg.Client({ connectionString: inject("postgresUrl") });
    await client.connect();
    try {
      await client.query("set timezone to 'UTC'");
      const theirs = await client.query({ text, values: [value, value], rowMode: "array" });
      expect(ours.rows).toEqual(theirs.rows);
      expect(ours.rows[0]?.[0]).toBe(true);
    } finally {
      await client.end();
    }
  });

  it("are refused where they are none", async () => {
    const shop = world.adapter();
    const nothing = trustedStatement("select $1::text", [undefined as never]);
    expect((await shop.query(await world.delegate("alice"), nothing)).rows).toEqual([[null]]);
    for (const value of [Symbol("x"), () => 1, {}, new Date(Number.NaN), "a\0b", "a\ud800b"]) {
      const call = shop.query(
        await world.delegate("alice"),
        trustedStatement("select $1::text", [value as never]),
      );
      expect(await failure(call)).toMatchObject({ code: "configuration", reason: "value" });
    }
  });
});

describe("prepared statements", () => {
  const prepared = sql`select name from pg_prepared_statements where name like 'behalf:%'`;

  it("are named by text and role, and the least recently used is closed", async () => {
    const pool = world.statementPool({ max: 1 });
    const shop = world.adapter({ statements: { pool, maxPreparedStatements: 3 } });
    // One token, so one ticket: with the token itself the role is not known yet, and nothing gets a name.
    const token = await world.token("alice");
    const ask = async (statement: Statement) =>
      (await shop.query(await world.front.delegate(token), statement)).rows;
    const alice = (text: string) => ask(trustedStatement(text));
    await alice("select 0");
    for (const n of [1, 2, 1, 3, 1, 4, 5, 1]) await alice(`select ${n}`);
    // Three at most, the one that asks among them.
    expect(await ask(prepared)).toHaveLength(3);
    for (let n = 0; n < 20; n++) await alice(`select ${n} + 100`);
    const held = await ask(prepared);
    expect(held).toHaveLength(3);
    expect(await ask(prepared)).toEqual(held);
    expect(pool.totalCount).toBe(1);
  });

  it("stay right when the call that would have closed one is refused", async () => {
    const pool = world.statementPool({ max: 1 });
    const shop = world.adapter({ statements: { pool, maxPreparedStatements: 1 } });
    const tokens = { alice: await world.token("alice"), dan: await world.token("dan") };
    const ask = async (human: keyof typeof tokens, text: string) =>
      shop.query(await world.front.delegate(tokens[human]), trustedStatement(text));
    for (const human of ["alice", "dan"] as const) await ask(human, "select 0");
    await ask("alice", "select 'a'");
    await world.admin.query("select behalf.revoke($1, 'dan')", [world.idp.issuer]);
    expect((await failure(ask("dan", "select 'b'"))).code).toBe("identity.revoked");
    await world.admin.query("select behalf.reinstate($1, 'dan')", [world.idp.issuer]);
    expect((await ask("alice", "select 'a'")).rows).toEqual([["a"]]);
    expect((await ask("alice", "select 'a'")).rows).toEqual([["a"]]);
  });

  it("are not kept on the server when they fail at their first use", async () => {
    const pool = world.statementPool({ max: 1 });
    const shop = world.adapter({ statements: { pool, maxPreparedStatements: 3 } });
    const token = await world.token("alice");
    const ask = async (statement: Statement) =>
      shop.query(await world.front.delegate(token), statement);
    await ask(sql`select 0`);
    for (let n = 0; n < 20; n++) await failure(ask(trustedStatement(`select ${n} / (select 0)`)));
    expect((await ask(prepared)).rows.length).toBeLessThanOrEqual(3);
    expect(pool.totalCount).toBe(1);
  });

  it("stay right when one fails, and when somebody deallocates them", async () => {
    const pool = world.statementPool({ max: 1 });
    const shop = world.adapter({ statements: { pool, maxPreparedStatements: 5 } });
    const token = await world.token("alice");
    const alice = async (statement: Statement) =>
      shop.query(await world.front.delegate(token), statement);
    const ask = (by: number) => alice(sql`select 10 / ${by}::int`);
    expect((await ask(5)).rows).toEqual([[2]]);
    for (let n = 1; n <= 3; n++) {
      expect((await failure(ask(0))).nativeCode).toBe("22012");
      expect((await ask(n)).rows).toEqual([[Math.trunc(10 / n)]]);
      await failure(alice(sql`select nope`));
    }
    await alice(sql`deallocate all`).catch(() => {});
    // The connection notices once, and never again.
    await ask(1).catch(() => {});
    expect((await ask(2)).rows).toEqual([[5]]);
    expect(pool.totalCount).toBe(1);
  });

  it("are made anew when a migration changes what they return", async () => {
    const { admin, names } = world;
    const shop = world.adapter({
      statements: { pool: world.statementPool({ max: 1 }) },
    });
    await admin.query(`
      create table moving (n int); insert into moving values (1);
      alter table moving enable row level security;
      create policy everything on moving using (true);
      grant select on moving to ${names.statements};
      select behalf.guard('moving')`);
    try {
      const all = sql`select * from moving`;
      const alice = await world.delegate("alice");
      // The second time it has a name: the first one tells its role.
      for (let time = 0; time < 2; time += 1) {
        expect((await shop.query(alice, all)).rows).toEqual([[1]]);
      }
      await admin.query("alter table moving add column word text default 'new'");
      // The plan of before is refused once, and only once.
      const answers = [];
      for (let time = 0; time < 3; time += 1) {
        answers.push(
          await shop.query(alice, all).then(
            ({ rows }) => rows[0],
            (error: unknown) => (error as { nativeCode?: string }).nativeCode,
          ),
        );
      }
      expect(answers.slice(1)).toEqual([
        [1, "new"],
        [1, "new"],
      ]);
      expect(answers[0]).toBe("0A000");
    } finally {
      await admin.query("drop table moving");
    }
  });
});

describe("what an author's statement does by mistake", () => {
  const residue = sql`select current_setting('work_mem'), current_setting('transaction_isolation'), current_user::text,
    (select count(*)::int from pg_prepared_statements where name = 'mine')`;

  it.each([
    ["set role", [sql`set role none`], "write"],
    ["set role, in a read", [sql`set role none`], "read"],
    ["set session authorization", [sql`set session authorization default`], "write"],
    ["prepare", [sql`prepare mine as select 'secret of alice'`], "read"],
    ["prepare, in a write", [sql`prepare mine as select 'secret of alice'`], "write"],
    ["commit", [sql`set work_mem = '77MB'`, sql`commit`], "read"],
    ["rollback", [sql`rollback`], "write"],
    ["begin anew", [sql`commit`, sql`begin`, sql`set work_mem = '77MB'`], "read"],
    ["discard", [sql`discard plans`], "write"],
    ["a savepoint", [sql`savepoint s`], "read"],
  ] as const)("does not reach the next human: %s", async (_name, statements, access) => {
    const pool = world.statementPool({ max: 1 });
    const shop = world.adapter({ statements: { pool } });
    for (const statement of statements) {
      await shop.query(await world.delegate("alice"), statement, { access }).catch(() => {});
    }
    await shop
      .run(
        await world.delegate("alice"),
        async (session) => {
          for (const statement of statements) await session.query(statement);
        },
        { access },
      )
      .catch(() => {});
    const { rows } = await shop.query(await world.delegate("bob"), residue);
    expect(rows).toEqual([["4MB", "read committed", world.names.statements, 0]]);
    const write = await shop.query(await world.delegate("bob"), residue, { access: "write" });
    expect(write.rows).toEqual(rows);
  });

  it("is told where it has more values than the protocol can carry", async () => {
    const shop = world.adapter();
    const many = trustedStatement(
      "select 1",
      Array.from({ length: 65_536 }, () => null),
    );
    expect(await failure(shop.query(await world.delegate("alice"), many))).toMatchObject({
      code: "configuration",
      reason: "value",
    });
  });
});

describe("a run", () => {
  it("of statements is one transaction, and asks who runs it", async () => {
    const shop = world.adapter();
    const seen = await shop.run(
      await world.delegate("alice"),
      async (session) => {
        await session.query(sql`insert into orders values (${1_000_900}, 'acme', 1, 'run', now())`);
        const { rows } = await session.query(sql`select note from orders where id = ${1_000_900}`);
        return { rows, who: await session.whoAmI() };
      },
      { access: "write" },
    );
    expect(seen.rows).toEqual([["run"]]);
    expect(seen.who).toMatchObject({
      name: world.names.statements,
      subject: { issuer: world.idp.issuer, subject: "alice" },
    });
    const { rows } = await world.admin.query("select org_id from orders where id = 1000900");
    expect(rows).toEqual([{ org_id: "acme" }]);
  });

  it("that fails keeps nothing", async () => {
    const shop = world.adapter();
    await expect(
      shop.run(
        await world.delegate("alice"),
        async (session) => {
          await session.query(sql`update orders set note = 'half'`);
          throw new Error("no");
        },
        { access: "write" },
      ),
    ).rejects.toThrow("no");
    const { rows } = await world.admin.query("select from orders where note = 'half'");
    expect(rows).toEqual([]);
  });

  it("does not mix an agent's texts with statements: they share no login", async () => {
    const shop = world.adapter();
    for (const inputs of [
      ["select 1", sql`select 1`] as const,
      [sql`select 1`, "select 1"] as const,
    ]) {
      const error = await failure(
        shop.run(await world.delegate("alice"), async (session) => {
          for (const input of inputs) await session.query(input);
        }),
      );
      expect(error).toMatchObject({ code: "configuration", reason: "mixed_modes" });
    }
  });

  it("ends at the next statement when the human's access is withdrawn at the database", async () => {
    const shop = world.adapter();
    const error = await failure(
      shop.run(await world.delegate("dan"), async (session) => {
        await session.query(sql`select 1`);
        await world.admin.query("select behalf.revoke($1, 'dan')", [world.idp.issuer]);
        await session.query(sql`select 1`);
      }),
    );
    expect(error.code).toBe("identity.revoked");
    await world.admin.query("select behalf.reinstate($1, 'dan')", [world.idp.issuer]);
  });
});

it("says what is missing where no statement role stands beside the human's role", async () => {
  const { statements, statementGateway } = world.names;
  await world.admin.query(
    `delete from behalf.companion_roles where mode = 'statement'; revoke ${statements} from ${statementGateway}`,
  );
  const error = await failure(world.adapter().query(await world.delegate("alice"), sql`select 1`));
  expect(error).toMatchObject({ code: "backend.denied", reason: "no_statement_role" });
  await world.admin.query(
    `select behalf.add_statement_role('${world.names.agent}', '${world.names.statements}')`,
  );
});

describe("a login that is another than the one that the adapter asked about", () => {
  const who = sql`select current_user::text, current_setting('search_path')`;

  it("runs its statements on the path of the role, also when it was renamed meanwhile", async () => {
    const { statementGateway: login, statements } = world.names;
    const shop = world.adapter({ statements: { pool: world.statementPool({ max: 1 }) } });
    const asked = async (human: string) =>
      (await shop.query(await world.delegate(human), who)).rows;
    const own = [[statements, "public, pg_temp"]];
    expect(await asked("alice")).toEqual(own);
    await world.admin.query(`alter role ${login} rename to ${login}_renamed`);
    try {
      // A ticket belongs to a login's name, so this one is proved anew.
      expect(await asked("alice")).toEqual(own);
      expect(await asked("bob")).toEqual(own);
    } finally {
      await world.admin.query(`alter role ${login}_renamed rename to ${login};
        alter role ${login} password '${world.passwords.statementGateway}'`);
    }
  });

  it("runs nothing as itself, when it got its ticket while no role was there for statements", async () => {
    const { agent, statementGateway: login, statements } = world.names;
    await using connections = new AsyncDisposableStack();
    const pool = world.statementPool({ max: 1 });
    const shop = world.adapter({ statements: { pool } });
    connections.defer(() => shop.close());
    expect((await shop.query(await world.delegate("alice"), who)).rows).toHaveLength(1);
    await world.admin.query(`delete from behalf.gateways where login = '${login}';
      delete from behalf.companion_roles where mode = 'statement'`);
    try {
      const error = await failure(shop.query(await world.delegate("carol"), who));
      expect(error).toMatchObject({ code: "backend.failed", nativeCode: "22023" });
    } finally {
      await world.admin.query(`select behalf.add_statement_role('${agent}', '${statements}');
        select behalf.add_statement_gateway('${login}')`);
    }
  });
});
