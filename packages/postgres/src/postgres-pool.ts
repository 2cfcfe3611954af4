import { BehalfError } from "@behalf/core";

import type { PgClient, PgPool } from "./pg-structure.ts";

/** A pool that nobody but one adapter uses. */
export interface OwnPool {
  /** Most connections at a time. */
  readonly max: number;
  /** @throws BehalfError `configuration` when somebody else used the pool meanwhile */
  connect(): Promise<PgClient>;
  /** Throws the same before a connection is asked for. */
  check(): void;
  /** Lets another adapter have it. */
  giveUp(): void;
}

/** What is known of a pool, for as long as it lives: also between one adapter and the next. */
interface Watch {
  isOwned: boolean;
  /** Whether somebody else checked a connection out. */
  isShared: boolean;
  connect(): Promise<PgClient>;
}

const watches = new WeakMap<PgPool, Watch>();

/** `pg`'s own default. */
const DEFAULT_MAX = 10;

/**
 * Takes a pool for one adapter alone. Whoever else used it would leave settings, temporary tables and
 * prepared statements behind that a human's statement then meets, and could meet a human's transaction.
 *
 * @throws BehalfError `configuration` when somebody else used the pool already, or another adapter has it
 */
export function ownPool(pool: PgPool): OwnPool {
  const watch = watches.get(pool) ?? watchNew(pool);
  if (watch.isOwned) throw shared("another adapter has this pool");
  const check = () => {
    if (watch.isShared) throw shared("somebody else checked a connection out of this pool");
  };
  check();
  watch.isOwned = true;
  return {
    max: pool.options?.max ?? DEFAULT_MAX,
    check,
    connect() {
      check();
      return watch.connect();
    },
    giveUp() {
      watch.isOwned = false;
    },
  };
}

function watchNew(pool: PgPool): Watch {
  if ((pool.totalCount ?? 0) > 0) {
    throw shared("this pool has connections already, so somebody else uses it");
  }
  let isOurs = false;
  const watch: Watch = {
    isOwned: false,
    isShared: false,
    connect() {
      isOurs = true;
      try {
        return pool.connect();
      } finally {
        isOurs = false;
      }
    },
  };
  watches.set(pool, watch);
  // Without a listener the loss of an idle connection would end the process.
  pool.on("error", () => {});
  // The same for a connection that is lost in the moment it is made: the pool hands it out while the words
  // in which the server takes leave are still being read, before any code of ours runs.
  pool.on("connect", (client) => void client.on("error", () => {}));
  // Every way to a connection goes through connect(), pool.query() too. Events would not do: the pool also
  // tells of checkouts of its own, for example of an idle client whose time is over.
  const connect = pool.connect.bind(pool);
  pool.connect = (...args: Parameters<PgPool["connect"]>) => {
    if (!isOurs) watch.isShared = true;
    return connect(...args);
  };
  return watch;
}

function shared(what: string): BehalfError {
  return new BehalfError(
    "configuration",
    `[postgres] ${what}; give each adapter a pg.Pool of its own that nothing else uses`,
    { backend: "postgres", reason: "pool_shared" },
  );
}
