import type { SchemaJson } from "@cedar-policy/cedar-wasm/nodejs";

import type { Field, ValueType } from "./policy-schema.ts";

/** What `schemaToJsonWithResolvedTypes` gives for a type; its declaration says less than it gives. */
export interface JsonType {
  readonly type: string;
  readonly name?: string;
  readonly element?: JsonType;
  readonly attributes?: Readonly<Record<string, JsonAttribute>>;
}

export interface JsonAttribute extends JsonType {
  readonly required?: boolean;
  readonly annotations?: Readonly<Record<string, string>>;
}

export type Resolve = (type: JsonType) => JsonType;

const SCALARS: Readonly<Record<string, ValueType>> = {
  String: { kind: "string" },
  Long: { kind: "long" },
  Bool: { kind: "bool" },
  Boolean: { kind: "bool" },
  decimal: { kind: "decimal" },
  datetime: { kind: "datetime" },
  duration: { kind: "duration" },
  ipaddr: { kind: "ip" },
};

/** Follows names of common types to what they stand for. */
export function commonTypes(schema: SchemaJson<string>): Resolve {
  const named = new Map<string, JsonType>();
  for (const [namespace, definition] of Object.entries(schema)) {
    for (const [name, type] of Object.entries(definition.commonTypes ?? {})) {
      named.set(qualified(namespace, name), type);
    }
  }
  return (type) => {
    let resolved = type;
    for (let next = named.get(type.type); next !== undefined; next = named.get(next.type)) {
      resolved = next;
    }
    return resolved;
  };
}

export function qualified(namespace: string, name: string): string {
  return namespace === "" ? name : `${namespace}::${name}`;
}

export function valueType(json: JsonType, resolve: Resolve): ValueType {
  const type = resolve(json);
  if (type.type === "Set" && type.element !== undefined) {
    return { kind: "set", element: valueType(type.element, resolve) };
  }
  if (type.type === "Record") {
    return { kind: "record", fields: recordFields(type, resolve) };
  }
  if (type.type === "Entity" && type.name !== undefined) return { kind: "entity", name: type.name };
  const name = type.type === "Extension" ? (type.name ?? "") : type.type;
  const scalar = SCALARS[name.replace(/^__cedar::/, "")];
  if (scalar === undefined) throw new TypeError(`Cedar gave a type that is not known: ${name}`);
  return scalar;
}

function recordFields(type: JsonType, resolve: Resolve): ReadonlyMap<string, Field> {
  return new Map(
    Object.entries(type.attributes ?? {}).map(([name, attribute]) => [
      name,
      { type: valueType(attribute, resolve), isOptional: attribute.required === false },
    ]),
  );
}
