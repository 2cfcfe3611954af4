import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

import { expect, it } from "vitest";

import type { PgClient } from "./pg-structure.ts";
import { cancelRunning } from "./postgres-cancel.ts";

it("asks where the client is connected, with its key, and leaves closing to the other side", async () => {
  const arrived = Promise.withResolvers<{ socket: Socket; request: Buffer }>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.once("data", (request) => arrived.resolve({ socket, request }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    const client = { processID: 4711, secretKey: -5, host: "127.0.0.1", port };
    let isDone = false;
    const cancelled = cancelRunning(client as unknown as PgClient, 60_000).then(() => {
      isDone = true;
    });
    const { socket, request } = await arrived.promise;
    expect(request.toString("hex")).toBe("0000001004d2162e00001267fffffffb");

    // PgBouncer 1.18 drops the request of a client that has closed, and can fall over it. What was sent
    // together with the request is here before a connection that was begun later.
    let hasEnded = false;
    socket.once("end", () => (hasEnded = true));
    const later = connect({ host: "127.0.0.1", port });
    await once(later, "connect");
    later.destroy();
    expect([hasEnded, isDone]).toEqual([false, false]);

    socket.end();
    await cancelled;
  } finally {
    server.close();
  }
});

it("gives up after its time, and never fails", async () => {
  const server = createServer((socket) => socket.resume());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = { processID: 1, secretKey: 2, host: "127.0.0.1", port };
  const cancel = (ms: number) => cancelRunning(client as unknown as PgClient, ms);
  await expect(cancel(1)).resolves.toBeUndefined();
  server.close();
  await once(server, "close");
  await expect(cancel(60_000)).resolves.toBeUndefined();
});
