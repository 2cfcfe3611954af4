import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

import { BehalfError } from "@behalf/core";

import { limitsOf, type GatewayOptions } from "./gateway-options.ts";
import { isLoopback } from "./http-guard.ts";
import { requestHandler } from "./request-handler.ts";

/** How long a gateway lets running calls finish where `close` does not say, in milliseconds. */
const DRAIN_MS = 10_000;
/** How often Node looks for requests that take too long. Its own default is 30 s. */
const CHECK_MS = 2_000;

export interface ListenOptions {
  /** Default is `127.0.0.1`. Another than loopback needs `allowedHosts`. */
  readonly host?: string;
  /** Default is `0`: a free one. */
  readonly port?: number;
}

/** A gateway that serves agents. */
export interface Gateway {
  /** For a `node:http` server of your own. Answers every request. */
  readonly handle: (req: IncomingMessage, res: ServerResponse) => void;
  /**
   * Listens on a server with the gateway's limits and timeouts.
   *
   * @returns where it listens
   * @throws BehalfError `configuration` for a host that is not loopback without `allowedHosts`; Node's own
   *   error (`EADDRINUSE`, ...) when it cannot listen
   */
  listen(options?: ListenOptions): Promise<{ readonly host: string; readonly port: number }>;
  /**
   * Stops: no new connection, no new call, `/readyz` says 503; calls under way may finish. What still
   * runs after `drainMs` is cancelled. Safe to call twice; a second call with less time hastens it.
   */
  close(options?: { readonly drainMs?: number }): Promise<void>;
}

/**
 * An MCP server over Streamable HTTP in which every call runs as the human whose token came with it.
 * Speaks the 2026-07-28 revision, and 2025-11-25 and older ones through the SDK. Everything but
 * `/healthz`, `/readyz` and the protected resource metadata needs a bearer that `front` accepts.
 *
 * @throws BehalfError `configuration`
 * @example
 * ```ts
 * const server = await gateway({
 *   front: delegator({ verifier: { issuers: [{ issuer }], audience: resource }, records }),
 *   database: postgres({ pool, credentials, records }),
 *   resource: "https://gateway.example.com/mcp",
 *   authorizationServers: [issuer],
 * });
 * await server.listen({ port: 8080 });
 * ```
 */
export async function gateway(options: GatewayOptions): Promise<Gateway> {
  const limits = limitsOf(options.limits);
  const handler = await requestHandler(options, limits);
  const servers = new Set<Server>();

  return {
    handle: handler.handle,
    async listen({ host = "127.0.0.1", port = 0 } = {}) {
      if (!isLoopback(host) && (options.allowedHosts ?? []).length === 0) {
        throw new BehalfError(
          "configuration",
          `[gateway] ${host} is not loopback: name the hosts that clients may call it by in allowedHosts`,
        );
      }
      const server = createServer(
        {
          maxHeaderSize: limits.headerBytes,
          headersTimeout: limits.headersTimeoutMs,
          requestTimeout: limits.requestTimeoutMs,
          keepAliveTimeout: limits.keepAliveTimeoutMs,
          connectionsCheckingInterval: Math.min(CHECK_MS, limits.headersTimeoutMs),
        },
        handler.handle,
      );
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once("error", reject).listen({ host, port }, resolve);
      await promise;
      servers.add(server);
      const address = server.address();
      if (typeof address !== "object" || address === null) throw new Error("no address");
      return { host: address.address, port: address.port };
    },
    async close({ drainMs = DRAIN_MS } = {}) {
      const closed = [...servers].map(
        (server) => new Promise<void>((resolve) => void server.close(() => resolve())),
      );
      await handler.drain(drainMs);
      for (const server of servers) server.closeAllConnections();
      await Promise.all(closed);
      await handler.close();
    },
  };
}
