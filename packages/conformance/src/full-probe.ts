import type { Probe } from "./harness.ts";

/** A probe as cases use it: what a harness left out says so when it is called. */
export type FullProbe = Required<Probe>;

/** `leave` and `hostile` may be left out without a word: nothing is left then, and nothing attempted. */
export function fullProbe(probe: Probe): FullProbe {
  return {
    look: () => probe.look(),
    hold: () => probe.hold(),
    fail: () => probe.fail(),
    whoAmI: () => probe.whoAmI?.() ?? missing("whoAmI"),
    change: (mark) => probe.change?.(mark) ?? missing("change"),
    wider: () => probe.wider?.() ?? missing("wider"),
    echo: (value) => probe.echo?.(value) ?? missing("echo"),
    claim: () => probe.claim?.() ?? missing("claim"),
    leave: () => probe.leave?.() ?? Promise.resolve(),
    residue: () => probe.residue?.() ?? missing("residue"),
    hostile: probe.hostile ?? {},
  };
}

function missing(name: string): Promise<never> {
  return Promise.reject(
    new Error(
      `the harness declares what needs \`${name}\`, and its probe does not have it; add it, name it in the way's \`lacks\`, or do not declare it`,
    ),
  );
}
