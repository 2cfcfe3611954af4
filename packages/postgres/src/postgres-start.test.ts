import { callClock, type Identity, Secret } from "@behalf/core";
import { expect, it } from "vitest";

import type { Step, StepResult } from "./postgres-batch.ts";
import type { Connection } from "./postgres-connection.ts";
import { preparedStatements } from "./postgres-prepared.ts";
import { type HumanCall, startCall } from "./postgres-start.ts";
import { tickets } from "./postgres-tickets.ts";

const identity = { issuer: "https://a.test", subject: "alice" } as Identity;

/** A connection whose calls are served by these backends, one after the other. */
function served(processID: number, pids: readonly number[]) {
  let call = 0;
  const state = { prepared: preparedStatements(8), backend: null, isPooled: false };
  const send = async (steps: readonly Step[]): Promise<readonly StepResult[]> => {
    const pid = pids[(call += 1) - 1];
    return steps.map((step) => ({
      fields: [],
      tag: "",
      rows: [
        "name" in step && step.name === "behalf_backend_start"
          ? [`start of ${pid}`]
          : [null, null, "agent", null, null, String(pid)],
      ],
    }));
  };
  return { client: { processID }, state, send } as unknown as Connection;
}

async function natives(connection: Connection, calls: number) {
  const found = [];
  for (let call = 0; call < calls; call += 1) {
    using clock = callClock(1_000, undefined, "postgres");
    const human = {
      delegation: { identity },
      callId: "c",
      credential: { token: new Secret("e30.e30.s"), expiresAtMs: 0, audience: "d" },
      tickets: tickets(1),
      clock,
      mode: "sandbox",
      access: "read",
    } as unknown as HumanCall;
    found.push((await startCall(connection, human, () => [])).native);
  }
  return found;
}

it("asks one backend once when it started", async () => {
  const connection = served(7, [7, 7]);
  const native = { role: "agent", pid: 7, backendStart: "start of 7" };
  expect(await natives(connection, 2)).toEqual([native, native]);
  expect(connection.state.isPooled).toBe(false);
});

it("never says of one backend when another one started", async () => {
  const connection = served(900, [7, 8, 8, 8]);
  expect(await natives(connection, 4)).toEqual([
    { role: "agent", pid: 7, backendStart: "start of 7" },
    { role: "agent", pid: 8 },
    { role: "agent", pid: 8, backendStart: "start of 8" },
    { role: "agent", pid: 8, backendStart: "start of 8" },
  ]);
  expect(connection.state.isPooled).toBe(true);
});
