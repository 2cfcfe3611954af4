import { credentialCache, delegator, jsonlSink, Secret, sql, tokenExchange } from "@behalf/core";
import { gateway, statementTool } from "@behalf/gateway";
import { postgres } from "@behalf/postgres";
import pg from "pg";
import { z } from "zod";

const env = (name: string) => process.env[name] ?? "";
const pool = (name: string) => new pg.Pool({ connectionString: env(name) });
const issuer = env("ISSUER");
const records = jsonlSink({ path: env("RECORDS") });
const exchange = tokenExchange({
  issuer,
  clientId: "gateway",
  clientSecret: new Secret(env("GATEWAY_SECRET")),
  audience: "urn:example:database",
});

const ordersAbove = statementTool({
  name: "orders_above",
  description: "Orders of at least this total, the largest first",
  input: z.object({ total: z.number().min(0), limit: z.int().min(1).max(100).default(10) }),
  statement: ({ total, limit }) =>
    sql`select id, total from orders where total >= ${total} order by total desc limit ${limit}`,
});

const verifier = { issuers: [{ issuer }], audience: "urn:example:gateway" };
const server = await gateway({
  front: delegator({ verifier, records }),
  database: postgres({
    pool: pool("DATABASE_URL"), // the login for agents' own SELECTs
    statements: { pool: pool("STATEMENTS_URL") }, // the login for your tools
    credentials: credentialCache({ exchange }),
    records,
  }),
  resource: "https://tools.example.com/mcp",
  authorizationServers: [issuer],
  tools: [ordersAbove],
});
console.log(`http://127.0.0.1:${(await server.listen()).port}/mcp`);
