import { BehalfError } from "@behalf/core";
import pg from "pg";
import { agentOf } from "./agent.ts";
import { alice, bob, type Person } from "./people.ts";
import { askByRecipe } from "./recipe.ts";
import { GATEWAY_LOGIN, RECIPE_LOGIN, type Shop } from "./shop.ts";

export type Row = { readonly [column: string]: unknown };

/** What a statement brought, or who refused it and how. */
export type Answer =
  | { readonly kind: "rows"; readonly rows: readonly Row[] }
  | { readonly kind: "refused"; readonly code: string; readonly message: string };

/** One of the two sides: the same attack runs on both, and the same function counts what it gained. */
export interface Scene {
  /** The database login that all humans share. */
  readonly login: string;
  /** The superuser, who sees what is true and undoes what was done. */
  readonly admin: pg.Client;
  readonly asAlice: (sql: string) => Promise<Answer>;
  readonly asBob: (sql: string) => Promise<Answer>;
  readonly canLogIn: (password: string) => Promise<boolean>;
}

/** Behalf's side: through the gateway, always on the same pool. */
export function behalfScene(shop: Shop, onAlicesCall: (sql: string) => void): Scene {
  const agents = { alice: agentOf(shop, alice, onAlicesCall), bob: agentOf(shop, bob) };
  const ask = async (agent: keyof typeof agents, sql: string): Promise<Answer> => {
    try {
      const { columns, rows } = await agents[agent].runSql(sql);
      const names = columns.map(({ name }) => name);
      return {
        kind: "rows",
        rows: rows.map((row) => Object.fromEntries(row.map((value, at) => [names[at], value]))),
      };
    } catch (error) {
      if (!BehalfError.isInstance(error) || error.nativeCode === undefined) throw error;
      return {
        kind: "refused",
        code: error.nativeCode,
        message: error.message.replace("[postgres] ", ""),
      };
    }
  };
  return {
    login: GATEWAY_LOGIN,
    admin: shop.admin,
    asAlice: (sql) => ask("alice", sql),
    asBob: (sql) => ask("bob", sql),
    canLogIn: (password) => shop.canLogIn(GATEWAY_LOGIN, password),
  };
}

/** The recipe's side, on a pool of its own, so that no attack finds what an earlier one left. */
export function recipeScene(shop: Shop, pool: pg.Pool): Scene {
  const ask = async (person: Person, sql: string): Promise<Answer> => {
    try {
      return { kind: "rows", rows: await askByRecipe(pool, person, sql) };
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error;
      return { kind: "refused", code: error.code ?? "", message: error.message };
    }
  };
  return {
    login: RECIPE_LOGIN,
    admin: shop.admin,
    asAlice: (sql) => ask(alice, sql),
    asBob: (sql) => ask(bob, sql),
    canLogIn: (password) => shop.canLogIn(RECIPE_LOGIN, password),
  };
}
