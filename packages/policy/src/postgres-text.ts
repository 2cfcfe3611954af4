import { Unsupported } from "./unsupported.ts";

/** A name, always quoted: what it means depends on no keyword and no folding. */
export function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text constant that means the same with every setting of standard_conforming_strings. */
export function quotedText(text: string): string {
  if (text.includes("\0")) {
    throw new Unsupported(
      "a NUL stands in a string, which no text of PostgreSQL holds",
      "leave that comparison out: it is never true of a row",
    );
  }
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes("\\") ? `E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}
