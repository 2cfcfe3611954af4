import type { BehalfError, Delegation, Delegator, SubjectRef } from "@behalf/core";

/** Who sent one HTTP request: the proof was accepted, and each tool call gets a delegation of its own. */
export interface Caller {
  readonly subject: SubjectRef;
  /**
   * @throws BehalfError what `front.delegate` throws
   */
  delegationFor(tool: string): Promise<Delegation>;
  /** Records that a call was refused before any tool ran, and returns the error with its id. */
  refuse(delegation: Delegation | undefined, error: BehalfError): Promise<BehalfError>;
}

/**
 * Lets a request in. The first call that the request makes uses the delegation that was made here, so
 * that its token is looked at once.
 *
 * @param tool the tool that the request's headers name, where they do
 * @throws BehalfError what `front.delegate` throws
 */
export async function callerOf(
  front: Delegator,
  token: string | undefined,
  tool: string | undefined,
): Promise<Caller> {
  const naming = (name: string | undefined) => (name === undefined ? {} : { tool: name });
  const first = await front.delegate(token, naming(tool));
  let unused: Delegation | undefined = first;
  return {
    subject: first.identity,
    async delegationFor(name) {
      const delegation = unused;
      unused = undefined;
      return delegation?.tool === name ? delegation : front.delegate(token, naming(name));
    },
    async refuse(delegation, error) {
      return front.refuse(delegation ?? (await front.delegate(token)), error);
    },
  };
}
