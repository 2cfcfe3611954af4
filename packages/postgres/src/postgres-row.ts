import { BehalfError } from "@behalf/core";

/**
 * Splits a composite value in PostgreSQL's text form, `(1,"a ""b""",)`, into the text of its columns.
 * An empty unquoted column is NULL. See "Composite Types", section "Composite Type Input and Output
 * Syntax" of the PostgreSQL manual.
 *
 * @param text the composite value
 * @param columns how many columns it has; `()` is one NULL or no column at all
 * @throws BehalfError `backend.failed` when the text is no composite value of that many columns
 */
export function splitRow(text: string, columns: number): (string | null)[] {
  if (!text.startsWith("(") || !text.endsWith(")")) throw malformed(columns);
  if (columns === 0) {
    if (text !== "()") throw malformed(columns);
    return [];
  }
  const row: (string | null)[] = [];
  const end = text.length - 1;
  let at = 1;
  // Backslashes are rare: without one, a quoted column ends at the next quote that is not doubled.
  const isPlain = !text.includes("\\");
  for (;;) {
    if (text[at] === '"') {
      let value = "";
      at += 1;
      let from = at;
      for (;;) {
        const quote = isPlain ? text.indexOf('"', at) : -1;
        if (quote !== -1) at = quote;
        const character = text[at];
        if (character === '"' || character === "\\") {
          value += text.slice(from, at);
          const next = text[at + 1];
          if (character === '"' && next !== '"') break;
          // A doubled quote or backslash stands for one.
          value += next;
          at += 2;
          from = at;
        } else if (at >= end) {
          throw malformed(columns);
        } else {
          at += 1;
        }
      }
      at += 1;
      row.push(value);
    } else {
      let stop = text.indexOf(",", at);
      if (stop === -1) stop = end;
      row.push(stop === at ? null : text.slice(at, stop));
      at = stop;
    }
    if (at === end) break;
    if (text[at] !== ",") throw malformed(columns);
    at += 1;
  }
  if (row.length !== columns) throw malformed(columns);
  return row;
}

function malformed(columns: number): BehalfError {
  return new BehalfError(
    "backend.failed",
    `[postgres] the server sent a row that is no composite value of ${columns} columns; did the statement change client_encoding?`,
    { backend: "postgres", reason: "unreadable" },
  );
}
