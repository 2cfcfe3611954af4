// Puts the issuer's public keys into the database, again and again, by a login that can do nothing else.
// Whoever puts keys can be anybody, so this is a process of its own and the gateway never has the password.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { syncKeys } from "@behalf/postgres";
import pg from "pg";

const {
  BEHALF_ISSUER: issuer = "",
  DATABASE_HOST = "localhost",
  DATABASE_PORT = "5432",
  PASSWORD_FILE = "/run/secrets/keysync_password",
  INTERVAL_SECONDS = "60",
  // Is there while the last run succeeded.
  STATE_FILE = "",
} = process.env;

const stopping = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => stopping.abort());
}

let failures = 0;
while (!stopping.signal.aborted) {
  try {
    const keys = await sync();
    failures = 0;
    if (STATE_FILE !== "") writeFileSync(STATE_FILE, `${keys}\n`);
    console.log(`keysync: ${keys} keys of ${issuer}`);
  } catch (error) {
    failures += 1;
    if (STATE_FILE !== "") rmSync(STATE_FILE, { force: true });
    console.error(`keysync: ${error instanceof Error ? error.message : String(error)}`);
  }
  // Soon again after a failure: until then a new key of the issuer is not believed.
  const seconds = Math.min(Number(INTERVAL_SECONDS), failures === 0 ? Infinity : 2 ** failures);
  await sleep(1_000 * seconds, undefined, { signal: stopping.signal }).catch(() => {});
}

async function sync(): Promise<number> {
  const client = new pg.Client({
    host: DATABASE_HOST,
    port: Number(DATABASE_PORT),
    database: "shop",
    user: "shop_keysync",
    password: readFileSync(PASSWORD_FILE, "utf8").replace(/\r?\n$/, ""),
    application_name: "behalf-keysync",
    connectionTimeoutMillis: 5_000,
    query_timeout: 10_000,
  });
  client.on("error", () => {});
  await client.connect();
  try {
    return await syncKeys({ client, issuer });
  } finally {
    await client.end();
  }
}
