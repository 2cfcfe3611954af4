import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, expect, it } from "vitest";

import { issuerProblems } from "./check-issuer.ts";
import type { ConfigFile } from "./config-schema.ts";

let server: Server | undefined;
afterEach(() => void server?.close());

const KEYS = { keys: [{ kty: "OKP", crv: "Ed25519", x: "AA", kid: "a" }] };

/** An issuer that answers these paths and no others. */
async function issuer(answers: (origin: string) => Readonly<Record<string, object>>) {
  let origin = "";
  server = createServer((req, res) => {
    const answer = answers(origin)[req.url ?? ""];
    res.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
    res.end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on a port, not on a socket
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return origin;
}

const METADATA = "/.well-known/oauth-authorization-server";

function file(url: string, jwksUri?: string): ConfigFile {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parts that are asked about
  return {
    identity: { issuers: [jwksUri === undefined ? url : { issuer: url, jwksUri }] },
    exchange: {},
  } as unknown as ConfigFile;
}

const whole = (origin: string) => ({
  issuer: origin,
  jwks_uri: `${origin}/keys`,
  token_endpoint: `${origin}/token`,
});

it("takes an issuer with keys and a token endpoint", async () => {
  const url = await issuer((origin) => ({ [METADATA]: whole(origin), "/keys": KEYS }));
  expect(await issuerProblems(file(url))).toEqual([]);
});

it("fetches the keys where the file says that they are", async () => {
  const url = await issuer((origin) => ({
    [METADATA]: { ...whole(origin), jwks_uri: undefined },
    "/elsewhere": KEYS,
  }));
  expect(await issuerProblems(file(url, `${url}/elsewhere`))).toEqual([]);
  expect(await issuerProblems(file(url, `${url}/wrong`))).toEqual([
    {
      path: ["identity", "issuers", 0, "jwksUri"],
      message: expect.stringContaining("cannot be had: HTTP 404; check the URL"),
    },
  ]);
});

it("says of an issuer without metadata that nothing can be exchanged, not that it has no keys", async () => {
  const url = await issuer(() => ({ "/elsewhere": KEYS }));
  expect(await issuerProblems(file(url, `${url}/elsewhere`))).toEqual([
    { path: ["exchange"], atKey: true, message: expect.stringContaining("metadata of the issuer") },
  ]);
  expect(await issuerProblems(file(url))).toMatchObject([{ path: ["identity", "issuers", 0] }]);
});

it.each([
  [undefined, "names no token_endpoint"],
  ["http://login.example.com/token", "must begin with https://"],
])("refuses the token endpoint %s", async (endpoint, message) => {
  const url = await issuer((origin) => ({
    [METADATA]: { ...whole(origin), token_endpoint: endpoint },
    "/keys": KEYS,
  }));
  expect(await issuerProblems(file(url))).toMatchObject([
    { path: ["exchange"], message: expect.stringContaining(message) },
  ]);
});
