import type { CedarValue } from "./cedar-oracle.ts";
import { ISSUER, type Json } from "./kit-world.ts";

/** Teams, each with the team above it. */
export const TEAMS: Readonly<Record<string, string | null>> = {
  engineering: null,
  compilers: "engineering",
  emitters: "compilers",
  archive: null,
  "archive-2020": "archive",
  "archive-2020-q1": "archive-2020",
  auditors: null,
  "night-auditors": "auditors",
  sales: null,
};

export interface Human {
  readonly name: string;
  readonly claims: Json;
  readonly teams?: readonly string[];
}

const agent = { act: { sub: "agent:assistant" } };
export const HUMANS: readonly Human[] = [
  {
    name: "alice",
    claims: { org_id: "acme", spend_limit: 100_000, topics: ["red"], ...agent },
    teams: ["compilers"],
  },
  // Strings are equal byte by byte.
  { name: "Alice", claims: { org_id: "Acme", topics: ["Red"], ...agent }, teams: ["archive-2020"] },
  // Another issuer's alice is another human, and in this schema nobody.
  { name: "alice", claims: { iss: ISSUER, org_id: "acme", topics: ["red"] } },
  { name: "bob", claims: { org_id: "globex", topics: ["blue", "red"] }, teams: ["emitters"] },
  { name: "carol", claims: { topics: [] }, teams: ["archive-2020-q1", "sales"] },
  {
    name: "dan",
    claims: { org_id: "acme", spend_limit: -1, topics: ["red", 1], ...agent },
    teams: ["night-auditors"],
  },
  // Claims of another JSON type than the schema's.
  {
    name: "erin",
    claims: { org_id: 7, spend_limit: "5", topics: "red", mission: "a", ...agent },
    teams: ["archive"],
  },
  {
    name: "frank",
    claims: {
      org_id: "acme",
      spend_limit: 9_007_199_254_740_991,
      mission: { id: "t1", folder: "a" },
    },
  },
  { name: "grace", claims: { mission: { id: "t2", folder: "a" }, ...agent } },
  { name: "heidi", claims: { org_id: "globex", mission: { id: "t3" } }, teams: ["auditors"] },
  { name: "ivan", claims: { org_id: "globex", mission: { folder: "a" } } },
  { name: "ken", claims: { org_id: "acme", spend_limit: "5" } },
  // A list in a list is no set of strings, whatever its text is.
  { name: "leo", claims: { topics: [["red"]], ...agent } },
  { name: "judy", claims: { org_id: "", spend_limit: 0.5, mission: { id: "t4", folder: 3 } } },
];

export type Row = Readonly<Record<string, unknown>>;
export type Verb = "read" | "create" | "update" | "delete";

export interface Table {
  readonly type: string;
  readonly rows: readonly Row[];
  readonly attributes: (row: Row) => Record<string, CedarValue | undefined>;
  /** Values that rows are changed to, and made of. */
  readonly changes?: readonly Row[];
  /** Statements that read no column skip the policies for SELECT; each says which verb and changes which rows how. */
  readonly blind?: readonly { readonly text: string; readonly verb: Verb; readonly to?: Row }[];
}

const user = (id: unknown): CedarValue => ({ __entity: { type: "User", id: id as string } });
const long = (value: unknown) =>
  // Beyond 2^53 a number would be rounded on its way into the evaluator.
  value === null
    ? undefined
    : (JSON as unknown as { rawJSON(text: string): number }).rawJSON(value as string);

export const TABLES: Readonly<Record<string, Table>> = {
  notes: {
    type: "Note",
    rows: ["alice", "Alice", "alice ", "bob", "", "carol"].map((owner_sub, i) => ({
      id: i + 1,
      owner_sub,
    })),
    attributes: ({ owner_sub }) => ({ owner: user(owner_sub) }),
    changes: [{ owner_sub: "alice" }, { owner_sub: "bob" }, { owner_sub: "Alice" }],
    blind: [
      { text: "delete from notes", verb: "delete" },
      { text: "update notes set owner_sub = 'alice'", verb: "update", to: { owner_sub: "alice" } },
    ],
  },
  orders: {
    type: "Order",
    rows: [
      ["acme", "5"],
      ["acme", "1000"],
      ["acme", "1001"],
      ["acme", null],
      ["acme", "92233720368547758"],
      // 92233720368547759 * 100 is beyond 64 bits: the forbid fails, and is skipped.
      ["acme", "92233720368547759"],
      ["acme", "-92233720368547759"],
      ["acme", "9223372036854775807"],
      ["globex", "1"],
      ["globex", null],
      ["Acme", "1"],
      ["", "1"],
      ["7", "1"],
      [null, "1"],
      [null, null],
    ].map(([org_id, amount], i) => ({ id: i + 1, org_id, amount })),
    attributes: ({ org_id, amount }) => ({
      org: (org_id ?? undefined) as CedarValue | undefined,
      amount: long(amount),
    }),
  },
  files: {
    type: "File",
    rows: [null, ...Object.keys(TEAMS)]
      .flatMap((team_id) => ["alice", "carol"].map((owner_sub) => ({ team_id, owner_sub })))
      .map((row, i) => ({ id: i + 1, ...row })),
    attributes: ({ owner_sub, team_id }) => ({
      owner: user(owner_sub),
      team: team_id === null ? undefined : { __entity: { type: "Team", id: team_id as string } },
    }),
  },
  messages: {
    type: "Message",
    rows: [
      [null, []],
      [null, ["public"]],
      ["", ["Public", "publi"]],
      ["x", ["red", "red", null]],
      ["x", [null]],
      ["x", [null, "blue", "public"]],
      ["100%_*:", []],
      ["100%_*:late", ["green"]],
      ["100%a*:", []],
      ["1000_*:", []],
      ["100%_*x:", []],
      [" 100%_*:", []],
      ["100%_*", ["red"]],
      [null, ['["red"]']],
    ].map(([title, labels], i) => ({ id: i + 1, title, labels })),
    attributes: ({ title, labels }) => ({
      title: (title ?? undefined) as CedarValue | undefined,
      labels: (labels as readonly (string | null)[]).filter((label) => label !== null),
    }),
    changes: [{ title: "100%_*:", labels: ["public"] }],
    blind: [{ text: "delete from messages", verb: "delete" }],
  },
  tickets: {
    type: "Ticket",
    rows: [
      ["a", "open"],
      ["a", "closed"],
      ["A", "open"],
      ["b", "open"],
      ["b", "closed"],
      [null, "open"],
      ["", "open"],
      ["3", "open"],
    ].map(([folder, state], i) => ({ id: i + 1, folder, state })),
    attributes: ({ folder, state }) => ({
      folder: (folder ?? undefined) as CedarValue | undefined,
      state: state as CedarValue,
    }),
    changes: [
      { folder: "a", state: "open" },
      { folder: "a", state: "closed" },
      { folder: "b", state: "open" },
      { folder: null, state: "open" },
    ],
    blind: [
      { text: "update tickets set state = 'read'", verb: "update", to: { state: "read" } },
      { text: "delete from tickets", verb: "delete" },
    ],
  },
};
