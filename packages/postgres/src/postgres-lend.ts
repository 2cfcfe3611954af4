import type { OpenCall } from "@behalf/core";

import type { Connection } from "./postgres-connection.ts";
import type { Logins } from "./postgres-login.ts";
import type { Mode } from "./postgres-mode.ts";
import { noLogin } from "./postgres-options.ts";
import type { HumanCall } from "./postgres-start.ts";

/** Gives calls the connections of one adapter's logins. */
export interface Lender {
  /** For what is neither an agent's text nor an author's statement. */
  readonly defaultMode: Mode;
  /**
   * Lends a clean connection of the mode's login to `work`, with everything that proves the human on it.
   *
   * @throws BehalfError `configuration` where this adapter has no such login
   */
  lend<T>(
    call: OpenCall,
    mode: Mode,
    work: (connection: Connection, human: HumanCall) => Promise<T>,
  ): Promise<T>;
}

export function lender(logins: Logins): Lender {
  return {
    defaultMode: logins.sandbox === null ? "statement" : "sandbox",
    async lend(call, mode, work) {
      const login = logins[mode];
      if (login === null) throw noLogin(mode);
      const { delegation, callId, clock, access } = call;
      const credential = await call.credential();
      await login.ready(clock);
      const { tickets } = login;
      const human = { delegation, callId, credential, tickets, clock, mode, access };
      const loan = { subject: delegation.identity, clock, access };
      return login.connections.use(loan, (connection) => {
        // Also a call that fails says where it ran.
        call.note({ native: whereabouts(connection) });
        return work(connection, human);
      });
    },
  };
}

/**
 * Which backend serves the connection. Behind a PgBouncer the id that the driver was told is the pooler's, and
 * only the backend itself can say: nothing then.
 */
function whereabouts({ client, state }: Connection): { [name: string]: string | number } {
  const { backend, prepared } = state;
  const { processID: pid } = client;
  if (prepared === null || typeof pid !== "number" || state.isPooled) return {};
  return { pid, ...(backend === null ? {} : { backendStart: backend.since }) };
}
