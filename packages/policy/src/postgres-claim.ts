import type { ClaimPath, ValueType } from "./policy-schema.ts";
import { quotedText } from "./postgres-text.ts";
import { Unsupported } from "./unsupported.ts";

const I64 = "between -9223372036854775808 and 9223372036854775807";

/**
 * One claim, once per statement: NULL if the token has none, or one of another type than the schema's. CASE keeps
 * the order of its parts, so nothing in it is cast before its type is known.
 */
export function claimSql(claim: ClaimPath, declared: ValueType, fields: readonly string[]): string {
  return `(select ${typed(`c${path(claim)}`, declared, fields)} from behalf.claims() c)`;
}

const path = (names: readonly string[]) => names.map((name) => ` -> ${quotedText(name)}`).join("");

function typed(json: string, type: ValueType, fields: readonly string[]): string {
  const [first, ...more] = fields;
  switch (type.kind) {
    case "string":
    case "entity":
      return `case jsonb_typeof(${json}) when 'string' then ${json} #>> '{}' end`;
    case "bool":
      return `case jsonb_typeof(${json}) when 'boolean' then (${json})::boolean end`;
    case "long": {
      const number = `(${json})::numeric`;
      return `case jsonb_typeof(${json}) when 'number' then case when ${number} % 1 = 0 and ${number} ${I64} then ${number} end end`;
    }
    case "set":
      if (type.element.kind !== "string" && type.element.kind !== "entity") break;
      // Strict: the lax mode would look into arrays within the array.
      return `case jsonb_typeof(${json}) when 'array' then case when not jsonb_path_exists(${json}, 'strict $[*] ? (@.type() != "string")') then array(select jsonb_array_elements_text(${json})) end end`;
    case "record": {
      const required = [...type.fields]
        .filter(([, field]) => !field.isOptional)
        .map(([name, field]) => `(${typed(json + path([name]), field.type, [])}) is not null`);
      const conforms = [`jsonb_typeof(${json}) = 'object'`, ...required].join(" and ");
      const field = first === undefined ? undefined : type.fields.get(first);
      const value =
        first === undefined || field === undefined
          ? "true"
          : typed(json + path([first]), field.type, more);
      return `case when ${conforms} then ${value} end`;
    }
    default:
  }
  throw new Unsupported(
    `a claim of this type is not emitted yet`,
    "use String, Long, Bool, or a set of strings",
  );
}
