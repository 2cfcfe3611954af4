import { type CedarToken, cedarTokens } from "./cedar-tokens.ts";

export interface Place {
  readonly start: number;
  readonly end: number;
}

/**
 * Finds where something stands in the text of a schema: Cedar's JSON of it has no places.
 * `declared` is an entity type, a common type or an action, without its namespace.
 */
export interface SchemaPlaces {
  readonly of: (declared: string, attribute?: string, annotation?: string) => Place;
  /** Attributes that a record declares again: Cedar takes the last one in silence. */
  readonly repeated: readonly (Place & { readonly name: string })[];
}

interface Declared extends Place {
  readonly declared: string;
  readonly attribute: string | undefined;
  readonly annotations: ReadonlyMap<string, Place>;
}

export function schemaPlaces(text: string): SchemaPlaces {
  const found: Declared[] = [];
  const tokens = cedarTokens(text);
  let annotations = new Map<string, Place>();
  let current: readonly string[] = [];
  const records: Set<string>[] = [];
  const repeated: (Place & { readonly name: string })[] = [];
  const name = (token: CedarToken) => (token.kind === "string" ? unquoted(token.text) : token.text);
  const add = (token: CedarToken, declared: string, attribute?: string) => {
    const { start, end } = token;
    found.push({ declared, attribute, start, end, annotations });
  };
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    if (token === undefined) break;
    const next = tokens[i + 1];
    if (token.text === "@" && next !== undefined) {
      const closed = tokens[i + 2]?.text === "(" ? tokens[i + 4] : undefined;
      annotations.set(next.text, { start: token.start, end: closed?.end ?? next.end });
      i += closed === undefined ? 1 : 4;
      continue;
    }
    if (token.text === "{") records.push(new Set());
    if (token.text === "}") records.pop();
    const isName = token.kind === "name" || token.kind === "string";
    if (isName && (next?.text === ":" || (next?.text === "?" && tokens[i + 2]?.text === ":"))) {
      const attribute = name(token);
      for (const declared of current) add(token, declared, attribute);
      if (records.at(-1)?.has(attribute)) {
        repeated.push({ name: attribute, start: token.start, end: token.end });
      }
      records.at(-1)?.add(attribute);
      annotations = new Map();
      continue;
    }
    if (
      ["entity", "action", "type", "namespace"].includes(token.text) &&
      (next?.kind === "name" || next?.kind === "string")
    ) {
      const names: string[] = [];
      for (let j = i + 1; j < tokens.length; j += 2) {
        const declared = tokens[j];
        if (declared === undefined) break;
        names.push(name(declared));
        add(declared, name(declared));
        if (tokens[j + 1]?.text !== ",") break;
      }
      current = names;
      annotations = new Map();
    }
  }
  return {
    repeated,
    of(declared, attribute, annotation) {
      const fitting = found.filter((item) => item.attribute === attribute);
      // An action's context may be a type of its own, whose name is not known here.
      const item = fitting.find((each) => each.declared === declared) ??
        fitting.find((each) => annotation !== undefined && each.annotations.has(annotation)) ??
        fitting[0] ?? { start: 0, end: 0, annotations: new Map<string, Place>() };
      return (annotation === undefined ? undefined : item.annotations.get(annotation)) ?? item;
    },
  };
}

function unquoted(text: string): string {
  try {
    const name: unknown = JSON.parse(text);
    return typeof name === "string" ? name : text;
  } catch {
    return text.slice(1, -1);
  }
}
