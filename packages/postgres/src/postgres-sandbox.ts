import { BehalfError, type Credential, type Delegation, type SqlResult } from "@behalf/core";

import type { PgClient } from "./pg-structure.ts";
import type { Step, StepResult } from "./postgres-batch.ts";
import type { CallClock } from "./postgres-clock.ts";
import type { Connection } from "./postgres-connection.ts";
import { isStaleTicket } from "./postgres-errors.ts";
import { splitRow } from "./postgres-row.ts";
import { backendStart, begin, fetch, open, rollback, start } from "./postgres-steps.ts";
import type { Tickets } from "./postgres-tickets.ts";

/** What one call of one human needs at the database. */
export interface SandboxCall {
  readonly delegation: Delegation;
  /** The id of this call in the records. */
  readonly callId: string;
  readonly credential: Credential;
  readonly tickets: Tickets;
  readonly clock: CallClock;
}

/** How much of a result is wanted. */
export interface Page {
  readonly maxRows: number;
  readonly maxBytes: number;
}

export interface PageResult extends SqlResult {
  /** Bytes of row text that the server sent. */
  readonly bytes: number;
}

/** What the database said when the human was proved to it. */
export interface Started {
  /** The backend's own evidence: role, process id and, where it is known, when that process started. */
  readonly native: { readonly [name: string]: string | number };
  /** Results of the steps that were sent along. */
  readonly rest: readonly StepResult[];
}

/**
 * Begins the transaction, proves the human and sends `steps` along, in one round trip. A ticket that the
 * database no longer takes is replaced once, by the token; nothing has run by then.
 */
export async function startCall(
  connection: Connection,
  call: SandboxCall,
  steps: readonly Step[],
): Promise<Started> {
  const { delegation, credential, tickets, clock } = call;
  const { identity, task } = delegation;
  const proof = tickets.proof(credential.token);
  const narrowed =
    task === undefined
      ? null
      : JSON.stringify({
          id: task.id,
          exp: task.expiresAtMs / 1000,
          authorization_details: task.authorizationDetails,
        });
  const head: Step[] = [
    begin,
    start({
      proof: proof.secret.reveal(),
      callId: call.callId,
      timeoutMs: clock.serverMs(),
      task: narrowed,
      issuer: identity.issuer,
      subject: identity.subject,
    }),
  ];
  // Once per connection, and every time behind a PgBouncer, where each call may meet another backend.
  const { state } = connection;
  const first = state.backendStart === null || state.prepared === null;
  if (first) head.splice(1, 0, backendStart);

  let results: readonly StepResult[];
  try {
    results = await connection.send([...head, ...steps]);
  } catch (error) {
    if (proof.kind !== "ticket" || !isStaleTicket(error)) throw error;
    tickets.drop(credential.token);
    await connection.send([rollback]);
    return startCall(connection, call, steps);
  }
  if (first) state.backendStart = results[1]?.rows[0]?.[0] ?? null;
  const [ticket, expiresAt, role, pid] = results[head.length - 1]?.rows[0] ?? [];
  if (role === null || role === undefined) {
    throw new BehalfError(
      "backend.identity_mismatch",
      "[postgres] behalf.start() did not say which role it chose; install the kit that came with this adapter",
    );
  }
  // What comes back after invalidate() is not kept.
  if (typeof ticket === "string" && !clock.stopped) {
    tickets.keep(credential.token, identity, ticket, Number(expiresAt) * 1000);
  }
  const { backendStart: since } = state;
  const native = { role, pid: Number(pid), ...(since === null ? {} : { backendStart: since }) };
  return { native, rest: results.slice(head.length) };
}

/** The steps that run a hostile text and bring its first page. One row more shows that there are more. */
export function sandboxSteps(statement: string, page: Page): readonly Step[] {
  return [open(statement), fetch(page.maxRows + 1, page.maxBytes)];
}

/** Reads what {@link sandboxSteps} brought. */
export function readPage(results: readonly StepResult[], client: PgClient, page: Page): PageResult {
  const [opened, fetched] = results;
  const fields = opened?.fields ?? [];
  const parsers = fields.map((field) => client.getTypeParser(field.dataTypeID, "text"));
  const rows: unknown[][] = [];
  let truncated: SqlResult["truncated"] = null;
  let bytes = 0;
  for (const [line] of fetched?.rows ?? []) {
    if (line === null || line === undefined) {
      truncated = "bytes";
      break;
    }
    if (rows.length === page.maxRows) {
      truncated = "rows";
      break;
    }
    bytes += Buffer.byteLength(line);
    rows.push(
      splitRow(line, fields.length).map((text, index) => {
        if (text === null) return null;
        try {
          return parsers[index]?.(text);
        } catch {
          // What it threw may hold the value.
          throw new BehalfError(
            "configuration",
            `[postgres] the pool's type parser for type ${fields[index]?.dataTypeID} threw`,
            { reason: "type_parser" },
          );
        }
      }),
    );
  }
  const columns = fields.map((field) => ({ name: field.name, typeId: field.dataTypeID }));
  return { columns, rows, truncated, bytes };
}
