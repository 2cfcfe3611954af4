import { createHmac, randomBytes, randomUUID, timingSafeEqual } from "node:crypto";

import {
  type CredentialSource,
  credentialCache,
  type Delegation,
  newCallId,
  Secret,
  type SubjectRef,
} from "@behalf/core";

import type { DelegateOptions } from "../harness.ts";

const ISSUER = "https://memory.example";
const AUDIENCE = "urn:example:memory";
const TTL_MS = 600_000;

/** What a token says. */
export interface MemoryClaims extends SubjectRef {
  readonly id: string;
  readonly audience: string;
  readonly actors: readonly string[];
  readonly expiresAtMs: number;
  readonly claim: string | null;
}

/** An identity provider in this process: it signs with a key that only the backend can check. */
export interface MemoryIssuer {
  readonly issuer: string;
  /** How often it was asked to exchange. */
  readonly trips: number;
  /** The key, so that a search for secrets can look for it. */
  readonly secret: string;
  /** @param ttlMs how long the proof is good for */
  delegate(subject: string, agent: string, options?: DelegateOptions, ttlMs?: number): Delegation;
  credentials(): CredentialSource;
  /** What a right token for the backend says, or `null`. */
  verify(token: string): MemoryClaims | null;
}

export function memoryIssuer(): MemoryIssuer {
  const key = randomBytes(32);
  let trips = 0;

  const signature = (body: string) => createHmac("sha256", key).update(body).digest("base64url");
  function sign(claims: MemoryClaims): string {
    const body = Buffer.from(JSON.stringify(claims)).toString("base64url");
    return `${body}.${signature(body)}`;
  }
  function read(token: string): MemoryClaims | null {
    const [body = "", mac = ""] = token.split(".");
    const [found, wanted] = [Buffer.from(mac), Buffer.from(signature(body))];
    if (found.length !== wanted.length || !timingSafeEqual(found, wanted)) return null;
    const claims: MemoryClaims = JSON.parse(Buffer.from(body, "base64url").toString());
    return claims.expiresAtMs > Date.now() ? claims : null;
  }

  return {
    issuer: ISSUER,
    get trips() {
      return trips;
    },
    secret: key.toString("hex"),
    delegate(subject, agent, { task, tool, claim } = {}, ttlMs = TTL_MS) {
      const claims: MemoryClaims = {
        id: randomUUID(),
        issuer: ISSUER,
        subject,
        audience: "urn:example:gateway",
        actors: [agent],
        expiresAtMs: Date.now() + ttlMs,
        claim: claim ?? null,
      };
      return {
        callId: newCallId(),
        identity: {
          issuer: ISSUER,
          subject,
          actors: [{ subject: agent, profile: "ai_agent" }],
          audience: [claims.audience],
          clientId: "agent-host",
          tokenId: claims.id,
          expiresAtMs: claims.expiresAtMs,
          issuedAtMs: Date.now(),
          claims: claim === undefined ? {} : { claim },
          token: new Secret(sign(claims)),
        },
        ...(task === undefined ? {} : { task }),
        ...(tool === undefined ? {} : { tool }),
      };
    },
    credentials: () =>
      credentialCache({
        exchange: {
          facts: { issuer: ISSUER, clientId: "gateway", audience: AUDIENCE },
          async exchange({ token }) {
            trips += 1;
            await new Promise(setImmediate);
            const claims = read(token.reveal());
            if (claims === null) throw new Error("the issuer does not know this token");
            const exchanged = { ...claims, id: randomUUID(), audience: AUDIENCE };
            const { expiresAtMs } = claims;
            return { token: new Secret(sign(exchanged)), expiresAtMs, audience: AUDIENCE };
          },
        },
      }),
    verify(token) {
      const claims = read(token);
      return claims?.audience === AUDIENCE ? claims : null;
    },
  };
}
