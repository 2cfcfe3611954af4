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
 * CPU time that a process and its descendants have used, in microseconds, or `NaN` where there is no
 * /proc. A tick is 10 ms, so a round of a second is known to a percent or two.
 */
export function cpuMicroseconds(pid: number): number {
  let processes;
  try {
    processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return Number.NaN;
  }
  const found = new Map<number, { parent: number; ticks: number }>();
  for (const name of processes) {
    try {
      const text = readFileSync(`/proc/${name}/stat`, "utf8");
      // The second field is the program's name in parentheses, and may hold anything.
      const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
      found.set(Number(name), {
        parent: Number(fields[1]),
        ticks: Number(fields[11]) + Number(fields[12]),
      });
    } catch {
      // It ended meanwhile.
    }
  }
  const sum = (of: number): number => {
    let ticks = found.get(of)?.ticks ?? 0;
    for (const [child, { parent }] of found) if (parent === of) ticks += sum(child);
    return ticks;
  };
  return found.has(pid) ? (sum(pid) / TICKS_PER_SECOND) * 1e6 : Number.NaN;
}
