import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { until } from "../support/failure.ts";
import {
  ALL_ORDERS,
  call,
  connect,
  goodClaims,
  ISSUER,
  type KitWorld,
  kitWorld,
  putKeys,
  refusal,
  ROWS,
  rsaKey,
  signed,
  start,
} from "../support/kit-world.ts";

let world: KitWorld;
let gateway: pg.Client;
let statements: pg.Client;
const extra: string[] = [];
beforeAll(async () => {
  world = await kitWorld();
  const { agent, gateway: login } = world.names;
  const role = `${agent}_statements`;
  const statementLogin = `${login}_statements`;
  extra.push(role, statementLogin);
  await world.admin.query(`
    select behalf.add_statement_role('${agent}', '${role}');
    grant select on orders to ${role};
    create role ${statementLogin} login noinherit password 'statements';
    select behalf.add_statement_gateway('${statementLogin}')`);
  gateway = await world.connect();
  statements = await connect({
    database: world.names.database,
    user: statementLogin,
    password: "statements",
  });
});
afterAll(async () => {
  await statements.end();
  for (const role of extra) await world.admin.query(`drop owned by ${role}; drop role ${role}`);
  await world[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await gateway.query("rollback");
  await statements.query("rollback");
});

const rotate = async (times = 1) => {
  for (let i = 0; i < times; i++) await world.admin.query("select behalf.rotate_secrets()");
};
const told = async (work: Promise<unknown>) => {
  const error = await refusal(work);
  return `${error.code} ${error.detail}`;
};
const read = (text: string) =>
  gateway.query("select * from behalf.read($1, 1000, 1000000)", [text]);
/** A call of Alice's in statement mode, between its start and its statement. */
const startStatement = async () => {
  await statements.query("begin read only");
  await start(statements, world.token());
  await statements.query("select set_config('role', role, true) from behalf.statement()");
};

describe("a call between two of its statements", () => {
  it("reads on as its human when the secrets rotate, in every mode", async () => {
    await gateway.query("begin read only");
    await start(gateway, world.token());
    await startStatement();
    await rotate();
    expect((await read(ALL_ORDERS)).rowCount).toBe(ROWS.alice.length);
    expect((await statements.query(ALL_ORDERS)).rowCount).toBe(ROWS.alice.length);
  });

  it("is refused, and not answered with no rows, when its key is gone", async () => {
    await gateway.query("begin read only");
    await start(gateway, world.token());
    await startStatement();
    await rotate(2);
    expect(await told(read(ALL_ORDERS))).toBe("ZB003 seal");
    // Nothing of the kit stands between the login and this statement but the guard and the policy.
    expect(await told(statements.query(ALL_ORDERS))).toBe("ZB003 seal");
  });

  it("would be answered with no rows if a seal of a key that is gone were nobody's", async () => {
    // The control: sealed() with its refusal taken out, as if NULL said enough.
    const { rows } = await world.admin.query<{ source: string }>(
      "select pg_get_functiondef('behalf.sealed()'::regprocedure) as source",
    );
    const source = rows[0]?.source ?? "";
    const blind = source.replace(/perform behalf\.refuse\('ZB003', 'seal'[^;]*;/, "return null;");
    expect(blind).not.toBe(source);
    await startStatement();
    await world.admin.query(blind);
    try {
      await rotate(2);
      expect((await statements.query(ALL_ORDERS)).rowCount).toBe(0);
    } finally {
      await world.admin.query(source);
    }
  });

  it("keeps its cursor's rows across a rotation", async () => {
    await gateway.query("begin read only");
    await start(gateway, world.token());
    await gateway.query("select behalf.open($1)", [ALL_ORDERS]);
    const page = () => gateway.query("select * from behalf.fetch(1, 1000)");
    expect((await page()).rowCount).toBe(1);
    await rotate();
    expect((await page()).rowCount).toBe(1);
    await rotate();
    expect(await told(page())).toBe("ZB003 seal");
  });
});

it("keeps two keys of each kind, also when two rotate at once", async () => {
  await rotate(2);
  await using first = await connect({ database: world.names.database });
  await using second = await connect({ database: world.names.database });
  await first.query("begin; select behalf.rotate_secrets()");
  const waiting = second.query("select behalf.rotate_secrets()");
  // It waits for the first, and what reads does not wait for either.
  await gateway.query("begin read only");
  await start(gateway, world.token());
  expect((await read(ALL_ORDERS)).rowCount).toBe(ROWS.alice.length);
  await gateway.query("rollback");
  await first.query("commit");
  await waiting;
  const { rows } = await world.admin.query(
    "select purpose, count(*)::int as keys from behalf.secrets group by 1 order by 1",
  );
  expect(rows).toEqual([
    { purpose: "seal", keys: 2 },
    { purpose: "ticket", keys: 2 },
  ]);
});

it("changes the issuer's key under load without a call that fails: published ahead, then used, then alone", async () => {
  const next = rsaKey("k-next");
  let signing = world.key;
  const over = new AbortController();
  let calls = 0;
  const wrong: unknown[] = [];
  const clients = await Promise.all(Array.from({ length: 4 }, () => world.connect()));
  const callers = clients.map(async (client, index) => {
    const human = index % 2 === 0 ? "alice" : "bob";
    while (!over.signal.aborted) {
      const token = signed(signing, goodClaims(human));
      const rows = await call(client, token, ALL_ORDERS, { subject: human }).catch(
        (error: unknown) => [String(error)],
      );
      if (rows.join() !== ROWS[human].join()) wrong.push(rows);
      calls += 1;
    }
  });
  // Until nobody runs a call that began before now.
  const pass = async () => {
    const end = calls + 12;
    await until(() => calls >= end);
  };
  try {
    await pass();
    await putKeys(world.admin, ISSUER, [world.key, next]);
    await pass();
    signing = next;
    await pass();
    await putKeys(world.admin, ISSUER, [next]);
    await pass();
    expect(wrong).toEqual([]);
    // The control: a key that is used before it is known, or taken away while it is used.
    signing = world.key;
    await pass();
    expect(wrong.length).toBeGreaterThan(0);
    expect(String(wrong[0])).toContain("a key that this database does not know");
  } finally {
    over.abort();
    await Promise.all(callers);
    await putKeys(world.admin, ISSUER, [world.key]);
  }
});
