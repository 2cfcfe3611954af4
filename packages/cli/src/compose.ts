import { BehalfError, credentialCache, delegator, jsonlSink, tokenExchange } from "@behalf/core";
import { declaredTool, gateway, type Gateway, type GatewayLog } from "@behalf/gateway";
import { postgres } from "@behalf/postgres";
import pg from "pg";

import type { Config } from "./config-load.ts";
import { clientConfig, type Login } from "./config-login.ts";
import { type UndoList, undoList } from "./undo-list.ts";
import { watchedSink } from "./watched-sink.ts";

/** How long the database may take to say that it lives. */
const PROBE_MS = 2_000;

/**
 * How long a connection is used. A text can make the server keep something small for as long as the
 * connection lives, for example the name of a setting of its own, and no reset takes that away.
 */
const LIFETIME_SECONDS = 900;

/** Everything that serves, in the order in which it ends. */
export interface Running {
  readonly gateway: Gateway;
  /** Ends in order: first what takes calls, last what records them. Safe to call twice. */
  close(options: { readonly drainMs: number }): Promise<void>;
}

/**
 * Puts a gateway together. Nothing is asked of anybody yet.
 *
 * @throws BehalfError `configuration` for what only the parts themselves know to be wrong
 */
export async function compose(config: Config, log: GatewayLog): Promise<Running> {
  const made = undoList();
  try {
    return await composed(config, log, made);
  } catch (error) {
    await made.undo().catch(() => {});
    throw error;
  }
}

async function composed(config: Config, log: GatewayLog, stack: UndoList): Promise<Running> {
  const { file, clientSecret, sandbox, statements, recordsPath } = config;
  const { server, identity, exchange, database, records, tools } = file;

  const issuers = identity.issuers.map((given) =>
    typeof given === "string" ? { issuer: given } : { issuer: given.issuer, ...defined(given) },
  );
  const { sink, check: checkRecords } = watchedSink(
    jsonlSink({ path: recordsPath, durability: records.durability ?? "fsync" }),
  );
  stack.defer(() => sink.close());
  const front = delegator({
    verifier: {
      issuers,
      audience: identity.audience,
      requireActor: identity.requireActor ?? true,
      ...defined({ maxTokenAgeSeconds: identity.maxTokenAgeSeconds }),
    },
    records: sink,
  });
  stack.defer(() => front.close());
  const exchanger = tokenExchange({
    issuer: exchange.issuer ?? issuers[0]?.issuer ?? "",
    clientId: exchange.clientId,
    clientSecret,
    audience: exchange.audience,
    ...defined({ resource: exchange.resource, scope: exchange.scope }),
  });
  const poolOf = (login: Login, max: number, more: pg.PoolConfig = {}) => {
    const pool = new pg.Pool({
      ...clientConfig(login),
      max,
      maxLifetimeSeconds: LIFETIME_SECONDS,
      ...more,
    });
    // A connection that breaks while idle would otherwise be an uncaught exception.
    pool.on("error", () => {});
    stack.defer(() => pool.end());
    return pool;
  };
  const max = database.maxConnections ?? 10;
  const adapter = postgres({
    pool: poolOf(sandbox, max),
    ...(statements === undefined ? {} : { statements: { pool: poolOf(statements, max) } }),
    credentials: credentialCache({ exchange: exchanger }),
    records: sink,
    recordStatements: records.statements ?? "hash",
    ...defined({
      maxBytes: database.maxBytes,
      maxRows: database.maxRows,
      maxConnectionsPerHuman: database.maxConnectionsPerHuman,
      maxCallsPerHuman: database.maxCallsPerHuman,
      preparedStatements: database.preparedStatements,
    }),
  });
  stack.defer(() => adapter.close());
  // The adapter's pool is for calls alone.
  const probe = poolOf(sandbox, 1, { query_timeout: PROBE_MS });
  const made = await gateway({
    front,
    database: adapter,
    resource: server.publicUrl,
    authorizationServers: issuers.map(({ issuer }) => issuer),
    builtIn: defined(tools ?? {}),
    tools: (file.statementTools ?? []).map(declaredTool),
    allowedHosts: server.allowedHosts ?? [],
    allowedOrigins: server.allowedOrigins ?? [],
    ready: () => Promise.all([checkRecords(), probe.query("select 1").catch(unreachable)]),
    log,
    limits: defined({
      bodyBytes: server.bodyLimitBytes,
      concurrentRequests: server.concurrentRequests,
      requestsPerHuman: server.requestsPerHuman,
      deadlineMs:
        database.deadlineSeconds === undefined ? undefined : 1_000 * database.deadlineSeconds,
      defaultRows: database.defaultRows,
      maxRows: database.maxRows,
    }),
    ...defined({
      scopesSupported: identity.scopes,
      name: server.name,
      instructions: server.instructions,
    }),
  });
  return {
    gateway: made,
    async close(options) {
      await made.close(options);
      await stack.undo();
    },
  };
}

/** The driver's own message may name the login. */
function unreachable(): never {
  throw new BehalfError("backend.unavailable", "the database cannot be reached");
}

/** Without the members that are not set, so that defaults stay. */
function defined<T extends object>(value: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const kept = Object.entries(value).filter(([, member]) => member !== undefined);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- entries lose the types of their keys
  return Object.fromEntries(kept) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}
