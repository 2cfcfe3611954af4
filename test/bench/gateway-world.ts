import { syncKeys } from "@behalf/postgres";
import pg from "pg";

import type { World } from "../support/world.ts";
import { parentOf } from "./gateway-cpu.ts";
import { type BenchIssuer, DATABASE } from "./gateway-issuer.ts";

export const ROWS = 20;
const PURCHASES = 1_000_000;
const OWNERS = 1_000;

/** One for each connection of the load, so that a mix-up of humans fails the bench. */
export const HUMANS: readonly string[] = Array.from({ length: 16 }, (_, n) => `human_${n}`);

/** With the owner's name as a literal it is the agent's text; with `$1` a fixed statement. */
export const statementOf = (owner: string): string =>
  `select id, owner, status, amount, placed_at from purchases where owner = ${owner} order by id limit ${ROWS}`;

export interface BenchWorld extends AsyncDisposable {
  /** The ids that each human must be shown, in their order. */
  readonly expected: ReadonlyMap<string, readonly number[]>;
  /** A login past row level security: what servers without identity have. */
  /** PostgreSQL's main process, or `NaN` where it is not on this machine. */
  readonly serverPid: number;
  readonly shared: { readonly user: string; readonly password: string };
}

/** A million rows of a thousand owners behind Behalf's policy, and an issuer that both doors trust. */
export async function fillWorld(
  world: World,
  issuer: BenchIssuer,
  isLocal: boolean,
): Promise<BenchWorld> {
  const { admin, names, passwords } = world;
  const shared = { user: `shared_${names.gateway}`, password: passwords.gateway };
  await admin.query(`
    create table purchases (
      id bigint primary key,
      owner text not null,
      status text not null,
      amount numeric(12, 2) not null,
      placed_at timestamptz not null
    );
    insert into purchases
    select i, 'human_' || i % ${OWNERS}, (array['open', 'paid', 'sent'])[1 + i % 3], i % 1000 * 1.25,
      timestamptz '2026-01-01 00:00:00Z' + i * interval '1 second'
    from generate_series(1, ${PURCHASES}) i;
    create index on purchases (owner, id);
    alter table purchases enable row level security;
    create policy agents_read on purchases for select to behalf_agents
      using (owner = (select behalf.claim('sub')));
    select behalf.guard('purchases');
    grant select on purchases to ${names.agent};
    create role ${shared.user} login bypassrls password '${shared.password}';
    grant select on purchases to ${shared.user};
    select behalf.set_audience('${DATABASE}');
    select behalf.add_issuer('${issuer.url}');
    select behalf.map_role('${issuer.url}', 'org_id', 'bench', '${names.agent}');
  `);
  // Without it the first rounds would pay for hint bits, and the checkpoint would fall into some round.
  await admin.query("vacuum (analyze) purchases");
  await admin.query("checkpoint");

  const keysync = new pg.Client({
    connectionString: world.url({ user: names.keysync, password: passwords.keysync }),
  });
  await keysync.connect();
  try {
    await syncKeys({ client: keysync, issuer: issuer.url });
  } finally {
    await keysync.end();
  }

  const expected = new Map<string, readonly number[]>();
  for (const human of HUMANS) {
    const { rows } = await admin.query<{ id: string }>(statementOf("$1"), [human]);
    expected.set(
      human,
      rows.map(({ id }) => Number(id)),
    );
  }
  const { rows } = await admin.query<{ pid: number }>("select pg_backend_pid() as pid");
  return {
    expected,
    serverPid: isLocal ? parentOf(rows[0]?.pid ?? Number.NaN) : Number.NaN,
    shared,
    async [Symbol.asyncDispose]() {
      await admin.query(`drop owned by ${shared.user}; drop role ${shared.user}`);
    },
  };
}
