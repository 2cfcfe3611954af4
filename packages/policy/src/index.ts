export { emitPostgresRead } from "./emit-postgres-read.ts";
export { lowerPolicies } from "./lower-policies.ts";
export { parsePolicies } from "./parse-policies.ts";
export { PolicyError } from "./problems.ts";
export type { ColumnTypes } from "./emit-postgres-condition.ts";
export type { EmitPostgresOptions } from "./emit-postgres-read.ts";
export type {
  ClaimValue,
  ColumnValue,
  Condition,
  Literal,
  PatternPiece,
  Rule,
  Value,
  Via,
} from "./intermediate.ts";
export type { LoweredPolicies } from "./lower-policies.ts";
export type { ParsedPolicies, ParseOptions } from "./parse-policies.ts";
export type {
  ActionMapping,
  Attribute,
  ClaimPath,
  ContextAttribute,
  EntityMapping,
  Field,
  PolicySchema,
  Relation,
  ValueType,
  Verb,
} from "./policy-schema.ts";
export type { PolicyProblem, PolicyProblemCode } from "./problems.ts";
export type { ParsedPolicy } from "./read-policies.ts";
export type { SourcePosition, SourceText } from "./source-text.ts";
