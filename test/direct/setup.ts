import { randomBytes } from "node:crypto";

import type { Delegation, SqlAdapter } from "@behalf/core";
import pg from "pg";

import { HUMANS, type Human, makeWorld, type World } from "../support/world.ts";
import { PINS } from "./schema.ts";

/** One human on both ways: through Behalf, and logged in with a native role of her own. */
export interface Person {
  readonly name: Human;
  readonly org: string;
  readonly delegation: Delegation;
  readonly login: pg.Client;
}

export interface Setup extends AsyncDisposable {
  readonly world: World;
  readonly shop: SqlAdapter;
  readonly people: readonly Person[];
  /** The group of the native logins. */
  readonly humans: string;
  /** The major version of the server. */
  readonly version: number;
}

/**
 * A database where every human has both. The native logins have the same pins as the kit gives agents
 * (`alter role ... set`), the same search_path and the same claims, in a table: that is what "as if the human
 * had called directly" means here.
 */
export async function directSetup(url: string): Promise<Setup> {
  await using stack = new AsyncDisposableStack();
  const world = await makeWorld({
    url,
    accessTokenTtlSeconds: 7_200,
    claims: {
      alice: { teams: ["red", 'it\'s "odd"'], level: 3, office: { country: "fr" } },
      bob: { teams: [], level: 1, office: { country: "de" } },
      carol: { teams: ["blue"], level: 5 },
      dan: { teams: ["red", "green", "blue"], level: 0, office: { country: "fr" } },
    },
  });
  stack.use(world);
  const { admin, names } = world;
  const password = randomBytes(12).toString("hex");
  const humans = `direct_${randomBytes(5).toString("hex")}`;
  const people: Person[] = [];
  const logins = stack.use(new AsyncDisposableStack());
  stack.defer(async () => {
    await admin.query(
      `drop schema if exists play cascade; drop schema direct cascade; drop owned by ${humans}`,
    );
    for (const { name } of people) await admin.query(`drop role ${humans}_${name}`);
    await admin.query(`drop role ${humans}`);
  });
  await admin.query(`
    create role ${humans} nologin;
    create schema direct;
    create table direct.claims (login name primary key, claims jsonb not null);
    grant usage on schema direct to ${humans};
    grant select on direct.claims to ${humans};
    select behalf.add_agent_role('${names.agent}', 'play')`);
  for (const [name, { org }] of Object.entries(HUMANS) as [Human, { org: string }][]) {
    const role = `${humans}_${name}`;
    await admin.query(`create role ${role} login password '${password}' in role ${humans}`);
    for (const [setting, value] of [...PINS, ["search_path", "play"] as const]) {
      await admin.query(
        `alter role ${role} set ${setting} = ${setting === "search_path" ? value : `'${value}'`}`,
      );
    }
    // What the database knows of the human is what her token says.
    const payload = (await world.databaseToken(name)).split(".")[1] ?? "";
    await admin.query("insert into direct.claims values ($1, $2)", [
      role,
      Buffer.from(payload, "base64url").toString(),
    ]);
    const login = new pg.Client({ connectionString: world.url({ user: role, password }) });
    await login.connect();
    logins.defer(() => login.end());
    people.push({ name, org, delegation: await world.delegate(name), login });
  }
  const { rows } = await admin.query<{ version: number }>(
    "select current_setting('server_version_num')::int / 10000 as version",
  );
  const shop = world.adapter({ maxRows: 1_000_000, maxBytes: 2 ** 28 });
  const disposal = stack.move();
  return {
    world,
    shop,
    people,
    humans,
    version: rows[0]?.version ?? 0,
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}
