import { randomUUID } from "node:crypto";

import type { SubjectRef, Task } from "@behalf/core";

import type { Observation } from "../harness.ts";
import type { MemoryClaims, MemoryIssuer } from "./memory-issuer.ts";
import { type MemoryAnswer, MemoryBackendError, type MemoryTable } from "./memory-protocol.ts";
import {
  memoryServerSession,
  type MemoryServerSession,
  type Row,
} from "./memory-server-session.ts";

/** One connection, as a client library gives it. */
export interface MemoryConnection {
  readonly id: string;
  /**
   * Sends a text of requests, as a JSON list, and gives the answer's text: one round trip.
   *
   * @throws MemoryBackendError `connection_lost`
   */
  send(requests: string): Promise<string>;
  /** Stops what the backend works on for this connection. */
  cancel(): void;
  destroy(): void;
}

/**
 * A data system in this process, with users, rules and sessions of its own: it verifies tokens itself and
 * lets each human see and change what is theirs. Its connections keep their settings as those of
 * databases do, so that an adapter that cleans up badly is found out.
 */
export interface MemoryBackend {
  /** @throws MemoryBackendError `connection_lost` while it is unreachable */
  connect(): Promise<MemoryConnection>;
  observe(): Omit<Observation, "trips"> & { readonly trips: number };
  /** The newest of the tickets that it gave out: whoever has one is taken for its human. */
  tickets(): readonly string[];
  /** Refuses connections and cuts those that are there, until the returned function is called. */
  down(): () => void;
  /** Works on the next request, and cuts its connection in place of an answer, unless it is taken back. */
  loseAnswer(): () => void;
}

export function memoryBackend(issuer: MemoryIssuer, humans: readonly SubjectRef[]): MemoryBackend {
  const rows: Row[] = humans.flatMap(({ issuer: from, subject }) =>
    (["notes", "diary"] as const).flatMap((table) =>
      [1, 2, 3].map((): Row => ({ table, subject: { issuer: from, subject }, mark: null })),
    ),
  );
  const tickets = new Map<string, MemoryClaims & { readonly task: Task | null }>();
  const reads = new Map<
    string,
    { subject: SubjectRef | null; actors: readonly string[]; owner: string; times: number }
  >();
  const open = new Map<string, { session: MemoryServerSession; lost: (() => void)[] }>();
  let trips = 0;
  let isDown = false;
  let losesAnswer = false;

  function seen(who: MemoryClaims, table: MemoryTable, owner: string): void {
    const key = JSON.stringify([who.issuer, who.subject, who.actors, owner]);
    const { issuer: from, subject, actors } = who;
    const known = reads.get(key) ?? { subject: { issuer: from, subject }, actors, owner, times: 0 };
    known.times += 1;
    reads.set(key, known);
  }

  function cut(id: string): void {
    const connection = open.get(id);
    open.delete(id);
    connection?.session.end();
    for (const lose of connection?.lost ?? []) lose();
  }

  return {
    async connect() {
      await hop();
      if (isDown) throw new MemoryBackendError("connection_lost", "nobody listens there");
      const id = randomUUID();
      const session = memoryServerSession({
        id,
        rows,
        tickets,
        verify: (token) => issuer.verify(token),
        seen,
      });
      const lost: (() => void)[] = [];
      open.set(id, { session, lost });
      return {
        id,
        async send(requests) {
          trips += 1;
          await hop();
          const { promise, resolve, reject } = Promise.withResolvers<string>();
          const lose = () =>
            reject(new MemoryBackendError("connection_lost", "the connection is gone"));
          if (!open.has(id)) lose();
          else {
            lost.push(lose);
            session.answer(requests).then((answer: MemoryAnswer) => {
              lost.splice(lost.indexOf(lose), 1);
              if (losesAnswer) {
                losesAnswer = false;
                lose();
                cut(id);
              } else resolve(JSON.stringify(answer));
            }, reject);
          }
          const answer = await promise;
          await hop();
          return answer;
        },
        cancel: () => session.cancel(),
        destroy: () => cut(id),
      };
    },
    observe: () => ({
      reads: [...reads.values()].map((one) => ({ ...one })),
      writes: rows.flatMap(({ subject, mark }) => (mark === null ? [] : [{ subject, mark }])),
      running: [...open.values()].filter(({ session }) => session.isSleeping).length,
      sessions: [...open.keys()],
      left: [...open.values()].flatMap(({ session }) => session.left()),
      trips,
    }),
    tickets: () => [...tickets.keys()].slice(-200),
    down() {
      isDown = true;
      for (const id of open.keys()) cut(id);
      return () => {
        isDown = false;
      };
    },
    loseAnswer() {
      losesAnswer = true;
      return () => {
        losesAnswer = false;
      };
    },
  };
}

/** Others run before an answer comes, as they do where there is a network. */
function hop(): Promise<void> {
  return new Promise(setImmediate);
}
