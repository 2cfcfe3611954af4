import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

import { type Identity, identityVerifier, type SubjectRef } from "@behalf/core";

/** The audience of tokens for this store. */
export const STORE = "urn:example:key-value-store";

/** What the store says of itself, on its other port only. */
export interface StoreLog {
  readonly requests: number;
  readonly running: number;
  readonly reads: readonly (SubjectRef & { actors: readonly string[]; owner: string })[];
  /** Every SET that was done. */
  readonly sets: readonly (SubjectRef & { key: string; value: string })[];
  readonly connections: readonly { id: string; busy: boolean; left: readonly string[] }[];
}

export interface KeyValueStore extends AsyncDisposable {
  readonly port: number;
  readonly adminPort: number;
  /** Ends everything, until the returned function is called. The data stays. */
  stop(): Promise<() => Promise<void>>;
  /** The next GET or SET is done, and the connection ends in place of its answer. */
  loseAnswer(): Promise<() => void>;
}

interface Connection {
  readonly id: string;
  /** Who has it may kill the connection. */
  readonly key: string;
  readonly killed: AbortController;
  user: Identity | null;
  database: number;
  watched: string[];
  busy: boolean;
}

class StoreError extends Error {}

/**
 * Many callers share a connection, one command after the other: a line is a list in JSON, and so is its
 * answer. Whoever a connection belongs to since its last AUTH, it belongs to until the next one or RESET.
 */
export async function startStore(issuer: string, users: readonly string[]): Promise<KeyValueStore> {
  const verifier = identityVerifier({ issuers: [{ issuer }], audience: STORE });
  const connections = new Map<string, Connection>();
  const values = new Map<string, string>();
  const sets: (SubjectRef & { key: string; value: string })[] = [];
  const reads: (SubjectRef & { actors: string[]; owner: string })[] = [];
  for (const subject of users) {
    for (const database of [0, 1]) set({ issuer, subject }, database, "own", `keys of ${subject}`);
  }
  let [requests, opened] = [0, 0];
  let losing = false;

  function set({ issuer: iss, subject }: SubjectRef, database: number, key: string, value: string) {
    const place = JSON.stringify([iss, subject, database, key]);
    values.set(place, value);
    sets.push({ issuer: iss, subject, key, value });
  }

  function userOf({ user }: Connection): Identity {
    if (!user) throw new StoreError("NOAUTH");
    return user;
  }

  const commands: { [name: string]: (on: Connection, ...words: string[]) => unknown } = {
    AUTH: async (on, token) => {
      on.user = null;
      const user = await verifier.verify(token).catch(() => null);
      if (!user || !users.includes(user.subject)) throw new StoreError("WRONGPASS");
      on.user = user;
    },
    RESET: (on) => void Object.assign(on, { user: null, database: 0, watched: [] }),
    GET: (on, key = "") => {
      const { issuer: iss, subject, actors } = userOf(on);
      const found = values.get(JSON.stringify([iss, subject, on.database, key]));
      if (found === undefined) throw new StoreError("NOKEY");
      const who = { issuer: iss, subject, actors: actors.map((actor) => actor.subject) };
      reads.push({ ...who, owner: `keys of ${subject}` });
      return found;
    },
    SET: (on, key = "", value = "") => set(userOf(on), on.database, key, value),
    SELECT: (on, database) => void (on.database = Number(database)),
    WATCH: (on, key = "") => void on.watched.push(key),
    SLEEP: (on, seconds) =>
      new Promise<void>((resolve, reject) => {
        userOf(on);
        const timer = setTimeout(resolve, Number(seconds) * 1000);
        on.killed.signal.addEventListener("abort", () => {
          clearTimeout(timer);
          reject(new StoreError("KILLED"));
        });
      }),
    WHOAMI: (on) => {
      const { issuer: iss, subject, actors } = userOf(on);
      return { issuer: iss, subject, actors: actors.map((actor) => actor.subject) };
    },
    ECHO: (_, text) => text,
    "CLIENT ID": ({ id, key }) => ({ id, key }),
    "CLIENT INFO": leftOn,
    "CLIENT KILL": (_, id = "", key) => {
      const other = connections.get(id);
      if (other?.key === key) other?.killed.abort();
    },
  };

  function leftOn({ user, database, watched }: Connection): string[] {
    const left = watched.map((key) => `watch ${key}`);
    if (user) left.push(`user ${user.subject}`);
    if (database !== 0) left.push(`database ${database}`);
    return left;
  }

  async function serve(socket: Socket): Promise<void> {
    const on: Connection = {
      id: `c${(opened += 1)}`,
      key: randomUUID(),
      killed: new AbortController(),
      user: null,
      database: 0,
      watched: [],
      busy: false,
    };
    connections.set(on.id, on);
    on.killed.signal.addEventListener("abort", () => socket.destroy());
    socket.on("error", () => {});
    try {
      for await (const line of linesOf(socket)) {
        if (on.killed.signal.aborted) break;
        requests += 1;
        on.busy = true;
        const [name, ...words]: string[] = JSON.parse(line);
        // A command that runs goes on, whether or not somebody still waits for it.
        const answer = await (async () => commands[name ?? ""]?.(on, ...words))().then(
          (value = null) => ({ value }),
          (error: unknown) => ({ error: error instanceof StoreError ? error.message : "ERR" }),
        );
        on.busy = false;
        if (losing && (name === "GET" || name === "SET")) {
          losing = false;
          socket.destroy();
        }
        if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`);
      }
    } finally {
      connections.delete(on.id);
    }
  }

  function log(): StoreLog {
    const all = [...connections.values()];
    return {
      requests,
      reads,
      sets,
      running: all.filter(({ busy }) => busy).length,
      connections: all.map((on) => ({ id: on.id, busy: on.busy, left: leftOn(on) })),
    };
  }

  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("close", () => sockets.delete(socket)));
    serve(socket).catch(() => socket.destroy());
  });
  const admin = createServer((socket) => socket.end(JSON.stringify(log())));
  const [port, adminPort] = [await listen(server), await listen(admin)];

  async function stop(): Promise<() => Promise<void>> {
    server.close();
    for (const { killed } of connections.values()) killed.abort();
    for (const socket of sockets) socket.destroy();
    if (sockets.size > 0) await once(server, "close");
    return async () => void (await listen(server, port));
  }

  return {
    port,
    adminPort,
    stop,
    async loseAnswer() {
      losing = true;
      return () => {
        losing = false;
      };
    },
    async [Symbol.asyncDispose]() {
      await stop();
      admin.close();
      verifier.close();
    },
  };
}

async function* linesOf(socket: Socket): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of socket.setEncoding("utf8")) {
    const lines = `${text}${chunk}`.split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
}

async function listen(server: Server, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
}
