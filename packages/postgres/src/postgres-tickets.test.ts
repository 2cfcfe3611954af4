import { type Identity, Secret } from "@behalf/core";
import { expect, it } from "vitest";

import { tickets } from "./postgres-tickets.ts";

const alice = { issuer: "https://a.test", subject: "alice" } as Identity;
const later = Date.now() + 60_000;
/** Two tokens of one human that differ in their actors alone. */
const token = (actor: string) =>
  new Secret(
    `e30.${Buffer.from(JSON.stringify({ iss: alice.issuer, sub: "alice", act: { sub: actor } })).toString("base64url")}.s`,
  );

it("gives the ticket of one token to no other token of the same human", () => {
  const kept = tickets(10);
  kept.keep(token("one"), alice, { ticket: "bt1.one", expiresAtMs: later, statementRole: null });
  expect(kept.proof(token("one"))).toMatchObject({ kind: "ticket" });
  expect(kept.proof(token("two"))).toMatchObject({ kind: "token" });
});

it("forgets the tickets of one human, and of nobody else", () => {
  const kept = tickets(10);
  kept.keep(token("one"), alice, { ticket: "bt1.one", expiresAtMs: later, statementRole: null });
  kept.keep(
    token("two"),
    { ...alice, issuer: "https://b.test" },
    { ticket: "bt1.two", expiresAtMs: later, statementRole: null },
  );
  kept.invalidate(alice);
  expect(kept.proof(token("one")).kind).toBe("token");
  expect(kept.proof(token("two")).kind).toBe("ticket");
});

it("keeps no ticket that is over, or nearly", () => {
  const kept = tickets(10);
  kept.keep(token("one"), alice, {
    ticket: "bt1.one",
    expiresAtMs: Date.now() + 1_000,
    statementRole: null,
  });
  expect(kept.proof(token("one")).kind).toBe("token");
});
