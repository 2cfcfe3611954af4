// Prints the test files of a Vitest report in which a test failed, for a run of these alone. Exits with 1
// where there is nothing to run again: too many failed for chance, or none of them may be forgiven.
import { readFileSync } from "node:fs";
import { relative } from "node:path";

import { failuresOf, isForgivable } from "./report.mjs";

const MOST_FILES = 2;

const failures = failuresOf(JSON.parse(readFileSync(process.argv[2], "utf8")));
const files = [...new Set(failures.map(({ file }) => relative(process.cwd(), file)))];
if (files.length === 0 || files.length > MOST_FILES || !failures.every(isForgivable))
  process.exit(1);
console.log(files.join(" "));
