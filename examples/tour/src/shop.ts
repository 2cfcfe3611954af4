import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jsonlSink, memorySink, Secret, type RecordSink } from "@behalf/core";
import {
  startOpenIdProvider,
  startPostgres,
  type LocalOpenIdProvider,
  type LocalPostgres,
} from "@behalf/local";
import { installKit, syncKeys } from "@behalf/postgres";
import pg from "pg";
import { connected } from "./connected.ts";
import { CONTROL, copyWithoutOthers } from "./control-copy.ts";
import { databaseCredentials, serveGateway, type ServedGateway } from "./gateway.ts";
import { people } from "./people.ts";

const AUDIENCE = { gateway: "urn:shop:gateway", database: "urn:shop:database" } as const;
export const AGENT = "agent:assistant";
export const GATEWAY = "gateway:shop";
export const GATEWAY_LOGIN = "shop_gateway";
export const STATEMENT_LOGIN = "shop_statements";
export const RECIPE_LOGIN = "recipe_login";

export interface ShopOptions {
  /** Stops the set-up between two steps, with everything removed that was there by then. */
  readonly signal?: AbortSignal;
  /** Default is `300`. */
  readonly accessTokenTtlSeconds?: number;
  /** Whether the folder with the records stays. Default is `false`. */
  readonly keepRecords?: boolean;
  /** Whether {@link Shop.judges} are made, too. It takes half a second. Default is `false`. */
  readonly judges?: boolean;
}

/** A database of four companies, an OpenID provider, a gateway with records, and the recipe's login. */
export interface Shop extends AsyncDisposable {
  readonly serverVersion: string;
  /** The superuser, who asks what is true. */
  readonly admin: pg.Client;
  readonly idp: LocalOpenIdProvider;
  readonly gateway: ServedGateway;
  /** The gateway's pool for agents' texts, and how many connections it has ever opened. */
  readonly pool: pg.Pool;
  readonly connectionsOpened: () => number;
  readonly recordsFile: string;
  readonly judges: JudgesGateways | undefined;
  /** A fresh pool of the recipe's login. The caller ends it. */
  recipePool(): pg.Pool;
  /** Whether this login gets in with this password. */
  canLogIn(login: string, password: string): Promise<boolean>;
  /** Gives the recipe's login its password back. */
  restoreRecipeLogin(): Promise<void>;
  /** A token of this human for the gateway, in which the agent is the actor. */
  signIn(subject: string): Promise<string>;
  /** Runs this at the end, before the gateways stop. */
  atEnd(callback: () => Promise<void>): void;
  /** Everything that must never be printed. */
  readonly secrets: readonly string[];
}

/** Two more of the same gateway, whose records nobody reads: what is asked again is not what Alice's agent did. */
export interface JudgesGateways {
  /** Before the same database. */
  readonly again: ServedGateway;
  /** Before a copy in which everything is as it was, less all rows of other companies than Alice's. */
  readonly copy: ServedGateway;
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
    statements: secret(),
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
    create role ${STATEMENT_LOGIN} login noinherit password '${secrets.statements}';
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
  if (options.judges === true) await copyWithoutOthers(server);
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
  // One for all gateways: the token that both databases are shown is the same, with its id and its times.
  const credentials = databaseCredentials({
    issuer: idp.issuer,
    client: { id: "gateway", secret: new Secret(secrets.gateway) },
    databaseAudience: AUDIENCE.database,
  });
  const gatewayBefore = async (records: RecordSink, database?: string) => {
    const pools = {
      texts: poolOf(GATEWAY_LOGIN, secrets.login, database),
      statements: poolOf(STATEMENT_LOGIN, secrets.statements, database),
    };
    for (const pool of Object.values(pools)) stack.defer(() => pool.end());
    const { issuer } = idp;
    const audience = AUDIENCE.gateway;
    const served = await serveGateway({ issuer, audience, credentials, pools, records });
    return { pools, gateway: stack.use(served) };
  };
  const records = jsonlSink({ path: recordsFile });
  stack.defer(() => records.close());
  const { pools, gateway } = await gatewayBefore(records);
  let connections = 0;
  pools.texts.on("connect", () => (connections += 1));
  let judges: JudgesGateways | undefined;
  if (options.judges === true) {
    const { gateway: again } = await gatewayBefore(memorySink());
    const { gateway: copy } = await gatewayBefore(memorySink(), CONTROL);
    judges = { again, copy };
  }
  signal?.throwIfAborted();

  const cleanUp = stack.move();
  return {
    serverVersion: server.version,
    admin,
    idp,
    gateway,
    pool: pools.texts,
    connectionsOpened: () => connections,
    recordsFile,
    judges,
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
    atEnd: (callback) => cleanUp.defer(callback),
    secrets: [...Object.values(secrets), server.superuser.password],
    [Symbol.asyncDispose]: () => cleanUp.disposeAsync(),
  };
}

async function startBoth(
  stack: AsyncDisposableStack,
  secrets: { readonly agent: string; readonly gateway: string },
  options: ShopOptions,
): Promise<[LocalPostgres, LocalOpenIdProvider]> {
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
