/** A text and the name of the file that it stands in, for people: it is never opened. */
export interface SourceText {
  readonly text: string;
  readonly file: string;
}

/** A place in a source text. */
export interface SourcePosition {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 code units, as editors count them. */
  readonly column: number;
  /** The line with a caret beneath the place. */
  readonly excerpt: string;
}

/** Cedar counts UTF-8 bytes: one `é` before an error would shift every index of JavaScript's by one. */
export function indexOfByte(text: string, byte: number): number {
  return Buffer.from(text).subarray(0, byte).toString().length;
}

/** The place from `start` to `end`, which are UTF-16 indexes. */
export function positionAt(source: SourceText, start: number, end: number = start): SourcePosition {
  const { text, file } = source;
  const index = Math.min(Math.max(start, 0), text.length);
  const lineStart = text.lastIndexOf("\n", index - 1) + 1;
  const nextBreak = text.indexOf("\n", lineStart);
  const content = text.slice(lineStart, nextBreak === -1 ? text.length : nextBreak).trimEnd();
  const line = text.slice(0, lineStart).split("\n").length;
  const column = index - lineStart;
  // A place may go on over several lines: the carets end with the first.
  const length = Math.max(1, Math.min(end - index, content.length - column));
  // Tabs stay, so that the caret stands beneath its place however wide they are shown.
  const indent = text.slice(lineStart, index).replaceAll(/[^\t]/g, " ");
  const label = String(line);
  return {
    file,
    line,
    column: column + 1,
    excerpt: `${label} | ${content}\n${" ".repeat(label.length)} | ${indent}${"^".repeat(length)}`,
  };
}
