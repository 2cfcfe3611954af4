import type { SqlValue } from "@behalf/core";

import { boundQuery } from "./bound.ts";
import { difference, directly, type Outcome, throughBehalf, type Way } from "./outcome.ts";
import { random } from "./random.ts";
import { readQuery } from "./reads.ts";
import { schema, type Schema } from "./schema.ts";
import { directSetup, type Person, type Setup } from "./setup.ts";
import { writeQuery } from "./writes.ts";

/** One text of one human that does not say the same on both ways. */
export interface Difference {
  readonly seed: number;
  readonly human: string;
  readonly way: Way;
  readonly text: string;
  readonly what: string;
}

export interface Tally {
  /** Schemas with their policies. */
  worlds: number;
  /** Texts of one human, each compared on every way that it has. */
  texts: number;
  comparisons: number;
  /** Texts that both ways refused. */
  refused: number;
  /** Texts that showed or changed at least one row. */
  withRows: number;
  readonly differences: Difference[];
}

export const emptyTally = (): Tally => ({
  worlds: 0,
  texts: 0,
  comparisons: 0,
  refused: 0,
  withRows: 0,
  differences: [],
});

export interface WorldOptions {
  readonly reads?: number;
  readonly bound?: number;
  readonly writes?: number;
  /** What a control does to the world once it is there. */
  readonly sabotage?: (schema: Schema) => string;
}

const TEXT_READS: readonly Way[] = ["query", "stream", "run", "statement", "statement stream"];
const VALUE_READS: readonly Way[] = ["statement", "statement stream", "statement run"];
const UNDONE: readonly Way[] = ["run", "statement run"];

/** Makes the world of one seed and compares what its humans see and change in it, on both ways. */
export async function compareWorld(
  setup: Setup,
  seed: number,
  tally: Tally,
  { reads = 4, bound = 1, writes = 2, sabotage }: WorldOptions = {},
): Promise<void> {
  const { world, shop, people, humans, version } = setup;
  const { agent, writer, statements } = world.names;
  const made = schema(seed, { humans, agents: [agent, writer, statements] }, version);
  await world.admin.query(made.ddl);
  if (sabotage !== undefined) await world.admin.query(sabotage(made));
  // Each text has choices of its own: a run that asks for more of one kind asks for the same of the others.
  const choicesFor = (kind: number, time: number) =>
    random(Math.imul(seed, 2_654_435_761) + kind * 1_000 + time);
  tally.worlds += 1;

  async function compare(
    query: {
      readonly text: string;
      readonly values?: readonly SqlValue[];
      readonly isOrdered: boolean;
    },
    ways: readonly Way[],
    access: "read" | "write",
    person: Person,
  ): Promise<void> {
    const { text, values, isOrdered } = query;
    const rewind = async () => {
      if (access === "write" && made.rewind !== "") await world.admin.query(made.rewind);
    };
    await rewind();
    const direct = await directly(person.login, text, values, access);
    tally.texts += 1;
    if (direct.error !== undefined) tally.refused += 1;
    else if ((direct.rows?.length ?? 0) > 0 || (direct.affected ?? 0) > 0) tally.withRows += 1;
    for (const way of ways) {
      await rewind();
      let outcome: Outcome = await throughBehalf(
        shop,
        person.delegation,
        way,
        text,
        values,
        access,
      );
      if (access === "write" && !way.endsWith("run") && outcome.error === undefined) {
        const { rows } = await world.admin.query<{ content: string | null }>(
          "select play.content()",
        );
        outcome = { ...outcome, content: rows[0]?.content ?? null };
      }
      tally.comparisons += 1;
      const what = difference(direct, outcome, isOrdered);
      if (what !== null) tally.differences.push({ seed, human: person.name, way, text, what });
    }
  }

  for (let time = 0; time < reads; time += 1) {
    const choices = choicesFor(1, time);
    const person = choices.pick(people);
    await compare(readQuery(choices, made), TEXT_READS, "read", person);
  }
  for (let time = 0; time < bound; time += 1) {
    const choices = choicesFor(2, time);
    const person = choices.pick(people);
    await compare(boundQuery(choices, made), VALUE_READS, "read", person);
  }
  for (let time = 0; time < writes; time += 1) {
    const choices = choicesFor(3, time);
    const person = choices.pick(people);
    await compare(writeQuery(choices, made, person), UNDONE, "write", person);
  }
  // The last one commits, in place of what the direct login undid.
  const choices = choicesFor(4, 0);
  const person = choices.pick(people);
  const last = choices.pick(["query", "statement"] as const);
  await compare(writeQuery(choices, made, person), [last], "write", person);
}

/** How many worlds are looked at side by side, each in a database of its own: one per core of CI's machine. */
const LANES = 2;

/** The worlds of all these seeds. */
export async function compareWorlds(
  url: string,
  seeds: readonly number[],
  options: WorldOptions = {},
): Promise<Tally> {
  const tally = emptyTally();
  const left = [...seeds];
  const lane = async () => {
    await using setup = await directSetup(url);
    for (let seed = left.shift(); seed !== undefined; seed = left.shift()) {
      try {
        await compareWorld(setup, seed, tally, options);
      } catch (cause) {
        throw new Error(`the world of seed ${seed} could not be compared`, { cause });
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return tally;
}
