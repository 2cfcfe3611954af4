import { readFileSync } from "node:fs";

/** What one section of docs/policy-by-hand.md says: its Cedar, and its SQL for PostgreSQL. */
export interface PageSection {
  readonly title: string;
  readonly cedar: string;
  readonly sql: string;
}

/** The sections of docs/policy-by-hand.md that hold Cedar: the schema first, then the rules. */
export function policyPage(): readonly PageSection[] {
  const page = readFileSync(new URL("../../docs/policy-by-hand.md", import.meta.url), "utf8");
  const blocks = (text: string, language: string) =>
    [...text.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, "gs"))].map(
      ([, body]) => body ?? "",
    );
  return page
    .split(/^## /m)
    .map((text) => ({
      title: text.split("\n", 1)[0] ?? "",
      cedar: blocks(text, "cedar").join("\n"),
      sql: blocks(text, "sql").join("\n"),
    }))
    .filter(({ cedar }) => cedar !== "");
}
