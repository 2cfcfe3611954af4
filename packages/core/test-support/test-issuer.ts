import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  exportJWK,
  generateKeyPair,
  SignJWT,
  type GenerateKeyPairResult,
  type JWK,
  type JWTHeaderParameters,
  type JWTPayload,
} from "jose";

export interface SigningKey extends GenerateKeyPairResult {
  readonly kid: string;
  readonly alg: string;
  readonly jwk: JWK;
}

export interface TokenForm {
  readonly authorization: string | undefined;
  readonly form: URLSearchParams;
}

/** What the token endpoint of a test answers. */
export type TokenAnswer = (
  request: TokenForm,
  response: ServerResponse,
) => Promise<{ readonly status?: number; readonly body: unknown } | undefined>;

export interface TestIssuer {
  readonly url: string;
  readonly key: SigningKey;
  /** How often each path was asked. */
  readonly requests: Map<string, number>;
  /** What `/jwks` publishes; replace it to rotate. */
  published: JWK[];
  metadata: Record<string, unknown>;
  /** Answers everything with this status, or never. */
  outage: number | "silent" | undefined;
  answer: TokenAnswer;
  /** Claims of a good token, to be varied. */
  claims(more?: Record<string, unknown>): JWTPayload;
  sign(
    claims: JWTPayload,
    header?: Partial<JWTHeaderParameters>,
    key?: SigningKey,
  ): Promise<string>;
  token(more?: Record<string, unknown>): Promise<string>;
  close(): Promise<void>;
}

export const AUDIENCE = "https://gateway.test";

let serial = 0;

export async function newKey(alg = "ES256"): Promise<SigningKey> {
  const pair = await generateKeyPair(alg, { extractable: true });
  serial += 1;
  const kid = `key-${serial}`;
  return { ...pair, kid, alg, jwk: { ...(await exportJWK(pair.publicKey)), kid, alg, use: "sig" } };
}

/** A small issuer on a loopback port: metadata, keys and a token endpoint, each request counted. */
export async function startTestIssuer(): Promise<TestIssuer> {
  const key = await newKey();
  const requests = new Map<string, number>();
  const server = createServer((request, response) => {
    void serve(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server has an AddressInfo
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const issuer: TestIssuer = {
    url,
    key,
    requests,
    published: [key.jwk],
    metadata: { issuer: url, jwks_uri: `${url}/jwks`, token_endpoint: `${url}/token` },
    outage: undefined,
    answer: async () => ({ status: 400, body: { error: "invalid_grant" } }),
    claims(more = {}) {
      const now = Math.floor(Date.now() / 1000);
      serial += 1;
      return {
        iss: url,
        sub: "alice",
        aud: AUDIENCE,
        client_id: "agent-host",
        jti: `jti-${serial}`,
        iat: now,
        exp: now + 300,
        ...more,
      };
    },
    sign(claims, header = {}, by = issuer.key) {
      return new SignJWT(claims)
        .setProtectedHeader({ alg: by.alg, kid: by.kid, typ: "at+jwt", ...header })
        .sign(by.privateKey);
    },
    token: (more) => issuer.sign(issuer.claims(more)),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    requests.set(path, (requests.get(path) ?? 0) + 1);
    if (issuer.outage === "silent") return;
    if (issuer.outage !== undefined) return send(response, issuer.outage, {});
    if (path === "/.well-known/oauth-authorization-server") {
      return send(response, 200, issuer.metadata);
    }
    if (path === "/jwks") return send(response, 200, { keys: issuer.published });
    if (path !== "/token") return send(response, 404, {});
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const { authorization } = request.headers;
    const answer = await issuer.answer(
      { authorization, form: new URLSearchParams(body) },
      response,
    );
    if (answer !== undefined) send(response, answer.status ?? 200, answer.body);
  }
  return issuer;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

/** A token of any header and payload, well or badly formed, with any signature. */
export function forge(header: unknown, payload: unknown, signature = ""): string {
  return `${encode(header)}.${encode(payload)}.${signature}`;
}

function encode(part: unknown): string {
  const text = typeof part === "string" ? part : JSON.stringify(part);
  return Buffer.from(text).toString("base64url");
}
