import {
  BehalfError,
  type Delegation,
  type QueryOptions,
  type SqlAdapter,
  type SqlSession,
} from "@behalf/core";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from "kysely";

import { builderStatement, objectsOf, WHOLE, wholeOf } from "./builder-input.ts";

/** Limits of each query. Without `maxRows` and `maxBytes` there is none; beyond them a query fails. */
export type KyselyOptions = Pick<QueryOptions, "signal" | "deadlineMs" | "maxRows" | "maxBytes">;

/**
 * A Kysely that builds queries for nobody: one that is executed by itself yields no rows and reaches no
 * database. A query that it built can be executed for any human.
 *
 * @example
 * ```ts
 * const open = queryBuilder<Shop>().selectFrom("orders").selectAll().where("status", "=", "open");
 * const alices = await kyselyFor<Shop>(shop, alice).executeQuery(open);
 * const bobs = await kyselyFor<Shop>(shop, bob).executeQuery(open);
 * ```
 */
export function queryBuilder<Database>(): Kysely<Database> {
  return new Kysely<Database>({ dialect: dialectOf(() => new DummyDriver()) });
}

/**
 * Kysely for one human's call: its queries are statements of the adapter's statement mode, recorded and
 * run as that human. SELECT runs READ ONLY; INSERT, UPDATE, DELETE and MERGE may write, and so may a
 * transaction that is not `read only`. A text of `sql.raw` is the author's own, as ever.
 *
 * @param delegation of one call: make another one, and with it another Kysely, for the next
 * @throws BehalfError what `adapter.query` throws; `configuration` for savepoints and isolation levels
 *   other than read committed, which the human's proof does not allow
 * @example
 * ```ts
 * const db = kyselyFor<Shop>(shop, await front.delegate(bearer, { tool: "cancel_order" }));
 * await db.updateTable("orders").set({ status: "cancelled" }).where("id", "=", id).execute();
 * ```
 */
export function kyselyFor<Database>(
  adapter: SqlAdapter,
  delegation: Delegation,
  options: KyselyOptions = {},
): Kysely<Database> {
  return new Kysely<Database>({
    dialect: dialectOf(() => behalfDriver(adapter, delegation, options)),
  });
}

function dialectOf(createDriver: () => Driver): Dialect {
  return {
    createDriver,
    createAdapter: () => new PostgresAdapter(),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createIntrospector: (db) => new PostgresIntrospector(db),
  };
}

interface Transaction {
  readonly session: SqlSession;
  readonly end: (how: "commit" | "rollback") => Promise<void>;
}

/** What ends a run without its changes and without being an error of anybody's. */
const ROLLED_BACK = Symbol("rolled back");

function behalfDriver(adapter: SqlAdapter, delegation: Delegation, options: KyselyOptions): Driver {
  const transactions = new WeakMap<DatabaseConnection, Transaction>();

  async function end(connection: DatabaseConnection, how: "commit" | "rollback"): Promise<void> {
    const transaction = transactions.get(connection);
    transactions.delete(connection);
    await transaction?.end(how);
  }

  // A connection of Kysely's is none yet: the adapter lends one for each query or transaction.
  function connect(): DatabaseConnection {
    const connection: DatabaseConnection = {
      async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
        const statement = builderStatement(query.sql, query.parameters);
        const transaction = transactions.get(connection);
        const limits = { ...WHOLE, ...options };
        const result = wholeOf(
          transaction === undefined
            ? await adapter.query(delegation, statement, { ...limits, access: accessOf(query) })
            : await transaction.session.query(statement, limits),
        );
        const { affectedRows } = result;
        return {
          rows: objectsOf<Row>(result),
          ...(affectedRows === undefined ? {} : { numAffectedRows: BigInt(affectedRows) }),
        };
      },
      async *streamQuery<Row>(
        query: CompiledQuery,
        chunkSize: number,
      ): AsyncIterableIterator<QueryResult<Row>> {
        if (transactions.has(connection)) throw unsupported("a stream inside a transaction");
        const statement = builderStatement(query.sql, query.parameters);
        const stream = adapter.stream(delegation, statement, options);
        let rows: (readonly unknown[])[] = [];
        for await (const row of stream) {
          if (rows.push(row) < chunkSize) continue;
          yield { rows: objectsOf<Row>({ columns: stream.columns, rows }) };
          rows = [];
        }
        const { columns, truncated } = stream;
        const rest = wholeOf({ columns, rows, truncated });
        if (rows.length > 0) yield { rows: objectsOf<Row>(rest) };
      },
    };
    return connection;
  }

  return {
    async init() {},
    async destroy() {},
    async acquireConnection() {
      return connect();
    },
    // Kysely ends its transactions itself; one that was forgotten does not stay open.
    releaseConnection: (connection) => end(connection, "rollback"),
    async beginTransaction(connection, settings) {
      transactions.set(connection, await begin(adapter, delegation, settings, options));
    },
    commitTransaction: (connection) => end(connection, "commit"),
    rollbackTransaction: (connection) => end(connection, "rollback"),
  };
}

/** A run of the adapter's that waits, with its transaction open, for Kysely to end it. */
async function begin(
  adapter: SqlAdapter,
  delegation: Delegation,
  settings: TransactionSettings,
  options: KyselyOptions,
): Promise<Transaction> {
  if ((settings.isolationLevel ?? "read committed") !== "read committed") {
    throw unsupported(`the isolation level ${settings.isolationLevel}`);
  }
  const opened = Promise.withResolvers<SqlSession>();
  const ended = Promise.withResolvers<void>();
  const { signal, deadlineMs } = options;
  const run = adapter.run(
    delegation,
    async (session) => {
      opened.resolve(session);
      await ended.promise;
    },
    {
      access: settings.accessMode === "read only" ? "read" : "write",
      ...(signal === undefined ? {} : { signal }),
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
    },
  );
  run.catch(opened.reject);
  return {
    session: await opened.promise,
    async end(how) {
      if (how === "commit") {
        ended.resolve();
        await run;
        return;
      }
      ended.reject(ROLLED_BACK);
      await run.catch((error: unknown) => {
        if (error !== ROLLED_BACK) throw error;
      });
    },
  };
}

const WRITES = ["InsertQueryNode", "UpdateQueryNode", "DeleteQueryNode", "MergeQueryNode"];

/** What the query does itself, and what a WITH in front of it does. */
function accessOf({ query }: CompiledQuery): "read" | "write" {
  const kinds: string[] = [query.kind];
  if ("with" in query) {
    for (const { expression } of query.with?.expressions ?? []) kinds.push(expression.kind);
  }
  return kinds.some((kind) => WRITES.includes(kind)) ? "write" : "read";
}

function unsupported(what: string): BehalfError {
  return new BehalfError("configuration", `[postgres] Kysely on Behalf does not have ${what}`, {
    backend: "postgres",
    reason: "kysely",
  });
}
