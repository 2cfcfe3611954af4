import type { Fault, Outcome } from "./fault.ts";

const HEAD = [
  "| what happens | call | what the caller gets | told of the change | was it made | connection |",
  "| --- | --- | --- | --- | --- | --- |",
];

/** The table of docs/faults.md: calls that come to the same share a row. */
export function faultTable(faults: readonly Fault[]): readonly string[] {
  const rows = new Map<string, { readonly fault: Fault; readonly calls: string[] }>();
  for (const fault of faults) {
    const key = JSON.stringify([fault.fault, outcomeCells(fault)]);
    const row = rows.get(key) ?? { fault, calls: [] };
    row.calls.push(fault.call);
    rows.set(key, row);
  }
  return [
    ...HEAD,
    ...[...rows.values()].map(({ fault, calls }) =>
      ["", fault.fault, calls.join(", "), ...outcomeCells(fault), ""].join(" | ").trim(),
    ),
  ];
}

function outcomeCells({ code, native, effect, made, connection }: Outcome): readonly string[] {
  const named = code === "ok" || code === "own error" ? code : `\`${code}\``;
  const told = effect === "none" || effect === "unknown" ? `\`${effect}\`` : effect;
  return [native === "" ? named : `${named} (${native})`, told || "–", made || "–", connection];
}

/** A table without what a formatter makes of it. */
export function plainTable(text: string): readonly string[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => line.replaceAll(/\s+/g, " ").replaceAll(/-{2,}/g, "---").trim());
}
