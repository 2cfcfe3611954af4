import type { PlacedCase } from "./attack-case.ts";
import { type AttackWorld, makeAttackWorld } from "./attack-world.ts";
import { arena, type Verdict } from "./run-case.ts";
import type { Setting } from "./settings.ts";

/** Runs every case in every setting on one server, each setting after the other. */
export async function runCorpus(options: {
  /** A superuser's URL. */
  readonly url: string;
  readonly cases: readonly PlacedCase[];
  readonly settings: readonly Setting[];
}): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const hardened of [false, true]) {
    const settings = options.settings.filter((setting) => setting.hardened === hardened);
    if (settings.length === 0) continue;
    await using world: AttackWorld = await makeAttackWorld(options.url, hardened);
    for (const setting of settings) {
      await using ground = await arena(setting, world);
      for (const attack of options.cases) verdicts.push(await ground.run(attack));
    }
  }
  return verdicts;
}
