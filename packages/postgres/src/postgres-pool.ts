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
  asked: number;
  handedOut: number;
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
    // pg-pool tells of every checkout, also of pool.query(): one more than we asked for is somebody else's.
    if (watch.handedOut > watch.asked) {
      throw shared("somebody else checked a connection out of this pool");
    }
  };
  check();
  watch.isOwned = true;
  return {
    max: pool.options?.max ?? DEFAULT_MAX,
    check,
    async connect() {
      check();
      watch.asked += 1;
      try {
        return await pool.connect();
      } catch (error) {
        // Nothing was handed out.
        watch.asked -= 1;
        throw error;
      }
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
  const watch = { isOwned: false, asked: 0, handedOut: 0 };
  watches.set(pool, watch);
  // Without a listener the loss of an idle connection would end the process.
  pool.on("error", () => {});
  pool.on("acquire", () => {
    watch.handedOut += 1;
  });
  return watch;
}

function shared(what: string): BehalfError {
  return new BehalfError(
    "configuration",
    `[postgres] ${what}; give each adapter a pg.Pool of its own that nothing else uses`,
    { backend: "postgres", reason: "pool_shared" },
  );
}
