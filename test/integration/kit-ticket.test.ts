import { createHmac, randomBytes } from "node:crypto";

import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  ALL_ORDERS,
  call,
  ISSUER,
  type KitWorld,
  kitWorld,
  refusal,
  ROWS,
  start,
} from "../support/kit-world.ts";

let world: KitWorld;
let gateway: pg.Client;
beforeAll(async () => {
  world = await kitWorld();
  gateway = await world.connect();
});
afterAll(() => world[Symbol.asyncDispose]());

const body = (ticket: string) => ticket.slice(69);
const parsed = (ticket: string) => JSON.parse(body(ticket)) as { [name: string]: unknown };
const refusedFor = async (proof: string, client = gateway) => {
  const error = await refusal(call(client, proof, ALL_ORDERS));
  return `${error.code} ${error.detail}`;
};

it("stands for the human on every connection of the login that asked for it", async () => {
  const ticket = await world.ticket();
  const another = await world.connect();
  expect(await call(gateway, ticket, ALL_ORDERS)).toEqual(ROWS.alice);
  expect(await call(another, ticket, ALL_ORDERS)).toEqual(ROWS.alice);
  expect(await call(another, await world.ticket("bob"), ALL_ORDERS, { subject: "bob" })).toEqual(
    ROWS.bob,
  );
});

it("is made by start() from a token, and not again from itself", async () => {
  await gateway.query("begin read only");
  const first = await start(gateway, world.token());
  await gateway.query("rollback");
  expect(first).toMatchObject({ role: world.names.agent, ticket: expect.stringMatching(/^bt1\./) });
  await gateway.query("begin read only");
  const second = await start(gateway, first.ticket);
  await gateway.query("rollback");
  expect(second).toEqual({ ...first, ticket: null });
});

it("is refused to another login, also to another gateway", async () => {
  const ticket = await world.ticket();
  const login = `${world.names.gateway}_2`;
  await world.admin.query(`create role ${login} login noinherit password 'x'`);
  try {
    await world.admin.query("select behalf.add_gateway($1)", [login]);
    const { connect } = await import("../support/kit-world.ts");
    await using other = await connect({
      database: world.names.database,
      user: login,
      password: "x",
    });
    expect(await refusedFor(ticket, other)).toBe("ZB008 ticket");
    expect(await call(other, world.token(), ALL_ORDERS)).toEqual(ROWS.alice);
  } finally {
    await world.admin.query("select behalf.remove_gateway($1)", [login]);
    await world.admin.query(`drop role ${login}`);
  }
});

describe("is refused", () => {
  it.each<readonly [string, (ticket: string) => string]>([
    ["with another human in it", (t) => t.replaceAll('"alice"', '"bob"')],
    ["with another organisation in it", (t) => t.replace("acme", "globex")],
    ["with another expiry", (t) => t.replace(/"exp": (\d)/, '"exp": 9$1')],
    [
      "with one hex digit changed",
      (t) => t.slice(0, 10) + (t[10] === "0" ? "1" : "0") + t.slice(11),
    ],
    ["with the MAC in capitals", (t) => `bt1.${t.slice(4, 68).toUpperCase()}${t.slice(68)}`],
    ["without a MAC", (t) => `bt1.${t.slice(68)}`],
    ["with a MAC of zeros", (t) => `bt1.${"0".repeat(64)}${t.slice(68)}`],
    ["without a body", (t) => t.slice(0, 69)],
    ["as its prefix alone", () => "bt1."],
    ["with a space behind", (t) => `${t} `],
    ["with a key that is not there", (t) => t.replace(/"key": \d+/, '"key": 999')],
    ["with a key that is no number", (t) => t.replace(/"key": \d+/, '"key": "x"')],
    ["without a key", (t) => t.replace(/"key": \d+/, '"kex": 1')],
    ["with an id of a seal's key", (t) => t.replace(/"key": \d+/, '"key": 1')],
    ["as a list", () => `bt1.${"0".repeat(64)}.[]`],
    ["nested too deep for the server", () => `bt1.${"0".repeat(64)}.${"[".repeat(60_000)}`],
    ["of 1 MB", (t) => t + " ".repeat(1_000_000)],
    [
      "with an HMAC under a guessed key",
      (t) =>
        `bt1.${createHmac("sha256", randomBytes(32)).update(body(t)).digest("hex")}.${body(t)}`,
    ],
  ])("%s", async (_, change) => {
    const ticket = await world.ticket();
    expect(await refusedFor(change(ticket))).toBe("ZB008 ticket");
    expect(await call(gateway, ticket, ALL_ORDERS)).toEqual(ROWS.alice);
  });

  it("as a seal, and a seal is refused as a ticket", async () => {
    const ticket = await world.ticket();
    await gateway.query("begin read only");
    await gateway.query("select set_config('behalf.seal', $1, true)", [
      ticket.slice(4, 68) + body(ticket),
    ]);
    expect((await refusal(gateway.query("select behalf.open('select 1')"))).code).toBe("ZB003");
    await gateway.query("rollback");

    await gateway.query("begin read only");
    await start(gateway, ticket);
    const { rows } = await gateway.query<{ seal: string }>(
      "select current_setting('behalf.seal') as seal",
    );
    await gateway.query("rollback");
    const seal = rows[0]?.seal ?? "";
    expect(await refusedFor(`bt1.${seal.slice(0, 64)}.${seal.slice(64)}`)).toBe("ZB008 ticket");
    expect(await refusedFor(seal)).toBe("ZB001 malformed");
  });

  it("once it has expired", async () => {
    const ticket = await world.ticket("alice", { exp: Date.now() / 1000 + 0.7 });
    expect(await call(gateway, ticket, ALL_ORDERS)).toEqual(ROWS.alice);
    await new Promise((resolve) => {
      setTimeout(resolve, 800);
    });
    expect(await refusedFor(ticket)).toBe("ZB008 ticket_expired");
  });

  it("after the second rotation of the keys, not after the first", async () => {
    const ticket = await world.ticket();
    await world.admin.query("select behalf.rotate_secrets()");
    expect(await call(gateway, ticket, ALL_ORDERS)).toEqual(ROWS.alice);
    const newer = await world.ticket();
    expect(parsed(newer)["key"]).not.toBe(parsed(ticket)["key"]);
    await world.admin.query("select behalf.rotate_secrets()");
    expect(await refusedFor(ticket)).toBe("ZB008 ticket");
    expect(await call(gateway, newer, ALL_ORDERS)).toEqual(ROWS.alice);
  });
});

it("is refused where the caller takes it for somebody else's", async () => {
  const ticket = await world.ticket();
  for (const options of [
    { subject: "bob" },
    { subject: null },
    { subject: "Alice" },
    { issuer: "https://other" },
    { issuer: null },
  ]) {
    const error = await refusal(call(gateway, ticket, ALL_ORDERS, options));
    expect(`${error.code} ${error.detail}`).toBe("ZB010 subject");
  }
});

describe("revocation", () => {
  it("refuses a human until reinstated, whatever the issuer issues meanwhile", async () => {
    const ticket = await world.ticket();
    await world.admin.query("select behalf.revoke($1, 'alice')", [ISSUER]);
    // Ending the sessions as well must not shorten it.
    await world.admin.query("select behalf.end_sessions($1, 'alice')", [ISSUER]);
    const later = world.token("alice", { iat: Math.floor(Date.now() / 1000) + 4 });
    for (const proof of [ticket, world.token(), later]) {
      expect(await refusedFor(proof)).toBe("ZB004 revoked");
    }
    await world.admin.query("select behalf.reinstate($1, 'alice')", [ISSUER]);
    expect(await call(gateway, ticket, ALL_ORDERS)).toEqual(ROWS.alice);
  });

  it.each(["revoke", "end_sessions"])(
    "by %s refuses an issuer it does not know, and nobody",
    async (name) => {
      const withdraw = (issuer: string | null, subject: string | null) =>
        refusal(world.admin.query(`select behalf.${name}($1, $2)`, [issuer, subject]));
      for (const issuer of [`${ISSUER}/`, "", null]) {
        expect(await withdraw(issuer, "alice")).toMatchObject({ code: "ZB007", detail: "issuer" });
      }
      for (const subject of ["", null]) {
        expect(await withdraw(ISSUER, subject)).toMatchObject({ code: "ZB007", detail: "subject" });
      }
    },
  );

  it("of sessions refuses tickets and tokens from before, lets later ones in, and ends by reinstatement", async () => {
    const ticket = await world.ticket();
    const token = world.token();
    await world.admin.query("select behalf.end_sessions($1, 'alice')", [ISSUER]);
    expect(await refusedFor(ticket)).toBe("ZB004 revoked");
    expect(await refusedFor(token)).toBe("ZB004 revoked");
    expect(await call(gateway, await world.ticket("bob"), ALL_ORDERS, { subject: "bob" })).toEqual(
      ROWS.bob,
    );
    const later = world.token("alice", { iat: Math.floor(Date.now() / 1000) + 1 });
    expect(await call(gateway, later, ALL_ORDERS)).toEqual(ROWS.alice);
    await world.admin.query("select behalf.reinstate($1, 'alice')", [ISSUER]);
    expect(await call(gateway, ticket, ALL_ORDERS)).toEqual(ROWS.alice);
  });

  it("bites at the next statement of a transaction that has started", async () => {
    await gateway.query("begin read only");
    await start(gateway, await world.ticket());
    await gateway.query("select behalf.open($1)", [ALL_ORDERS]);
    await gateway.query("select * from behalf.fetch(1, 1000)");
    await world.admin.query("select behalf.revoke($1, 'alice')", [ISSUER]);
    const error = await refusal(gateway.query("select * from behalf.fetch(1, 1000)"));
    expect(error.code).toBe("ZB004");
    await gateway.query("rollback");
    await world.admin.query("select behalf.reinstate($1, 'alice')", [ISSUER]);
  });

  it.each(["repeatable read", "serializable"])(
    "is not escaped by a snapshot: %s",
    async (level) => {
      const ticket = await world.ticket();
      // Neither by one from before nor by one that the next statement would still see.
      for (const text of ["", "select 1"]) {
        await gateway.query(`begin isolation level ${level}, read only; ${text}`);
        expect((await refusal(start(gateway, ticket))).detail).toBe("isolation");
        await gateway.query("rollback");
        await gateway.query(`begin isolation level ${level}, read only; ${text}`);
        const exchange = gateway.query("select behalf.exchange($1)", [world.token()]);
        expect((await refusal(exchange)).detail).toBe("isolation");
        await gateway.query("rollback");
      }
    },
  );
});
