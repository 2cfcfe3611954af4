import { declarationProblems } from "@behalf/gateway";

import type { ConfigProblem } from "./config-problem.ts";
import type { ConfigFile } from "./config-schema.ts";
import type { ConfigText } from "./config-text.ts";

const BUILT_IN: ReadonlySet<string> = new Set(["query", "describe_tables", "whoami", "write"]);

/** What is wrong with the declared tools, with the place in the statement where that is known. */
export function toolProblems(file: ConfigFile, yaml: ConfigText): readonly ConfigProblem[] {
  const { statementTools = [] } = file;
  const problems: ConfigProblem[] = [];
  const names = new Set<string>();
  for (const [index, tool] of statementTools.entries()) {
    const path = ["statementTools", index];
    if (names.has(tool.name) || BUILT_IN.has(tool.name)) {
      const taken = BUILT_IN.has(tool.name) ? "a built-in tool" : "another tool";
      const message = `${tool.name} is the name of ${taken}; choose another`;
      problems.push({ path: [...path, "name"], message });
    }
    names.add(tool.name);
    for (const found of declarationProblems(tool)) {
      const message = `${tool.name}: ${found.message}`;
      if (found.in === "parameters" && found.parameter !== undefined) {
        const place = [...path, "parameters", found.parameter];
        problems.push({ path: place, atKey: true, message });
      } else {
        const place = [...path, "statement"];
        const offset = offsetInFile(yaml, place, tool.statement, found.offset);
        problems.push({ path: place, message, ...(offset === undefined ? {} : { offset }) });
      }
    }
  }
  if (statementTools.length > 0 && file.database.statements === undefined) {
    const message =
      "statementTools need database.statements: a login of their own for trusted statements; add it";
    problems.push({ path: ["statementTools"], atKey: true, message });
  }
  return problems;
}

/** In a literal block (`|`) each line of the value is one of the file, behind its indentation. */
function offsetInFile(
  yaml: ConfigText,
  path: readonly PropertyKey[],
  statement: string,
  offset: number | undefined,
): number | undefined {
  const block = offset === undefined ? undefined : yaml.block(path);
  if (block === undefined || offset === undefined) return undefined;
  const before = statement.slice(0, offset).split("\n");
  let start = block.start;
  for (let line = 1; line < before.length; line += 1) {
    start = block.text.indexOf("\n", start) + 1;
  }
  const indentation = /^ */.exec(block.text.slice(block.start))?.[0].length ?? 0;
  return start + indentation + (before.at(-1)?.length ?? 0);
}
