import type { AuditRecord, DecisionRecord, OutcomeRecord } from "./audit-record.ts";

/** One call as its records tell it. */
export interface CallRecord {
  readonly id: string;
  readonly decision: DecisionRecord;
  /** `null` when it was denied, and when its outcome is unknown. */
  readonly outcome: OutcomeRecord | null;
  /** `unknown`: it was allowed, and no outcome was written. It may have run. */
  readonly status: "ok" | "error" | "denied" | "unknown";
}

/** Whose calls, and which. What is left out does not limit. */
export interface CallFilter {
  /** The verified human's `sub`. */
  readonly subject?: string;
  readonly issuer?: string;
  /** Any actor of the chain. */
  readonly actor?: string;
  readonly deniedOnly?: boolean;
}

type Records = AsyncIterable<AuditRecord> | Iterable<AuditRecord>;

/**
 * Joins decisions and outcomes to calls, in the order of the decisions. Where one id has several
 * decisions (a delegation that was used more than once), outcomes are paired in their order.
 */
export async function joinCalls(records: Records): Promise<readonly CallRecord[]> {
  const decisions: DecisionRecord[] = [];
  const outcomes = new Map<string, OutcomeRecord[]>();
  for await (const record of records) {
    if (record.kind === "decision") {
      decisions.push(record);
      continue;
    }
    const others = outcomes.get(record.id);
    if (others === undefined) outcomes.set(record.id, [record]);
    else others.push(record);
  }
  return decisions.map((decision) => {
    const { id } = decision;
    if (decision.decision === "deny") return { id, decision, outcome: null, status: "denied" };
    const outcome = outcomes.get(id)?.shift() ?? null;
    return { id, decision, outcome, status: outcome?.status ?? "unknown" };
  });
}

/**
 * The calls that a question is about. Only verified humans are found: what a refused token claims of
 * itself (`unverified`) is nobody's doing.
 *
 * @example
 * ```ts
 * // What did Alice's agent do?
 * const calls = await callsOf(readRecords("audit.jsonl"), { issuer, subject: "alice", actor: "agent-7" });
 * ```
 */
export async function callsOf(
  records: Records,
  filter: CallFilter = {},
): Promise<readonly CallRecord[]> {
  const calls = await joinCalls(records);
  return calls.filter(({ decision }) => {
    const { subject, actors } = decision;
    return (
      (filter.subject === undefined || subject?.subject === filter.subject) &&
      (filter.issuer === undefined || subject?.issuer === filter.issuer) &&
      (filter.actor === undefined || actors.some((actor) => actor.subject === filter.actor)) &&
      (filter.deniedOnly !== true || decision.decision === "deny")
    );
  });
}
