import type { QueryOptions, SqlAdapter, SqlResult } from "@behalf/core";

import { policyText, SEALED } from "./policies.ts";
import type { Schema } from "./schema.ts";
import type { Setup } from "./setup.ts";

/** One thing that is wrong, and that the comparison has to find. */
export interface Mutant {
  readonly name: string;
  /** Breaks the world of one schema; it goes with the schema. */
  readonly world?: (made: Schema) => string;
  /** Breaks the kit. */
  readonly kit?: (setup: Setup) => string;
  /** Breaks the adapter. */
  readonly adapter?: (setup: Setup) => SqlAdapter;
}

/** The policy of agents, made anew with another condition. */
function rewritten(
  made: Schema,
  which: (command: string, isPermissive: boolean) => boolean,
  condition: (using: string) => string | null,
): string {
  const lines: string[] = [];
  for (const table of made.tables) {
    for (const policy of table.policies) {
      if (!which(policy.command, policy.isPermissive)) continue;
      lines.push(`drop policy ${policy.name}_behalf_agents on play.${table.name}`);
      const wrap = (part: typeof policy.using) => {
        const text = part === undefined ? undefined : condition(part(SEALED));
        return text === undefined || text === null ? undefined : () => text;
      };
      const [using, check] = [wrap(policy.using), wrap(policy.check)];
      if (using === undefined && check === undefined) continue;
      const { using: _using, check: _check, ...rest } = policy;
      lines.push(
        policyText(
          { ...rest, ...(using ? { using } : {}), ...(check ? { check } : {}) },
          table.name,
          "behalf_agents",
          SEALED,
        ),
      );
    }
  }
  return lines.join("; ");
}

const reads = (command: string, isPermissive: boolean) =>
  isPermissive && (command === "select" || command === "all");

/** A setting of the read sandbox's functions, in place of the kit's pin. */
const unpinned =
  (setting: string) =>
  ({ world: { names } }: Setup): string =>
    [
      `${names.agent}_read(text, int, bigint)`,
      `${names.agent}_open(text)`,
      `${names.agent}_fetch(int, bigint, bigint)`,
    ]
      .map((name) => `alter function behalf_sandbox.${name} set ${setting}`)
      .join("; ");

/** An adapter that changes what `query` answers. */
const answering =
  (change: (result: SqlResult) => SqlResult) =>
  ({ shop }: Setup): SqlAdapter => ({
    ...shop,
    query: async (delegation, input, options?: QueryOptions) =>
      change(await shop.query(delegation, input, options)),
  });

export const MUTANTS: readonly Mutant[] = [
  {
    name: "a policy that reads has one disjunct more",
    world: (made) => rewritten(made, reads, (using) => `(${using}) or level = 1`),
  },
  {
    name: "a policy that reads has one conjunct more",
    world: (made) => rewritten(made, reads, (using) => `(${using}) and level is distinct from 2`),
  },
  {
    name: "a restrictive policy is missing",
    world: (made) =>
      rewritten(
        made,
        (_, isPermissive) => !isPermissive,
        () => null,
      ),
  },
  {
    name: "a policy that writes lets everything pass",
    world: (made) =>
      rewritten(
        made,
        (command) => ["insert", "update", "delete"].includes(command),
        () => "true",
      ),
  },
  { name: "TimeZone is not pinned", kit: unpinned("TimeZone = 'Asia/Tokyo'") },
  { name: "DateStyle is not pinned", kit: unpinned("DateStyle = 'German'") },
  { name: "floats lose digits", kit: unpinned("extra_float_digits = 0") },
  { name: "intervals are written in another style", kit: unpinned("IntervalStyle = 'iso_8601'") },
  {
    name: "NULL and the empty text are one",
    adapter: answering((result) => ({
      ...result,
      rows: result.rows.map((row) => row.map((value) => value ?? "")),
    })),
  },
  {
    name: "two columns of one name are one",
    adapter: answering((result) => {
      const kept = result.columns
        .map(({ name }, index) =>
          result.columns.findIndex((column) => column.name === name) === index ? index : -1,
        )
        .filter((index) => index !== -1);
      return {
        ...result,
        columns: result.columns.filter((_, index) => kept.includes(index)),
        rows: result.rows.map((row) => row.filter((_, index) => kept.includes(index))),
      };
    }),
  },
  {
    name: "the last row is lost",
    adapter: answering((result) => ({ ...result, rows: result.rows.slice(0, -1) })),
  },
  {
    name: "one human is taken for another",
    adapter: ({ shop, people }) => ({
      ...shop,
      query: (delegation, input, options) =>
        shop.query(
          people.find((person) => person.delegation !== delegation)?.delegation ?? delegation,
          input,
          options,
        ),
    }),
  },
];
