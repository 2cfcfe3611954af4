import { credentialCache, delegator, jsonlSink, Secret, tokenExchange } from "@behalf/core";
import { postgres } from "@behalf/postgres";
import pg from "pg";

const {
  DATABASE_URL = "",
  GATEWAY_SECRET = "",
  ISSUER = "",
  RECORDS = "calls.jsonl",
} = process.env;
const records = jsonlSink({ path: RECORDS });
const front = delegator({
  verifier: { issuers: [{ issuer: ISSUER }], audience: "urn:example:gateway" },
  records,
});
const clientSecret = new Secret(GATEWAY_SECRET);
const audience = "urn:example:database";
const exchange = tokenExchange({ issuer: ISSUER, clientId: "gateway", clientSecret, audience });
const pool = new pg.Pool({ connectionString: DATABASE_URL });
const shop = postgres({ pool, credentials: credentialCache({ exchange }), records });

/** The body of an MCP tool: the human's bearer and the agent's SQL in, that human's rows out. */
export async function query(bearer: string, statement: string) {
  const delegation = await front.delegate(bearer, { tool: "query" });
  return shop.query(delegation, statement, { maxRows: 100 });
}
