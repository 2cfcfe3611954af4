import { BehalfError, type Principal, type QueryOptions, type SqlResult } from "@behalf/core";
import type { Person } from "./people.ts";
import type { Shop } from "./shop.ts";

/** An AI agent that works for one human. It holds the human's token for the gateway and nothing else. */
export interface Agent {
  readonly person: Person;
  runSql(sql: string, options?: QueryOptions): Promise<SqlResult>;
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
    signedIn ??= shop.signIn(person.subject);
    try {
      return await call(await signedIn);
    } catch (error) {
      if (!BehalfError.isInstance(error) || error.code !== "identity.expired") throw error;
      signedIn = shop.signIn(person.subject);
      return call(await signedIn);
    }
  }

  return {
    person,
    runSql: (sql, options) =>
      withToken((token) => {
        onCall(sql);
        return shop.gateway.runSql(token, sql, options);
      }),
    whoAmI: () => withToken((token) => shop.gateway.whoAmI(token)),
  };
}
