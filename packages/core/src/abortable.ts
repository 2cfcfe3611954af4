/**
 * Waits for `work`, but no longer than until `signal` fires. The work itself goes on: others may be
 * waiting for it.
 *
 * @throws the reason of `signal`, or what `work` throws
 */
export function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const stop = (): void => reject(signal.reason);
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  const leave = (): void => signal.removeEventListener("abort", stop);
  work.then(resolve, reject).finally(leave);
  return promise;
}
