import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  type CryptoKey,
  type JSONWebKeySet,
  type JWK,
} from "jose";
import type { SigningAlgorithm } from "./openid-options.ts";

export interface SigningKey {
  readonly kid: string;
  readonly key: CryptoKey;
  readonly privateJwk: JWK;
  readonly publicJwk: JWK;
}

/** The keys of one provider: the current one signs, the earlier ones still verify. */
export interface Keyring {
  readonly algorithm: SigningAlgorithm;
  readonly current: SigningKey;
  /** Current key first. */
  privateKeys(): readonly JWK[];
  publicKeys(): JSONWebKeySet;
  resolver(): ReturnType<typeof createLocalJWKSet>;
  rotate(): Promise<void>;
  dropOld(): void;
}

export async function createKeyring(algorithm: SigningAlgorithm): Promise<Keyring> {
  let current = await generateKey(algorithm);
  let old: readonly SigningKey[] = [];
  const all = (): readonly SigningKey[] => [current, ...old];
  const publicKeys = (): JSONWebKeySet => ({ keys: all().map((key) => key.publicJwk) });
  return {
    algorithm,
    get current() {
      return current;
    },
    privateKeys: () => all().map((key) => key.privateJwk),
    publicKeys,
    resolver: () => createLocalJWKSet(publicKeys()),
    rotate: async () => {
      const next = await generateKey(algorithm);
      old = all();
      current = next;
    },
    dropOld: () => {
      old = [];
    },
  };
}

async function generateKey(alg: SigningAlgorithm): Promise<SigningKey> {
  const pair = await generateKeyPair(alg, { extractable: true, modulusLength: 2048 });
  const publicPart = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicPart);
  const facts = { kid, alg, use: "sig" };
  return {
    kid,
    key: pair.privateKey,
    privateJwk: { ...(await exportJWK(pair.privateKey)), ...facts },
    publicJwk: { ...publicPart, ...facts },
  };
}
