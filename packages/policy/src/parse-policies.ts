import { cedarEngine } from "./cedar-engine.ts";
import { idProblems } from "./policy-ids.ts";
import type { PolicySchema } from "./policy-schema.ts";
import { inOrder, PolicyError, type PolicyProblem, problemAt } from "./problems.ts";
import { type ParsedPolicy, readPolicies } from "./read-policies.ts";
import { readSchema } from "./read-schema.ts";
import type { SourceText } from "./source-text.ts";
import { validatePolicies } from "./validate-policies.ts";

export interface ParseOptions {
  /** A Cedar schema in Cedar's own syntax, with the mapping as annotations. */
  readonly schema: SourceText;
  /** Cedar policies, in any number of files. */
  readonly policies: readonly SourceText[];
}

/** A schema and policies that Cedar's strict validator accepts, and whose mapping is complete. */
export interface ParsedPolicies {
  readonly schema: PolicySchema;
  /** In the order of the files, and of the policies in them. */
  readonly policies: readonly ParsedPolicy[];
}

/**
 * Parses and checks Cedar policies against their schema. Cedar itself parses and validates; what it only warns
 * of, or passes over, is an error here: impossible policies, numbers beyond 2^53, ids that are missing, used
 * twice or too long, annotations that are not known.
 *
 * @throws {PolicyError} with every problem that was found. Nothing is parsed in part.
 *
 * @example
 * ```ts
 * import { parsePolicies } from "@behalf/policy";
 *
 * const parsed = await parsePolicies({
 *   schema: {
 *     file: "schema.cedarschema",
 *     text: `
 *       @claim("sub") entity User;
 *       @table("public.notes") entity Note { @column("owner_sub") owner: User };
 *       action read appliesTo { principal: User, resource: Note };
 *     `,
 *   },
 *   policies: [
 *     {
 *       file: "notes.cedar",
 *       text: `@id("owner") permit (principal, action, resource) when { resource.owner == principal };`,
 *     },
 *   ],
 * });
 * console.log(parsed.policies.map(({ id }) => id));
 * ```
 */
export async function parsePolicies(options: ParseOptions): Promise<ParsedPolicies> {
  const sources = [options.schema, ...options.policies];
  const unreadable = sources.flatMap(textProblems);
  if (unreadable.length > 0) throw new PolicyError(unreadable);
  const engine = await cedarEngine();
  const { schema, problems: schemaProblems } = readSchema(engine, options.schema);
  const read = options.policies.map((source) => readPolicies(engine, source));
  const policies = read.flatMap((file) => file.policies);
  const problems = [
    ...schemaProblems,
    ...read.flatMap((file) => file.problems),
    ...idProblems(policies),
    // Against a schema that does not parse, everything would be wrong.
    ...(schemaProblems.some(({ code }) => code === "schema")
      ? []
      : validatePolicies(engine, options.schema, policies)),
  ];
  if (problems.length > 0 || schema === undefined) {
    const files = sources.map(({ file }) => file);
    throw new PolicyError(inOrder(problems, files));
  }
  return { schema, policies };
}

/** WebAssembly takes only text that UTF-8 can hold, and PostgreSQL no NUL. */
function textProblems(source: SourceText): readonly PolicyProblem[] {
  const at = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]|\0/.exec(
    source.text,
  );
  if (at === null) return [];
  return [
    problemAt(
      source,
      { start: at.index, end: at.index + 1 },
      {
        code: "syntax",
        message: at[0] === "\0" ? "a NUL is no character of a policy" : "half a character",
        help: "save the file as UTF-8",
      },
    ),
  ];
}
