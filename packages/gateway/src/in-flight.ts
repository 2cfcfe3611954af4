import type { ServerResponse } from "node:http";

import type { SubjectRef } from "@behalf/core";

/** The requests that are being served, so that a gateway can stop without cutting one off. */
export interface InFlight {
  /** Of humans that were proven. */
  readonly admitted: number;
  /** Whose proof is still being looked at. */
  readonly unproven: number;
  readonly isDraining: boolean;
  add(res: ServerResponse): void;
  /**
   * Says whose a request is.
   *
   * @returns whether this human has room for it: an agent that lets its requests trickle in would
   *   otherwise keep everybody else out
   */
  admit(res: ServerResponse, subject: SubjectRef): boolean;
  /** Ends when nothing runs any more. After so long what still runs is cut off. */
  drain(milliseconds: number): Promise<void>;
}

export function inFlight(perHuman: number): InFlight {
  const running = new Set<ServerResponse>();
  const ofHuman = new Map<string, number>();
  let admitted = 0;
  let isDraining = false;
  let onEmpty: (() => void)[] = [];
  return {
    get admitted() {
      return admitted;
    },
    get unproven() {
      return running.size - admitted;
    },
    get isDraining() {
      return isDraining;
    },
    add(res) {
      running.add(res);
      res.once("close", () => {
        running.delete(res);
        if (running.size > 0) return;
        for (const done of onEmpty) done();
        onEmpty = [];
      });
    },
    admit(res, { issuer, subject }) {
      const human = JSON.stringify([issuer, subject]);
      const count = ofHuman.get(human) ?? 0;
      // One that is gone already would never give its place back.
      if (count >= perHuman || res.closed) return false;
      ofHuman.set(human, count + 1);
      admitted += 1;
      res.once("close", () => {
        admitted -= 1;
        const left = (ofHuman.get(human) ?? 1) - 1;
        if (left > 0) ofHuman.set(human, left);
        else ofHuman.delete(human);
      });
      return true;
    },
    async drain(milliseconds) {
      isDraining = true;
      if (running.size === 0) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      onEmpty.push(resolve);
      const timer = setTimeout(() => {
        for (const res of running) res.destroy();
      }, milliseconds);
      await promise;
      clearTimeout(timer);
    },
  };
}
