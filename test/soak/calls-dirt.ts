import { readdirSync, readFileSync } from "node:fs";

import type pg from "pg";

import type { World } from "../support/world.ts";

/** What the pools of the soak call themselves: what their sessions are named while nobody uses them. */
export const APPLICATION = "behalf-soak";

const WITHIN_MS = 5_000;

/**
 * What a superuser finds wrong with the gateway's sessions while no call is under way. A statement that was
 * given up may need a moment to end.
 */
export async function dirt(admin: pg.Client, world: World): Promise<readonly string[]> {
  const deadline = performance.now() + WITHIN_MS;
  for (;;) {
    const found = await look(admin, world);
    if (found.length === 0 || performance.now() > deadline) return found;
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
}

async function look(admin: pg.Client, { names }: World): Promise<readonly string[]> {
  const { rows } = await admin.query<{ problem: string }>(
    `with ours as (select * from pg_stat_activity where usename in ($1, $2))
    select format('a session is %s', state) as problem from ours where state <> 'idle'
    union all select format('a session is named %s', application_name) from ours where application_name <> $3
    union all select format('a session holds a %s lock', locktype) from pg_locks join ours using (pid)
    union all select format('a session left the temporary relation %s', relname)
      from pg_class where relpersistence = 't'
    union all select format('a transaction %s is prepared', gid) from pg_prepared_xacts`,
    [names.gateway, names.statementGateway, APPLICATION],
  );
  return rows.map(({ problem }) => problem);
}

/** Anonymous memory of a server and its processes, in MiB, where the system tells. */
export function serverMemory(serverPid: number): number | null {
  if (process.platform !== "linux") return null;
  let kilobytes = 0;
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      if (Number(pid) !== serverPid && !status.includes(`\nPPid:\t${serverPid}\n`)) continue;
      kilobytes += Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    } catch {
      // It ended meanwhile.
    }
  }
  return kilobytes / 1024;
}
