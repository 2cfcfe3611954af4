import { interruption } from "./interrupt.ts";
import { printer } from "./printing.ts";
import { exitCodeOf, flags, openShop } from "./program.ts";
import { prompt } from "./prompt.ts";

flags("npm run try");
const signal = interruption();
const out = printer(process.stdout, process.env, 200);

try {
  await using shop = await openShop({ signal, judges: true });
  const terminal = process.stdin.isTTY && process.stdout.isTTY ? process.stdout : undefined;
  const leaks = await prompt(shop, { stream: process.stdin, terminal, signal }, out);
  process.exitCode = leaks === 0 ? 0 : 1;
} catch (error) {
  const exitCode = exitCodeOf(error);
  // Ctrl-C is how people leave a prompt.
  process.exitCode = exitCode === 130 ? 0 : exitCode;
}
