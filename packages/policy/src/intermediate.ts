import type { ClaimPath, ValueType, Verb } from "./policy-schema.ts";
import type { SourcePosition } from "./source-text.ts";

/**
 * The intermediate form: what a policy means, without a word of any backend's language.
 *
 * Two things hold for every node, and an emitter must keep them:
 * - A value is missing (SQL: NULL) if and only if Cedar's evaluation of it fails.
 * - A condition is asked in two ways, "is it true?" and "is it false?", and where Cedar's evaluation fails the
 *   answer to both is no. There is no negation of an answer: `not` swaps the two questions.
 */
export type Condition =
  /** This, provided that all of these values are there: comparing entities of two types is false, or fails. */
  | { readonly kind: "constant"; readonly value: boolean; readonly provided: readonly Value[] }
  /** `&&`: the right side counts only where the left side is true. */
  | { readonly kind: "all"; readonly left: Condition; readonly right: Condition }
  /** `||`: the right side counts only where the left side is false. */
  | { readonly kind: "any"; readonly left: Condition; readonly right: Condition }
  | { readonly kind: "not"; readonly of: Condition }
  | {
      readonly kind: "choice";
      readonly test: Condition;
      readonly whenTrue: Condition;
      readonly whenFalse: Condition;
    }
  /** A Bool of the row or the token. */
  | { readonly kind: "flag"; readonly value: Value }
  /** `has`. Fails only where `within`, the record that is asked, is missing itself. */
  | {
      readonly kind: "present";
      readonly value: ColumnValue | ClaimValue;
      readonly within: Value | undefined;
    }
  /** `==` of two values of one type, which is no set. */
  | { readonly kind: "equal"; readonly left: Value; readonly right: Value }
  /** `==` of two conditions. */
  | { readonly kind: "equivalent"; readonly left: Condition; readonly right: Condition }
  /** `<` or `<=` of Long, decimal, datetime or duration. */
  | {
      readonly kind: "less";
      readonly left: Value;
      readonly right: Value;
      readonly orEqual: boolean;
    }
  /** `like`; neighbouring letters are one piece. */
  | {
      readonly kind: "matches";
      readonly value: Value;
      readonly pattern: readonly PatternPiece[];
    }
  | { readonly kind: "contains"; readonly set: Value; readonly element: Value }
  | { readonly kind: "containsAll"; readonly set: Value; readonly all: Value }
  | { readonly kind: "containsAny"; readonly set: Value; readonly any: Value }
  | { readonly kind: "isEmpty"; readonly set: Value }
  | { readonly kind: "setEqual"; readonly left: Value; readonly right: Value }
  | { readonly kind: "inRange"; readonly ip: Value; readonly range: Value }
  | {
      readonly kind: "ipIs";
      readonly ip: Value;
      readonly property: "ipv4" | "ipv6" | "loopback" | "multicast";
    }
  /** `in`: the entity is one of these, or in one of them. Fails only where a value is missing. */
  | {
      readonly kind: "isIn";
      readonly entity: Value;
      /** An entity, or a set of entities. */
      readonly groups: Value;
      readonly via: Via;
    };

/** How an entity comes to be in a group, beside being that group. */
export type Via =
  | { readonly kind: "nothing" }
  /** The human's groups of this type, closed upwards. */
  | { readonly kind: "membership"; readonly group: string }
  /** The groups that these columns of the row name, closed upwards. A missing one is no parent, and no failure. */
  | { readonly kind: "parents"; readonly group: string; readonly columns: readonly ColumnValue[] }
  /** The groups above this group. */
  | { readonly kind: "hierarchy"; readonly group: string };

export type PatternPiece =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "wildcard" };

export interface ColumnValue {
  readonly kind: "column";
  readonly type: ValueType;
  readonly column: string;
  /** What the schema says this column is, before its fields are read. */
  readonly declared: ValueType;
  /** Names within a record. */
  readonly fields: readonly string[];
}

export interface ClaimValue {
  readonly kind: "claim";
  readonly type: ValueType;
  readonly claim: ClaimPath;
  /** What the schema says this claim is; a claim of another type is missing as a whole. */
  readonly declared: ValueType;
  readonly fields: readonly string[];
}

export type Literal =
  | { readonly kind: "literal"; readonly type: { readonly kind: "string" }; readonly value: string }
  | { readonly kind: "literal"; readonly type: { readonly kind: "long" }; readonly value: number }
  | { readonly kind: "literal"; readonly type: { readonly kind: "bool" }; readonly value: boolean }
  /** With all four digits after the point. */
  | {
      readonly kind: "literal";
      readonly type: { readonly kind: "decimal" };
      readonly value: string;
    }
  /** Milliseconds, of a datetime since 1970. */
  | {
      readonly kind: "literal";
      readonly type: { readonly kind: "datetime" | "duration" };
      readonly value: number;
    }
  /** An address, perhaps with a prefix length, as the policy spells it. */
  | { readonly kind: "literal"; readonly type: { readonly kind: "ip" }; readonly value: string }
  /** The id of an entity. */
  | {
      readonly kind: "literal";
      readonly type: { readonly kind: "entity"; readonly name: string };
      readonly value: string;
    };

export type Value =
  | Literal
  | ColumnValue
  | ClaimValue
  /** The human who calls. */
  | { readonly kind: "human"; readonly type: { readonly kind: "entity"; readonly name: string } }
  /** The row, as an entity: its key. */
  | { readonly kind: "row"; readonly type: { readonly kind: "entity"; readonly name: string } }
  /** Fails where the result does not fit into 64 bits. */
  | {
      readonly kind: "arithmetic";
      readonly type: { readonly kind: "long" };
      readonly operator: "+" | "-" | "*";
      readonly left: Value;
      readonly right: Value;
    }
  | { readonly kind: "negated"; readonly type: { readonly kind: "long" }; readonly of: Value }
  | {
      readonly kind: "choice";
      readonly type: ValueType;
      readonly test: Condition;
      readonly whenTrue: Value;
      readonly whenFalse: Value;
    }
  | {
      readonly kind: "set";
      readonly type: { readonly kind: "set"; readonly element: ValueType };
      readonly elements: readonly Value[];
    }
  /** A condition where a value is asked for. */
  | { readonly kind: "truth"; readonly type: { readonly kind: "bool" }; readonly of: Condition };

/** What one policy says of one verb on one table. */
export interface Rule {
  readonly id: string;
  /** The name of its native policy. */
  readonly nativeName: string;
  readonly effect: "permit" | "forbid";
  readonly verb: Verb;
  /** The entity types of the human and of the table, and the action. */
  readonly humanType: string;
  readonly rowType: string;
  readonly action: string;
  readonly condition: Condition;
  readonly position: SourcePosition;
}
