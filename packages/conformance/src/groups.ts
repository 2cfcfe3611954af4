/** What every adapter is asked, in the order in which it is run and reported. */
export const GROUPS = [
  "delegation",
  "fail closed",
  "isolation",
  "concurrency",
  "injection",
  "errors",
  "task scope",
  "revocation",
  "secrets",
  "lifecycle",
  "cost",
] as const;

export type Group = (typeof GROUPS)[number];
