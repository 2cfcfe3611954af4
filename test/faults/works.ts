import { sql } from "@behalf/core";

import { until } from "../support/failure.ts";
import { CALLS, type CallKind, type Fault, type Outcome, type Stage, type Work } from "./fault.ts";

type Told = readonly [
  code: string,
  native: string,
  effect: Outcome["effect"],
  made: Outcome["made"],
  connection: Outcome["connection"],
];

/** The same fault for several kinds of calls. */
export function each(
  fault: string,
  produce: (stage: Stage, call: CallKind) => Promise<unknown>,
  told: Partial<Record<CallKind, Told>>,
  more: Pick<Fault, "since"> = {},
): readonly Fault[] {
  return CALLS.flatMap((call) => {
    const expected = told[call];
    if (expected === undefined) return [];
    const [code, native, effect, made, connection] = expected;
    return [
      {
        fault,
        call,
        code,
        native,
        effect,
        made,
        connection,
        produce: (stage: Stage) => produce(stage, call),
        ...more,
      },
    ];
  });
}

/** A call that is in the middle of its statement for so many seconds. */
export function slow({ mark }: Stage, call: CallKind, seconds = 30): Work {
  const isWrite = call.endsWith("writes");
  const reads = `select pg_sleep(${seconds})`;
  const writes = `insert into marks (id) select ${mark} where (${reads}) is not null`;
  // Two pages: the second is what takes its time.
  const streams = `select i, case when i > 6000 then pg_sleep(${seconds})::text end from generate_series(1, 10000) i`;
  return {
    text: call === "stream" ? streams : isWrite ? writes : reads,
    statement: isWrite
      ? sql`insert into marks (id) select ${mark} where (select pg_sleep(${seconds})) is not null`
      : sql`select pg_sleep(${seconds})`,
    next: (session) => session.query(reads),
  };
}

/** A call that is over at once. */
export function quick({ mark }: Stage, call: CallKind): Work {
  const isWrite = call.endsWith("writes");
  return {
    text: isWrite ? `insert into marks (id) values (${mark})` : "select org_id from orders",
    statement: isWrite
      ? sql`insert into marks (id) values (${mark})`
      : sql`select org_id from orders`,
    next: async () => {},
  };
}

/** Every COMMIT from now on waits for a standby that there is not, until the fault is over. */
export async function commitsWait(stage: Stage): Promise<void> {
  stage.defer(async () => {
    await stage.ask("alter system reset synchronous_standby_names");
    await stage.ask("select pg_reload_conf()");
  });
  await stage.ask("alter system set synchronous_standby_names = 'nobody'");
  await stage.ask("select pg_reload_conf()");
  // The setting counts once the checkpointer has read it: a COMMIT shows it.
  await until(async () => {
    let isOver = false;
    let isWaiting = false;
    const pilot = stage
      .ask("select pg_logical_emit_message(true, 'pilot', '')")
      .finally(() => (isOver = true));
    await until(async () => {
      const rows = await stage.ask(
        "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'",
      );
      isWaiting = rows.length > 0;
      return isWaiting || isOver;
    });
    await pilot;
    return isWaiting;
  });
}
