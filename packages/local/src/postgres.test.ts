import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isAlive, until } from "../fixtures/processes.ts";
import { startPostgres, type LocalPostgres } from "./index.ts";

async function ask(url: string, text: string): Promise<Record<string, unknown> | undefined> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {});
  try {
    await client.connect();
    const { rows } = await client.query<Record<string, unknown>>(text);
    return rows[0];
  } finally {
    await client.end();
  }
}

describe("embedded PostgreSQL", () => {
  let postgres: LocalPostgres;
  const database = `a "b" c/d`;

  beforeAll(async () => {
    postgres = await startPostgres({
      database,
      settings: { log_min_messages: "warning", "behalf.note": "it's \\ here" },
    });
  });
  afterAll(() => postgres.stop());

  it("answers as the superuser, in its own database", async () => {
    expect(await ask(postgres.url, "select current_user, current_database()")).toEqual({
      current_user: "postgres",
      current_database: database,
    });
    expect(postgres.version).toMatch(/^18\.\d+$/);
  });

  it("is deterministic: UTF-8, locale C, UTC; and takes settings", async () => {
    const settings = await ask(
      postgres.url,
      `select current_setting('server_encoding') as encoding, current_setting('TimeZone') as zone,
              datcollate, datctype, datlocprovider, current_setting('behalf.note') as note,
              current_setting('fsync') as fsync
         from pg_database where datname = current_database()`,
    );
    expect(settings).toEqual({
      encoding: "UTF8",
      zone: "UTC",
      datcollate: "C",
      datctype: "C",
      datlocprovider: "c",
      note: "it's \\ here",
      fsync: "off",
    });
  });

  it("listens on 127.0.0.1 only and wants a password from everybody", async () => {
    expect(
      await ask(
        postgres.url,
        `select current_setting('listen_addresses') as addresses,
                current_setting('unix_socket_directories') as sockets,
                (select string_agg(distinct auth_method, ',') from pg_hba_file_rules) as methods`,
      ),
    ).toEqual({ addresses: "127.0.0.1", sockets: "", methods: "scram-sha-256" });
    const wrong = postgres.urlFor({ user: "postgres", password: "wrong" });
    await expect(ask(wrong, "select 1")).rejects.toMatchObject({ code: "28P01" });
  });

  it("builds URLs for any name", async () => {
    const [user, password] = [`r:o@l/e ?#%`, `p:a@s/s ?#%'`];
    await ask(
      postgres.url,
      `create role "${user}" login password '${password.replace("'", "''")}'`,
    );
    const url = postgres.urlFor({ user, password });
    expect(await ask(url, "select current_user, current_database()")).toEqual({
      current_user: user,
      current_database: database,
    });
    expect(
      await ask(postgres.urlFor({ user, password, database: "postgres" }), "select 1 as n"),
    ).toEqual({
      n: 1,
    });
  });

  it("restarts on the same port with the same data: stopped, crashed, killed", async () => {
    await ask(postgres.url, "create table kept as select 1 as n");
    for (const end of ["fast", "immediate", "kill"] as const) {
      const pid = postgres.serverPid ?? 0;
      expect(isAlive(pid)).toBe(true);
      if (end === "kill") process.kill(pid, "SIGKILL");
      else await postgres.stopServer(end);
      await until("the server is seen to be gone", () => postgres.serverPid === undefined);
      await expect(ask(postgres.url, "select 1")).rejects.toThrow(/ECONNREFUSED/);
      await postgres.startServer();
      expect(postgres.serverPid).not.toBe(pid);
      expect(await ask(postgres.url, "select n from kept")).toEqual({ n: 1 });
    }
    // Where there is nothing to do, nothing is done.
    const pid = postgres.serverPid;
    await postgres.startServer();
    expect(postgres.serverPid).toBe(pid);
  });

  it("runs beside another, and each goes with all it had", async () => {
    const other = await startPostgres({ password: "given" });
    expect(other.superuser).toEqual({ user: "postgres", password: "given" });
    expect(other.port).not.toBe(postgres.port);
    const pid = other.serverPid ?? 0;
    await other.stopServer();
    await Promise.all([other.stop(), other.stop()]);
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(other.dataDirectory)).toBe(false);
    expect(existsSync(dirname(other.dataDirectory))).toBe(false);
    await expect(other.startServer()).rejects.toThrow(/stopped and removed/);
    expect(await ask(postgres.url, "select 1 as n")).toEqual({ n: 1 });
  });

  it("never runs as root, and nobody else may read its data", () => {
    const { uid, mode } = statSync(postgres.dataDirectory);
    expect(uid).not.toBe(0);
    expect(mode & 0o077).toBe(0);
  });

  it("says why it did not start, and leaves nothing", async () => {
    const failing = startPostgres({ settings: { shared_buffers: "nonsense" } });
    await expect(failing).rejects.toThrow(/did not start[^]*shared_buffers/);
    await expect(startPostgres({ settings: { port: "1" } })).rejects.toThrow(/leave it out/);
    await expect(startPostgres({ settings: { "a b": "1" } })).rejects.toThrow(/no name/);
    await expect(startPostgres({ settings: { work_mem: "1\n2" } })).rejects.toThrow(/one line/);
    await expect(startPostgres({ version: "17" })).rejects.toThrow(/PostgreSQL 17 is not part/);
    await expect(startPostgres({ binaries: "/nowhere" })).rejects.toThrow(
      /no bin\/initdb in \/nowhere/,
    );
    await expect(startPostgres({ password: "" })).rejects.toThrow(/password/);
  });
});

it("starts anew after the last one was stopped", async () => {
  for (let round = 0; round < 2; round += 1) {
    await using postgres = await startPostgres();
    expect(await ask(postgres.url, "select 1 as n")).toEqual({ n: 1 });
  }
});
