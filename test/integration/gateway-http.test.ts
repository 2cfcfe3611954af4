import { connect } from "node:net";

import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { failure } from "../support/failure.ts";
import {
  currentRequest,
  startGateway,
  toolAnswer,
  type GatewayWorld,
} from "../support/gateway-world.ts";
import { makeWorld, type World } from "../support/world.ts";

let world: World;
let served: GatewayWorld;
let authorization: string;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
  served = await startGateway(world);
  authorization = `Bearer ${await world.token("alice")}`;
});
afterAll(async () => {
  await served?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

const query = (sql: string, id: string | number = 1) =>
  currentRequest("tools/call", { name: "query", arguments: { sql } }, id);

describe("the body", () => {
  it.each([
    ["no JSON", "{", 400, -32_700],
    ["nothing", "", 400, -32_700],
    ["a batch", [query("select 1").body], 400, -32_600],
    ["an empty batch", [], 400, -32_600],
    ["no JSON-RPC", { hello: 1 }, 400, -32_600],
    ["a number", 7, 400, -32_600],
    ["null", "null", 400, -32_600],
  ])("of %s is a JSON-RPC error", async (_name, body, status, code) => {
    const answer = await served.send({ body, headers: { authorization } });
    expect(answer.status).toBe(status);
    expect(answer.json()).toMatchObject({ jsonrpc: "2.0", id: null, error: { code } });
  });

  it("must be UTF-8", async () => {
    const answer = await fetch(served.url, {
      method: "POST",
      headers: { "content-type": "application/json", authorization },
      body: Buffer.from([0x22, 0xff, 0x22]),
    });
    expect(answer.status).toBe(400);
  });

  it("must be JSON by its type", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"]) {
      const { body, headers } = query("select 1");
      const given = { ...headers, authorization, "content-type": type };
      expect((await served.send({ body, headers: given })).status).toBe(415);
    }
    const { body, headers } = query("select 1");
    const given = { ...headers, authorization, "content-type": "application/json; charset=utf-8" };
    expect((await served.send({ body, headers: given })).status).toBe(200);
  });

  it("has a longest length, with and without Content-Length", async () => {
    await using small = await startGateway(world, { limits: { bodyBytes: 2_000 } });
    const { body, headers } = query(`select '${"x".repeat(3_000)}'`);
    const long = await small.send({ body, headers: { ...headers, authorization } });
    expect(long.status).toBe(413);
    const chunked = { ...headers, authorization, "transfer-encoding": "chunked" };
    expect((await small.send({ body, headers: chunked })).status).toBe(413);
    // The other side: what is not too long passes, either way.
    const short = query("select 1");
    for (const more of [{}, { "transfer-encoding": "chunked" }]) {
      const given = { ...short.headers, authorization, ...more };
      expect((await small.send({ body: short.body, headers: given })).status).toBe(200);
    }
  });

  it("of a whole statement of 1 MiB gets through by default", async () => {
    const { body, headers } = query(`select length('${"x".repeat(1_048_000)}')`);
    const answer = await served.send({ body, headers: { ...headers, authorization } });
    expect(toolAnswer(answer.json()["result"])["rows"]).toEqual([[1_048_000]]);
  });
});

describe("the path and the method", () => {
  it.each(["GET", "DELETE", "PUT", "OPTIONS"])("%s is not served", async (method) => {
    const answer = await served.send({ method, headers: { authorization } });
    expect(answer.status).toBe(405);
    expect(answer.headers["allow"]).toBe("POST");
  });

  it("are served nowhere else", async () => {
    for (const path of ["/", "/mcp/", "/MCP", "/mcp/../mcp", "/admin"]) {
      expect((await served.send({ path, headers: { authorization } })).status).toBe(404);
    }
  });
});

describe("Host and Origin", () => {
  it("are refused when foreign, against DNS rebinding", async () => {
    const { body, headers } = query("select 1");
    const ask = async (gateway: GatewayWorld, more: Record<string, string>) =>
      (await gateway.send({ body, headers: { ...headers, authorization, ...more } })).status;
    await using open = await startGateway(world, {
      allowedHosts: ["Tools.example.com"],
      allowedOrigins: ["https://chat.example.com"],
    });
    for (const host of ["evil.example", "127.0.0.1.evil.example", "tools.example.com:1"]) {
      expect(await ask(served, { host })).toBe(403);
    }
    expect(await ask(open, { host: "tools.example.com:8443" })).toBe(200);
    for (const host of ["localhost", "[::1]:80", "gateway.test"]) {
      expect(await ask(served, { host })).toBe(200);
    }
    for (const origin of ["https://chat.example.com", "http://localhost:3000", "null"]) {
      expect(await ask(served, { origin })).toBe(403);
    }
    expect(await ask(open, { origin: "https://chat.example.com" })).toBe(200);
    expect(await ask(open, { origin: "https://chat.example.com.evil.example" })).toBe(403);
    expect(await ask(served, { origin: "http://gateway.test" })).toBe(200);
  });

  it("let a page of an allowed origin read the answer, and no other", async () => {
    const page = "https://chat.example.com";
    await using open = await startGateway(world, { allowedOrigins: [page] });
    const preflight = { origin: page, "access-control-request-method": "POST" };
    const asked = await open.send({ method: "OPTIONS", headers: preflight });
    expect(asked.status).toBe(204);
    expect(asked.headers).toMatchObject({
      "access-control-allow-origin": page,
      "access-control-allow-headers": expect.stringContaining("mcp-name"),
    });
    const refused = await open.send({ headers: { origin: page } });
    expect(refused.status).toBe(401);
    expect(refused.headers).toMatchObject({
      "access-control-allow-origin": page,
      "access-control-expose-headers": expect.stringContaining("www-authenticate"),
      vary: "origin",
    });
    const foreign = await served.send({ method: "OPTIONS", headers: preflight });
    expect(foreign.status).toBe(403);
    expect(foreign.headers).not.toHaveProperty("access-control-allow-origin");
  });

  it("must be named before the gateway listens on more than loopback", async () => {
    await using closed = await startGateway(world);
    const error = await failure(closed.gateway.listen({ host: "0.0.0.0" }));
    expect(error).toMatchObject({ code: "configuration" });
    expect(error.message).toContain("allowedHosts");
    await using open = await startGateway(world, { allowedHosts: ["tools.example.com"] });
    expect(await open.gateway.listen({ host: "0.0.0.0" })).toMatchObject({ host: "0.0.0.0" });
  });

  it.each([
    [{ allowedHosts: ["*"] }, "allowedHosts"],
    [{ allowedHosts: ["https://x.example"] }, "allowedHosts"],
    [{ allowedHosts: ["x.example:8080"] }, "allowedHosts"],
    [{ allowedOrigins: ["*"] }, "allowedOrigins"],
    [{ allowedOrigins: ["https://x.example/"] }, "allowedOrigins"],
    [{ resource: "urn:example:gateway" }, "resource"],
    [{ resource: "https://x.example/mcp?y" }, "resource"],
    [{ authorizationServers: [] }, "authorizationServers"],
    [{ scopesSupported: ['a"b'] }, "scopesSupported"],
    [{ limits: { maxRows: 0 } }, "maxRows"],
    [{ builtIn: { query: false, describeTables: false, whoAmI: false } }, "no tool"],
  ])("and other options are checked: %j", async (options, named) => {
    const error = await failure(startGateway(world, options));
    expect(error.code).toBe("configuration");
    expect(error.message).toContain(named);
  });
});

describe("the headers of the current revision", () => {
  it.each([
    ["mcp-protocol-version", undefined, -32_020],
    ["mcp-protocol-version", "2025-11-25", -32_020],
    ["mcp-method", undefined, -32_020],
    ["mcp-method", "tools/list", -32_020],
    ["mcp-name", undefined, -32_020],
    ["mcp-name", "whoami", -32_020],
    ["mcp-name", "=?base64?d2hvYW1p?=", -32_020],
  ])("%s: %s is refused", async (name, value, code) => {
    const { body, headers } = query("select 1", "seven");
    const { [name]: _, ...others } = headers;
    const given = { ...others, authorization, ...(value === undefined ? {} : { [name]: value }) };
    const answer = await served.send({ body, headers: given });
    expect(answer.status).toBe(400);
    expect(answer.json()).toMatchObject({ id: "seven", error: { code } });
  });

  it("may carry the name in base64", async () => {
    const { body, headers } = query("select 1");
    const given = { ...headers, authorization, "mcp-name": "=?base64?cXVlcnk=?=" };
    expect((await served.send({ body, headers: given })).status).toBe(200);
  });

  it("must name a revision that is spoken", async () => {
    const { body, headers } = query("select 1");
    const text = JSON.stringify(body).replace("2026-07-28", "2027-01-01");
    const given = { ...headers, authorization, "mcp-protocol-version": "2027-01-01" };
    const answer = await served.send({ body: text, headers: given });
    expect(answer.status).toBe(400);
    expect(answer.json()["error"]).toMatchObject({
      code: -32_022,
      data: { supported: ["2026-07-28"], requested: "2027-01-01" },
    });
  });

  it("get a method that is not served a 404", async () => {
    const { body, headers } = currentRequest("resources/list");
    const answer = await served.send({ body, headers: { ...headers, authorization } });
    expect(answer.status).toBe(404);
    expect(answer.json()["error"]).toMatchObject({ code: -32_601 });
  });
});

describe("a slow or greedy client", () => {
  it("is cut off in the middle of its head", async () => {
    await using hasty = await startGateway(world, { limits: { headersTimeoutMs: 50 } });
    const socket = connect(hasty.port, "127.0.0.1");
    socket.write("POST /mcp HTTP/1.1\r\nhost: localhost\r\n");
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.on("error", () => {}).once("close", () => resolve());
    socket.resume();
    await expect(promise).resolves.toBeUndefined();
  });

  it("gets no more than so many bytes of headers", async () => {
    const answer = await served.send({
      body: "{}",
      headers: { authorization, "x-long": "x".repeat(30_000) },
    });
    expect(answer.status).toBe(431);
  });
});

/** One request as bytes; what came back. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(served.port, "127.0.0.1", () => socket.write(text));
    let answered = "";
    socket.setEncoding("utf8").on("data", (chunk) => (answered += chunk));
    socket.once("error", reject).once("close", () => resolve(answered));
  });
}

describe("the request's head", () => {
  const request = (target: string, more: string) => {
    const { body, headers } = query("select 1 as one");
    const text = JSON.stringify(body);
    const lines = Object.entries({ ...headers, authorization, "content-type": "application/json" });
    return `POST ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n${more}${lines
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join("")}Connection: close\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  };

  it.each(["/mcp", "http://127.0.0.1/mcp", "http://somebody.test/mcp?x=1"])(
    "may name its target as %s",
    async (target) => {
      expect(await raw(request(target, ""))).toMatch(/^HTTP\/1\.1 200 /);
    },
  );

  it.each([
    "Host: evil.test",
    "Authorization: Bearer x",
    "Content-Type: text/plain",
    "Origin: a\r\nOrigin: b",
  ])("must not hold twice what a proxy may read otherwise: %s", async (line) => {
    expect(await raw(request("/mcp", `${line}\r\n`))).toMatch(/^HTTP\/1\.1 400 /);
  });
});
