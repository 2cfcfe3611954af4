import { readFileSync } from "node:fs";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { behalf } from "../support/behalf-command.ts";
import { startComposeStack, type ComposeStack } from "../support/compose-stack.ts";
import { until } from "../support/failure.ts";
import { toolAnswer } from "../support/gateway-world.ts";
import { pgbouncerPath } from "../support/pgbouncer.ts";

const HUMANS = [
  ["alice", "acme", "anvil"],
  ["bob", "globex", "reactor"],
] as const;

if (pgbouncerPath === undefined) {
  console.log("SKIPPED: docker/compose.yaml, run without Docker (needs the pgbouncer command)");
}

describe.skipIf(pgbouncerPath === undefined)(
  "docker/compose.yaml, run without Docker (needs the pgbouncer command)",
  () => {
    let stack: ComposeStack;
    const clients: Client[] = [];
    beforeAll(async () => {
      stack = await startComposeStack({ poolSize: 2 });
    });
    afterAll(async () => {
      for (const client of clients) await client.close();
      await stack?.[Symbol.asyncDispose]();
    });

    async function clientOf(human: string): Promise<Client> {
      const client = new Client({ name: "tests", version: "1" });
      const authorization = `Bearer ${await stack.token(human)}`;
      const url = new URL(`${stack.origin}/mcp`);
      await client.connect(
        new StreamableHTTPClientTransport(url, { requestInit: { headers: { authorization } } }),
      );
      clients.push(client);
      return client;
    }

    const rowsOf = (answer: unknown) => {
      const { rows, error } = toolAnswer(answer) as { rows?: unknown[][]; error?: unknown };
      if (rows === undefined) throw new Error(JSON.stringify(error));
      return rows;
    };
    const query = async (client: Client, sql: string) =>
      rowsOf(await client.callTool({ name: "query", arguments: { sql } }));

    it("gives two humans two answers", async () => {
      for (const [human, org, product] of HUMANS) {
        const rows = await query(
          await clientOf(human),
          "select org_id, product, count(*)::int from orders group by 1, 2",
        );
        expect(rows).toEqual([[org, product, 100]]);
      }
    });

    it("shows no foreign row in 200 interleaved calls over two connections", async () => {
      const asked: Promise<{ org: string; rows: unknown[][] }>[] = [];
      const agents = await Promise.all(
        HUMANS.map(async ([human, org]) => ({ org, client: await clientOf(human) })),
      );
      const pids = new Map<unknown, Set<string>>();
      let foreign = 0;
      for (let batch = 0; batch < 10; batch += 1) {
        asked.length = 0;
        for (let call = 0; call < 10; call += 1) {
          for (const { org, client } of agents) {
            const sql = "select org_id, pg_backend_pid(), count(*)::int from orders group by 1";
            asked.push(query(client, sql).then((rows) => ({ org, rows })));
          }
        }
        for (const { org, rows } of await Promise.all(asked)) {
          expect(rows).toHaveLength(1);
          for (const [seen, pid, count] of rows) {
            if (seen !== org || count !== 100) foreign += 1;
            pids.set(pid, (pids.get(pid) ?? new Set()).add(org));
          }
        }
      }
      expect(foreign).toBe(0);
      expect(pids.size).toBeLessThanOrEqual(2);
      // Else nothing was shared, and nothing shown.
      expect([...pids.values()].some((orgs) => orgs.size === 2)).toBe(true);
    });

    it("writes what a human may write, and nothing else", async () => {
      const client = await clientOf("alice");
      const write = async (sql: string) => {
        const answer = await client.callTool({ name: "write", arguments: { sql } });
        return toolAnswer(answer) as {
          rows?: unknown;
          affected_rows?: number;
          error?: { code: string; sqlstate?: string };
        };
      };
      const insert = (org: string) =>
        `insert into orders (org_id, product, total, placed_at) values ('${org}', 'rocket', 1, '2026-02-01Z') returning org_id`;
      expect((await write(insert("acme"))).rows).toEqual([["acme"]]);
      expect((await write(insert("globex"))).error?.sqlstate).toBe("42501");
      const foreign = await write("update orders set total = 2 where product = 'reactor'");
      expect(foreign.affected_rows).toBe(0);
      const { rows } = await stack.admin.query(
        "select org_id, count(*)::int from orders where product = 'rocket' group by 1",
      );
      expect(rows).toEqual([{ org_id: "acme", count: 1 }]);
    });

    it("serves the tool that stands in behalf.yaml, through the second login", async () => {
      const client = await clientOf("bob");
      const answer = await client.callTool({
        name: "orders_by_status",
        arguments: { since: "2026-01-01" },
      });
      expect(rowsOf(answer)).toEqual([
        ["open", "75", "46875.00"],
        ["shipped", "25", "16250.00"],
      ]);
    });

    it("cancels at the server, through the pooler, when a client goes away", async () => {
      const sleeping = async () => {
        const { rowCount } = await stack.admin.query(
          "select from pg_stat_activity where usename = 'shop_gateway' and wait_event = 'PgSleep'",
        );
        return rowCount === 1;
      };
      const client = await clientOf("alice");
      const call = client
        .callTool({ name: "query", arguments: { sql: "select pg_sleep(600)" } })
        .catch(() => "gone");
      await until(sleeping);
      await client.close();
      expect(await call).toBe("gone");
      // The deadline of 30 s is later than `until` waits.
      await until(async () => !(await sleeping()));
      const sql = "select count(*)::int from orders where product = 'anvil'";
      expect(await query(await clientOf("alice"), sql)).toEqual([[100]]);
    });

    it("finds nobody else in its own sessions, also after writes", async () => {
      const client = await clientOf("alice");
      await client.callTool({
        name: "write",
        arguments: { sql: "update orders set status = 'shipped' where product = 'rocket'" },
      });
      const names = async (which = "") => {
        const { rows } = await stack.admin.query<{ name: string }>(
          `select distinct application_name as name from pg_stat_activity where usename in ('shop_gateway', 'shop_statements') ${which}`,
        );
        return rows.map((row) => row.name);
      };
      // A connection that the pooler made has no name until it lends it, and one that it made because all
      // others were busy for a moment may wait for that as long as the test lasts: it never ran anything.
      const isOurs = async () => (await names("and query <> ''")).join() === "behalf-gateway";
      await until(isOurs);
      const { host, port } = stack.admin;
      const fresh = new pg.Client({
        host,
        port,
        user: "shop_gateway",
        password: stack.secret("sandbox_password"),
        database: "shop",
      });
      await fresh.connect();
      try {
        expect(await names()).toContain("");
        const check = behalf(["config", "check", "--config", stack.configFile], stack.gatewayEnv);
        expect([await check.ended, check.error()]).toEqual([0, ""]);
      } finally {
        await fresh.end();
      }
      await until(isOurs);
    });

    it("lets nobody through the pooler but the gateway's logins", async () => {
      const attempt = async (user: string, password: string) => {
        const client = new pg.Client({ connectionString: stack.poolerUrl(user, password) });
        client.on("error", () => {});
        try {
          await client.connect();
          await client.end();
          return "in";
        } catch {
          return "refused";
        }
      };
      expect(await attempt("shop_gateway", stack.secret("sandbox_password"))).toBe("in");
      expect(await attempt("shop_gateway", stack.secret("statements_password"))).toBe("refused");
      expect(await attempt("shop_keysync", stack.secret("keysync_password"))).toBe("refused");
      expect(await attempt("postgres", stack.secret("postgres_password"))).toBe("refused");
      expect(await attempt("pgbouncer", "")).toBe("refused");
    });

    it("records every call, and ends when it is told to", async () => {
      const records = readFileSync(stack.recordsFile, "utf8");
      expect(records).toContain('"subject":"alice"');
      expect(records).toContain('"subject":"bob"');
      stack.gateway.process.kill("SIGTERM");
      expect(await stack.gateway.ended).toBe(0);
      for (const secret of ["sandbox_password", "statements_password", "gateway_secret"]) {
        expect(stack.gateway.out() + stack.gateway.error() + stack.pooler.error()).not.toContain(
          stack.secret(secret),
        );
      }
    });
  },
);
