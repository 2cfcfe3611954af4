import {
  credentialCache,
  delegator,
  tokenExchange,
  type Capabilities,
  type CredentialSource,
  type RecordSink,
  type Secret,
} from "@behalf/core";
import { gateway } from "@behalf/gateway";
import { postgres } from "@behalf/postgres";
import type pg from "pg";
import { ordersByStatus } from "./author-tool.ts";

export interface GatewayOptions {
  readonly issuer: string;
  /** What `aud` of tokens for this gateway says. */
  readonly audience: string;
  /** Of the humans, at the database. */
  readonly credentials: CredentialSource;
  /** Of the login for agents' texts, and of the one for the author's statements. */
  readonly pools: { readonly texts: pg.Pool; readonly statements: pg.Pool };
  readonly records: RecordSink;
}

export interface ExchangeOptions {
  readonly issuer: string;
  readonly client: { readonly id: string; readonly secret: Secret };
  /** What `aud` of tokens for the database says. */
  readonly databaseAudience: string;
}

/** A gateway that listens on loopback. */
export interface ServedGateway extends AsyncDisposable {
  /** Of the MCP endpoint. */
  readonly url: URL;
  /** What the adapter promises, who enforces it, and how that is known. */
  readonly capabilities: Capabilities;
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

/** A whole MCP gateway: built-in tools for the agent's own SQL, and a tool of its author's. */
export async function serveGateway(options: GatewayOptions): Promise<ServedGateway> {
  const { issuer, audience, credentials, pools, records } = options;
  await using stack = new AsyncDisposableStack();

  const front = delegator({
    verifier: { issuers: [{ issuer }], audience, requireActor: true },
    records,
  });
  stack.defer(() => front.close());
  const database = postgres({
    pool: pools.texts,
    statements: { pool: pools.statements },
    credentials,
    records,
    recordStatements: "text",
  });
  stack.defer(() => database.close());
  const server = await gateway({
    front,
    database,
    // Its name to the world; the agents of the tour are on the same machine and come by loopback.
    resource: "https://gateway.shop.example/mcp",
    authorizationServers: [issuer],
    builtIn: { write: true },
    tools: [ordersByStatus],
  });
  stack.defer(() => server.close({ drainMs: 0 }));
  const { port } = await server.listen();

  const cleanUp = stack.move();
  return {
    url: new URL(`http://127.0.0.1:${port}/mcp`),
    capabilities: database.capabilities,
    [Symbol.asyncDispose]: () => cleanUp.disposeAsync(),
  };
}
