import { readdirSync, readFileSync } from "node:fs";

/** Of Linux on every architecture that Node runs on: sysconf(_SC_CLK_TCK). */
const TICKS_PER_SECOND = 100;

/** The process that started this one: of a PostgreSQL backend, the server. */
export function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return Number.NaN;
  }
}

/**
 * Starts to measure what a process and its descendants use. The answer is in microseconds, `NaN` where
 * there is no /proc. A tick is 10 ms, so a round of a second is known to a percent or two.
 */
export function cpuMeter(pid: number): () => number {
  const before = ticksOf(pid);
  return () => {
    let used = 0;
    // One that ended meanwhile takes its ticks with it: they are missing, and must not be taken off.
    for (const [process, ticks] of ticksOf(pid)) used += ticks - (before.get(process) ?? 0);
    return before.size === 0 ? Number.NaN : (used / TICKS_PER_SECOND) * 1e6;
  };
}

/** Ticks of a process and its descendants. */
function ticksOf(pid: number): ReadonlyMap<number, number> {
  const children = new Map<number, number[]>();
  const ticks = new Map<number, number>();
  for (const name of processes()) {
    try {
      const text = readFileSync(`/proc/${name}/stat`, "utf8");
      // The second field is the program's name in parentheses, and may hold anything.
      const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
      const parent = Number(fields[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
      ticks.set(Number(name), Number(fields[11]) + Number(fields[12]));
    } catch {
      // It ended meanwhile.
    }
  }
  const family = new Map<number, number>();
  const add = (of: number): void => {
    const own = ticks.get(of);
    if (own === undefined) return;
    family.set(of, own);
    for (const child of children.get(of) ?? []) add(child);
  };
  add(pid);
  return family;
}

function processes(): readonly string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}
