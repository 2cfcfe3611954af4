import { emitPostgresRead, lowerPolicies, parsePolicies } from "@behalf/policy";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { cedarOracle, type CedarValue, type Question } from "../support/cedar-oracle.ts";
import {
  ISSUER,
  type Json,
  type KitWorld,
  kitWorld,
  putKeys,
  start,
} from "../support/kit-world.ts";
import { ALTERATIONS } from "../support/policy-alterations.ts";
import {
  type Human,
  HUMANS,
  type Row,
  type Table,
  TABLES,
  TEAMS,
  type Verb,
} from "../support/policy-cases.ts";
import { policyPage } from "../support/policy-page.ts";

const DOCUMENTED_ISSUER = "https://login.example.com";
const WRITER = "policy_by_hand_writer";

const [schema = { cedar: "", sql: "" }, ...rules] = policyPage();
const allows = cedarOracle(schema.cedar, rules.map((rule) => rule.cedar).join("\n"));

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const ifString = (value: unknown) => (typeof value === "string" ? value : undefined);

/** The claims as the schema types them: what is of another type is absent. */
function facts({ claims }: Human): {
  attributes: Record<string, CedarValue | undefined>;
  context: Record<string, CedarValue | undefined>;
} {
  const { org_id, spend_limit, topics, act, mission } = claims;
  const task = isObject(mission) && typeof mission["id"] === "string" ? mission : undefined;
  return {
    attributes: {
      org: ifString(org_id),
      limit: Number.isInteger(spend_limit) ? (spend_limit as number) : undefined,
      topics:
        Array.isArray(topics) && topics.every((topic) => typeof topic === "string")
          ? topics
          : undefined,
    },
    context: {
      actor: isObject(act) ? ifString(act["sub"]) : undefined,
      task: task && known({ id: task["id"] as string, folder: ifString(task["folder"]) }),
    },
  };
}

function known(record: Record<string, CedarValue | undefined>): Record<string, CedarValue> {
  return Object.fromEntries(
    Object.entries(record).filter((entry): entry is [string, CedarValue] => entry[1] !== undefined),
  );
}

const team = (id: string) => ({ type: "Team", id });
const teamEntities = Object.entries(TEAMS).map(([id, above]) => ({
  uid: team(id),
  attrs: {},
  parents: above === null ? [] : [team(above)],
}));

/** What Cedar's evaluator decides for one human and one row. */
function cedar(human: Human, verb: Verb, { type, attributes }: Table, row: Row): boolean {
  // A human of an issuer that no entity type names is no principal.
  if (human.claims["iss"] !== undefined) return false;
  const { attributes: attrs, context } = facts(human);
  const principal = { type: "User", id: human.name };
  const resource = { type, id: String(row["id"]) };
  const parent = row["team_id"];
  const question: Question = {
    principal,
    action: verb,
    resource,
    context: known(context),
    entities: [
      ...teamEntities,
      { uid: principal, attrs: known(attrs), parents: (human.teams ?? []).map(team) },
      {
        uid: resource,
        attrs: known(attributes(row)),
        parents: typeof parent === "string" ? [team(parent)] : [],
      },
    ],
  };
  return allows(question);
}

/** Altered policies are compared with the same decisions. */
const decisionsOf = new Map<string, boolean>();

function may(human: Human, verb: Verb, table: Table, row: Row, to: Row = row): boolean {
  const asked = (which: Verb, of: Row) => {
    const key = JSON.stringify([HUMANS.indexOf(human), which, table.type, of]);
    const decision = decisionsOf.get(key) ?? cedar(human, which, table, of);
    decisionsOf.set(key, decision);
    return decision;
  };
  if (verb === "read" || verb === "create") return asked(verb, row);
  if (verb === "delete") return asked("read", row) && asked("delete", row);
  return asked("read", row) && asked("update", row) && asked("update", to) && asked("read", to);
}

const literal = (value: unknown): string =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? `array[${value.map(literal).join()}]::text[]`
      : `'${(typeof value === "string" ? value : JSON.stringify(value)).replaceAll("'", "''")}'`;

let world: KitWorld;
let gateway: pg.Client;
const tickets: (string | null)[] = [];

beforeAll(async () => {
  world = await kitWorld();
  const { admin, names, key } = world;
  await admin.query("drop table orders");
  await admin.query(schema.sql);
  for (const { sql } of rules) await admin.query(sql);
  for (const [id, parent] of Object.entries(TEAMS)) {
    await admin.query("insert into teams values ($1, $2)", [id, parent]);
  }
  for (const { name, teams = [] } of HUMANS) {
    for (const id of teams)
      await admin.query("insert into team_members values ($1, $2)", [name, id]);
  }
  const tables = Object.keys(TABLES).join();
  await admin.query(`
    ${Object.entries(TABLES)
      .flatMap(([name, { rows }]) =>
        rows.map(
          (row) => `insert into ${name} (${Object.keys(row).join()})
          values (${Object.values(row).map(literal).join()});`,
        ),
      )
      .join("\n")}
    drop role if exists ${WRITER};
    select behalf.add_write_role('${names.agent}', '${WRITER}');
    grant select on ${tables} to ${names.agent};
    grant select, insert, update, delete on ${tables} to ${WRITER};
    select behalf.add_issuer('${DOCUMENTED_ISSUER}');
    select behalf.map_role(issuer, 'job', 'clerk', '${names.agent}')
    from unnest(array['${ISSUER}', '${DOCUMENTED_ISSUER}']) issuer;
    select behalf.add_gateway('${names.gateway}', writes => true);
  `);
  await putKeys(admin, DOCUMENTED_ISSUER, [key]);
  gateway = await world.connect();
  for (const { name, claims } of HUMANS) {
    const { rows } = await gateway.query<{ ticket: string }>(
      "select ticket from behalf.exchange($1)",
      [world.token(name, { iss: DOCUMENTED_ISSUER, job: "clerk", org_id: undefined, ...claims })],
    );
    tickets.push(rows[0]?.ticket ?? null);
  }
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** A transaction of this human's agent, which leaves nothing behind. */
async function asAgentOf<T>(human: Human, work: () => Promise<T>, begin = "begin"): Promise<T> {
  await gateway.query(begin);
  try {
    await start(gateway, tickets[HUMANS.indexOf(human)] ?? null, {
      issuer: (human.claims["iss"] as string | undefined) ?? DOCUMENTED_ISSUER,
      subject: human.name,
    });
    return await work();
  } finally {
    await gateway.query("rollback");
  }
}

/** How many rows a text of the agent's changed, or the refusal's code. */
async function written(text: string): Promise<number | string> {
  await gateway.query("savepoint before");
  try {
    const { rows } = await gateway.query<{ affected: string }>(
      "select affected from behalf.write($1, 9, 9999)",
      [text],
    );
    return Number(rows[0]?.affected);
  } catch (error) {
    return (error as pg.DatabaseError).code ?? "";
  } finally {
    await gateway.query("rollback to before");
  }
}

interface Comparison {
  readonly decisions: number;
  readonly allowed: number;
  readonly differences: readonly string[];
}

/**
 * Every human, row and verb of one table: what PostgreSQL shows and lets be written, and what Cedar decides.
 * With `untilDifferent` it ends after the first human with a difference.
 */
async function compare(name: string, untilDifferent = false): Promise<Comparison> {
  const table = TABLES[name] as Table;
  const differences: string[] = [];
  let decisions = 0;
  let allowed = 0;
  const check = (what: string, postgres: boolean | number | string, decided: boolean | number) => {
    decisions++;
    if (decided) allowed++;
    if (postgres !== decided) {
      differences.push(`${what}: PostgreSQL ${String(postgres)}, Cedar ${String(decided)}`);
    }
  };
  for (const human of HUMANS) {
    if (untilDifferent && differences.length > 0) break;
    const who = `${human.name} of ${JSON.stringify(human.claims["iss"] ?? "the issuer")}`;
    const shown = await asAgentOf(
      human,
      async () => {
        try {
          const { rows } = await gateway.query<{ read: string }>(
            "select * from behalf.read($1, 1000, 100000)",
            [`select id from ${name}`],
          );
          return new Set(rows.map(({ read }) => read.replaceAll(/[()]/g, "")));
        } catch (error) {
          return (error as pg.DatabaseError).code ?? "";
        }
      },
      "begin read only",
    );
    for (const row of table.rows) {
      check(
        `${who} reads ${JSON.stringify(row)}`,
        typeof shown === "string" ? shown : shown.has(String(row["id"])),
        may(human, "read", table, row),
      );
    }
    if (table.changes === undefined) continue;
    const { changes, blind = [] } = table;
    await asAgentOf(human, async () => {
      for (const row of table.rows) {
        const outcome = await written(`delete from ${name} where id = ${String(row["id"])}`);
        check(
          `${who} deletes ${JSON.stringify(row)}`,
          outcome === 1 || (outcome === 0 ? false : outcome),
          may(human, "delete", table, row),
        );
        for (const change of changes) {
          const to = { ...row, ...change };
          const sets = Object.entries(change).map(
            ([column, value]) => `${column} = ${literal(value)}`,
          );
          const changed = await written(
            `update ${name} set ${sets.join()} where id = ${String(row["id"])}`,
          );
          // 0: the old row is not theirs to change. 42501: the new one would not be.
          check(
            `${who} updates ${JSON.stringify(row)} to ${JSON.stringify(to)}`,
            changed === 1 || (changed === 0 || changed === "42501" ? false : changed),
            may(human, "update", table, row, to),
          );
        }
      }
      for (const change of changes) {
        const row = { id: 1000, ...change };
        const created = await written(
          `insert into ${name} (${Object.keys(row).join()}) values (${Object.values(row).map(literal).join()})`,
        );
        check(
          `${who} creates ${JSON.stringify(row)}`,
          created === 1 || (created === "42501" ? false : created),
          may(human, "create", table, row),
        );
      }
      for (const { text, verb, to } of blind) {
        const theirs = table.rows.filter((row) => may(human, verb, table, row, { ...row, ...to }));
        const touched = table.rows.filter((row) => may(human, verb, table, row));
        // An update of several rows is refused as a whole where one new row would not be theirs.
        const refused = verb === "update" && touched.length > theirs.length;
        const outcome = await written(text);
        check(
          `${who}: ${text}`,
          refused ? outcome === "42501" : outcome,
          refused ? true : theirs.length,
        );
      }
    });
  }
  return { decisions, allowed, differences };
}

describe("the rules of docs/policy-by-hand.md", () => {
  it.each(Object.keys(TABLES))("in PostgreSQL, %s: as Cedar decides", async (name) => {
    const { decisions, allowed, differences } = await compare(name);
    expect(differences).toEqual([]);
    // Neither an oracle that denies everything nor one that allows everything would notice.
    expect(allowed).toBeGreaterThan(10);
    expect(decisions - allowed).toBeGreaterThan(10);
  });

  it("hold their guards: preflight only knows verbs that no rule permits", async () => {
    const { rows } = await gateway.query<{ problem: string }>("select * from behalf.preflight(3)");
    const { rows: policies } = await world.admin.query<{ verb: string }>(
      `select distinct case polcmd when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' end
         || ' public.' || polrelid::regclass as verb
       from pg_policy where polcmd <> 'r' and polname like 'cedar%'`,
    );
    const permitted = policies.map(({ verb }) => verb);
    const all = Object.keys(TABLES).flatMap((table) =>
      ["insert", "update", "delete"].map((verb) => `${verb} public.${table}`),
    );
    expect(
      rows.map(({ problem }) => / may (\w+ \S+),/.exec(problem)?.[1] ?? problem).toSorted(),
    ).toEqual(all.filter((verb) => !permitted.includes(verb)).toSorted());
  });
});

describe("what emitPostgresRead makes of the same Cedar", () => {
  it("shows the same rows", async () => {
    const parsed = await parsePolicies({
      schema: { file: "schema", text: schema.cedar },
      policies: rules.map(({ title, cedar: text }) => ({ file: title, text })),
    });
    const { rows: types } = await world.admin.query<{ table: string; name: string; type: string }>(
      `select 'public.' || c.relname as table, a.attname as name, format_type(a.atttypid, a.atttypmod) as type
       from pg_attribute a join pg_class c on c.oid = a.attrelid
       where c.relname = any ($1) and a.attnum > 0`,
      [Object.keys(TABLES)],
    );
    const columns: Record<string, Record<string, string>> = {};
    for (const { table, name, type } of types) (columns[table] ??= {})[name] = type;
    const emitted = emitPostgresRead({
      schema: parsed.schema,
      rules: lowerPolicies(parsed).rules,
      columns,
    });
    const { rows: byHand } = await world.admin.query<{ drop: string; table: string }>(
      `select format('drop policy %I on %s', polname, polrelid::regclass) as drop, polrelid::regclass::text as table
       from pg_policy where polcmd = 'r' and polname like 'cedar%' order by 1`,
    );
    await world.admin.query(`${byHand.map(({ drop }) => drop).join(";")}; ${emitted}`);
    try {
      for (const table of Object.keys(TABLES)) {
        expect((await compare(table)).differences, table).toEqual([]);
      }
    } finally {
      const { rows: again } = await world.admin.query<{ drop: string }>(
        `select format('drop policy %I on %s', polname, polrelid::regclass) as drop
         from pg_policy where polcmd = 'r' and polname like 'cedar%'`,
      );
      await world.admin.query(
        `${again.map(({ drop }) => drop).join(";")};
         ${rules.flatMap(({ sql }) => sql.match(/create policy \w+_read .*?;\n/gs) ?? []).join("")}`,
      );
    }
  });
});

describe("an altered copy is told apart", () => {
  it.each(ALTERATIONS)("%s: %s", async (table, _, alter) => {
    const rule = rules[Object.keys(TABLES).indexOf(table)] ?? schema;
    const functions = [...schema.sql.matchAll(/create function .*?\$\$;/gs)]
      .map(([text]) => text.replace("create function", "create or replace function"))
      .join("\n");
    const install = async (change: (sql: string) => string) => {
      const { rows } = await world.admin.query<{ policy: string }>(
        "select polname as policy from pg_policy where polrelid = $1::regclass",
        [table],
      );
      await world.admin.query(
        `${rows.map(({ policy }) => `drop policy ${policy} on ${table};`).join("")}
         ${change(functions)} ${change(rule.sql)}`,
      );
    };
    expect([alter(functions), alter(rule.sql)]).not.toEqual([functions, rule.sql]);
    await install(alter);
    try {
      const { differences } = await compare(table, true);
      expect(differences).not.toEqual([]);
    } finally {
      await install((sql) => sql);
    }
  });

  it("and what was put back agrees again", async () => {
    for (const table of Object.keys(TABLES)) {
      expect((await compare(table)).differences).toEqual([]);
    }
  });
});
