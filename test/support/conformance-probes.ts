import type { Probe, Way } from "@behalf/conformance";
import { sql, type SqlAdapter, type SqlRow, type SqlSession, type Statement } from "@behalf/core";
import { trustedStatement } from "@behalf/core/trusted-text";

/** Sends one text or statement and gives its rows. */
type Ask = (input: string | Statement) => Promise<readonly SqlRow[]>;

const LOOK = "select org_id from orders";
const WIDER = "select owner from invoices";
const HOLD = "select pg_sleep(30)";
const FAIL = "select fails()";
const CLAIM = "select behalf.claim('nickname')";
/** The function sets settings for the session, where no text says so. */
const LEAVE = "select leave_settings(), pg_advisory_lock(4711)";
const RESIDUE = `
  select 'a setting: ' || current_setting('left.behind', true) where current_setting('left.behind', true) <> ''
  union all select 'a seal' where current_setting('left.seal', true) <> ''
  union all select 'work_mem is ' || current_setting('work_mem') where current_setting('work_mem') = '7777kB'
  union all select 'a lock' from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
  union all select 'temporary: ' || relname::text from pg_class where relname = 'left_behind'
  union all select 'listens to ' || channel from pg_listening_channels() channel
  union all select 'a cursor: ' || name from pg_cursors where name = 'left_behind'
  union all select 'prepared: ' || name from pg_prepared_statements where name = 'left_behind'`;

/** What an author of statements may leave by mistake. The last one only a write may. */
const LEAVE_STATEMENTS = [
  LEAVE,
  "listen left_behind",
  "declare left_behind cursor with hold for select 1",
  "create temp table left_behind (a int)",
];
/** After this the connection is cut, and nothing else on it could be found. */
const PREPARE = "prepare left_behind as select 1";

/** The shape of a seal, with Bob in it: what the database makes, but for the HMAC. */
const FORGED = `${"0".repeat(64)}{"key":1,"exp":4000000000,"claims":{"sub":"bob","org_id":"globex"}}`;

/** The best of test/attacks/cases: what broke the usual recipe, for one human's text or the next one's call. */
const HOSTILE: Readonly<Record<string, string>> = {
  "another identity, before the table is read": `with f as materialized (select set_config('behalf.seal', '${FORGED}', true)) select o.org_id from f, orders o`,
  "another identity, for the session": `select set_config('behalf.seal', '${FORGED}', false)`,
  "one's own identity, for the session":
    "select set_config('behalf.seal', current_setting('behalf.seal'), false)",
  "another role": "select set_config('role', session_user, true)",
  "a role for good": "select set_config('role', current_user, false)",
  "no row security": "select set_config('row_security', 'off', false), count(*) from orders",
  "the end of the transaction": "commit; select * from orders",
  "the end of the transaction, in a statement of its own": "commit",
  "a transaction that writes": "select set_config('transaction_read_only', 'off', true)",
  "the cursor that it runs in": "fetch all from behalf_cursor",
  "the same, by a function": "select cursor_to_xml('behalf_cursor', 10, true, true, '')",
  "a query inside a query": "select query_to_xml('select * from orders', true, true, '')",
  "a function that writes": "select leave_mark('hostile')",
  "a sequence, which no ROLLBACK undoes": "select nextval('counter')",
  "an error that quotes rows": "select org_id::int from orders where org_id <> 'acme'",
  "an entry in another's name":
    "insert into marks (mark, subject) values ('hostile', 'bob') returning 1",
  "a row for somebody else": "update orders set org_id = 'globex' returning 1",
  "a row of somebody else":
    "update orders set org_id = 'acme' where org_id = 'globex' returning org_id",
  "a connection of its own":
    "select * from dblink('', 'select org_id from orders') as o (org_id text)",
  "a search_path and a timeout":
    "select set_config('search_path', 'pg_temp', false), set_config('statement_timeout', '0', false)",
  "locks and settings": LEAVE,
};

function list(rows: readonly SqlRow[]): readonly string[] {
  return rows.map(([value]) => String(value));
}

async function one(rows: Promise<readonly SqlRow[]>): Promise<unknown> {
  return (await rows)[0]?.[0];
}

function textProbe(ask: Ask): Probe {
  return {
    look: async () => list(await ask(LOOK)),
    wider: async () => list(await ask(WIDER)),
    hold: () => ask(HOLD),
    fail: () => ask(FAIL),
    change: (mark) => ask(`insert into marks (mark) values ('${mark.replaceAll("'", "''")}')`),
    // A text has no place for a value but itself.
    echo: (value) => one(ask(sql`select ${value}::text`)),
    claim: () => one(ask(CLAIM)),
    leave: () => ask(LEAVE),
    residue: async () => list(await ask(RESIDUE)),
    hostile: Object.fromEntries(
      Object.entries(HOSTILE).map(([name, text]) => [name, () => ask(text)]),
    ),
  };
}

function statementProbe(ask: Ask, leave: readonly string[]): Probe {
  const say = (text: string) => ask(trustedStatement(text));
  return {
    look: async () => list(await say(LOOK)),
    wider: async () => list(await say(WIDER)),
    hold: () => say(HOLD),
    fail: () => say(FAIL),
    change: (mark) => ask(sql`insert into marks (mark) values (${mark})`),
    echo: (value) => one(ask(sql`select ${value}::text`)),
    claim: () => one(say(CLAIM)),
    async leave() {
      for (const text of leave) await say(text);
    },
    residue: async () => list(await say(RESIDUE)),
  };
}

const inSession =
  (session: SqlSession): Ask =>
  async (input) =>
    (await session.query(input)).rows;

/** What `run` does by default: an agent's texts. */
export function runProbe(session: SqlSession): Probe {
  return { ...textProbe(inSession(session)), whoAmI: () => session.whoAmI() };
}

const byQuery =
  (...[adapter, delegation, , options]: Parameters<Way<SqlAdapter>["run"]>): Ask =>
  async (input) =>
    (await adapter.query(delegation, input, options)).rows;

const byStream =
  (...[adapter, delegation, , options = {}]: Parameters<Way<SqlAdapter>["run"]>): Ask =>
  async (input) => {
    const { access: _, ...streamOptions } = options;
    const rows: SqlRow[] = [];
    for await (const row of adapter.stream(delegation, input, streamOptions)) rows.push(row);
    return rows;
  };

/** Every other way to call the adapter. A statement is its author's: what is hostile there is a value. */
export const WAYS: readonly Way<SqlAdapter>[] = [
  {
    name: "run with statements",
    isCallback: true,
    lacks: ["hostile"],
    run: (adapter, delegation, work, options) =>
      adapter.run(
        delegation,
        (session) => {
          // A statement that fails would end the transaction.
          const leave = LEAVE_STATEMENTS.slice(0, options?.access === "write" ? undefined : -1);
          return work({
            ...statementProbe(inSession(session), leave),
            whoAmI: () => session.whoAmI(),
          });
        },
        options,
      ),
  },
  {
    name: "query with a text",
    lacks: ["whoAmI", "echo"],
    run: (...call) => call[2](textProbe(byQuery(...call))),
  },
  {
    name: "query with a statement",
    lacks: ["whoAmI", "hostile"],
    run: (...call) => call[2](statementProbe(byQuery(...call), LEAVE_STATEMENTS)),
  },
  {
    name: "stream of a text",
    lacks: ["whoAmI", "echo", "change"],
    run: (...call) => call[2](textProbe(byStream(...call))),
  },
  {
    name: "stream of a statement",
    lacks: ["whoAmI", "hostile", "change"],
    run: (...call) => call[2](statementProbe(byStream(...call), [PREPARE])),
  },
];

/** `run` sends n + 1, `query` one, a stream of one page that and a clean-up. */
export const ROUND_TRIPS: Readonly<Record<string, number>> = {
  run: 2,
  "run with statements": 2,
  "query with a text": 1,
  "query with a statement": 1,
  "stream of a text": 2,
  "stream of a statement": 2,
};
