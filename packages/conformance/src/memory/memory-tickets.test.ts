import { expect, it } from "vitest";

import { memoryIssuer } from "./memory-issuer.ts";
import { memoryTickets } from "./memory-tickets.ts";

it("keeps no more than 10,000 tickets, and the newest of them", () => {
  const tickets = memoryTickets();
  const issuer = memoryIssuer();
  const delegations = Array.from({ length: 10_001 }, (_, n) =>
    issuer.delegate(`human ${n}`, "agent:assistant"),
  );
  for (const delegation of delegations) {
    tickets.set(delegation, delegation.callId, delegation.identity.expiresAtMs);
  }
  expect(delegations.slice(0, 2).map((one) => tickets.get(one))).toEqual([
    undefined,
    delegations[1]?.callId,
  ]);
  expect(tickets.get(delegations.at(-1) as (typeof delegations)[number])).toBeDefined();
});
