import { randomUUID } from "node:crypto";

import type { Harness, Human } from "@behalf/conformance";
import {
  credentialCache,
  Secret,
  type SqlAdapter,
  type SqlSession,
  type TokenExchange,
  tokenExchange,
} from "@behalf/core";
import { type installKit, postgres } from "@behalf/postgres";
import pg from "pg";

import { observed, OBSERVED_READS, observerSql, seenOf } from "./conformance-observer.ts";
import { ROUND_TRIPS, runProbe, WAYS } from "./conformance-probes.ts";
import { type IdleConnections, idleConnections } from "./idle-connections.ts";
import { type TcpProxy, tcpProxy } from "./tcp-proxy.ts";
import { DATABASE, GATEWAY_SECRET, HUMANS, makeWorld, type World } from "./world.ts";

/** Who takes part, and what of the tables is whose. */
const PEOPLE = ["alice", "bob", "carol"] as const;
const AGENTS = ["agent:assistant", "agent:reporter"] as const;
/** The issuer knows her, and the database maps her to nobody. */
const STRANGER = "mallory";

/** How long a session may take to end whose connection is gone, in milliseconds. */
const GONE_WITHIN_MS = 1_000;

/** A database with what the suite asks for, and the wire to it. */
export interface ConformanceWorld extends AsyncDisposable {
  readonly world: World;
  readonly humans: Harness<SqlSession>["humans"];
  readonly proxy: TcpProxy;
  readonly exchange: TokenExchange;
  /** Further claims of alice's next token. */
  readonly claims: Record<string, unknown>;
  readonly connections: IdleConnections;
  /** Tokens and tickets that were sent lately. */
  readonly proofs: Set<string>;
  /** What the server quotes in DETAIL and CONTEXT when a probe fails, and the keys of its seals and tickets. */
  readonly secrets: readonly string[];
}

export interface ConformanceWorldOptions {
  /** A superuser's URL of the server. */
  readonly url: string;
  readonly installKit?: typeof installKit;
}

export async function conformanceWorld({
  url,
  installKit: install,
}: ConformanceWorldOptions): Promise<ConformanceWorld> {
  await using stack = new AsyncDisposableStack();
  const claims: Record<string, unknown> = {};
  const world = stack.use(
    await makeWorld({
      url,
      orders: 1,
      humans: Object.fromEntries(PEOPLE.map((name) => [name, HUMANS[name]])),
      moreHumans: { [STRANGER]: "nowhere" },
      moreAgents: AGENTS.slice(1).map((agent) => agent.replace("agent:", "")),
      claims: { alice: claims },
      ...(install === undefined ? {} : { installKit: install }),
    }),
  );
  const { admin, idp, names } = world;
  const human = (name: (typeof PEOPLE)[number]): Human => ({
    name,
    subject: { issuer: idp.issuer, subject: name },
    owner: HUMANS[name].org,
    widerOwner: `invoices of ${HUMANS[name].org}`,
  });
  const humans = [human("alice"), human("bob"), human("carol")] as const;
  const { issuer } = idp;
  const roles = `${names.writer}, ${names.statements}`;
  const rowValue = `a value of a row ${randomUUID()}`;
  const mine = "org_id = (select behalf.claim('org_id'))";
  await admin.query(`
    alter database ${names.database} set track_functions = 'pl';
    ${observerSql({ issuer, humans, strangers: [STRANGER], agents: AGENTS })}
    drop policy agents_read on orders;
    create policy agents_read on orders for select to behalf_agents using (${observed(mine, "org_id")});

    create table invoices (org_id text not null, owner text not null);
    insert into invoices select org_id, 'invoices of ' || org_id from orders;
    alter table invoices enable row level security;
    create policy agents_read on invoices for select to behalf_agents using (${observed(mine, "owner")});
    select behalf.guard('invoices');
    grant select on invoices to ${names.agent}, ${roles};

    create table marks (id bigint generated always as identity, mark text not null,
      issuer text not null default behalf.claim('iss'), subject text not null default behalf.claim('sub'));
    alter table marks enable row level security;
    create policy agents_create on marks for insert to behalf_agents
      with check (issuer = (select behalf.claim('iss')) and subject = (select behalf.claim('sub')));
    select behalf.guard('marks');
    -- Not only READ ONLY and the sandbox would keep a read from writing, so the role may.
    grant insert on marks to ${names.agent}, ${roles};

    -- What the server says of it beside its message quotes a row, as a broken constraint does.
    create function fails_with_a_row() returns void language plpgsql as $$
    begin
      raise exception 'division by zero' using errcode = 'division_by_zero',
        detail = 'Failing row contains (${rowValue}).';
    end $$;
    create function fails() returns void language plpgsql as $$
    begin
      execute 'select fails_with_a_row() /* ${rowValue} */';
    end $$;

    -- Only of this is something left of a read that was not READ ONLY: the rest is rolled back.
    create sequence counter;
    grant usage on sequence counter to ${names.agent};

    create function leave_mark(mark text) returns void language sql volatile
      begin atomic insert into marks (mark) values (mark); end;
    create function leave_settings() returns void language plpgsql volatile as $$
    begin
      perform set_config('left.behind', 'by the last human', false),
        set_config('left.seal', current_setting('behalf.seal', true), false),
        set_config('work_mem', '7777kB', false);
    end $$;
  `);
  const { rows: keys } = await admin.query<{ key: string }>(
    "select encode(inner_block, 'hex') as key from behalf.secrets union select encode(outer_block, 'hex') from behalf.secrets",
  );
  const proxy = stack.use(await tcpProxy(addressOf(url)));
  const exchange = tokenExchange({
    issuer,
    clientId: "gateway",
    clientSecret: new Secret(GATEWAY_SECRET),
    audience: DATABASE,
    // A connection that is kept for the next request would be one that the lifecycle cases find.
    fetch: (input, init) => {
      const headers = new Headers(init.headers);
      headers.set("connection", "close");
      return fetch(input, { ...init, headers });
    },
  });
  // Finds the issuer's endpoints, which is no call's business.
  await exchange.exchange((await world.delegate("alice")).identity);
  const proofs = new Set<string>();
  const connections = idleConnections((proof) => {
    proofs.add(proof);
    // The newest are enough to look for.
    for (const old of proofs) if (proofs.size > 200) proofs.delete(old);
  });
  const disposal = stack.move();
  return {
    world,
    humans,
    proxy,
    exchange,
    claims,
    connections,
    proofs,
    secrets: [rowValue, ...keys.map(({ key }) => key)],
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

/** @param make the adapter under test. Default is the package's own */
export function postgresHarness(
  made: ConformanceWorld,
  make: typeof postgres = postgres,
): Harness<SqlSession, SqlAdapter> {
  const { world, humans, proxy, exchange, claims, connections, proofs, secrets } = made;
  const { admin, idp, names, passwords } = world;
  const address = { host: "127.0.0.1", port: proxy.port };
  const logins = {
    sandbox: { user: names.gateway, password: passwords.gateway },
    statement: { user: names.statementGateway, password: passwords.statementGateway },
  };
  const pool = (login: keyof typeof logins, max: number) => {
    const connectionString = world.url(logins[login], address);
    // Else a connection whose time is over would say so in the middle of a count.
    const opened = new pg.Pool({ connectionString, max, idleTimeoutMillis: 0 });
    connections.watch(opened);
    return opened;
  };
  const credentials = () => credentialCache({ exchange });

  const tokens = new Map<string, Promise<string>>();
  function token(name: string, agent: string, claim: string | undefined): Promise<string> {
    const client = agent.replace("agent:", "");
    if (claim !== undefined) {
      claims["nickname"] = claim;
      return world.token(name, client);
    }
    const key = `${name}, ${client}`;
    const kept = tokens.get(key) ?? world.token(name, client);
    tokens.set(key, kept);
    return kept;
  }

  const SERVER = `
    select pid, state from pg_stat_activity
      where usename in ('${names.gateway}', '${names.statementGateway}');
    ${OBSERVED_READS};
    select issuer, subject, mark from (
      select id, issuer, subject, mark from marks
      union all select null, null, null, 'counted' from counter, generate_series(1, last_value) where is_called
    ) w order by id nulls last;`;

  async function askServer(): Promise<readonly (readonly pg.QueryResultRow[])[]> {
    const results = await admin.query(SERVER);
    return [results].flat().map(({ rows }) => rows);
  }

  return {
    backend: "postgres",
    evidence: "independent engine",
    capabilities: make({
      pool: new pg.Pool(),
      credentials: credentials(),
      records: world.records,
    }).capabilities,
    humans,
    agents: AGENTS,
    nativeCode: "22012",
    delegate: async ({ name }, { agent = AGENTS[0], claim, task, tool } = {}) =>
      world.front.delegate(await token(name, agent, claim), {
        ...(task === undefined ? {} : { task }),
        ...(tool === undefined ? {} : { tool }),
      }),
    async briefly({ name }) {
      const [, body = ""] = (await token(name, AGENTS[0], undefined)).split(".");
      const said = JSON.parse(Buffer.from(body, "base64url").toString());
      // Tickets are given up two seconds before their end.
      return world.front.delegate(
        await idp.forge({ ...said, jti: randomUUID(), exp: Math.ceil(Date.now() / 1000) + 3 }),
      );
    },
    stranger: async () => world.front.delegate(await token(STRANGER, AGENTS[0], undefined)),
    credentials,
    adapter({ connections: max = 4, ...parts }) {
      const pools = [pool("sandbox", max), pool("statement", max)] as const;
      const adapter = make({ ...parts, pool: pools[0], statements: { pool: pools[1] } });
      let closed: Promise<unknown> | null = null;
      return {
        ...adapter,
        // The pools are their maker's.
        async close() {
          await adapter.close();
          await (closed ??= Promise.all(pools.map((one) => connections.end(one))));
        },
      };
    },
    probe: runProbe,
    probes: ["echo", "claim", "residue", "hostile"],
    ways: WAYS,
    async observe() {
      const left = await connections.left();
      const end = performance.now() + GONE_WITHIN_MS;
      for (;;) {
        const [sessions = [], reads = [], writes = []] = await askServer();
        const { pids } = connections;
        // Whose connection is gone says its last words when it ends.
        const isAtRest = sessions.every(({ pid }) => pids.has(pid));
        if (!isAtRest && performance.now() < end) continue;
        return {
          reads: seenOf(idp.issuer, reads),
          writes: writes.map(({ issuer, subject, mark }) => ({
            subject: { issuer, subject },
            mark,
          })),
          running: sessions.filter(({ state }) => state === "active").length,
          sessions: sessions.map(({ pid }) => String(pid)),
          left,
          trips: {
            backend: proxy.roundTrips - connections.asked,
            identity: Object.values(idp.requests()).reduce((sum, count) => sum + count, 0),
          },
        };
      }
    },
    narrowTask: () => ({
      id: "read the orders",
      expiresAtMs: Date.now() + 60_000,
      authorizationDetails: [{ type: "table", actions: ["read"], objects: ["public.orders"] }],
    }),
    faults: {
      async down() {
        proxy.mode("cut");
        return async () => proxy.mode("pass");
      },
      async loseAnswer() {
        proxy.cutAfter(0);
        return () => proxy.cutAfter(Infinity);
      },
    },
    secrets: () => [...Object.values(passwords), GATEWAY_SECRET, ...secrets, ...proofs],
    roundTrips: ROUND_TRIPS,
  };
}

function addressOf(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port || 5432) };
}
