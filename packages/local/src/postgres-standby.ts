import {
  constants,
  copyFileSync,
  mkdirSync,
  appendFileSync,
  readdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import type { ServerOwner } from "./postgres-messages.ts";
import { settingsFile } from "./postgres-settings.ts";

const SLOT_FREE_WITHIN_MS = 5_000;

// What a base backup leaves out: PostgreSQL's documentation, "Making a Base Backup Using the Low Level API".
const LEFT_OUT =
  /^(?:postmaster\.(?:pid|opts)|backup_label|tablespace_map|standby\.signal|recovery\.signal|pg_internal\.init.*|pgsql_tmp.*)$/;
const LEFT_EMPTY: ReadonlySet<string> = new Set([
  "pg_dynshmem",
  "pg_notify",
  "pg_replslot",
  "pg_serial",
  "pg_snapshots",
  "pg_stat_tmp",
  "pg_subtrans",
  "pg_wal",
]);

/** The server that a standby follows. */
export interface Primary {
  readonly dataDirectory: string;
  readonly port: number;
  readonly password: string;
  /** The name of the replication slot in which it keeps what the standby has not received yet. */
  readonly slot: string;
}

/**
 * Makes the data directory of a streaming standby: with SQL and a copy of the files, because the packaged
 * binaries have no pg_basebackup.
 *
 * @throws Error when the primary does not run, has tablespaces, or is set to keep no WAL for a standby
 */
export async function copyPrimary(options: {
  readonly primary: Primary;
  readonly dataDirectory: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly owner: ServerOwner | undefined;
}): Promise<void> {
  const { primary, dataDirectory, settings, owner } = options;
  const { port, password, slot } = primary;
  // The backup belongs to the session that began it.
  await onServer(primary, async (client) => {
    await client.query("select pg_create_physical_replication_slot($1, true)", [slot]);
    await client.query("select pg_backup_start($1, true)", [slot]);
    asOwner(owner, () => copyFolder(primary.dataDirectory, dataDirectory));
    const { rows } = await client.query<{ label: string; tablespaces: string }>(
      "select labelfile as label, spcmapfile as tablespaces from pg_backup_stop(false)",
    );
    const [{ label, tablespaces } = { label: "", tablespaces: "" }] = rows;
    if (tablespaces.trim() !== "") {
      throw new Error("[@behalf/local] a server with tablespaces can have no standby here");
    }
    const follow = {
      primary_conninfo: `host=127.0.0.1 port=${port} user=postgres password='${password.replace(/[\\']/g, "\\$&")}'`,
      primary_slot_name: slot,
    };
    asOwner(owner, () => {
      const mode = 0o600;
      writeFileSync(join(dataDirectory, "backup_label"), label, { mode });
      writeFileSync(join(dataDirectory, "standby.signal"), "", { mode });
      const text = settingsFile({ ...settings, ...follow });
      appendFileSync(join(dataDirectory, "postgresql.conf"), `\n${text}`);
    });
  });
}

/** Lets the primary forget what it kept for a standby that is gone. A primary that is gone has forgotten it. */
export async function forgetStandby(primary: Primary): Promise<void> {
  const deadline = Date.now() + SLOT_FREE_WITHIN_MS;
  await onServer(primary, async (client) => {
    // The process that sent it WAL takes a moment to see that nobody receives it.
    for (;;) {
      await client.query(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active",
        [primary.slot],
      );
      const { rowCount } = await client.query(
        "select from pg_replication_slots where slot_name = $1",
        [primary.slot],
      );
      if (rowCount === 0 || Date.now() > deadline) return;
      await sleep(20);
    }
  }).catch(() => {});
}

async function onServer(primary: Primary, work: (client: Client) => Promise<void>): Promise<void> {
  // Here and not at the top: few guardians need it.
  const pg = await import("pg");
  const client = new pg.Client({
    host: "127.0.0.1",
    port: primary.port,
    user: "postgres",
    password: primary.password,
    database: "postgres",
    connectionTimeoutMillis: 10_000,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    await work(client);
  } finally {
    await client.end();
  }
}

/** The files belong to another account: root must not follow a link that this account put among them. */
function asOwner(owner: ServerOwner | undefined, work: () => void): void {
  if (owner === undefined) {
    work();
    return;
  }
  const groups = process.getgroups?.() ?? [];
  process.setgroups?.([owner.gid]);
  process.setegid?.(owner.gid);
  process.seteuid?.(owner.uid);
  try {
    work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(process.getgid?.() ?? 0);
    process.setgroups?.(groups);
  }
}

// Synchronous on purpose: in the background, it could go on while the folder is being removed.
function copyFolder(from: string, to: string): void {
  mkdirSync(to, { mode: 0o700 });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (LEFT_OUT.test(entry.name)) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isFile()) copyFile(source, target);
    else if (!entry.isDirectory()) continue;
    else if (LEFT_EMPTY.has(entry.name)) mkdirSync(target, { mode: 0o700 });
    else copyFolder(source, target);
  }
}

function copyFile(source: string, target: string): void {
  try {
    copyFileSync(source, target, constants.COPYFILE_FICLONE);
  } catch (error) {
    // The server works on: what it removed meanwhile, it will remove again when it replays its WAL.
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}
