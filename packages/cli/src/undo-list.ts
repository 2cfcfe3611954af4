/** What has to be undone, the last thing first. */
export interface UndoList {
  defer(undo: () => Promise<void> | void): void;
  /** Each once, also where one of them fails. @throws what the first one that failed threw */
  undo(): Promise<void>;
}

/** In place of AsyncDisposableStack, which Node has from 24 on: the package promises 22. */
export function undoList(): UndoList {
  const waiting: (() => Promise<void> | void)[] = [];
  return {
    defer: (undo) => void waiting.push(undo),
    async undo() {
      const failures: unknown[] = [];
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        try {
          await next();
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}
