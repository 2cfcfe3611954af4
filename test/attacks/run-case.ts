import { setTimeout as delay } from "node:timers/promises";

import pg from "pg";

import type { PlacedCase } from "./attack-case.ts";
import type { AttackWorld } from "./attack-world.ts";
import { fill, type Lane, type Outcome, type Setting } from "./settings.ts";

/** What became of one case in one setting. */
export interface Verdict {
  readonly id: string;
  readonly setting: string;
  /** What was seen that must not be, in words; `null` where nothing was. */
  readonly broken: string | null;
}

/** Runs cases in one setting, on one connection for as long as nothing breaks. */
export interface Arena extends AsyncDisposable {
  run(attack: PlacedCase): Promise<Verdict>;
}

// Everything by which the next user could tell that somebody was here before: settings, locks, cursors,
// channels, temporary objects, statements that somebody prepared.
const TRACES = `select jsonb_build_object(
  'user', current_user, 'session user', session_user, 'role', current_setting('role'),
  'settings', (select jsonb_object_agg(name, setting) from pg_settings
    where name not in ('statement_timeout', 'application_name', 'transaction_read_only', 'transaction_deferrable',
      'idle_in_transaction_session_timeout')
      and setting is distinct from reset_val),
  'advisory locks', (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'),
  'channels', (select count(*) from pg_listening_channels()),
  'cursors', (select count(*) from pg_cursors where is_holdable),
  'prepared', (select jsonb_agg(name order by name) from pg_prepared_statements where from_sql),
  'temporary', (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
  'temporary functions', (select count(*) from pg_proc where pronamespace = pg_my_temp_schema()),
  'a name', coalesce(current_setting('app.mark', true), 'none'),
  'a text type', pg_typeof('x'::text)::text)`;
// What hardening takes from agents is read with what is left.
const TRACES_HARDENED = `select jsonb_build_object(
  'user', current_user, 'session user', session_user, 'role', current_setting('role'),
  'settings', (select jsonb_agg(current_setting(name) order by name) from unnest(array['search_path', 'TimeZone', 'DateStyle',
    'work_mem', 'lock_timeout', 'row_security', 'session_replication_role', 'default_transaction_read_only', 'client_encoding',
    'standard_conforming_strings', 'extra_float_digits', 'bytea_output', 'log_statement', 'jit']) name),
  'channels', (select count(*) from pg_listening_channels()),
  'cursors', (select count(*) from pg_cursors where is_holdable),
  'temporary', (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
  'temporary functions', (select count(*) from pg_proc where pronamespace = pg_my_temp_schema()),
  'a name', coalesce(current_setting('app.mark', true), 'none'),
  'a text type', pg_typeof('x'::text)::text)`;

// What of the server, beside Bob's own rows, must be the same afterwards.
const SERVER = (world: AttackWorld) => {
  const { names } = world.world;
  const roles = [
    names.agent,
    names.writer,
    names.statements,
    names.gateway,
    names.statementGateway,
    world.usual.role,
    world.usual.login,
  ]
    .map((name) => `'${name}'`)
    .join(", ");
  return `select jsonb_build_object(
    'Alice''s rows', (select md5(coalesce(string_agg(p::text, '|' order by id), '')) from payroll p where org_id = 'acme'),
    'Alice''s other rows', (select md5(coalesce(string_agg(s::text, '|' order by id), '')) from shifts s where org_id = 'acme')
      || (select md5(coalesce(string_agg(l::text, '|'), '')) from limits l where org_id = 'acme')
      || (select md5(coalesce(string_agg(o::text, '|' order by id), '')) from orders o where org_id = 'acme'),
    'relations', (select md5(string_agg(c.oid || ' ' || c.relname || coalesce(c.relacl::text, '') || c.relrowsecurity, '|' order by c.oid))
      from pg_class c where c.relpersistence <> 't' and c.relnamespace <> all (array['pg_catalog'::regnamespace, 'pg_toast'::regnamespace])),
    'functions', (select md5(string_agg(f.oid || f.proname || coalesce(f.proacl::text, '') || md5(f.prosrc), '|' order by f.oid))
      from pg_proc f where f.pronamespace in ('public'::regnamespace, 'behalf'::regnamespace, 'behalf_sandbox'::regnamespace)),
    'policies', (select md5(string_agg(p::text, '|' order by p.oid)) from pg_policy p),
    'types', (select count(*) from pg_type t where t.typnamespace::regnamespace::text !~ '^pg_(temp|toast)'),
    'schemas', (select count(*) from pg_namespace where nspname !~ '^pg_(temp|toast)'),
    'casts and operators', (select count(*) from pg_cast) + (select count(*) from pg_operator),
    'extensions, triggers, publications', (select count(*) from pg_extension) + (select count(*) from pg_trigger)
      + (select count(*) from pg_event_trigger) + (select count(*) from pg_publication),
    'comments', (select count(*) from pg_description),
    'roles', (select md5(string_agg(r.rolname || coalesce(r.rolpassword, '') || r.rolsuper || r.rolcanlogin || r.rolbypassrls, '|' order by r.rolname))
      from pg_authid r where r.rolname in (${roles})),
    'role settings', (select md5(string_agg(s::text, '|' order by s.setrole)) from pg_db_role_setting s
      where s.setrole in (select oid from pg_roles where rolname in (${roles}))),
    'large objects', (select count(*) from pg_largeobject_metadata),
    'prepared transactions', (select count(*) from pg_prepared_xacts where database = current_database()),
    'default privileges', (select count(*) from pg_default_acl),
    'all rows', (select md5(coalesce(string_agg(p::text, '|' order by id), '')) from payroll p)
      || (select count(*) from shifts) || (select md5(string_agg(l::text, '|' order by org_id)) from limits l)
  ) as state`;
};

export async function arena(setting: Setting, world: AttackWorld): Promise<Arena> {
  const { admin } = world.world;
  const other = new pg.Client({ connectionString: adminUrl(world) });
  other.on("error", () => {});
  await other.connect();
  let heard = 0;
  other.on("notification", () => (heard += 1));
  await other.query("listen app_events; set lock_timeout = '50ms'");
  let lane = await setting.open(world);
  let victims: Lane | null = null;
  const traces = setting.hardened && setting.input === "text" ? TRACES_HARDENED : TRACES;
  const untouched = new Map<string, Outcome>();
  let known: Readonly<Record<string, unknown>> | null = null;

  /** What Alice gets on a connection that nobody had before her. */
  async function clean(text: string): Promise<Outcome> {
    let answer = untouched.get(text);
    if (answer === undefined) {
      await using fresh = await setting.open(world);
      answer = await fresh.honest("alice", text);
      if (!answer.ok) throw new Error(`the question itself fails: ${answer.shown}`);
      untouched.set(text, answer);
    }
    return answer;
  }

  async function state(): Promise<Readonly<Record<string, unknown>>> {
    const { rows } = await admin.query<{ state: Record<string, unknown> }>(SERVER(world));
    return (rows[0] as { state: Record<string, unknown> }).state;
  }

  /** The whole attack once: what the attacker and the next user got. */
  async function attempt(attack: PlacedCase) {
    const shown: Outcome[] = [];
    const human = attack.human ?? "bob";
    for (const one of attack.attacker) shown.push(await lane.attack(human, one));
    const next: Outcome[] = [];
    for (const text of attack.next ?? []) next.push(await lane.honest("alice", text));
    return { shown, next };
  }

  /** Asks until the attack is over. */
  async function watch(attack: PlacedCase, over: () => boolean): Promise<string | null> {
    for (const { bystander } of (attack.breaks ?? []).flatMap((one) =>
      "bystander" in one ? [one] : [],
    )) {
      while (!over()) {
        try {
          const { rows } = await other.query<{ broken: unknown }>(fill(bystander, lane.names));
          if (rows[0]?.broken === true) return "another user of the server noticed";
        } catch (error) {
          return `another user of the server failed: ${String(error)}`;
        }
        await delay(20);
      }
    }
    return null;
  }

  async function judge(attack: PlacedCase): Promise<string | null> {
    const before = attack.setup === undefined && known !== null ? known : await state();
    known = null;
    heard = 0;
    const victim = attack.victim;
    let busy: Promise<Outcome> | null = null;
    if (victim !== undefined) {
      victims ??= await setting.open(world);
      // The name is in the text, so that it can be waited for.
      busy = victims.honest("alice", fill(victim, lane.names));
      for (let n = 0; n < 500; n++) {
        const { rows } = await admin.query(
          "select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
        );
        if (rows.length > 0) break;
        await delay(5);
      }
    }
    const started = performance.now();
    let over = false;
    const noticing = watch(attack, () => over);
    const { shown, next } = await attempt(attack).finally(() => {
      over = true;
    });
    const lasted = performance.now() - started;
    const noticed = await noticing;
    const victimsAnswer = busy === null ? null : await busy;
    if (noticed !== null) return noticed;
    if (victimsAnswer !== null && !victimsAnswer.ok)
      return `Alice's call failed: ${victimsAnswer.shown}`;

    const all = shown.map((one) => one.shown).join("\n");
    if (all.includes(world.secret)) return "the attacker saw Alice's secret";
    for (const one of attack.breaks ?? []) {
      if ("attackerSees" in one) {
        const match = new RegExp(
          fill(one.attackerSees.source, lane.names),
          one.attackerSees.flags,
        ).exec(all);
        if (match) return `the attacker saw ${match[0].slice(0, 80)}`;
      }
      if ("showsMoreThan" in one && all.length > one.showsMoreThan) {
        return `the attacker got ${all.length} bytes`;
      }
      if ("succeeds" in one && shown[one.succeeds]?.ok === true) return "it was not refused";
      if ("lastsMs" in one && lasted > one.lastsMs) return `it lasted ${Math.round(lasted)} ms`;
      if ("outcomesDiffer" in one) {
        const [right, wrong] = shown.slice(-2);
        if (right && wrong && unnamed(right) !== unnamed(wrong)) return "the guess was answered";
      }
      if ("nextSees" in one) {
        const match = one.nextSees.exec(next.map((answer) => answer.shown).join("\n"));
        if (match) return `the next user saw ${match[0].slice(0, 80)}`;
      }
      if ("nextRepeats" in one) {
        const again = await attempt(attack);
        if (JSON.stringify(again.next) === JSON.stringify(next)) {
          return "the attacker chose what the next user gets";
        }
      }
      if ("isHeard" in one) {
        // What was committed before this question arrives with its answer.
        await other.query("select 1");
        if (heard > 0) return "somebody who listens was told something";
      }
      if ("serverSays" in one) {
        const { rows } = await admin.query<{ broken: unknown }>(fill(one.serverSays, lane.names));
        if (rows[0]?.broken === true) return "the server's superuser sees it";
      }
    }

    const reference = await clean(traces);
    const trace = await lane.honest("alice", traces);
    if (trace.shown !== reference.shown)
      return `the next user's connection differs: ${difference(reference, trace)}`;
    const after = await state();
    const changed = Object.keys(before).filter(
      (key) => key !== "all rows" && before[key] !== after[key],
    );
    if (changed.length > 0) return `changed on the server: ${changed.join(", ")}`;
    if (before["all rows"] !== after["all rows"]) await world.restore();
    else if (attack.cleanup === undefined) known = after;
    return null;
  }

  // Before an attack changes the password that a new connection needs.
  await clean(traces);

  return {
    async run(attack) {
      if (attack.setup !== undefined) await admin.query(fill(attack.setup, lane.names));
      let broken;
      try {
        broken = await judge(attack);
      } finally {
        if (attack.cleanup !== undefined) await admin.query(fill(attack.cleanup, lane.names));
      }
      if (broken !== null) {
        await lane[Symbol.asyncDispose]();
        await repair(world);
        lane = await setting.open(world);
      }
      return { id: attack.id, setting: setting.name, broken };
    },
    async [Symbol.asyncDispose]() {
      await lane[Symbol.asyncDispose]();
      await victims?.[Symbol.asyncDispose]();
      await other.end();
    },
  };
}

/** Without what differs in any two calls. */
function unnamed({ ok, shown }: Outcome): string {
  return `${ok} ${shown.replaceAll(/\d+/g, "0")}`;
}

function difference(reference: Outcome, trace: Outcome): string {
  const parse = (shown: string) => {
    try {
      const found: unknown = JSON.parse(shown);
      return [found].flat(4)[0] as Record<string, unknown>;
    } catch {
      return {};
    }
  };
  const [was, is] = [parse(reference.shown), parse(trace.shown)];
  const keys = Object.keys(is ?? {}).filter(
    (key) => JSON.stringify(was?.[key]) !== JSON.stringify(is[key]),
  );
  return keys.length === 0 ? trace.shown : keys.join(", ");
}

function adminUrl({ world }: AttackWorld): string {
  const { user = "", password } = world.admin;
  return world.url({ user, password: typeof password === "string" ? password : "" });
}

/** Takes away what a break left, so that the next case begins like the first. */
async function repair(world: AttackWorld): Promise<void> {
  const { admin } = world.world;
  // First, because it may hold locks.
  const { rows } = await admin.query<{ gid: string }>(
    "select gid from pg_prepared_xacts where database = current_database()",
  );
  for (const { gid } of rows) await admin.query(`rollback prepared '${gid}'`);
  await world.restore();
  await world.relogin();
  const { rows: intact } = await admin.query<{ whole: boolean }>(
    `select bool_and(has_table_privilege(r, 'payroll', 'select'))
      and has_schema_privilege('${world.world.names.statementGateway}', 'behalf', 'usage') as whole
    from unnest(array['${world.usual.role}', '${world.world.names.statements}']) r`,
  );
  if (intact[0]?.whole !== true) await world.regrant();
  await admin.query("select lo_unlink(oid) from pg_largeobject_metadata");
}
