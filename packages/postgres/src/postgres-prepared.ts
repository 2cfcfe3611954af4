import { hash } from "node:crypto";

/**
 * Which named statements a connection holds. Behalf's own few are kept for good; those of callers are
 * kept by recency, because texts of query builders vary without end and each costs the server memory.
 */
export interface PreparedStatements {
  /** Whether the server holds it. */
  has(name: string): boolean;
  /**
   * Says that this batch parses it.
   *
   * @returns what must be closed before: the one that was not used for longest where there is no room, and
   *   the name itself where nobody knows whether the server has it
   */
  add(name: string): readonly string[];
  /** Says that it was used again. */
  touch(name: string): void;
  /** Says that the server may hold it, or not: a batch failed before or while it was parsed. */
  doubt(name: string): void;
  /** The names that the server may hold and nobody counts, to be closed now. */
  takeDoubtful(): readonly string[];
  /** Says that nothing is known any more: the server lost a statement. */
  forget(): void;
}

/** Names of callers' statements begin so; Behalf's own never do. */
const PREFIX = "behalf:";

/** @param max most statements of callers on one connection */
export function preparedStatements(max: number): PreparedStatements {
  const own = new Set<string>();
  // Iterates in the order of insertion, so the first is the one that was not used for longest.
  const callers = new Set<string>();
  const doubtful = new Set<string>();
  let allDoubtful = false;
  const kindOf = (name: string) => (name.startsWith(PREFIX) ? callers : own);
  return {
    has: (name) => kindOf(name).has(name),
    add(name) {
      const close: string[] = allDoubtful ? [name] : [];
      if (kindOf(name) === callers && callers.size >= max) {
        const [oldest] = callers;
        if (oldest !== undefined) {
          callers.delete(oldest);
          close.push(oldest);
        }
      }
      kindOf(name).add(name);
      return close;
    },
    touch(name) {
      if (callers.delete(name)) callers.add(name);
    },
    doubt(name) {
      kindOf(name).delete(name);
      doubtful.add(name);
    },
    takeDoubtful() {
      const names = [...doubtful];
      doubtful.clear();
      return names;
    },
    forget() {
      own.clear();
      callers.clear();
      doubtful.clear();
      allDoubtful = true;
    },
  };
}

/**
 * The name of a caller's statement. The role is part of it: PostgreSQL plans a statement under row level
 * security for one role, and alternating between two costs 102 us a call in place of 19.
 */
export function statementName(text: string, role: string): string {
  return PREFIX + hash("sha256", `${role}\0${text}`, "base64url");
}
