import { createServer, connect, type Socket } from "node:net";
import { once } from "node:events";

/** A TCP proxy that counts what an onlooker on the wire would: writes of the client and round trips. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Chunks that came from clients since the last reset. */
  readonly clientWrites: number;
  /** How often a client spoke after the server had answered, since the last reset. */
  readonly roundTrips: number;
  reset(): void;
  /**
   * From now on: pass bytes on, keep them back without closing, pass on what clients say and keep back what
   * they are answered, or cut every connection.
   */
  mode(mode: ProxyMode): void;
  /** Cuts the connection over which the server will have sent so many more bytes, having passed these on. */
  cutAfter(bytes: number): void;
  /** Passes on something else than what servers say, from now on. */
  rewrite(answer: (chunk: Buffer) => Buffer): void;
  /** Connects clients that come from now on with another server. */
  target(next: ProxyTarget): void;
}

export type ProxyMode = "pass" | "hold" | "deaf" | "cut";

export interface ProxyTarget {
  readonly host: string;
  readonly port: number;
}

export async function tcpProxy(first: ProxyTarget): Promise<TcpProxy> {
  let target = first;
  let clientWrites = 0;
  let roundTrips = 0;
  let mode: ProxyMode = "pass";
  let rewrite = (chunk: Buffer): Buffer => chunk;
  let bytesLeft = Number.POSITIVE_INFINITY;
  const sockets = new Set<Socket>();

  const server = createServer((client) => {
    if (mode === "cut") {
      client.destroy();
      return;
    }
    const upstream = connect(target);
    let serverSpokeLast = true;
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        // What was passed on before may still be on its way.
        if (!other.writableEnded) other.destroy();
      });
      socket.on("data", (chunk) => {
        if (socket === client) {
          clientWrites += 1;
          if (serverSpokeLast) roundTrips += 1;
        }
        serverSpokeLast = socket === upstream;
        if (mode === "hold" || (mode === "deaf" && socket === upstream)) return;
        if (socket === upstream && chunk.length >= bytesLeft) {
          client.end(chunk.subarray(0, bytesLeft), () => client.destroy());
          bytesLeft = Number.POSITIVE_INFINITY;
          upstream.destroy();
          return;
        }
        if (socket === upstream) bytesLeft -= chunk.length;
        other.write(socket === upstream ? rewrite(chunk) : chunk);
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");

  return {
    port: address.port,
    get clientWrites() {
      return clientWrites;
    },
    get roundTrips() {
      return roundTrips;
    },
    reset() {
      clientWrites = 0;
      roundTrips = 0;
    },
    mode(next) {
      mode = next;
      if (next === "cut") for (const socket of sockets) socket.destroy();
    },
    cutAfter(bytes) {
      bytesLeft = bytes;
    },
    rewrite(next) {
      rewrite = next;
    },
    target(next) {
      target = next;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
