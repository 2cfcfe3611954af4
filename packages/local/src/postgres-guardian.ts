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
} from "./postgres-messages.ts";
import { reachableBinaries } from "./postgres-reach.ts";
import { removeFolder } from "./remove-folder.ts";

process.title = "behalf-postgres-guardian";

const clusters = new Map<number, Cluster>();
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
  const cluster = clusters.get(request.server);
  if (cluster === undefined) {
    throw new Error("[@behalf/local] this local PostgreSQL was stopped and removed");
  }
  if (request.op === "start") await cluster.start();
  if (request.op === "stop") await cluster.stop(request.mode);
  if (request.op === "remove") {
    await cluster.remove();
    clusters.delete(request.server);
  }
  return null;
}

async function create(request: CreateRequest): Promise<CreatedServer> {
  const root = ensureFolder();
  const server = ++made;
  const cluster = createCluster({
    binaries: reachableBinaries(request.binaries, request.owner, root, copies),
    folder: join(root, String(server)),
    password: request.password,
    settings: request.settings,
    owner: request.owner,
    onRunning: (pid) => tell({ kind: "running", server, pid }),
    onStopped: () => tell({ kind: "stopped", server }),
  });
  clusters.set(server, cluster);
  try {
    await cluster.initialise();
    await cluster.start();
  } catch (error) {
    await cluster.remove();
    clusters.delete(server);
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
  await Promise.allSettled([...clusters.values()].map((cluster) => cluster.remove()));
  // Nobody is left to be told when it fails.
  if (folder !== undefined) await removeFolder(folder).catch(() => {});
  process.exit(exitCode);
}
