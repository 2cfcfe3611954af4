import type { webcrypto } from "node:crypto";
import {
  allowInsecureRequests,
  ClientSecretBasic,
  customFetch,
  genericTokenEndpointRequest,
  PrivateKeyJwt,
  processGenericTokenEndpointResponse,
  type AuthorizationServer,
  type ClientAuth,
} from "oauth4webapi";
import { boundedFetch, type Fetch } from "./bounded-fetch.ts";
import type { Credential } from "./credential.ts";
import type { Task } from "./delegation.ts";
import { BehalfError } from "./errors.ts";
import type { Identity } from "./identity.ts";
import { credentialOf } from "./issued-token.ts";
import { discoverIssuer } from "./issuer-metadata.ts";
import { issuerUrl, secureUrl } from "./issuer-url.ts";
import { numberOption, textOption } from "./option-checks.ts";
import type { Secret } from "./secret.ts";
import { tokenEndpointError } from "./token-exchange-error.ts";

const GRANT = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token";

/** How long a discovered token endpoint is believed. */
const METADATA_MAX_AGE_MS = 3_600_000;

/** How the gateway proves to the issuer which client it is: with a secret or with a key. */
export type ClientProof =
  | { readonly clientSecret: Secret; readonly privateKey?: never }
  | {
      /** `private_key_jwt` (RFC 7523): the key never leaves the process, not even towards the issuer. */
      readonly privateKey: webcrypto.CryptoKey;
      /** `kid` of the key. */
      readonly keyId?: string;
      readonly clientSecret?: never;
    };

export interface TokenExchangeFacts {
  /** The issuer of the human's token, which also issues the backend's. */
  readonly issuer: string;
  readonly clientId: string;
  /** The backend's name at the issuer. The issued token must be for it. */
  readonly audience: string;
  /** RFC 8707 `resource`, for issuers that ask for it beside or in place of `audience`. */
  readonly resource?: string;
  readonly scope?: readonly string[];
}

export type TokenExchangeOptions = TokenExchangeFacts &
  ClientProof & {
    /**
     * Refuses an issued token that names no actor. Default is `true`: without one the backend cannot
     * tell the human from the agent.
     */
    readonly requireActor?: boolean;
    /** Gives the `actor_token`, for issuers that do not take the client itself as the actor. It must name the same actor every time. */
    readonly actorToken?: () => Promise<Secret>;
    /** Accepts an issued token that is for others than `audience` as well. Default is `false`. */
    readonly allowFurtherAudiences?: boolean;
    /** Sends a task's `authorization_details` (RFC 9396). Default is `false`: few issuers know them. */
    readonly sendTask?: boolean;
    /** Time limit of one request, in milliseconds. Default is `5000`. */
    readonly fetchTimeoutMs?: number;
    readonly fetch?: Fetch;
    /** Milliseconds since the epoch. Default is `Date.now`. */
    readonly now?: () => number;
    /**
     * Sends client secrets and tokens over plain http to any host. Default is `false`; loopback hosts
     * need no option.
     */
    readonly dangerouslyAllowPlainHttpToIssuersThatAreNotLoopback?: boolean;
  };

/** Trades the token that reached the gateway for one that is for a backend. */
export interface TokenExchange {
  /** What is asked for, the same for every human. Part of a cache's key. */
  readonly facts: TokenExchangeFacts;
  /**
   * @throws BehalfError `identity.exchange_refused` (see {@link ExchangeRefusal}), `identity.unavailable`,
   *   `configuration` (the client is refused, or the identity is of another issuer), `cancelled`
   */
  exchange(
    identity: Identity,
    options?: { readonly signal?: AbortSignal; readonly task?: Task },
  ): Promise<Credential>;
}

/**
 * RFC 8693 token exchange. Every call asks the issuer; put a {@link credentialCache} before it.
 *
 * @throws BehalfError `configuration`
 * @example
 * ```ts
 * const exchange = tokenExchange({
 *   issuer: "https://login.example.com",
 *   clientId: "gateway",
 *   clientSecret: new Secret(process.env.GATEWAY_SECRET),
 *   audience: "postgres:analytics",
 * });
 * const credential = await exchange.exchange(identity);
 * ```
 */
export function tokenExchange(options: TokenExchangeOptions): TokenExchange {
  const allowPlainHttp = options.dangerouslyAllowPlainHttpToIssuersThatAreNotLoopback ?? false;
  const { issuer } = options;
  issuerUrl(issuer, allowPlainHttp);
  const facts: TokenExchangeFacts = Object.freeze({
    issuer,
    clientId: textOption("clientId", options.clientId),
    audience: textOption("audience", options.audience),
    ...(options.resource === undefined ? {} : { resource: options.resource }),
    ...(options.scope === undefined ? {} : { scope: Object.freeze(options.scope.toSorted()) }),
  });
  const proof = clientProof(options);
  const client = { client_id: facts.clientId };
  const now = options.now ?? Date.now;
  const timeoutMs = numberOption("fetchTimeoutMs", options.fetchTimeoutMs, 5000, 1);
  const fetch = boundedFetch(timeoutMs, options.fetch);
  let known: { readonly server: AuthorizationServer; readonly atMs: number } | undefined;

  async function discover(signal: AbortSignal | undefined): Promise<AuthorizationServer> {
    const ageMs = known === undefined ? Infinity : now() - known.atMs;
    if (known !== undefined && ageMs >= 0 && ageMs < METADATA_MAX_AGE_MS) return known.server;
    const server = await discoverIssuer(issuer, fetch, signal);
    const endpoint = server.token_endpoint;
    if (endpoint === undefined) {
      throw new BehalfError("configuration", `the metadata of ${issuer} names no token_endpoint`);
    }
    secureUrl(`the token_endpoint of ${issuer}`, endpoint, allowPlainHttp);
    known = { server, atMs: now() };
    return server;
  }

  async function parameters(identity: Identity, task: Task | undefined): Promise<URLSearchParams> {
    const form = new URLSearchParams({
      subject_token: identity.token.reveal(),
      subject_token_type: ACCESS_TOKEN_TYPE,
      requested_token_type: ACCESS_TOKEN_TYPE,
      audience: facts.audience,
    });
    if (facts.resource !== undefined) form.set("resource", facts.resource);
    if (facts.scope !== undefined) form.set("scope", facts.scope.join(" "));
    if (options.actorToken !== undefined) {
      form.set("actor_token", (await options.actorToken()).reveal());
      form.set("actor_token_type", ACCESS_TOKEN_TYPE);
    }
    if (options.sendTask === true && task !== undefined) {
      form.set("authorization_details", JSON.stringify(task.authorizationDetails));
    }
    return form;
  }

  return {
    facts,
    async exchange(identity, { signal, task } = {}) {
      if (identity.issuer !== issuer) {
        throw new BehalfError(
          "configuration",
          `this exchange is with ${issuer}, and the human's token is of another issuer`,
          { reason: "issuer" },
        );
      }
      try {
        signal?.throwIfAborted();
        const server = await discover(signal);
        const form = await parameters(identity, task);
        const response = await genericTokenEndpointRequest(server, client, proof, GRANT, form, {
          [allowInsecureRequests]: true, // The endpoint was checked when it was discovered.
          [customFetch]: (url, { method, headers, body, signal: stop }) =>
            fetch(url, { method, headers, body, ...(stop === undefined ? {} : { signal: stop }) }),
          ...(signal === undefined ? {} : { signal }),
        });
        const answer = await processGenericTokenEndpointResponse(server, client, response);
        const expected = {
          subject: identity,
          audience: facts.audience,
          allowFurtherAudiences: options.allowFurtherAudiences ?? false,
          requireActor: options.requireActor ?? true,
        };
        return credentialOf(answer, expected, now());
      } catch (error) {
        if (signal?.aborted === true) {
          throw new BehalfError("cancelled", "the token exchange was cancelled");
        }
        const refusal = tokenEndpointError(error, issuer);
        // The endpoint may have moved.
        if (refusal.code === "identity.unavailable") known = undefined;
        throw refusal;
      }
    },
  };
}

function clientProof(proof: ClientProof): ClientAuth {
  if (proof.clientSecret !== undefined) return ClientSecretBasic(proof.clientSecret.reveal());
  try {
    const { privateKey: key, keyId: kid } = proof;
    return PrivateKeyJwt(kid === undefined ? key : { key, kid });
  } catch {
    throw new BehalfError(
      "configuration",
      "give clientSecret (a Secret) or privateKey (a private CryptoKey), so that the client can prove itself",
    );
  }
}
