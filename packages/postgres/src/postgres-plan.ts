import type { Delegation, DelegationPlan } from "@behalf/core";

/** What a read of an agent's text would send. */
export function postgresPlan(delegation: Delegation): DelegationPlan {
  const { identity, callId, task } = delegation;
  return {
    backend: "postgres",
    subject: { issuer: identity.issuer, subject: identity.subject },
    steps: [
      { action: "begin read only" },
      {
        action: "behalf.start",
        parameters: {
          proof: "[redacted]",
          issuer: identity.issuer,
          subject: identity.subject,
          callId,
          task: task?.id ?? null,
        },
      },
      { action: "behalf.read, describe" },
      { action: "rollback" },
      { action: "pg_advisory_unlock_all, setseed" },
    ],
  };
}
