import { randomUUID } from "node:crypto";

import type { SubjectRef, Task } from "@behalf/core";

import type { MemoryClaims } from "./memory-issuer.ts";
import {
  type MemoryAnswer,
  MemoryBackendError,
  type MemoryRequest,
  type MemoryResult,
  type MemoryTable,
} from "./memory-protocol.ts";

export interface Row {
  readonly table: MemoryTable;
  readonly subject: SubjectRef;
  /** What a client wrote; `null` in rows that were there from the start. */
  readonly mark: string | null;
}

type Caller = MemoryClaims & { readonly task: Task | null };

/** The backend's side of one connection. */
export interface MemoryServerSession {
  answer(requests: string): Promise<MemoryAnswer>;
  cancel(): void;
  end(): void;
  readonly isSleeping: boolean;
  /** What a connection that nobody uses should not hold. */
  left(): readonly string[];
}

export function memoryServerSession(parts: {
  readonly id: string;
  readonly rows: Row[];
  readonly tickets: Map<string, Caller>;
  readonly verify: (token: string) => MemoryClaims | null;
  readonly seen: (who: MemoryClaims, table: MemoryTable, owner: string) => void;
}): MemoryServerSession {
  const { id, rows, tickets, verify, seen } = parts;
  const settings = new Map<string, string>();
  let sessionCaller: Caller | null = null;
  let transaction: {
    readonly access: "read" | "write";
    readonly added: Row[];
    caller: Caller | null;
    isAborted: boolean;
  } | null = null;
  let wake: (() => void) | null = null;
  let isBusy = false;

  function caller(): Caller {
    const who = transaction?.caller ?? sessionCaller;
    if (who === null) throw new MemoryBackendError("denied", "nobody is calling");
    return who;
  }

  function work(request: MemoryRequest): MemoryResult | Promise<MemoryResult> {
    if (transaction?.isAborted && request.op !== "rollback" && request.op !== "commit") {
      throw new MemoryBackendError("transaction_aborted", "the transaction has failed");
    }
    switch (request.op) {
      case "ticket": {
        const claims = verify(request.token);
        if (claims === null) throw new MemoryBackendError("bad_token", "the token proves nobody");
        const ticket = randomUUID();
        tickets.set(ticket, { ...claims, task: request.task });
        const { issuer, subject, actors } = claims;
        return { ticket, subject: { issuer, subject }, actors };
      }
      case "begin":
        // As databases do: one that is open goes on.
        transaction ??= { access: request.access, added: [], caller: null, isAborted: false };
        return {};
      case "start": {
        const who = tickets.get(request.ticket);
        if (who === undefined || who.expiresAtMs <= Date.now()) {
          throw new MemoryBackendError("bad_ticket", "the ticket proves nobody");
        }
        if (transaction === null) throw new MemoryBackendError("no_transaction", "begin first");
        if (request.local) transaction.caller = who;
        else sessionCaller = who;
        return { subject: { issuer: who.issuer, subject: who.subject } };
      }
      case "read": {
        const who = caller();
        if (!allows(who.task, "read", request.table)) {
          throw new MemoryBackendError("denied", `the task does not cover ${request.table}`);
        }
        const mine = rows.filter(
          (row) => row.table === request.table && row.mark === null && isOf(row, who),
        );
        for (const row of mine) seen(who, row.table, ownerOf(row));
        return { owners: mine.map(ownerOf) };
      }
      case "insert": {
        const who = caller();
        if (transaction === null) throw new MemoryBackendError("no_transaction", "begin first");
        if (transaction.access === "read") {
          throw new MemoryBackendError("read_only", "the transaction only reads");
        }
        if (!allows(who.task, "create", "notes")) {
          throw new MemoryBackendError("denied", "the task does not cover writing");
        }
        const { issuer, subject } = who;
        transaction.added.push({
          table: "notes",
          subject: { issuer, subject },
          mark: request.mark,
        });
        return {};
      }
      case "sleep":
        return sleep(request.ms);
      case "divide":
        if (request.by === 0) throw new MemoryBackendError("division_by_zero", "division by zero");
        return {};
      case "echo":
        return { value: request.value };
      case "claim":
        return { value: request.name === "claim" ? caller().claim : null };
      case "whoami": {
        const { issuer, subject, actors } = caller();
        return { session: id, subject: { issuer, subject }, actors };
      }
      case "set":
        settings.set(request.name, request.value);
        return {};
      case "settings":
        return { names: [...settings.keys()] };
      case "commit":
        if (transaction !== null && !transaction.isAborted) rows.push(...transaction.added);
        transaction = null;
        return {};
      case "rollback":
        transaction = null;
        return {};
      case "discard":
        settings.clear();
        return {};
      default:
        throw new MemoryBackendError("syntax", "there is no such request");
    }
  }

  async function sleep(ms: number): Promise<MemoryResult> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), ms);
    wake = () => resolve(true);
    try {
      if (await promise) throw new MemoryBackendError("stopped", "it was stopped");
      return {};
    } finally {
      clearTimeout(timer);
      wake = null;
    }
  }

  return {
    get isSleeping() {
      return wake !== null;
    },
    async answer(text) {
      const results: MemoryResult[] = [];
      isBusy = true;
      try {
        const requests: readonly MemoryRequest[] = JSON.parse(text);
        for (const request of requests) {
          results.push(await work(request));
        }
        return { results };
      } catch (error) {
        if (transaction !== null) transaction.isAborted = true;
        return {
          results,
          error:
            error instanceof MemoryBackendError && error.code !== "connection_lost"
              ? { code: error.code, message: error.message }
              : { code: "syntax", message: "the request could not be read" },
        };
      } finally {
        isBusy = false;
      }
    },
    cancel: () => wake?.(),
    end() {
      transaction = null;
      wake?.();
    },
    left() {
      if (isBusy) return [];
      return [
        ...(sessionCaller === null ? [] : [`the identity of ${sessionCaller.subject}`]),
        ...[...settings.keys()].map((name) => `the setting ${name}`),
      ];
    },
  };
}

/** What the rules call the data of a human in a table. */
function ownerOf({ table, subject }: Row): string {
  return `${table} of ${subject.subject}`;
}

function isOf({ subject }: Row, who: SubjectRef): boolean {
  return subject.issuer === who.issuer && subject.subject === who.subject;
}

/** Whether a task lets its call do this. What it does not understand covers nothing. */
function allows(task: Task | null, action: "read" | "create", object: string): boolean {
  if (task === null) return true;
  const { authorizationDetails, expiresAtMs } = task;
  return (
    expiresAtMs > Date.now() &&
    authorizationDetails.some(
      (detail) =>
        detail.type === "table" &&
        detail.actions.includes(action) &&
        detail.objects.includes(object),
    )
  );
}
