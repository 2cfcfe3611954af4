import {
  type AdapterCalls,
  BehalfError,
  type CallClock,
  type CallFacts,
  type OpenCall,
  orStopped,
  type SqlColumn,
  type SqlRow,
  type SqlStream,
  type Statement,
  type StreamOptions,
} from "@behalf/core";

import type { Connection } from "./postgres-connection.ts";
import type { Lender } from "./postgres-lend.ts";
import { modeOf } from "./postgres-mode.ts";
import { checkInput, type Limits, limitsOf } from "./postgres-options.ts";
import { pages, type StreamPage } from "./postgres-stream-pages.ts";
import type { HumanCall } from "./postgres-start.ts";

/** What a stream has no limit for, unless it is given one. */
const UNLIMITED = { maxRows: 2_147_483_646, maxBytes: Number.MAX_SAFE_INTEGER } as const;

/**
 * The rows of one call, a page at a time. The server works only while a page is asked for, so nothing piles
 * up anywhere when the reader is slow, and a page is all that either side holds.
 */
export function postgresStream(
  calls: AdapterCalls,
  lender: Lender,
  facts: CallFacts,
  input: string | Statement,
  options: StreamOptions,
  defaults: Limits,
): SqlStream {
  let columns: readonly SqlColumn[] = [];
  let truncated: SqlStream["truncated"] = null;
  let wasIterated = false;

  // Between reader and call there is one place: what is asked for, then what is handed over.
  let asked = Promise.withResolvers<"more" | "stop">();
  let handed = Promise.withResolvers<StreamPage>();

  let clock: CallClock | null = null;

  async function produce(
    open: OpenCall<Limits>,
    connection: Connection,
    human: HumanCall,
  ): Promise<void> {
    ({ clock } = open);
    const totals = { rows: 0, bytes: 0 };
    const source = pages(input, connection, human, open.limits, options.typeParser);
    for (;;) {
      const wish = await orStopped(asked.promise, open.clock);
      if (wish === "stop") return;
      const page = await source.next();
      totals.rows += page.rows.length;
      totals.bytes += page.bytes;
      open.note({ ...totals, truncated: page.truncated, native: source.native });
      asked = Promise.withResolvers();
      handed.resolve(page);
      // The connection is free while the reader is still busy with the last page.
      if (page.isLast) return;
    }
  }

  async function* rows(): AsyncGenerator<SqlRow, void, undefined> {
    if (wasIterated) {
      throw new BehalfError(
        "configuration",
        "[postgres] a stream can be read once; make a new one",
        {
          backend: "postgres",
          reason: "stream_read_twice",
        },
      );
    }
    wasIterated = true;
    const check = () => {
      checkInput(input);
      return limitsOf(options, { ...defaults, ...UNLIMITED });
    };
    let failure: { readonly error: unknown } | null = null;
    const call = calls.call(facts, options, check, (open) =>
      lender.lend(open, modeOf(input), (connection, human) => produce(open, connection, human)),
    );
    call.catch((error: unknown) => {
      failure = { error };
      // It failed while nobody had asked for a page, or before there was one.
      handed.reject(error);
    });
    handed.promise.catch(() => {});
    const throwIfFailed = () => {
      // The clock knows at once, the call when it has cleaned up.
      clock?.check();
      if (failure !== null) throw failure.error;
    };
    let hasFailed = false;
    try {
      for (let isLast = false; !isLast;) {
        asked.resolve("more");
        const page = await handed.promise;
        handed = Promise.withResolvers();
        handed.promise.catch(() => {});
        ({ columns, truncated, isLast } = page);
        for (const row of page.rows) {
          throwIfFailed();
          yield row;
        }
        throwIfFailed();
      }
    } catch (error) {
      hasFailed = true;
      throw error;
    } finally {
      asked.resolve("stop");
      // The end of a stream is the end of its call: cleaned up, and on record.
      if (!hasFailed) await call;
      else await call.catch(() => {});
    }
  }

  return {
    get columns() {
      return columns;
    },
    get truncated() {
      return truncated;
    },
    [Symbol.asyncIterator]: rows,
  };
}
