import { BehalfError } from "@behalf/core";

/** The BehalfError that `work` fails with. Anything else, success included, fails the test. */
export async function failure(work: Promise<unknown>): Promise<BehalfError> {
  const error: unknown = await work.then(
    () => new Error("it succeeded"),
    (thrown: unknown) => thrown,
  );
  if (!BehalfError.isInstance(error)) throw error;
  return error;
}

/** Waits until `condition` holds. */
export async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const end = performance.now() + 15_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error("it did not happen within 15 s");
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}
