import { BehalfError, sql } from "@behalf/core";
import type { LocalPostgres } from "@behalf/local";
import type pg from "pg";

import { until } from "../support/failure.ts";
import type { TcpProxy } from "../support/tcp-proxy.ts";
import type { World } from "../support/world.ts";
import type { Fault, Outcome, Stage } from "./fault.ts";

/** The rows that calls write, so that a superuser can say whether they did. */
export const MARKS = `
  create table marks (id bigint, slot int unique deferrable initially deferred,
    owner text not null default behalf.claim('sub'));
  alter table marks enable row level security;
  create policy own on marks to behalf_agents
    using (owner = (select behalf.claim('sub'))) with check (owner = (select behalf.claim('sub')));
  select behalf.guard('marks');
`;

const MINE = "select distinct org_id from orders";
const MINE_STATEMENT = sql`select distinct org_id from orders`;

export interface FaultParts {
  readonly world: World;
  readonly server: LocalPostgres;
  /** Between the adapter and the server. */
  readonly proxy: TcpProxy;
  /** A superuser's connections to the world's database, past the proxy. */
  readonly observer: pg.Pool;
  /** The humans' tokens, once there is one. */
  readonly tokens: Map<string, string>;
}

/** Produces a fault and says what came of it. */
export async function outcomeOf(fault: Fault, parts: FaultParts, mark: number): Promise<Outcome> {
  const { world, server, proxy, observer, tokens } = parts;
  const address = { host: "127.0.0.1", port: proxy.port };
  const { gateway, statementGateway } = world.names;
  const password = world.passwords.statementGateway;
  const pools = {
    sandbox: world.pool({ connectionString: world.url(undefined, address), max: 1 }),
    statement: world.pool({
      connectionString: world.url({ user: statementGateway, password }, address),
      max: 1,
    }),
  };
  const shop = world.adapter({ pool: pools.sandbox, statements: { pool: pools.statement } });
  const undo: (() => Promise<void>)[] = [];

  const ask: Stage["ask"] = async (text, values = []) =>
    (await observer.query<Record<string, unknown>>(text, [...values])).rows;
  const delegate = async (human: string) => {
    let token = tokens.get(human);
    if (token === undefined) tokens.set(human, (token = await world.token(human)));
    return world.front.delegate(token);
  };
  const ours = "from pg_stat_activity where usename in ($1, $2)";
  const logins = [gateway, statementGateway];
  const waiting = async (event: string) =>
    (await ask(`select 1 as n ${ours} and wait_event = $3 and state <> 'idle'`, [...logins, event]))
      .length;
  const stage: Stage = {
    world,
    server,
    proxy,
    shop,
    pools,
    mark,
    ask,
    delegate,
    waitsFor: (event) => until(async () => (await waiting(event)) > 0),
    endsAt: (event) => until(async () => (await waiting(event)) === 0),
    async terminate() {
      const gone = await ask(`select pid, pg_terminate_backend(pid) ${ours}`, logins);
      const pids = gone.map(({ pid }) => pid);
      await until(async () => {
        const left = await ask("select 1 as n from pg_stat_activity where pid = any($1)", [pids]);
        return left.length === 0;
      });
      // Their last words have arrived when an answer that was asked for after them has.
      await ask("select 1 as n");
    },
    async gone() {
      const left = "select 1 as n from pg_stat_activity where usename = $1";
      await until(async () => (await ask(left, [gateway])).length === 0);
      // Its last words have arrived when an answer that was asked for after them has.
      await ask(left, [gateway]);
    },
    async call(kind, work, options = {}) {
      const alice = await delegate("alice");
      const write = { ...options, access: "write" } as const;
      switch (kind) {
        case "text reads":
          return shop.query(alice, work.text, options);
        case "text writes":
          return shop.query(alice, work.text, write);
        case "statement reads":
          return shop.query(alice, work.statement, options);
        case "statement writes":
          return shop.query(alice, work.statement, write);
        case "run that writes":
          return shop.run(
            alice,
            async (session) => {
              await session.query(`insert into marks (id) values (${mark})`);
              await (work.next?.(session) ?? session.query(work.text));
            },
            write,
          );
        case "stream": {
          const { access: _, ...rest } = options;
          for await (const row of shop.stream(alice, work.text, rest)) void row;
          return undefined;
        }
      }
    },
    defer: (work) => void undo.unshift(work),
  };
  const login = fault.call.startsWith("statement") ? "statement" : "sandbox";
  const usename = login === "statement" ? statementGateway : gateway;
  /** Whose rows a human sees, and on which session. */
  const look = async (human: string) => {
    const inputs = { sandbox: MINE, statement: MINE_STATEMENT };
    const { rows } = await shop.query(await delegate(human), inputs[login]);
    const sessions = await ask("select pid from pg_stat_activity where usename = $1", [usename]);
    return { orgs: rows.flat(), pids: sessions.map(({ pid }) => pid) };
  };

  try {
    const before = await look("bob");
    let result;
    try {
      await fault.produce(stage);
      result = { code: "ok", native: "", effect: "done" } as const;
    } catch (error) {
      result = readError(error);
    } finally {
      for (const work of undo) await work();
      proxy.mode("pass");
    }
    // A statement whose client is gone may go on at the server.
    await until(
      async () => (await ask(`select 1 as n ${ours} and state <> 'idle'`, logins)).length === 0,
    );
    const after = await look("carol");
    if (after.orgs.join() !== "initech") throw new Error(`Carol sees ${after.orgs.join()}`);
    const marks = await ask("select owner from marks where id = $1", [mark]);
    const isWrite = fault.call.endsWith("writes");
    return {
      ...result,
      effect: isWrite || result.effect === "unknown" ? result.effect : "",
      made: isWrite ? (marks.length > 0 ? "yes" : "no") : "",
      connection: before.pids.some((pid) => after.pids.includes(pid)) ? "kept" : "cut",
    };
  } finally {
    await shop.close();
    await Promise.all([pools.sandbox.end(), pools.statement.end()]);
  }
}

function readError(error: unknown): Pick<Outcome, "code" | "native" | "effect"> {
  if (!BehalfError.isInstance(error)) return { code: "own error", native: "", effect: "none" };
  const { code, nativeCode, reason, effect } = error;
  return { code, native: nativeCode ?? reason ?? "", effect };
}
