import { BehalfError, type CallClock, orStopped, type SubjectRef } from "@behalf/core";

export interface TurnLimits {
  /** How many connections there are. */
  readonly connections: number;
  /** How many of them one human may hold at a time. */
  readonly connectionsPerHuman: number;
  /** How many calls of one human may run or wait at a time. */
  readonly callsPerHuman: number;
}

/** Who gets the next connection. */
export interface Turns {
  /**
   * Waits until it is this human's turn. The caller gives the turn back by calling what it gets.
   *
   * @param subject the human, or `null` for a question of the adapter's own
   * @throws BehalfError `limit.exceeded` at once, when this human has too many calls under way; or the
   *   clock's reason
   */
  take(subject: SubjectRef | null, clock: CallClock): Promise<() => void>;
}

interface Human {
  readonly key: string;
  holds: number;
  readonly waiting: (() => void)[];
}

/**
 * Shares connections among humans: nobody holds more than their share, and those who wait are served in
 * turn, one call of each human, not one after the other as they came. So a human who sends sixteen long
 * statements delays their own seventeenth and nobody else's first.
 */
export function turns(limits: TurnLimits): Turns {
  const humans = new Map<string, Human>();
  // Humans with a call that waits, in the order in which they are served.
  const queue = new Set<Human>();
  let free = limits.connections;

  function serve(): void {
    for (const human of queue) {
      if (free === 0) return;
      if (human.holds >= limits.connectionsPerHuman && human.key !== "") continue;
      // To the end of the queue, or out of it.
      queue.delete(human);
      const next = human.waiting.shift();
      if (human.waiting.length > 0) queue.add(human);
      if (next === undefined) continue;
      free -= 1;
      human.holds += 1;
      next();
    }
  }

  function giveBack(human: Human): void {
    free += 1;
    human.holds -= 1;
    forget(human);
    serve();
  }

  function forget(human: Human): void {
    if (human.holds === 0 && human.waiting.length === 0) humans.delete(human.key);
  }

  return {
    async take(subject, clock) {
      const key = subject === null ? "" : JSON.stringify([subject.issuer, subject.subject]);
      let human = humans.get(key);
      if (!human) humans.set(key, (human = { key, holds: 0, waiting: [] }));
      const mine = human;
      if (subject !== null && mine.holds + mine.waiting.length >= limits.callsPerHuman) {
        throw new BehalfError(
          "limit.exceeded",
          `[postgres] this human has ${limits.callsPerHuman} calls under way; wait for them, then try again`,
          { backend: "postgres", reason: "calls_per_human" },
        );
      }
      let isOver = false;
      const release = () => {
        if (!isOver) giveBack(mine);
        isOver = true;
      };
      if (
        free > 0 &&
        mine.waiting.length === 0 &&
        (key === "" || mine.holds < limits.connectionsPerHuman)
      ) {
        free -= 1;
        mine.holds += 1;
        return release;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      mine.waiting.push(resolve);
      queue.add(mine);
      try {
        await orStopped(promise, clock);
      } catch (error) {
        const position = mine.waiting.indexOf(resolve);
        // The turn may have come in the same instant.
        if (position === -1) {
          release();
        } else {
          mine.waiting.splice(position, 1);
          if (mine.waiting.length === 0) queue.delete(mine);
          forget(mine);
        }
        throw clock.stopped?.code === "timeout" ? waited(limits, subject) : error;
      }
      return release;
    },
  };
}

function waited(limits: TurnLimits, subject: SubjectRef | null): BehalfError {
  const { connections, connectionsPerHuman } = limits;
  return new BehalfError(
    "timeout",
    subject === null
      ? "[postgres] the deadline passed while a connection was waited for"
      : `[postgres] the deadline passed while the call waited for its turn: all ${connections} connections are busy, or this human's other calls hold the ${connectionsPerHuman} that one human may have (a call inside a run needs one more)`,
    { backend: "postgres", reason: "waiting" },
  );
}
