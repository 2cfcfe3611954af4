import { createHmac, createPublicKey, generateKeyPairSync, sign } from "node:crypto";

import { SignJWT } from "jose";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  AUDIENCE,
  call,
  goodClaims,
  ISSUER,
  type Json,
  type KitWorld,
  kitWorld,
  OTHER_ISSUER,
  putKeys,
  refusal,
  rsaKey,
  segment,
  signed,
} from "../support/kit-world.ts";

let world: KitWorld;
let gateway: pg.Client;
const otherKey = rsaKey("k-other");
const numberKey = rsaKey("1");
beforeAll(async () => {
  world = await kitWorld();
  gateway = await world.connect();
  await world.admin.query("select behalf.add_issuer($1)", [OTHER_ISSUER]);
  await putKeys(world.admin, OTHER_ISSUER, [otherKey]);
  await putKeys(world.admin, ISSUER, [world.key, numberKey]);
});
afterAll(() => world[Symbol.asyncDispose]());

const exchange = async (token: string | null) => {
  const { rows } = await gateway.query<{ ticket: string; role: string; expires_at: number }>(
    "select * from behalf.exchange($1)",
    [token],
  );
  return rows[0];
};
const now = () => Math.floor(Date.now() / 1000);
const claims = (changes: Json = {}) => goodClaims("alice", changes);
const without = (name: string) =>
  Object.fromEntries(Object.entries(goodClaims()).filter(([key]) => key !== name));
const withHeader = (header: Json) => signed(world.key, goodClaims(), header);
const withClaims = (changes: Json) => signed(world.key, claims(changes));
/** A token whose three parts are exactly these. */
const parts = (...three: readonly string[]) => three.join(".");
const nested = (depth: number): Json => {
  let act: Json = { sub: "innermost" };
  for (let level = 1; level < depth; level += 1) act = { sub: `actor-${level}`, act };
  return act;
};
const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

interface Case {
  readonly name: string;
  readonly token: () => string | null;
  readonly code: string;
  readonly reason: string;
}
const refused = (code: string, reason: string, name: string, token: () => string | null): Case => ({
  name,
  token,
  code,
  reason,
});
const malformed = (name: string, token: () => string) => refused("ZB001", "malformed", name, token);

const cases: readonly Case[] = [
  refused("ZB001", "missing", "no token", () => null),
  refused("ZB001", "missing", "an empty one", () => ""),

  malformed("a word", () => "nonsense"),
  malformed("two parts", () => "e30.e30"),
  malformed("four parts", () => `${world.token()}.e30`),
  malformed("three empty parts", () => ".."),
  malformed("a header that is no base64url", () => parts("e30=", segment(goodClaims()), "AA")),
  malformed("a header that is no JSON", () => parts(segment("{"), segment(goodClaims()), "AA")),
  malformed("a header that is no UTF-8", () => parts("gICA", segment(goodClaims()), "AA")),
  malformed("a header that is an array", () =>
    parts(segment('["RS256"]'), segment(goodClaims()), "AA"),
  ),
  malformed("a header that is null", () => parts(segment("null"), segment(goodClaims()), "AA")),
  malformed("claims that are a string", () => signed(world.key, '"alice"')),
  malformed("claims that are an array", () => signed(world.key, "[]")),
  malformed("claims with a NUL character", () => signed(world.key, String.raw`{"sub":"a\u0000b"}`)),
  malformed("claims nested as deep as they can be", () => signed(world.key, deep(5500))),
  malformed("a number that no numeric holds", () => signed(world.key, '{"exp":1e400000}')),
  malformed("NaN", () => signed(world.key, '{"exp":NaN}')),
  malformed("white space around it", () => ` ${world.token()}`),
  malformed("a line break within", () => world.token().replace(".", ".\n")),
  malformed("padding", () => world.token().replace(/^[^.]+/, "$&==")),
  refused("ZB001", "too_large", "more than 16 KiB", () => withClaims({ pad: "x".repeat(16_384) })),
  refused("ZB001", "too_large", "short numbers that are long when written", () =>
    signed(world.key, JSON.stringify(goodClaims()).replace("{", `{"n":[${"1e9999,".repeat(9)}0],`)),
  ),

  refused("ZB001", "algorithm", "alg none, unsigned", () =>
    parts(segment({ alg: "none", typ: "at+jwt", kid: "k1" }), segment(goodClaims()), ""),
  ),
  refused("ZB001", "algorithm", "alg None", () => withHeader({ alg: "None" })),
  refused("ZB001", "algorithm", "no alg", () => withHeader({ alg: undefined })),
  refused("ZB001", "algorithm", "alg in a list", () => withHeader({ alg: ["RS256"] })),
  refused("ZB001", "algorithm", "alg rs256", () => withHeader({ alg: "rs256" })),
  refused("ZB001", "algorithm", "HS256 with the public key as secret", () => {
    const input = `${segment({ alg: "HS256", typ: "at+jwt", kid: "k1" })}.${segment(goodClaims())}`;
    const pem = createPublicKey(world.key.privateKey).export({ type: "spki", format: "pem" });
    return `${input}.${createHmac("sha256", pem).update(input).digest("base64url")}`;
  }),
  refused("ZB001", "algorithm", "RS512", () =>
    signed(world.key, goodClaims(), { alg: "RS512" }, "sha512"),
  ),
  refused("ZB001", "algorithm", "ES256", () => {
    const input = `${segment({ alg: "ES256", typ: "at+jwt", kid: "k1" })}.${segment(goodClaims())}`;
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const signature = sign("sha256", Buffer.from(input), {
      key: privateKey,
      dsaEncoding: "ieee-p1363",
    });
    return `${input}.${signature.toString("base64url")}`;
  }),

  refused("ZB001", "type", "an ID token", () => withHeader({ typ: "JWT" })),
  refused("ZB001", "type", "a logout token", () => withHeader({ typ: "logout+jwt" })),
  refused("ZB001", "type", "no typ", () => withHeader({ typ: undefined })),
  refused("ZB001", "type", "typ null", () => withHeader({ typ: null })),
  refused("ZB001", "critical_header", "crit", () => withHeader({ crit: ["b64"], b64: false })),
  refused("ZB001", "critical_header", "an empty crit", () => withHeader({ crit: [] })),

  refused("ZB001", "issuer", "an unknown issuer", () => withClaims({ iss: "https://evil.test" })),
  refused("ZB001", "issuer", "no issuer", () => signed(world.key, without("iss"))),
  refused("ZB001", "issuer", "the issuer with a slash behind", () =>
    withClaims({ iss: `${ISSUER}/` }),
  ),
  refused("ZB001", "issuer", "the issuer in capitals", () =>
    withClaims({ iss: ISSUER.toUpperCase() }),
  ),
  refused("ZB001", "issuer", "the issuer in a list", () => withClaims({ iss: [ISSUER] })),
  refused("ZB001", "unknown_key", "an unknown key", () => withHeader({ kid: "k2" })),
  refused("ZB001", "unknown_key", "no kid", () => withHeader({ kid: undefined })),
  refused("ZB001", "unknown_key", "a kid that is a number, where a key has it as text", () =>
    signed(numberKey, goodClaims(), { kid: 1 }),
  ),
  refused("ZB001", "unknown_key", "the kid of another issuer's key, signed with that", () =>
    signed(otherKey, goodClaims()),
  ),
  refused("ZB001", "unknown_key", "another issuer's claim with this issuer's key", () =>
    withClaims({ iss: OTHER_ISSUER }),
  ),
  refused("ZB001", "signature", "another issuer's key under this one's kid", () =>
    signed(otherKey, goodClaims(), { kid: "k1" }),
  ),

  refused("ZB001", "signature", "other claims than were signed", () => {
    const [header, , signature] = world.token().split(".") as [string, string, string];
    return parts(header, segment(goodClaims("bob")), signature);
  }),
  refused("ZB001", "signature", "another header than was signed", () => {
    const [, payload, signature] = world.token().split(".") as [string, string, string];
    return parts(segment({ typ: "at+jwt", alg: "RS256", kid: "k1" }), payload, signature);
  }),
  refused("ZB001", "signature", "one bit of the signature changed", () => {
    const [header, payload, signature] = world.token().split(".") as [string, string, string];
    const bytes = Buffer.from(signature, "base64url");
    bytes[100] = (bytes[100] as number) ^ 1;
    return parts(header, payload, bytes.toString("base64url"));
  }),
  refused("ZB001", "signature", "no signature", () => world.token().replace(/[^.]+$/, "")),
  refused("ZB001", "signature", "a signature with padding", () => `${world.token()}==`),
  refused("ZB001", "signature", "unused bits of the signature set", () => {
    // 256 octets end in two characters, of which the last has four bits that nothing uses.
    const token = world.token();
    const last = token.at(-1) as string;
    return token.slice(0, -1) + String.fromCodePoint((last.codePointAt(0) as number) + 1);
  }),

  refused("ZB001", "audience", "another audience", () => withClaims({ aud: "urn:other" })),
  refused("ZB001", "audience", "no audience", () => signed(world.key, without("aud"))),
  refused("ZB001", "audience", "audiences without this one", () => withClaims({ aud: ["a", "b"] })),
  refused("ZB001", "audience", "an audience inside a nested list", () =>
    withClaims({ aud: [[AUDIENCE]] }),
  ),
  refused("ZB001", "audience", "an object", () => withClaims({ aud: { [AUDIENCE]: true } })),
  refused("ZB001", "audience", "an empty list", () => withClaims({ aud: [] })),
  refused("ZB001", "audience", "this one as a part", () => withClaims({ aud: `${AUDIENCE}2` })),

  refused("ZB002", "expired", "an expired one", () => withClaims({ exp: now() - 1 })),
  refused("ZB002", "expired", "one that expires now", () => withClaims({ exp: now() })),
  refused("ZB002", "expired", "one that expired at minus infinity", () =>
    signed(world.key, JSON.stringify(claims({ exp: 0 })).replace('"exp":0', '"exp":-1e9000')),
  ),
  refused("ZB006", "not_yet_valid", "nbf in the future", () => withClaims({ nbf: now() + 60 })),
  refused("ZB006", "not_yet_valid", "iat in the future", () => withClaims({ iat: now() + 60 })),
  refused("ZB006", "not_yet_valid", "iat at the end of time", () =>
    signed(world.key, JSON.stringify(claims({ iat: 0 })).replace('"iat":0', '"iat":1e9000')),
  ),

  ...["exp", "iat", "sub", "client_id", "jti"].map((name) =>
    refused("ZB001", "required_claim", `no ${name}`, () => signed(world.key, without(name))),
  ),
  ...(
    [
      ["exp", "9999999999"],
      ["exp", null],
      ["exp", [9_999_999_999]],
      ["iat", "1"],
      ["nbf", "1"],
      ["nbf", null],
      ["sub", 7],
      ["sub", null],
      ["sub", ["alice"]],
      ["sub", ""],
      ["sub", "a".repeat(513)],
      ["client_id", 7],
      ["jti", {}],
    ] as const
  ).map(([name, value]) =>
    refused("ZB001", "required_claim", `${name} as ${JSON.stringify(value).slice(0, 20)}`, () =>
      withClaims({ [name]: value }),
    ),
  ),

  ...(
    [
      ["null", null],
      ["a string", "agent"],
      ["a list", [{ sub: "agent" }]],
      ["without sub", { client_id: "x" }],
      ["with an empty sub", { sub: "" }],
      ["with a sub that is a number", { sub: 7 }],
      ["with a long sub", { sub: "a".repeat(513) }],
      ["with a malformed one within", { sub: "gateway", act: "agent" }],
      ["with a null within", { sub: "gateway", act: null }],
      ["nine deep", nested(9)],
      ["of 10 kB", nested(300)],
    ] as const
  ).map(([name, act]) => refused("ZB001", "act", `act ${name}`, () => withClaims({ act }))),

  ...(
    [
      ["and nobody acts", { may_act: { sub: "agent" } }],
      ["and another acts", { may_act: { sub: "agent" }, act: { sub: "stranger" } }],
      [
        "and only an earlier actor fits",
        { may_act: { sub: "agent" }, act: { sub: "gateway", act: { sub: "agent" } } },
      ],
      ["without a sub", { may_act: { client_id: "agent" } }],
      ["which is empty", { may_act: {} }],
      ["which is no object", { may_act: "agent", act: { sub: "agent" } }],
      [
        "of another issuer",
        { may_act: { sub: "agent", iss: "https://a" }, act: { sub: "agent", iss: "https://b" } },
      ],
      [
        "of an issuer that the actor does not name",
        { may_act: { sub: "agent", iss: "https://a" }, act: { sub: "agent" } },
      ],
    ] as const
  ).map(([name, changes]) =>
    refused("ZB001", "may_act", `may_act ${name}`, () => withClaims(changes)),
  ),

  refused("ZB005", "no_role", "a human whom no role fits", () =>
    withClaims({ org_id: "umbrella" }),
  ),
  refused("ZB005", "no_role", "a human whose claim is an object", () =>
    withClaims({ org_id: { acme: true } }),
  ),
];

const secretsOf = (token: string) => token.split(".").filter((part) => part.length >= 12);

it.each(cases)("refuses $name", async ({ token, code, reason }) => {
  const text = token();
  const error = await refusal(exchange(text));
  expect({ code: error.code, reason: error.detail }).toEqual({ code, reason });
  // Nothing of the token in any field that a caller or a log could keep.
  const said = JSON.stringify(Object.entries(error));
  for (const secret of secretsOf(text ?? "")) expect(said).not.toContain(secret);

  // start() has the same gate.
  const alsoRefused = await refusal(
    gateway.query("select * from behalf.start($1, $2, 'alice')", [text, ISSUER]),
  );
  expect({ code: alsoRefused.code, reason: alsoRefused.detail }).toEqual({ code, reason });
});

describe("accepts", () => {
  it.each<readonly [string, () => string | Promise<string>]>([
    ["a right one", () => world.token()],
    ["one of the issuer's other key", () => signed(numberKey, goodClaims())],
    [
      "one that jose made",
      () =>
        new SignJWT({ ...goodClaims() })
          .setProtectedHeader({ alg: "RS256", typ: "at+jwt", kid: "k1" })
          .sign(world.key.privateKey),
    ],
    [
      "typ with its media type prefix, in any case",
      () => withHeader({ typ: "Application/AT+JWT" }),
    ],
    ["an audience among others", () => withClaims({ aud: ["urn:other", AUDIENCE] })],
    [
      "clocks that differ by less than the leeway",
      () => withClaims({ iat: now() + 2, nbf: now() + 2 }),
    ],
    ["fractions of seconds", () => withClaims({ exp: now() + 100.5 })],
    [
      "an exp at the end of time",
      () =>
        signed(world.key, JSON.stringify(claims({ exp: 0 })).replace('"exp":0', '"exp":1e9000')),
    ],
    ["a chain of 8 actors", () => withClaims({ act: nested(8) })],
    [
      "may_act where that one acts",
      () => withClaims({ may_act: { sub: "agent" }, act: { sub: "agent" } }),
    ],
    ["a list of organisations", () => withClaims({ org_id: ["x", "acme"] })],
  ])("%s", async (_, token) => {
    expect(await exchange(await token())).toMatchObject({ role: world.names.agent });
  });

  it("never lets a ticket outlive the token, nor its own limit", async () => {
    const short = now() + 20;
    expect((await exchange(withClaims({ exp: short })))?.expires_at).toBe(short);
    const long = (await exchange(withClaims({ exp: now() + 90_000 })))?.expires_at ?? 0;
    expect(long).toBeGreaterThan(now() + 295);
    expect(long).toBeLessThan(now() + 305);
  });

  it("the last of two members with one name, as JSON.parse does", async () => {
    const text = JSON.stringify(goodClaims()).replace("{", '{"sub":"bob","org_id":"globex",');
    expect(JSON.parse(text)).toMatchObject({ sub: "alice" });
    expect(await call(gateway, signed(world.key, text), "select behalf.claim('sub')")).toEqual([
      "(alice)",
    ]);
  });

  it.each(["älice", "Alice", "alice\n", "a'l\"i\\ce", "alice ", "𝒶lice", "\u0001alice"])(
    "the subject %j and takes it for nobody else",
    async (subject) => {
      const token = signed(world.key, goodClaims(subject));
      const rows = await call(gateway, token, "select behalf.claim('sub') = U&'\\0061lice'", {
        subject,
      });
      expect(rows).toEqual(["(f)"]);
      const error = await refusal(call(gateway, token, "select 1"));
      expect(error.code).toBe("ZB010");
    },
  );
});

it("says nothing of a refused token in the server's log", async () => {
  const { rows } = await world.admin.query<{ file: string | null }>(
    "select pg_current_logfile() as file",
  );
  // Where the log is not collected, what would be logged is seen as messages of level LOG are: by the client.
  const watched = await world.connect();
  const seen: string[] = [];
  watched.on("notice", (notice) => seen.push(JSON.stringify(Object.entries(notice))));
  await watched.query("set client_min_messages = debug5");
  const token = withClaims({ exp: now() - 10 });
  await refusal(watched.query("select * from behalf.exchange($1)", [token]));
  if (rows[0]?.file) {
    const log = await world.admin.query<{ text: string }>("select pg_read_file($1) as text", [
      rows[0].file,
    ]);
    seen.push(log.rows[0]?.text ?? "");
  }
  expect(seen.length).toBeGreaterThan(0);
  for (const secret of secretsOf(token)) expect(seen.join("\n")).not.toContain(secret);
});

it.each(["2MB", "200kB", "100kB"])(
  "survives claims that are nested deep, with %s of stack",
  async (stack) => {
    // Only a superuser may set it; a thief has the 2 MB of the server.
    await world.admin.query(`alter role ${world.names.gateway} set max_stack_depth = '${stack}'`);
    try {
      const client = await world.connect();
      const token = signed(
        world.key,
        JSON.stringify(goodClaims()).replace("{", `{"deep":${deep(5400)},`),
      );
      // Whether it fits depends on the server's frames; what must not be is an error of another kind.
      const outcome = await call(client, token, "select behalf.claim('sub')").then(
        ([line]) => line,
        (error: unknown) => error as pg.DatabaseError,
      );
      const kind = typeof outcome === "string" ? outcome : outcome?.code;
      expect(kind).toBeOneOf(["(alice)", "ZB001"]);
      const said = JSON.stringify(Object.entries(outcome ?? {}));
      for (const secret of secretsOf(token)) expect(said).not.toContain(secret);
    } finally {
      await world.admin.query(`alter role ${world.names.gateway} reset max_stack_depth`);
    }
  },
);
