import { nearestName } from "./nearest-name.ts";

/** Where an annotation of a schema may stand. */
type Site = "entity" | "attribute" | "context" | "field" | "action" | "other";

/** Every annotation that a schema may carry, and where. `@doc` is for people, and may stand everywhere. */
const ANNOTATIONS: Readonly<Record<string, readonly Site[]>> = {
  table: ["entity"],
  key: ["entity"],
  claim: ["entity", "attribute", "context"],
  issuer: ["entity"],
  membership: ["entity"],
  hierarchy: ["entity"],
  column: ["attribute"],
  parent: ["attribute"],
  verb: ["action"],
  doc: ["entity", "attribute", "context", "field", "action", "other"],
};

const SITE_TEXT: Readonly<Record<Site, string>> = {
  entity: "an entity type",
  attribute: "an attribute of an entity type",
  context: "an attribute of the context",
  field: "an attribute of a record",
  action: "an action",
  other: "this",
};

/** Why this annotation cannot stand here, and what was probably meant. */
export function misplaced(
  annotation: string,
  site: Site,
): { readonly message: string; readonly help?: string } | undefined {
  const sites = ANNOTATIONS[annotation];
  if (Object.hasOwn(ANNOTATIONS, annotation) && sites !== undefined) {
    return sites.includes(site)
      ? undefined
      : {
          message: `@${annotation} cannot stand on ${SITE_TEXT[site]}`,
          help: `it belongs on ${sites.map((where) => SITE_TEXT[where]).join(", or on ")}`,
        };
  }
  const fitting = Object.keys(ANNOTATIONS).filter((name) => ANNOTATIONS[name]?.includes(site));
  const nearest = nearestName(annotation, Object.keys(ANNOTATIONS));
  return {
    message: `there is no annotation @${annotation}`,
    help:
      nearest === undefined
        ? `on ${SITE_TEXT[site]} there are @${fitting.join(", @")}`
        : `did you mean @${nearest}?`,
  };
}

/** `schema.table`, each part plain or in double quotes. */
export function tableName(
  value: string,
): { readonly schema: string; readonly table: string } | undefined {
  const [, schema, table] = new RegExp(`^(${PART})\\.(${PART})$`).exec(value) ?? [];
  if (schema === undefined || table === undefined) return undefined;
  return { schema: identifier(schema), table: identifier(table) };
}

/** `schema.table(first, second)`. */
export function relationName(
  value: string,
):
  | { readonly schema: string; readonly table: string; readonly columns: readonly [string, string] }
  | undefined {
  const [, name, first, second] =
    new RegExp(`^(.+)\\(\\s*(${PART})\\s*,\\s*(${PART})\\s*\\)$`).exec(value) ?? [];
  const table = tableName(name?.trim() ?? "");
  if (table === undefined || first === undefined || second === undefined) return undefined;
  return { ...table, columns: [identifier(first), identifier(second)] };
}

const PART = `[A-Za-z_][\\w$]*|"(?:[^"\\0]|"")+"`;

/** Unquoted names fold to lower case, as in PostgreSQL. */
export function identifier(part: string): string {
  return part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part.toLowerCase();
}

/** A column's name is taken as it stands, unless it is not one: then `undefined`. */
export function columnName(value: string): string | undefined {
  return new RegExp(`^(?:${PART})$`).test(value) ? identifier(value) : undefined;
}

/** A name of a claim, or a JSON Pointer (RFC 6901) where it begins with a slash. */
export function claimPath(value: string): readonly string[] | undefined {
  if (value === "") return undefined;
  if (!value.startsWith("/")) return [value];
  if (/~(?![01])/.test(value)) return undefined;
  return value
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}
