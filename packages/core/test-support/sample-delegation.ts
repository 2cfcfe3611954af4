import { newCallId, Secret, type Delegation, type Identity, type Task } from "../src/index.ts";

type Sample = Partial<Identity> & { readonly task?: Partial<Task>; readonly tool?: string };

/** A delegation as `delegate` makes it, for tests that start behind it. */
export function sampleDelegation({ task, tool, ...identity }: Sample = {}): Delegation {
  return {
    callId: newCallId(),
    identity: {
      issuer: "https://a.test",
      subject: "alice",
      actors: [{ subject: "agent-7", profile: "ai_agent" }],
      audience: ["gateway"],
      clientId: "agent-host",
      tokenId: "jti-1",
      expiresAtMs: Date.now() + 60_000,
      issuedAtMs: Date.now(),
      claims: {},
      token: new Secret("the-token-of-alice"),
      ...identity,
    },
    ...(task === undefined
      ? {}
      : { task: { id: "task-1", authorizationDetails: [], expiresAtMs: Infinity, ...task } }),
    ...(tool === undefined ? {} : { tool }),
  };
}
