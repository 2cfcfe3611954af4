import type { PlacedCase } from "./attack-case.ts";
import { type AttackWorld, makeAttackWorld } from "./attack-world.ts";
import { arena, type Verdict } from "./run-case.ts";
import type { Setting } from "./settings.ts";

/**
 * Runs every case in every setting on one server. The control, the plain and the hardened settings have a
 * database each and run side by side, because much of the time is waited; settings of one database follow
 * one another, because they attack the same rows.
 */
export async function runCorpus(options: {
  /** A superuser's URL. */
  readonly url: string;
  readonly cases: readonly PlacedCase[];
  readonly settings: readonly Setting[];
}): Promise<readonly Verdict[]> {
  const groups = Map.groupBy(options.settings, ({ kind, hardened }) => `${kind} ${hardened}`);
  await using worlds = new AsyncDisposableStack();
  const lanes: Promise<readonly Verdict[]>[] = [];
  const ready: (readonly [AttackWorld, readonly Setting[]])[] = [];
  for (const settings of groups.values()) {
    const hardened = settings[0]?.hardened === true;
    // One after the other: roles belong to the whole server.
    ready.push([worlds.use(await makeAttackWorld(options.url, hardened)), settings]);
  }
  for (const [world, settings] of ready) lanes.push(attackWorld(world, settings, options.cases));
  // Nobody's world goes while others still attack theirs.
  await Promise.allSettled(lanes);
  return (await Promise.all(lanes)).flat();
}

async function attackWorld(
  world: AttackWorld,
  settings: readonly Setting[],
  cases: readonly PlacedCase[],
): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const setting of settings) {
    await using ground = await arena(setting, world);
    for (const attack of cases) verdicts.push(await ground.run(attack));
  }
  return verdicts;
}
