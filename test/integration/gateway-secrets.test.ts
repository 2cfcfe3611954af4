import { expect, inject, it } from "vitest";

import { REVISIONS, startGateway, type RawAnswer } from "../support/gateway-world.ts";
import { makeWorld } from "../support/world.ts";

/** What the agent tries to have quoted back, and what goes wrong on the way to the database. */
const STATEMENTS = [
  "select 1",
  "select * from pg_settings",
  "select current_setting('behalf.claims', true), current_setting('application_name')",
  "select * from pg_stat_activity",
  "select query from pg_stat_activity where pid = pg_backend_pid()",
  "select * from behalf.secrets",
  "select 1; select 2",
  "selec",
  "select 1/0",
];

it("lets no token, password, secret or connection string out, whatever is sent", async () => {
  await using world = await makeWorld({ url: inject("postgresUrl") });
  await using served = await startGateway(world);
  // The same world with a wrong password, and with no server at all.
  const wrong = world.pool({
    connectionString: world.url({ user: "nobody", password: "hunter2-x" }),
  });
  await using locked = await startGateway(world, { database: world.adapter({ pool: wrong }) });
  const nowhere = world.pool({
    connectionString: world.url(undefined, { host: "127.0.0.1", port: 1 }),
  });
  await using lost = await startGateway(world, { database: world.adapter({ pool: nowhere }) });

  const token = await world.token("alice");
  const databaseToken = await world.databaseToken("alice");
  const answers: RawAnswer[] = [];
  for (const gateway of [served, locked, lost]) {
    for (const sql of STATEMENTS) answers.push(await gateway.call(token, "query", { sql }));
    for (const name of ["whoami", "describe_tables", "nothing", token]) {
      answers.push(await gateway.call(token, name, {}));
    }
    const authorization = `Bearer ${token}`;
    const headers = { authorization };
    answers.push(
      await gateway.send({ body: { token }, headers }),
      await gateway.send({ body: `{${token}`, headers }),
      await gateway.send({ path: `/${token}`, headers }),
      await gateway.send({ headers: { authorization: `Bearer ${token}x` } }),
      await gateway.send({ headers: { authorization: `Basic ${token}` } }),
      await gateway.send({ headers: { ...headers, origin: `https://${token}` } }),
      await gateway.send({ headers: { ...headers, host: token } }),
      await gateway.send({ headers: { ...headers, "mcp-protocol-version": token }, body: {} }),
      await gateway.send({ path: `/mcp?access_token=${token}` }),
    );
  }
  const spoken: string[] = [];
  for (const revision of REVISIONS) {
    const client = await served.client("alice", revision);
    spoken.push(JSON.stringify([await client.listTools(), client.getServerCapabilities()]));
    const failed = await client.callTool({ name: "query", arguments: { sql: "selec" } });
    spoken.push(JSON.stringify(failed));
  }
  expect(answers.length).toBeGreaterThan(60);
  const logs = [served, locked, lost].flatMap(({ log }) => log);
  const everything = JSON.stringify([
    answers.map(({ headers, text }) => [headers, text]),
    spoken,
    logs,
    world.records.records,
  ]);
  // Each part of a token on its own, too: two of three identify a human, and the last proves one.
  const secrets = [
    ...token.split(".").slice(1),
    ...databaseToken.split(".").slice(1),
    world.passwords.gateway,
    world.passwords.keysync,
    "gateway-secret-for-tests",
    "hunter2-x",
    world.url(),
    "postgresql://",
    "postgres://",
  ];
  expect(secrets.filter((secret) => everything.includes(secret))).toEqual([]);
});
