import { createHmac, createSecretKey, hash, type KeyObject, randomBytes } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";
import { abortable } from "./abortable.ts";
import { assertDelegation } from "./assert-delegation.ts";
import type { Credential, CredentialSource } from "./credential.ts";
import { isDeeplyFrozen } from "./deeply-frozen.ts";
import type { Delegation, Task } from "./delegation.ts";
import { BehalfError } from "./errors.ts";
import type { Identity, SubjectRef } from "./identity.ts";
import { numberOption } from "./option-checks.ts";
import { subjectCache } from "./subject-cache.ts";
import type { TokenExchange, TokenExchangeFacts } from "./token-exchange.ts";

export interface CredentialCacheOptions {
  readonly exchange: TokenExchange;
  /** Time before its end at which a credential is no longer handed out. Default is `30`. */
  readonly skewSeconds?: number;
  /** Most credentials, including those that are being fetched. Default is `10000`. */
  readonly maxEntries?: number;
  /** Milliseconds since the epoch. Default is `Date.now`. */
  readonly now?: () => number;
}

interface Held {
  readonly credential: Credential;
  readonly usableUntilMs: number;
}

interface Pending {
  readonly subject: SubjectRef;
  readonly credential: Promise<Credential>;
  readonly stop: AbortController;
}

/**
 * A {@link CredentialSource} that exchanges once per human, token, task and backend. However many calls
 * wait for the same credential, there is one exchange; a failed one is not remembered; a credential is
 * handed out until the first of its own end, the end of the human's token and the end of the task,
 * less `skewSeconds`.
 *
 * A waiter whose signal fires leaves alone. {@link CredentialSource.invalidate} stops the exchange and
 * refuses all its waiters with `identity.revoked`: whatever the issuer was about to say is older than
 * the revocation.
 *
 * @throws BehalfError `configuration`
 * @example
 * ```ts
 * const credentials = credentialCache({ exchange: tokenExchange({ ... }) });
 * const { token } = await credentials.credential(delegation, { signal });
 * ```
 */
export function credentialCache(options: CredentialCacheOptions): CredentialSource {
  const { exchange } = options;
  const now = options.now ?? Date.now;
  const skewMs = 1000 * numberOption("skewSeconds", options.skewSeconds, 30);
  const keyOf = credentialKeys();
  const held = subjectCache<Held>(numberOption("maxEntries", options.maxEntries, 10_000, 1));
  // Not lru-cache's fetchMethod: it keeps what is under way in the same list, so that other humans'
  // calls can evict, and thereby fail, an exchange that somebody waits for.
  const pending = new Map<string, Pending>();

  function begin(key: string, { identity, task }: Delegation): Pending {
    const stop = new AbortController();
    const { issuer, subject } = identity;
    const begun: Pending = {
      subject: { issuer, subject },
      stop,
      credential: abortable(
        exchange.exchange(identity, {
          signal: stop.signal,
          ...(task === undefined ? {} : { task }),
        }),
        stop.signal,
      ).then((credential) => {
        const endMs = Math.min(
          credential.expiresAtMs,
          identity.expiresAtMs,
          task?.expiresAtMs ?? Infinity,
        );
        const usableUntilMs = endMs - skewMs;
        // The exchange may have ended in the very moment of the invalidation.
        stop.signal.throwIfAborted();
        if (usableUntilMs > now()) {
          held.set(key, begun.subject, { credential, usableUntilMs });
        }
        return credential;
      }),
    };
    pending.set(key, begun);
    const forget = (): void => {
      if (pending.get(key) === begun) pending.delete(key);
    };
    begun.credential.then(forget, forget);
    return begun;
  }

  return {
    async credential(delegation, wait) {
      assertDelegation(delegation, now());
      const key = keyOf(exchange.facts, delegation);
      const found = held.get(key);
      if (found !== undefined) {
        if (found.usableUntilMs > now()) return found.credential;
        held.delete(key);
      }
      // Read only here: an adapter makes a signal for who asks for it.
      const signal = wait?.signal;
      if (hasFired(signal)) throw cancelled();
      const { credential } = pending.get(key) ?? begin(key, delegation);
      try {
        return await abortable(credential, signal);
      } catch (error) {
        throw hasFired(signal) ? cancelled() : error;
      }
    },
    invalidate(subject) {
      held.deleteAll(subject);
      for (const [key, begun] of pending) {
        if (begun.subject.issuer !== subject.issuer) continue;
        if (begun.subject.subject !== subject.subject) continue;
        // Gone at once: a call that comes now asks the issuer anew.
        pending.delete(key);
        begun.stop.abort(
          new BehalfError("identity.revoked", "the human's credentials were withdrawn meanwhile", {
            reason: "invalidated",
          }),
        );
      }
    },
  };
}

/** What a key was made of. */
interface Known {
  readonly facts: TokenExchangeFacts;
  readonly task: Task | undefined;
  readonly key: string;
}

/**
 * Keys of one cache. A verified identity is one object for all calls of its token, so its last key is
 * kept with it: 5 us less for each call. Only of what nobody can change, though: the key of anything else
 * is made anew each time.
 */
export function credentialKeys(): (
  facts: TokenExchangeFacts,
  delegation: Pick<Delegation, "identity" | "task">,
) => string {
  // Keys are unguessable, so that who reads them cannot test a guess of who used what. A KeyObject: of
  // the bytes, createHmac would make one each time, for 7 us.
  const pepper = createSecretKey(randomBytes(32));
  const known = new WeakMap<Identity, Known>();
  return (facts, { identity, task }) => {
    const last = known.get(identity);
    if (last?.facts === facts && last.task === task) return last.key;
    const key = credentialKey(pepper, facts, { identity, ...(task === undefined ? {} : { task }) });
    if (isDeeplyFrozen(identity) && isDeeplyFrozen(task) && isDeeplyFrozen(facts)) {
      known.set(identity, { facts, task, key });
    }
    return key;
  };
}

/**
 * The key of a credential: a keyed hash of everything that can make one credential differ from
 * another. A field that is forgotten here hands one human's or one task's token to another.
 */
export function credentialKey(
  pepper: KeyObject,
  facts: TokenExchangeFacts,
  { identity, task }: Pick<Delegation, "identity" | "task">,
): string {
  const request = canonicalJson({
    ...facts,
    ...(facts.scope === undefined ? {} : { scope: facts.scope.toSorted() }),
    subjectIssuer: identity.issuer,
    subject: identity.subject,
    subjectToken: hash("sha256", identity.token.reveal(), "hex"),
    actors: identity.actors,
    task: task ?? null,
  });
  return createHmac("sha256", pepper).update(request).digest("base64");
}

function hasFired(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function cancelled(): BehalfError {
  return new BehalfError("cancelled", "the call was cancelled while it waited for a credential");
}
