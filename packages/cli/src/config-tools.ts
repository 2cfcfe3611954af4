import { declarationProblems } from "@behalf/gateway";

import type { ConfigProblem } from "./config-problem.ts";
import type { ConfigFile } from "./config-schema.ts";

const BUILT_IN: ReadonlySet<string> = new Set(["query", "describe_tables", "whoami", "write"]);

/** What is wrong with the declared tools, with the place in the statement where that is known. */
export function toolProblems(file: ConfigFile): readonly ConfigProblem[] {
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
        problems.push(statementProblem(index, message, found.offset ?? 0));
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

/** @param offset into the statement */
export function statementProblem(tool: number, message: string, offset: number): ConfigProblem {
  return { path: ["statementTools", tool, "statement"], textOffset: offset, message };
}
