import { Interrupted, interruption } from "./interrupt.ts";
import { printer } from "./printing.ts";
import { startShop } from "./shop.ts";
import { conclude, tour } from "./tour.ts";

const startedMs = performance.now();
const keepRecords = process.argv.includes("--keep");
const signal = interruption();
const out = printer(process.stdout, process.env);

try {
  await using shop = await startShop({ signal, keepRecords });
  const result = await tour(shop, out, signal);
  process.exitCode = conclude(out, result, (performance.now() - startedMs) / 1000);
  if (keepRecords) out.line(`The records: ${shop.recordsFile}`);
} catch (error) {
  if (!(error instanceof Interrupted)) throw error;
  process.exitCode = error.exitCode;
}
