/** A statement with `:name` placeholders, taken apart. */
export interface Placeholders {
  /** The same statement with `$1`, `$2`, ... in place of the names. */
  readonly text: string;
  /** The name that each `$n` stands for; a name that is used twice is one value. */
  readonly names: readonly string[];
  /** What cannot be: each with where in the statement it begins. */
  readonly problems: readonly { readonly message: string; readonly offset: number }[];
}

/** What is no placeholder, whatever it holds, in the order in which it must be tried. */
const OPAQUE = [
  /--[^\n]*/y,
  // An escape string: a backslash takes the next character with it.
  /[eE]'(?:[^'\\]|\\[\s\S]|'')*'/y,
  /'(?:[^']|'')*'/y,
  /"(?:[^"]|"")*"/y,
  // A word: `$` inside one begins no dollar quote, and the e of `name'` no escape string.
  /(?![eE]')[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y,
  /::|:=/y,
] as const;
const DOLLAR_QUOTE = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y;
const POSITION = /\$\d+/y;
const NAME = /:([A-Za-z_][A-Za-z0-9_]*)/y;
const OPENER = /[eE]?'|"/y;

/**
 * Finds the `:name` placeholders of a statement and numbers them. Casts (`::`), named arguments (`:=`),
 * strings, quoted identifiers, dollar quotes and comments (which nest in PostgreSQL) hold none. See
 * "Lexical Structure" of the PostgreSQL manual.
 */
export function placeholders(statement: string): Placeholders {
  const names: string[] = [];
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
        text += `$${names.indexOf(name) + 1}`;
        at += name.length + 1;
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
  return { text, names, problems };
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
