import { once } from "node:events";
import { connect, createServer } from "node:net";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

/** A proxy that adds so many milliseconds to each round trip, in a thread of its own. */
export interface DelayProxy extends AsyncDisposable {
  readonly port: number;
}

interface Wish {
  readonly port: number;
  readonly delayMs: number;
}

export async function delayProxy(target: Wish): Promise<DelayProxy> {
  const worker = new Worker(new URL(import.meta.url), { workerData: target });
  const [port] = (await once(worker, "message")) as [number];
  return {
    port,
    async [Symbol.asyncDispose]() {
      await worker.terminate();
    },
  };
}

if (!isMainThread && parentPort !== null) serve(workerData as Wish);

function serve({ port, delayMs }: Wish): void {
  const server = createServer((client) => {
    const upstream = connect({ host: "127.0.0.1", port });
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on("error", () => socket.destroy());
    }
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
    // All of it on the way there: a timer of a millisecond is late by a tenth, and once is better than twice.
    client.on("data", (chunk) => {
      setTimeout(() => upstream.write(chunk), delayMs);
    });
    upstream.on("data", (chunk) => client.write(chunk));
  });
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the proxy has no port");
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    parentPort?.postMessage(address.port);
  });
}
