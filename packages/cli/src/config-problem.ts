/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  /** What stands wrong, as a path of keys; the closest one that is there is shown. */
  readonly path: readonly PropertyKey[];
  /** Whether it is about the key itself, not its value. */
  readonly atKey?: boolean;
  /** Into the text of the file, where it is known better than by path. */
  readonly offset?: number;
  /** Into the text that is the value, where it is about a part of that. */
  readonly textOffset?: number;
  /** What is wrong; what to do. Never the value of a secret. */
  readonly message: string;
}

/** A problem where it stands. Lines and columns begin with 1. */
export interface PlacedProblem {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** `file:line:column: message`, one a line, in the order of the file. */
export function printProblems(file: string, problems: readonly PlacedProblem[]): string {
  return problems
    .toSorted((a, b) => a.line - b.line || a.column - b.column)
    .map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`)
    .join("\n");
}

/** `server.allowedHosts[0]` */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) =>
      typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${String(part)}`,
    )
    .join("");
}
