import { z } from "zod";

import { configSchema } from "./config-schema.ts";
import { ENV } from "./config-values.ts";

interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

/** The file's JSON Schema (draft 2020-12), for editors. */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  return z.toJSONSchema(configSchema, {
    io: "input",
    target: "draft-2020-12",
    override: ({ jsonSchema }) => allowVariable(jsonSchema),
  });
}

/** `port: ${env:PORT}` is a text until it is read. What is a text anyway, or a secret, says so already. */
function allowVariable(schema: z.core.JSONSchema.JSONSchema): void {
  const plain = { ...schema };
  delete plain.description;
  const isTyped = ["integer", "number", "boolean"].includes(String(schema.type));
  const isLimited =
    schema.enum !== undefined ||
    (schema.pattern !== undefined && !schema.pattern.includes(String.raw`\{env:`));
  if (!isTyped && !isLimited) return;
  for (const key of Object.keys(plain)) delete schema[key];
  const pattern = isTyped ? `^${ENV.source}$` : ENV.source;
  schema.anyOf = [plain, { type: "string", pattern }];
}

/** The keys that may stand at a path. */
export function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  let nodes: readonly SchemaNode[] = [configJsonSchema()];
  for (const part of path) {
    nodes = nodes.flatMap(alternatives).flatMap((node) => {
      const more =
        typeof node.additionalProperties === "object" ? node.additionalProperties : undefined;
      const next =
        typeof part === "number" ? node.items : (node.properties?.[String(part)] ?? more);
      return next === undefined ? [] : [next];
    });
  }
  return [
    ...new Set(nodes.flatMap(alternatives).flatMap((node) => Object.keys(node.properties ?? {}))),
  ];
}

function alternatives(node: SchemaNode): readonly SchemaNode[] {
  return node.anyOf === undefined ? [node] : node.anyOf.flatMap(alternatives);
}

/** The known key that was probably meant, or `undefined`. */
export function nearest(key: string, known: readonly string[]): string | undefined {
  const letters = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  const best = known
    .map((name) => ({ name, distance: distance(letters(key), letters(name)) }))
    .toSorted((a, b) => a.distance - b.distance)[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(best.name.length / 3))
    ? best.name
    : undefined;
}

/** Letters to insert, remove, replace or swap with their neighbour. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? (before[j - 2] ?? 0) + 1 : replaced;
      next.push(Math.min(replaced, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
