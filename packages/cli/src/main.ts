#!/usr/bin/env node
import { run } from "./run.ts";

// Whoever reads the lines may go away, for example to be restarted. What is served goes on.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});

process.exitCode = await run(process.argv.slice(2), process.env, {
  out: (text) => console.log(text),
  error: (text) => console.error(text),
});
