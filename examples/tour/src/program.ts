import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { Interrupted } from "./interrupt.ts";
import { startShop, type Shop, type ShopOptions } from "./shop.ts";

/** Before anything is started. Ends the process with 2 where an argument is none of these. */
export function flags<Name extends string>(usage: string, ...names: Name[]): Set<Name> {
  try {
    const options: ParseArgsOptionsConfig = Object.fromEntries(
      names.map((name) => [name, { type: "boolean" }]),
    );
    const { values } = parseArgs({ options });
    return new Set(names.filter((name) => values[name] === true));
  } catch (error) {
    // Its further sentences speak of positional arguments, of which there are none.
    console.error(firstLines(error).split(". ")[0]);
    console.error(`usage: ${usage}`);
    return process.exit(2);
  }
}

class SetUpFailed extends Error {}

/** The shop, or an error that says in one or two lines why there is none. */
export async function openShop(options: ShopOptions): Promise<Shop> {
  try {
    return await startShop(options);
  } catch (error) {
    if (error instanceof Interrupted) throw error;
    throw new SetUpFailed(`The set-up failed: ${firstLines(error)}`, { cause: error });
  }
}

/** What a program ends with. Stacks are for what nobody foresaw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode;
  if (!(error instanceof SetUpFailed)) throw error;
  console.error(error.message);
  return 1;
}

function firstLines(error: unknown): string {
  // The clean-up after a failure can fail, too: why it began is what matters.
  if (error instanceof SuppressedError) return firstLines(error.suppressed);
  const lines = (error instanceof Error ? error.message : String(error)).split("\n");
  return lines
    .filter((line) => line.trim() !== "")
    .slice(0, 2)
    .join("\n");
}
