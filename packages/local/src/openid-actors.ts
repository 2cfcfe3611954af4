/** RFC 8693, 4.1: who acts now, and inside it who acted before. */
export interface ActClaim {
  readonly sub: string;
  readonly act?: ActClaim;
  readonly [name: string]: unknown;
}

/** The longest chain that is issued. */
export const MAX_ACTORS = 8;

/**
 * Reads an `act` claim, current actor first.
 *
 * @throws TypeError when it is not a chain of actors with a `sub` each.
 */
export function readActors(claim: unknown): readonly ActClaim[] {
  const chain: ActClaim[] = [];
  for (let next = claim; next !== undefined;) {
    if (!isRecord(next) || typeof next["sub"] !== "string" || next["sub"] === "") {
      throw new TypeError("`act` must be an object with a `sub`, at every depth");
    }
    const { act, sub, ...facts } = next;
    chain.push({ ...facts, sub });
    next = act;
  }
  return chain;
}

/**
 * Puts an actor before a chain and nests the whole. Equal neighbours become one: a gateway that
 * exchanges its own token again would otherwise grow it each time.
 *
 * @throws RangeError when the chain becomes longer than {@link MAX_ACTORS}.
 */
export function nestActors(
  actor: { readonly sub: string } | undefined,
  before: readonly ActClaim[],
): ActClaim | undefined {
  const all: ActClaim[] = actor === undefined ? [...before] : [{ ...actor }, ...before];
  const chain = all.filter((entry, at) => at === 0 || !isSame(entry, all[at - 1]));
  if (chain.length > MAX_ACTORS) {
    throw new RangeError(
      `the chain of actors has ${chain.length} entries, ${MAX_ACTORS} are allowed`,
    );
  }
  return chain.reduceRight<ActClaim | undefined>(
    (inner, entry) => (inner === undefined ? entry : { ...entry, act: inner }),
    undefined,
  );
}

function isSame(one: ActClaim, other: ActClaim | undefined): boolean {
  return one.sub === other?.sub && one["iss"] === other["iss"];
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
