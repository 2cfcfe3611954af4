import type pg from "pg";

/** The connections of the pools of one run, past whoever uses them. */
export interface IdleConnections {
  /** From its first connection on. */
  watch(pool: pg.Pool): void;
  /** Ends the pool, and resolves when its sockets are closed, which the pool itself does not wait for. */
  end(pool: pg.Pool): Promise<void>;
  /** Process ids of the sessions that a pool has. */
  readonly pids: ReadonlySet<number>;
  /** How often connections were asked; each time is one round trip. */
  readonly asked: number;
  /** What is found on connections that nobody uses now. */
  left(): Promise<readonly string[]>;
}

/** How long a connection that nobody uses may take to answer, in milliseconds. */
const ANSWERS_WITHIN_MS = 1_000;

/** What a driver hands to the server, as {@link watchProofs} sees it. */
interface Protocol {
  bind(message: { readonly statement?: string; readonly values?: readonly unknown[] }): void;
}

/** @param onProof is told each token and ticket that is sent */
export function idleConnections(onProof: (proof: string) => void): IdleConnections {
  const idle = new Set<pg.PoolClient>();
  const pids = new Map<pg.PoolClient, number>();
  const closed = new WeakMap<pg.Pool, Set<Promise<void>>>();
  const pools = new WeakMap<pg.PoolClient, pg.Pool>();
  let asked = 0;

  async function ask(client: pg.PoolClient): Promise<readonly string[]> {
    asked += 1;
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<readonly string[]>((resolve) => {
      timer = setTimeout(resolve, ANSWERS_WITHIN_MS, ["it works, and nobody uses it"]);
    });
    const answer = client.query<{ problem: string }>(LEFT).then(
      ({ rows }) => rows.map(({ problem }) => problem),
      // The connection is gone, and what was on it.
      () => [],
    );
    try {
      return await Promise.race([answer, silence]);
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    watch(pool) {
      const ends = new Set<Promise<void>>();
      closed.set(pool, ends);
      pool.on("connect", (client) => {
        const end = new Promise<void>((resolve) => {
          client.once("end", () => resolve());
        }).finally(() => ends.delete(end));
        ends.add(end);
        const { processID } = client as unknown as { readonly processID: number };
        pids.set(client, processID);
        pools.set(client, pool);
        watchProofs(client, onProof);
      });
      pool.on("acquire", (client) => void idle.delete(client));
      pool.on("release", (error, client) => {
        if (!error) idle.add(client);
      });
      pool.on("remove", (client) => {
        idle.delete(client);
        pids.delete(client);
      });
    },
    async end(pool) {
      // What is told to end can no longer be asked.
      pool.on("release", (_, client) => void idle.delete(client));
      for (const client of idle) if (pools.get(client) === pool) idle.delete(client);
      await pool.end();
      for (const end of closed.get(pool) ?? []) await end;
    },
    get pids() {
      return new Set(pids.values());
    },
    get asked() {
      return asked;
    },
    left: async () => (await Promise.all([...idle].map(ask))).flat(),
  };
}

function watchProofs(client: pg.PoolClient, onProof: (proof: string) => void): void {
  const { connection } = client as unknown as { readonly connection: Protocol };
  const bind = connection.bind.bind(connection);
  connection.bind = (message, ...more) => {
    const [proof] = message.values ?? [];
    if (message.statement?.startsWith("behalf_start") === true && typeof proof === "string") {
      onProof(proof);
    }
    bind(message, ...more);
  };
}

/** The settings that the probes set; no catalogue lists names that somebody made up. */
const MADE_UP = ["behalf.seal", "left.behind", "left.seal"] as const;

/** Asked of the connection itself, outside a transaction of anybody's. */
const LEFT = `
  select 'a transaction is open' as problem where pg_catalog.transaction_timestamp() < pg_catalog.statement_timestamp()
  union all select pg_catalog.format('the role is %s', current_user) where current_user <> session_user
  union all select pg_catalog.format('the setting %s is %s', name, pg_catalog.left(value, 20))
    from (select name, pg_catalog.current_setting(name, true) as value
      from pg_catalog.unnest(array['${MADE_UP.join("', '")}']) name) s where value <> ''
  union all select pg_catalog.format('the setting %s is %s', name, setting)
    from pg_catalog.pg_settings where source = 'session' and setting is distinct from reset_val
  union all select pg_catalog.format('a %s lock is held', locktype)
    from pg_catalog.pg_locks where pid = pg_catalog.pg_backend_pid() and locktype = 'advisory'
  union all select pg_catalog.format('%s is temporary', relname)
    from pg_catalog.pg_class where relnamespace = pg_catalog.pg_my_temp_schema() and relkind <> 'i'
  union all select pg_catalog.format('it listens to %s', channel) from pg_catalog.pg_listening_channels() channel
  union all select pg_catalog.format('the cursor %s is open', name) from pg_catalog.pg_cursors where is_holdable
  union all select pg_catalog.format('%s is prepared', name) from pg_catalog.pg_prepared_statements where from_sql`;
