import { createHmac } from "node:crypto";
import { exportSPKI } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { everythingOf, refused, why } from "../test-support/refused.ts";
import {
  AUDIENCE,
  forge,
  newKey,
  startTestIssuer,
  type SigningKey,
  type TestIssuer,
} from "../test-support/test-issuer.ts";
import { identityVerifier, type IdentityVerifierOptions } from "./identity-verifier.ts";

let issuer: TestIssuer;
let stranger: SigningKey;

beforeAll(async () => {
  issuer = await startTestIssuer();
  stranger = await newKey();
});
afterAll(() => issuer.close());

function verifier(more: Partial<IdentityVerifierOptions> = {}) {
  return identityVerifier({ issuers: [{ issuer: issuer.url }], audience: AUDIENCE, ...more });
}

const seconds = () => Math.floor(Date.now() / 1000);

/** Every refusal, with its code and reason. The same tokens are scanned for leaks below. */
const matrix: { [name: string]: [string, () => Promise<string | null | undefined>] } = {
  "no token": ["identity.missing missing", async () => undefined],
  "a null": ["identity.missing missing", async () => null],
  "an empty string": ["identity.missing missing", async () => ""],
  "no JWS": ["identity.rejected malformed", async () => "hunter2-secret-hunter2"],
  "the whole header line": [
    "identity.rejected malformed",
    async () => `Bearer ${await issuer.token()}`,
  ],
  "five parts": ["identity.rejected malformed", async () => "a.b.c.d.e"],
  "a payload that is no JSON": [
    "identity.rejected malformed",
    async () => forge({ alg: "ES256" }, "{oh"),
  ],
  "a payload that is a list": [
    "identity.rejected malformed",
    async () => forge({ alg: "ES256" }, []),
  ],
  "a payload of broken UTF-8": [
    "identity.rejected malformed",
    async () =>
      `${forge({ alg: "ES256" }, {}).split(".")[0]}.${Buffer.from('{"a":"\xff"}', "latin1").toString("base64url")}.`,
  ],
  "base64url that is not canonical": [
    "identity.rejected malformed",
    async () => {
      const token = await issuer.sign(issuer.claims());
      const last = token.at(-1) ?? "";
      // 64 bytes leave four unused bits in the last character: another spelling of the same bytes.
      const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
      return token.slice(0, -1) + letters[letters.indexOf(last) + 1];
    },
  ],
  "17 kB": ["identity.rejected too_large", () => issuer.token({ pad: "x".repeat(13_000) })],
  "JSON nested 2,000 deep": [
    "identity.rejected too_large",
    () => issuer.token({ pad: JSON.parse("[".repeat(2000) + "]".repeat(2000)) }),
  ],
  "another issuer": ["identity.rejected issuer", () => issuer.token({ iss: "https://evil.test" })],
  "the issuer with a slash": [
    "identity.rejected issuer",
    () => issuer.token({ iss: `${issuer.url}/` }),
  ],
  "no issuer": ["identity.rejected issuer", () => issuer.token({ iss: undefined })],
  "another audience": ["identity.rejected audience", () => issuer.token({ aud: "postgres" })],
  "an audience that begins like ours": [
    "identity.rejected audience",
    () => issuer.token({ aud: `${AUDIENCE}.evil` }),
  ],
  "no audience": ["identity.rejected required_claim", () => issuer.token({ aud: undefined })],
  "an empty audience list": ["identity.rejected required_claim", () => issuer.token({ aud: [] })],
  "an audience list with a number": [
    "identity.rejected required_claim",
    async () => sign({ ...issuer.claims(), aud: [AUDIENCE, 1] }),
  ],
  "alg none": [
    "identity.rejected algorithm",
    async () => forge({ alg: "none", typ: "at+jwt" }, issuer.claims()),
  ],
  "alg None with a signature": [
    "identity.rejected algorithm",
    async () => forge({ alg: "None", typ: "at+jwt" }, issuer.claims(), "AAAA"),
  ],
  "HS256 with the public key as its secret": [
    "identity.rejected algorithm",
    async () => {
      const header = { alg: "HS256", typ: "at+jwt", kid: issuer.key.kid };
      const token = forge(header, issuer.claims()).slice(0, -1);
      const secret = await exportSPKI(issuer.key.publicKey);
      return `${token}.${createHmac("sha256", secret).update(token).digest("base64url")}`;
    },
  ],
  "an algorithm that is not allowed": [
    "identity.rejected algorithm",
    async () => {
      const key = await newKey("ES384");
      return issuer.sign(issuer.claims(), {}, key);
    },
  ],
  "a number as algorithm": [
    "identity.rejected algorithm",
    async () => forge({ alg: 256, typ: "at+jwt" }, issuer.claims(), "AAAA"),
  ],
  "an ID token": ["identity.rejected type", () => issuer.sign(issuer.claims(), { typ: "JWT" })],
  "no typ": [
    "identity.rejected type",
    async () => {
      const { kid, alg } = issuer.key;
      return forge({ kid, alg }, issuer.claims(), "AAAA");
    },
  ],
  "a typ that only ends like ours": [
    "identity.rejected type",
    () => issuer.sign(issuer.claims(), { typ: "not-at+jwt" }),
  ],
  "a critical header": [
    "identity.rejected critical_header",
    async () =>
      forge(
        { alg: "ES256", kid: issuer.key.kid, typ: "at+jwt", crit: ["exp"], exp: 1 },
        issuer.claims(),
        "AAAA",
      ),
  ],
  "an empty critical header": [
    "identity.rejected critical_header",
    async () => forge({ alg: "ES256", typ: "at+jwt", crit: [] }, issuer.claims(), "AAAA"),
  ],
  "a member twice in the payload": [
    "identity.rejected duplicate_member",
    async () => sign(JSON.stringify(issuer.claims()).replace("{", '{"sub":"bob",')),
  ],
  "a member twice, once escaped": [
    "identity.rejected duplicate_member",
    async () => sign(JSON.stringify(issuer.claims()).replace("{", '{"s\\u0075b" : "bob",')),
  ],
  "a member twice inside a claim": [
    "identity.rejected duplicate_member",
    async () => sign(JSON.stringify(issuer.claims()).replace("{", '{"act":{"sub":"a","sub":"b"},')),
  ],
  "a member twice in the header": [
    "identity.rejected duplicate_member",
    async () => forge('{"alg":"none","alg":"ES256","typ":"at+jwt"}', issuer.claims(), "AAAA"),
  ],
  "a key that nobody publishes": [
    "identity.rejected unknown_key",
    () => issuer.sign(issuer.claims(), {}, stranger),
  ],
  "a kid that is no string": [
    "identity.rejected malformed",
    async () => forge({ alg: "ES256", typ: "at+jwt", kid: {} }, issuer.claims(), "AAAA"),
  ],
  "the key of a stranger under our kid": [
    "identity.rejected signature",
    () => issuer.sign(issuer.claims(), { kid: issuer.key.kid }, stranger),
  ],
  "a key in its own header": [
    "identity.rejected signature",
    () => issuer.sign(issuer.claims(), { kid: issuer.key.kid, jwk: stranger.jwk }, stranger),
  ],
  "a key set in its own header": [
    "identity.rejected signature",
    () =>
      issuer.sign(
        issuer.claims(),
        { kid: issuer.key.kid, jku: `${issuer.url}/evil`, x5u: `${issuer.url}/evil` },
        stranger,
      ),
  ],
  "an empty signature": ["identity.rejected signature", async () => resigned("")],
  "an ES256 signature of zeros": [
    "identity.rejected signature",
    async () => resigned(Buffer.alloc(64).toString("base64url")),
  ],
  "an ES256 signature in DER": [
    "identity.rejected signature",
    async () => resigned(Buffer.from("3006020101020101", "hex").toString("base64url")),
  ],
  "a payload that was changed": [
    "identity.rejected signature",
    async () => {
      const [header, , signature] = (await issuer.token()).split(".");
      return `${header}.${Buffer.from(JSON.stringify(issuer.claims({ sub: "bob" }))).toString("base64url")}.${signature}`;
    },
  ],
  "expired a second ago": ["identity.expired expired", () => issuer.token({ exp: seconds() - 1 })],
  "not valid for a minute": [
    "identity.not_yet_valid not_before",
    () => issuer.token({ nbf: seconds() + 60 }),
  ],
  "issued in a minute": [
    "identity.not_yet_valid issued_in_future",
    () => issuer.token({ iat: seconds() + 60 }),
  ],
  "issued in a minute though valid already": [
    "identity.not_yet_valid issued_in_future",
    () => issuer.token({ iat: seconds() + 60, nbf: seconds() }),
  ],
  "a subject with a NUL": [
    "identity.rejected required_claim",
    () => issuer.token({ sub: "alice\0" }),
  ],
  "a subject of 2,000 letters": [
    "identity.rejected required_claim",
    () => issuer.token({ sub: "a".repeat(2000) }),
  ],
  "half a character as subject": [
    "identity.rejected required_claim",
    async () => sign(JSON.stringify(issuer.claims({ sub: "alice@@" })).replace("@@", "\\ud800")),
  ],
  "10 kB of act": [
    "identity.rejected too_large",
    () => {
      let act: object = { sub: "a" };
      while (JSON.stringify(act).length < 10_000) act = { sub: "a", act };
      return issuer.token({ act });
    },
  ],
  "9 links of act": [
    "identity.rejected act",
    () => {
      let act: object = { sub: "a0" };
      for (let n = 1; n < 9; n++) act = { sub: `a${n}`, act };
      return issuer.token({ act });
    },
  ],
  "act without sub": ["identity.rejected act", () => issuer.token({ act: { act: { sub: "a" } } })],
  "act that is null": ["identity.rejected act", () => issuer.token({ act: null })],
  "act that is a string": ["identity.rejected act", () => issuer.token({ act: "agent" })],
  "act that is a list": ["identity.rejected act", () => issuer.token({ act: [{ sub: "a" }] })],
  "act with an inner list": [
    "identity.rejected act",
    () => issuer.token({ act: { sub: "a", act: [] } }),
  ],
  "may_act and no actor": [
    "identity.rejected actor_required",
    () => issuer.token({ may_act: { sub: "gateway" } }),
  ],
  "may_act of another actor": [
    "identity.rejected may_act",
    () =>
      issuer.token({ may_act: { sub: "gateway" }, act: { sub: "agent", act: { sub: "gateway" } } }),
  ],
  "may_act of another issuer's actor": [
    "identity.rejected may_act",
    () =>
      issuer.token({ may_act: { sub: "gateway", iss: "https://a.test" }, act: { sub: "gateway" } }),
  ],
  "may_act without sub": [
    "identity.rejected may_act",
    () => issuer.token({ may_act: { email: "x" }, act: { sub: "gateway" } }),
  ],
  "may_act that is a list": [
    "identity.rejected may_act",
    () => issuer.token({ may_act: [{ sub: "gateway" }], act: { sub: "gateway" } }),
  ],
};
for (const name of ["sub", "client_id", "jti", "exp", "iat"]) {
  matrix[`no ${name}`] = [
    "identity.rejected required_claim",
    () => issuer.token({ [name]: undefined }),
  ];
  matrix[`${name} of a wrong type`] = [
    "identity.rejected required_claim",
    () => sign({ ...issuer.claims(), [name]: ["x"] }),
  ];
}
for (const name of ["sub", "client_id", "jti"]) {
  matrix[`an empty ${name}`] = [
    "identity.rejected required_claim",
    () => issuer.token({ [name]: "" }),
  ];
}
for (const exp of [-1, 1e300, "4102444800"]) {
  matrix[`exp ${exp}`] = [
    "identity.rejected required_claim",
    () => sign({ ...issuer.claims(), exp }),
  ];
}

/** Signs any payload text with the issuer's key: what an issuer with a defect would send. */
async function sign(payload: unknown): Promise<string> {
  const { kid, alg, privateKey } = issuer.key;
  const input = forge({ kid, alg, typ: "at+jwt" }, payload).slice(0, -1);
  const parameters = { name: "ECDSA", hash: "SHA-256" };
  const signature = await crypto.subtle.sign(parameters, privateKey, Buffer.from(input));
  return `${input}.${Buffer.from(signature).toString("base64url")}`;
}

async function resigned(signature: string): Promise<string> {
  return `${(await issuer.token()).split(".").slice(0, 2).join(".")}.${signature}`;
}

describe("refuses", () => {
  it("nothing of what the matrix leaves as it is", async () => {
    expect((await verifier().verify(await sign(issuer.claims()))).subject).toBe("alice");
  });

  it.each(Object.keys(matrix))("%s", async (name) => {
    const [expected, make] = matrix[name] ?? ["", async () => ""];
    const token = await make();
    const error = await refused(verifier().verify(token));
    expect(`${error.code} ${error.reason}`).toBe(expected);
    expect(error.cause).toBeUndefined();
    const shown = everythingOf(error);
    const parts = (token?.split(".") ?? []).filter(({ length }) => length >= 16);
    expect(parts.filter((part) => shown.includes(part.slice(0, 16)))).toEqual([]);
    expect(shown).not.toContain("hunter2");
    expect(shown).not.toContain("alice");
  });

  it("what is no string at all", async () => {
    expect(await why(verifier().verify(42 as never))).toBe("identity.rejected malformed");
  });

  it("a human alone where an actor is required, and lets an actor in", async () => {
    const strict = verifier({ requireActor: true });
    expect(await why(strict.verify(await issuer.token()))).toBe("identity.rejected actor_required");
    const identity = await strict.verify(await issuer.token({ act: { sub: "agent" } }));
    expect(identity.actors).toEqual([{ subject: "agent" }]);
  });

  it("a token that is too old, and lets a young one in", async () => {
    const strict = verifier({ maxTokenAgeSeconds: 60 });
    expect(await why(strict.verify(await issuer.token({ iat: seconds() - 90 })))).toBe(
      "identity.expired too_old",
    );
    expect((await strict.verify(await issuer.token({ iat: seconds() - 30 }))).subject).toBe(
      "alice",
    );
  });

  it("may_act of an actor whose own issuer is named, unless it is that one", async () => {
    const may_act = { sub: "gateway", iss: "https://a.test" };
    const act = { sub: "gateway", iss: "https://a.test" };
    expect((await verifier().verify(await issuer.token({ may_act, act }))).actors).toHaveLength(1);
    const own = { may_act: { sub: "gateway", iss: issuer.url }, act: { sub: "gateway" } };
    expect((await verifier().verify(await issuer.token(own))).actors).toHaveLength(1);
  });
});
