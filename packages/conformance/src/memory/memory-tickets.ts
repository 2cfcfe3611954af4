import { createHash } from "node:crypto";

import { canonicalJson, type Delegation, type SubjectRef } from "@behalf/core";

/** What proves humans to the backend, for as long as it may be used. */
export interface MemoryTickets {
  get(delegation: Delegation): string | undefined;
  /** @param credentialEndsAtMs end of the credential that it was made of */
  set(delegation: Delegation, ticket: string, credentialEndsAtMs: number): void;
  delete(subject: SubjectRef): void;
}

/** Most tickets that are kept: without an end of it, humans who never call again would fill the memory. */
const MOST = 10_000;

interface Kept {
  readonly ticket: string;
  readonly subject: SubjectRef;
  readonly usableUntilMs: number;
}

export function memoryTickets(): MemoryTickets {
  const kept = new Map<string, Kept>();
  return {
    get(delegation) {
      const found = kept.get(keyOf(delegation));
      return found !== undefined && found.usableUntilMs > Date.now() ? found.ticket : undefined;
    },
    set(delegation, ticket, credentialEndsAtMs) {
      const { identity, task } = delegation;
      const { issuer, subject } = identity;
      const usableUntilMs = Math.min(
        credentialEndsAtMs,
        identity.expiresAtMs,
        task?.expiresAtMs ?? Infinity,
      );
      const [oldest] = kept.keys();
      if (oldest !== undefined && kept.size >= MOST) kept.delete(oldest);
      kept.set(keyOf(delegation), { ticket, subject: { issuer, subject }, usableUntilMs });
    },
    delete({ issuer, subject }) {
      for (const [key, { subject: who }] of kept) {
        if (who.issuer === issuer && who.subject === subject) kept.delete(key);
      }
    },
  };
}

/** Everything that can make one ticket differ from another. The claims stand for the token. */
function keyOf({ identity, task }: Delegation): string {
  return createHash("sha256")
    .update(
      canonicalJson({
        issuer: identity.issuer,
        subject: identity.subject,
        actors: identity.actors,
        claims: identity.claims,
        task: task ?? null,
      }),
    )
    .digest("base64url");
}
