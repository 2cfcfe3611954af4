import { BehalfError, type CallClock, type Credential, type Delegation } from "@behalf/core";

import type { Step, StepResult } from "./postgres-batch.ts";
import type { Connection } from "./postgres-connection.ts";
import { isStaleTicket } from "./postgres-errors.ts";
import type { Mode } from "./postgres-mode.ts";
import { backendStart, begin, rollback, start, startStatement } from "./postgres-steps.ts";
import type { Tickets } from "./postgres-tickets.ts";

/** What one call of one human needs at the database. */
export interface HumanCall {
  readonly delegation: Delegation;
  /** The id of this call in the records. */
  readonly callId: string;
  readonly credential: Credential;
  readonly tickets: Tickets;
  readonly clock: CallClock;
  readonly mode: Mode;
  readonly access: "read" | "write";
}

/** What is sent for one input. The statement role is part of the name under which a statement is prepared. */
export type StepsOf = (statementRole: string | null) => readonly Step[];

/** What the database said when the human was proved to it. */
export interface Started {
  /** The backend's own evidence: role, process id and, where it is known, when that process started. */
  readonly native: { readonly [name: string]: string | number };
  /** The role of an author's statements; `null` where this human has none. */
  readonly statementRole: string | null;
  /** Results of the steps that were sent along. */
  readonly rest: readonly StepResult[];
}

/**
 * Begins the transaction, proves the human and sends `steps` along, in one round trip. A ticket that the
 * database no longer takes is replaced once, by the token; nothing has run by then.
 *
 * @param steps made from the statement role, where it is known before the database said it
 */
export async function startCall(
  connection: Connection,
  call: HumanCall,
  steps: StepsOf,
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
  const prove = call.mode === "statement" ? startStatement : start;
  const head: Step[] = [
    begin(call.access),
    prove({
      proof: proof.secret.reveal(),
      callId: call.callId,
      timeoutMs: clock.serverMs(),
      task: narrowed,
      issuer: identity.issuer,
      subject: identity.subject,
    }),
  ];
  // Once per connection, and every time where statements have no names: behind a PgBouncer each call may meet
  // another backend.
  const { state } = connection;
  const first = state.backend === null || state.prepared === null;
  if (first) head.splice(1, 0, backendStart);

  let results: readonly StepResult[];
  try {
    results = await connection.send([...head, ...steps(proof.statementRole)]);
  } catch (error) {
    if (proof.kind !== "ticket" || !isStaleTicket(error)) throw error;
    tickets.drop(credential.token);
    await connection.send([rollback]);
    return startCall(connection, call, steps);
  }
  const [ticket, expiresAt, readRole, writeRole, statementRole = null, process] =
    results[head.length - 1]?.rows[0] ?? [];
  const pid = Number(process);
  if (pid !== connection.client.processID) state.isPooled = true;
  const since = first ? (results[1]?.rows[0]?.[0] ?? null) : null;
  if (since !== null) state.backend = { pid, since };
  // A PgBouncer that keeps names moves calls between backends, too. The start of another one is no evidence.
  else if (state.backend?.pid !== pid) state.backend = null;
  if (readRole === null || readRole === undefined) {
    throw new BehalfError(
      "backend.identity_mismatch",
      "[postgres] behalf.start() did not say which role it chose; install the kit that came with this adapter",
    );
  }
  // What comes back after invalidate() is not kept.
  if (typeof ticket === "string" && !clock.stopped) {
    tickets.keep(credential.token, identity, {
      ticket,
      expiresAtMs: Number(expiresAt) * 1000,
      statementRole,
    });
  }
  const role =
    call.mode === "statement" ? statementRole : call.access === "write" ? writeRole : readRole;
  const native = {
    role: role ?? readRole,
    pid,
    ...(state.backend === null ? {} : { backendStart: state.backend.since }),
  };
  return { native, statementRole, rest: results.slice(head.length) };
}
