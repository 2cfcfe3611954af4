import type { Pool } from "pg";

import { connectAgent, messageOf } from "./gateway-client.ts";
import type { Contestant } from "./gateway-contestant.ts";
import { cpuMeter } from "./gateway-cpu.ts";
import { type BenchWorld, HUMANS, ROWS, statementOf } from "./gateway-world.ts";

/** What one round showed. */
export interface Round {
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuUsPerCall: number;
  /** Of PostgreSQL; `NaN` where it is not on this machine. */
  readonly databaseUsPerCall: number;
}

/** Something that can be put under load: a server, or the pool in this process. */
export interface Target {
  readonly name: string;
  round(concurrency: number, milliseconds: number): Promise<Round>;
}

/** A server under load of so many connections, each of another human. Every single answer is checked. */
export function serverTarget(contestant: Contestant, world: BenchWorld): Target {
  return {
    name: contestant.name,
    async round(concurrency, milliseconds) {
      // Anew for each round: a server may drop a connection that was idle while others were measured.
      const humans = HUMANS.slice(0, concurrency);
      const agents = await Promise.all(humans.map((human) => connectAgent(contestant, human)));
      const answers = humans.map((): Buffer[] => []);
      const cpu = () => cpuMeter(contestant.pid);
      const round = await load(concurrency, milliseconds, cpu, world, async (agent) => {
        const answer = await agents[agent]?.call();
        if (answer) answers[agent]?.push(answer);
      });
      for (const agent of agents) agent.close();
      for (const [agent, list] of answers.entries()) {
        const human = humans[agent] ?? "";
        for (const answer of list) checkAnswer(contestant, human, answer, world);
      }
      return round;
    },
  };
}

/** The bare pool: no server, no identity. */
export function poolTarget(pool: Pool, world: BenchWorld): Target {
  return {
    name: "bare pg",
    round(concurrency, milliseconds) {
      const cpu = () => {
        const before = process.cpuUsage();
        return () => {
          const { user, system } = process.cpuUsage(before);
          return user + system;
        };
      };
      return load(concurrency, milliseconds, cpu, world, async (agent) => {
        const human = HUMANS[agent] ?? "";
        const { rows } = await pool.query<{ id: string; owner: string }>(statementOf(`'${human}'`));
        checkRows("bare pg", human, rows, world);
      });
    },
  };
}

async function load(
  concurrency: number,
  milliseconds: number,
  cpu: () => () => number,
  { serverPid }: BenchWorld,
  call: (agent: number) => Promise<void>,
): Promise<Round> {
  const times: number[] = [];
  const serverCpu = cpu();
  const databaseCpu = cpuMeter(serverPid);
  const begin = performance.now();
  const end = begin + milliseconds;
  await Promise.all(
    Array.from({ length: concurrency }, async (_, agent) => {
      for (let now = performance.now(); now < end;) {
        await call(agent);
        const after = performance.now();
        times.push(after - now);
        now = after;
      }
    }),
  );
  const seconds = (performance.now() - begin) / 1000;
  const used = serverCpu();
  const databaseUsed = databaseCpu();
  times.sort((a, b) => a - b);
  const at = (part: number) => times[Math.floor(times.length * part)] ?? Number.NaN;
  return {
    callsPerSecond: times.length / seconds,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    cpuUsPerCall: used / times.length,
    databaseUsPerCall: databaseUsed / times.length,
  };
}

function checkAnswer(
  { name, rowsOf }: Contestant,
  human: string,
  answer: Buffer,
  world: BenchWorld,
): void {
  const message = messageOf(answer) as { result?: { isError?: boolean } };
  if (message.result === undefined || message.result.isError === true) {
    throw new Error(`${name} answered with an error: ${JSON.stringify(message)}`);
  }
  checkRows(name, human, rowsOf(message.result), world);
}

/** A bench that measures errors, or another human's rows, is worth nothing. */
function checkRows(
  name: string,
  human: string,
  rows: readonly { readonly [column: string]: unknown }[],
  { expected }: BenchWorld,
): void {
  const ids = expected.get(human) ?? [];
  const isRight =
    ids.length === ROWS &&
    rows.length === ROWS &&
    rows.every(({ id, owner }, index) => Number(id) === ids[index] && owner === human);
  if (!isRight) throw new Error(`${name} did not answer with the rows of ${human}`);
}
