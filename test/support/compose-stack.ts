import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { LOCAL_SIGN_IN, type LocalPostgres } from "@behalf/local";
import pg from "pg";

import { behalf, type BehalfRun } from "./behalf-command.ts";
import { runCommand, type CommandRun } from "./command-run.ts";
import { composeFile, dockerFolder } from "./compose-file.ts";
import { embeddedPostgres } from "./embedded-postgres.ts";
import { until } from "./failure.ts";
import { installText } from "./kit-world.ts";
import { answersAt, freePort, giveToPooler, poolerAccount, stopCommand } from "./pgbouncer.ts";

/** The topology of docker/compose.yaml, made of its very files, as processes of this machine. */
export interface ComposeStack extends AsyncDisposable {
  /** A superuser's connection to the shop, past the pooler. */
  readonly admin: pg.Client;
  readonly origin: string;
  readonly recordsFile: string;
  readonly pooler: CommandRun;
  readonly gateway: BehalfRun;
  /** What the gateway's container would have in its environment. */
  readonly gatewayEnv: Readonly<Record<string, string>>;
  readonly configFile: string;
  secret(name: string): string;
  /** A URL of the shop behind the pooler. */
  poolerUrl(user: string, password: string): string;
  /** What docker/README.md does with curl. */
  token(human: string): Promise<string>;
}

export async function startComposeStack(options: { poolSize: number }): Promise<ComposeStack> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "behalf-compose-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  const secrets = join(folder, "secrets");
  await ran(runCommand(join(dockerFolder, "make-secrets.sh"), [secrets], {}));
  const secret = (name: string) => readFileSync(join(secrets, name), "utf8");
  const { services } = composeFile({ BEHALF_SECRETS: secrets });

  /** A folder with what this service is given, and nothing else. */
  const secretsOf = (service: string): string => {
    const own = join(folder, `secrets-${service}`);
    mkdirSync(own);
    for (const name of services[service]?.secrets ?? []) {
      copyFileSync(join(secrets, name), join(own, name));
    }
    return own;
  };
  /** The variables of a service. What is changed must be one of them. */
  const envOf = (service: string, changes: Readonly<Record<string, string>>) => {
    const given = services[service]?.environment ?? {};
    const unknown = Object.keys(changes).filter((name) => !(name in given));
    if (unknown.length > 0) throw new Error(`${service} has no variables ${unknown.join(", ")}`);
    return { ...given, ...changes };
  };
  const stopAtEnd = (run: CommandRun) => stack.defer(() => stopCommand(run));

  const node = process.execPath;
  const provider = runCommand(
    node,
    [join(dockerFolder, "openid/openid.ts")],
    envOf("openid", {
      SECRETS_FOLDER: secretsOf("openid"),
      LISTEN_HOST: "127.0.0.1",
      LISTEN_PORT: "0",
    }),
  );
  stopAtEnd(provider);
  const [, issuer = ""] = await provider.printed(/the issuer is (\S+)/);

  const postgres = await embeddedPostgres({ database: "shop" });
  stack.defer(() => postgres.stop());
  const admin = new pg.Client({
    connectionString: postgres.url,
    options: `-c behalf_demo.issuer=${issuer} -c behalf_demo.secrets=${secretsOf("postgres")}`,
  });
  admin.on("error", () => {});
  await admin.connect();
  stack.defer(() => admin.end());
  await initialise(admin);

  const poolerPort = await freePort();
  const pooler = startPooler(folder, postgres, poolerPort, options.poolSize, {
    ...envOf("pgbouncer", { DATABASE_HOST: postgres.host, SECRETS_FOLDER: secretsOf("pgbouncer") }),
  });
  stopAtEnd(pooler);
  await until(() => answersAt(poolerPort));

  const stateFile = join(folder, "synced");
  const keysync = runCommand(node, [join(dockerFolder, "keysync/keysync.ts")], {
    ...envOf("keysync", { BEHALF_ISSUER: issuer, DATABASE_HOST: postgres.host }),
    DATABASE_PORT: String(postgres.port),
    PASSWORD_FILE: join(secretsOf("keysync"), "keysync_password"),
    STATE_FILE: stateFile,
  });
  stopAtEnd(keysync);
  await keysync.printed(/1 keys of/);

  const configFile = join(dockerFolder, "gateway/behalf.yaml");
  const recordsFile = join(folder, "records.jsonl");
  const gatewayEnv = envOf("gateway", {
    BEHALF_PUBLIC_URL: "http://gateway.test/mcp",
    BEHALF_HOST: "127.0.0.1",
    BEHALF_PORT: "0",
    BEHALF_ISSUER: issuer,
    POOLER_HOST: "127.0.0.1",
    POOLER_PORT: String(poolerPort),
    RECORDS_FILE: recordsFile,
    SECRETS_FOLDER: secretsOf("gateway"),
  });
  const gateway = behalf(["serve", "--config", configFile], gatewayEnv);
  stopAtEnd(gateway);
  const [, origin = ""] = await gateway.printed(/listening on (http:\S+)/);

  const disposal = stack.move();
  return {
    admin,
    origin,
    recordsFile,
    pooler,
    gateway,
    gatewayEnv,
    configFile,
    secret,
    poolerUrl: (user, password) => `postgres://${user}:${password}@127.0.0.1:${poolerPort}/shop`,
    async token(human) {
      const response = await fetch(`${issuer}/token`, {
        method: "POST",
        headers: { authorization: `Basic ${btoa(`assistant:${secret("assistant_secret")}`)}` },
        body: new URLSearchParams({
          grant_type: LOCAL_SIGN_IN,
          username: human,
          audience: "urn:behalf:demo:gateway",
        }),
      });
      const body = (await response.json()) as { readonly access_token: string };
      return body.access_token;
    },
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

/** What the image's entrypoint does with its init folder: every file, by name. */
async function initialise(admin: pg.Client): Promise<void> {
  await admin.query(installText);
  for (const name of readdirSync(join(dockerFolder, "shop")).toSorted()) {
    await admin.query(readFileSync(join(dockerFolder, "shop", name), "utf8"));
  }
}

function startPooler(
  folder: string,
  postgres: LocalPostgres,
  port: number,
  poolSize: number,
  env: Readonly<Record<string, string>>,
): CommandRun {
  const own = join(folder, "pgbouncer");
  mkdirSync(own, { mode: 0o700 });
  giveToPooler(own);
  // The other account may not be able to read the repository.
  const script = join(folder, "start.sh");
  copyFileSync(join(dockerFolder, "pgbouncer/start.sh"), script);
  const template = join(folder, "pgbouncer.ini.template");
  copyFileSync(join(dockerFolder, "pgbouncer/pgbouncer.ini"), template);
  return runCommand(
    "/bin/sh",
    [script],
    {
      ...env,
      PATH: `${process.env["PATH"] ?? ""}:/usr/sbin`,
      DATABASE_PORT: String(postgres.port),
      LISTEN_HOST: "127.0.0.1",
      LISTEN_PORT: String(port),
      POOL_SIZE: String(poolSize),
      TEMPLATE: template,
      RUN_FOLDER: own,
    },
    poolerAccount,
  );
}

async function ran(run: CommandRun): Promise<void> {
  const code = await run.ended;
  if (code !== 0) throw new Error(`it ended with ${code}: ${run.out()}${run.error()}`);
}
