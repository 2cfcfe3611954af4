import pg from "pg";

import { startTestPostgres } from "../support/test-postgres.ts";
import { makeWorld } from "../support/world.ts";
import { type Figure, figure, milliseconds } from "./figures.ts";

const ROUNDS = 40;
const PAGE = 100;

/**
 * The first page of `select *` on 1,000,000 rows: through the read sandbox, against a cursor that the
 * table's owner opens directly, all four statements in one message.
 */
export async function run(): Promise<readonly Figure[]> {
  const server = await startTestPostgres();
  console.log(server.description);
  try {
    await using world = await makeWorld({ url: server.url, orders: 1 });
    await world.admin.query(`
      create table big (id bigint, org_id text, filler text);
      insert into big select i, 'acme', repeat('x', 100) from generate_series(1, 1000000) i;
      alter table big enable row level security;
      create policy agents_read on big for select to behalf_agents using (org_id = (select behalf.claim('org_id')));
      select behalf.guard('big');
      grant select on big to ${world.names.agent};
      analyze big;
    `);
    const shop = world.adapter({ pool: world.pool({ max: 1 }) });
    const direct = new pg.Client({
      connectionString: world.url(ownerOf(server.url)),
    });
    await direct.connect();
    try {
      const cursor = () =>
        direct.query(
          `begin read only; declare c cursor for select * from big; fetch ${PAGE} from c; rollback`,
        );
      const token = await world.token("alice");
      const sandbox = async () => {
        const delegation = await world.front.delegate(token);
        return shop.query(delegation, "select * from big", { maxRows: PAGE });
      };
      for (let n = 0; n < 5; n++) {
        await cursor();
        await sandbox();
      }
      const cursorMs: number[] = [];
      const sandboxMs: number[] = [];
      const ratios: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const a = await milliseconds(cursor);
        const b = await milliseconds(sandbox);
        cursorMs.push(a);
        sandboxMs.push(b);
        ratios.push(b / a);
      }
      return [
        figure("first page of 1,000,000 rows: direct cursor", "ms", cursorMs),
        figure("first page of 1,000,000 rows: behalf", "ms", sandboxMs),
        figure("first page of 1,000,000 rows: behalf / direct cursor", "times", ratios, 5),
      ];
    } finally {
      await direct.end();
    }
  } finally {
    await server.stop();
  }
}

function ownerOf(url: string): { user: string; password: string } {
  const { username, password } = new URL(url);
  return { user: decodeURIComponent(username), password: decodeURIComponent(password) };
}
