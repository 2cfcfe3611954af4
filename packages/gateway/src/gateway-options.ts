import { BehalfError, type Delegator, type SqlAdapter } from "@behalf/core";

import type { GatewayLog } from "./gateway-log.ts";
import type { Tool } from "./tool.ts";

export interface GatewayOptions {
  /** The front door: `delegator({ verifier, records })`. Its verifier checks the audience. */
  readonly front: Delegator;
  /** Where tools ask, for example `postgres({ ... })`. The gateway does not close it. */
  readonly database: SqlAdapter;
  /**
   * The public URL of the MCP endpoint, for example `https://gateway.example.com/mcp`: the resource of
   * RFC 9728. Its path is the path that is served.
   */
  readonly resource: string;
  /** Issuers that give tokens for this gateway, for clients that ask where to sign in. */
  readonly authorizationServers: readonly string[];
  /** OAuth scopes that clients should ask for. */
  readonly scopesSupported?: readonly string[];
  /** For people, and for clients that show it. Default is `behalf-gateway`. */
  readonly name?: string;
  /** What the server tells an agent's model about itself. Default is two sentences. */
  readonly instructions?: string;
  /** Which of the built-in tools are offered. Default is all but `write`. */
  readonly builtIn?: {
    readonly query?: boolean;
    readonly describeTables?: boolean;
    readonly whoAmI?: boolean;
    readonly write?: boolean;
  };
  /** Tools of your own, made by `statementTool`. */
  readonly tools?: readonly Tool[];
  readonly limits?: Partial<GatewayLimits>;
  /**
   * Host names, without port, by which clients may call the gateway, beside loopback and the host of
   * `resource`. Needed to listen on other than loopback.
   */
  readonly allowedHosts?: readonly string[];
  /** Origins of web pages that may call the gateway, beside that of `resource`. Default is none. */
  readonly allowedOrigins?: readonly string[];
  /**
   * Whether calls can be served, asked by `/readyz` at most once a second. A rejection makes it 503. Default
   * is that they can.
   */
  readonly ready?: () => Promise<unknown>;
  /** Lines for the operator. Default is nothing. */
  readonly log?: GatewayLog;
}

export interface GatewayLimits {
  /** Longest body of a request. Default is `1114112` (1 MiB and 64 KiB). */
  readonly bodyBytes: number;
  /** Longest head of a request. Default is `24576`: an access token may have 16 KiB. */
  readonly headerBytes: number;
  /** Longest time for the head of a request. Default is `10000`. */
  readonly headersTimeoutMs: number;
  /** Longest time for a whole request to arrive. Default is `30000`. */
  readonly requestTimeoutMs: number;
  /** How long an idle connection stays open. Default is `65000`, longer than most load balancers keep one. */
  readonly keepAliveTimeoutMs: number;
  /** Longest time for a tool's call. Default is `30000`. */
  readonly deadlineMs: number;
  /** Rows of `query` where the agent does not say. Default is `100`. */
  readonly defaultRows: number;
  /** Most rows that an agent can ask for. Default is `1000`. */
  readonly maxRows: number;
  /** Most requests of proven humans at once; more are answered 503. Default is `256`. */
  readonly concurrentRequests: number;
  /** Most requests of one human at once; more are answered 429. Default is `64`. */
  readonly requestsPerHuman: number;
}

const DEFAULTS: GatewayLimits = {
  bodyBytes: 1_114_112,
  headerBytes: 24_576,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 65_000,
  deadlineMs: 30_000,
  defaultRows: 100,
  maxRows: 1_000,
  concurrentRequests: 256,
  requestsPerHuman: 64,
};

/** @throws BehalfError `configuration` for a number that is not whole and above 0 */
export function limitsOf(given: Partial<GatewayLimits> = {}): GatewayLimits {
  const limits = { ...DEFAULTS, ...given };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1 || value > 2_147_483_647) {
      throw new BehalfError(
        "configuration",
        `[gateway] limits.${name} must be a whole number from 1 to 2147483647`,
      );
    }
  }
  return { ...limits, defaultRows: Math.min(limits.defaultRows, limits.maxRows) };
}
