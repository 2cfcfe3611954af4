/** A type of Cedar's. */
export type ValueType =
  | {
      readonly kind: "string" | "long" | "bool" | "decimal" | "datetime" | "duration" | "ip";
    }
  | { readonly kind: "entity"; readonly name: string }
  | { readonly kind: "set"; readonly element: ValueType }
  | { readonly kind: "record"; readonly fields: ReadonlyMap<string, Field> };

/** An attribute of a record. */
export interface Field {
  readonly type: ValueType;
  readonly isOptional: boolean;
}

/** The way to a claim: the names from the token's claims downwards. Names only: a number is no place in a list. */
export type ClaimPath = readonly string[];

/** A table and two of its columns. */
export interface Relation {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly [string, string];
}

/** An attribute of a table's entity type or of a human. */
export interface Attribute extends Field {
  readonly name: string;
  /** `@column`, where the entity type is a table. */
  readonly column: string | undefined;
  /** `@claim`, where the entity type is a human. */
  readonly claim: ClaimPath | undefined;
  /** `@parent`: the entity that this column names is the row's parent. */
  readonly isParent: boolean;
}

/** An attribute of the context, which is a claim. */
export interface ContextAttribute extends Field {
  readonly name: string;
  readonly claim: ClaimPath;
}

/** What an entity type is to the backends. It may be several of these. */
export interface EntityMapping {
  readonly name: string;
  /** The types that its entities may be in directly. */
  readonly parents: readonly string[];
  readonly attributes: ReadonlyMap<string, Attribute>;
  /** A human: the claim that is their id, and whose tokens count. */
  readonly human: { readonly claim: ClaimPath; readonly issuer: string | undefined } | undefined;
  /** The rows of a table; `key` is the column that is their id. */
  readonly table:
    | { readonly schema: string; readonly table: string; readonly key: string }
    | undefined;
  /** Where the group's direct members stand: in a table (member, group) or in a claim of the human. */
  readonly members:
    | { readonly from: "table"; readonly relation: Relation }
    | { readonly from: "claim"; readonly claim: ClaimPath }
    | undefined;
  /** Where the group's own parents stand: (child, parent). */
  readonly hierarchy: Relation | undefined;
  /** The ids of an enumerated type. */
  readonly values: readonly string[] | undefined;
}

export type Verb = "read" | "create" | "update" | "delete";

export interface ActionMapping {
  /** With its type, as `Action::"read"`. */
  readonly name: string;
  readonly type: string;
  readonly id: string;
  /** `undefined` is `@verb("none")`: no native policy comes of it. */
  readonly verb: Verb | undefined;
  /** Itself and every action group that it is in. */
  readonly isIn: ReadonlySet<string>;
  readonly principalTypes: readonly string[];
  readonly resourceTypes: readonly string[];
  readonly context: ReadonlyMap<string, ContextAttribute>;
}

/** A Cedar schema with its mapping, read and checked. */
export interface PolicySchema {
  readonly entities: ReadonlyMap<string, EntityMapping>;
  readonly actions: readonly ActionMapping[];
}

/** As people write it. */
export function typeText(type: ValueType): string {
  switch (type.kind) {
    case "entity":
      return type.name;
    case "set":
      return `Set<${typeText(type.element)}>`;
    case "record":
      return `{ ${[...type.fields].map(([name, field]) => `${name}${field.isOptional ? "?" : ""}: ${typeText(field.type)}`).join(", ")} }`;
    case "string":
      return "String";
    case "long":
      return "Long";
    case "bool":
      return "Bool";
    case "ip":
      return "ipaddr";
    default:
      return type.kind;
  }
}

/** As Cedar writes the name of an entity. */
export function entityText(type: string, id: string): string {
  return `${type}::${JSON.stringify(id)}`;
}
