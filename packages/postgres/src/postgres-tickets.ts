import { hash } from "node:crypto";

import { Secret, type Identity, type SubjectRef } from "@behalf/core";
import { LRUCache } from "lru-cache";

/** Tickets are given up this long before the database would refuse them, in milliseconds. */
const SKEW_MS = 2_000;

/** What proves the human to the database: its ticket where there is one, else the token. */
export interface Proof {
  readonly secret: Secret;
  readonly kind: "ticket" | "token";
  /** What the database said with the ticket: the role of an author's statements; `null` where it is not known. */
  readonly statementRole: string | null;
}

export interface NewTicket {
  readonly ticket: string;
  /** When the database will refuse it, in milliseconds since the epoch. */
  readonly expiresAtMs: number;
  readonly statementRole: string | null;
}

/** Tickets of the humans that call through this process. */
export interface Tickets {
  /** The ticket that this token led to, or the token. */
  proof(token: Secret): Proof;
  keep(token: Secret, identity: Identity, made: NewTicket): void;
  drop(token: Secret): void;
  invalidate(subject: SubjectRef): void;
  clear(): void;
}

interface Entry {
  readonly ticket: Secret;
  readonly statementRole: string | null;
  readonly issuer: string;
  readonly subject: string;
}

/**
 * Keeps tickets by the SHA-256 of the token that they came from, so that another token of the same human
 * (another actor, another audience, newer claims) never gets this one's ticket.
 *
 * @param max most tickets that are kept; 10,000 take about 20 MB at 2 kB each
 */
export function tickets(max: number): Tickets {
  const cache = new LRUCache<string, Entry>({ max });
  const keyOf = (token: Secret) => hash("sha256", token.reveal(), "base64");
  return {
    proof(token) {
      const entry = cache.get(keyOf(token));
      return entry
        ? { secret: entry.ticket, kind: "ticket", statementRole: entry.statementRole }
        : { secret: token, kind: "token", statementRole: null };
    },
    keep(token, identity, { ticket, expiresAtMs, statementRole }) {
      const ttl = Math.floor(expiresAtMs - Date.now() - SKEW_MS);
      if (ttl <= 0) return;
      const { issuer, subject } = identity;
      const entry = { ticket: new Secret(ticket), statementRole, issuer, subject };
      cache.set(keyOf(token), entry, { ttl });
    },
    drop(token) {
      cache.delete(keyOf(token));
    },
    invalidate({ issuer, subject }) {
      // A scan, not an index: revocation is rare, and 10,000 entries take well under a millisecond.
      for (const [key, entry] of cache.entries()) {
        if (entry.issuer === issuer && entry.subject === subject) cache.delete(key);
      }
    },
    clear() {
      cache.clear();
    },
  };
}
