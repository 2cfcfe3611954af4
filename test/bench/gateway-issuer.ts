import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { decodeJwt, exportJWK, generateKeyPair, SignJWT, type JWTPayload } from "jose";

export const GATEWAY = "urn:bench:gateway";
export const DATABASE = "urn:bench:database";

/** An issuer with one key for the front door and another for the database. */
export interface BenchIssuer {
  readonly url: string;
  /** The human's token for the gateway, ES256. */
  token(human: string): Promise<string>;
  close(): Promise<void>;
}

const TTL_SECONDS = 3600;

/**
 * The provider of `@behalf/local` signs everything with one algorithm. Here the front door's tokens are
 * ES256, as the peers' were when they were measured, and the database's are RS256, which is what it can
 * verify. The token endpoint trusts its callers: it is asked once per human, before the clock runs.
 */
export async function startBenchIssuer(): Promise<BenchIssuer> {
  const keys = {
    ES256: await generateKeyPair("ES256", { extractable: true }),
    RS256: await generateKeyPair("RS256", { extractable: true, modulusLength: 2048 }),
  };
  const published = await Promise.all(
    Object.entries(keys).map(async ([alg, { publicKey }]) => ({
      ...(await exportJWK(publicKey)),
      kid: alg,
      alg,
      use: "sig",
    })),
  );
  let serial = 0;

  async function sign(alg: keyof typeof keys, audience: string, claims: JWTPayload) {
    serial += 1;
    return new SignJWT({ client_id: "bench", org_id: "bench", jti: `jti-${serial}`, ...claims })
      .setProtectedHeader({ alg, kid: alg, typ: "at+jwt" })
      .setIssuer(url)
      .setAudience(audience)
      .setIssuedAt(Math.floor(Date.now() / 1000) - 2)
      .setExpirationTime(Math.floor(Date.now() / 1000) + TTL_SECONDS)
      .sign(keys[alg].privateKey);
  }

  async function answer(request: IncomingMessage): Promise<unknown> {
    if (request.url?.startsWith("/.well-known/") === true) {
      return { issuer: url, jwks_uri: `${url}/jwks`, token_endpoint: `${url}/token` };
    }
    if (request.url === "/jwks") return { keys: published };
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const { sub, act } = decodeJwt(new URLSearchParams(body).get("subject_token") ?? "");
    return {
      access_token: await sign("RS256", DATABASE, { sub: sub ?? "", act: { sub: "gateway", act } }),
      issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
      token_type: "Bearer",
      expires_in: TTL_SECONDS,
    };
  }

  const server = createServer((request, response) => {
    const body = answer(request);
    body.then(
      (value) => {
        response.setHeader("content-type", "application/json").end(JSON.stringify(value));
      },
      () => response.writeHead(500).end(),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the issuer has no port");
  const url = `http://127.0.0.1:${address.port}`;

  return {
    url,
    token: (human) => sign("ES256", GATEWAY, { sub: human, act: { sub: "agent:bench" } }),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}
