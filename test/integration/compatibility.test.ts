import { readFile } from "node:fs/promises";

import type pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import {
  AUDIENCE,
  call,
  connect,
  goodClaims,
  install,
  ISSUER,
  type Json,
  onServer,
  problems,
  putKeys,
  refusal,
  rsaKey,
  signed,
  start,
  uninstall,
} from "../support/kit-world.ts";

// Roles belong to the whole server, and these have to have their names: no other file makes them.
const ROLES = ["authenticator", "anon", "authenticated", "service_role", "supabase_auth_admin"];
const OURS = [
  "app_owner",
  "agent_clerk",
  "clerk_statements",
  "compat_gateway",
  "compat_statements",
];
const ALICE = "11111111-1111-4111-8111-111111111111";
const BOB = "22222222-2222-4222-8222-222222222222";
const key = rsaKey("k1");
const database = "kit_compatibility";

/** What the humans' own tokens say. */
const CLAIMS: { readonly [human: string]: Json } = {
  alice: {
    sub: ALICE,
    role: "authenticated",
    email: "alice@example.test",
    aal: "aal2",
    org_id: "acme",
    app_metadata: { teams: ["red", "blue"] },
  },
  bob: {
    sub: BOB,
    role: "authenticated",
    email: "bob@example.test",
    aal: "aal2",
    org_id: "globex",
    app_metadata: { teams: ["green"] },
  },
};

const UID = `create or replace function auth.uid() returns uuid language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
      (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'))::uuid $$`;
const IS_MEMBER = `create or replace function public.is_member(project int) returns boolean
  language sql stable security definer set search_path = '' as $$
    select exists (select from public.members m where m.project_id = project and m.user_id = (select auth.uid())) $$`;

/** The style of Supabase: its functions, and policies as its guides write them. */
const APPLICATION = `
  create schema auth authorization supabase_auth_admin;
  grant usage on schema auth to anon, authenticated, service_role;
  ${UID};
  create function auth.role() returns text language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
      (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'))::text $$;
  create function auth.email() returns text language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claim.email', true), ''),
      (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'))::text $$;
  create function auth.jwt() returns jsonb language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claim', true), ''),
      nullif(current_setting('request.jwt.claims', true), ''))::jsonb $$;
  alter function auth.uid() owner to supabase_auth_admin;
  alter function auth.role() owner to supabase_auth_admin;
  alter function auth.email() owner to supabase_auth_admin;
  alter function auth.jwt() owner to supabase_auth_admin;
  comment on function auth.uid() is 'Deprecated';
  revoke execute on function auth.email() from public;
  grant execute on function auth.email() to authenticated, service_role, app_owner;

  create schema storage authorization app_owner;
  grant usage on schema storage to anon, authenticated, service_role;
  set role app_owner;
  create table todos (id int, user_id uuid default auth.uid());
  create table invoices (id int, org_id text);
  create table documents (id int, team_id text);
  create table members (project_id int, user_id uuid);
  create table projects (id int);
  create table vault (id int, user_id uuid);
  create table announcements (id int);
  create table mail (id int, address text);
  create table notes (id int, user_id uuid);
  create table legacy (id int, address text);
  create table storage.objects (id int, bucket_id text, name text);
  create function storage.foldername(name text) returns text[] language plpgsql immutable as $$
    declare parts text[]; begin select string_to_array(name, '/') into parts; return parts[1 : array_length(parts, 1) - 1]; end $$;
  ${IS_MEMBER};
  insert into todos values (1, '${ALICE}'), (2, '${BOB}');
  insert into invoices values (1, 'acme'), (2, 'globex');
  insert into documents values (1, 'red'), (2, 'green'), (3, 'blue');
  insert into members values (1, '${ALICE}'), (2, '${BOB}');
  insert into projects values (1), (2);
  insert into vault values (1, '${ALICE}'), (2, '${BOB}');
  insert into announcements values (1);
  insert into mail values (1, 'alice@example.test'), (2, 'bob@example.test');
  insert into notes values (1, '${ALICE}'), (2, '${BOB}');
  insert into legacy values (1, 'alice@example.test'), (2, 'bob@example.test');
  insert into storage.objects values (1, 'avatars', '${ALICE}/a.png'), (2, 'avatars', '${BOB}/b.png');
  alter table todos enable row level security;
  alter table invoices enable row level security;
  alter table documents enable row level security;
  alter table members enable row level security;
  alter table projects enable row level security;
  alter table vault enable row level security;
  alter table announcements enable row level security;
  alter table mail enable row level security;
  alter table notes enable row level security;
  alter table legacy enable row level security;
  alter table storage.objects enable row level security;
  create policy "Own todos" on todos to authenticated using ((select auth.uid()) = user_id);
  create policy "Own organisation's invoices" on invoices for select using (org_id = (auth.jwt() ->> 'org_id'));
  create policy "Own teams" on documents for select to authenticated using ((auth.jwt() -> 'app_metadata' -> 'teams') ? team_id);
  create policy "Members" on projects for select to authenticated using (is_member(id));
  create policy "Own vault" on vault to authenticated using (auth.uid() = user_id);
  create policy "Second factor" on vault as restrictive to authenticated using ((select auth.jwt() ->> 'aal') = 'aal2');
  create policy "Signed in" on announcements for select using (auth.role() = 'authenticated');
  create policy "Own mail" on mail for select to authenticated using (address = (select auth.email()));
  create policy "Own folder" on storage.objects for select to authenticated
    using (bucket_id = 'avatars' and (storage.foldername(name))[1] = (select auth.uid()::text));
  create policy "It's ""raw""" on notes to authenticated
    using (user_id = ((current_setting('request.jwt.claims', true)::json ->> 'sub'))::uuid and 'current_setting(''request.' <> 'x')
    with check (user_id = (current_setting('request.jwt.claims', true)::json ->> 'sub')::uuid);
  create policy legacy on legacy for select to authenticated using (address = current_setting('request.jwt.claim.email', true));
  grant select on todos, invoices, documents, projects, vault, announcements, mail, notes, legacy, storage.objects
    to anon, authenticated, service_role;
  grant insert on todos to authenticated;
  reset role;
`;
const ALL = [
  "todos",
  "invoices",
  "documents",
  "projects",
  "vault",
  "announcements",
  "mail",
  "storage.objects",
  "notes",
  "legacy",
]
  .map((table) => `select '${table} ' || id as line from ${table}`)
  .join(" union all ");
const HERS = [
  "announcements 1",
  "documents 1",
  "documents 3",
  "invoices 1",
  "legacy 1",
  "mail 1",
  "notes 1",
  "projects 1",
  "storage.objects 1",
  "todos 1",
  "vault 1",
];

let admin: pg.Client;
let gateway: pg.Client;
let statements: pg.Client;
let authenticator: pg.Client;

/** The SQL of docs/compatibility.md, to the letter, by what it contains. */
async function documented(part: string): Promise<string> {
  const page = await readFile(new URL("../../docs/compatibility.md", import.meta.url), "utf8");
  const found = [...page.matchAll(/```sql\n(.*?)```/gs)].map((match) => match[1] ?? "");
  const text = found.find((block) => block.includes(part));
  if (text === undefined) throw new Error(`no block with ${part}`);
  return text;
}

const token = (human: string, changes: Json = {}) =>
  signed(key, goodClaims(human, { ...CLAIMS[human], ...changes }));
const subject = (human: string) => CLAIMS[human]?.["sub"] as string;
const asAgent = async (human: string, text: string, changes: Json = {}) =>
  (
    await call(gateway, token(human, changes), text, {
      subject: (changes["sub"] as string) ?? subject(human),
    })
  )
    .map((row) => row.replaceAll(/^\("?|"?\)$/g, ""))
    .toSorted();

/** A request as PostgREST makes it. */
async function asRequest(role: string, settings: Json, text: string): Promise<string[]> {
  await authenticator.query("begin");
  try {
    await authenticator.query("select set_config('role', $1, true)", [role]);
    for (const [name, value] of Object.entries(settings)) {
      await authenticator.query("select set_config($1, $2, true)", [name, value]);
    }
    const { rows } = await authenticator.query<{ line: string }>(text);
    return rows.map((row) => row.line).toSorted();
  } finally {
    await authenticator.query("rollback");
  }
}

/** What everybody but agents sees, and what the functions are. */
async function others(): Promise<unknown> {
  const seen: string[][] = [];
  for (const human of ["alice", "bob"]) {
    const claims = { "request.jwt.claims": JSON.stringify(CLAIMS[human]) };
    const legacy = Object.fromEntries(
      ["sub", "role", "email"].map((name) => [`request.jwt.claim.${name}`, CLAIMS[human]?.[name]]),
    );
    seen.push(await asRequest("authenticated", claims, ALL));
    seen.push(await asRequest("authenticated", { ...claims, ...legacy }, ALL));
    seen.push(await asRequest("anon", claims, ALL));
    seen.push(
      await asRequest(
        "authenticated",
        claims,
        "insert into todos (id) values (3) returning user_id::text as line",
      ),
    );
  }
  seen.push(await asRequest("anon", {}, ALL), await asRequest("service_role", {}, ALL));
  await admin.query("begin");
  await admin.query("select set_config('request.jwt.claims', $1, true)", [
    JSON.stringify(CLAIMS["bob"]),
  ]);
  seen.push([String((await admin.query("select auth.uid() as id")).rows[0]?.id)]);
  await admin.query("rollback");
  return seen;
}
async function catalogue(): Promise<unknown> {
  const { rows } = await admin.query(`
    select pg_get_functiondef(f.oid) as text, f.oid::text, f.proowner::regrole::text, f.proacl::text, obj_description(f.oid, 'pg_proc')
    from pg_proc f where f.pronamespace::regnamespace::text in ('auth', 'storage', 'public') order by f.oid`);
  const policies = await admin.query(
    "select polname, pg_get_expr(polqual, polrelid) as reads, pg_get_expr(polwithcheck, polrelid) as writes, polroles::regrole[]::text from pg_policy where polname !~ '^behalf_' order by oid",
  );
  return [rows, policies.rows];
}
async function rewrite(): Promise<void> {
  const { rows } = await admin.query<{ statement: string }>(await documented("rewrite_policies()"));
  for (const row of rows) await admin.query(row.statement);
}
/** Puts rewritten policies back by hand, as a DBA would. */
async function unwrite(): Promise<void> {
  const { rows } = await admin.query<{ text: string }>(`
    select format('alter policy %I on %s', polname, polrelid::regclass)
      || coalesce(' using (' || replace(pg_get_expr(polqual, polrelid), 'behalf_auth.current_setting', 'current_setting') || ')', '')
      || coalesce(' with check (' || replace(pg_get_expr(polwithcheck, polrelid), 'behalf_auth.current_setting', 'current_setting') || ')', '') as text
    from pg_policy where pg_get_expr(polqual, polrelid) like '%behalf_auth.current_setting%'`);
  for (const row of rows) await admin.query(row.text);
}

/** Sets what PostgREST would set, and then reads. */
const forging = (
  text: string,
  setting = "request.jwt.claims",
  value = JSON.stringify(CLAIMS["bob"]),
) =>
  `with forged as materialized (select set_config('${setting}', '${value}', true) as done)
   select line from forged, lateral (select * from (${text}) rows where forged.done is not null offset 0) later`;

beforeAll(async () => {
  await onServer(`drop database if exists ${database} with (force)`);
  for (const role of [...ROLES, ...OURS]) await onServer(`drop role if exists ${role}`);
  await onServer(`create database ${database}`);
  admin = await connect({ database });
  await admin.query(`
    create role anon nologin; create role authenticated nologin; create role service_role nologin bypassrls;
    create role authenticator login noinherit password 'x'; grant anon, authenticated, service_role to authenticator;
    create role supabase_auth_admin nologin; create role app_owner nologin;
    grant create, usage on schema public to app_owner`);
  await admin.query(
    APPLICATION.replace(
      "  set role app_owner;",
      "  grant usage on schema auth to app_owner;\n  set role app_owner;",
    ),
  );
  authenticator = await connect({ database, user: "authenticator", password: "x" });
});
afterAll(async () => {
  await authenticator.end();
  await gateway?.end();
  await statements?.end();
  await admin.end();
  await onServer(`drop database if exists ${database} with (force)`);
  for (const role of [...ROLES, ...OURS]) await onServer(`drop role if exists ${role}`);
});

let before: unknown;
let unchanged: unknown;

it("is installed and taken into use by docs/compatibility.md, and the application does not notice", async () => {
  before = await others();
  unchanged = await catalogue();
  await install(admin);
  await admin.query(`
    select behalf.set_audience('${AUDIENCE}'); select behalf.add_issuer('${ISSUER}');
    select behalf.add_agent_role('agent_clerk');
    create role compat_gateway login noinherit password 'x'; select behalf.add_gateway('compat_gateway');
    select behalf.add_statement_role('agent_clerk', 'clerk_statements');
    create role compat_statements login noinherit password 'x'; select behalf.add_statement_gateway('compat_statements');
    select behalf.map_role('${ISSUER}', 'client_id', 'gateway', 'agent_clerk')`);
  await putKeys(admin, ISSUER, [key]);
  gateway = await connect({ database, user: "compat_gateway", password: "x" });
  statements = await connect({ database, user: "compat_statements", password: "x" });
  expect(await others()).toEqual(before);

  await admin.query(await documented("adopt_auth();"));
  expect(await others()).toEqual(before);
  const found = (await problems(gateway)).join("\n");
  expect(found).toContain(`policy "It's ""raw""" on public.notes reads a setting`);
  expect(found).toContain("policy legacy on public.legacy reads a setting");
  expect(found).not.toContain("auth.uid");
  await rewrite();
  expect(await problems(gateway)).toEqual([]);
  expect(await problems(statements)).toEqual([]);
  expect(await others()).toEqual(before);
});

it("shows an agent what its human sees, without an edit to a policy that calls auth", async () => {
  expect(await asAgent("alice", ALL)).toEqual(HERS);
  expect(await asAgent("alice", ALL)).toEqual(
    await asRequest(
      "authenticated",
      {
        "request.jwt.claims": JSON.stringify(CLAIMS["alice"]),
        "request.jwt.claim.email": "alice@example.test",
      },
      ALL,
    ),
  );
  expect(await asAgent("bob", "select 'x' || id as line from todos")).toEqual(["x2"]);
  expect(await asAgent("alice", ALL, { aal: "aal1", email: null })).toEqual(
    HERS.filter((line) => !/^(vault|mail|legacy)/.test(line)),
  );
  expect(await asAgent("alice", "select auth.jwt() ->> 'org_id' as line")).toEqual(["acme"]);
});

it("raises where a subject is no uuid, and shows nothing", async () => {
  expect((await refusal(asAgent("alice", "select id from todos", { sub: "alice" }))).code).toBe(
    "22P02",
  );
});

describe("what a text cannot do", () => {
  const FORGED: readonly (readonly [string, string])[] = [
    ["request.jwt.claims", JSON.stringify(CLAIMS["bob"])],
    ["request.jwt.claim.sub", BOB],
    ["request.jwt.claim", JSON.stringify(CLAIMS["bob"])],
    ["request.jwt.claim.email", "bob@example.test"],
    ["request.jwt.claim.role", "service_role"],
  ];
  it.each(FORGED)("become Bob by %s", async (setting, value) => {
    expect(await asAgent("alice", forging(ALL, setting, value))).toEqual(HERS);
  });

  it.each([
    ["auth.uid()", "todos", "select auth.uid()::text as line", BOB],
    ["auth.jwt()", "invoices", "select auth.jwt() ->> 'sub' as line", BOB],
    [
      "a definer function that calls auth.uid()",
      "projects",
      "select is_member(2)::text as line",
      "true",
    ],
  ])(
    "become Bob through %s; without adoption the same text does",
    async (_, table, text, forged) => {
      const read = `select '${table} ' || id as line from ${table}`;
      expect(await asAgent("alice", forging(read))).toEqual([`${table} 1`]);
      expect(await asAgent("alice", forging(text))).not.toContain(forged);
      await admin.query(await documented("release_auth"));
      try {
        expect(await asAgent("alice", forging(read))).toEqual([`${table} 2`]);
        expect((await problems(gateway)).join("\n")).toMatch(
          /rests on function (auth\.|public\.is_member).*reads a setting/,
        );
      } finally {
        await admin.query("select behalf.adopt_auth()");
      }
      expect(await asAgent("alice", forging(read))).toEqual([`${table} 1`]);
    },
  );

  it("become Bob through a raw policy; before it was rewritten the same text does", async () => {
    const text = forging(
      "select 'legacy ' || id as line from legacy",
      "request.jwt.claim.email",
      "bob@example.test",
    );
    expect(await asAgent("alice", text)).toEqual(["legacy 1"]);
    await unwrite();
    try {
      expect(await asAgent("alice", text)).toEqual(["legacy 2"]);
    } finally {
      await rewrite();
    }
    expect(await asAgent("alice", text)).toEqual(["legacy 1"]);
  });

  it("become Bob inside a definer function; by current_user alone it would", async () => {
    const read = "select 'projects ' || id as line from projects";
    expect(await asAgent("alice", forging(read))).toEqual(["projects 1"]);
    const { rows } = await admin.query<{ text: string }>(
      "select pg_get_functiondef('auth.uid()'::regprocedure) as text",
    );
    await admin.query(`create or replace function auth.uid() returns uuid language sql stable
      return case when pg_has_role(current_user, 'behalf_agents', 'usage')
        then (behalf_auth.claims() ->> 'sub')::uuid else behalf_auth.original_uid() end`);
    try {
      expect(await asAgent("alice", "select 'todos ' || id as line from todos")).toEqual([
        "todos 1",
      ]);
      expect(await asAgent("alice", forging(read))).toEqual(["projects 2"]);
    } finally {
      await admin.query(rows[0]?.text as string);
    }
  });

  it("nor can a thief of the gateway's login move the search_path of what a policy calls, which preflight asks for", async () => {
    // Even where no agent's text can call set_config: the thief fetches from the cursor himself.
    await admin.query("revoke execute on function set_config(text, text, boolean) from public");
    await admin.query("grant execute on function set_config(text, text, boolean) to behalf_owner");
    const steal = async () => {
      await using thief = await connect({ database, user: "compat_gateway", password: "x" });
      await thief.query(
        "create temp table members as select 2 as project_id, $1::uuid as user_id",
        [ALICE],
      );
      await thief.query("grant select on members to public");
      await thief.query("begin read only");
      await start(thief, token("alice"), { subject: ALICE });
      await thief.query("select behalf.open('select id from projects')");
      await thief.query("select behalf.fetch(1, 1000)");
      const { rows } = await thief.query<{ id: number }>("fetch all from behalf_cursor");
      return rows.map((row) => row.id);
    };
    try {
      expect(await steal()).toEqual([]);
      await admin.query(`create or replace function is_member(project int) returns boolean language plpgsql stable security definer as $$
        begin return exists (select from members m where m.project_id = project and m.user_id = (select auth.uid())); end $$`);
      expect(await steal()).toEqual([2]);
      expect((await problems(gateway)).join("\n")).toContain(
        "calls public.is_member(integer), which finds names by the search_path",
      );
    } finally {
      await admin.query(IS_MEMBER);
      await admin.query("grant execute on function set_config(text, text, boolean) to public");
    }
  });

  it("become Bob by way of a login that was renamed or that nobody lists any more", async () => {
    const text = forging("select 'projects ' || id as line from projects");
    await admin.query("delete from behalf.gateways where login = 'compat_gateway'");
    await onServer("alter role compat_gateway rename to compat_renamed");
    try {
      expect(await asAgent("alice", text)).toEqual(["projects 1"]);
    } finally {
      await onServer("alter role compat_renamed rename to compat_gateway");
      await admin.query("select behalf.add_gateway('compat_gateway')");
    }
  });

  it("nor can a thief of the statement login, nor an agent role without a human", async () => {
    await admin.query(`create policy agents on todos to behalf_agents using ((select auth.uid()) = user_id);
      grant select on todos to clerk_statements`);
    const steal = async () => {
      await statements.query("begin");
      try {
        await start(statements, token("alice"), { subject: ALICE });
        await statements.query("set local role clerk_statements");
        await statements.query("select set_config('request.jwt.claims', $1, true)", [
          JSON.stringify(CLAIMS["bob"]),
        ]);
        return (await statements.query<{ id: number }>("select id from todos")).rows.map(
          (row) => row.id,
        );
      } finally {
        await statements.query("rollback");
      }
    };
    const unproved = async () => {
      await admin.query("begin");
      await admin.query("set local role agent_clerk");
      await admin.query("select set_config('request.jwt.claims', $1, true)", [
        JSON.stringify(CLAIMS["bob"]),
      ]);
      const { rows } = await admin.query<{ id: string | null }>("select auth.uid() as id");
      await admin.query("rollback");
      return rows[0]?.id;
    };
    expect(await steal()).toEqual([1]);
    expect(await unproved()).toBeNull();
    await admin.query("select behalf.release_auth()");
    expect(await steal()).toEqual([2]);
    expect(await unproved()).toBe(BOB);
    await admin.query(
      "select behalf.adopt_auth(); drop policy agents on todos; revoke select on todos from clerk_statements",
    );
  });
});

describe("a statement role and the policies `to authenticated`", () => {
  const becomes = async () => {
    await statements.query("begin");
    try {
      await statements.query("set local role clerk_statements; set local role authenticated");
      return "became it";
    } catch (error) {
      return (error as pg.DatabaseError).code;
    } finally {
      await statements.query("rollback");
    }
  };
  const said = async () => (await problems(statements)).join("\n");
  afterEach(() => admin.query("revoke authenticated from clerk_statements"));

  it("cannot be had by a membership through which its login becomes that role", async () => {
    await admin.query("grant authenticated to clerk_statements");
    expect(await said()).toContain("it can become authenticated by way of its statement roles");
    expect(await becomes()).toBe("became it");
  });

  it("can be had from 16 on by one that only inherits", async ({ skip }) => {
    const { rows } = await admin.query<{ old: boolean }>(
      "select current_setting('server_version_num')::int < 160000 as old",
    );
    skip(rows[0]?.old === true, "PostgreSQL 15 has no such membership");
    await admin.query("grant authenticated to clerk_statements with inherit true, set false");
    expect(await said()).toBe("");
    expect(await becomes()).toBe("42501");
    await statements.query("begin");
    await start(statements, token("alice"), { subject: ALICE });
    await statements.query("set local role clerk_statements");
    expect((await statements.query("select id from todos")).rows).toEqual([{ id: 1 }]);
    await statements.query("rollback");
    // Who administers the membership could give itself the rest.
    await admin.query("grant authenticated to clerk_statements with admin true");
    expect(await said()).toContain("it can become authenticated");
  });
});

describe("what preflight says", () => {
  const cases: readonly (readonly [string, string, string, string])[] = [
    [
      "auth.uid() was made anew by a migration",
      UID,
      "select behalf.adopt_auth()",
      `policy "Own todos" on public.todos rests on function auth.uid(), which reads a setting`,
    ],
    [
      "a policy of everybody reads a setting of the application",
      "create policy app on todos using (id::text = current_setting('app.id', true))",
      "drop policy app on todos",
      "policy app on public.todos reads a setting that agents' texts can set",
    ],
    [
      "a function by way of another reads one",
      `create function reads() returns text language plpgsql stable set search_path = '' as $$ begin return current_setting ( 'app.' || 'id', true); end $$;
       create function calls() returns text language sql stable set search_path = '' as $$ select public.reads() $$;
       create policy app on todos to authenticated using (id::text = (select calls()))`,
      "drop policy app on todos; drop function calls; drop function reads",
      "policy app on public.todos rests on function public.calls(), which reads a setting",
    ],
    [
      "a view in a policy reads one",
      `create view own with (security_invoker) as select current_setting('app.id', true) as id; grant select on own to authenticated;
       create policy app on todos to authenticated using (id::text in (select own.id from own))`,
      "drop policy app on todos; drop view own",
      "policy app on public.todos rests on view public.own, which reads a setting",
    ],
    [
      "a policy calls the kept original",
      "create policy app on todos to authenticated using (user_id = behalf_auth.original_uid())",
      "drop policy app on todos",
      "policy app on public.todos rests on function behalf_auth.original_uid(), which reads a setting",
    ],
    [
      "agents may execute a definer function that reads one",
      "create function rows() returns setof todos language sql stable security definer set search_path = '' as $$ select * from public.todos where user_id = (current_setting('request.jwt.claims', true)::json ->> 'sub')::uuid $$",
      "drop function rows",
      "agent role agent_clerk may execute public.rows(), which has its owner's rights and reads a setting",
    ],
  ];
  it.each(cases)("when %s, and Bob's rows can be had", async (_, make, undo, said) => {
    await admin.query(make);
    const found = (await problems(gateway)).join("\n");
    const from = make.includes("setof todos") ? "rows()" : "todos";
    const read = `select 'todos ' || id as line from ${from}`;
    const forged = make.includes("app.")
      ? await asAgent("alice", forging(read, "app.id", "2"))
      : await asAgent("alice", forging(read));
    await admin.query(undo);
    expect(found).toContain(said);
    expect(forged).toContain("todos 2");
    expect(await problems(gateway)).toEqual([]);
    expect(await asAgent("alice", forging("select 'todos ' || id as line from todos"))).toEqual([
      "todos 1",
    ]);
  });

  it.each([
    [
      "one of the server's own settings",
      "create policy app on todos as restrictive using (current_setting('role', true) <> '')",
      "drop policy app on todos",
    ],
    [
      "roles that are no agents",
      "create policy app on todos to service_role using (id::text = current_setting('app.id', true))",
      "drop policy app on todos",
    ],
    [
      "a text that only looks like it",
      "create policy app on todos as restrictive using ('current_setting(' || id <> 'behalf_auth.current_setting(''request.jwt.claims'')')",
      "drop policy app on todos",
    ],
    [
      "a definer function that asks auth.uid()",
      "create function rows() returns setof todos language sql stable security definer set search_path = '' as $$ select * from public.todos where user_id = auth.uid() $$",
      "drop function rows",
    ],
  ])("is nothing about %s", async (_, make, undo) => {
    await admin.query(make);
    const found = await problems(gateway);
    await admin.query(undo);
    expect(found).toEqual([]);
  });
});

it("takes nobody for an agent who may read or write every table, as a login for reports does", async () => {
  await admin.query(
    "create role reporter login password 'x' in role authenticated, pg_read_all_data, pg_write_all_data",
  );
  const reporter = await connect({ database, user: "reporter", password: "x" });
  try {
    const reads = async () => {
      await reporter.query("select set_config('request.jwt.claims', $1, false)", [
        JSON.stringify(CLAIMS["alice"]),
      ]);
      await reporter.query(
        "select set_config('request.jwt.claim.email', 'alice@example.test', false)",
      );
      const { rows } = await reporter.query<{ line: string }>(ALL);
      return rows.map((row) => row.line).toSorted();
    };
    expect(await reads()).toEqual(HERS);
    await admin.query("select behalf.release_auth()");
    expect(await reads()).toEqual(HERS);
    await admin.query("select behalf.adopt_auth()");
    // Preflight refuses this. An agent is one all the same.
    await admin.query("grant pg_read_all_data to agent_clerk, compat_gateway");
    const text = forging("select 'projects ' || id as line from projects");
    expect(await asAgent("alice", text)).toEqual(["projects 1"]);
  } finally {
    await reporter.end();
    await admin.query("revoke pg_read_all_data from agent_clerk, compat_gateway");
    await admin.query("drop role reporter");
  }
});

describe("adoption", () => {
  it("keeps object, owner and rights, and stays inlined and once per statement", async () => {
    const { rows } = await admin.query(`
      select f.proname, f.proowner::regrole::text as owner, f.provolatile, f.proparallel, f.procost, f.proacl::text
      from pg_proc f where f.pronamespace = 'auth'::regnamespace order by 1`);
    expect(rows.length).toBe(4);
    expect(rows.map((row) => [row.owner, row.provolatile, row.proparallel, row.procost])).toEqual(
      rows.map(() => ["supabase_auth_admin", "s", "u", 100]),
    );
    expect(rows.find((row) => row.proname === "email")?.proacl).not.toMatch(/[{,]=X/);
    await authenticator.query("begin");
    await authenticator.query("set local role authenticated");
    const plan = await authenticator.query<{ "QUERY PLAN": string }>(
      "explain verbose select auth.uid() = user_id from todos",
    );
    await authenticator.query("rollback");
    const text = plan.rows.map((row) => row["QUERY PLAN"]).join("\n");
    expect(text).toContain("InitPlan");
    expect(text).toContain("has_schema_privilege");
    expect(text).not.toContain("auth.uid()");
  });

  it("lets everybody execute what the application calls, and nothing else of the kit", async () => {
    const { rows } = await admin.query<{ name: string; owner: string; everybody: boolean }>(`
      select f.proname as name, f.proowner::regrole::text as owner, has_function_privilege('anon', f.oid, 'execute') as everybody
      from pg_proc f where f.pronamespace = 'behalf_auth'::regnamespace order by 1`);
    expect(rows.map((row) => row.name)).toEqual([
      "claims",
      "current_setting",
      "for_agent",
      "is_granted",
      "original_email",
      "original_jwt",
      "original_role",
      "original_uid",
      "request_setting",
    ]);
    expect(rows.every((row) => row.owner === "behalf_owner" && row.everybody)).toBe(true);
    expect((await refusal(asRequest("authenticated", {}, "select behalf.claims()"))).code).toBe(
      "42501",
    );
  });

  it("can take another claim for the subject, and a role for tokens without one", async () => {
    await admin.query(
      "select behalf.adopt_auth(subject_claim => 'supabase_uid', default_role => 'authenticated')",
    );
    expect(
      await asAgent("alice", "select 'x' || id as line from todos", { supabase_uid: BOB }),
    ).toEqual(["x2"]);
    expect(await asAgent("alice", "select 'x' || count(*) as line from todos")).toEqual(["x0"]);
    expect(await asAgent("alice", "select auth.role() as line", { role: undefined })).toEqual([
      "authenticated",
    ]);
    await admin.query("begin; set local role agent_clerk");
    expect((await admin.query("select auth.role() as role")).rows).toEqual([{ role: null }]);
    await admin.query("rollback");
    await admin.query("select behalf.adopt_auth()");
    expect(
      await asAgent("alice", "select coalesce(auth.role(), 'none') as line", { role: undefined }),
    ).toEqual(["none"]);
    expect(await others()).toEqual(before);
  });

  it("is refused where there is nothing, or something that it cannot keep", async () => {
    await admin.query("grant usage on schema behalf to authenticated");
    const refused = await refusal(admin.query("select behalf.adopt_auth()"));
    await admin.query(refused.hint as string);
    expect(refused.message).toContain("authenticated has a right to the schema behalf");
    await admin.query("create schema other");
    expect(await refusal(admin.query("select behalf.adopt_auth('other')"))).toMatchObject({
      code: "ZB007",
      detail: "adopt",
    });
    await admin.query(
      "create function other.uid() returns uuid language sql stable security definer as 'select null::uuid'",
    );
    expect((await refusal(admin.query("select behalf.adopt_auth('other')"))).message).toContain(
      "SECURITY DEFINER",
    );
    await admin.query("drop schema other cascade");
  });

  it("works beside functions that are not ours to replace, by rewritten policies", async () => {
    await admin.query("select behalf.release_auth()");
    const kept = await catalogue();
    await admin.query(await documented("in_place => false"));
    // A body that is text is the DBA's to change: no statement is offered for it.
    expect((await problems(gateway)).join("\n")).toContain(
      "rests on function public.is_member(integer), which reads a setting",
    );
    await admin.query(IS_MEMBER.replace("auth.uid", "behalf_auth.uid"));
    await rewrite();
    expect(await problems(gateway)).toEqual([]);
    expect(await asAgent("alice", forging(ALL))).toEqual(HERS);
    expect(await others()).toEqual(before);
    expect((await refusal(uninstall(admin))).message).toMatch(
      /still in use:.*policy Own todos on table public.todos/,
    );

    const { rows } = await admin.query<{ text: string }>(`
      select format('alter policy %I on %s using (%s)', polname, polrelid::regclass,
        replace(pg_get_expr(polqual, polrelid), 'behalf_auth.', 'auth.')) as text
      from pg_policy where pg_get_expr(polqual, polrelid) like '%behalf_auth.%()%'`);
    expect(rows.length).toBe(8);
    for (const row of rows) await admin.query(row.text);
    await admin.query(`${IS_MEMBER}; select behalf.release_auth()`);
    expect(await catalogue()).toEqual(kept);
    await admin.query("select behalf.adopt_auth()");
  });
});

it("is installed again without a change, and removed without a trace", async () => {
  await install(admin);
  expect(await problems(gateway)).toEqual([]);
  expect(await asAgent("alice", forging(ALL))).toEqual(HERS);
  expect((await refusal(uninstall(admin))).message).toContain("notes");
  expect(await asAgent("alice", forging(ALL))).toEqual(HERS);
  await unwrite();
  await uninstall(admin);
  await admin.query(
    "alter function storage.foldername(text) reset search_path; revoke authenticated from agent_clerk",
  );
  expect(await others()).toEqual(before);
  expect(await catalogue()).toEqual(unchanged);
});
