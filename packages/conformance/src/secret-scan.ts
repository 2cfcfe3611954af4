import { inspect } from "node:util";

/** Everything that printing, logging or sending a value could show of it. */
export function everythingIn(value: unknown): string {
  return [inspected(value), json(value), ...texts(value)].join("\n");
}

/** Which of these secrets can be found in `text`, in any spelling that somebody may send it in. */
export function secretsIn(text: string, secrets: readonly string[]): readonly string[] {
  return secrets.filter((secret) => spellings(secret).some((one) => text.includes(one)));
}

/** Shorter parts are found by chance. */
const SHORTEST_PART = 16;

function spellings(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  // The signature of a token alone, or its claims alone, give away what the whole does.
  const parts = secret.split(".").filter((part) => part.length >= SHORTEST_PART);
  return [
    secret,
    ...parts,
    bytes.toString("base64").replace(/=+$/, ""),
    bytes.toString("base64url"),
    bytes.toString("hex"),
    encodeURIComponent(secret),
  ];
}

function inspected(value: unknown): string {
  try {
    return inspect(value, {
      depth: 20,
      showHidden: true,
      maxArrayLength: null,
      maxStringLength: null,
      getters: true,
    });
  } catch (error) {
    return String(error);
  }
}

function json(value: unknown): string {
  const seen = new WeakSet<object>();
  try {
    return (
      JSON.stringify(value, (_, inner: unknown) => {
        if (typeof inner === "bigint") return String(inner);
        if (typeof inner !== "object" || inner === null) return inner;
        if (seen.has(inner)) return "[again]";
        seen.add(inner);
        return inner;
      }) ?? ""
    );
  } catch (error) {
    return String(error);
  }
}

/** Errors keep what neither JSON nor a log's usual way would show. */
function texts(value: unknown, depth = 0): readonly string[] {
  if (!(value instanceof Error) || depth > 8) return [];
  const inner = value instanceof AggregateError ? value.errors : [];
  return [
    String(value),
    value.message,
    value.stack ?? "",
    ...[value.cause, ...inner].flatMap((one) => [
      inspected(one),
      json(one),
      ...texts(one, depth + 1),
    ]),
  ];
}
