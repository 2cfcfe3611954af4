import { connect } from "node:net";

import type { PgClient } from "./pg-structure.ts";

/** PostgreSQL's CancelRequest: length 16, code 80877102, process id, secret key. */
const CANCEL_CODE = 80877102;

/**
 * Asks the server to stop what runs on this connection. Resolves when the server has closed the
 * request's own connection, or after `timeoutMs`; never rejects, because a cancel that is lost changes
 * nothing: the caller destroys the connection in any case, so that a late one cannot hit the next human.
 *
 * The request goes over plain TCP or the Unix socket: it carries no data and no password.
 */
export async function cancelRunning(client: PgClient, timeoutMs: number): Promise<void> {
  const { processID, secretKey, host, port } = client;
  if (typeof processID !== "number" || typeof secretKey !== "number") return;
  if (host === undefined || port === undefined) return;

  const request = Buffer.alloc(16);
  request.writeInt32BE(16, 0);
  request.writeInt32BE(CANCEL_CODE, 4);
  request.writeInt32BE(processID, 8);
  request.writeInt32BE(secretKey, 12);

  await new Promise<void>((resolve) => {
    const socket = host.startsWith("/")
      ? connect({ path: `${host}/.s.PGSQL.${port}` })
      : connect({ host, port });
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    // No end from this side: PgBouncer forgets the request of a client that closed before it was passed on,
    // and 1.18 can fall over it.
    socket.on("connect", () => socket.write(request));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.resume();
  });
}
