import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { credentialCache, delegator, jsonlSink, Secret, tokenExchange } from "@behalf/core";
import { gateway } from "@behalf/gateway";
import { postgres } from "@behalf/postgres";
import pg from "pg";

import { type Contestant, startProcess } from "./gateway-contestant.ts";
import { DATABASE, GATEWAY } from "./gateway-issuer.ts";
import { SHARED_BEARER, sharedAdapter, sharedFront } from "./gateway-shared.ts";
import { statementOf } from "./gateway-world.ts";

/** What the process of the gateway is told. */
interface Setup {
  readonly identity: boolean;
  readonly databaseUrl: string;
  readonly issuer: string;
  readonly records: string;
}

/** Behalf's gateway, or (`identity: false`) the same server over a shared login without records. */
export async function startBehalf(
  options: Pick<Setup, "identity" | "databaseUrl" | "issuer"> & {
    readonly tokens: ReadonlyMap<string, string>;
  },
): Promise<Contestant> {
  const { tokens, ...rest } = options;
  const folder = await mkdtemp(join(tmpdir(), "behalf-bench-"));
  const setup: Setup = { ...rest, records: join(folder, "records.jsonl") };
  const started = startProcess(process.execPath, [fileURLToPath(import.meta.url)], {
    BENCH_GATEWAY: JSON.stringify(setup),
  });
  const stdout = started.child.stdout ?? process.stdin;
  const [line] = await Promise.race([
    once(createInterface(stdout), "line"),
    once(started.child, "exit").then(() => {
      throw new Error("the gateway did not start");
    }),
  ]);
  return {
    name: options.identity ? "behalf" : "same server, shared login",
    url: `http://127.0.0.1:${Number(line)}/mcp`,
    pid: started.pid,
    headers: (human) => ({
      authorization: `Bearer ${options.identity ? tokens.get(human) : SHARED_BEARER}`,
    }),
    call: (human) => ({ name: "query", arguments: { sql: statementOf(`'${human}'`) } }),
    rowsOf(result) {
      const { content } = result as { content: readonly { text: string }[] };
      const { columns, rows } = JSON.parse(content[0]?.text ?? "") as {
        columns: readonly string[];
        rows: readonly (readonly unknown[])[];
      };
      return rows.map((row) => Object.fromEntries(columns.map((name, n) => [name, row[n]])));
    },
    async stop() {
      await started.stop();
      await rm(folder, { recursive: true });
    },
  };
}

async function serve(setup: Setup): Promise<number> {
  const pool = new pg.Pool({ connectionString: setup.databaseUrl, max: 10 });
  const server = await gateway({
    ...(setup.identity ? withIdentity(setup, pool) : shared(pool)),
    resource: "http://gateway.test/mcp",
    authorizationServers: [setup.issuer],
  });
  return (await server.listen()).port;
}

function withIdentity({ issuer, records: path }: Setup, pool: pg.Pool) {
  const records = jsonlSink({ path });
  const exchange = tokenExchange({
    issuer,
    clientId: "gateway",
    clientSecret: new Secret("bench"),
    audience: DATABASE,
  });
  return {
    front: delegator({ verifier: { issuers: [{ issuer }], audience: GATEWAY }, records }),
    database: postgres({ pool, credentials: credentialCache({ exchange }), records }),
  };
}

function shared(pool: pg.Pool) {
  return { front: sharedFront, database: sharedAdapter(pool) };
}

if (import.meta.main) {
  const setup: Setup = JSON.parse(process.env["BENCH_GATEWAY"] ?? "");
  console.log(await serve(setup));
}
