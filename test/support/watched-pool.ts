import type { PgClient, PgConnection } from "@behalf/postgres";
import type pg from "pg";

type Batch = Parameters<PgClient["query"]>[0];

/** What an adapter did with the connections of a pool, and places to act at exact moments. */
export interface Watched {
  batches: number;
  /** The first four characters of each proof: `bt1.` is a ticket. */
  readonly proofs: string[];
  onError: () => void;
  onReady: () => void;
}

/** Watches every batch that goes through a pool's clients. */
export function watch(pool: pg.Pool): Watched {
  const seen: Watched = { batches: 0, proofs: [], onError: () => {}, onReady: () => {} };
  const connect = pool.connect.bind(pool);
  const known = new WeakSet<object>();
  Object.assign(pool, {
    async connect() {
      const client: PgClient = await connect();
      if (!known.has(client)) {
        known.add(client);
        const query = client.query.bind(client);
        client.query = (batch) => query(spied(batch, seen));
      }
      return client;
    },
  });
  return seen;
}

function spied(batch: Batch, seen: Watched): Batch {
  const submit = batch.submit.bind(batch);
  const handleError = batch.handleError.bind(batch);
  const handleReadyForQuery = batch.handleReadyForQuery.bind(batch);
  batch.submit = (connection) => {
    seen.batches += 1;
    const bind = connection.bind.bind(connection);
    const spy: PgConnection["bind"] = (message, more) => {
      const proof = message.statement === "behalf_start" ? message.values?.[0] : undefined;
      if (typeof proof === "string") seen.proofs.push(proof.slice(0, 4));
      bind(message, more);
    };
    connection.bind = spy;
    try {
      return submit(connection);
    } finally {
      connection.bind = bind;
    }
  };
  batch.handleError = (error) => {
    handleError(error);
    seen.onError();
  };
  batch.handleReadyForQuery = () => {
    handleReadyForQuery();
    seen.onReady();
  };
  return batch;
}
