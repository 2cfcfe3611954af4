import { describe, expect, it } from "vitest";

import { marked, NOTES_SCHEMA, problemsOf } from "../test-support/problems-of.ts";
import { parsePolicies, type PolicySchema } from "./index.ts";

const mapping = async (text: string): Promise<PolicySchema> =>
  (await parsePolicies({ schema: { file: "schema", text }, policies: [] })).schema;

describe("the mapping", () => {
  it("is the name itself where nothing else is said", async () => {
    const { entities, actions } = await mapping(NOTES_SCHEMA);
    const [user, note] = [entities.get("User"), entities.get("Note")];
    expect(user?.human).toEqual({ claim: ["sub"], issuer: undefined });
    expect([...(user?.attributes.values() ?? [])].map(({ name, claim }) => [name, claim])).toEqual([
      ["level", ["level"]],
      ["org", ["org_id"]],
    ]);
    expect(note?.table).toEqual({ schema: "public", table: "notes", key: "id" });
    expect(note?.attributes.get("owner")).toEqual({
      name: "owner",
      type: { kind: "entity", name: "User" },
      isOptional: false,
      column: "owner",
      claim: undefined,
      isParent: false,
    });
    expect(actions.map(({ name, verb }) => [name, verb])).toEqual([
      ['Action::"create"', "create"],
      ['Action::"delete"', "delete"],
      ['Action::"read"', "read"],
      ['Action::"update"', "update"],
    ]);
  });

  it("follows namespaces, common types, quoted names and pointers", async () => {
    const { entities, actions } = await mapping(`
      namespace Shop {
        type Address = { street: String, zip?: Long };
        @claim("sub") @issuer("https://login.example.com")
        entity User in [Team] { @claim("https://example.com/claims/org") org?: String };
        @claim("/realm~1access/roles")
        entity Team;
        @table("\\"My Shop\\".Orders") @key("\\"orderId\\"")
        entity Order in [Team] { @column("\\"Ship To\\"") address?: Address, @parent @doc("who sells") seller?: Team };
        action all;
        @verb("read") action "look at" in [all] appliesTo { principal: User, resource: Order, context: { @claim("/act/sub") actor?: String } };
        @verb("none") action print appliesTo { principal: User, resource: Order };
      }`);
    expect(entities.get("Shop::Order")?.table).toEqual({
      schema: "My Shop",
      table: "orders",
      key: "orderId",
    });
    expect(entities.get("Shop::Order")?.attributes.get("address")).toMatchObject({
      column: "Ship To",
      type: { kind: "record" },
    });
    expect(entities.get("Shop::Team")?.members).toEqual({
      from: "claim",
      claim: ["realm/access", "roles"],
    });
    expect(entities.get("Shop::User")).toMatchObject({
      human: { issuer: "https://login.example.com" },
      parents: ["Shop::Team"],
    });
    expect(entities.get("Shop::User")?.attributes.get("org")?.claim).toEqual([
      "https://example.com/claims/org",
    ]);
    expect(actions).toMatchObject([
      { name: 'Shop::Action::"look at"', verb: "read" },
      { name: 'Shop::Action::"print"', verb: undefined },
    ]);
    expect([...(actions[0]?.isIn ?? [])]).toEqual([
      'Shop::Action::"look at"',
      'Shop::Action::"all"',
    ]);
    expect(actions[0]?.context.get("actor")?.claim).toEqual(["act", "sub"]);
  });
});

it("takes a type that is named twice once", async () => {
  const twice = NOTES_SCHEMA.replace(
    "principal: User, resource: Note",
    "principal: [User, User], resource: [Note, Note]",
  );
  expect(
    (await mapping(twice)).actions.map((action) => [action.principalTypes, action.resourceTypes]),
  ).toEqual(Array.from({ length: 4 }, () => [["User"], ["Note"]]));
});

describe("refused, with what was meant", () => {
  const note = async (change: (schema: string) => string) =>
    (await problemsOf(change(NOTES_SCHEMA))).map(
      (problem) =>
        `${problem.position.line} ${marked(problem)} ${problem.code}: ${problem.message}${problem.help === undefined ? "" : ` | ${problem.help}`}`,
    );
  const cases: readonly (readonly [string, (schema: string) => string, string])[] = [
    [
      "an annotation that is misspelled",
      (s) => s.replace("{ owner", '{ @colum("owner_sub") owner'),
      '3 @colum("owner_sub") mapping: there is no annotation @colum | did you mean @column?',
    ],
    [
      "an annotation of nobody's",
      (s) => s.replace("@table", "@since @table"),
      "3 @since mapping: there is no annotation @since | on an entity type there are @table, @key, @claim, @issuer, @membership, @hierarchy, @doc",
    ],
    [
      "an annotation in another place",
      (s) => s.replace("{ owner", '{ @table("public.owners") owner'),
      '3 @table("public.owners") mapping: @table cannot stand on an attribute of an entity type | it belongs on an entity type',
    ],
    [
      "a table without its schema",
      (s) => s.replace("public.notes", "notes"),
      '3 @table("notes") mapping: "notes" names no table | write the schema, too: @table("public.orders")',
    ],
    [
      "SQL in the place of a name",
      (s) => s.replace("public.notes", "public.notes; drop table notes"),
      '3 @table("public.notes; drop table notes") mapping: "public.notes; drop table notes" names no table | write the schema, too: @table("public.orders")',
    ],
    [
      "SQL in the place of a column",
      (s) => s.replace("{ owner", '{ @column("owner) or (true") owner'),
      '3 @column("owner) or (true") mapping: "owner) or (true" names no column | a name with capitals or other signs stands in double quotes: @column("\\"Name\\"")',
    ],
    [
      "no table",
      (s) => s.replace('@table("public.notes")', ""),
      '3 Note mapping: actions apply to Note, and nothing says in which table it stands | write @table("public.name") on it, or @verb("none") on those actions',
    ],
    [
      "no claim for the human",
      (s) => s.replace('@claim("sub")', ""),
      '2 User mapping: User is a principal, and nothing says which claim is its id | write @claim("sub") on it',
    ],
    [
      "a claim of a row",
      (s) => s.replace("{ owner", '{ @claim("x") owner'),
      '3 @claim("x") mapping: @claim stands on an attribute of Note, which is no principal | an attribute of a table is a column: @column',
    ],
    [
      "a column of a human",
      (s) => s.replace('@claim("org_id")', '@column("org_id")'),
      '2 @column("org_id") mapping: @column stands on an attribute of User, which has no table | write @table on User',
    ],
    [
      "a pointer that is none",
      (s) => s.replace('@claim("org_id")', '@claim("/a~2")'),
      '2 @claim("/a~2") mapping: "/a~2" names no claim | write the name of the claim, or a JSON Pointer such as "/act/sub"',
    ],
    [
      "a type that no claim has",
      (s) => s.replace("level?: Long", "level?: decimal"),
      "2 level mapping: level is a decimal, and a token has no such values | declare it as String and compare it with strings",
    ],
    [
      "a type that no column has",
      (s) => s.replace("size?: Long", "size?: duration"),
      "3 size mapping: size is a duration, which no column type holds exactly | declare it as Long, in milliseconds",
    ],
    [
      "a set of sets",
      (s) => s.replace("size?: Long", "size?: Set<Set<Long>>"),
      "3 size mapping: size is a Set<Set<Long>>, and no array holds that | elements can be String, Long, Bool or entities; other things need a table of their own",
    ],
    [
      "tags",
      (s) => s.replace("size?: Long }", "size?: Long } tags String"),
      "3 Note mapping: Note has tags, which no column carries | declare each of them as an optional attribute",
    ],
    [
      "an attribute that is declared twice, of which Cedar takes the last",
      (s) =>
        s.replace("owner: User", '@column("owner") owner: User, @column("editor") "owner"?: User'),
      '3 "owner" mapping: owner is declared a second time, and Cedar would take this one in silence | take one of them away',
    ],
    [
      "the same in a record",
      (s) =>
        s.replace(
          "size?: Long",
          "at?: { size?: Long, from: { size: Long }, size: Bool }, size?: Long",
        ),
      "3 size mapping: size is declared a second time, and Cedar would take this one in silence | take one of them away",
    ],
    [
      "a name of Cedar's own",
      (s) => `${s}entity Bool;`,
      "5 Bool warning: The name `Bool` shadows a builtin Cedar name. You'll have to refer to the builtin as `__cedar::Bool`.",
    ],
    [
      "a verb that is none",
      (s) =>
        s.replace(
          "action read,",
          '@verb("raed") action look appliesTo { principal: User, resource: Note };\naction read,',
        ),
      '4 @verb("raed") mapping: there is no verb "raed" | did you mean "read"?',
    ],
    [
      "an action without a verb",
      (s) => s.replace("action read,", "action read, print,"),
      '4 print mapping: nothing says which verb of a database the action "print" is | write @verb("read"), "create", "update" or "delete", or @verb("none") if only the application asks it',
    ],
    [
      "two actions of one verb",
      (s) =>
        s.replace(
          "action read,",
          '@verb("read") action list appliesTo { principal: User, resource: Note };\naction read,',
        ),
      '5 read mapping: Action::"list" is the verb "read" of the same tables already | a table is asked one question for each verb: give one of them @verb("none")',
    ],
    [
      "a parent that is no entity",
      (s) => s.replace("size?: Long", "@parent size?: Long"),
      "3 @parent mapping: @parent needs an entity, and size is a Long",
    ],
    [
      "a parent that the type does not allow",
      (s) => s.replace("{ owner", "{ @parent owner"),
      "3 @parent mapping: a Note cannot be in a User | write entity Note in [User]",
    ],
    [
      "two types of one table",
      (s) => `${s}@table("public.notes") entity Other;`,
      '5 @table("public.notes") mapping: public.notes is the table of Note already | a row is an entity of one type: give one of them another table or a view',
    ],
    [
      "groups of whose members nothing is said",
      (s) => `${s.replace("entity User", "entity User in [Team]")}entity Team;`,
      '5 Team mapping: principals may be in a Team, and nothing says where its members stand | write @membership("public.name(member, group)"), or @claim("groups") if tokens list them',
    ],
    [
      "groups within groups of which nothing is said",
      (s) =>
        `${s.replace("entity User", "entity User in [Team]")}@membership("public.m(a, b)") entity Team in [Team];`,
      '5 Team mapping: a Team may be in another, and nothing says where that stands | write @hierarchy("public.name(id, parent)")',
    ],
    [
      "a membership with one column",
      (s) =>
        `${s.replace("entity User", "entity User in [Team]")}@membership("public.m(a)") entity Team;`,
      '5 @membership("public.m(a)") mapping: "public.m(a)" is no table with two columns | write @membership("public.name(member, group)")',
    ],
    [
      "groups in groups of another type",
      (s) =>
        `${s.replace("entity User", "entity User in [Team]")}@claim("teams") entity Team in [Org]; entity Org;`,
      "5 Team mapping: a Team may be in a group of another type, and no mapping says where that stands | let groups be of one type, and let the members be in each of them directly",
    ],
  ];
  it.each(cases)("%s", async (_, change, expected) => {
    expect(change(NOTES_SCHEMA)).not.toBe(NOTES_SCHEMA);
    expect(await note(change)).toContain(expected);
  });
});
