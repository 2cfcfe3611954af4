import { describe, expect, it } from "vitest";
import { z } from "zod";

import { configJsonSchema } from "./config-known-keys.ts";

const schema = z.fromJSONSchema(configJsonSchema());

/** Whether an editor would leave these sections alone. */
function fits(server: object, more: object = {}): boolean {
  return schema.safeParse({
    server: { publicUrl: "https://gateway.example.com/mcp", ...server },
    identity: { issuers: ["https://login.example.com"], audience: "a" },
    exchange: { clientId: "c", clientSecret: "${env:SECRET}", audience: "b" },
    database: { sandbox: { url: "postgres://${env:USR}:${env:PASSWORD}@h/d" } },
    records: { path: "records.jsonl" },
    ...more,
  }).success;
}

describe("the schema for editors", () => {
  it.each<[object, object?]>([
    [{ port: 8080 }],
    [{ port: "${env:PORT}" }],
    [{ name: "on ${env:HOST}" }],
    [{}, { tools: { write: "${env:WRITE}" } }],
    [{}, { records: { path: "r", statements: "${env:HOW}" } }],
  ])("allows %j %j", (server, more) => expect(fits(server, more)).toBe(true));

  it.each<[object, object?]>([
    [{ port: "8080" }],
    [{ port: "80${env:PORT}" }],
    [{}, { tools: { write: "yes" } }],
    [{}, { records: { path: "r", statements: "all" } }],
    [{}, { exchange: { clientId: "c", clientSecret: "hunter2${env:SECRET}", audience: "b" } }],
  ])("refuses %j %j", (server, more) => expect(fits(server, more)).toBe(false));
});
