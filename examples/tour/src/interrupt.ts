/** What the shell expects of a program that a signal ended: 128 and the signal's number. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: keyof typeof EXIT_CODES) {
    super(`ended by ${signal}`);
    this.exitCode = EXIT_CODES[signal];
  }
}

/**
 * A signal that fires with {@link Interrupted} at the first Ctrl-C, so that everything is cleaned up.
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
      controller.abort(new Interrupted(name));
    });
  }
  return controller.signal;
}
