import { connect } from "node:net";

import { BehalfError, type SqlAdapter } from "@behalf/core";
import pg from "pg";

import type { World } from "./world.ts";

export interface CancelRace {
  /** Calls that were given up at a random moment. */
  readonly cancelled: number;
  /** Of these, the ones that had finished by then. */
  readonly finished: number;
  /** Calls of the next human, sent at once. */
  readonly next: number;
  /** Of these, the ones that somebody else's cancel hit, or that failed in any way. */
  readonly hit: number;
}

/** What is given up: short enough that the cancel often comes when the statement is over. */
const SHORT = "select count(*) from orders, generate_series(1, 200)";

/**
 * Alice gives up a call at a random moment, and Bob's statement follows on the same few connections. A
 * cancel request names a process and not a statement: one that arrives late must hit nobody.
 */
export async function cancelRace(
  world: World,
  shop: SqlAdapter,
  cancels: number,
  random: () => number,
): Promise<CancelRace> {
  const [alice, bob] = [await world.token("alice"), await world.token("bob")];
  const race = { cancelled: 0, finished: 0, next: 0, hit: 0 };
  const ask = async (n: number) => {
    const leaving = new AbortController();
    const given = shop.query(await world.front.delegate(alice), SHORT, {
      signal: leaving.signal,
      access: n % 2 === 0 ? "read" : "write",
    });
    // Mostly within the statement, and often enough after it.
    const moment = random() ** 2 * 20;
    const timer = setTimeout(() => leaving.abort(), moment);
    race.cancelled += 1;
    const outcome = await given.then(
      () => "finished" as const,
      (error: unknown) => (BehalfError.isInstance(error) ? error.code : "unknown"),
    );
    clearTimeout(timer);
    if (outcome === "finished") race.finished += 1;
    else if (outcome !== "cancelled") throw new Error(`a cancelled call failed with ${outcome}`);
    race.next += 1;
    const rows = await shop
      .query(await world.front.delegate(bob), "select distinct org_id from orders")
      .then(
        (result) => result.rows,
        () => null,
      );
    if (rows?.[0]?.[0] !== "globex") race.hit += 1;
  };
  let sent = 0;
  const worker = async () => {
    while (sent < cancels) await ask(sent++);
  };
  await Promise.all([worker(), worker()]);
  return race;
}

/**
 * The same without the adapter: the request is sent, and the next statement follows on the same
 * connection. It shows that late cancels are real on this machine.
 *
 * @param enough ends it after so many hits
 */
export async function carelessRace(
  url: string,
  cancels: number,
  enough = Number.POSITIVE_INFINITY,
): Promise<{ readonly hit: number }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let hit = 0;
  try {
    const { processID, secretKey, host, port } = client as unknown as {
      processID: number;
      secretKey: number;
      host: string;
      port: number;
    };
    const request = Buffer.alloc(16);
    [16, 80877102, processID, secretKey].forEach((word, at) => request.writeInt32BE(word, at * 4));
    for (let n = 0; n < cancels; n++) {
      if (hit >= enough) break;
      const first = client.query("select pg_sleep(0.002)").catch(() => {});
      const socket = connect({ host, port });
      socket.on("error", () => {});
      socket.on("connect", () => socket.end(request));
      await first;
      await client.query("select pg_sleep(0.005)").catch((error: unknown) => {
        if (error instanceof Error && "code" in error && error.code === "57014") hit += 1;
      });
    }
  } finally {
    await client.end();
  }
  return { hit };
}
