import {
  credentialCache,
  delegator,
  tokenExchange,
  type Capabilities,
  type CredentialSource,
  type Principal,
  type QueryOptions,
  type RecordSink,
  type Secret,
  type SqlResult,
} from "@behalf/core";
import { postgres } from "@behalf/postgres";
import type pg from "pg";

export interface GatewayOptions {
  readonly issuer: string;
  /** What `aud` of tokens for this gateway says. */
  readonly audience: string;
  /** Of the humans, at the database. */
  readonly credentials: CredentialSource;
  /** Of the gateway's one login. */
  readonly pool: pg.Pool;
  readonly records: RecordSink;
}

export interface ExchangeOptions {
  readonly issuer: string;
  readonly client: { readonly id: string; readonly secret: Secret };
  /** What `aud` of tokens for the database says. */
  readonly databaseAudience: string;
}

export interface RunSqlOptions extends QueryOptions {
  /** How the records name the call. Default is `run_sql` */
  readonly tool?: string;
}

/** A gateway with two tools. Each call brings the human's token; nothing is remembered between calls. */
export interface Gateway {
  runSql(token: string | undefined, sql: string, options?: RunSqlOptions): Promise<SqlResult>;
  whoAmI(token: string | undefined): Promise<Principal>;
  /** What the adapter promises, who enforces it, and how that is known. */
  readonly capabilities: Capabilities;
  close(): Promise<void>;
}

/** Exchanges a human's token for one that the database accepts, and keeps it while it is good. */
export function databaseCredentials({
  issuer,
  client,
  databaseAudience,
}: ExchangeOptions): CredentialSource {
  return credentialCache({
    exchange: tokenExchange({
      issuer,
      clientId: client.id,
      clientSecret: client.secret,
      audience: databaseAudience,
    }),
  });
}

export function gateway(options: GatewayOptions): Gateway {
  const { issuer, audience, credentials, pool, records } = options;

  const front = delegator({
    verifier: { issuers: [{ issuer }], audience, requireActor: true },
    records,
  });
  const database = postgres({ pool, credentials, records, recordStatements: "text" });

  return {
    async runSql(token, sql, { tool = "run_sql", ...queryOptions } = {}) {
      const delegation = await front.delegate(token, { tool });
      return database.query(delegation, sql, queryOptions);
    },
    async whoAmI(token) {
      const delegation = await front.delegate(token, { tool: "who_am_i" });
      return database.run(delegation, (session) => session.whoAmI());
    },
    capabilities: database.capabilities,
    async close() {
      await database.close();
      front.close();
    },
  };
}
