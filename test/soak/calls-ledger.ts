import type pg from "pg";

/** What a caller was told of a write. */
export type Told = "done" | "none" | "unknown";

/** The table in which every write of the soak leaves one row, and whoever wrote it. */
export const LEDGER = `
  create table ledger (
    id bigint,
    owner text not null default behalf.claim('sub'),
    -- Only looked at when the transaction ends.
    slot bigint unique deferrable initially deferred
  );
  create index on ledger (id);
  alter table ledger enable row level security;
  create policy own on ledger to behalf_agents
    using (owner = (select behalf.claim('sub'))) with check (owner = (select behalf.claim('sub')));
  select behalf.guard('ledger');
`;

/** Compares what callers were told with what a superuser finds. */
export interface Ledger {
  /** A number that no other write has, for a row of this human. */
  issue(human: string): number;
  settle(ids: readonly number[], told: Told): void;
  /** Looks at the table, empties it, and counts. Nobody may be writing. */
  verify(admin: pg.Client): Promise<void>;
  readonly counts: {
    readonly done: number;
    readonly none: number;
    readonly unknown: number;
    /** Of the unknown ones, those that had been made. */
    readonly unknownMade: number;
    /** Told done, and not there exactly once. */
    readonly lost: number;
    /** Told none, and there. */
    readonly ghosts: number;
    /** There, and another human's than the one who wrote. */
    readonly foreign: number;
  };
}

export function ledger(): Ledger {
  const open = new Map<number, { readonly human: string; told: Told | null }>();
  const counts = { done: 0, none: 0, unknown: 0, unknownMade: 0, lost: 0, ghosts: 0, foreign: 0 };
  let last = 0;
  return {
    counts,
    issue(human) {
      last += 1;
      open.set(last, { human, told: null });
      return last;
    },
    settle(ids, told) {
      counts[told] += ids.length;
      for (const id of ids) {
        const entry = open.get(id);
        if (entry) entry.told = told;
      }
    },
    async verify(admin) {
      const { rows } = await admin.query<{ id: number; owner: string; times: number }>(
        "select id::int, min(owner) as owner, count(*)::int as times from ledger group by id, owner",
      );
      await admin.query("truncate ledger");
      const times = new Map<number, number>();
      for (const row of rows) {
        times.set(row.id, (times.get(row.id) ?? 0) + row.times);
        if (open.get(row.id)?.human !== row.owner) counts.foreign += 1;
      }
      for (const [id, { told }] of open) {
        const found = times.get(id) ?? 0;
        if (told === "done" && found !== 1) counts.lost += 1;
        if (told === "none" && found !== 0) counts.ghosts += 1;
        if (told === "unknown" && found !== 0) counts.unknownMade += 1;
      }
      open.clear();
    },
  };
}
