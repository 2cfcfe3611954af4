import type { Credential, CredentialSource, Delegation, SubjectRef } from "@behalf/core";

/** A source between the adapter and the real one: it counts, remembers, and can stand in. */
export interface WatchedCredentials extends CredentialSource {
  /** How often the adapter asked. */
  readonly asked: number;
  /** Everything that was handed out, for the search for secrets. */
  readonly given: readonly Credential[];
  /** For whom the adapter dropped what was cached. */
  readonly invalidated: readonly SubjectRef[];
  /** Answers in place of the real source, which it may ask. `null` lets the real one answer. */
  answer(
    instead: ((delegation: Delegation, real: CredentialSource) => Promise<Credential>) | null,
  ): void;
}

export function watchedCredentials(real: CredentialSource): WatchedCredentials {
  const given: Credential[] = [];
  const invalidated: SubjectRef[] = [];
  let asked = 0;
  let instead: Parameters<WatchedCredentials["answer"]>[0] = null;
  return {
    get asked() {
      return asked;
    },
    given,
    invalidated,
    answer(answering) {
      instead = answering;
    },
    async credential(delegation, options) {
      asked += 1;
      const credential = await (instead === null
        ? real.credential(delegation, options)
        : instead(delegation, real));
      given.push(credential);
      return credential;
    },
    invalidate(subject) {
      invalidated.push(subject);
      real.invalidate(subject);
    },
  };
}
