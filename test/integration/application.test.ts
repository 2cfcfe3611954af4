import { randomBytes } from "node:crypto";

import type { LocalPostgres } from "@behalf/local";
import { installKit, uninstallKit } from "@behalf/postgres";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  APPLICATION,
  APPLICATION_ROLES,
  type ApplicationRole,
  applicationRoles,
  probes,
} from "../support/application.ts";
import { wholeCatalogue } from "../support/catalogue.ts";
import { embeddedPostgres } from "../support/embedded-postgres.ts";
import { until } from "../support/failure.ts";
import {
  AUDIENCE,
  call,
  goodClaims,
  ISSUER,
  putKeys,
  rsaKey,
  signed,
} from "../support/kit-world.ts";
import { dumpLines, dumpTools } from "../support/pg-dump.ts";

const password = randomBytes(12).toString("hex");
// What an owner's job has to say once the kit is there; without it, it does nothing.
const LEAVE_OUT = ["--exclude-schema=behalf*"];
// pg_dump refuses a table that binds its owner, too, with and without Behalf.
const NO_FORCED = ["--exclude-table-data=shop.ledger"];

// A server of its own: logical replication is off in the other one.
let server: LocalPostgres;
const open: pg.Client[] = [];
beforeAll(async () => {
  server = await embeddedPostgres({
    settings: {
      wal_level: "logical",
      max_connections: "60",
      wal_retrieve_retry_interval: "100ms",
      max_logical_replication_workers: "8",
      max_worker_processes: "16",
    },
  });
});
afterAll(async () => {
  await Promise.all(open.map((client) => client.end()));
  await server.stop();
});

function url(database: string, user?: string): URL {
  const made = new URL(server.url);
  made.pathname = `/${database}`;
  if (user !== undefined) {
    made.username = user;
    made.password = password;
  }
  return made;
}

async function connect(database: string, user?: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url(database, user).href });
  client.on("error", () => {});
  await client.connect();
  open.push(client);
  return client;
}

/** A database that takes what this publication sends; it begins with the same rows. */
async function subscriber(name: string, of: string, publication: string): Promise<pg.Client> {
  const root = await connect("postgres");
  await root.query(`create database ${name}`);
  const client = await connect(name);
  await client.query(APPLICATION);
  // Made beforehand, because a subscription waits for every open transaction of the server when it makes one.
  const source = await connect(of);
  await source.query("select pg_create_logical_replication_slot($1, 'pgoutput')", [name]);
  const from = url(of);
  await client.query(`
    create subscription ${name}
    connection 'host=${from.hostname} port=${from.port} user=${from.username} password=${from.password} dbname=${of}'
    publication ${publication} with (create_slot = false, slot_name = '${name}', copy_data = false)`);
  return client;
}

/** An empty database, gone with its scope. */
async function copy(name: string): Promise<pg.Client & AsyncDisposable> {
  const root = await connect("postgres");
  await root.query(`create database ${name}`);
  return Object.assign(await connect(name), {
    [Symbol.asyncDispose]: async () => {
      await root.query(`drop database ${name} with (force)`);
    },
  });
}

const REPLICATED = ["countries", "customers", "orders", "events", "audit", "ledger"];

async function content(client: pg.Client): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const table of REPLICATED) {
    const { rows } = await client.query<{ line: string }>(
      `select '${table} ' || t::text as line from shop.${table} t order by 1`,
    );
    lines.push(...rows.map(({ line }) => line));
  }
  return lines;
}

/** The application goes on writing: every kind of change. */
const WRITE = `
  insert into shop.customers (org_id, name) values ('acme', 'mark');
  insert into shop.orders (customer_id, org_id, total) select max(id), 'acme', 5 from shop.customers;
  update shop.orders set total = total + 1 where org_id = 'globex';
  insert into shop.events values ('2026-03-01', 'acme', '{"mark": 1}');
  delete from shop.audit where id = 3;
  insert into shop.countries values ('mm', 'Mark')`;
const TAKE_BACK = `
  delete from shop.customers where name = 'mark';
  update shop.orders set total = total - 1 where org_id = 'globex';
  delete from shop.events where at = '2026-03-01';
  delete from shop.audit where id > 2;
  insert into shop.audit overriding system value values (3, 'INSERT 3 globex');
  delete from shop.countries where code = 'mm'`;

/** What agents may see and where, as the owner's dump writes it. */
const isOfAgents = (line: string) =>
  /^CREATE POLICY .* TO behalf_agents |^GRANT .* TO app_agent(_writer)?;$|^ALTER DEFAULT PRIVILEGES FOR ROLE behalf_owner /.test(
    line,
  );

const follows = (publisher: pg.Client, replica: pg.Client) =>
  until(async () => (await content(publisher)).join() === (await content(replica)).join());

/** The application works on, one transaction after another, until somebody asks how long the longest took. */
function applicationWorks(client: pg.Client) {
  const over = new AbortController();
  let longest = 0;
  let times = 0;
  const loop = (async () => {
    // Begun at least once, so that it was at work.
    do {
      const before = performance.now();
      await client.query(
        "begin; update shop.orders set total = total where id = 1; select from shop.events, shop.customers, shop.ledger; rollback",
      );
      longest = Math.max(longest, performance.now() - before);
      times += 1;
    } while (!over.signal.aborted);
  })();
  return {
    async longestMs(): Promise<number> {
      over.abort();
      await loop;
      console.log(`application: ${times} transactions, the longest took ${longest.toFixed(1)} ms`);
      return longest;
    },
  };
}

/** What the DBA does for agents, on tables of the application. */
const GUARDED = ["customers", "orders", "events", "ledger"];
// Before the first policy: policies on one table after the other deadlock with an application at work.
const LOCKED = `select behalf.lock_tables(array[${GUARDED.map((table) => `'shop.${table}'`).join()}]::regclass[]);`;
const FOR_AGENTS = `
  select behalf.set_audience('${AUDIENCE}');
  select behalf.add_issuer('${ISSUER}');
  select behalf.add_agent_role('app_agent', 'shop');
  select behalf.add_write_role('app_agent', 'app_agent_writer');
  select behalf.add_gateway('app_gateway', writes => true);
  select behalf.map_role('${ISSUER}', 'org_id', 'acme', 'app_agent');
  grant usage on schema shop to app_agent, app_agent_writer;
  grant select on ${GUARDED.map((table) => `shop.${table}`).join()}, shop.countries, shop.own_orders to app_agent;
  grant select, update on shop.orders to app_agent_writer;
  select behalf.expose('shop.countries', 'the same for everybody');
  ${LOCKED}
  ${GUARDED.map(
    (table) => `create policy agents_read on shop.${table} for select to behalf_agents
      using (org_id = (select behalf.claim('org_id')));`,
  ).join("\n")}
  create policy agents_update on shop.orders for update to behalf_agents using (org_id = (select behalf.claim('org_id')));
`;
const AGENTS_GO = `
  ${LOCKED}
  ${GUARDED.map((table) => `drop policy agents_read on shop.${table};`).join("\n")}
  drop policy agents_update on shop.orders;
  revoke all on all tables in schema shop from app_agent, app_agent_writer;
  revoke all on schema shop from app_agent, app_agent_writer;
`;

describe("the application that is already there", () => {
  let admin: pg.Client;
  let replica: pg.Client;
  const clients = {} as Record<ApplicationRole, pg.Client>;
  let before: Snapshot;

  type Snapshot = Awaited<ReturnType<typeof snapshot>>;
  function same({ catalogue, ...now }: Snapshot, { catalogue: was, ...then }: Snapshot): void {
    expect(now).toEqual(then);
    const [is, had] = [new Set(catalogue), new Set(was)];
    // Thousands of lines: only those that differ.
    expect(catalogue.filter((line) => !had.has(line))).toEqual([]);
    expect(was.filter((line) => !is.has(line))).toEqual([]);
  }

  /** The application writes, its replica follows, and both ways back. */
  async function replicates(): Promise<void> {
    for (const text of [WRITE, TAKE_BACK]) {
      await clients.app_owner.query(text);
      await follows(admin, replica);
    }
    // Sequences do not roll back.
    await admin.query(
      "select setval(oid, 1000) from pg_class where relkind = 'S' and relnamespace = 'shop'::regnamespace",
    );
  }

  async function snapshot(flags: readonly string[]) {
    const seen = {} as Record<ApplicationRole, readonly string[]>;
    for (const role of APPLICATION_ROLES) seen[role] = await probes(clients[role]);
    await replicates();
    const owner = url("app", "app_owner").href;
    const dump = async (what: string) =>
      "missing" in tools ? null : dumpLines(await tools.dump(owner, [...flags, what]));
    // What was written moved within its table.
    const data = (await dump("--data-only"))?.toSorted();
    return {
      seen,
      data,
      schema: await dump("--schema-only"),
      catalogue: await wholeCatalogue(admin),
    };
  }

  let tools: ReturnType<typeof dumpTools>;
  beforeAll(async () => {
    tools = dumpTools(Number.parseInt(server.version, 10));
    if ("missing" in tools) console.warn(`\nSKIPPED: dumps of the application: ${tools.missing}\n`);
    const root = await connect("postgres");
    await root.query(applicationRoles(password));
    await root.query(`
      create role app_agent nologin; create role app_agent_writer nologin;
      create role app_gateway login noinherit password '${password}'`);
    await root.query("create database app");
    admin = await connect("app");
    await admin.query(APPLICATION);
    await admin.query(
      `create publication shop_tables for table ${REPLICATED.map((name) => `shop.${name}`).join()}`,
    );
    replica = await subscriber("app_replica", "app", "shop_tables");
    for (const role of APPLICATION_ROLES) clients[role] = await connect("app", role);
  });

  it("is seen, written, dumped and replicated by itself", async () => {
    await replicates();
    before = await snapshot(NO_FORCED);
    const { seen, data } = before;
    // The probes reach both sides: rows and refusals, of each kind, and not the same for any two roles.
    expect(new Set(Object.values(seen).map(String)).size).toBe(APPLICATION_ROLES.length);
    for (const code of ["42501", "23503", "23505", "23514", "P0001"]) {
      expect(String(Object.values(seen))).toContain(`: ${code} `);
    }
    expect(seen.app_reporting.join("\n")).toContain('"ben@example.test"');
    expect(seen.app_support.join("\n")).not.toContain('"ben@example.test"');
    expect(data?.join("\n").includes("ben@example.test") ?? true).toBe(true);
    same(await snapshot(NO_FORCED), before);
  });

  it("does not notice the kit, the agents' policies and the guards", async () => {
    const working = applicationWorks(await connect("app", "app_owner"));
    await installKit(admin);
    await admin.query(FOR_AGENTS);
    for (const table of GUARDED) await admin.query("select behalf.guard($1)", [`shop.${table}`]);
    expect(await working.longestMs()).toBeLessThan(2_000);
    const key = rsaKey("k1");
    await putKeys(admin, ISSUER, [key]);
    const gateway = await connect("app", "app_gateway");
    expect((await gateway.query("select * from behalf.preflight(3)")).rows).toEqual([]);
    const token = signed(key, goodClaims());
    // It is not for nothing: agents work by now.
    expect(await call(gateway, token, "select name from customers order by id")).toEqual([
      "(Ann)",
      "(Cid)",
    ]);
    expect(await call(gateway, token, "select distinct org_id from own_orders")).toEqual([
      "(acme)",
    ]);
    await gateway.end();

    const during = await snapshot([...NO_FORCED, ...LEAVE_OUT]);
    expect(during.catalogue.length).toBeGreaterThan(before.catalogue.length + 100);
    expect(during.seen).toEqual(before.seen);
    expect(during.data).toEqual(before.data);
    expect(during.schema?.filter((line) => !isOfAgents(line))).toEqual(before.schema ?? undefined);
    const policies = during.schema?.filter((line) =>
      /^CREATE POLICY .* TO behalf_agents /.test(line),
    );
    expect(policies === undefined || policies.length === GUARDED.length * 5 + 1).toBe(true);
  });

  it("an owner's dump needs to leave the kit's schemas out, and is whole wherever it is restored", async (test) => {
    if ("missing" in tools) {
      test.skip(tools.missing);
      return;
    }
    const owner = url("app", "app_owner").href;
    await expect(tools.dump(owner, NO_FORCED)).rejects.toThrow(
      /permission denied for schema behalf/,
    );
    const text = await tools.dump(owner, [...NO_FORCED, ...LEAVE_OUT]);
    await using bare = await copy("app_copy");
    await using kit = await copy("app_copy_kit");
    await installKit(kit);
    // Without the kit each policy that calls it is refused, and nothing else.
    const errors = await tools.restore(url("app_copy").href, text);
    expect(errors).toHaveLength(GUARDED.length * 5 + 1);
    expect(errors.filter((line) => !line.includes('schema "behalf" does not exist'))).toEqual([]);
    expect(await tools.restore(url("app_copy_kit").href, text)).toEqual([]);
    const rows = (await content(admin)).filter((line) => !line.startsWith("ledger"));
    expect(await content(bare)).toEqual(rows);
    expect(await content(kit)).toEqual(rows);
    const guards = "select from pg_policy where polname like 'behalf_guard%'";
    expect((await bare.query(guards)).rowCount).toBe(0);
    expect((await kit.query(guards)).rowCount).toBe(GUARDED.length * 4);

    // A superuser's dump needs no flag, and holds the kit.
    await using whole = await copy("app_copy_whole");
    expect(
      await tools.restore(url("app_copy_whole").href, await tools.dump(url("app").href)),
    ).toEqual([]);
    expect(await content(whole)).toEqual(await content(admin));
    expect((await whole.query("select from behalf.secrets")).rowCount).toBe(2);
  });

  it("finds everything as it was after the removal, to the last row of the catalogue", async () => {
    await expect(uninstallKit(admin)).rejects.toThrow("still in use");
    const working = applicationWorks(await connect("app", "app_owner"));
    await admin.query(AGENTS_GO);
    await uninstallKit(admin);
    expect(await working.longestMs()).toBeLessThan(2_000);
    same(await snapshot(NO_FORCED), before);
  });
});

describe("a publication FOR ALL TABLES", () => {
  let admin: pg.Client;
  beforeAll(async () => {
    const root = await connect("postgres");
    await root.query("create database published");
    admin = await connect("published");
    await admin.query(APPLICATION);
    await admin.query("create publication everything for all tables");
  });

  it("keeps the kit out: its subscribers would stop", async () => {
    const replica = await subscriber("stopped", "published", "everything");
    await admin.query(WRITE);
    await follows(admin, replica);
    const catalogue = await wholeCatalogue(admin);
    await expect(installKit(admin)).rejects.toThrow("publication everything is FOR ALL TABLES");
    expect(await wholeCatalogue(admin)).toEqual(catalogue);

    // The other side: installed all the same, nothing of the application arrives any more.
    await admin.query("set behalf.all_tables_publication = 'known'");
    await installKit(admin);
    const named = "select problem from behalf.preflight(3) where problem like 'publication %'";
    expect((await admin.query(named)).rows).toEqual([]);
    await admin.query(TAKE_BACK);
    await until(async () => {
      const { rows } = await replica.query<{ n: number }>(
        "select apply_error_count::int as n from pg_stat_subscription_stats where subname = 'stopped'",
      );
      return (rows[0]?.n ?? 0) > 1;
    });
    expect(await content(replica)).not.toEqual(await content(admin));

    // With the kit there, too, it goes on where it stopped, and keeps keys of its own.
    await installKit(replica);
    await follows(admin, replica);
    await admin.query(WRITE);
    await admin.query(`
      select behalf.set_audience('x'); select behalf.add_issuer('${ISSUER}'); select behalf.revoke('${ISSUER}', 'x');
      select behalf.end_sessions('${ISSUER}', 'x'); select behalf.reinstate('${ISSUER}', 'x');
      select behalf.rotate_secrets(); select behalf.rotate_secrets()`);
    await admin.query(TAKE_BACK);
    await follows(admin, replica);
    const keys = async (client: pg.Client) =>
      (
        await client.query<{ block: string }>(
          "select inner_block::text as block from behalf.secrets",
        )
      ).rows.map(({ block }) => block);
    const theirs = await keys(replica);
    expect(theirs).toHaveLength(2);
    expect((await keys(admin)).filter((block) => theirs.includes(block))).toEqual([]);
    // An update or a delete of a published table needs a replica identity: each has a primary key.
    const { rows } = await admin.query(`
      select relname from pg_class c where relnamespace = 'behalf'::regnamespace and relkind = 'r'
        and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)`);
    expect(rows).toEqual([]);
  });
});
