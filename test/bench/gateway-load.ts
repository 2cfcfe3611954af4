import http from "node:http";
import { parentPort, workerData } from "node:worker_threads";

import { currentRequest } from "../support/gateway-world.ts";

/** What a load thread needs to know. */
export interface Load {
  readonly port: number;
  readonly token: string;
  readonly concurrency: number;
  readonly statement: string;
}

// A thread of its own: its CPU time must not count as the gateway's.
const { port, token, concurrency, statement } = workerData as Load;
const agent = new http.Agent({ keepAlive: true, maxSockets: concurrency });
const request = currentRequest("tools/call", { name: "query", arguments: { sql: statement } });
const body = JSON.stringify(request.body);
const headers = {
  ...request.headers,
  "content-type": "application/json",
  "content-length": Buffer.byteLength(body),
  authorization: `Bearer ${token}`,
};

function call(): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path: "/mcp", method: "POST", agent, headers };
    const sent = http.request(options, (res) => {
      let text = "";
      res.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      res.once("end", () => {
        if (res.statusCode === 200 && !text.includes("isError")) resolve();
        else reject(new Error(`HTTP ${res.statusCode}: ${text.slice(0, 300)}`));
      });
    });
    sent.once("error", reject).end(body);
  });
}

parentPort?.on("message", (calls: number) => {
  void (async () => {
    let left = calls;
    const caller = async () => {
      while (left > 0) {
        left -= 1;
        await call();
      }
    };
    await Promise.all(Array.from({ length: concurrency }, caller));
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    parentPort?.postMessage("done");
  })();
});
