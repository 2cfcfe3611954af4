// Writes records until it is killed, and prints the id of each AFTER it is durable.
import { writeSync } from "node:fs";
import { jsonlSink, newCallId } from "../src/index.ts";

const sink = jsonlSink({ path: process.argv[2] ?? "" });
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());

async function lane(size: number): Promise<void> {
  while (!stop.signal.aborted) {
    const id = newCallId();
    await sink.write({
      v: 1,
      kind: "decision",
      id,
      time: new Date().toISOString(),
      decision: "allow",
      subject: { issuer: "https://a.test", subject: "alice" },
      actors: [],
      statement: "x".repeat(size),
    });
    writeSync(1, `${id}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, (_, n) => lane(n * 5000)));
await sink.close();
