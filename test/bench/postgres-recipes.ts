import { pathToFileURL } from "node:url";
import { join } from "node:path";

import pg from "pg";

import type { TextStep } from "../../packages/postgres/src/postgres-batch.ts";
import { preparedStatements } from "../../packages/postgres/src/postgres-prepared.ts";
import { npmPackage } from "../support/npm-package.ts";
import { pageStatement, type PostgresWorld } from "./postgres-world.ts";
import { sendBatch } from "./send-batch.ts";

const CLAIMS = JSON.stringify({ sub: "alice", org_id: "acme", role: "clerk" });
const IDENTITY = "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)";

/** The driver's own way of reading a value. */
const typeParserOf: (typeId: number) => (text: string) => unknown = pg.types.getTypeParser;

/** One page of Alice's, over a connection of the recipe's own. */
export interface Recipe extends AsyncDisposable {
  readonly page: (text?: string) => Promise<unknown>;
}

type MakeRecipe = (world: PostgresWorld, port?: number) => Promise<Recipe>;

async function connected(world: PostgresWorld, port?: number, config: pg.ClientConfig = {}) {
  const url = new URL(world.recipeUrl);
  if (port !== undefined) url.port = String(port);
  const client = new pg.Client({ connectionString: url.href, ...config });
  await client.connect();
  return client;
}

/** The page has a name; what an agent wrote is new each time and has none. */
const queryOf = (text?: string) =>
  text === undefined ? { name: "page", text: pageStatement.text } : { text };

/** BEGIN, claims, role, statement, COMMIT: what most write by hand. */
export const fiveTrips: MakeRecipe = async (world, port) => {
  const client = await connected(world, port);
  return {
    async page(text) {
      await client.query("begin");
      await client.query({
        name: "claims",
        text: "select set_config('request.jwt.claims', $1, true)",
        values: [CLAIMS],
      });
      await client.query(`set local role ${world.recipeRole}`);
      const result = await client.query(queryOf(text));
      await client.query("commit");
      return result.rows;
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
};

/** BEGIN, identity in one statement, statement, COMMIT: PostgREST, PostGraphile, Supabase storage. */
export const fourTrips: MakeRecipe = async (world, port) => {
  const client = await connected(world, port);
  return {
    async page(text) {
      await client.query("begin");
      await client.query({ name: "identity", text: IDENTITY, values: [world.recipeRole, CLAIMS] });
      const result = await client.query(queryOf(text));
      await client.query("commit");
      return result.rows;
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
};

/** The same four in one write with one Sync. Its statement has a name unless `unnamed`. */
export const oneBatch =
  ({ unnamed }: { readonly unnamed: boolean }): MakeRecipe =>
  async (world, port) => {
    const client = await connected(world, port);
    const prepared = preparedStatements(256);
    return {
      async page(text = pageStatement.text) {
        const steps: TextStep[] = [
          { name: "begin", text: "begin read only" },
          { name: "identity", text: IDENTITY, values: [world.recipeRole, CLAIMS] },
          { name: unnamed ? "" : "page", text, rows: 1_001 },
          { name: "rollback", text: "rollback" },
        ];
        const results = await sendBatch(client, steps, prepared);
        const { rows = [], fields = [] } = results[2] ?? {};
        // As pg would hand them over: objects, values parsed.
        const parsers = fields.map((field) => typeParserOf(field.dataTypeID));
        return rows.map((row) =>
          Object.fromEntries(
            row.map((value, at) => [
              fields[at]?.name,
              value === null ? null : parsers[at]?.(value),
            ]),
          ),
        );
      },
      [Symbol.asyncDispose]: () => client.end(),
    };
  };

/** The four, sent without waiting, a Sync each. */
export const pipelined: MakeRecipe = async (world, port) => {
  const client = await connected(world, port, { pipeline: true });
  return {
    async page(text) {
      const results = await Promise.all([
        client.query("begin"),
        client.query({ name: "identity", text: IDENTITY, values: [world.recipeRole, CLAIMS] }),
        client.query(queryOf(text)),
        client.query("commit"),
      ]);
      return results[2].rows;
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
};

interface PostgresJs {
  begin(work: (sql: PostgresJsTag) => Promise<unknown>): Promise<unknown>;
  end(): Promise<void>;
}
interface PostgresJsTag {
  (parts: TemplateStringsArray, ...values: readonly string[]): Promise<unknown>;
  unsafe(text: string, values: readonly string[], options: { prepare: boolean }): Promise<unknown>;
}

/** `sql.begin` of postgres.js, which is fetched on demand; `null` where it cannot be had. */
export async function postgresJs(world: PostgresWorld, port?: number): Promise<Recipe | null> {
  const found = npmPackage("postgres", "3.4.9");
  if ("missing" in found) {
    console.log(`SKIPPED: postgres.js: ${found.missing}`);
    return null;
  }
  const entry = pathToFileURL(join(found.path, "postgres", "src", "index.js")).href;
  const { default: connect } = (await import(entry)) as {
    default: (url: string, options: { max: number }) => PostgresJs;
  };
  const url = new URL(world.recipeUrl);
  if (port !== undefined) url.port = String(port);
  const client = connect(url.href, { max: 1 });
  return {
    page: (text = pageStatement.text) =>
      client.begin(async (sql) => {
        const [, rows] = await Promise.all([
          sql`select set_config('role', ${world.recipeRole}, true), set_config('request.jwt.claims', ${CLAIMS}, true)`,
          sql.unsafe(text, [], { prepare: true }),
        ]);
        return rows;
      }),
    [Symbol.asyncDispose]: () => client.end(),
  };
}
