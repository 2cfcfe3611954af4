/** A human's token for the gateway, and how to get the next one. All that an agent holds. */
export interface Bearer {
  token(): Promise<string>;
  /** After the token has been refused. Of calls at the same time only the first signs in again. */
  renew(): Promise<void>;
}

export function bearer(signIn: () => Promise<string>): Bearer {
  let current: Promise<string> | undefined;
  let renewal: Promise<void> | undefined;

  async function again(): Promise<void> {
    current = signIn();
    await current;
  }
  return {
    token: () => (current ??= signIn()),
    renew: () => (renewal ??= again().finally(() => (renewal = undefined))),
  };
}
