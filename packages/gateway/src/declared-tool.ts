import { BehalfError, type SqlValue } from "@behalf/core";
import { trustedStatement } from "@behalf/core/trusted-text";
import { z } from "zod";

import { placeholders, statementOffset } from "./placeholders.ts";
import { statementTool } from "./statement-tool.ts";
import type { Tool } from "./tool.ts";

/** What a parameter of a declared tool may be. `date` is `2026-12-31`, `timestamp` is ISO 8601 with an offset. */
export type ParameterType =
  | "string"
  | "integer"
  | "number"
  | "boolean"
  | "uuid"
  | "date"
  | "timestamp"
  | "enum";

export interface DeclaredParameter {
  readonly type: ParameterType;
  /** What the agent reads. */
  readonly description?: string | undefined;
  /** Default is `true`, unless there is a default. One that is left out is NULL. */
  readonly required?: boolean | undefined;
  readonly default?: string | number | boolean | undefined;
  /** Of an `enum`. */
  readonly values?: readonly string[] | undefined;
}

/** A tool as an operator writes it into a file. */
export interface ToolDeclaration {
  readonly name: string;
  readonly title?: string | undefined;
  readonly description: string;
  readonly parameters?: Readonly<Record<string, DeclaredParameter>> | undefined;
  /** Default is `read`. */
  readonly access?: "read" | "write" | undefined;
  readonly idempotent?: boolean | undefined;
  readonly destructive?: boolean | undefined;
  readonly maxRows?: number | undefined;
  /** SQL with `:name` where a value belongs. */
  readonly statement: string;
}

/** A declared tool, with what the server is sent for it. */
export interface DeclaredTool extends Tool {
  /** The statement with `$1`, `$2`, ... in place of the names. */
  readonly text: string;
  /** What each `$n` is called. */
  readonly names: readonly string[];
  /** Where in the declared statement something stands that the server found in `text`. */
  readonly statementOffset: (offset: number) => number;
}

/** What is wrong with a declaration: in which part, and for the statement where in its text. */
export interface DeclarationProblem {
  readonly in: "statement" | "parameters";
  /** The parameter that it is about. */
  readonly parameter?: string;
  /** Into the statement. */
  readonly offset?: number;
  readonly message: string;
}

/** Everything that keeps a declaration from being a tool; nothing when it is one. */
export function declarationProblems(declaration: ToolDeclaration): readonly DeclarationProblem[] {
  const { parameters = {}, statement } = declaration;
  const { names, uses, problems } = placeholders(statement);
  const found: DeclarationProblem[] = problems.map((problem) => ({ in: "statement", ...problem }));
  if (statement.trim() === "") found.push({ in: "statement", message: "the statement is empty" });
  for (const name of names) {
    if (Object.hasOwn(parameters, name)) continue;
    const message = `:${name} is declared nowhere; add it under parameters`;
    const offset = uses.find((use) => use.name === name)?.start ?? 0;
    found.push({ in: "statement", offset, message });
  }
  for (const [name, parameter] of Object.entries(parameters)) {
    const problem = (message: string) =>
      found.push({ in: "parameters", parameter: name, message: `${name} ${message}` });
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      problem("is no name; use letters, digits and _");
    } else if (name in Object.prototype) {
      problem("is a name that every object has; choose another");
    } else if (!names.includes(name)) {
      problem(`is used nowhere; write :${name} in the statement, or remove it`);
    }
    if (parameter.type === "enum" && (parameter.values ?? []).length === 0) {
      problem("is an enum without values; list them under values");
    } else if (parameter.type !== "enum" && parameter.values !== undefined) {
      problem("has values, but is no enum; say type: enum");
    } else if (parameter.default !== undefined) {
      const fits = valueOf(parameter).safeParse(parameter.default).success;
      if (!fits) problem(`has a default that is no ${parameter.type}`);
      if (parameter.required === true) problem("is required, and then a default is never used");
    }
  }
  return found;
}

/**
 * Makes a tool of a declaration. The text is trusted as the file is that it stands in: nobody but the
 * operator may be able to write it.
 *
 * @throws BehalfError `configuration` with every problem
 */
export function declaredTool(declaration: ToolDeclaration): DeclaredTool {
  const problems = declarationProblems(declaration);
  if (problems.length > 0) {
    const all = problems.map(({ message }) => message).join("; ");
    throw new BehalfError("configuration", `[gateway] the tool ${declaration.name}: ${all}`);
  }
  const { name, title, description, access, idempotent, destructive, maxRows } = declaration;
  const { text, names, uses } = placeholders(declaration.statement);
  const tool = statementTool({
    name,
    description,
    ...(title === undefined ? {} : { title }),
    ...(access === undefined ? {} : { access }),
    ...(idempotent === undefined ? {} : { idempotent }),
    ...(destructive === undefined ? {} : { destructive }),
    ...(maxRows === undefined ? {} : { maxRows }),
    input: inputOf(declaration.parameters ?? {}),
    statement: (args) =>
      trustedStatement(
        text,
        names.map((parameter) => sqlValue(args[parameter])),
      ),
  });
  return { ...tool, text, names, statementOffset: (offset) => statementOffset(uses, offset) };
}

function inputOf(parameters: Readonly<Record<string, DeclaredParameter>>): z.ZodObject {
  return z.object(
    Object.fromEntries(
      Object.entries(parameters).map(([name, parameter]) => [name, argumentOf(parameter)]),
    ),
  );
}

function argumentOf(parameter: DeclaredParameter): z.ZodType {
  const { description, required } = parameter;
  const value = valueOf(parameter);
  const described = description === undefined ? value : value.describe(description);
  if (parameter.default !== undefined) return described.default(parameter.default);
  return required === false ? described.optional() : described;
}

/** One for each type, so that a type without one does not compile. */
const VALUES: { readonly [type in ParameterType]: (values: readonly string[]) => z.ZodType } = {
  string: () => z.string(),
  integer: () => z.int(),
  number: () => z.number(),
  boolean: () => z.boolean(),
  // PostgreSQL takes every UUID, also those whose version no RFC names.
  uuid: () => z.guid(),
  date: () => z.iso.date(),
  timestamp: () => z.iso.datetime({ offset: true }),
  enum: (values) => z.enum(values),
};

function valueOf({ type, values = [] }: DeclaredParameter): z.ZodType {
  return VALUES[type](values);
}

function sqlValue(value: unknown): SqlValue {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
      return value;
    default:
      return null;
  }
}
