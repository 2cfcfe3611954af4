import pg from "pg";
import type { Agent } from "./agent.ts";
import { alice, bob, type Person } from "./people.ts";
import { askByRecipe } from "./recipe.ts";
import { GATEWAY_LOGIN, RECIPE_LOGIN, type Shop } from "./shop.ts";
import type { ToolAnswer } from "./tool-answer.ts";

export type Row = { readonly [column: string]: unknown };

/** What a statement brought, or who refused it and how. */
export type Answer =
  | { readonly kind: "rows"; readonly rows: readonly Row[] }
  | {
      readonly kind: "refused";
      readonly code: string;
      readonly message: string;
      /** What the agent is told to do. The recipe tells nothing. */
      readonly advice?: string;
    };

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

/**
 * Behalf's side: MCP clients before the gateway, which asks over one pool all along.
 *
 * @param tool the one that Alice's agent sends its statements to
 */
export function behalfScene(
  shop: Shop,
  agents: { readonly alice: Agent; readonly bob: Agent },
  tool: "query" | "write" = "query",
): Scene {
  return {
    login: GATEWAY_LOGIN,
    admin: shop.admin,
    asAlice: async (sql) => named(await agents.alice[tool](sql)),
    asBob: async (sql) => named(await agents.bob.query(sql)),
    canLogIn: (password) => shop.canLogIn(GATEWAY_LOGIN, password),
  };
}

/** As the recipe's driver gives rows: by the columns' names. */
function named(answer: ToolAnswer): Answer {
  if (answer.kind === "refused") return answer;
  const { columns, rows } = answer;
  return {
    kind: "rows",
    rows: rows.map((row) => Object.fromEntries(row.map((value, at) => [columns[at], value]))),
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
