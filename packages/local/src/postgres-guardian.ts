// A process of its own that makes, runs and removes the servers of the process that started it. It
// holds one end of a channel: when the other end closes, the other process is gone, in whatever way
// (exit, exception, any signal, kill -9), and everything is stopped and removed. It lives in its own
// session, so Ctrl-C in a terminal and a closing terminal reach the other process only.
import { chmodSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCluster, type Cluster } from "./postgres-cluster.ts";
import type {
  CreatedServer,
  CreateRequest,
  GuardianMessage,
  GuardianRequest,
  NumberedRequest,
  StandbyRequest,
} from "./postgres-messages.ts";
import { reachableBinaries } from "./postgres-reach.ts";
import { forgetStandby, type Primary } from "./postgres-standby.ts";
import { removeFolder } from "./remove-folder.ts";

process.title = "behalf-postgres-guardian";

/** A server, with what it was made from. */
interface Made {
  readonly cluster: Cluster;
  readonly request: CreateRequest;
  /** Whom it follows, if it is a standby. */
  readonly primary: Primary | undefined;
}

const servers = new Map<number, Made>();
const copies = new Map<string, string>();
let folder: string | undefined;
let made = 0;
let closing = false;

process.on("message", (message: NumberedRequest) => void answer(message));
process.on("disconnect", () => void close(0));
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  process.on(signal, () => void close(0));
}
process.on("uncaughtException", () => void close(1));
process.on("unhandledRejection", () => void close(1));
// The other process may be gone before this one listens.
if (!process.connected) void close(0);

async function answer({ id, request }: NumberedRequest): Promise<void> {
  try {
    const value = await perform(request);
    tell({ kind: "answer", id, value });
  } catch (error) {
    tell({ kind: "failure", id, message: error instanceof Error ? error.message : String(error) });
  }
}

async function perform(request: GuardianRequest): Promise<CreatedServer | null> {
  if (closing) throw new Error("[@behalf/local] the guardian of the local PostgreSQL is stopping");
  if (request.op === "create") return create(request);
  if (request.op === "standby") return createStandby(request);
  const { cluster, primary } = serverOf(request.server);
  if (request.op === "start") await cluster.start();
  if (request.op === "stop") await cluster.stop(request.mode);
  if (request.op === "remove") {
    await cluster.remove();
    servers.delete(request.server);
    if (primary !== undefined) await forgetStandby(primary);
  }
  return null;
}

function serverOf(server: number): Made {
  const known = servers.get(server);
  if (known === undefined) {
    throw new Error("[@behalf/local] this local PostgreSQL was stopped and removed");
  }
  return known;
}

async function createStandby({ primary, settings }: StandbyRequest): Promise<CreatedServer> {
  const { cluster, request } = serverOf(primary);
  return create(
    { ...request, settings: { ...request.settings, ...settings } },
    {
      dataDirectory: cluster.dataDirectory,
      port: cluster.port,
      password: request.password,
      slot: `standby_${made + 1}`,
    },
  );
}

async function create(request: CreateRequest, primary?: Primary): Promise<CreatedServer> {
  const root = ensureFolder();
  const server = ++made;
  const cluster = createCluster({
    binaries: reachableBinaries(request.binaries, request.owner, root, copies),
    folder: join(root, String(server)),
    password: request.password,
    settings: request.settings,
    owner: request.owner,
    ...(primary === undefined ? {} : { primary }),
    onRunning: (pid) => tell({ kind: "running", server, pid }),
    onStopped: () => tell({ kind: "stopped", server }),
  });
  servers.set(server, { cluster, request, primary });
  try {
    await cluster.initialise();
    await cluster.start();
  } catch (error) {
    await cluster.remove();
    servers.delete(server);
    if (primary !== undefined) await forgetStandby(primary);
    throw error;
  }
  return { server, dataDirectory: cluster.dataDirectory, port: cluster.port };
}

function ensureFolder(): string {
  if (folder === undefined) {
    folder = mkdtempSync(join(tmpdir(), "behalf-postgres-"));
    tell({ kind: "folder", path: folder });
    // Another account must pass through to its own folder below, and see nothing on the way.
    chmodSync(folder, 0o711);
  }
  return folder;
}

function tell(message: GuardianMessage): void {
  if (process.connected) process.send?.(message, undefined, {}, () => {});
}

async function close(exitCode: number): Promise<void> {
  if (closing) return;
  closing = true;
  await Promise.allSettled([...servers.values()].map(({ cluster }) => cluster.remove()));
  // Nobody is left to be told when it fails.
  if (folder !== undefined) await removeFolder(folder).catch(() => {});
  process.exit(exitCode);
}
