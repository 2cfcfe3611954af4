import { type Delegation, type RunOptions, sql, type SqlAdapter, type SqlRow } from "@behalf/core";
import { trustedStatement } from "@behalf/core/trusted-text";

/** One call, as its kind sees it. */
export interface SoakCall {
  readonly shop: SqlAdapter;
  readonly human: string;
  readonly delegation: Delegation;
  /** From 0 to 1, from the soak's seed. */
  readonly random: () => number;
  /** The number of a row that this call is about to write. */
  readonly issue: () => number;
  /** Checks that every row is the human's: its first two columns say whose it is. */
  readonly mine: (rows: readonly SqlRow[]) => void;
  /** Checks what a connection was like, beside the two columns: see {@link PROBE}. */
  readonly clean: (rows: readonly SqlRow[], mode: "text" | "statement") => void;
}

export interface Kind {
  readonly name: string;
  /** How often it is chosen, of the sum of all. */
  readonly weight: number;
  /** How it ends: `ok`, a code with its SQLSTATE where there is one, or what the caller's own code threw. */
  readonly ends: readonly string[];
  readonly work: (call: SoakCall) => Promise<void>;
  /** Two calls of one human at once, which meet. */
  readonly twin?: (call: SoakCall, meet: () => Promise<void>, isFirst: boolean) => Promise<void>;
}

export const THROWN = "thrown by the caller";

const MINE = "org_id, behalf.claim('sub'), current_setting('behalf.left', true)";
const READ = `select ${MINE} from orders limit 3`;
const SLOW = `select ${MINE}, pg_sleep(0.004) from orders limit 3`;
const LONG = `select ${MINE}, repeat('x', 1000) from orders, generate_series(1, 30)`;

/** What nobody may leave on a connection, and a hash of every setting that does not belong to the call. */
const PROBE = `select o.org_id, behalf.claim('sub'), current_setting('behalf.left', true),
    (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    (select count(*)::int from pg_listening_channels()),
    (select count(*)::int from pg_prepared_statements where name not like 'behalf%'),
    (select count(*)::int from pg_class where relnamespace = pg_my_temp_schema()),
    (select md5(string_agg(name || '=' || coalesce(setting, ''), ',' order by name)) from pg_settings
      where name not in ('application_name', 'statement_timeout', 'in_hot_standby'))
  from orders o limit 1`;

const statements = {
  read: sql`select org_id, behalf.claim('sub'), current_setting('behalf.left', true) from orders limit 3`,
  slow: sql`select org_id, behalf.claim('sub'), current_setting('behalf.left', true), pg_sleep(0.004) from orders limit 3`,
  long: sql`select org_id, behalf.claim('sub'), current_setting('behalf.left', true), repeat('x', 1000) from orders, generate_series(1, 30)`,
  listen: sql`listen somebody`,
  temporary: sql`select set_config('behalf.left', org_id, false), set_config('work_mem', '77MB', false), pg_advisory_lock_shared(id) from orders limit 2`,
  copy: sql`copy ledger from stdin`,
};
const insert = (id: number) => `insert into ledger (id) values (${id}) returning owner, owner`;
const insertion = (id: number) => sql`insert into ledger (id) values (${id})`;
const access = "write";

/** Gives a call up after at most so many milliseconds. */
function leaving(random: () => number, milliseconds: number): RunOptions {
  const stop = new AbortController();
  setTimeout(() => stop.abort(), random() ** 2 * milliseconds);
  return { signal: stop.signal };
}

const refused = [
  "select set_config('role', 'postgres', true)",
  "select 1; select 2",
  "commit",
  "copy orders to stdout",
  "copy ledger from stdin",
  "listen somebody",
  "explain analyze select * from orders",
  "do $$ begin null; end $$",
] as const;

export const KINDS: readonly Kind[] = [
  {
    name: "text reads",
    weight: 300,
    ends: ["ok"],
    work: async ({ shop, delegation, mine }) => mine((await shop.query(delegation, READ)).rows),
  },
  {
    name: "statement reads",
    weight: 200,
    ends: ["ok"],
    work: async ({ shop, delegation, mine }) =>
      mine((await shop.query(delegation, statements.read)).rows),
  },
  {
    name: "text writes",
    weight: 110,
    ends: ["ok"],
    async work({ shop, delegation, issue, human }) {
      const { rows } = await shop.query(delegation, insert(issue()), { access });
      if (rows[0]?.[0] !== human) throw new Error("the row that it wrote is another human's");
    },
  },
  {
    name: "statement writes",
    weight: 90,
    ends: ["ok"],
    work: async ({ shop, delegation, issue }) =>
      void (await shop.query(delegation, insertion(issue()), { access })),
  },
  {
    name: "run reads",
    weight: 40,
    ends: ["ok"],
    work: async ({ shop, delegation, mine }) =>
      shop.run(delegation, async (session) => {
        mine((await session.query(READ)).rows);
        mine((await session.query(READ)).rows);
      }),
  },
  {
    name: "run writes",
    weight: 40,
    ends: ["ok"],
    work: async ({ shop, delegation, mine, issue }) =>
      shop.run(
        delegation,
        async (session) => {
          await session.query(insert(issue()));
          mine((await session.query(READ)).rows);
          await session.query(insert(issue()));
        },
        { access },
      ),
  },
  {
    name: "run of statements writes",
    weight: 30,
    ends: ["ok"],
    work: async ({ shop, delegation, mine, issue }) =>
      shop.run(
        delegation,
        async (session) => {
          await session.query(insertion(issue()));
          mine((await session.query(statements.read)).rows);
        },
        { access },
      ),
  },
  {
    name: "stream",
    weight: 6,
    ends: ["ok"],
    async work({ shop, delegation, mine, random }) {
      const input = random() < 0.5 ? LONG : statements.long;
      for await (const row of shop.stream(delegation, input)) mine([row]);
    },
  },
  {
    name: "stream, left early",
    weight: 10,
    ends: ["ok"],
    async work({ shop, delegation, mine, random }) {
      let left = Math.floor(random() * 300);
      const input = random() < 0.5 ? LONG : statements.long;
      for await (const row of shop.stream(delegation, input)) {
        mine([row]);
        if (left-- === 0) break;
      }
    },
  },
  {
    name: "stream, given up",
    weight: 6,
    ends: ["ok", "cancelled"],
    async work({ shop, delegation, mine, random }) {
      const input = random() < 0.5 ? LONG : statements.long;
      for await (const row of shop.stream(delegation, input, leaving(random, 30))) mine([row]);
    },
  },
  {
    name: "text looks what is left",
    weight: 8,
    ends: ["ok"],
    work: async ({ shop, delegation, clean }) =>
      clean((await shop.query(delegation, PROBE)).rows, "text"),
  },
  {
    name: "statement looks what is left",
    weight: 8,
    ends: ["ok"],
    work: async ({ shop, delegation, clean }) =>
      clean((await shop.query(delegation, trustedStatement(PROBE))).rows, "statement"),
  },
  {
    name: "text is refused",
    weight: 40,
    ends: [
      "backend.denied 42501",
      "statement.refused 42P11",
      "statement.refused 42601",
      "statement.refused 0A000",
    ],
    async work({ shop, delegation, random }) {
      const text = refused[Math.floor(random() * refused.length)] ?? refused[0];
      await shop.query(delegation, text, random() < 0.5 ? {} : { access });
    },
  },
  {
    name: "read fails",
    weight: 20,
    ends: ["backend.failed 22012"],
    work: async ({ shop, delegation }) =>
      void (await shop.query(
        delegation,
        "select set_config('behalf.left', org_id, false), 1 / (id - id) from orders",
      )),
  },
  {
    name: "write fails",
    weight: 20,
    ends: ["backend.failed 22012"],
    work: async ({ shop, delegation, issue }) =>
      void (await shop.query(
        delegation,
        `insert into ledger (id) select ${issue()} from orders where 1 / (id - id) = 1`,
        { access },
      )),
  },
  {
    name: "deferred constraint fails",
    weight: 10,
    ends: ["backend.failed 23505"],
    async work({ shop, delegation, issue, random }) {
      const [one, two] = [issue(), issue()];
      const input =
        random() < 0.5
          ? `insert into ledger (id, slot) values (${one}, ${one}), (${two}, ${one})`
          : sql`insert into ledger (id, slot) values (${one}, ${one}), (${two}, ${one})`;
      await shop.query(delegation, input, { access });
    },
  },
  {
    name: "read is given up",
    weight: 20,
    ends: ["ok", "cancelled"],
    async work({ shop, delegation, mine, random }) {
      const input = random() < 0.5 ? SLOW : statements.slow;
      mine((await shop.query(delegation, input, leaving(random, 40))).rows);
    },
  },
  {
    name: "write is given up",
    weight: 20,
    ends: ["ok", "cancelled"],
    async work({ shop, delegation, issue, random }) {
      const id = issue();
      const input = random() < 0.5 ? insert(id) : insertion(id);
      await shop.query(delegation, input, { access, ...leaving(random, 20) });
    },
  },
  {
    name: "run of writes is given up",
    weight: 8,
    ends: ["ok", "cancelled"],
    work: async ({ shop, delegation, issue, mine, random }) =>
      shop.run(
        delegation,
        async (session) => {
          await session.query(insert(issue()));
          mine((await session.query(SLOW)).rows);
        },
        { access, ...leaving(random, 60) },
      ),
  },
  {
    name: "read is overdue",
    weight: 6,
    ends: ["ok", "timeout 57014", "timeout"],
    async work({ shop, delegation, mine, random }) {
      const deadlineMs = 5 + Math.floor(random() * 25);
      mine((await shop.query(delegation, SLOW, { deadlineMs })).rows);
    },
  },
  {
    name: "write is overdue",
    weight: 6,
    ends: ["ok", "timeout 57014", "timeout"],
    async work({ shop, delegation, issue, random }) {
      const deadlineMs = 3 + Math.floor(random() * 15);
      await shop.query(delegation, insert(issue()), { access, deadlineMs });
    },
  },
  {
    name: "callback throws",
    weight: 20,
    ends: [THROWN],
    work: async ({ shop, delegation, issue, mine, random }) =>
      shop.run(
        delegation,
        async (session) => {
          if (random() < 0.2) throw new Error(THROWN);
          await session.query(insert(issue()));
          mine((await session.query(READ)).rows);
          // Sent, and never waited for.
          if (random() < 0.2) session.query(READ).catch(() => {});
          throw new Error(THROWN);
        },
        { access },
      ),
  },
  {
    name: "result meets its byte cap",
    weight: 5,
    ends: ["ok"],
    async work({ shop, delegation }) {
      const text = "select repeat('x', 1000), generate_series(1, 1000000)";
      const { rows, truncated } = await shop.query(delegation, text, { maxBytes: 10_000 });
      if (truncated !== "bytes" || rows.length > 10) throw new Error("the byte cap did not hold");
    },
  },
  {
    name: "text leaves what it can",
    weight: 10,
    ends: ["ok"],
    work: async ({ shop, delegation, random }) =>
      void (await shop.query(
        delegation,
        "select set_config('behalf.left', org_id, false), set_config('work_mem', '77MB', false), pg_advisory_lock_shared(id) from orders limit 2",
        random() < 0.5 ? {} : { access },
      )),
  },
  {
    name: "statement leaves what it can",
    weight: 10,
    ends: ["ok"],
    work: async ({ shop, delegation, random }) =>
      void (await shop.query(
        delegation,
        random() < 0.5 ? statements.temporary : statements.listen,
        { access },
      )),
  },
  {
    name: "statement copies in",
    weight: 1,
    ends: ["statement.refused 0A000", "backend.failed 08P01", "backend.denied 42501"],
    work: async ({ shop, delegation }) =>
      void (await shop.query(delegation, statements.copy, { access })),
  },
  {
    name: "two calls wait for one another",
    weight: 1,
    ends: ["ok", "backend.failed 40P01"],
    work: async () => {},
    twin: async ({ shop, delegation, issue }, meet, isFirst) =>
      shop.run(
        delegation,
        async (session) => {
          const ids = (await session.query("select id from orders order by id limit 2")).rows;
          const lock = async (row: SqlRow | undefined) =>
            session.query(`update orders set note = null where id = ${String(row?.[0])}`);
          await session.query(insert(issue()));
          await lock(ids[isFirst ? 0 : 1]);
          await meet();
          await lock(ids[isFirst ? 1 : 0]);
        },
        { access },
      ),
  },
];
