import {
  type Adapter,
  adapterCalls,
  assertPrincipal,
  BehalfError,
  type Capabilities,
  type CredentialSource,
  type OpenCall,
  orStopped,
  type Principal,
  type RecordSink,
  type SubjectRef,
} from "@behalf/core";

import { type Connection, StoreError } from "./key-value-connection.ts";
import { connectionPool } from "./key-value-pool.ts";

export interface KeyValueSession {
  get(key: string): Promise<string>;
  set(key: string, value: string): Promise<void>;
  echo(text: string): Promise<string>;
  select(database: number): Promise<void>;
  watch(key: string): Promise<void>;
  sleep(seconds: number): Promise<void>;
  /** What this connection holds, as the store says. */
  held(): Promise<readonly string[]>;
  whoAmI(): Promise<Principal>;
}

export interface KeyValueOptions {
  readonly port: number;
  /** Most connections, which all humans share. Default is `4`. */
  readonly connections?: number;
  readonly credentials: CredentialSource;
  readonly records: RecordSink;
}

const emulated = { evidence: "emulated" } as const;

export const capabilities: Capabilities = {
  identity: { ...emulated, grade: "native", note: "The store verifies the token." },
  rows: { ...emulated, grade: "native", note: "Keys belong to the user of the connection." },
  writes: { ...emulated, grade: "native", note: "SET writes keys of the user's own." },
  transactions: { ...emulated, grade: "adapter", note: "SETs wait until the work has succeeded." },
  readOnly: { ...emulated, grade: "adapter", note: "A run that reads sends no SET." },
  deadline: { ...emulated, grade: "adapter", note: "CLIENT KILL stops what still runs." },
  taskScope: { ...emulated, grade: "refused", note: "The store knows no tasks." },
};

/** What one call has of the pool, until it ends. */
interface Lease {
  readonly call: OpenCall;
  readonly connection: Connection;
  over: boolean;
  database: number;
  /** SETs that wait for the end of the work, because the store undoes nothing. */
  readonly sets: { readonly database: number; readonly key: string; readonly value: string }[];
}

export function keyValue(options: KeyValueOptions): Adapter<KeyValueSession> {
  const { port, connections = 4, credentials, records } = options;
  const calls = adapterCalls({ backend: "key-value", credentials, records, mapError });
  const pool = connectionPool(port, connections);

  async function open(call: OpenCall): Promise<Lease> {
    const { token } = await call.credential();
    const connection = await pool.take(call.clock);
    const lease: Lease = { call, connection, over: false, database: 0, sets: [] };
    try {
      await ask(lease, "AUTH", token.reveal());
      assertPrincipal(await whoAmI(lease), call.delegation, "key-value");
    } catch (error) {
      await giveUp(lease);
      throw error;
    }
    return lease;
  }

  async function commit(lease: Lease): Promise<void> {
    for (const { database, key, value } of lease.sets) {
      await ask(lease, "SELECT", String(database));
      await ask(lease, "SET", key, value);
    }
  }

  async function giveUp(lease: Lease): Promise<void> {
    lease.over = true;
    await pool.giveBack(lease.connection);
  }

  return {
    specificationVersion: 1,
    backend: "key-value",
    capabilities,
    plan: ({ identity: { issuer, subject } }) => ({
      backend: "key-value",
      subject: { issuer, subject },
      steps: [
        { action: "AUTH", parameters: { token: "[redacted]" } },
        { action: "WHOAMI" },
        { action: "RESET" },
      ],
    }),
    run: (delegation, work, limits) =>
      calls.run(delegation, (lease) => work(sessionOf(lease)), limits, { open, commit, giveUp }),
    invalidate: (subject) => calls.invalidate(subject),
    async close() {
      await calls.close();
      pool.close();
    },
  };
}

async function ask<T>(lease: Lease, ...words: string[]): Promise<T> {
  const { call, connection } = lease;
  // The store looks at a token once, at AUTH: this refuses one that has ended since, and a call that has to end.
  await call.credential();
  if (lease.over) throw new BehalfError("closed", "[key-value] this session is over");
  return await orStopped(connection.ask<T>(...words), call.clock);
}

async function whoAmI(lease: Lease): Promise<Principal> {
  const { issuer, subject, actors } = await ask<Who>(lease, "WHOAMI");
  const native = { session: lease.connection.id };
  return { name: subject, subject: { issuer, subject }, actors, native };
}

interface Who extends SubjectRef {
  readonly actors: readonly string[];
}

function sessionOf(lease: Lease): KeyValueSession {
  const { call, sets } = lease;
  const part = <T>(action: string, work: () => Promise<T>, check = noCheck) =>
    call.part({ action }, check, work);
  const send = <T>(name: string, ...words: string[]) =>
    part(name, () => ask<T>(lease, name, ...words));
  return {
    get: (key) =>
      part("GET", async () => {
        const { database } = lease;
        const set = sets.findLast((one) => one.key === key && one.database === database);
        return set ? set.value : await ask<string>(lease, "GET", key);
      }),
    set: (key, value) =>
      part(
        "SET",
        async () => void sets.push({ database: lease.database, key, value }),
        () => mustWrite(call),
      ),
    echo: (text) => send("ECHO", text),
    select: (database) =>
      part("SELECT", async () => {
        await ask(lease, "SELECT", String(database));
        lease.database = database;
      }),
    watch: (key) => send("WATCH", key),
    sleep: (seconds) => send("SLEEP", String(seconds)),
    held: () => send("CLIENT INFO"),
    whoAmI: () => part("whoAmI", () => whoAmI(lease)),
  };
}

const noCheck = () => {};

function mustWrite({ access }: OpenCall): void {
  if (access === "write") return;
  throw new BehalfError("backend.denied", "[key-value] this run reads; ask for access write");
}

function mapError(cause: unknown): BehalfError {
  if (!(cause instanceof StoreError)) {
    return new BehalfError("backend.unavailable", "[key-value] not reached; try later", { cause });
  }
  const nativeCode = cause.code;
  const rejected = nativeCode === "WRONGPASS" || nativeCode === "NOAUTH";
  const code = rejected ? "identity.rejected" : "backend.failed";
  return new BehalfError(code, `[key-value] the store says ${nativeCode}`, { nativeCode, cause });
}
