import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";

import pg from "pg";
import { inject } from "vitest";

export const ISSUER = "https://login.example.test";
export const OTHER_ISSUER = "https://other.example.test";
export const AUDIENCE = "urn:test:kit";

const folder = new URL("../../packages/postgres/sql/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, folder), "utf8");

export const installText = readdirSync(folder)
  .filter((name) => /^\d\d_.+\.sql$/.test(name))
  .toSorted()
  .map(read)
  .join("\n");
export const uninstallText = read("uninstall.sql");
export const installScript = new URL("install.sql", folder);

/** The kit's files in one transaction, on a connection of the test's own. */
export async function install(client: pg.Client): Promise<void> {
  await transaction(client, installText);
}

export async function uninstall(client: pg.Client): Promise<void> {
  await transaction(client, uninstallText);
}

async function transaction(client: pg.Client, text: string): Promise<void> {
  await client.query("begin");
  try {
    await client.query(text);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

/** A URL of the test server, for another database or login. */
export function serverUrl(
  to: { database?: string; user?: string; password?: string } = {},
): string {
  const url = new URL(inject("postgresUrl"));
  if (to.database !== undefined) url.pathname = `/${to.database}`;
  if (to.user !== undefined) url.username = to.user;
  if (to.password !== undefined) url.password = to.password;
  return url.href;
}

/** A connection that ends with its scope. */
export async function connect(
  to: Parameters<typeof serverUrl>[0] = {},
): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client({ connectionString: serverUrl(to) });
  client.on("error", () => {});
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  /** The public half as it stands in a JWK set. */
  readonly jwk: { readonly [name: string]: unknown };
}

export function rsaKey(kid: string, bits = 2048, publicExponent = 65537): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", {
    modulusLength: bits,
    publicExponent,
  });
  return { kid, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid } };
}

export const segment = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

export type Json = { readonly [name: string]: unknown };

/** What a well-behaved issuer puts into Alice's token. */
export function goodClaims(human = "alice", changes: Json = {}): Json {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: ISSUER,
    sub: human,
    aud: AUDIENCE,
    exp: now + 300,
    // Revocation compares whole seconds, so that the tests need not wait for the next one.
    iat: now - 2,
    client_id: "gateway",
    jti: randomBytes(8).toString("hex"),
    org_id: human === "bob" ? "globex" : "acme",
    ...changes,
  };
}

/** Signs anything, also what no issuer would. */
export function signed(
  key: SigningKey,
  claims: Json | string,
  header: Json | string = {},
  hash = "sha256",
): string {
  const head =
    typeof header === "string"
      ? header
      : JSON.stringify({ alg: "RS256", typ: "at+jwt", kid: key.kid, ...header });
  const input = `${segment(head)}.${segment(claims)}`;
  return `${input}.${sign(hash, Buffer.from(input), key.privateKey).toString("base64url")}`;
}

/** What the server said against it. Success fails the test. */
export async function refusal(work: Promise<unknown>): Promise<pg.DatabaseError> {
  const error: unknown = await work.then(
    () => new Error("it succeeded"),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof pg.DatabaseError)) throw error;
  return error;
}

export interface Started {
  readonly ticket: string | null;
  readonly expires_at: number;
  readonly role: string;
}

/** Proves a human on a connection that is inside a transaction. */
export async function start(
  client: pg.Client,
  proof: string | null,
  options: { issuer?: string | null; subject?: string | null; task?: unknown } = {},
): Promise<Started> {
  const { rows } = await client.query<Started>(
    "select * from behalf.start($1, $2, $3, 'call', 20000, $4::jsonb)",
    [
      proof,
      options.issuer === undefined ? ISSUER : options.issuer,
      options.subject === undefined ? "alice" : options.subject,
      options.task === undefined ? null : JSON.stringify(options.task),
    ],
  );
  return rows[0] as Started;
}

/** Runs a hostile text in the read sandbox, in the transaction that is open. */
export async function sandbox(client: pg.Client, text: string, rows = 1000): Promise<string[]> {
  await client.query("select behalf.open($1)", [text]);
  const result = await client.query<{ fetch: string }>("select * from behalf.fetch($1, 1000000)", [
    rows,
  ]);
  return result.rows.map((row) => row.fetch);
}

/** The same in one function, as `query` does it. */
async function readAtOnce(client: pg.Client, text: string): Promise<string[]> {
  const { rows } = await client.query<{ read: string }>(
    "select * from behalf.read($1, 1000, 1000000)",
    [text],
  );
  return rows.map((row) => row.read);
}

/**
 * One whole call, the way the adapter makes it: as a stream and as a query, in transactions of their own.
 * Both must say the same.
 */
export async function call(
  client: pg.Client,
  proof: string,
  text: string,
  options: Parameters<typeof start>[2] = {},
): Promise<string[]> {
  const attempt = async (run: (client: pg.Client, text: string) => Promise<string[]>) => {
    await client.query("begin read only");
    try {
      await start(client, proof, options);
      return { rows: await run(client, text) };
    } catch (error) {
      return { error, rows: undefined };
    } finally {
      await client.query("rollback");
      await client.query("select pg_catalog.pg_advisory_unlock_all(), pg_catalog.setseed(0.5)");
    }
  };
  const streamed = await attempt(sandbox);
  const queried = await attempt(readAtOnce);
  // Rows may differ in what they say of the call itself, their number and every refusal may not.
  const told = (outcome: typeof streamed) =>
    outcome.rows ? outcome.rows.length : (outcome.error as pg.DatabaseError).code;
  if (told(streamed) !== told(queried)) {
    throw new Error(`open and fetch said ${told(streamed)}, read said ${told(queried)}`);
  }
  if (queried.rows === undefined) throw queried.error;
  return queried.rows;
}

/** A database with the kit, one issuer with one key, a gateway, and orders of Alice and Bob. */
export interface KitWorld extends AsyncDisposable {
  /** A superuser's connection to the world's own database. */
  readonly admin: pg.Client;
  readonly key: SigningKey;
  readonly names: {
    readonly database: string;
    readonly agent: string;
    readonly gateway: string;
    readonly keysync: string;
    readonly app: string;
  };
  /** A connection as one of the world's logins; ended with the world. Default is the gateway. */
  connect(user?: string): Promise<pg.Client>;
  token(human?: string, changes?: Json): string;
  /** A ticket of this human for the gateway's login. */
  ticket(human?: string, changes?: Json): Promise<string>;
}

/** Three orders each, of which the notes are secret. */
export const ROWS = {
  alice: ["(1,acme,alice-1)", "(2,acme,alice-2)", "(3,acme,alice-3)"],
  bob: ["(4,globex,bob-1)", "(5,globex,bob-2)", "(6,globex,bob-3)"],
} as const;
export const ALL_ORDERS = "select * from orders order by id";

let sharedKey: SigningKey | undefined;

export async function kitWorld(): Promise<KitWorld> {
  const id = randomBytes(5).toString("hex");
  const names = {
    database: `kit_${id}`,
    agent: `agent_${id}`,
    gateway: `gateway_${id}`,
    keysync: `keysync_${id}`,
    app: `app_${id}`,
  };
  const password = randomBytes(12).toString("hex");
  const key = (sharedKey ??= rsaKey("k1"));
  await using stack = new AsyncDisposableStack();

  await onServer(`create database ${names.database}`);
  stack.defer(async () => {
    await onServer(`drop database if exists ${names.database} with (force)`);
    for (const role of [names.gateway, names.keysync, names.agent, names.app]) {
      await onServer(`drop role if exists ${role}`);
    }
  });
  const admin = await connect({ database: names.database });
  stack.defer(() => admin.end());
  await install(admin);
  await admin.query(`
    create role ${names.gateway} login noinherit password '${password}';
    create role ${names.keysync} login password '${password}' in role behalf_keysync;
    create role ${names.app} login password '${password}';
    create table orders (id bigint primary key, org_id text not null, note text);
    alter table orders owner to ${names.app};
    insert into orders values
      (1, 'acme', 'alice-1'), (2, 'acme', 'alice-2'), (3, 'acme', 'alice-3'),
      (4, 'globex', 'bob-1'), (5, 'globex', 'bob-2'), (6, 'globex', 'bob-3');
    alter table orders enable row level security;
    select behalf.set_audience('${AUDIENCE}');
    select behalf.add_issuer('${ISSUER}');
    select behalf.add_agent_role('${names.agent}');
    grant select on orders to ${names.agent};
    create policy agents_read on orders for select to behalf_agents
      using (org_id = (select behalf.claim('org_id')));
    select behalf.guard('orders');
    select behalf.map_role('${ISSUER}', 'org_id', org, '${names.agent}')
    from unnest(array['acme', 'globex']) org;
    select behalf.add_gateway('${names.gateway}');
  `);
  await putKeys(admin, ISSUER, [key]);

  const connections = stack.use(new AsyncDisposableStack());
  const connectAs: KitWorld["connect"] = async (user = names.gateway) => {
    const client = await connect({ database: names.database, user, password });
    connections.defer(() => client.end());
    return client;
  };
  const token: KitWorld["token"] = (human, changes) => signed(key, goodClaims(human, changes));
  const world: KitWorld = {
    admin,
    key,
    names,
    connect: connectAs,
    token,
    async ticket(human, changes) {
      await using client = await connect({
        database: names.database,
        user: names.gateway,
        password,
      });
      const { rows } = await client.query<{ ticket: string }>(
        "select ticket from behalf.exchange($1)",
        [token(human, changes)],
      );
      return (rows[0] as { ticket: string }).ticket;
    },
    [Symbol.asyncDispose]: async () => disposal.disposeAsync(),
  };
  const disposal = stack.move();
  return world;
}

export async function putKeys(
  client: pg.Client,
  issuer: string,
  keys: readonly { readonly jwk: Json }[],
): Promise<number> {
  const { rows } = await client.query<{ put_keys: number }>("select behalf.put_keys($1, $2)", [
    issuer,
    JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }),
  ]);
  return (rows[0] as { put_keys: number }).put_keys;
}

/** On a connection of its own, outside a transaction. */
export async function onServer(statement: string): Promise<void> {
  await using client = await connect();
  await client.query(statement);
}

/** What preflight says to this login. */
export async function problems(gateway: pg.Client): Promise<string[]> {
  const { rows } = await gateway.query<{ problem: string }>("select * from behalf.preflight(3)");
  return rows.map((row) => row.problem);
}
