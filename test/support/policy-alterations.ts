/** A copy of a table's policies, or of the functions beneath, with one thing wrong. */
export type Alteration = readonly [table: string, what: string, alter: (sql: string) => string];

const ISSUER_TEST = /\n +and behalf\.claim\('iss'\) = '[^']+'/g;
const OWNER = "\n    and owner_sub = (select behalf.claim('sub'))";
const SAME_ORG = "\n    and (select jsonb_typeof(c -> 'org_id') = 'string' from behalf.claims() c)";

/** Replaces one occurrence, counted from 0; from the end if it is negative. */
const nth = (sql: string, from: string, to: string, occurrence: number) => {
  const parts = sql.split(from);
  const at = occurrence < 0 ? parts.length - 1 + occurrence : occurrence;
  return parts.slice(0, at + 1).join(from) + to + parts.slice(at + 1).join(from);
};

export const ALTERATIONS: readonly Alteration[] = [
  ["notes", "whose token it is, not asked", (sql) => sql.replaceAll(ISSUER_TEST, "")],
  ["notes", "no check of the owner of a created row", (sql) => nth(sql, OWNER, "", 1)],
  ["notes", "no check of the new row of an update", (sql) => nth(sql, OWNER, "", 3)],
  ["notes", "no check of the old row of an update", (sql) => nth(sql, OWNER, "", 2)],
  ["notes", "no check of a deleted row", (sql) => nth(sql, OWNER, "", 4)],
  ["notes", "padded comparison", (sql) => sql.replaceAll("owner_sub =", "owner_sub::bpchar =")],
  [
    "notes",
    "folded case",
    (sql) => sql.replaceAll("owner_sub = (select", "lower(owner_sub) = (select"),
  ],
  ["orders", "not of a forbid", (sql) => sql.replace(") is not true", ") = false")],
  [
    "orders",
    "the forbid as a permit's half",
    (sql) => sql.replace(") is not true", ") is not null"),
  ],
  ["orders", "no forbid", (sql) => sql.replace(/\n {4}and \(case when amount.*is not true/s, "")],
  [
    "orders",
    "a product that raises",
    (sql) => sql.replaceAll("amount::numeric * 100", "amount * 100"),
  ],
  [
    "orders",
    "a product without bounds",
    (sql) => sql.replace(/case when amount::numeric \* 100 between \S+ and \d+/, "case when true"),
  ],
  [
    "orders",
    "NULL equals NULL",
    (sql) => sql.replace("org_id = (", "org_id is not distinct from ("),
  ],
  [
    "orders",
    "a tenant of any type",
    (sql) => sql.replace("jsonb_typeof(c -> 'org_id') when 'string'", "'any' when 'any'"),
  ],
  [
    "orders",
    "a limit of any type",
    (sql) => sql.replace("jsonb_typeof(c -> 'spend_limit') when 'number'", "'any' when 'any'"),
  ],
  [
    "orders",
    "a limit with a fraction",
    (sql) => sql.replace("(c ->> 'spend_limit')::numeric % 1 = 0", "true"),
  ],
  ["files", "not of a forbid", (sql) => sql.replace(") is not true", ") = false")],
  [
    "files",
    "a forbid without its unless",
    (sql) => sql.replace(/\n {6}and \(select 'auditors' <> all.*?\(\)\)\)/, ""),
  ],
  ["files", "no owner", (sql) => sql.replace("or owner_sub = (select behalf.claim('sub'))", "")],
  [
    "files",
    "teams without the teams above",
    (sql) => sql.replace(/union\n.*?up\.team where t\.parent is not null/s, ""),
  ],
  [
    "files",
    "teams without the teams beneath",
    (sql) => sql.replace(/union\n +select t\.id from down.*/, ""),
  ],
  ["files", "groups as the agent sees them", (sql) => sql.replaceAll("security definer", "")],
  [
    "messages",
    "pattern of the other language",
    (sql) => sql.replaceAll(/starts_with\(title collate "C", '(.+?)'\)/g, "title like '$1%'"),
  ],
  ["messages", "set equality", (sql) => sql.replaceAll("labels @> array", "labels = array")],
  [
    "messages",
    "elements of any type",
    (sql) => sql.replaceAll(/not jsonb_path_exists.*?\)'\)/g, "true"),
  ],
  ["messages", "a list within a list", (sql) => sql.replaceAll("'strict $[*]", "'lax $[*]")],
  [
    "messages",
    "for agents, too",
    (sql) => sql.replace(/\n {4}and \(select jsonb_typeof\(c -> 'act'.*is not true/, ""),
  ],
  ["messages", "not of a forbid", (sql) => sql.replace("is not true", "= false")],
  [
    "tickets",
    "no folder for the new row",
    (sql) => sql.replace(/(with check .*?)\n {4}and folder = .*?claims\(\) c\)/s, "$1"),
  ],
  [
    "tickets",
    "no folder for the old row",
    (sql) => sql.replace(/(for update .*?)\n {4}and folder = .*?claims\(\) c\)/s, "$1"),
  ],
  [
    "tickets",
    "no unless for the new row",
    (sql) => nth(sql, "\n    and state <> 'closed'", "", -1),
  ],
  ["tickets", "no unless for the old row", (sql) => nth(sql, "\n    and state <> 'closed'", "", 0)],
  [
    "tickets",
    "an update of what cannot be read",
    (sql) => nth(nth(sql, SAME_ORG, "", -1), SAME_ORG, "", -1),
  ],
  [
    "tickets",
    "NULL equals NULL",
    (sql) => sql.replaceAll("folder = (", "folder is not distinct from ("),
  ],
  [
    "tickets",
    "a task that is none",
    (sql) => sql.replaceAll("jsonb_typeof(c -> 'mission' -> 'id') = 'string'", "true"),
  ],
];
