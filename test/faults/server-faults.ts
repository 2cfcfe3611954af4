import { until } from "../support/failure.ts";
import type { Fault, Stage } from "./fault.ts";
import { commitsWait, each, quick, slow } from "./works.ts";

const lost = "backend.unavailable";

async function restart({ server }: Stage, mode: "fast" | "immediate"): Promise<void> {
  await server.stopServer(mode);
  await server.startServer();
}

/** What the server does. */
export const SERVER_FAULTS: readonly Fault[] = [
  ...each(
    "the session is terminated while it is idle in the pool",
    async (stage, call) => {
      await stage.terminate();
      const { sandbox, statement } = stage.pools;
      await until(() => sandbox.totalCount + statement.totalCount === 0);
      await stage.call(call, quick(stage, call));
    },
    { "text reads": ["ok", "", "", "", "cut"], "text writes": ["ok", "", "done", "yes", "cut"] },
  ),
  ...each(
    "the session is terminated in the middle of a statement",
    async (stage, call) => {
      const going = stage.call(call, slow(stage, call));
      going.catch(() => {});
      await stage.waitsFor("PgSleep");
      await stage.terminate();
      await going;
    },
    {
      "text reads": [lost, "57P01", "", "", "cut"],
      "text writes": [lost, "57P01", "none", "no", "cut"],
      "statement reads": [lost, "57P01", "", "", "cut"],
      "statement writes": [lost, "57P01", "none", "no", "cut"],
      "run that writes": [lost, "57P01", "none", "no", "cut"],
      stream: [lost, "57P01", "", "", "cut"],
    },
  ),
  ...each(
    "the session is terminated between two statements of a run",
    (stage, call) =>
      stage.call(call, {
        ...quick(stage, call),
        next: async (session) => {
          await stage.terminate();
          await session.query("select 1");
        },
      }),
    { "run that writes": [lost, "57P01", "none", "no", "cut"] },
  ),
  ...each(
    "the session is terminated after the last statement of a run, before its COMMIT",
    (stage, call) => stage.call(call, { ...quick(stage, call), next: () => stage.terminate() }),
    { "run that writes": [lost, "57P01", "none", "no", "cut"] },
  ),
  ...each(
    "the server ends a run whose callback left its transaction idle for too long",
    (stage, call) =>
      stage.call(call, {
        ...quick(stage, call),
        next: async (session) => {
          await session.query(
            "select set_config('idle_in_transaction_session_timeout', '50', true)",
          );
          await stage.gone();
          await session.query("select 1");
        },
      }),
    { "run that writes": ["timeout", "25P03", "none", "no", "cut"] },
  ),
  ...each(
    "the session is terminated while its COMMIT waits for a standby",
    async (stage, call) => {
      await commitsWait(stage);
      const going = stage.call(call, quick(stage, call));
      going.catch(() => {});
      await stage.waitsFor("SyncRep");
      await stage.terminate();
      await going;
    },
    {
      "text writes": [lost, "", "unknown", "yes", "cut"],
      "statement writes": [lost, "", "unknown", "yes", "cut"],
      "run that writes": [lost, "", "unknown", "yes", "cut"],
    },
  ),
  ...each(
    "the server is shut down in the middle of a statement",
    async (stage, call) => {
      const going = stage.call(call, slow(stage, call));
      going.catch(() => {});
      await stage.waitsFor("PgSleep");
      await restart(stage, "fast");
      await going;
    },
    {
      "text reads": [lost, "57P01", "", "", "cut"],
      "text writes": [lost, "57P01", "none", "no", "cut"],
    },
  ),
  ...each(
    "the server crashes in the middle of a statement",
    async (stage, call) => {
      const going = stage.call(call, slow(stage, call));
      going.catch(() => {});
      await stage.waitsFor("PgSleep");
      await restart(stage, "immediate");
      await going;
    },
    {
      "text reads": [lost, "", "", "", "cut"],
      "text writes": [lost, "", "unknown", "no", "cut"],
      "run that writes": [lost, "", "none", "no", "cut"],
    },
  ),
  ...each(
    "the server is down",
    async (stage, call) => {
      await stage.server.stopServer();
      stage.defer(() => stage.server.startServer());
      const { sandbox, statement } = stage.pools;
      await until(() => sandbox.totalCount + statement.totalCount === 0);
      stage.proxy.target({ host: "127.0.0.1", port: 1 });
      stage.defer(async () => stage.proxy.target(stage.server));
      await stage.call(call, quick(stage, call));
    },
    {
      "text reads": [lost, "", "", "", "cut"],
      "statement writes": [lost, "", "none", "no", "cut"],
    },
  ),
  ...each(
    "the login has no connection left at the server",
    async (stage, call) => {
      const { gateway } = stage.world.names;
      await stage.ask(`alter role ${gateway} connection limit 0`);
      stage.defer(async () => void (await stage.ask(`alter role ${gateway} connection limit -1`)));
      await stage.terminate();
      await until(() => stage.pools.sandbox.totalCount === 0);
      await stage.call(call, quick(stage, call));
    },
    { "text writes": [lost, "53300", "none", "no", "cut"] },
  ),
  ...each(
    "idle_session_timeout ends the session in the pool",
    async (stage, call) => {
      const { gateway } = stage.world.names;
      await stage.ask(`alter role ${gateway} set idle_session_timeout = '50ms'`);
      stage.defer(
        async () => void (await stage.ask(`alter role ${gateway} reset idle_session_timeout`)),
      );
      await stage.terminate();
      await until(() => stage.pools.sandbox.totalCount === 0);
      await stage.shop.query(await stage.delegate("bob"), "select 1");
      await until(() => stage.pools.sandbox.totalCount === 0);
      await stage.call(call, quick(stage, call));
    },
    { "text writes": ["ok", "", "done", "yes", "cut"] },
  ),
  ...each(
    "transaction_timeout, set by a DBA, ends the session (PostgreSQL 17)",
    async (stage, call) => {
      const { gateway } = stage.world.names;
      await stage.ask(`alter role ${gateway} set transaction_timeout = '200ms'`);
      stage.defer(
        async () => void (await stage.ask(`alter role ${gateway} reset transaction_timeout`)),
      );
      await stage.terminate();
      await until(() => stage.pools.sandbox.totalCount === 0);
      await stage.call(call, slow(stage, call));
    },
    {
      "text reads": ["timeout", "25P04", "", "", "cut"],
      "text writes": ["timeout", "25P04", "none", "no", "cut"],
    },
    { since: 17 },
  ),
];
