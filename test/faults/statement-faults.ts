import { sql, type SqlResult } from "@behalf/core";
import pg from "pg";

import type { Fault, Stage } from "./fault.ts";
import { each, quick } from "./works.ts";

/** A transaction of a superuser's, until the fault is over. */
async function other(stage: Stage, ...texts: readonly string[]): Promise<pg.Client> {
  const { server, world } = stage;
  const url = server.urlFor({ ...server.superuser, database: world.names.database });
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  stage.defer(() => client.end());
  for (const text of ["begin", ...texts]) await client.query(text);
  return client;
}

async function deadlock(stage: Stage, meet: () => Promise<unknown>): Promise<void> {
  await stage.ask("insert into marks (id, owner) values (-1, 'alice'), (-2, 'alice')");
  stage.defer(async () => void (await stage.ask("delete from marks where id < 0")));
  await meet();
}

/** A table that statements may copy into. */
async function plainTable(stage: Stage): Promise<void> {
  await stage.ask("create table plain (id int)");
  stage.defer(async () => void (await stage.ask("drop table plain")));
  await stage.ask("select behalf.expose('plain', 'a table without rows')");
  await stage.ask(`grant insert on plain to ${stage.world.names.statements}`);
}

/** Brings a result of which a mebibyte is kept, and checks what this process needs for it. */
async function capped(bring: () => Promise<unknown>): Promise<void> {
  const before = process.memoryUsage().rss;
  let most = before;
  const look = () => {
    most = Math.max(most, process.memoryUsage().rss);
  };
  const watching = setInterval(look, 5);
  let result;
  try {
    result = (await bring()) as SqlResult;
  } finally {
    clearInterval(watching);
  }
  look();
  const grew = (most - before) / 1_048_576;
  if (result.truncated !== "bytes" || result.rows.length !== 1) {
    throw new Error(`it was cut by ${result.truncated}, at ${result.rows.length} rows`);
  }
  // Around 100 MiB are buffers that the collector has not taken yet; a result that is held takes 300 more.
  if (grew > 250) throw new Error(`it took ${grew.toFixed()} MiB of memory`);
}

/** What the statement does, or what others do at the same time. */
export const STATEMENT_FAULTS: readonly Fault[] = [
  ...each(
    "a deadlock, in which the server chose this one",
    async (stage, call) => {
      await deadlock(stage, async () => {
        const client = await other(
          stage,
          "set local deadlock_timeout = '1h'",
          "update marks set slot = null where id = -2",
        );
        let theirs: Promise<unknown> = Promise.resolve();
        try {
          await stage.call(call, {
            ...quick(stage, call),
            next: async (session) => {
              await session.query("update marks set slot = null where id = -1");
              // They wait for this one, and never look for a circle: this one does.
              theirs = client.query("update marks set slot = null where id = -1");
              theirs.catch(() => {});
              for (let isWaiting = false; !isWaiting;) {
                const rows = await stage.ask("select 1 as n from pg_locks where not granted");
                isWaiting = rows.length > 0;
              }
              await session.query("update marks set slot = null where id = -2");
            },
          });
        } finally {
          await theirs;
          await client.query("rollback");
        }
      });
    },
    { "run that writes": ["backend.failed", "40P01", "none", "no", "kept"] },
  ),
  ...each(
    "another transaction moved the row to another partition meanwhile",
    async (stage, call) => {
      const { writer } = stage.world.names;
      await stage.ask(`create table parted (id bigint, part int) partition by list (part)`);
      await stage.ask(`create table parted_1 partition of parted for values in (1)`);
      await stage.ask(`create table parted_2 partition of parted for values in (2)`);
      await stage.ask(`alter table parted enable row level security`);
      await stage.ask(`create policy everyone on parted to behalf_agents using (true)`);
      await stage.ask(`select behalf.guard('parted')`);
      await stage.ask(`grant select, update on parted to ${writer}`);
      await stage.ask(`insert into parted values (1, 1)`);
      stage.defer(async () => void (await stage.ask("drop table parted")));
      const client = await other(stage, "update parted set part = 2 where id = 1");
      const going = stage.call(call, {
        ...quick(stage, call),
        text: "update parted set id = id where id = 1",
      });
      going.catch(() => {});
      for (let isWaiting = false; !isWaiting;) {
        const rows = await stage.ask("select 1 as n from pg_locks where not granted");
        isWaiting = rows.length > 0;
      }
      await client.query("commit");
      await going;
    },
    { "text writes": ["backend.failed", "40001", "none", "no", "kept"] },
  ),
  ...each(
    "a deferred constraint fails at the end",
    (stage, call) => {
      const { mark } = stage;
      return stage.call(call, {
        text: `insert into marks (id, slot) values (${mark}, 1), (${mark}, 1)`,
        statement: sql`insert into marks (id, slot) values (${mark}, 1), (${mark}, 1)`,
        next: (session) =>
          session.query(`insert into marks (id, slot) values (${mark}, 1), (${mark}, 1)`),
      });
    },
    {
      "text writes": ["backend.failed", "23505", "none", "no", "kept"],
      "statement writes": ["backend.failed", "23505", "none", "no", "kept"],
      "run that writes": ["backend.failed", "23505", "none", "no", "kept"],
    },
  ),
  ...each(
    "a deferred trigger raises at the end",
    async (stage, call) => {
      await stage.ask(
        `create function no() returns trigger language plpgsql as $$ begin raise 'not today'; end $$`,
      );
      await stage.ask(
        "create constraint trigger no after insert on marks deferrable initially deferred for each row execute function no()",
      );
      stage.defer(async () => void (await stage.ask("drop function no() cascade")));
      await stage.call(call, quick(stage, call));
    },
    {
      "text writes": ["backend.failed", "P0001", "none", "no", "kept"],
      "statement writes": ["backend.failed", "P0001", "none", "no", "kept"],
      "run that writes": ["backend.failed", "P0001", "none", "no", "kept"],
    },
  ),
  ...each(
    "COPY FROM STDIN",
    async (stage, call) => {
      await plainTable(stage);
      const text = "copy plain from stdin";
      await stage.call(call, { text, statement: sql`copy plain from stdin` });
    },
    {
      "text reads": ["statement.refused", "42P11", "", "", "kept"],
      "text writes": ["statement.refused", "42601", "none", "no", "kept"],
      "statement reads": ["backend.denied", "25006", "", "", "kept"],
      "statement writes": ["statement.refused", "copy", "none", "no", "cut"],
    },
  ),
  ...each(
    "COPY FROM STDIN, in a run of statements",
    async (stage) => {
      await plainTable(stage);
      await stage.shop.run(
        await stage.delegate("alice"),
        async (session) => {
          await session.query(sql`insert into marks (id) values (${stage.mark})`);
          await session.query(sql`copy plain from stdin`);
        },
        { access: "write" },
      );
    },
    { "statement writes": ["statement.refused", "copy", "none", "no", "kept"] },
  ),
  ...each(
    "COPY TO STDOUT",
    (stage, call) =>
      stage.call(call, {
        text: "copy orders to stdout",
        statement: sql`copy (select org_id from orders) to stdout`,
      }),
    {
      "text reads": ["statement.refused", "42P11", "", "", "kept"],
      "statement reads": ["statement.refused", "copy", "", "", "kept"],
    },
  ),
  ...each(
    "LISTEN",
    (stage, call) => stage.call(call, { text: "listen news", statement: sql`listen news` }),
    {
      "text reads": ["statement.refused", "42P11", "", "", "kept"],
      "text writes": ["statement.refused", "42601", "none", "no", "kept"],
      "statement reads": ["ok", "", "", "", "kept"],
      "statement writes": ["ok", "", "done", "no", "kept"],
    },
  ),
  ...each(
    "a result of 1 GB against a byte cap of 1 MiB: the server stops",
    async (stage, call) => {
      const text = "select repeat('x', 1000000) from generate_series(1, 1000)";
      await capped(() => stage.call(call, { ...quick(stage, call), text }));
    },
    { "text reads": ["ok", "", "", "", "kept"] },
  ),
  ...each(
    "a result of 300 MB against a byte cap of 1 MiB: nothing more is kept of it",
    async (stage, call) => {
      const statement = sql`select repeat('x', 1000000) from generate_series(1, 300)`;
      await capped(() => stage.call(call, { ...quick(stage, call), statement }));
    },
    { "statement reads": ["ok", "", "", "", "kept"] },
  ),
];
