import type { Capabilities, Evidence, Grade } from "@behalf/core";

import { type Group, GROUPS } from "./groups.ts";

/** How one case ended, in one way to call the adapter. */
export interface CaseResult {
  readonly id: string;
  readonly group: Group;
  readonly name: string;
  readonly way: string;
  readonly capability: string | null;
  readonly status: "passed" | "failed" | "skipped";
  /** Why it was skipped, or what it failed with. */
  readonly why?: string;
  readonly notes: readonly string[];
}

/** What a run showed. */
export interface Report {
  readonly backend: string;
  /** How this run knows it. */
  readonly evidence: Evidence;
  readonly results: readonly CaseResult[];
  readonly rows: readonly ReportRow[];
}

/** One group, as far as it rests on capabilities of one grade. */
export interface ReportRow {
  readonly group: Group;
  /** The capabilities that it shows, or `-`: what the adapter does by itself. */
  readonly shows: string;
  /** `undeclared` for what the adapter does not promise. */
  readonly grade: Grade | "undeclared";
  readonly evidence: Evidence;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export function reportOf(
  harness: {
    readonly backend: string;
    readonly evidence: Evidence;
    readonly capabilities: Capabilities;
  },
  results: readonly CaseResult[],
): Report {
  const rows = new Map<string, ReportRow & { shows: string }>();
  for (const { group, capability, status } of results) {
    const declared = capability === null ? undefined : harness.capabilities[capability];
    const grade = declared?.grade ?? (capability === null ? "adapter" : "undeclared");
    const evidence = weaker(declared?.evidence ?? harness.evidence, harness.evidence);
    const key = [GROUPS.indexOf(group), group, grade, evidence].join("\n");
    const row = rows.get(key) ?? {
      group,
      shows: "",
      grade,
      evidence,
      passed: 0,
      failed: 0,
      skipped: 0,
    };
    const shown = new Set(row.shows === "" ? [] : row.shows.split(", "));
    shown.add(capability ?? "-");
    rows.set(key, { ...row, shows: [...shown].join(", "), [status]: row[status] + 1 });
  }
  const { backend, evidence } = harness;
  const order = (row: ReportRow) => GROUPS.indexOf(row.group);
  return {
    backend,
    evidence,
    results,
    rows: [...rows.values()].toSorted((a, b) => order(a) - order(b)),
  };
}

const STRENGTH: readonly Evidence[] = ["emulated", "independent engine", "live"];

/** A run proves no more than its own backend can, whatever the adapter says of itself. */
function weaker(declared: Evidence, run: Evidence): Evidence {
  return STRENGTH[Math.min(STRENGTH.indexOf(declared), STRENGTH.indexOf(run))] ?? run;
}

/** The table group x grade x evidence, what was skipped and why, and what was measured. */
export function reportText({ backend, evidence, results, rows }: Report): string {
  const table = [
    ["group", "shows", "grade", "evidence", "passed", "failed", "skipped"],
    ...rows.map((row) => [
      row.group,
      row.shows,
      row.grade,
      row.evidence,
      String(row.passed),
      String(row.failed),
      String(row.skipped),
    ]),
  ];
  const widths = table[0]?.map((_, column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  );
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths?.[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const count = (status: CaseResult["status"]) =>
    results.filter((result) => result.status === status).length;
  return [
    `conformance of ${backend}, evidence of this run: ${evidence}`,
    "",
    ...lines,
    "",
    ...skippedLines(results),
    ...results.flatMap(({ id, notes }) => notes.map((note) => `${id}: ${note}`)),
    "",
    `${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`,
  ].join("\n");
}

/** Each reason once, with what it keeps from being run. */
function skippedLines(results: readonly CaseResult[]): readonly string[] {
  const reasons = new Map<string, Set<string>>();
  for (const { id, status, why } of results) {
    if (status !== "skipped" || why === undefined) continue;
    reasons.set(why, (reasons.get(why) ?? new Set()).add(id));
  }
  return [...reasons].map(([why, ids]) => `skipped, ${why}: ${[...ids].join(", ")}`);
}
