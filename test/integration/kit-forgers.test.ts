import { createHash, randomBytes } from "node:crypto";

import type pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";

import {
  ALL_ORDERS,
  AUDIENCE,
  call,
  connect,
  goodClaims,
  install,
  ISSUER,
  type KitWorld,
  kitWorld,
  onServer,
  OTHER_ISSUER,
  putKeys,
  refusal,
  ROWS,
  rsaKey,
  signed,
} from "../support/kit-world.ts";

// Who can be anybody, and who cannot: "Who can be anybody" of docs/postgres.md, party by party. Each forgery is
// carried to its end: Bob's rows, on the gateway's own login, without a token of Bob's.
let world: KitWorld;
let gateway: pg.Client;
const cleanUp: string[] = [];
beforeAll(async () => {
  world = await kitWorld();
  gateway = await world.connect();
});
afterEach(async () => {
  for (const statement of cleanUp.splice(0).toReversed()) await world.admin.query(statement);
});
afterAll(() => world[Symbol.asyncDispose]());

const major = async () => {
  const { rows } = await world.admin.query<{ number: number }>(
    "select current_setting('server_version_num')::int / 10000 as number",
  );
  return rows[0]?.number ?? 0;
};

/** A login with these attributes, and what else it gets, gone after the test. */
async function party(attributes: string, grants = ""): Promise<pg.Client> {
  const name = `party_${randomBytes(5).toString("hex")}`;
  await world.admin.query(`create role ${name} login password 'x' ${attributes}`);
  cleanUp.push(`drop owned by ${name}; drop role ${name}`);
  if (grants !== "") await world.admin.query(grants.replaceAll("PARTY", name));
  const client = await connect({ database: world.names.database, user: name, password: "x" });
  cleanUp.push(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${name}'`);
  return client;
}

interface Key {
  readonly id: number;
  readonly inner: Buffer;
  readonly outer: Buffer;
}
const KEY = `select id, inner_block as "inner", outer_block as "outer" from behalf.secrets
  where purpose = 'ticket' order by id desc limit 1`;

/** A ticket of Bob's for the gateway's login, from the key alone. */
function forged({ id, inner, outer }: Key): string {
  const body = JSON.stringify({
    key: id,
    login: world.names.gateway,
    role: world.names.agent,
    exp: 9_999_999_999,
    claims: { iss: ISSUER, sub: "bob", iat: 1, org_id: "globex" },
  });
  const sha256 = (...parts: (Buffer | string)[]) => {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    return hash.digest();
  };
  return `bt1.${sha256(outer, sha256(inner, body)).toString("hex")}.${body}`;
}

const asBob = (proof: string) => call(gateway, proof, ALL_ORDERS, { subject: "bob" });
/** Whether this party, with what it can read, is Bob to the database. */
async function readsKeyAndForges(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<Key>(KEY);
  const [key] = rows;
  if (key === undefined) return false;
  expect(await asBob(forged(key))).toEqual(ROWS.bob);
  return true;
}
const codeOf = async (work: Promise<unknown>) => (await refusal(work)).code;

/** Bob's token, as an issuer with this key would sign it. */
const bobs = (key: ReturnType<typeof rsaKey>, changes = {}) =>
  signed(key, goodClaims("bob", changes));

describe("reads the key, and is anybody", () => {
  it("a superuser", async () => {
    expect(await readsKeyAndForges(world.admin)).toBe(true);
    // Two rotations take the worth of what was read.
    const { rows } = await world.admin.query<Key>(KEY);
    await world.admin.query("select behalf.rotate_secrets()");
    await world.admin.query("select behalf.rotate_secrets()");
    expect(await codeOf(asBob(forged(rows[0] as Key)))).toBe("ZB008");
  });

  it("a member of behalf_owner", async () => {
    const member = await party("", "grant behalf_owner to PARTY");
    expect(await readsKeyAndForges(member)).toBe(true);
  });

  it("who passes row level security and was granted the table", async () => {
    const grants = "grant usage on schema behalf to PARTY; grant select on behalf.secrets to PARTY";
    expect(await readsKeyAndForges(await party("bypassrls", grants))).toBe(true);
    expect(await readsKeyAndForges(await party("bypassrls in role pg_read_all_data"))).toBe(true);
    // Either half alone is not enough.
    expect(await readsKeyAndForges(await party("", grants))).toBe(false);
    expect(await readsKeyAndForges(await party("in role pg_read_all_data"))).toBe(false);
    expect(await codeOf((await party("bypassrls")).query(KEY))).toBe("42501");
  });

  it.skipIf(inject("postgresKind") === "url")(
    "who may run programs on the server, from the table's file",
    async () => {
      const runner = await party("in role pg_execute_server_program");
      await world.admin.query("checkpoint");
      const { rows } = await world.admin.query<Key & { path: string }>(
        KEY.replace("id,", "id, pg_relation_filepath('behalf.secrets') as path,"),
      );
      const key = rows[0] as Key & { path: string };
      await runner.query("create temp table stolen (line text)");
      await runner.query(`copy stolen from program 'base64 -w0 ${key.path}'`);
      const stolen = await runner.query<{ line: string }>("select line from stolen");
      const file = Buffer.from(stolen.rows[0]?.line ?? "", "base64");
      expect(file.includes(key.inner) && file.includes(key.outer)).toBe(true);
      // Who may only read files gets no further with COPY than the first NUL, which a table's file begins with.
      const reader = await party("in role pg_read_server_files");
      await reader.query("create temp table stolen (line text)");
      const { rows: place } = await world.admin.query<{ at: string }>(
        "select current_setting('data_directory') as at",
      );
      const path = `${place[0]?.at}/${key.path}`;
      const copy = reader.query(`copy stolen from '${path}' (encoding 'sql_ascii')`);
      expect(await codeOf(copy)).toBe("22021");
      expect(await codeOf(reader.query(`select pg_read_binary_file('${path}')`))).toBe("42501");
      // Without either role nothing of it.
      const nobody = await party("");
      await nobody.query("create temp table stolen (line text)");
      expect(await codeOf(nobody.query(`copy stolen from program 'base64 -w0 ${key.path}'`))).toBe(
        "42501",
      );
      expect(await codeOf(nobody.query(`select pg_read_binary_file('${key.path}')`))).toBe("42501");
    },
  );

  it("who receives a publication FOR ALL TABLES; not who receives one of a schema of yours", async () => {
    const published = async (name: string) => {
      const { rows } = await world.admin.query(
        "select from pg_publication_tables where pubname = $1 and schemaname = 'behalf' and tablename = 'secrets'",
        [name],
      );
      return rows.length;
    };
    await world.admin.query("create publication everything for all tables");
    cleanUp.push("drop publication everything");
    await world.admin.query("create publication mine for tables in schema public");
    cleanUp.push("drop publication mine");
    expect(await published("everything")).toBe(1);
    expect(await published("mine")).toBe(0);
  });
});

describe("gives the database keys of its own, and is anybody", () => {
  const mine = rsaKey("mine");
  const restore = () => putKeys(world.admin, ISSUER, [world.key]);

  it("a member of behalf_keysync, who reads no secret", async () => {
    const keysync = await world.connect(world.names.keysync);
    expect(await codeOf(asBob(bobs(mine)))).toBe("ZB001");
    await putKeys(keysync, ISSUER, [world.key, mine]);
    expect(await asBob(bobs(mine))).toEqual(ROWS.bob);
    expect(await codeOf(keysync.query(KEY))).toBe("42501");
    await restore();
  });

  it("pg_write_all_data, which writes the table of public keys but not that of secrets", async () => {
    const writer = await party("in role pg_write_all_data");
    await putKeys(world.admin, ISSUER, [mine]);
    const { rows } = await world.admin.query<{ [column: string]: unknown }>(
      "select * from behalf.issuer_keys where kid = 'mine'",
    );
    const row = rows[0] ?? {};
    await restore();
    expect(await codeOf(asBob(bobs(mine)))).toBe("ZB001");
    await writer.query(
      "insert into behalf.issuer_keys (issuer, kid, modulus, exponent, octets, padding) values ($1, $2, $3, $4, $5, $6)",
      ["issuer", "kid", "modulus", "exponent", "octets", "padding"].map((name) => row[name]),
    );
    expect(await asBob(bobs(mine))).toEqual(ROWS.bob);
    await restore();
    const secret = `insert into behalf.secrets (purpose, inner_block, outer_block)
      values ('ticket', decode(repeat('00', 64), 'hex'), decode(repeat('00', 64), 'hex'))`;
    expect(await codeOf(writer.query(secret))).toBe("42501");
  });
});

describe("an issuer", () => {
  const theirs = rsaKey("theirs");

  it("is anybody of its own, and nobody of another's", async () => {
    await world.admin.query(`select behalf.add_issuer('${OTHER_ISSUER}')`);
    cleanUp.push(`delete from behalf.issuers where issuer = '${OTHER_ISSUER}'`);
    await putKeys(world.admin, OTHER_ISSUER, [theirs]);
    // With the first issuer's name, its signature is none.
    expect(await codeOf(asBob(bobs(theirs)))).toBe("ZB001");
    // With its own, it has no role until a DBA maps one.
    const foreign = bobs(theirs, { iss: OTHER_ISSUER });
    const asTheirs = () =>
      call(gateway, foreign, ALL_ORDERS, { issuer: OTHER_ISSUER, subject: "bob" });
    expect(await codeOf(asTheirs())).toBe("ZB005");
    await world.admin.query(
      `select behalf.map_role('${OTHER_ISSUER}', 'org_id', 'globex', '${world.names.agent}')`,
    );
    // A policy that reads org_id alone takes either issuer's word for it.
    expect(await asTheirs()).toEqual(ROWS.bob);
    await world.admin.query(`alter policy agents_read on orders using (
      org_id = (select behalf.claim('org_id')) and (select behalf.claim('iss')) = '${ISSUER}')`);
    cleanUp.push(
      "alter policy agents_read on orders using (org_id = (select behalf.claim('org_id')))",
    );
    expect(await asTheirs()).toEqual([]);
    expect(await asBob(world.token("bob"))).toEqual(ROWS.bob);
  });

  it("is nobody where its tokens are for another audience", async () => {
    expect(await codeOf(asBob(bobs(world.key, { aud: `${AUDIENCE}2` })))).toBe("ZB001");
  });
});

describe("CREATEROLE", () => {
  it("is enough before PostgreSQL 16, and not from 16 on", async () => {
    const client = await party("createrole");
    const outcome = await client.query("grant behalf_owner to current_user").then(
      () => readsKeyAndForges(client),
      (error: unknown) => (error as pg.DatabaseError).code,
    );
    expect(outcome).toBe((await major()) < 16 ? true : "42501");
  });

  it("who installed with it can lend himself the owner's rights, until a superuser takes the roles from him", async () => {
    // Roles belong to the server, and this installer must be the one who makes them: the world ends here.
    const id = randomBytes(5).toString("hex");
    const installer = `installer_${id}`;
    const database = `forgers_${id}`;
    await world[Symbol.asyncDispose]();
    await onServer("drop role if exists behalf_owner, behalf_agents, behalf_keysync");
    await onServer(`create role ${installer} login createrole password 'x'`);
    await onServer(`create database ${database} owner ${installer}`);
    try {
      await using client = await connect({ database, user: installer, password: "x" });
      await using admin = await connect({ database });
      await install(client);
      expect(await codeOf(client.query(KEY))).toBe("42501");
      await client.query("grant behalf_owner to current_user");
      expect((await client.query(KEY)).rows).toHaveLength(1);
      await client.query("revoke behalf_owner from current_user");
      expect(await codeOf(client.query(KEY))).toBe("42501");
      // What takes it from him for good: the memberships that 16 leaves, and CREATEROLE before that.
      await admin.query(`alter role ${installer} nocreaterole;
        revoke behalf_owner, behalf_agents, behalf_keysync from ${installer}`);
      expect(await codeOf(client.query("grant behalf_owner to current_user"))).toBe("42501");
      await admin.query("begin");
      await admin.query(`drop schema behalf_sandbox, behalf cascade; drop owned by behalf_owner`);
      await admin.query("commit");
    } finally {
      await onServer(`drop database ${database} with (force)`);
      await onServer(`drop role ${installer}`);
      await onServer("drop role if exists behalf_owner, behalf_agents, behalf_keysync");
    }
  });
});
