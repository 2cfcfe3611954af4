import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { type Contestant, freePort, listening, startProcess } from "./gateway-contestant.ts";
import { GATEWAY } from "./gateway-issuer.ts";
import { statementOf } from "./gateway-world.ts";

/** 138 and 301 MB: far too much for every contributor, so this bench alone fetches them. */
const PEERS = { "@bytebase/dbhub": "1.4.0", "@toolbox-sdk/server": "1.12.0" };
const cache = fileURLToPath(new URL("../../node_modules/.cache/behalf-peers/", import.meta.url));
const { resolve } = createRequire(join(cache, "package.json"));

/** Installs the peers once. `false`, and said aloud, where that cannot be done. */
export async function installPeers(): Promise<boolean> {
  const isThere = Object.entries(PEERS).every(([name, version]) =>
    existsSync(join(cache, "node_modules", name, `.${version}`)),
  );
  if (isThere) return true;
  console.log("fetching the peers, once, some 440 MB ...");
  await mkdir(cache, { recursive: true });
  await writeFile(join(cache, "package.json"), JSON.stringify({ private: true }));
  const wanted = Object.entries(PEERS).map(([name, version]) => `${name}@${version}`);
  try {
    const flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", cache];
    await promisify(execFile)("npm", ["install", ...flags, ...wanted], { timeout: 600_000 });
    for (const [name, version] of Object.entries(PEERS)) {
      await writeFile(join(cache, "node_modules", name, `.${version}`), "");
    }
    return true;
  } catch (error) {
    console.error(`\nTHE PEERS CANNOT BE INSTALLED, so they are not measured: ${String(error)}\n`);
    return false;
  }
}

/** A shared login and a text from the agent; a call costs it no token. */
export async function startDbhub(databaseUrl: string): Promise<Contestant> {
  const folder = await mkdtemp(join(tmpdir(), "behalf-bench-"));
  const file = join(folder, "dbhub.toml");
  await writeFile(
    file,
    `[[sources]]
id = "bench"
dsn = ${JSON.stringify(`${databaseUrl}?sslmode=disable`)}

[[tools]]
name = "execute_sql"
source = "bench"
readonly = true
max_rows = 1000
`,
  );
  const port = await freePort();
  const program = join(dirname(resolve("@bytebase/dbhub/package.json")), "dist/index.js");
  const options = `--transport http --host 127.0.0.1 --port ${port}`;
  const args = [program, ...options.split(" "), "--config", file];
  const started = startProcess(process.execPath, args);
  await listening(port, started);
  return {
    name: "dbhub",
    url: `http://127.0.0.1:${port}/mcp`,
    pid: started.pid,
    headers: () => ({}),
    call: (human) => ({ name: "execute_sql", arguments: { sql: statementOf(`'${human}'`) } }),
    rowsOf: (result) => JSON.parse(textsOf(result).join("")).data.statements[0].rows,
    async stop() {
      await started.stop();
      await rm(folder, { recursive: true });
    },
  };
}

/** A statement that its author fixed, and the human's token, verified on every call: its claim is the value. */
export async function startToolbox(
  databaseUrl: string,
  issuer: string,
  tokens: ReadonlyMap<string, string>,
): Promise<Contestant> {
  const { hostname, port: databasePort, pathname, username, password } = new URL(databaseUrl);
  const folder = await mkdtemp(join(tmpdir(), "behalf-bench-"));
  const file = join(folder, "tools.yaml");
  await writeFile(
    file,
    `kind: source
name: bench
type: postgres
host: ${hostname}
port: ${databasePort}
database: ${pathname.slice(1)}
user: ${username}
password: "${password}"
---
kind: authService
name: login
type: generic
audience: ${GATEWAY}
authorizationServer: ${issuer}
mcpEnabled: true
---
kind: tool
name: purchases
type: postgres-sql
source: bench
description: The first purchases of the human.
statement: ${statementOf("$1")}
parameters:
  - name: owner
    type: string
    description: Taken from the token.
    authServices:
      - name: login
        field: sub
`,
  );
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const program = join(dirname(resolve("@toolbox-sdk/server/package.json")), "bin/run.js");
  const options = `--port ${port} --toolbox-url ${url} --disable-reload --disable-version-check --log-level ERROR`;
  const args = [program, ...options.split(" "), "--config", file];
  const started = startProcess(process.execPath, args);
  await listening(port, started);
  return {
    name: "toolbox, token",
    url: `${url}/mcp`,
    pid: started.pid,
    headers: (human) => ({ authorization: `Bearer ${tokens.get(human)}` }),
    call: () => ({ name: "purchases", arguments: {} }),
    rowsOf: (result) => textsOf(result).flatMap((text) => JSON.parse(text)),
    async stop() {
      await started.stop();
      await rm(folder, { recursive: true });
    },
  };
}

function textsOf(result: unknown): readonly string[] {
  const { content } = result as { content: readonly { text: string }[] };
  return content.map(({ text }) => text);
}
