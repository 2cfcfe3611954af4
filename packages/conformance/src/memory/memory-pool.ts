import { type CallClock, orStopped } from "@behalf/core";

import type { MemoryBackend, MemoryConnection } from "./memory-backend.ts";
import {
  type MemoryAnswer,
  MemoryBackendError,
  type MemoryRequest,
  type MemoryResult,
} from "./memory-protocol.ts";

/** A connection that somebody has for themselves. */
export interface Lent {
  /** One round trip. @throws MemoryBackendError, or the clock's reason */
  send(clock: CallClock, ...requests: readonly MemoryRequest[]): Promise<readonly MemoryResult[]>;
  /** For the next one, who must find it as new. */
  release(): void;
  /** For nobody any more. */
  destroy(): void;
}

/** Connections that all humans share. */
export interface MemoryPool {
  take(clock: CallClock): Promise<Lent>;
  close(): void;
}

export function memoryPool(backend: MemoryBackend, most: number): MemoryPool {
  const idle: MemoryConnection[] = [];
  const waiting: (() => void)[] = [];
  let taken = 0;

  /** A place goes to whoever waits longest. */
  function give(): void {
    const next = waiting.shift();
    if (next === undefined) taken -= 1;
    else next();
  }

  async function place(clock: CallClock): Promise<void> {
    if (taken < most) {
      taken += 1;
      return;
    }
    const turn = Promise.withResolvers<void>();
    waiting.push(turn.resolve);
    try {
      await orStopped(turn.promise, clock);
    } catch (error) {
      const index = waiting.indexOf(turn.resolve);
      // It may have been given the place in the very moment in which it gave up.
      if (index === -1) give();
      else waiting.splice(index, 1);
      throw error;
    }
  }

  function lend(connection: MemoryConnection): Lent {
    return {
      async send(clock, ...requests) {
        clock.check();
        const forget = clock.onStop(() => connection.cancel());
        try {
          const text = await orStopped(connection.send(JSON.stringify(requests)), clock);
          const { results, error }: MemoryAnswer = JSON.parse(text);
          if (error !== undefined) throw new MemoryBackendError(error.code, error.message);
          return results;
        } finally {
          forget();
        }
      },
      release() {
        idle.push(connection);
        give();
      },
      destroy() {
        connection.destroy();
        give();
      },
    };
  }

  return {
    async take(clock) {
      await place(clock);
      try {
        return lend(idle.pop() ?? (await backend.connect()));
      } catch (error) {
        give();
        throw error;
      }
    },
    close() {
      for (const connection of idle.splice(0)) connection.destroy();
    },
  };
}
