import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { HOLDER, hold, isAlive, processes, testFolder, until } from "../fixtures/processes.ts";
import { findBinaries } from "./postgres-binaries.ts";

const NOBODY = { uid: 65_534, gid: 65_534 };
const isRoot = process.getuid?.() === 0;
// A clone in a home directory of mode 700 is out of reach for another account.
const othersReachUs =
  isRoot &&
  [process.execPath, HOLDER].every(
    (file) => spawnSync("test", ["-r", file], { ...NOBODY, cwd: "/" }).status === 0,
  );

describe.concurrent("what a process leaves when it ends", () => {
  it.each(["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"] as const)(
    "nothing after %s",
    async (signal) => {
      await using folder = testFolder();
      await using holder = hold(folder, ["wait", "1"]);
      const [server] = await holder.servers();
      const guardian = holder.guardianPid();
      expect(isAlive(server?.serverPid ?? 0)).toBe(true);
      expect(folder.left()).toHaveLength(1);
      // To the whole group, as a terminal sends it.
      process.kill(-holder.pid, signal);
      await folder.becomesClean();
      expect(isAlive(server?.serverPid ?? 0)).toBe(false);
      await until("the guardian is gone", () => !isAlive(guardian));
    },
  );

  it.each([
    ["exit", 3],
    ["throw", 1],
    // Servers do not keep a process alive that has nothing left to do.
    ["return", 0],
  ] as const)("nothing after %s", async (end, code) => {
    await using folder = testFolder();
    await using holder = hold(folder, [end, "1"]);
    const [actual] = await once(holder.process, "exit");
    expect(actual).toBe(code);
    await folder.becomesClean();
  });

  it("nothing when it is killed in the middle of initdb", async () => {
    await using folder = testFolder();
    await using holder = hold(folder, ["wait", "1"]);
    await until("initdb has begun", () =>
      folder.left().some((name) => existsSync(join(folder.path, name, "1", "data", "base"))),
    );
    holder.process.kill("SIGKILL");
    await folder.becomesClean();
    expect(holder.output()).toBe("");
  });

  it("nothing when it is killed while its guardian begins", async () => {
    await using folder = testFolder();
    await using holder = hold(folder, ["wait", "1"]);
    await until("there is a guardian", () =>
      processes().some(({ parent }) => parent === holder.pid),
    );
    const guardian = holder.guardianPid();
    holder.process.kill("SIGKILL");
    await until("the guardian is gone", () => !isAlive(guardian));
    await folder.becomesClean();
    expect(holder.output()).toBe("");
  });

  it("nothing of two servers, which share one guardian", async () => {
    await using folder = testFolder();
    await using holder = hold(folder, ["wait", "2"]);
    const servers = await holder.servers();
    expect(new Set(servers.map(({ url }) => url)).size).toBe(2);
    expect(processes().filter(({ parent }) => parent === holder.pid)).toHaveLength(1);
    expect(folder.left()).toHaveLength(1);
    holder.process.kill("SIGKILL");
    await folder.becomesClean();
  });

  it("nothing of a standby and its primary", async () => {
    await using folder = testFolder();
    await using holder = hold(folder, ["standby", "1"]);
    const servers = await holder.servers();
    expect(servers).toHaveLength(2);
    holder.process.kill("SIGKILL");
    await folder.becomesClean();
    for (const { serverPid } of servers) expect(isAlive(serverPid)).toBe(false);
  });

  it("nothing when it is killed while a standby is being made", async () => {
    await using folder = testFolder();
    await using holder = hold(folder, ["standby", "1"]);
    await until("the copy has begun", () =>
      folder.left().some((name) => existsSync(join(folder.path, name, "2", "data"))),
    );
    holder.process.kill("SIGKILL");
    await folder.becomesClean();
    expect(holder.output()).toBe("");
  });

  it("no open output: who reads it to the end does not wait for the guardian", async () => {
    await using folder = testFolder();
    await using holder = hold(folder, ["wait", "1"]);
    await holder.servers();
    const guardian = holder.guardianPid();
    process.kill(guardian, "SIGSTOP");
    try {
      let closed = false;
      holder.process.once("close", () => (closed = true));
      holder.process.kill("SIGKILL");
      await until("its output is closed", () => closed);
      expect(isAlive(guardian)).toBe(true);
    } finally {
      process.kill(guardian, "SIGCONT");
    }
    await folder.becomesClean();
  });

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "no server when its guardian gets %s",
    async (signal) => {
      await using folder = testFolder();
      await using holder = hold(folder, ["wait", "1"]);
      const [server] = await holder.servers();
      process.kill(holder.guardianPid(), signal);
      await folder.becomesClean();
      expect(isAlive(server?.serverPid ?? 0)).toBe(false);
      expect(isAlive(holder.pid)).toBe(true);
    },
  );
});

describe("accounts", () => {
  it.runIf(othersReachUs)("runs under an ordinary user, in place", async () => {
    await using folder = testFolder();
    await using holder = hold(folder, ["wait", "1"], NOBODY);
    const [server] = await holder.servers();
    expect(statSync(server?.dataDirectory ?? "").uid).toBe(NOBODY.uid);
    const [root = ""] = folder.left();
    expect(statSync(join(folder.path, root)).uid).toBe(NOBODY.uid);
    expect(readdirSync(join(folder.path, root)).toSorted()).toEqual(["1", "1.log"]);
    holder.process.kill("SIGKILL");
    await folder.becomesClean();
  });

  it.runIf(isRoot)(
    "as root, copies binaries that the server's account cannot reach, once",
    async () => {
      await using folder = testFolder();
      await using home = testFolder();
      const binaries = join(home.path, "closed", "native");
      mkdirSync(join(home.path, "closed"));
      cpSync(findBinaries({}), binaries, { recursive: true, verbatimSymlinks: true });
      chmodSync(join(home.path, "closed"), 0o700);
      await using holder = hold(folder, ["wait", "2", binaries]);
      expect(await holder.servers()).toHaveLength(2);
      const [root = ""] = folder.left();
      expect(readdirSync(join(folder.path, root)).toSorted()).toEqual([
        "1",
        "1.log",
        "2",
        "2.log",
        "native-1",
      ]);
      holder.process.kill("SIGKILL");
      await folder.becomesClean();
    },
  );
});
