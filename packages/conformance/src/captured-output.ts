import { recordedSpans } from "./recorded-spans.ts";

/** What a process said while `work` ran: its console, its output, its warnings, and its spans. */
export interface Captured<T> {
  readonly value: T;
  readonly output: string;
  readonly spans: string;
}

const METHODS = ["debug", "dir", "error", "info", "log", "table", "trace", "warn"] as const;

/**
 * Runs `work` and keeps what is written meanwhile. It is written all the same, but for what holds `hidden`.
 */
export async function captured<T>(work: () => Promise<T>, hidden: string): Promise<Captured<T>> {
  const said: string[] = [];
  const undo: (() => void)[] = [];
  // Test runners replace the console, so that not all of it reaches the streams below.
  for (const method of METHODS) {
    const real = console[method];
    console[method] = (...words: unknown[]) => {
      said.push(words.map(String).join(" "), JSON.stringify(words.map(String)));
      if (!words.includes(hidden)) Reflect.apply(real, console, words);
    };
    undo.push(() => {
      console[method] = real;
    });
  }
  for (const stream of [process.stdout, process.stderr]) {
    const real = stream.write.bind(stream);
    const write = (...words: Parameters<typeof real>) => {
      said.push(typeof words[0] === "string" ? words[0] : Buffer.from(words[0]).toString());
      return real(...words);
    };
    Object.assign(stream, { write });
    undo.push(() => Object.assign(stream, { write: real }));
  }
  const onWarning = (warning: Error) => {
    said.push(String(warning.stack));
  };
  process.on("warning", onWarning);
  undo.push(() => process.off("warning", onWarning));
  const spans = recordedSpans();
  undo.push(() => spans.stop());
  try {
    const value = await work();
    return { value, output: said.join("\n"), spans: spans.text() };
  } finally {
    for (const one of undo.toReversed()) one();
  }
}
