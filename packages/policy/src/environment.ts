import type { ActionMapping, EntityMapping, PolicySchema } from "./policy-schema.ts";

/** One kind of question: which human does what to which row. */
export interface Environment {
  readonly schema: PolicySchema;
  readonly human: EntityMapping;
  readonly row: EntityMapping;
  readonly action: ActionMapping;
}
