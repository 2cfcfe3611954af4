import {
  constants,
  createHash,
  createHmac,
  createPublicKey,
  privateEncrypt,
  type JsonWebKey,
  sign,
  verify,
} from "node:crypto";
import { existsSync, readFileSync } from "node:fs";

import fc from "fast-check";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { type KitWorld, kitWorld, rsaKey } from "../support/kit-world.ts";

let world: KitWorld;
beforeAll(async () => {
  world = await kitWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

interface PublicNumbers {
  readonly modulus: string;
  readonly exponent: number;
  readonly octets: number;
}

interface Vector {
  readonly message: Buffer;
  readonly signature: Buffer;
}

function numbers(jwk: JsonWebKey): PublicNumbers {
  const modulus = Buffer.from(jwk.n as string, "base64url")
    .toString("hex")
    .replace(/^(00)+/, "");
  return {
    modulus: BigInt(`0x${modulus}`).toString(),
    exponent: Number(`0x${Buffer.from(jwk.e as string, "base64url").toString("hex")}`),
    octets: modulus.length / 2,
  };
}

/** What the database says about many signatures of one key, in one trip. */
async function accepted(
  client: pg.Client,
  key: PublicNumbers,
  vectors: readonly Vector[],
): Promise<boolean[]> {
  const { rows } = await client.query<{ ok: boolean }>(
    `select behalf.rs256($1, $2, $3, behalf.rs256_padding($3), v.message, v.signature) is true as ok
     from unnest($4::bytea[], $5::bytea[]) with ordinality as v (message, signature, n) order by v.n`,
    [
      key.modulus,
      key.exponent,
      key.octets,
      vectors.map((vector) => vector.message),
      vectors.map((vector) => vector.signature),
    ],
  );
  return rows.map((row) => row.ok);
}

interface Wycheproof {
  readonly numberOfTests: number;
  readonly testGroups: readonly {
    readonly publicKeyPem: string;
    readonly tests: readonly {
      readonly tcId: number;
      readonly comment: string;
      readonly msg: string;
      readonly sig: string;
      readonly result: "valid" | "invalid" | "acceptable";
    }[];
  }[];
}

describe("Wycheproof", () => {
  const file = (bits: number) =>
    new URL(
      `../../../shared/data/wycheproof/rsa_signature_${bits}_sha256_test.json`,
      import.meta.url,
    );
  const missing = ![2048, 3072, 4096].every((bits) => existsSync(file(bits)));
  const why = missing ? " (skipped: the vectors are not beside the repository)" : "";

  it.skipIf(missing).for([2048, 3072, 4096])(
    `accepts the valid RSA-%d vectors and no other, "acceptable" ones included${why}`,
    async (bits) => {
      const suite = JSON.parse(readFileSync(file(bits), "utf8")) as Wycheproof;
      let count = 0;
      for (const group of suite.testGroups) {
        const key = numbers(createPublicKey(group.publicKeyPem).export({ format: "jwk" }));
        const answers = await accepted(
          world.admin,
          key,
          group.tests.map(({ msg, sig }) => ({
            message: Buffer.from(msg, "hex"),
            signature: Buffer.from(sig, "hex"),
          })),
        );
        const wrong = group.tests.filter(
          ({ result }, index) => answers[index] !== (result === "valid"),
        );
        expect(wrong).toEqual([]);
        count += answers.length;
      }
      expect(count).toBe(suite.numberOfTests);
    },
  );
});

describe("vectors of our own", () => {
  const key = rsaKey("own");
  const publicNumbers = numbers(key.jwk);
  const message = Buffer.from("behalf");
  const right = sign("sha256", message, key.privateKey);
  const n = BigInt(publicNumbers.modulus);
  const number = (value: bigint) => Buffer.from(value.toString(16).padStart(512, "0"), "hex");
  const s = BigInt(`0x${right.toString("hex")}`);
  const digest = createHash("sha256").update(message).digest();
  const digestInfo = Buffer.from("3031300d060960864801650304020105000420", "hex");
  /** The signature of a block that is made by hand; the key's owner could sign it, nobody else. */
  const raw = (block: Buffer) =>
    privateEncrypt({ key: key.privateKey, padding: constants.RSA_NO_PADDING }, block);
  const padded = (tail: Buffer, type = 1, fill = 0xff) =>
    Buffer.concat([
      Buffer.from([0, type]),
      Buffer.alloc(256 - 3 - tail.length, fill),
      Buffer.from([0]),
      tail,
    ]);

  const wrong: readonly (readonly [string, Buffer])[] = [
    ["s + n, where it fits into the length", s + n < 1n << 2048n ? number(s + n) : number(n + 1n)],
    ["n - s", number(n - s)],
    ["0", number(0n)],
    ["1", number(1n)],
    ["n - 1", number(n - 1n)],
    ["n", number(n)],
    ["nothing", Buffer.alloc(0)],
    ["one octet short", right.subarray(0, 255)],
    ["one octet long", Buffer.concat([right, Buffer.alloc(1)])],
    ["a zero octet before", Buffer.concat([Buffer.alloc(1), right])],
    ["another hash", sign("sha512", message, key.privateKey)],
    ["another message", sign("sha256", Buffer.from("Behalf"), key.privateKey)],
    ["another key", sign("sha256", message, rsaKey("stranger").privateKey)],
    [
      "PSS",
      sign("sha256", message, {
        key: key.privateKey,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: 32,
      }),
    ],
    ["no DigestInfo", raw(padded(digest))],
    ["block type 0", raw(padded(Buffer.concat([digestInfo, digest]), 0, 0))],
    ["block type 2", raw(padded(Buffer.concat([digestInfo, digest]), 2, 0xaa))],
    [
      "NULL left out",
      raw(
        padded(
          Buffer.concat([
            Buffer.from("302f300b0609608648016503040201", "hex"),
            Buffer.from("0420", "hex"),
            digest,
          ]),
        ),
      ),
    ],
    [
      "a BER length of two octets",
      raw(
        padded(
          Buffer.concat([Buffer.from("308131300d060960864801650304020105000420", "hex"), digest]),
        ),
      ),
    ],
    [
      "short padding with garbage behind the hash",
      raw(
        Buffer.concat([
          Buffer.from([0, 1]),
          Buffer.alloc(8, 0xff),
          Buffer.from([0]),
          digestInfo,
          digest,
          Buffer.alloc(256 - 11 - 51, 7),
        ]),
      ),
    ],
  ];

  it("accepts the right one", async () => {
    expect(await accepted(world.admin, publicNumbers, [{ message, signature: right }])).toEqual([
      true,
    ]);
    // The helper that makes blocks by hand makes right ones, too: the refusals below have their own reason.
    const byHand = raw(padded(Buffer.concat([digestInfo, digest])));
    expect(byHand.equals(right)).toBe(true);
  });

  it("refuses every other", async () => {
    const answers = await accepted(
      world.admin,
      publicNumbers,
      wrong.map(([, signature]) => ({ message, signature })),
    );
    expect(wrong.filter((_, index) => answers[index]).map(([name]) => name)).toEqual([]);
  });

  it("is false or NULL, never true, for a missing value", async () => {
    const { rows } = await world.admin.query(
      "select behalf.rs256(15, 3, 256, 1, null, '\\x00') is true as ok",
    );
    expect(rows).toEqual([{ ok: false }]);
  });
});

it("agrees with node:crypto on random messages, exponents, sizes and damage", async () => {
  const keys = [rsaKey("a"), rsaKey("b", 2048, 3), rsaKey("c", 2056, 17), rsaKey("d", 3072)].map(
    (key) => ({ ...key, numbers: numbers(key.jwk) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...keys),
      fc.uint8Array({ maxLength: 200 }),
      fc.option(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { nil: null }),
      async (key, bytes, damage) => {
        const message = Buffer.from(bytes);
        const signature = sign("sha256", message, key.privateKey);
        if (damage) {
          const at = damage[0] % signature.length;
          signature[at] = (signature[at] as number) ^ damage[1];
        }
        const expected = verify("sha256", message, createPublicKey(key.privateKey), signature);
        expect(await accepted(world.admin, key.numbers, [{ message, signature }])).toEqual([
          expected,
        ]);
      },
    ),
    { numRuns: 150, seed: 20_260_101 },
  );
});

describe("numbers from bytes", () => {
  it("are the same by the way that PostgreSQL 15 takes", async () => {
    // The newer way hides the older one on the server that the tests run on.
    await world.admin.query(`
      do $$ begin
        execute replace(replace(pg_get_functiondef('behalf.os2ip(bytea)'::regprocedure), '160000', '999999'), 'behalf.os2ip', 'pg_temp.os2ip_15');
      end $$`);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 520 }), async (bytes) => {
        const { rows } = await world.admin.query(
          "select behalf.os2ip($1)::text as new, pg_temp.os2ip_15($1)::text as old",
          [Buffer.from(bytes)],
        );
        const value = BigInt(`0x0${Buffer.from(bytes).toString("hex")}`).toString();
        expect(rows).toEqual([{ new: value, old: value }]);
      }),
      { numRuns: 100, seed: 20_260_102 },
    );
  });
});

describe("HMAC-SHA-256", () => {
  const hmac = async (key: Buffer, message: Buffer) => {
    const { rows } = await world.admin.query<{ mac: string }>(
      "select encode(behalf.hmac(behalf.xor_block($1, 54), behalf.xor_block($1, 92), $2), 'hex') as mac",
      [key, message],
    );
    return rows[0]?.mac;
  };

  // RFC 4231, sections 4.2 to 4.8; 4.6 is a truncated one.
  const text = (value: string) => Buffer.from(value);
  const vectors: readonly (readonly [string, Buffer, Buffer, string])[] = [
    [
      "1",
      Buffer.alloc(20, 0x0b),
      text("Hi There"),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ],
    [
      "2",
      text("Jefe"),
      text("what do ya want for nothing?"),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ],
    [
      "3",
      Buffer.alloc(20, 0xaa),
      Buffer.alloc(50, 0xdd),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    ],
    [
      "4",
      Buffer.from("0102030405060708090a0b0c0d0e0f10111213141516171819", "hex"),
      Buffer.alloc(50, 0xcd),
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ],
    [
      "5, of which the RFC shows 128 bits",
      Buffer.alloc(20, 0x0c),
      text("Test With Truncation"),
      "a3b6167473100ee06e0c796c2955552b",
    ],
    [
      "6",
      Buffer.alloc(131, 0xaa),
      text("Test Using Larger Than Block-Size Key - Hash Key First"),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ],
    [
      "7",
      Buffer.alloc(131, 0xaa),
      text(
        "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
      ),
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ],
  ];
  it.each(vectors)("has the value of RFC 4231, test case %s", async (_, key, message, mac) => {
    expect((await hmac(key, message))?.slice(0, mac.length)).toBe(mac);
  });

  it("agrees with node:crypto", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 140 }),
        fc.uint8Array({ maxLength: 300 }),
        async (key, message) => {
          expect(await hmac(Buffer.from(key), Buffer.from(message))).toBe(
            createHmac("sha256", key).update(message).digest("hex"),
          );
        },
      ),
      { numRuns: 100, seed: 20_260_103 },
    );
  });
});

describe("base64url", () => {
  const decoded = async (text: string) => {
    const { rows } = await world.admin.query<{ bytes: Buffer | null }>(
      "select behalf.base64url($1) as bytes",
      [text],
    );
    return rows[0]?.bytes ?? null;
  };

  it("reads what Buffer writes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (bytes) => {
        const buffer = Buffer.from(bytes);
        expect(await decoded(buffer.toString("base64url"))).toEqual(buffer);
      }),
      { numRuns: 100, seed: 20_260_104 },
    );
  });

  it("reads no text that Buffer would not have written", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom(...Array.from("AQgwEIMZab09-_+/= \n")), maxLength: 12 }),
        async (text) => {
          const canonical = Buffer.from(text, "base64url").toString("base64url") === text;
          expect((await decoded(text)) !== null).toBe(canonical);
        },
      ),
      { numRuns: 300, seed: 20_260_105 },
    );
  });

  it.each(["QQ==", "Q Q", "QQ\n", "Q+", "Q/", "A", "QR", "QUJ", "é"])(
    "refuses %j",
    async (text) => {
      // The last of three characters has two unused bits, of two characters four.
      expect(await decoded(text)).toBe(null);
    },
  );
});
