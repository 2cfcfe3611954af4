import { BehalfError, type Principal, type SqlResult } from "@behalf/core";
import type { Gateway, RunSqlOptions } from "./gateway.ts";
import type { Person } from "./people.ts";
import type { Shop } from "./shop.ts";

/** An AI agent that works for one human. It holds the human's token for the gateway and nothing else. */
export interface Agent {
  readonly person: Person;
  /** @param at with the same token. Default is the shop's gateway */
  runSql(sql: string, options?: RunSqlOptions, at?: Gateway): Promise<SqlResult>;
  whoAmI(): Promise<Principal>;
}

/** @param onCall is told of every call that reaches the gateway's tools with a statement */
export function agentOf(
  shop: Shop,
  person: Person,
  onCall: (sql: string) => void = () => {},
): Agent {
  let signedIn: Promise<string> | null = null;

  async function withToken<T>(call: (token: string) => Promise<T>): Promise<T> {
    const used = (signedIn ??= shop.signIn(person.subject));
    try {
      return await call(await used);
    } catch (error) {
      if (!BehalfError.isInstance(error) || error.code !== "identity.expired") throw error;
      // Of calls at the same time only the first signs in again.
      if (signedIn === used) signedIn = shop.signIn(person.subject);
      return call(await signedIn);
    }
  }

  return {
    person,
    runSql: (sql, options, at = shop.gateway) =>
      withToken((token) => {
        onCall(sql);
        return at.runSql(token, sql, options);
      }),
    whoAmI: () => withToken((token) => shop.gateway.whoAmI(token)),
  };
}
