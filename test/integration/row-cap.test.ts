import { expect, inject, it } from "vitest";

import { failure } from "../support/failure.ts";
import { makeWorld } from "../support/world.ts";

/** Not a timed test: what the server did is read from its own counters. The times are in `npm run bench -- first-page`. */
it(
  "reads the first page of 1,000,000 rows without the server materialising the rest",
  { timeout: 180_000 },
  async () => {
    await using world = await makeWorld({ url: inject("postgresUrl"), orders: 1 });
    await world.admin.query(`
    create table big (id bigint, org_id text, filler text);
    insert into big select i, 'acme', repeat('x', 100) from generate_series(1, 1000000) i;
    alter table big enable row level security;
    create policy agents_read on big for select to behalf_agents using (org_id = (select behalf.claim('org_id')));
    select behalf.guard('big');
    grant select on big to ${world.names.agent};
    analyze big;
    alter role ${world.names.gateway} set temp_file_limit = 0;
  `);
    const pool = world.pool();
    const shop = world.adapter({ pool });
    const { rows, truncated } = await shop.query(
      await world.delegate("alice"),
      "select * from big",
      { maxRows: 50 },
    );
    expect(rows).toHaveLength(50);
    expect(truncated).toBe("rows");

    // The other side: a statement that needs the whole table for its first row is what the limit stops.
    const sorted = await failure(
      shop.query(await world.delegate("alice"), "select * from big order by filler, id", {
        maxRows: 50,
      }),
    );
    expect(sorted.nativeCode).toBe("53400");

    // Sessions write their statistics when they end.
    await pool.end();
    // 1,000,000 rows of 100 bytes do not fit into work_mem, and temp_file_limit is 0: had the server kept
    // the result anywhere, the call would have failed. It did not even read the table to its end.
    const { rows: stats } = await world.admin.query<{ read: string }>(
      "select seq_tup_read as read from pg_stat_user_tables where relname = 'big'",
    );
    // The sorted control read the table once; the capped call a few pages.
    expect(Number(stats[0]?.read)).toBeLessThan(1_100_000);
  },
);
