import { styleText } from "node:util";

/** Where the tour and the prompt write. */
export interface Printer {
  /** Columns to fill: 80 at least. */
  readonly width: number;
  line(text?: string): void;
  heading(text: string): void;
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
}

type Paint = (text: string) => string;

export interface PrinterTarget {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/**
 * Colours only where somebody looks: on a terminal that knows them, and not against NO_COLOR.
 *
 * @param widest how many columns of a terminal are used. Default is `100`
 */
export function printer(
  target: PrinterTarget,
  environment: NodeJS.ProcessEnv,
  widest: number = 100,
): Printer {
  const coloured =
    target.isTTY === true &&
    (environment["NO_COLOR"] ?? "") === "" &&
    environment["TERM"] !== "dumb";
  const width = Math.min(widest, Math.max(80, target.isTTY === true ? (target.columns ?? 80) : 80));
  const paint = (style: "bold" | "dim" | "red" | "green") => (text: string) =>
    coloured ? styleText(style, text, { validateStream: false }) : text;
  const line = (text = "") => void target.write(`${text}\n`);
  const bold = paint("bold");
  return {
    width,
    line,
    heading(text) {
      line();
      line(bold(text));
      line();
    },
    bold,
    dim: paint("dim"),
    red: paint("red"),
    green: paint("green"),
  };
}

/** A column of a table on screen. */
export interface Column {
  readonly title: string;
  /** Longer values are cut. Default is as wide as the widest. */
  readonly width?: number;
  readonly align?: "left" | "right";
}

/**
 * Lines of a table: titles, then rows. Pure, without colours.
 *
 * @param most where the lines would be longer than this, the widest columns give way
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  most: number = Infinity,
): string[] {
  const widths = columns.map(
    ({ title, width }, index) =>
      width ?? Math.max(...[title, ...rows.map((row) => row[index] ?? "")].map(length)),
  );
  const total = () => widths.reduce((sum, width) => sum + width + 2, -2);
  while (total() > most && Math.max(...widths) > 1) {
    const widest = Math.max(...widths);
    widths[widths.indexOf(widest)] = widest - 1;
  }
  const format = (cells: readonly string[]) =>
    cells
      .map((cell, index) => {
        const width = widths[index] ?? 0;
        const text = cut(cell, width);
        return columns[index]?.align === "right" ? text.padStart(width) : text.padEnd(width);
      })
      .join("  ")
      .slice(0, most)
      .trimEnd();
  return [format(columns.map(({ title }) => title)), ...rows.map(format)];
}

/** A table where it fits into `most` columns uncut; otherwise `column | value` lines, one block a row, as psql does with \x. */
export function tableOrList(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  most: number,
): string[] {
  const whole = table(
    titles.map((title) => ({ title })),
    rows,
  );
  if (rows.length === 0 || titles.length === 1 || whole.every((line) => length(line) <= most)) {
    return table(
      titles.map((title) => ({ title })),
      rows,
      most,
    );
  }
  const widest = Math.min(Math.max(...titles.map(length)), Math.floor(most / 2));
  return rows.flatMap((row, index) => [
    `- ${index + 1} `.padEnd(Math.min(most, 40), "-"),
    ...titles.map((title, at) =>
      `${cut(title, widest).padEnd(widest)} | ${cut(row[at] ?? "", most - widest - 3)}`.trimEnd(),
    ),
  ]);
}

/** Blocks next to each other; blocks that are shorter are filled up. */
export function sideBySide(blocks: readonly (readonly string[])[], gap = 4): string[] {
  const widths = blocks.map((block) => Math.max(0, ...block.map(length)));
  const height = Math.max(...blocks.map((block) => block.length));
  return Array.from({ length: height }, (_, at) =>
    blocks
      .map((block, index) => (block[at] ?? "").padEnd(widths[index] ?? 0))
      .join(" ".repeat(gap))
      .trimEnd(),
  );
}

/** At most `width` characters, on one line; what is missing shows as an ellipsis. */
export function cut(text: string, width: number): string {
  const characters = Array.from(oneLine(text));
  return characters.length <= width
    ? characters.join("")
    : `${characters.slice(0, width - 1).join("")}…`;
}

/** Words on lines of at most `width` characters. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of oneLine(text).split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(cut(word, width));
    }
  }
  return lines;
}

/** 1 row, 2 rows. */
export function rowCount(rows: number): string {
  return `${grouped(rows)} ${rows === 1 ? "row" : "rows"}`;
}

/** A value of a tool's answer as text for people: what JSON has no type for came as PostgreSQL writes it. */
export function show(value: unknown): string {
  if (value === null || value === undefined) return "null";
  return oneLine(typeof value === "string" ? value : (JSON.stringify(value) ?? ""));
}

/** 40000 as 40,000; also what PostgreSQL sends as text because it may be longer than a number. */
export function grouped(value: unknown): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d)(?=\.|$))/g, ",");
}

function length(text: string): number {
  return Array.from(text).length;
}

/** Control characters could move a terminal's cursor: nothing that came from elsewhere prints them. */
function oneLine(text: string): string {
  return text
    .replace(/\s+/gu, " ")
    .replace(/[\p{Cc}\p{Cf}]/gu, "\u{fffd}")
    .trim();
}
