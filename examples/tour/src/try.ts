import { Interrupted, interruption } from "./interrupt.ts";
import { printer } from "./printing.ts";
import { prompt } from "./prompt.ts";
import { startShop } from "./shop.ts";

const signal = interruption();
const out = printer(process.stdout, process.env, 200);

try {
  await using shop = await startShop({ signal, control: true });
  const terminal = process.stdin.isTTY && process.stdout.isTTY ? process.stdout : undefined;
  const leaks = await prompt(shop, { stream: process.stdin, terminal, signal }, out);
  process.exitCode = leaks === 0 ? 0 : 1;
} catch (error) {
  if (!(error instanceof Interrupted)) throw error;
  // Ctrl-C is how people leave a prompt.
  process.exitCode = error.exitCode === 130 ? 0 : error.exitCode;
}
