import type { ServerResponse } from "node:http";

/** JSON-RPC has no number for what HTTP refuses; -32000 is the one that MCP servers use. */
const HTTP_REFUSED = -32_000;

/**
 * Answers with a length in one write: a chunked answer costs a second one.
 *
 * @param text JSON
 */
export function answer(
  res: ServerResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
    ...headers,
  });
  res.end(text);
  leaveSlowReader(res);
}

/** How long a client may take none of its answer, in milliseconds. */
const UNREAD_MS = 30_000;

/** Cuts a client off that does not read: its answer would keep memory, and its human a place, for ever. */
export function leaveSlowReader(res: ServerResponse): void {
  // Nearly always the kernel took all of it already.
  if (res.writableLength > 0) res.setTimeout(UNREAD_MS, () => res.destroy());
}

/** Refuses a request as a JSON-RPC error. */
export function answerError(
  res: ServerResponse,
  status: number,
  message: string,
  options: {
    readonly code?: number;
    readonly id?: string | number | null;
    readonly data?: unknown;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): void {
  const { code = HTTP_REFUSED, id = null, data, headers } = options;
  const error = { code, message, ...(data === undefined ? {} : { data }) };
  answer(res, status, JSON.stringify({ jsonrpc: "2.0", error, id }), headers);
}
