import { type DelegateOptions } from "@behalf/conformance";
import {
  type CredentialSource,
  credentialCache,
  type Delegation,
  delegator,
  memorySink,
  Secret,
  tokenExchange,
} from "@behalf/core";
import { startOpenIdProvider } from "@behalf/local";

import { type KeyValueStore, startStore, STORE } from "./key-value-store.ts";

const GATEWAY = "urn:example:gateway";
export const AGENTS = ["agent:assistant", "agent:reporter"] as const;
/** Signs in like everybody, and the store has never heard of them. */
export const STRANGER = "mallory";
export const SECRET = "a-secret-that-only-this-test-knows";

/** What is there before an adapter is: an identity provider, a store, and humans who sign in. */
export interface Parts extends AsyncDisposable {
  readonly issuer: string;
  readonly store: KeyValueStore;
  /** Requests to the provider's token endpoint, by clients that exchange. */
  readonly exchanges: number;
  delegate(human: string, options?: DelegateOptions): Promise<Delegation>;
  credentials(): CredentialSource;
}

export async function startParts(users: readonly string[]): Promise<Parts> {
  const idp = await startOpenIdProvider({
    humans: [...users, STRANGER].map((sub) => ({ sub })),
    clients: [
      ...AGENTS.map((sub) => ({
        clientId: sub,
        clientSecret: SECRET,
        actor: { sub, sub_profile: "ai_agent" as const },
        localSignIn: true,
      })),
      {
        clientId: "gateway",
        clientSecret: SECRET,
        actor: { sub: "gateway", sub_profile: "service" },
        audiences: [GATEWAY],
        mayExchangeFor: [STORE],
      },
    ],
    resources: [{ audience: GATEWAY }, { audience: STORE }],
  });
  const store = await startStore(idp.issuer, users);
  const { issuer } = idp;
  const front = delegator({
    verifier: { issuers: [{ issuer }], audience: GATEWAY },
    records: memorySink(),
  });
  let signIns = 0;
  return {
    issuer,
    store,
    get exchanges() {
      return (idp.requests()["/token"] ?? 0) - signIns;
    },
    async delegate(human, { agent = AGENTS[0], task, tool } = {}) {
      const token = await idp.signIn(human, { clientId: agent, audience: GATEWAY });
      signIns += 1;
      return front.delegate(token, { ...(task && { task }), ...(tool && { tool }) });
    },
    credentials: () =>
      credentialCache({
        exchange: tokenExchange({
          issuer,
          clientId: "gateway",
          clientSecret: new Secret(SECRET),
          audience: STORE,
        }),
      }),
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await idp.close();
    },
  };
}
