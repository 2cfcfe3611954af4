import type { Secret } from "./secret.ts";

/** A value that JSON can carry. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** Names one human everywhere: two humans never share a pair, one human may have several. */
export interface SubjectRef {
  /** JWT `iss`. */
  readonly issuer: string;
  /** JWT `sub`. */
  readonly subject: string;
}

/** Who acts for the human: one link of the RFC 8693 `act` chain. */
export interface Actor {
  /** `act.sub`. */
  readonly subject: string;
  /** `act.iss`, where the actor comes from another issuer than the human. */
  readonly issuer?: string;
  /** `act.sub_profile`, for example `ai_agent` or `service`. */
  readonly profile?: string;
}

/** A verified subject with its actors and claims. Made by an identity verifier and by nothing else. */
export interface Identity extends SubjectRef {
  /** Who acts, the current actor first. Empty when the human acts alone. */
  readonly actors: readonly Actor[];
  /** JWT `aud`, always as a list. */
  readonly audience: readonly string[];
  /** RFC 9068 `client_id`: the OAuth client that the token was issued to. */
  readonly clientId: string;
  /** JWT `jti`, which names the token in records. Tokens themselves are never recorded. */
  readonly tokenId: string;
  /** End of the proof, in milliseconds since the epoch. */
  readonly expiresAtMs: number;
  /** Start of the proof (`iat`), in milliseconds since the epoch. */
  readonly issuedAtMs: number;
  /** Every claim of the token. */
  readonly claims: { readonly [name: string]: JsonValue };
  /** The token, for exchange or for a backend that is its audience. */
  readonly token: Secret;
}
