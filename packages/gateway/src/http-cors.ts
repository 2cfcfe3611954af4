import type { IncomingMessage, ServerResponse } from "node:http";

const REQUEST_HEADERS = [
  "authorization",
  "content-type",
  "accept",
  "mcp-protocol-version",
  "mcp-method",
  "mcp-name",
  "mcp-session-id",
].join(", ");

/** Lets a page of an origin that was found allowed read the answer. Credentials of the browser are never asked for. */
export function allowReading(res: ServerResponse, origin: string): void {
  res.setHeader("access-control-allow-origin", origin);
  res.setHeader("access-control-expose-headers", "www-authenticate, retry-after");
  res.setHeader("vary", "origin");
}

/** Whether a browser asks beforehand what it may send. It asks without a bearer. */
export function isPreflight(req: IncomingMessage): boolean {
  return (
    req.method === "OPTIONS" &&
    req.headers.origin !== undefined &&
    req.headers["access-control-request-method"] !== undefined
  );
}

export function answerPreflight(res: ServerResponse): void {
  res.writeHead(204, {
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": REQUEST_HEADERS,
    "access-control-max-age": "600",
  });
  res.end();
}
