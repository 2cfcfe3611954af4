import { postgresNames } from "@behalf/core";
import type pg from "pg";

/** A session that says of itself that it runs a call. */
export interface RunningCall {
  readonly pid: number;
  /** With the process id it names a session for good. Null, as whatever follows it, where this login may not see it. */
  readonly backendStart: string | null;
  /** What stands behind `behalf/` in `application_name`. */
  readonly callId: string;
  /** Since when the transaction runs, in milliseconds. */
  readonly runsMs: number | null;
  /** `active`, `idle in transaction`, ... */
  readonly state: string | null;
  /** What it waits for, for example `Timeout: PgSleep`. */
  readonly waitsFor: string | null;
  /** What the server says is running: of a sandbox call the call of the kit, without its parameters. */
  readonly query: string | null;
  readonly login: string;
  readonly clientAddress: string | null;
}

/** What the server says at one moment. */
export interface Activity {
  readonly database: string;
  /** Sessions of logins that the kit made gateways. */
  readonly calls: readonly RunningCall[];
  /** Sessions of other logins that call themselves the same. Anybody can. */
  readonly others: readonly Pick<RunningCall, "pid" | "login" | "callId">[];
  /** Whether this login sees more of others' sessions than that they are there. */
  readonly seesAll: boolean;
  readonly hasKit: boolean;
  /** Whether it is a gateway's own login that asks. */
  readonly isGateway: boolean;
}

/** Whether the role of this id may start calls by a grant of its own. */
const isGateway = (role: string) => `exists (
    select from pg_catalog.pg_namespace n join pg_catalog.pg_proc f on f.pronamespace = n.oid
    cross join pg_catalog.aclexplode(f.proacl) x
    where n.nspname = $1 and f.proname = $2 and x.grantee = ${role} and x.grantee <> f.proowner)`;

const SESSIONS = `select a.pid, a.usename as login,
    pg_catalog.to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "backendStart",
    pg_catalog.substr(a.application_name, pg_catalog.length($3) + 1) as "callId",
    pg_catalog.round(1000 * extract(epoch from pg_catalog.clock_timestamp() - a.xact_start))::float8 as "runsMs",
    a.state, a.wait_event_type || ': ' || a.wait_event as "waitsFor", a.query,
    pg_catalog.host(a.client_addr) as "clientAddress"
  from pg_catalog.pg_stat_activity a
  where a.datname = pg_catalog.current_database() and a.application_name like $3 || '%'
    and $4 = ${isGateway("a.usesysid")}
  order by a.xact_start nulls last, a.pid`;

/**
 * Asks who runs what in this database. A gateway's login is known by the right to start calls, which anybody
 * can read in the catalogue; the kit's own list is for its owner alone.
 */
export async function runningCalls(client: pg.Client): Promise<Activity> {
  const { rows: about } = await client.query<Omit<Activity, "calls" | "others">>(
    `select pg_catalog.current_database() as database,
       pg_catalog.pg_has_role('pg_read_all_stats', 'usage') as "seesAll",
       exists (
         select from pg_catalog.pg_namespace n join pg_catalog.pg_proc f on f.pronamespace = n.oid
         where n.nspname = $1 and f.proname = $2) as "hasKit",
       ${isGateway("(select r.oid from pg_catalog.pg_roles r where r.rolname = current_user)")} as "isGateway"`,
    [postgresNames.schema, postgresNames.functions.start],
  );
  const sessions = async (ofGateways: boolean) => {
    const { schema, functions, applicationNamePrefix } = postgresNames;
    const values = [schema, functions.start, applicationNamePrefix, ofGateways];
    return (await client.query<RunningCall>(SESSIONS, values)).rows;
  };
  const others = await sessions(false);
  return {
    database: about[0]?.database ?? "",
    seesAll: about[0]?.seesAll === true,
    hasKit: about[0]?.hasKit === true,
    isGateway: about[0]?.isGateway === true,
    calls: await sessions(true),
    others: others.map(({ pid, login, callId }) => ({ pid, login, callId })),
  };
}
