import { interruption } from "./interrupt.ts";
import { printer } from "./printing.ts";
import { exitCodeOf, flags, openShop } from "./program.ts";
import { conclude, tour } from "./tour.ts";

const startedMs = performance.now();
const keepRecords = flags("npm start [-- --keep]", "keep").has("keep");
const signal = interruption();
const out = printer(process.stdout, process.env);

try {
  await using shop = await openShop({ signal, keepRecords });
  const result = await tour(shop, out, signal);
  process.exitCode = conclude(out, result, (performance.now() - startedMs) / 1000);
  if (keepRecords) out.line(`The records: ${shop.recordsFile}`);
} catch (error) {
  process.exitCode = exitCodeOf(error);
}
