import { randomBytes } from "node:crypto";

import {
  credentialCache,
  type Delegation,
  type Delegator,
  delegator,
  identityVerifier,
  memorySink,
  tokenExchange,
  Secret,
  type MemorySink,
  type SqlAdapter,
} from "@behalf/core";
import { type LocalOpenIdProvider, startOpenIdProvider } from "@behalf/local";
import { installKit, postgres, type PostgresOptions, syncKeys } from "@behalf/postgres";
import pg from "pg";

export const GATEWAY = "urn:example:gateway";
export const DATABASE = "urn:example:database";

/** Each human sees the orders of one organisation. */
export const HUMANS = {
  alice: { org: "acme" },
  bob: { org: "globex" },
  carol: { org: "initech" },
  dan: { org: "umbrella" },
} as const;
export type Human = keyof typeof HUMANS;

/** A database with the kit, an issuer, a gateway, and orders of four organisations. */
export interface World extends AsyncDisposable {
  /** A superuser's connection to the world's own database, or the DBA's. */
  readonly admin: pg.Client;
  readonly idp: LocalOpenIdProvider;
  readonly records: MemorySink;
  readonly names: {
    readonly database: string;
    /** What agents' texts read as, write as, and what an author's statements run as. */
    readonly agent: string;
    readonly writer: string;
    readonly statements: string;
    /** The logins for agents' texts and for an author's statements. */
    readonly gateway: string;
    readonly statementGateway: string;
    readonly keysync: string;
  };
  readonly passwords: {
    readonly gateway: string;
    readonly statementGateway: string;
    readonly keysync: string;
  };
  /** A URL of the world's database, for the gateway's login unless another is given. */
  url(login?: { user: string; password: string }, address?: { host: string; port: number }): string;
  /** A pool of the gateway's login; ended with the world. */
  pool(config?: pg.PoolConfig): pg.Pool;
  /** A pool of the login for statements; ended with the world. */
  statementPool(config?: pg.PoolConfig): pg.Pool;
  /** With both logins, unless `pool` or `statements` is `null`. */
  adapter(options?: WorldAdapterOptions): SqlAdapter;
  /** The human's token for the gateway, with the agent as actor. Default is `assistant`. */
  token(human: string, agent?: string): Promise<string>;
  /** The human's token for the database, with the gateway and the agent as actors. */
  databaseToken(human: string): Promise<string>;
  delegate(human: string): Promise<Delegation>;
  readonly front: Delegator;
}

export type WorldAdapterOptions = Partial<Omit<PostgresOptions, "pool" | "statements">> & {
  readonly pool?: pg.Pool | null;
  readonly statements?: PostgresOptions["statements"] | null;
};

export interface WorldOptions {
  /** A superuser's URL of the server. */
  readonly url: string;
  /** Orders for each organisation. Default is `100`. */
  readonly orders?: number;
  readonly accessTokenTtlSeconds?: number;
  /** A login that owns the world's database, installs the kit and is its DBA. Default is the superuser. */
  readonly dba?: { readonly user: string; readonly password: string };
  /** What a human's tokens say in addition. Read for each token, so that it may change. */
  readonly claims?: Readonly<Partial<Record<Human, Readonly<Record<string, unknown>>>>>;
  /** Further humans of the provider's, with the organisation that their tokens name. */
  readonly moreHumans?: Readonly<Record<string, string>>;
  /** Who there is, each with an organisation that has orders. Default is {@link HUMANS}. */
  readonly humans?: Readonly<Record<string, { readonly org: string }>>;
  /** Further agents: the client `reporter` acts as `agent:reporter`. */
  readonly moreAgents?: readonly string[];
  /** Another version of the kit. */
  readonly installKit?: typeof installKit;
}

export const GATEWAY_SECRET = "gateway-secret-for-tests";
const ASSISTANT_SECRET = "assistant-secret-for-tests";

export async function makeWorld(options: WorldOptions): Promise<World> {
  const id = randomBytes(5).toString("hex");
  const names = {
    database: `world_${id}`,
    agent: `agent_${id}`,
    writer: `writer_${id}`,
    statements: `statements_${id}`,
    statementGateway: `statement_gateway_${id}`,
    gateway: `gateway_${id}`,
    keysync: `keysync_${id}`,
  };
  const passwords = {
    gateway: randomBytes(12).toString("hex"),
    statementGateway: randomBytes(12).toString("hex"),
    keysync: randomBytes(12).toString("hex"),
  };
  await using stack = new AsyncDisposableStack();

  const humans = options.humans ?? HUMANS;
  const orgs = `array[${Object.values(humans)
    .map(({ org }) => `'${org}'`)
    .join()}]`;
  const idp = await startOpenIdProvider({
    humans: [
      ...Object.entries(humans).map(([sub, { org }]) => [sub, org] as const),
      ...Object.entries(options.moreHumans ?? {}),
    ].map(([sub, org]) => ({
      sub,
      get claims() {
        return { ...options.claims?.[sub as Human], org_id: org };
      },
    })),
    clients: [
      ...["assistant", ...(options.moreAgents ?? [])].map((clientId) => ({
        clientId,
        clientSecret: ASSISTANT_SECRET,
        actor: { sub: `agent:${clientId}`, sub_profile: "ai_agent" } as const,
        localSignIn: true,
      })),
      {
        clientId: "gateway",
        clientSecret: GATEWAY_SECRET,
        actor: { sub: "gateway:shop", sub_profile: "service" },
        audiences: [GATEWAY],
        mayExchangeFor: [DATABASE],
      },
    ],
    resources: [{ audience: GATEWAY }, { audience: DATABASE }],
    accessTokenTtlSeconds: options.accessTokenTtlSeconds ?? 600,
  });
  stack.defer(() => idp.close());

  // A connection for each use: fault tests restart the server in between.
  const onServer = async (statements: readonly string[]) => {
    const server = new pg.Client({ connectionString: options.url });
    await server.connect();
    try {
      for (const statement of statements) await server.query(statement);
    } finally {
      await server.end();
    }
  };
  // UTF8 whatever the cluster was made with: a stand-in may be SQL_ASCII, which converts nothing.
  const owner = options.dba === undefined ? "" : ` owner ${options.dba.user}`;
  await onServer([`create database ${names.database}${owner} encoding 'UTF8' template template0`]);
  stack.defer(() =>
    onServer([
      `drop database if exists ${names.database} with (force)`,
      ...[
        names.gateway,
        names.statementGateway,
        names.keysync,
        names.agent,
        names.writer,
        names.statements,
      ].map((role) => `drop role if exists ${role}`),
    ]),
  );

  const databaseUrl = new URL(options.url);
  databaseUrl.pathname = `/${names.database}`;
  const adminUrl = new URL(databaseUrl);
  if (options.dba !== undefined) {
    adminUrl.username = options.dba.user;
    adminUrl.password = options.dba.password;
  }
  const admin = new pg.Client({ connectionString: adminUrl.href });
  // The force of `drop database` ends it in fault tests.
  admin.on("error", () => {});
  await admin.connect();
  stack.defer(() => admin.end());
  await (options.installKit ?? installKit)(admin);
  if (options.dba !== undefined) await admin.query("grant behalf_owner to current_user");
  await admin.query(`
    create role ${names.gateway} login noinherit password '${passwords.gateway}';
    create role ${names.statementGateway} login noinherit password '${passwords.statementGateway}';
    create role ${names.keysync} login password '${passwords.keysync}' in role behalf_keysync;
    create table orders (
      id bigint primary key,
      org_id text not null,
      total numeric(12, 2) not null,
      note text,
      placed_at timestamptz not null
    );
    insert into orders
    select org.position * 1000000 + i, org.name, i * 1.25, case when i % 3 = 0 then 'note ' || i end,
      timestamptz '2026-01-01 00:00:00Z' + i * interval '1 minute'
    from unnest(${orgs}) with ordinality as org (name, position),
      generate_series(1, ${options.orders ?? 100}) i;
    create index on orders (org_id, id);
    analyze orders;
    alter table orders enable row level security;
    select behalf.set_audience('${DATABASE}');
    select behalf.add_issuer('${idp.issuer}');
    select behalf.add_agent_role('${names.agent}');
    select behalf.add_write_role('${names.agent}', '${names.writer}');
    select behalf.add_statement_role('${names.agent}', '${names.statements}');
    grant select on orders to ${names.agent};
    grant select, insert, update, delete on orders to ${names.writer}, ${names.statements};
    create policy agents_read on orders for select to behalf_agents
      using (org_id = (select behalf.claim('org_id')));
    create policy agents_create on orders for insert to behalf_agents
      with check (org_id = (select behalf.claim('org_id')));
    create policy agents_update on orders for update to behalf_agents
      using (org_id = (select behalf.claim('org_id')));
    create policy agents_delete on orders for delete to behalf_agents
      using (org_id = (select behalf.claim('org_id')));
    select behalf.guard('orders');
    select behalf.map_role('${idp.issuer}', 'org_id', org, '${names.agent}')
    from unnest(${orgs}) org;
    select behalf.add_gateway('${names.gateway}', writes => true);
    select behalf.add_statement_gateway('${names.statementGateway}');
  `);
  if (options.dba !== undefined) await admin.query("revoke behalf_owner from current_user");

  const url: World["url"] = (login, address) => {
    const result = new URL(databaseUrl);
    result.username = login?.user ?? names.gateway;
    result.password = login?.password ?? passwords.gateway;
    if (address) {
      result.hostname = address.host;
      result.port = String(address.port);
    }
    return result.href;
  };

  const keysync = new pg.Client({
    connectionString: url({ user: names.keysync, password: passwords.keysync }),
  });
  await keysync.connect();
  try {
    await syncKeys({ client: keysync, issuer: idp.issuer });
  } finally {
    await keysync.end();
  }

  const records = memorySink();
  const verifier = identityVerifier({ issuers: [{ issuer: idp.issuer }], audience: GATEWAY });
  stack.defer(() => verifier.close());
  const front = delegator({ verifier, records });
  const credentials = credentialCache({
    exchange: tokenExchange({
      issuer: idp.issuer,
      clientId: "gateway",
      clientSecret: new Secret(GATEWAY_SECRET),
      audience: DATABASE,
    }),
  });
  const pools: pg.Pool[] = [];
  const adapters: SqlAdapter[] = [];
  stack.defer(async () => {
    await Promise.all(adapters.map((adapter) => adapter.close()));
    await Promise.all(pools.filter((pool) => !pool.ended).map((pool) => pool.end()));
  });

  const token = (human: string, clientId = "assistant") =>
    idp.signIn(human, { clientId, audience: GATEWAY });
  const pool: World["pool"] = (config) => {
    const made = new pg.Pool({ connectionString: url(), max: 4, ...config });
    pools.push(made);
    return made;
  };
  const statementPool: World["statementPool"] = (config) => {
    const { statementGateway: user } = names;
    const connectionString = url({ user, password: passwords.statementGateway });
    return pool({ connectionString, ...config });
  };
  const world: World = {
    admin,
    idp,
    records,
    names,
    passwords,
    url,
    pool,
    statementPool,
    adapter({ pool: sandboxPool = pool(), statements, ...adapterOptions } = {}) {
      const made = postgres({
        credentials,
        records,
        ...adapterOptions,
        ...(sandboxPool === null ? {} : { pool: sandboxPool }),
        ...(statements === null ? {} : { statements: statements ?? { pool: statementPool() } }),
      });
      adapters.push(made);
      return made;
    },
    front,
    token,
    async databaseToken(human) {
      const delegation = await front.delegate(await token(human));
      return (await credentials.credential(delegation)).token.reveal();
    },
    async delegate(human) {
      return front.delegate(await token(human));
    },
    [Symbol.asyncDispose]: async () => disposal.disposeAsync(),
  };
  const disposal = stack.move();
  return world;
}
