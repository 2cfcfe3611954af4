/** Where a placeholder stands, and what stands for it in the numbered text. */
export interface PlaceholderUse {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly numberedStart: number;
  readonly numberedEnd: number;
}

/** A statement with `:name` placeholders, taken apart. */
export interface Placeholders {
  /** The same statement with `$1`, `$2`, ... in place of the names. */
  readonly text: string;
  /** The name that each `$n` stands for; a name that is used twice is one value. */
  readonly names: readonly string[];
  /** Every placeholder, in the order of the text. */
  readonly uses: readonly PlaceholderUse[];
  /** What cannot be: each with where in the statement it begins. */
  readonly problems: readonly { readonly message: string; readonly offset: number }[];
}

// An escape string: a backslash takes the next character with it.
const ESCAPED = String.raw`'(?:[^'\\]|\\[\s\S]|'')*'(?!')`;
// What may stand between the parts of one string: a line break at least. The next part is escaped, too.
const CONTINUED = String.raw`[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*`;

/** What is no placeholder, whatever it holds, in the order in which it must be tried. */
const OPAQUE = [
  /--[^\n\r]*/y,
  new RegExp(`[eE]${ESCAPED}(?:${CONTINUED}${ESCAPED})*(?!${CONTINUED}')`, "y"),
  /'(?:[^']|'')*'(?!')/y,
  /"(?:[^"]|"")*"(?!")/y,
  // A word: `$` inside one begins no dollar quote, and the e of `name'` no escape string.
  /(?![eE]')[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y,
  /::|:=/y,
] as const;
const DOLLAR_QUOTE = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y;
const POSITION = /\$\d+/y;
const NAME = /:([A-Za-z_][A-Za-z0-9_]*)/y;
/** What would become one word or one number with a `$1` beside it. */
const WORD = /[A-Za-z0-9_$\u0080-\uffff]/;
const OPENER = /[eE]?'|"/y;

/**
 * Finds the `:name` placeholders of a statement and numbers them. Casts (`::`), named arguments (`:=`),
 * strings, quoted identifiers, dollar quotes and comments (which nest in PostgreSQL) hold none. See
 * "Lexical Structure" of the PostgreSQL manual.
 */
export function placeholders(statement: string): Placeholders {
  const names: string[] = [];
  const uses: PlaceholderUse[] = [];
  const problems: { message: string; offset: number }[] = [];
  let text = "";
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(statement);
  };
  const keep = (length: number) => {
    text += statement.slice(at, at + length);
    at += length;
  };

  while (at < statement.length) {
    const comment = statement.startsWith("/*", at) ? commentLength(statement, at) : 0;
    const dollar = take(DOLLAR_QUOTE);
    // The order of the next two matters: e'...' is an escape string, and then no word.
    const opaque = OPAQUE.map(take).find((found) => found !== null);
    if (comment > 0) {
      keep(comment);
    } else if (dollar !== null) {
      const end = statement.indexOf(dollar[0], at + dollar[0].length);
      if (end === -1) problems.push({ message: `${dollar[0]} is never closed`, offset: at });
      keep(end === -1 ? statement.length - at : end + dollar[0].length - at);
    } else if (opaque !== undefined) {
      keep(opaque[0].length);
    } else {
      const name = take(NAME)?.[1];
      if (name !== undefined) {
        if (!names.includes(name)) names.push(name);
        if (WORD.test(text.at(-1) ?? "")) text += " ";
        const end = at + name.length + 1;
        const numberedStart = text.length;
        text += `$${names.indexOf(name) + 1}`;
        if (WORD.test(statement.charAt(end))) text += " ";
        uses.push({ name, start: at, end, numberedStart, numberedEnd: text.length });
        at = end;
        continue;
      }
      const position = take(POSITION);
      if (position !== null) {
        const message = `${position[0]} has no name; write :name, and declare it under parameters`;
        problems.push({ message, offset: at });
      } else if (take(OPENER) !== null) {
        const quote = take(OPENER)?.[0].at(-1) ?? "";
        problems.push({ message: `${quote} is never closed`, offset: at });
        keep(statement.length - at);
        continue;
      } else if (comment < 0) {
        problems.push({ message: "/* is never closed", offset: at });
        keep(statement.length - at);
        continue;
      }
      keep(position?.[0].length ?? 1);
    }
  }
  return { text, names, uses, problems };
}

/** Where in the statement something stands that the server found in the numbered text. */
export function statementOffset(uses: readonly PlaceholderUse[], numbered: number): number {
  const before = uses.findLast(({ numberedStart }) => numberedStart <= numbered);
  if (before === undefined) return numbered;
  return numbered < before.numberedEnd ? before.start : before.end + numbered - before.numberedEnd;
}

/** Of the comment that begins here, with those inside it; -1 where it does not end. */
function commentLength(statement: string, start: number): number {
  let depth = 0;
  for (let at = start; at < statement.length; at += 1) {
    if (statement.startsWith("/*", at)) {
      depth += 1;
      at += 1;
    } else if (statement.startsWith("*/", at)) {
      depth -= 1;
      at += 1;
      if (depth === 0) return at + 1 - start;
    }
  }
  return -1;
}
