import { type SqlAdapter, sql } from "@behalf/core";
import type pg from "pg";

import { embeddedPostgres } from "../support/embedded-postgres.ts";
import { makeWorld, type World } from "../support/world.ts";

/** Rows of the table that most figures read; each of a thousand owners has a thousandth of them. */
const NOTES = 1_000_000;
const OWNERS = 1_000;

/** What every contestant asks: twenty rows of one human. */
export const pageStatement = sql`select id, owner, title, total, made_at from notes order by id limit 20`;
/** The same where nothing but the text itself narrows it. */
export const PAGE_OF_OWNER =
  "select id, owner, title, total, made_at from notes where owner = $1 order by id limit 20";

/** One server with a large table under row level security, and everybody who reads it. */
export interface PostgresWorld extends AsyncDisposable {
  readonly world: World;
  readonly description: string;
  /** The process ids of what serves these connections are children of the server's. */
  readonly serverPid: number;
  /** Alice's token for the gateway. */
  readonly token: string;
  /** A pool of the table's owner, to whom no policy applies. */
  readonly ownerPool: (max: number, port?: number) => pg.Pool;
  /** A pool of the login that the usual recipes run on: a member of the role that they become. */
  readonly recipePool: (max: number, config?: pg.PoolConfig) => pg.Pool;
  readonly recipeRole: string;
  readonly recipeUrl: string;
  /** An adapter with so many connections of each login, through `port` where one is given. */
  adapter(connections: number, port?: number): SqlAdapter;
  readonly port: number;
}

export async function postgresWorld(): Promise<PostgresWorld> {
  await using stack = new AsyncDisposableStack();
  const server = await embeddedPostgres({
    settings: {
      max_connections: "150",
      shared_buffers: "1GB",
      max_wal_size: "8GB",
      autovacuum: "off",
    },
  });
  stack.defer(() => server.stop());
  const world = await makeWorld({ url: server.url, accessTokenTtlSeconds: 3_600 });
  stack.use(world);
  const { names } = world;
  const owner = `${names.agent}_owner`;
  const recipe = `${names.agent}_recipe`;
  const recipeRole = `${names.agent}_usual`;
  const password = "bench";
  await world.admin.query(`
    create role ${owner} login password '${password}';
    create role ${recipeRole} nologin;
    create role ${recipe} login password '${password}' in role ${recipeRole};
    create table notes (id bigint primary key, owner text not null, title text not null, total numeric(12, 2) not null, made_at timestamptz not null);
    insert into notes
    select i, case i % ${OWNERS} when 0 then 'alice' when 1 then 'bob' else 'human-' || i % ${OWNERS} end,
      'note ' || i, i * 1.25, timestamptz '2026-01-01 00:00:00Z' + i * interval '1 second'
    from generate_series(1, ${NOTES}) i;
    create index on notes (owner, id);
    alter table notes owner to ${owner};
    alter table notes enable row level security;
    grant select on notes to ${names.agent}, ${names.statements}, ${recipeRole};
    create policy agents_read on notes for select to behalf_agents using (owner = (select behalf.claim('sub')));
    create policy usual_read on notes for select to ${recipeRole}
      using (owner = (select current_setting('request.jwt.claims', true)::json ->> 'sub'));
    select behalf.guard('notes');
  `);
  await world.admin.query("vacuum analyze notes");
  stack.defer(async () => {
    await world.admin.query(
      `reassign owned by ${owner} to current_user; drop owned by ${owner}, ${recipeRole}, ${recipe};
       drop role ${owner}, ${recipe}, ${recipeRole}`,
    );
  });
  const at = (port?: number) => (port === undefined ? undefined : { host: "127.0.0.1", port });
  const records = { write: async () => {}, close: async () => {} };
  const disposal = { stack: null as AsyncDisposableStack | null };
  const made: PostgresWorld = {
    world,
    description: `embedded, PostgreSQL ${server.version}`,
    serverPid: server.serverPid ?? Number.NaN,
    token: await world.token("alice"),
    recipeRole,
    recipeUrl: world.url({ user: recipe, password }),
    port: server.port,
    ownerPool(max, port) {
      const pool = world.pool({
        max,
        connectionString: world.url({ user: owner, password }, at(port)),
      });
      // Through a proxy, a connection may end before its pool does.
      pool.on("error", () => {});
      return pool;
    },
    recipePool: (max, config) =>
      world.pool({ max, connectionString: world.url({ user: recipe, password }), ...config }),
    adapter(connections, port) {
      const of = (user: string, secret: string) => {
        const pool = world.pool({
          max: connections,
          connectionString: world.url({ user, password: secret }, at(port)),
        });
        pool.on("error", () => {});
        return pool;
      };
      return world.adapter({
        pool: of(names.gateway, world.passwords.gateway),
        statements: { pool: of(names.statementGateway, world.passwords.statementGateway) },
        records,
        maxConnectionsPerHuman: connections,
      });
    },
    [Symbol.asyncDispose]: async () => {
      await disposal.stack?.disposeAsync();
    },
  };
  disposal.stack = stack.move();
  return made;
}
