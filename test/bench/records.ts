import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { jsonlSink, newCallId, type DecisionRecord } from "@behalf/core";

import { type Figure, figure, milliseconds } from "./figures.ts";

const ROUNDS = 11;
const RECORDS = 1_600;

/** What a durable record costs: how long its call waits for it, and the CPU time of the process. */
export async function run(): Promise<readonly Figure[]> {
  const directory = await mkdtemp(join(tmpdir(), "behalf-records-"));
  try {
    const contestants = (["fsync", "write"] as const).flatMap((durability) =>
      [1, 16].map((callers) => ({
        name: `record: ${durability}, ${callers} at a time`,
        callers,
        sink: jsonlSink({ path: join(directory, `${durability}-${callers}.jsonl`), durability }),
        waits: [] as number[],
        cpu: [] as number[],
      })),
    );
    for (let round = -2; round < ROUNDS; round++) {
      for (const { callers, sink, waits, cpu } of contestants) {
        let left = RECORDS;
        const caller = async () => {
          while (left-- > 0) await sink.write(decision());
        };
        const before = process.cpuUsage();
        const took = await milliseconds(() => Promise.all(Array.from({ length: callers }, caller)));
        const { user, system } = process.cpuUsage(before);
        if (round < 0) continue;
        waits.push((took * 1000 * callers) / RECORDS);
        cpu.push((user + system) / RECORDS);
      }
    }
    await Promise.all(contestants.map(({ sink }) => sink.close()));
    return contestants.flatMap(({ name, waits, cpu }) => [
      figure(`${name}, latency`, "us", waits),
      figure(`${name}, CPU`, "us", cpu),
    ]);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** As a call leaves it. */
function decision(): DecisionRecord {
  return {
    v: 1,
    kind: "decision",
    id: newCallId(),
    time: new Date().toISOString(),
    decision: "allow",
    subject: { issuer: "https://login.example.com", subject: "alice" },
    actors: [{ subject: "agent:assistant", profile: "ai_agent" }],
    token: { tokenId: "5b6e7f80", clientId: "assistant", expiresAtMs: 1_800_000_000_000 },
    backend: "postgres",
    action: "query",
    access: "read",
    statementHash: "a".repeat(64),
  };
}
