import type pg from "pg";

// The batch that the adapter writes is the only one that puts several statements into one Sync.
import {
  PostgresBatch,
  type Step,
  type StepResult,
} from "../../packages/postgres/src/postgres-batch.ts";
import type { PreparedStatements } from "../../packages/postgres/src/postgres-prepared.ts";

/** Several statements in one write with one Sync, on a client that nobody else uses. */
export function sendBatch(
  client: pg.Client,
  steps: readonly Step[],
  prepared: PreparedStatements,
): Promise<readonly StepResult[]> {
  const batch = new PostgresBatch(steps, prepared);
  // The types of pg know no submittable.
  (client as unknown as { query(submittable: PostgresBatch): void }).query(batch);
  return batch.done;
}
