/**
 * The tokens of a Cedar text, to find the place of what Cedar's own parser told. Nothing is decided here: a
 * text that Cedar does not parse never gets this far.
 */
export interface CedarToken {
  readonly kind: "name" | "number" | "string" | "sign";
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const TOKEN =
  /(?<comment>\/\/[^\n]*)|(?<string>"(?:\\.|[^"\\])*")|(?<name>[A-Za-z_]\w*)|(?<number>\d+)|::|&&|\|\||[<>=!]=|\S/gsu;

export function cedarTokens(text: string): readonly CedarToken[] {
  const tokens: CedarToken[] = [];
  for (const match of text.matchAll(TOKEN)) {
    const { comment, string, name, number } = match.groups ?? {};
    if (comment !== undefined) continue;
    const kind =
      string !== undefined
        ? "string"
        : name !== undefined
          ? "name"
          : number !== undefined
            ? "number"
            : "sign";
    tokens.push({ kind, text: match[0], start: match.index, end: match.index + match[0].length });
  }
  return tokens;
}

/** The text with its comments as blanks, of the same length. */
export function withoutComments(text: string): string {
  return text.replaceAll(TOKEN, (token) =>
    token.startsWith("//") ? " ".repeat(token.length) : token,
  );
}
