import {
  isMap,
  isNode,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  visit,
  type Document,
} from "yaml";

import { ENV } from "./config-values.ts";
import type { ConfigProblem, PlacedProblem } from "./config-problem.ts";

/** A YAML text with the places of what stands in it. */
export interface ConfigText {
  /** As plain values, with `${env:NAME}` replaced where it is no secret. */
  readonly value: unknown;
  readonly problems: readonly ConfigProblem[];
  place(problem: ConfigProblem): PlacedProblem;
}

/** Keys whose values are secrets: what they name is read later, and apart. */
export const SECRETS: ReadonlySet<unknown> = new Set(["password", "clientSecret", "url"]);

const SYNTAX: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "this key stands twice in one place; keep one of them",
  MULTIPLE_DOCS: "this is no YAML: a second document begins here; leave --- out",
  TAB_AS_INDENT: "this is no YAML: a tab; indent with spaces",
  BAD_INDENT: "this is no YAML: the indentation fits nothing above; align it",
  BAD_ALIAS: "this is no YAML: * begins an alias; put the text in quotes",
  BAD_SCALAR_START: "this is no YAML: a text may not begin so; put it in quotes",
  MISSING_CHAR: "this is no YAML: a bracket, a quote or a comma is missing; add it",
  TAG_RESOLVE_FAILED: "! begins a tag, and there is none of that name; put the text in quotes",
  MULTILINE_IMPLICIT_KEY: "this is no YAML: a key runs over lines; is a colon missing?",
};

/** Where a variable of the environment is looked up. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A variable that is set; not what every object has. */
export function variable(env: Environment, name: string): string | undefined {
  return Object.hasOwn(env, name) ? env[name] : undefined;
}

export function configText(text: string, env: Environment): ConfigText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  // What the parser only warns of it has read as something else than what is written.
  const found = [...document.errors, ...document.warnings];
  const problems: ConfigProblem[] = found.map(({ pos: [offset], code }) => ({
    path: [],
    offset,
    // The parser's own texts quote the file, and with it what may be a secret.
    message: SYNTAX[code] ?? `this is no YAML (${code}); correct it`,
  }));
  if (problems.length === 0 && document.contents === null) {
    const message =
      "the file is empty; see `behalf config schema` for what belongs into it, and docs/gateway.md for an example";
    problems.push({ path: [], offset: 0, message });
  }
  if (problems.length === 0) problems.push(...replaceVariables(document, env));
  return {
    value: problems.length === 0 ? toPlain(document, problems) : undefined,
    problems,
    place(problem) {
      const { line, col } = lines.linePos(
        problem.offset ?? offsetInBlock(text, document, problem) ?? offsetOf(document, problem),
      );
      return { line: Math.max(line, 1), column: Math.max(col, 1), message: problem.message };
    },
  };
}

/** An alias that is used too often is refused by the parser when it is followed, not before. */
function toPlain(document: Document, problems: ConfigProblem[]): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch {
    problems.push({ path: [], message: "aliases multiply without end; write the values out" });
    return undefined;
  }
}

function replaceVariables(document: Document, env: Environment): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  visit(document, {
    Alias(_key, node) {
      if (node.resolve(document) !== undefined) return;
      const message = "this alias names no anchor; put the text in quotes if it is none";
      problems.push({ path: [], offset: node.range?.[0] ?? 0, message });
    },
    Scalar(key, node, ancestors) {
      const wrong = wrongScalar(node.value, key === "key");
      if (wrong !== undefined) {
        problems.push({ path: [], offset: node.range?.[0] ?? 0, message: wrong });
      }
      if (key === "key" || typeof node.value !== "string" || !node.value.includes("${env:")) return;
      const keys = ancestors.flatMap((ancestor) =>
        isPair(ancestor) && isScalar(ancestor.key) ? [ancestor.key.value] : [],
      );
      // A statement is SQL to its last character.
      if (SECRETS.has(keys.at(-1)) || keys.at(-1) === "statement") return;
      let isWhole = false;
      const replaced = node.value.replaceAll(ENV, (all, name: string) => {
        const value = variable(env, name);
        if (value === undefined || value === "") {
          const offset = node.range?.[0] ?? 0;
          problems.push({
            path: [],
            offset,
            message: `${name} is not set; set it in the environment`,
          });
          return "";
        }
        isWhole = all === node.value;
        return value;
      });
      // A plain `port: ${env:PORT}` means the number that the variable holds.
      const isPlain = isWhole && node.type === "PLAIN" && /^(\d{1,15}|true|false)$/.test(replaced);
      node.value = isPlain ? JSON.parse(replaced) : replaced;
    },
  });
  return problems;
}

function wrongScalar(value: unknown, isKey: boolean): string | undefined {
  if (isKey && value === "__proto__") return "__proto__ may be no key; choose another name";
  if (typeof value !== "string" || !value.includes("\0")) return undefined;
  return "this holds a NUL character, which no system takes; remove it";
}

/** Of the value, of its key, or of the closest thing around it that is there. */
function offsetOf(document: Document, { path, atKey = false }: ConfigProblem): number {
  for (let depth = path.length; depth >= 0; depth -= 1) {
    const place = path.slice(0, depth);
    if (atKey && depth === path.length) {
      const map = document.getIn(path.slice(0, -1), true);
      const pair = isMap(map)
        ? map.items.find(({ key }) => isScalar(key) && key.value === path.at(-1))
        : undefined;
      if (isNode(pair?.key) && pair.key.range) return pair.key.range[0];
    }
    const node = depth === 0 ? document.contents : document.getIn(place, true);
    if (isNode(node) && node.range) {
      // Of a map that lacks something the key says more than its first member.
      if (depth < path.length && depth > 0)
        return offsetOf(document, { path: place, atKey: true, message: "" });
      return node.range[0];
    }
  }
  return 0;
}

/** In a literal block (`|`) each line of the value is the end of one of the file. */
function offsetInBlock(
  text: string,
  document: Document,
  { path, textOffset }: ConfigProblem,
): number | undefined {
  const node = textOffset === undefined ? undefined : document.getIn(path, true);
  if (!isScalar(node) || node.type !== "BLOCK_LITERAL" || !node.range) return undefined;
  const lines = String(node.value).split("\n");
  let start = text.indexOf("\n", node.range[0]) + 1;
  let left = textOffset ?? 0;
  for (const line of lines) {
    const end = text.indexOf("\n", start);
    const inFile = text.slice(start, end === -1 ? undefined : end).replace(/\r$/, "");
    if (left <= line.length) return start + Math.max(0, inFile.length - line.length) + left;
    left -= line.length + 1;
    if (end === -1) return undefined;
    start = end + 1;
  }
  return undefined;
}
