import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { connect, type KitWorld, kitWorld } from "../support/kit-world.ts";

// "Functions and grants" of docs/postgres.md against the catalogue of a fresh install. Where it differs, the
// message shows the rows to add and to remove.
let world: KitWorld;
let roles: Readonly<Record<string, string>>;
beforeAll(async () => {
  world = await kitWorld();
  const { agent, gateway } = world.names;
  roles = {
    agent,
    writer: `writer_${agent}`,
    statements: `statements_${agent}`,
    login: gateway,
    statementLogin: `statements_${gateway}`,
  };
  await world.admin.query(`
    select behalf.add_write_role('${agent}', '${roles["writer"]}');
    select behalf.add_statement_role('${agent}', '${roles["statements"]}');
    create role ${roles["statementLogin"]} login noinherit;
    select behalf.add_statement_gateway('${roles["statementLogin"]}')`);
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await using admin = await connect();
  for (const name of ["writer", "statements", "statementLogin"]) {
    await admin.query(`drop role if exists ${roles[name]}`);
  }
});

const page = readFileSync(new URL("../../docs/postgres.md", import.meta.url), "utf8");
const section = /^## Functions and grants\n(.*?)^## /ms.exec(page)?.[1] ?? "";

/** Rows of the tables whose head begins with this column, without the last, which gives the reason. */
function documented(first: string): string[] {
  return section
    .split(/\n\n/)
    .filter((block) => block.startsWith(`| ${first} `))
    .flatMap((block) => block.trim().split("\n").slice(2))
    .map((row) => {
      const cells = row.split("|").map((cell) => cell.trim());
      const [, ...inner] = cells.slice(0, -1);
      expect(inner.at(-1), `a reason for ${inner[0]}`).toMatch(/\w{3}/);
      return `| ${inner.slice(0, -1).join(" | ")} |`;
    });
}

/** By what the page and the database differ; the rows can be pasted, with a reason behind them. */
function differences(written: readonly string[], actual: readonly string[]) {
  return {
    "missing in docs/postgres.md, add": actual.filter((row) => !written.includes(row)),
    "not in the database, remove": written.filter((row) => !actual.includes(row)),
    "twice, remove one": written.filter((row, index) => written.indexOf(row) !== index),
  };
}
const NONE = differences([], []);

/** Who may execute, in the words of the page. */
function holders(grantees: readonly string[]): string {
  const named = new Map([
    [roles["login"], "text gateways"],
    [roles["statementLogin"], "statement gateways"],
  ]);
  const words = grantees
    .map((grantee) =>
      grantee === "everybody" ? grantee : (named.get(grantee) ?? `\`${grantee}\``),
    )
    .toSorted();
  const both = ["statement gateways", "text gateways"];
  const isBoth = both.every((word) => words.includes(word));
  const all = isBoth ? [...words.filter((word) => !both.includes(word)), "gateways"] : words;
  return all.join(", ") || "owner";
}

interface Function {
  readonly name: string;
  readonly types: readonly string[];
  readonly owner: string;
  readonly definer: boolean;
  readonly volatility: string;
  readonly grantees: readonly string[];
  readonly grantable: boolean;
  readonly settings: readonly string[] | null;
  /** Its names were resolved when it was made. */
  readonly parsed: boolean;
}

async function functions(): Promise<readonly Function[]> {
  const { rows } = await world.admin.query<Function>(`
    select f.pronamespace::regnamespace || '.' || f.proname as name,
      array(select format_type(t, null) from unnest(f.proargtypes) with ordinality as x (t, n) order by n) as types,
      f.proowner::regrole::text as owner, f.prosecdef as definer, f.proconfig as settings,
      f.prosqlbody is not null as parsed,
      case f.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end as volatility,
      array(select case x.grantee when 0 then 'everybody' else x.grantee::regrole::text end
        from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) x where x.grantee <> f.proowner) as grantees,
      exists (select from aclexplode(f.proacl) x where x.is_grantable and x.grantee <> f.proowner) as grantable
    from pg_proc f where f.pronamespace in ('behalf'::regnamespace, 'behalf_sandbox'::regnamespace, 'behalf_auth'::regnamespace)`);
  return rows;
}

const ownName = (name: string) =>
  name.replace(`.${roles["writer"]}_`, ".WRITER_").replace(`.${roles["agent"]}_`, ".AGENT_");

describe("docs/postgres.md", () => {
  it("lists every function, who may execute it, and what it is", async () => {
    const actual = (await functions()).map(
      ({ name, types, definer, volatility, grantees }) =>
        `| \`${ownName(name)}(${types.join(", ")})\` | ${holders(grantees)} | ${definer ? "yes" : "no"} | ${volatility} |`,
    );
    expect(differences(documented("function"), actual)).toEqual(NONE);
  });

  it("says rightly to whom they belong, and that each finds names by a path of its own", async () => {
    for (const { name, owner, grantable, settings, parsed } of await functions()) {
      const expected = name.startsWith("behalf_sandbox.")
        ? name.includes(`.${roles["writer"]}_`)
          ? roles["writer"]
          : roles["agent"]
        : "behalf_owner";
      expect({ name, owner, grantable }).toEqual({ name, owner: expected, grantable: false });
      const hasPath = (settings ?? []).some((setting) => setting.startsWith("search_path="));
      expect(hasPath || parsed, name).toBe(true);
    }
  });

  it("lists every table, and nobody but the owner has a right on one", async () => {
    const { rows } = await world.admin.query<{
      name: string;
      secured: boolean;
      foreign: string[];
    }>(`
      select c.oid::regclass::text as name, c.relrowsecurity as secured,
        array(select x.grantee::regrole || ' ' || x.privilege_type
          from aclexplode(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r' end, c.relowner))) x
          where x.grantee <> 'behalf_owner'::regrole) as foreign
      from pg_class c
      where c.relnamespace in ('behalf'::regnamespace, 'behalf_sandbox'::regnamespace) and c.relkind not in ('i', 't')`);
    expect(rows.filter(({ foreign }) => foreign.length > 0)).toEqual([]);
    const tables = rows.filter(({ name }) => !name.endsWith("_seq"));
    const actual = tables.map(({ name, secured }) => `| \`${name}\` | ${secured ? "yes" : "no"} |`);
    expect(differences(documented("table"), actual)).toEqual(NONE);
  });

  it("lists every grant on the schemas", async () => {
    const { rows } = await world.admin.query<{ schema: string; grantee: string; right: string }>(`
      select n.nspname as schema, x.privilege_type as right,
        case x.grantee when 0 then 'everybody' else x.grantee::regrole::text end as grantee
      from pg_namespace n cross join aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x
      where n.nspname in ('behalf', 'behalf_sandbox', 'behalf_auth') and x.grantee <> n.nspowner`);
    const actual = new Set(
      rows.map(
        ({ schema, grantee, right }) =>
          `| schema \`${schema}\` | ${holders([grantee]).replace(/^(text|statement) /, "")} | ${right} |`,
      ),
    );
    const written = documented("on").filter((row) => row.startsWith("| schema "));
    expect(differences(written, [...actual])).toEqual(NONE);
  });

  it("would show a function that it does not list, and a right that it does not name", async () => {
    const name = `later_${randomBytes(3).toString("hex")}`;
    await world.admin.query(`begin;
      create function behalf.${name}() returns int language sql stable security definer set search_path = pg_catalog return 1;
      grant execute on function behalf.sealed() to behalf_agents`);
    try {
      const actual = (await functions()).map(
        ({ name: at, grantees }) => `${at} ${holders(grantees)}`,
      );
      expect(actual).toContain(`behalf.${name} everybody`);
      expect(actual).toContain("behalf.sealed `behalf_agents`");
    } finally {
      await world.admin.query("rollback");
    }
  });
});
