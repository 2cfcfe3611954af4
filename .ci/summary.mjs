// Adds the reports of a run of .ci/run up, names what was skipped and what failed, and ends with
// `N passed, N failed, N skipped`. What failed and then passed alone is named as unsteady.
import { existsSync, readdirSync, readFileSync } from "node:fs";

import { failuresOf, isForgivable } from "./report.mjs";

const [folder, failedStep] = process.argv.slice(2);
const read = (name) => JSON.parse(readFileSync(`${folder}/${name}`, "utf8"));
const sum = { passed: 0, failed: 0, skipped: 0 };
const lines = [];
const broken = [];
for (const name of readdirSync(folder).filter((file) => !file.endsWith(".again.json"))) {
  const report = read(name);
  const again = name.replace(/\.json$/, ".again.json");
  const stillFails = existsSync(`${folder}/${again}`) ? failuresOf(read(again)) : null;
  sum.passed += report.numPassedTests;
  sum.skipped += report.numPendingTests + report.numTodoTests;
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      if (test.status !== "passed" && test.status !== "failed") {
        lines.push(`skipped: ${name}: ${test.fullName}`);
      }
    }
  }
  for (const failure of failuresOf(report)) {
    const { test, message } = failure;
    const what = `${name}: ${test}: ${message.slice(0, 1500)}`;
    const isForgiven = stillFails !== null && stillFails.length === 0 && isForgivable(failure);
    if (isForgiven) {
      sum.passed += 1;
      lines.push(`unsteady, passed alone: ${what}`);
    } else {
      sum.failed += 1;
      broken.push(`failed: ${what}`);
    }
  }
}
// At the end, since the log above is long and often kept by its end alone.
for (const line of [...lines, ...broken]) console.log(line);
console.log(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode = sum.failed > 0 || sum.passed === 0 || failedStep !== "0" ? 1 : 0;
