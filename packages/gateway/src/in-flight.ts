import type { ServerResponse } from "node:http";

/** The requests that are being served, so that a gateway can stop without cutting one off. */
export interface InFlight {
  readonly count: number;
  readonly isDraining: boolean;
  add(res: ServerResponse): void;
  /** Ends when nothing runs any more. After so long what still runs is cut off. */
  drain(milliseconds: number): Promise<void>;
}

export function inFlight(): InFlight {
  const running = new Set<ServerResponse>();
  let isDraining = false;
  let onEmpty: (() => void)[] = [];
  return {
    get count() {
      return running.size;
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
