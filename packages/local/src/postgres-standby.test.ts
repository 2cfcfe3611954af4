import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isAlive } from "../fixtures/processes.ts";
import { startPostgres, type LocalPostgres } from "./index.ts";

async function ask(url: string, text: string): Promise<readonly unknown[]> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {});
  try {
    await client.connect();
    return (await client.query({ text, rowMode: "array" })).rows;
  } finally {
    await client.end();
  }
}

/** Asks until the standby has the answer. */
async function arrives(url: string, text: string, wanted: readonly unknown[]): Promise<void> {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const rows = await ask(url, text).catch((error: unknown) => error);
    if (JSON.stringify(rows) === JSON.stringify(wanted)) return;
    if (Date.now() > deadline) throw new Error(`it still answers ${JSON.stringify(rows)}`);
    await sleep(20);
  }
}

describe("a hot standby", () => {
  let primary: LocalPostgres;
  const password = `it's \\ 'quoted'`;
  beforeAll(async () => {
    primary = await startPostgres({ database: "shop", password, settings: { work_mem: "5MB" } });
    await ask(primary.url, "create table kept as select 1 as n");
  });
  afterAll(() => primary.stop());

  it("has what the primary has, follows it, refuses writes, and takes over when it is promoted", async () => {
    await using standby = await primary.startStandby({ settings: { "behalf.note": "its own" } });
    expect(standby.version).toBe(primary.version);
    expect(standby.superuser).toEqual(primary.superuser);
    expect(
      await ask(
        standby.url,
        "select pg_is_in_recovery(), n, current_setting('work_mem'), current_setting('behalf.note') from kept",
      ),
    ).toEqual([[true, 1, "5MB", "its own"]]);
    await ask(primary.url, "insert into kept values (2)");
    await arrives(standby.url, "select n from kept order by 1", [[1], [2]]);
    await expect(ask(standby.url, "insert into kept values (3)")).rejects.toMatchObject({
      code: "25006",
    });
    // What happened while it was away is kept for it.
    await standby.stopServer();
    await ask(primary.url, "insert into kept values (4)");
    await ask(primary.url, "select pg_switch_wal()");
    await ask(primary.url, "checkpoint");
    await standby.startServer();
    await arrives(standby.url, "select n from kept order by 1", [[1], [2], [4]]);

    await primary.stopServer("immediate");
    expect(await ask(standby.url, "select pg_promote()")).toEqual([[true]]);
    await ask(standby.url, "insert into kept values (5)");
    expect(await ask(standby.url, "select count(*)::int from kept")).toEqual([[4]]);
    await primary.startServer();
    expect(await ask(primary.url, "select count(*)::int from kept")).toEqual([[3]]);
  });

  it("is another account's, like its primary, and goes with all it had", async () => {
    const standby = await primary.startStandby();
    const { uid, mode } = statSync(standby.dataDirectory);
    expect(uid).toBe(statSync(primary.dataDirectory).uid);
    expect(mode & 0o077).toBe(0);
    const pid = standby.serverPid ?? 0;
    expect(await ask(primary.url, "select count(*)::int from pg_replication_slots")).toEqual([[1]]);
    await standby.stop();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(dirname(standby.dataDirectory))).toBe(false);
    // Else the primary would keep its WAL for nobody.
    expect(await ask(primary.url, "select count(*)::int from pg_replication_slots")).toEqual([[0]]);
  });

  it("says why there can be none, and leaves nothing", async () => {
    await expect(primary.startStandby({ settings: { "a b": "1" } })).rejects.toThrow(/no name/);
    await expect(
      primary.startStandby({ settings: { shared_buffers: "nonsense" } }),
    ).rejects.toThrow(/did not start[^]*shared_buffers/);
    expect(await ask(primary.url, "select count(*)::int from pg_replication_slots")).toEqual([[0]]);
    await using bare = await startPostgres({
      settings: { wal_level: "minimal", max_wal_senders: "0" },
    });
    await expect(bare.startStandby()).rejects.toThrow(/wal_level/);
    await bare.stopServer();
    await expect(bare.startStandby()).rejects.toThrow(/ECONNREFUSED/);
  });
});
