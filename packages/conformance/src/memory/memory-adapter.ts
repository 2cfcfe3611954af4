import {
  type Adapter,
  adapterCalls,
  assertPrincipal,
  BehalfError,
  type Capabilities,
  type CredentialSource,
  type Delegation,
  type OpenCall,
  type Principal,
  type RecordSink,
} from "@behalf/core";
import { trace } from "@opentelemetry/api";

import type { MemoryBackend } from "./memory-backend.ts";
import { mapMemoryError } from "./memory-errors.ts";
import { type Lent, memoryPool } from "./memory-pool.ts";
import type { MemoryRequest, MemoryResult, MemoryTable } from "./memory-protocol.ts";
import { memoryTickets } from "./memory-tickets.ts";

const BACKEND = "memory";

export const memoryCapabilities: Capabilities = Object.freeze({
  identity: {
    grade: "native",
    evidence: "emulated",
    note: "The backend verifies the token itself, and says who it thinks is calling.",
  },
  rows: {
    grade: "native",
    evidence: "emulated",
    note: "The backend's rules let each human see their own.",
  },
  taskScope: {
    grade: "native",
    evidence: "emulated",
    note: "A ticket carries its task, and the backend compares.",
  },
  readOnly: {
    grade: "native",
    evidence: "emulated",
    note: "Calls that read run in a read transaction.",
  },
  transactions: {
    grade: "native",
    evidence: "emulated",
    note: "What a call changes is made when it is committed, or not at all.",
  },
  writes: { grade: "native", evidence: "emulated", note: "One transaction for each call." },
  deadline: {
    grade: "native",
    evidence: "emulated",
    note: "The backend stops when its client says so.",
  },
});

/** What a call works with: one transaction of one human. */
export interface MemorySession {
  /** Whose each row is that the human may see. */
  owners(table: MemoryTable): Promise<readonly string[]>;
  insert(mark: string): Promise<void>;
  sleep(ms: number): Promise<void>;
  divide(by: number): Promise<void>;
  echo(value: string): Promise<string | null>;
  claim(name: string): Promise<string | null>;
  set(name: string, value: string): Promise<void>;
  settings(): Promise<readonly string[]>;
  whoAmI(): Promise<Principal>;
}

export interface MemoryAdapterOptions {
  readonly backend: MemoryBackend;
  readonly credentials: CredentialSource;
  readonly records: RecordSink;
  /** Most connections, which all humans share. Default is `4`. */
  readonly connections?: number;
}

/** The adapter, with one call in one round trip beside `run`. */
export interface MemoryAdapter extends Adapter<MemorySession> {
  owners(
    delegation: Delegation,
    table: MemoryTable,
    options?: Parameters<Adapter<MemorySession>["run"]>[2],
  ): Promise<readonly string[]>;
}

/**
 * The reference: an adapter for {@link memoryBackend} that holds everything the suite asks for. It is small
 * enough to be read in one sitting, and to be copied.
 *
 * @throws BehalfError `configuration`
 * @example
 * ```ts
 * const notes = memoryAdapter({ backend, credentials, records });
 * await notes.run(delegation, (session) => session.owners("notes"));
 * ```
 */
export function memoryAdapter(options: MemoryAdapterOptions): MemoryAdapter {
  const { backend, credentials, records, connections = 4 } = options;
  const calls = adapterCalls({
    backend: BACKEND,
    records,
    credentials,
    mapError: mapMemoryError,
    tasks: "narrowed",
  });
  const pool = memoryPool(backend, connections);
  const tickets = memoryTickets();
  const tracer = trace.getTracer("@behalf/conformance");

  /** What proves the human to the backend: asked for once, then kept as long as all that it stands on. */
  async function ticketOf(call: OpenCall, connection: Lent): Promise<string> {
    const kept = tickets.get(call.delegation);
    if (kept !== undefined) return kept;
    const { token, expiresAtMs } = await call.credential();
    const [answer] = await connection.send(call.clock, {
      op: "ticket",
      token: token.reveal(),
      task: call.delegation.task ?? null,
    });
    const { ticket = "", subject = null } = answer ?? {};
    assertPrincipal({ subject }, call.delegation, BACKEND);
    call.clock.check();
    tickets.set(call.delegation, ticket, expiresAtMs);
    return ticket;
  }

  /** A connection on which the backend knows the human, until the transaction ends. */
  async function begin(call: OpenCall): Promise<Lent> {
    const connection = await pool.take(call.clock);
    try {
      const ticket = await ticketOf(call, connection);
      await connection.send(
        call.clock,
        { op: "begin", access: call.access },
        { op: "start", ticket, local: true, callId: call.callId },
      );
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  return {
    specificationVersion: 1,
    backend: BACKEND,
    capabilities: memoryCapabilities,

    plan: ({ callId, identity, task }) => ({
      backend: BACKEND,
      subject: { issuer: identity.issuer, subject: identity.subject },
      steps: [
        { action: "ticket", parameters: { token: "[redacted]", task: task?.id ?? null } },
        { action: "begin" },
        { action: "start", parameters: { ticket: "[redacted]", callId } },
        { action: "commit, discard" },
      ],
    }),

    run: (delegation, work, runOptions) =>
      calls.run(delegation, work, runOptions, {
        open: async (call) => memorySession(call, await begin(call)),
        commit: (session) => session.end("commit"),
        giveUp: (session) => session.giveUp(),
      }),

    owners(delegation, table, runOptions = {}) {
      const { access = "read" } = runOptions;
      const facts = { delegation, backend: BACKEND, action: "owners", access } as const;
      const span = tracer.startSpan("memory owners", { attributes: { "behalf.table": table } });
      const check = () => deadlineOf(runOptions.deadlineMs);
      const call = calls.call(facts, runOptions, check, async (open) => {
        const connection = await pool.take(open.clock);
        try {
          const ticket = await ticketOf(open, connection);
          const answers = await connection.send(
            open.clock,
            { op: "begin", access },
            { op: "start", ticket, local: true, callId: open.callId },
            { op: "read", table },
            { op: "rollback" },
            { op: "discard" },
          );
          const { owners = [] } = answers[2] ?? {};
          open.note({ rows: owners.length });
          connection.release();
          return owners;
        } catch (error) {
          connection.destroy();
          throw error;
        }
      });
      return call.finally(() => span.end());
    },

    async invalidate(subject) {
      tickets.delete(subject);
      await calls.invalidate(subject);
    },

    async close() {
      await calls.close();
      pool.close();
    },
  };
}

/** @throws BehalfError `configuration` */
function deadlineOf(deadlineMs = 30_000): { readonly deadlineMs: number } {
  if (Number.isInteger(deadlineMs) && deadlineMs >= 1 && deadlineMs < 2 ** 31)
    return { deadlineMs };
  throw new BehalfError("configuration", "[memory] `deadlineMs` must be a whole number from 1 on");
}

interface OwnedSession extends MemorySession {
  /** Ends the transaction, and lets the connection be used by others. */
  end(how: "commit" | "rollback"): Promise<void>;
  giveUp(): Promise<void>;
}

function memorySession(call: OpenCall, connection: Lent): OwnedSession {
  let isClean = false;
  const send = (request: MemoryRequest): Promise<MemoryResult> =>
    call.part(
      { action: request.op },
      () => {},
      async () => {
        const [answer] = await connection.send(call.clock, request);
        return answer ?? {};
      },
    );
  return {
    owners: async (table) => (await send({ op: "read", table })).owners ?? [],
    insert: async (mark) => void (await send({ op: "insert", mark })),
    sleep: async (ms) => void (await send({ op: "sleep", ms })),
    divide: async (by) => void (await send({ op: "divide", by })),
    echo: async (value) => (await send({ op: "echo", value })).value ?? null,
    claim: async (name) => (await send({ op: "claim", name })).value ?? null,
    set: async (name, value) => void (await send({ op: "set", name, value })),
    settings: async () => (await send({ op: "settings" })).names ?? [],
    async whoAmI() {
      const { session = "", subject = null, actors = [] } = await send({ op: "whoami" });
      return { name: subject?.subject ?? "nobody", subject, actors, native: { session } };
    },
    async end(how) {
      await connection.send(call.clock, { op: how }, { op: "discard" });
      isClean = true;
    },
    async giveUp() {
      // A connection that is in the middle of something is nobody's any more.
      if (!isClean && call.clock.stopped === undefined) await this.end("rollback").catch(() => {});
      if (isClean) connection.release();
      else connection.destroy();
    },
  };
}
