import {
  type Entities,
  type EntityUidJson,
  preparsePolicySet,
  preparseSchema,
  statefulIsAuthorized,
} from "@cedar-policy/cedar-wasm/nodejs";

export type CedarValue = Entities[number]["attrs"][string];

/** A question to Cedar's own evaluator. */
export interface Question {
  readonly principal: EntityUidJson;
  readonly action: string;
  readonly resource: EntityUidJson;
  readonly context: Readonly<Record<string, CedarValue>>;
  readonly entities: Entities;
}

let sets = 0;

/** Cedar's decision over one schema and one set of policies. Data that does not fit the schema is an error. */
export function cedarOracle(schema: string, policies: string): (question: Question) => boolean {
  const id = `oracle-${++sets}`;
  for (const parsed of [
    preparseSchema(id, schema),
    preparsePolicySet(id, { staticPolicies: policies }),
  ]) {
    if (parsed.type === "failure") throw new Error(JSON.stringify(parsed.errors));
  }
  return ({ action, context, ...question }) => {
    const answer = statefulIsAuthorized({
      ...question,
      action: { type: "Action", id: action },
      context: { ...context },
      preparsedSchemaName: id,
      preparsedPolicySetId: id,
      validateRequest: true,
    });
    if (answer.type === "failure") throw new Error(JSON.stringify(answer.errors));
    return answer.response.decision === "allow";
  };
}
