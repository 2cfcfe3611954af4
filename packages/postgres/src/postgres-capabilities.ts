import type { Capabilities } from "@behalf/core";

/** What this adapter promises, who enforces it, and how that is known. */
export const postgresCapabilities: Capabilities = Object.freeze({
  rows: {
    grade: "native",
    evidence: "independent engine",
    note: "Row level security on claims that the database itself verified and sealed.",
  },
  identity: {
    grade: "native",
    evidence: "independent engine",
    note: "The database verifies the issuer's signature; the gateway can vouch for nobody.",
  },
  readOnly: {
    grade: "native",
    evidence: "independent engine",
    note: "Agents' texts run in a READ ONLY transaction inside a function of the agent role.",
  },
  taskScope: {
    grade: "native",
    evidence: "independent engine",
    note: "The guard policies compare table and verb with the task, and its expiry.",
  },
  rowCap: {
    grade: "native",
    evidence: "independent engine",
    note: "The server fetches no more rows from its cursor than were asked for.",
  },
  deadline: {
    grade: "native",
    evidence: "independent engine",
    note: "statement_timeout for each call, a cancel request when the caller gives up.",
  },
  writes: {
    grade: "native",
    evidence: "independent engine",
    note: "Agents' texts write inside a function of the write role, as what can stand in WITH: no DDL, no EXPLAIN.",
  },
  transactions: {
    grade: "native",
    evidence: "independent engine",
    note: "One transaction for each call: what it changes is made when it succeeds, or not at all.",
  },
  trustedStatements: {
    grade: "native",
    evidence: "independent engine",
    note: "An author's statements run as a role of their own, over a login of their own; values are parameters.",
  },
  fairness: {
    grade: "adapter",
    evidence: "independent engine",
    note: "One human holds a share of the connections at most, and those who wait are served in turn.",
  },
});
