import { parsePolicies, PolicyError, type PolicyProblem } from "../src/index.ts";

/** A schema of one table, which most tests of policies need. */
export const NOTES_SCHEMA = `
@claim("sub") entity User { @claim("org_id") org?: String, level?: Long };
@table("public.notes") entity Note { owner: User, org?: String, size?: Long };
action read, create, update, delete appliesTo { principal: User, resource: Note };
`;

/** What is said against these texts. Success is no problem at all. */
export async function problemsOf(
  schema: string,
  ...policies: readonly string[]
): Promise<readonly PolicyProblem[]> {
  try {
    await parsePolicies({
      schema: { file: "schema", text: schema },
      policies: policies.map((text, i) => ({ file: `policies-${i + 1}`, text })),
    });
    return [];
  } catch (error) {
    if (error instanceof PolicyError) return error.problems;
    throw error;
  }
}

/** The piece of the text that the carets are beneath. */
export function marked({ position: { excerpt } }: PolicyProblem): string {
  const [line = "", caret = ""] = excerpt.split("\n");
  return line.slice(caret.indexOf("^"), caret.lastIndexOf("^") + 1);
}

/** One line for each: where it is, what it is. */
export async function said(
  schema: string,
  ...policies: readonly string[]
): Promise<readonly string[]> {
  return (await problemsOf(schema, ...policies)).map(
    ({ code, message, help, policyId, position: { file, line, column } }) =>
      `${file}:${line}:${column} ${code}${policyId === undefined ? "" : ` ${policyId}`}: ${message}${help === undefined ? "" : ` | ${help}`}`,
  );
}
