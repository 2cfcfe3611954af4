import { createServer, type IncomingMessage, type Server } from "node:http";

import type { Delegator, SqlAdapter } from "@behalf/core";

/** The tool of the stand-in, until the gateway's own answers. */
export const STAND_IN_TOOL = "query";

/**
 * The least that can be called a gateway: it reads the envelope, delegates, asks the adapter and answers.
 * It stands where `@behalf/gateway` will, so that what identity and records cost can be measured
 * before; it checks no header, origin, size or schema, and so flatters the server.
 */
export function gateway(options: {
  readonly front: Pick<Delegator, "delegate">;
  readonly adapter: Pick<SqlAdapter, "query">;
}): Server {
  const { front, adapter } = options;

  async function answer(request: IncomingMessage): Promise<string> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const { id, params } = JSON.parse(body);
    const bearer = request.headers.authorization?.slice("Bearer ".length);
    const delegation = await front.delegate(bearer, { tool: params.name });
    const { columns, rows } = await adapter.query(delegation, params.arguments.sql);
    const objects = rows.map((row) =>
      Object.fromEntries(columns.map(({ name }, index) => [name, row[index]])),
    );
    const content = [{ type: "text", text: JSON.stringify(objects) }];
    return JSON.stringify({ jsonrpc: "2.0", id, result: { resultType: "complete", content } });
  }

  return createServer((request, response) => {
    const send = (status: number, text: string) => {
      response.writeHead(status, {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(text),
      });
      response.end(text);
    };
    answer(request).then(
      (text) => send(200, text),
      (error: unknown) => send(500, String(error)),
    );
  });
}
