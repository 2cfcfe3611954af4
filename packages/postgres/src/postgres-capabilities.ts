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
    grade: "refused",
    evidence: "independent engine",
    note: "This version reads only.",
  },
  trustedStatements: {
    grade: "refused",
    evidence: "independent engine",
    note: "This version has no statement mode.",
  },
});
