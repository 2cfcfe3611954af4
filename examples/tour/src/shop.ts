import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jsonlSink, memorySink, Secret, type RecordSink } from "@behalf/core";
import { startOpenIdProvider, startPostgres, type LocalOpenIdProvider } from "@behalf/local";
import { installKit, syncKeys } from "@behalf/postgres";
import pg from "pg";
import { databaseCredentials, gateway, type Gateway } from "./gateway.ts";
import { alice, people } from "./people.ts";

const AUDIENCE = { gateway: "urn:shop:gateway", database: "urn:shop:database" } as const;
export const CONTROL = "shop_control";
export const AGENT = "agent:assistant";
export const GATEWAY = "gateway:shop";
export const GATEWAY_LOGIN = "shop_gateway";
export const RECIPE_LOGIN = "recipe_login";

export interface ShopOptions {
  /** Stops the set-up between two steps, with everything removed that was there by then. */
  readonly signal?: AbortSignal;
  /** Default is `300`. */
  readonly accessTokenTtlSeconds?: number;
  /** Whether the folder with the records stays. Default is `false`. */
  readonly keepRecords?: boolean;
  /** Whether {@link Shop.control} is made, too. It takes half a second. Default is `false`. */
  readonly control?: boolean;
}

/** A database of four companies, an OpenID provider, a gateway with records, and the recipe's login. */
export interface Shop extends AsyncDisposable {
  readonly serverVersion: string;
  /** The superuser, who asks what is true. */
  readonly admin: pg.Client;
  readonly idp: LocalOpenIdProvider;
  readonly gateway: Gateway;
  /** The gateway's pool, and how many connections it has ever opened. */
  readonly pool: pg.Pool;
  readonly connectionsOpened: () => number;
  readonly recordsFile: string;
  /** The same gateway before a copy of the database in which everything is as it was, less all rows of other companies than Alice's. */
  readonly control: Gateway | undefined;
  /** A fresh pool of the recipe's login. The caller ends it. */
  recipePool(): pg.Pool;
  /** Whether this login gets in with this password. */
  canLogIn(login: string, password: string): Promise<boolean>;
  /** Gives the recipe's login its password back. */
  restoreRecipeLogin(): Promise<void>;
  /** A token of this human for the gateway, in which the agent is the actor. */
  signIn(subject: string): Promise<string>;
  /** Everything that must never be printed. */
  readonly secrets: readonly string[];
}

/** @throws the signal's reason when it fires meanwhile */
export async function startShop(options: ShopOptions = {}): Promise<Shop> {
  const { signal } = options;
  await using stack = new AsyncDisposableStack();
  const secret = () => randomBytes(18).toString("base64url");
  const secrets = {
    agent: secret(),
    gateway: secret(),
    login: secret(),
    keys: secret(),
    recipe: secret(),
  };

  const folder = await mkdtemp(join(tmpdir(), "behalf-tour-"));
  const recordsFile = join(folder, "records.jsonl");
  if (options.keepRecords !== true) {
    // On `exit`, too: a second Ctrl-C ends the process without waiting for anything.
    const remove = () => rmSync(folder, { recursive: true, force: true });
    process.once("exit", remove);
    stack.defer(() => {
      remove();
      process.off("exit", remove);
    });
  }

  const [server, idp] = await startBoth(stack, secrets, options);
  signal?.throwIfAborted();

  const builder = await connected(server.url);
  stack.defer(() => builder.end());
  await installKit(builder);
  await builder.query(`
    create role shop_keysync login password '${secrets.keys}' in role behalf_keysync;
    create role ${GATEWAY_LOGIN} login noinherit password '${secrets.login}';
    create role ${RECIPE_LOGIN} login noinherit password '${secrets.recipe}';
    set shop.issuer = '${idp.issuer}';
  `);
  for (const file of ["01_tables", "02_data", "03_keys", "04_policies", "05_recipe"]) {
    signal?.throwIfAborted();
    await builder.query(await readFile(new URL(`../sql/${file}.sql`, import.meta.url), "utf8"));
  }

  // The login that may replace the issuer's keys is not the gateway's.
  const keysync = await connected(server.urlFor({ user: "shop_keysync", password: secrets.keys }));
  try {
    await syncKeys({ client: keysync, issuer: idp.issuer });
  } finally {
    await keysync.end();
  }

  await builder.end();
  if (options.control === true) await copyWithoutOthers(server);
  const admin = await connected(server.url);
  stack.defer(() => admin.end());

  const poolOf = (user: string, password: string, database = "shop") => {
    const pool = new pg.Pool({
      connectionString: server.urlFor({ user, password, database }),
      max: 2,
    });
    pool.on("error", () => {});
    return pool;
  };
  let connections = 0;
  const pool = poolOf(GATEWAY_LOGIN, secrets.login);
  pool.on("connect", () => (connections += 1));
  stack.defer(() => pool.end());
  const records = jsonlSink({ path: recordsFile });
  stack.defer(() => records.close());
  // One for both gateways: the token that both databases are shown is the same, with its id and its times.
  const credentials = databaseCredentials({
    issuer: idp.issuer,
    client: { id: "gateway", secret: new Secret(secrets.gateway) },
    databaseAudience: AUDIENCE.database,
  });
  const gatewayBefore = (its: { readonly pool: pg.Pool; readonly records: RecordSink }) => {
    const made = gateway({
      issuer: idp.issuer,
      audience: AUDIENCE.gateway,
      credentials,
      ...its,
    });
    stack.defer(() => made.close());
    return made;
  };
  const shopGateway = gatewayBefore({ pool, records });
  let control: Gateway | undefined;
  if (options.control === true) {
    const controlPool = poolOf(GATEWAY_LOGIN, secrets.login, CONTROL);
    stack.defer(() => controlPool.end());
    control = gatewayBefore({ pool: controlPool, records: memorySink() });
  }
  signal?.throwIfAborted();

  const cleanUp = stack.move();
  return {
    serverVersion: server.version,
    admin,
    idp,
    gateway: shopGateway,
    pool,
    connectionsOpened: () => connections,
    recordsFile,
    control,
    recipePool: () => poolOf(RECIPE_LOGIN, secrets.recipe),
    async canLogIn(user, password) {
      const client = new pg.Client({ connectionString: server.urlFor({ user, password }) });
      try {
        await client.connect();
        return true;
      } catch {
        return false;
      } finally {
        await client.end();
      }
    },
    async restoreRecipeLogin() {
      await admin.query(`alter role ${RECIPE_LOGIN} password '${secrets.recipe}'`);
    },
    signIn: (subject) => idp.signIn(subject, { clientId: "assistant", audience: AUDIENCE.gateway }),
    secrets: [...Object.values(secrets), server.superuser.password],
    [Symbol.asyncDispose]: () => cleanUp.disposeAsync(),
  };
}

async function connected(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  // A connection that breaks while idle would otherwise be an uncaught exception.
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** A copy with the same pages, statistics and plans: so the same statement brings the same rows in the same order. */
async function copyWithoutOthers(server: LocalServer): Promise<void> {
  const { user, password } = server.superuser;
  const maintenance = await connected(server.urlFor({ user, password, database: "postgres" }));
  try {
    await maintenance.query(`create database ${CONTROL} template shop`);
  } finally {
    await maintenance.end();
  }
  const copy = await connected(server.urlFor({ user, password, database: CONTROL }));
  try {
    // No foreign key is looked at: whole companies go at once.
    await copy.query("set session_replication_role = replica");
    for (const name of [
      "invoices",
      "orders",
      "products",
      "customers",
      "employees",
      "organisations",
    ]) {
      await copy.query(`delete from ${name} where org_id <> '${alice.claims.org_id}'`);
    }
  } finally {
    await copy.end();
  }
}

type LocalServer = Awaited<ReturnType<typeof startPostgres>>;

async function startBoth(
  stack: AsyncDisposableStack,
  secrets: { readonly agent: string; readonly gateway: string },
  options: ShopOptions,
): Promise<[LocalServer, LocalOpenIdProvider]> {
  // Both are awaited even where one fails, so that neither is left running.
  const [server, idp] = await Promise.allSettled([
    startPostgres({
      database: "shop",
      // The same statement must get the same plan all along, and in the copy of the database, too.
      settings: { autovacuum: "off", max_parallel_workers_per_gather: "0" },
    }),
    startOpenIdProvider({
      humans: people.map(({ subject, name, claims }) => ({ sub: subject, name, claims })),
      clients: [
        {
          clientId: "assistant",
          clientSecret: secrets.agent,
          actor: { sub: AGENT, sub_profile: "ai_agent" },
          localSignIn: true,
        },
        {
          clientId: "gateway",
          clientSecret: secrets.gateway,
          actor: { sub: GATEWAY, sub_profile: "service" },
          audiences: [AUDIENCE.gateway],
          mayExchangeFor: [AUDIENCE.database],
        },
      ],
      resources: [{ audience: AUDIENCE.gateway }, { audience: AUDIENCE.database }],
      accessTokenTtlSeconds: options.accessTokenTtlSeconds ?? 300,
    }),
  ]);
  if (server.status === "fulfilled") stack.use(server.value);
  if (idp.status === "fulfilled") stack.use(idp.value);
  if (server.status === "rejected") throw server.reason;
  if (idp.status === "rejected") throw idp.reason;
  return [server.value, idp.value];
}
