import { existsSync, readFileSync } from "node:fs";
import { compactVerify, createLocalJWKSet, type JWK } from "jose";
import { describe, expect, it } from "vitest";
import { parseCompactToken } from "./compact-token.ts";
import { isJsonObject } from "./json-object.ts";

interface Group {
  readonly comment: string;
  readonly public?: JWK;
  readonly tests: readonly {
    readonly tcId: number;
    readonly comment: string;
    readonly jws: unknown;
    readonly result: "valid" | "invalid" | "acceptable";
  }[];
}

// Beside the repository, because the vectors are large and not ours.
const file = new URL(
  "../../../../shared/data/wycheproof/json_web_signature_test.json",
  import.meta.url,
);
const groups: readonly Group[] = existsSync(file)
  ? (JSON.parse(readFileSync(file, "utf8")) as { testGroups: Group[] }).testGroups
  : [];

// The two steps between an issuer's key set and a token, as the verifier takes them: the strict parser,
// then jose with the one key and the one algorithm.
async function accepts(jws: string, jwk: JWK): Promise<boolean> {
  try {
    const [header = ""] = jws.split(".");
    const parsed: unknown = JSON.parse(Buffer.from(header, "base64url").toString());
    if (!isJsonObject(parsed)) return false;
    const { alg, kid } = parsed;
    if (typeof alg !== "string" || (kid !== undefined && typeof kid !== "string")) return false;
    if (!/^(RS|PS|ES)(256|384|512)$/.test(alg)) return false;
    const find = createLocalJWKSet({ keys: [jwk] });
    const key = await find({ alg, ...(kid === undefined ? {} : { kid }) });
    const { payload } = await compactVerify(jws, key, { algorithms: [alg] });
    // Vectors carry texts where tokens carry objects: only the spelling of the parts is judged here.
    const object = Buffer.from('{"a":1}').toString("base64url");
    const [head, , signature] = jws.split(".");
    parseCompactToken(`${head}.${object}.${signature}`);
    return payload.byteLength >= 0;
  } catch {
    return false;
  }
}

describe.skipIf(groups.length === 0)("Wycheproof's JSON Web Signature vectors", () => {
  const asymmetric = groups.filter((group) => group.public !== undefined);
  const cases = asymmetric.flatMap(({ public: jwk, comment, tests }) =>
    tests.map((test) => ({ ...test, jwk, name: `${comment} ${test.tcId} ${test.comment}` })),
  );

  it("are there", () => expect(cases.length).toBeGreaterThan(300));

  it("that are invalid are refused, every one", async () => {
    const accepted: string[] = [];
    for (const { jws, jwk, result, name } of cases) {
      if (result !== "invalid" || typeof jws !== "string" || jwk === undefined) continue;
      if (await accepts(jws, jwk)) accepted.push(name);
    }
    expect(accepted).toEqual([]);
  });

  it("that are valid are accepted, but for key sets that name another algorithm", async () => {
    const refused: string[] = [];
    for (const { jws, jwk, result, name } of cases) {
      if (result !== "valid" || typeof jws !== "string" || jwk === undefined) continue;
      if (!(await accepts(jws, jwk))) refused.push(name);
    }
    // Their keys say PS256 and ES521 (sic) while the tokens are PS384 and ES512. A key that names an
    // algorithm is for that one only (RFC 7517, 4.4), so jose finds no key.
    expect(refused).toEqual([
      "rfc7520 346 Figure20",
      "rfc7520 347 Figure27",
      "rfc7520WithKeyOps 350 Figure20",
      "rfc7520WithKeyOps 351 Figure27",
    ]);
  });
});
