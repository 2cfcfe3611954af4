import type pg from "pg";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { problems } from "../support/kit-world.ts";
import { makeWorld, type World } from "../support/world.ts";

// An application that lets its triggers and defaults write down who did it, from a setting of each request.
let world: World;
let gateway: pg.PoolClient;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl"), orders: 1 });
  const { agent, writer } = world.names;
  await world.admin.query(`
    create table notes (note text, author text);
    alter table notes enable row level security;
    create policy agents_create on notes for insert to behalf_agents with check (true);
    create policy agents_read on notes for select to behalf_agents using (true);
    select behalf.guard('notes');
    grant select on notes to ${agent}, ${writer};
    grant insert (note) on notes to ${writer};
  `);
  gateway = await world.pool().connect();
});
afterAll(async () => {
  gateway.release();
  await world[Symbol.asyncDispose]();
});

/** Writes as Alice, in a text that first takes Bob's name; says whom the application takes for the author. */
async function author(): Promise<string> {
  await gateway.query("begin");
  try {
    await gateway.query("select from behalf.start($1, $2, 'alice')", [
      await world.databaseToken("alice"),
      world.idp.issuer,
    ]);
    const { rows } = await gateway.query<{ line: string }>(
      "select line from behalf.write($1, 10, 10000)",
      [
        `insert into notes (note) select 'x' from (select set_config('request.jwt.claim.sub', 'bob', true)) forged
         returning author`,
      ],
    );
    return String(rows[0]?.line);
  } finally {
    await gateway.query("rollback");
  }
}

const signs = (reads: string) => `
  create or replace function signs() returns trigger language plpgsql set search_path = ''
  as $$ begin new.author := ${reads}; return new; end $$;
  create or replace trigger signs before insert on notes for each row execute function signs()`;
const BY_TRIGGER =
  "trigger signs on public.notes, or public.signs(), which it runs, reads a setting";
const BY_DEFAULT = `the default of author of public.notes`;

it.each([
  ["a trigger", signs, BY_TRIGGER, "drop trigger signs on notes"],
  [
    "a trigger's condition",
    (reads: string) => `
      create or replace function signs() returns trigger language plpgsql set search_path = ''
      as $$ begin new.author := 'bob'; return new; end $$;
      create or replace trigger signs before insert on notes for each row
      when (${reads.replaceAll("/**/", "")} = 'bob') execute function signs();
      alter table notes alter author set default 'alice'`,
    BY_TRIGGER,
    "drop trigger signs on notes; alter table notes alter author drop default",
  ],
  [
    "a default",
    (reads: string) => `alter table notes alter author set default ${reads}`,
    BY_DEFAULT,
    "alter table notes alter author drop default",
  ],
  [
    "a default by way of a function",
    (reads: string) => `
      create or replace function who() returns text language sql stable set search_path = '' as $$ select ${reads} $$;
      alter table notes alter author set default who()`,
    BY_DEFAULT,
    "alter table notes alter author drop default",
  ],
])("preflight names %s that lets an agent sign as Bob", async (_, make, said, undo) => {
  for (const setting of [
    "/**/('request.jwt.claim.sub', true)",
    "('request' || '.jwt.claim.sub', true)",
  ]) {
    await world.admin.query(make(`current_setting${setting}`));
    expect(await author()).toBe("(bob)");
    expect((await problems(gateway)).join("\n")).toContain(said);
  }
  await world.admin.query(make("behalf_auth.current_setting('request.jwt.claim.sub', true)"));
  expect(await author()).toBe("(alice)");
  expect(await problems(gateway)).toEqual([]);
  await world.admin.query(undo);
});

it("says nothing of a default in whose place the agent may write what it likes", async () => {
  await world.admin.query(`
    alter table notes alter author set default current_setting('request.jwt.claim.sub', true);
    grant insert (author) on notes to ${world.names.writer}`);
  expect(await problems(gateway)).toEqual([]);
});
