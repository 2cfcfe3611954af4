import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import {
  ALL_ORDERS,
  call,
  goodClaims,
  ISSUER,
  type Json,
  type KitWorld,
  kitWorld,
  putKeys,
  refusal,
  ROWS,
  rsaKey,
  type SigningKey,
  signed,
} from "../support/kit-world.ts";

let world: KitWorld;
let gateway: pg.Client;
let keysync: pg.Client;
const other = rsaKey("k-2");
beforeAll(async () => {
  world = await kitWorld();
  gateway = await world.connect();
  keysync = await world.connect(world.names.keysync);
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => putKeys(keysync, ISSUER, [world.key]));

const works = async (key: SigningKey) =>
  call(gateway, signed(key, goodClaims()), ALL_ORDERS).then(
    (rows) => rows.length === ROWS.alice.length,
    (error: unknown) => (error as pg.DatabaseError).detail,
  );
const changed = (key: SigningKey, changes: Json) => ({ jwk: { ...key.jwk, ...changes } });
const withZeros = (name: "n" | "e", count: number) => ({
  [name]: Buffer.concat([
    Buffer.alloc(count),
    Buffer.from(other.jwk[name] as string, "base64url"),
  ]).toString("base64url"),
});

it("rotates: the new key works beside the old one, then alone", async () => {
  expect(await works(other)).toBe("unknown_key");
  expect(await putKeys(keysync, ISSUER, [world.key, other])).toBe(2);
  expect([await works(world.key), await works(other)]).toEqual([true, true]);
  expect(await putKeys(keysync, ISSUER, [other])).toBe(1);
  expect([await works(world.key), await works(other)]).toEqual(["unknown_key", true]);
});

it("takes another key under the same kid", async () => {
  const successor = rsaKey("k1");
  await putKeys(keysync, ISSUER, [successor]);
  expect([await works(world.key), await works(successor)]).toEqual(["signature", true]);
});

it("leaves the keys of other issuers alone", async () => {
  await world.admin.query("select behalf.add_issuer('https://second.test')");
  await putKeys(keysync, "https://second.test", [other]);
  await putKeys(keysync, ISSUER, [world.key]);
  const { rows } = await world.admin.query(
    "select issuer, kid from behalf.issuer_keys order by issuer",
  );
  expect(rows).toEqual([
    { issuer: ISSUER, kid: "k1" },
    { issuer: "https://second.test", kid: "k-2" },
  ]);
});

describe("uses", () => {
  it.each<readonly [string, { jwk: Json }]>([
    ["a modulus with leading zeros", changed(other, withZeros("n", 3))],
    ["an exponent with leading zeros", changed(other, withZeros("e", 5))],
    ["use sig and alg RS256", changed(other, { use: "sig", alg: "RS256" })],
    ["members that it does not know", changed(other, { x5c: ["AAAA"], foo: { bar: 1 } })],
  ])("a key with %s", async (_, key) => {
    expect(await putKeys(keysync, ISSUER, [key])).toBe(1);
    expect(await works(other)).toBe(true);
  });

  it.each([
    [2048, 3],
    [3072, 65537],
    [4096, 65537],
  ])("a key of %d bits with exponent %d", async (bits, exponent) => {
    const key = rsaKey("sized", bits, exponent);
    await putKeys(keysync, ISSUER, [key]);
    expect(await works(key)).toBe(true);
  });
});

describe("leaves out", () => {
  const number = (value: number | bigint) =>
    Buffer.from(
      value
        .toString(16)
        .padStart(2, "0")
        .replace(/^(.)(?=(..)*$)/, "0$1"),
      "hex",
    ).toString("base64url");
  it.each<readonly [string, { jwk: unknown }]>([
    ["a key of 1024 bits", rsaKey("k-2", 1024)],
    ["a key of 2040 bits", rsaKey("k-2", 2040)],
    [
      "a key of 2047 bits",
      changed(other, {
        n: number(
          BigInt(`0x${Buffer.from(other.jwk["n"] as string, "base64url").toString("hex")}`) >> 1n,
        ),
      }),
    ],
    ["a key of 4104 bits", changed(other, { n: Buffer.alloc(513, 0xff).toString("base64url") })],
    ["zeros instead of a modulus", changed(other, { n: Buffer.alloc(256).toString("base64url") })],
    [
      "an even modulus",
      changed(other, {
        n: Buffer.concat([Buffer.alloc(255, 0xff), Buffer.alloc(1, 0xfe)]).toString("base64url"),
      }),
    ],
    ["an even exponent", changed(other, { e: number(65536) })],
    ["exponent 1", changed(other, { e: "AQ" })],
    ["exponent 0", changed(other, { e: "AA" })],
    ["an exponent of 33 bits", changed(other, { e: number(0x1_0000_0001) })],
    ["no modulus", changed(other, { n: undefined })],
    ["no exponent", changed(other, { e: undefined })],
    ["a modulus that is no base64url", changed(other, { n: "+/==" })],
    ["a modulus that is a number", changed(other, { n: 7 })],
    ["no kid", changed(other, { kid: undefined })],
    ["a kid that is a number", changed(other, { kid: 5 })],
    ["a kid of 600 characters", changed(other, { kid: "k".repeat(600) })],
    ["an encryption key", changed(other, { use: "enc" })],
    ["a key for RS512", changed(other, { alg: "RS512" })],
    ["an EC key", { jwk: { kty: "EC", crv: "P-256", x: "AA", y: "AA", kid: "k-2" } }],
    ["a shared secret", { jwk: { kty: "oct", k: "c2VjcmV0", kid: "k-2" } }],
    ["a string", { jwk: "key" }],
    ["null", { jwk: null }],
  ])("%s, and uses the one beside it", async (_, key) => {
    expect(await putKeys(keysync, ISSUER, [key as { jwk: Json }, world.key])).toBe(1);
    expect(await works(world.key)).toBe(true);

    const error = await refusal(putKeys(keysync, ISSUER, [key as { jwk: Json }]));
    expect(error).toMatchObject({ code: "ZB007", detail: "keys" });
    expect(await works(world.key)).toBe(true);
  });
});

it.each([
  "{}",
  '{"keys": []}',
  '{"keys": null}',
  '{"keys": {}}',
  '{"keys": "x"}',
  "[]",
  "null",
  '"x"',
])("keeps the keys when the set is %s", async (jwks) => {
  const error = await refusal(keysync.query("select behalf.put_keys($1, $2)", [ISSUER, jwks]));
  expect(error).toMatchObject({ code: "ZB007", detail: "keys" });
  expect(await works(world.key)).toBe(true);
});

describe("who may put keys", () => {
  it("only for an issuer that a DBA added", async () => {
    const error = await refusal(putKeys(keysync, "https://unknown.test", [other]));
    expect(error).toMatchObject({ code: "ZB007", detail: "issuer" });
  });

  it("keysync may; the gateway's login, an agent role and the application may not", async () => {
    expect((await refusal(putKeys(gateway, ISSUER, [other]))).code).toBe("42501");
    const app = await world.connect(world.names.app);
    expect((await refusal(putKeys(app, ISSUER, [other]))).code).toBe("42501");
    const text = `select behalf.put_keys('${ISSUER}', '{}')`;
    expect((await refusal(call(gateway, world.token(), text))).code).toBe("42501");
    expect(await works(other)).toBe("unknown_key");
  });

  it("and keysync may nothing else", async () => {
    for (const text of [
      "select * from behalf.issuer_keys",
      "select * from behalf.secrets",
      "select behalf.add_issuer('https://mine.test')",
      "select behalf.set_audience('mine')",
      "select behalf.map_role('a', 'b', 'c', 'd')",
      "select behalf.exchange('x')",
      "select behalf.open('select 1')",
      "select behalf.claims()",
      "insert into behalf.issuers values ('https://mine.test')",
    ]) {
      expect((await refusal(keysync.query(text))).code, text).toBe("42501");
    }
  });
});
