/** What the shell expects of a program that a signal ended: 128 and the signal's number. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(by: string, exitCode: number) {
    super(`ended by ${by}`);
    this.exitCode = exitCode;
  }
}

/**
 * A signal that fires with {@link Interrupted} at the first Ctrl-C, so that everything is cleaned up; also when
 * nobody reads the output any more (`npm start | head`).
 * A later one ends the process at once; not one of the same second, because npm passes a Ctrl-C on that the
 * terminal has sent to the whole group already.
 */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  let firstMs = 0;
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) {
        if (performance.now() - firstMs > 1000) process.exit(EXIT_CODES[name]);
        return;
      }
      firstMs = performance.now();
      controller.abort(new Interrupted(name, EXIT_CODES[name]));
    });
  }
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (controller.signal.aborted) return;
    if (error.code !== "EPIPE") throw error;
    controller.abort(new Interrupted("closed output", 0));
  });
  return controller.signal;
}
