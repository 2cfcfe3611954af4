import { readFileSync } from "node:fs";

import pg from "pg";

import type { Step } from "../../packages/postgres/src/postgres-batch.ts";
import { preparedStatements } from "../../packages/postgres/src/postgres-prepared.ts";
import {
  begin,
  rollback,
  start,
  startStatement,
} from "../../packages/postgres/src/postgres-steps.ts";
import { type Figure, figure } from "./figures.ts";
import type { PostgresWorld } from "./postgres-world.ts";
import { sendBatch } from "./send-batch.ts";

const ROUNDS = 150;
const CALLS = 20;

/**
 * What the sealed identity takes of one backend's processor, above a transaction that has none. Both in one
 * batch with one Sync.
 */
export async function identityCpu(world: PostgresWorld): Promise<readonly Figure[]> {
  const { names, passwords } = world.world;
  const token = await world.world.databaseToken("alice");
  const client = new pg.Client({
    connectionString: world.world.url({
      user: names.statementGateway,
      password: passwords.statementGateway,
    }),
  });
  await client.connect();
  try {
    const { rows } = await client.query<{ ticket: string; pid: number }>(
      "select ticket, pg_backend_pid() as pid from behalf.exchange($1)",
      [token],
    );
    const { ticket = "", pid = Number.NaN } = rows[0] ?? {};
    const call = {
      proof: ticket,
      callId: "00000000-0000-4000-8000-000000000000",
      timeoutMs: 30_000,
      task: null,
      issuer: world.world.idp.issuer,
      subject: "alice",
    };
    const one: Step = { name: "one", text: "select 1", rows: 10 };
    const plain: Step = {
      name: "plain",
      text: "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)",
      values: [names.statements, '{"sub":"alice","org_id":"acme"}'],
    };
    const batches: Readonly<Record<string, readonly Step[]>> = {
      floor: [begin("read"), one, rollback],
      plain: [begin("read"), plain, one, rollback],
      proof: [begin("read"), start(call), one, rollback],
      sealed: [begin("read"), startStatement(call), one, rollback],
    };
    const prepared = preparedStatements(256);
    const used = new Map<string, number[]>();
    for (let round = -2; round < ROUNDS; round++) {
      for (const [name, steps] of Object.entries(batches)) {
        const before = onCpu(pid);
        for (let n = 0; n < CALLS; n++) {
          await sendBatch(client, steps, prepared);
        }
        const values = used.get(name) ?? [];
        used.set(name, values);
        if (round >= 0) values.push((onCpu(pid) - before) / CALLS);
      }
    }
    const floor = used.get("floor") ?? [];
    const above = (name: string) =>
      (used.get(name) ?? []).map((value, round) => value - (floor[round] ?? Number.NaN));
    return [
      figure("server CPU: begin, select 1, rollback", "us", floor),
      figure("server CPU above it: role and claims as plain settings", "us", above("plain")),
      figure("server CPU above it: proof and seal", "us", above("proof")),
      figure(
        "server CPU above it: proof, seal, role and pinned settings",
        "us",
        above("sealed"),
        60,
      ),
    ];
  } finally {
    await client.end();
  }
}

/** Microseconds that this process was on a processor; `NaN` where there is no /proc. */
function onCpu(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1_000;
  } catch {
    return Number.NaN;
  }
}
