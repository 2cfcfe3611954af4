import { type CallClock, callClock, orStopped } from "@behalf/core";

import { type Connection, openConnection } from "./key-value-connection.ts";

/** A few connections for everybody. None comes back with anybody's name on it. */
export interface Pool {
  take(clock: CallClock): Promise<Connection>;
  giveBack(connection: Connection): Promise<void>;
  close(): void;
}

export function connectionPool(port: number, most: number): Pool {
  const idle: Connection[] = [];
  const queue: (() => void)[] = [];
  let free = most;

  function leave(): void {
    const next = queue.shift();
    if (next) next();
    else free += 1;
  }

  async function enter(clock: CallClock): Promise<void> {
    clock.check();
    if (free > 0) return void (free -= 1);
    const { promise, resolve } = Promise.withResolvers<void>();
    queue.push(resolve);
    try {
      await orStopped(promise, clock);
    } catch (error) {
      const place = queue.indexOf(resolve);
      if (place < 0) leave();
      else queue.splice(place, 1);
      throw error;
    }
  }

  async function take(clock: CallClock): Promise<Connection> {
    await enter(clock);
    for (let kept = idle.pop(); kept; kept = idle.pop()) if (!kept.closed) return kept;
    const opening = openConnection(port);
    try {
      return await orStopped(opening, clock);
    } catch (error) {
      leave();
      void opening.then((late) => late.close()).catch(() => {});
      throw error;
    }
  }

  async function giveBack(connection: Connection): Promise<void> {
    try {
      if (connection.waiting > 0) await kill(connection);
      else await bounded(connection.ask("RESET"));
      idle.push(connection);
    } catch {
      connection.close();
    } finally {
      leave();
    }
  }

  /** The store goes on with a command whose connection is gone: it has to be told. */
  async function kill(connection: Connection): Promise<void> {
    connection.close();
    const other = await bounded(openConnection(port));
    try {
      await bounded(other.ask("CLIENT KILL", connection.id, connection.key));
    } finally {
      other.close();
    }
  }

  return { take, giveBack, close: () => idle.splice(0).forEach((one) => one.close()) };
}

/** No longer than this, whatever the store does. */
async function bounded<T>(promise: Promise<T>): Promise<T> {
  using clock = callClock(900, undefined, "key-value");
  return await orStopped(promise, clock);
}
