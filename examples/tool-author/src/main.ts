import { credentialCache, delegator, jsonlSink, Secret, sql, tokenExchange } from "@behalf/core";
import { gateway, statementTool } from "@behalf/gateway";
import { postgres } from "@behalf/postgres";
import pg from "pg";
import { z } from "zod";

const {
  DATABASE_URL = "",
  GATEWAY_SECRET = "",
  ISSUER = "",
  RECORDS = "calls.jsonl",
} = process.env;
const records = jsonlSink({ path: RECORDS });
const exchange = tokenExchange({
  issuer: ISSUER,
  clientId: "gateway",
  clientSecret: new Secret(GATEWAY_SECRET),
  audience: "urn:example:database",
});

const ordersAbove = statementTool({
  name: "orders_above",
  description: "Orders of at least this total, the largest first",
  input: z.object({ total: z.number().min(0), limit: z.int().min(1).max(100).default(10) }),
  statement: ({ total, limit }) =>
    sql`select id, total from orders where total >= ${total} order by total desc limit ${limit}`,
});

const verifier = { issuers: [{ issuer: ISSUER }], audience: "urn:example:gateway" };
const pool = new pg.Pool({ connectionString: DATABASE_URL });
const server = await gateway({
  front: delegator({ verifier, records }),
  database: postgres({ pool, credentials: credentialCache({ exchange }), records }),
  resource: "https://tools.example.com/mcp",
  authorizationServers: [ISSUER],
  tools: [ordersAbove],
});
const { port } = await server.listen();
console.log(`http://127.0.0.1:${port}/mcp`);
