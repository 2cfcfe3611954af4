/**
 * A text of somebody else's on one line of a terminal. What would move the cursor, change colours, end the
 * line or turn the direction of reading is written as its number: agents choose these texts.
 */
export function printable(text: string): string {
  return text
    .trim()
    .replaceAll(/[ \t\r\n]+/g, " ")
    .replaceAll(
      /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
      (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
    );
}

/**
 * JSON in which the same characters are written as their numbers. Nothing of what it says changes by that:
 * JSON leaves most of them as they are, also those that a terminal obeys.
 */
export function printableJson(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll(
    /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) =>
      Array.from(
        { length: character.length },
        (_, unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`,
      ).join(""),
  );
}

/** Columns as wide as they must be. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, index) =>
    Math.max(...rows.map((row) => row[index]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
