import { once } from "node:events";
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";

import { expect, it } from "vitest";

import { readBody } from "./http-body.ts";

const request = () => new IncomingMessage(new Socket());

it("does not wait for a client that went away before", async () => {
  const req = request();
  req.on("error", () => {}).destroy();
  await once(req, "close");
  expect(await readBody(req, 10)).toEqual({ kind: "gone" });
});

it.each([
  [["12345", "67890"], { kind: "text", text: "1234567890" }],
  [["12345", "678901"], { kind: "too_large" }],
  [[], { kind: "text", text: "" }],
])("reads %j within its limit", async (chunks, body) => {
  const req = request();
  for (const chunk of chunks) req.push(Buffer.from(chunk));
  req.push(null);
  expect(await readBody(req, 10)).toEqual(body);
});
