import { z } from "zod";

/** `${env:NAME}` in a text. */
export const ENV: RegExp = /\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}/g;

export function text(description: string): z.ZodString {
  return z
    .string({ error: "must be a text; put it in quotes" })
    .min(1, "must not be empty")
    .describe(description);
}

export function url(description: string): z.ZodString {
  return text(description).refine(
    (value) => ["http:", "https:"].includes(URL.parse(value)?.protocol ?? ""),
    "must be an http or https URL",
  );
}

export function whole(least: number, most: number, description: string): z.ZodNumber {
  const error = `must be a whole number from ${least} to ${most}`;
  return z.int({ error }).min(least, error).max(most, error).describe(description);
}

export function flag(description: string): z.ZodBoolean {
  return z.boolean({ error: "must be true or false" }).describe(description);
}

export function list<Item extends z.ZodType>(item: Item, description: string): z.ZodArray<Item> {
  return z.array(item, { error: "must be a list" }).describe(description);
}

const INLINE =
  "is a secret and must not stand in the file; write ${env:NAME}, { env: NAME } or { file: PATH }";
const URL_INLINE =
  "holds a secret, or is no postgres URL; write ${env:NAME} in place of the password or of the whole URL, or { env: NAME } or { file: PATH }";
const VARIABLE = String.raw`\$\{env:[A-Za-z_][A-Za-z0-9_]*\}`;
const WHOLE_VARIABLE = new RegExp(`^${VARIABLE}$`);
/** A URL without a password, or with a variable in its place; the user may be one, too. */
const POSTGRES_URL = new RegExp(
  `^(${VARIABLE}|postgres(ql)?://((${VARIABLE}|[^:@/?#])*(:${VARIABLE})?@)?(?![^]*(:[^@/]*@|password))[^@]*)$`,
);

const name = z
  .string({ error: "must be the name of an environment variable" })
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be the name of an environment variable");

/** Where a secret comes from. Never the secret itself. */
export type SecretSource = string | { readonly env: string } | { readonly file: string };

export function secretSource(description: string): z.ZodType<SecretSource> {
  return sourceOf(WHOLE_VARIABLE, INLINE, description);
}

/** Of a PostgreSQL URL, which may stand in the file but for its password. */
export function secretUrlSource(description: string): z.ZodType<SecretSource> {
  return sourceOf(POSTGRES_URL, URL_INLINE, description);
}

function sourceOf(inFile: RegExp, error: string, description: string): z.ZodType<SecretSource> {
  return z
    .union(
      [
        z.string().regex(inFile, error),
        z.strictObject({ env: name }),
        z.strictObject({ file: text("A file that holds nothing but the secret") }),
      ],
      { error },
    )
    .describe(description);
}
