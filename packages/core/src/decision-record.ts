import { hash } from "node:crypto";
import { assertDelegation } from "./assert-delegation.ts";
import type { DecisionRecord } from "./audit-record.ts";
import { newCallId } from "./call-id.ts";
import type { Delegation } from "./delegation.ts";

/** What a call is, for its records. */
export interface CallFacts {
  readonly delegation: Delegation;
  readonly backend: string;
  /** For example `query` or `run`. */
  readonly action: string;
  readonly access: "read" | "write";
  /** The statement's text, where there is one. Its hash is recorded. */
  readonly statement?: string;
  /** Whether the text is recorded beside its hash. Literals can be personal data: default is `false`. */
  readonly recordStatement?: boolean;
}

/** A decision before it is known how it ends. */
export type OpenDecision = Omit<DecisionRecord, "decision" | "code" | "reason">;

/** Delegations whose call id stands in a record already. */
const used = new WeakSet<object>();

/**
 * The decision record of a call, also of one whose delegation is none: it must be recorded, too. One id
 * names one decision, so the second call of a delegation, for example a statement of a run, gets an id of
 * its own and says whose part it is.
 */
export function decisionOf(call: CallFacts): OpenDecision {
  const { statement } = call;
  const who = whoOf(call.delegation);
  const isFurther = who.subject !== null && used.has(call.delegation);
  if (who.subject !== null) used.add(call.delegation);
  return {
    v: 1,
    kind: "decision",
    time: new Date().toISOString(),
    ...who,
    ...(isFurther ? { id: newCallId(), partOf: who.id } : {}),
    backend: call.backend,
    action: call.action,
    access: call.access,
    ...(statement === undefined ? {} : { statementHash: statementHash(statement) }),
    ...(statement === undefined || call.recordStatement !== true ? {} : { statement }),
  };
}

/** SHA-256 of a statement's text in UTF-8, hexadecimal. */
export function statementHash(text: string): string {
  return hash("sha256", text, "hex");
}

function whoOf(
  delegation: unknown,
): Pick<DecisionRecord, "id" | "subject" | "actors" | "token" | "task" | "tool"> {
  if (!isDelegation(delegation)) return { id: newCallId(), subject: null, actors: [] };
  const { callId, identity, task, tool } = delegation;
  return {
    id: callId,
    subject: { issuer: identity.issuer, subject: identity.subject },
    actors: identity.actors,
    token: {
      tokenId: identity.tokenId,
      clientId: identity.clientId,
      expiresAtMs: identity.expiresAtMs,
    },
    ...(task === undefined ? {} : { task: task.id }),
    ...(tool === undefined ? {} : { tool }),
  };
}

/** By structure alone: a stale delegation still says who it was. */
function isDelegation(value: unknown): value is Delegation {
  try {
    assertDelegation(value, -Infinity);
    return true;
  } catch {
    return false;
  }
}
